/*
 * control.c: changes settings of a running process, or makes it release free memory, through
 * its control block (config/control.h). Needs the same right as `hakmem stats`. The process is
 * not trusted: it can only mislead this command about itself.
 */
#ifndef HK_CMD_CONTROL_H
#define HK_CMD_CONTROL_H

#include "config/control.h"
#include "cmd/cmd.h"

#include <signal.h>

enum control_state {
	CONTROL_DONE,			/* the process has made the changes */
	CONTROL_WAITS,			/* requested, but the process has not called its allocator yet */
	CONTROL_REFUSED,		/* by the process, which has changed nothing; see why */
	CONTROL_FAILED			/* it could not be requested; see why */
};
struct control_answer {
	enum control_state state;
	char why[512];			/* printable; "" for CONTROL_DONE */
	size_t released;		/* bytes, by trim */
	bool stacks;			/* samples have whole stacks */
	struct hk_kept kept;		/* printable */
};

/*
 * Requests the changes, at most HK_CONTROL_CHANGES, and waits this number of seconds for the
 * answer. started: see process_started(); 0: any process with this id. If an earlier request still
 * waits, its changes are included in the new one. A call without changes waits for the answer to
 * the last request, even if another command wrote it.
 */
enum control_state control_send(pid_t pid, unsigned long long started, const struct hk_change *change,
				unsigned count, double seconds, struct control_answer *answer);

/* Set by a signal handler: control_send waits no longer than for one attempt. */
extern volatile sig_atomic_t control_hurry;

/* One setting: its name without HAKMEM_, and its value as in the environment. */
enum control_state set_remote(pid_t pid, unsigned long long started, const char *name, const char *value,
			      double seconds, struct control_answer *answer);

#endif
