/*
 * The control block: through it, a process that may write the memory of this one changes settings,
 * or requests that free memory is released. The command writes a request with
 * process_vm_writev(2). The next thread that reaches a slow path of the allocator carries it out,
 * with no lock held, and writes the answer. hakmem-stats-page(5) documents the block.
 *
 * A request has a number, by which the command recognizes the answer. It is written last, by a
 * call of its own, and is never that of the request before. The checksum includes it, so that
 * two commands that write at the same time make no request that neither of them has written.
 * A number of which only some bytes have arrived yet is answered like any other one; the
 * request is then carried out again once all of it is there.
 */
#ifndef HK_CONFIG_CONTROL_H
#define HK_CONFIG_CONTROL_H

#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HK_CONTROL_VERSION = 2, HK_CONTROL_CHANGES = 16, HK_CONTROL_TEXT = 24,
       HK_CONTROL_NAMES = 256 };
#define HK_CONTROL_MAGIC "hakmem control"
#define HK_CONTROL_TRIM "trim"		/* in place of the name of a setting; without a value */

/* name: of a setting, without HAKMEM_; value: as in the environment. Both end in a NUL. */
struct hk_change {
	char name[HK_CONTROL_TEXT], value[HK_CONTROL_TEXT];
};

/* The settings of a profile that were not changed, because they cannot change in a running process
 * or because the environment gives their values: names without HAKMEM_, each preceded by a space.
 * Both texts end in a NUL. */
struct hk_kept {
	char fixed[HK_CONTROL_NAMES], given[HK_CONTROL_NAMES];
};

enum hk_verdict {
	HK_CHANGED,
	HK_GARBLED,			/* damaged: two commands have written at the same time */
	HK_NO_SETTING,			/* there is no such setting */
	HK_BAD_VALUE,
	HK_FIXED,			/* it cannot change in a running process */
	HK_NO_ROOM,			/* the system has no memory for it */
	HK_VERDICTS
};

struct hk_control {
	char magic[16];
	uint32_t version, size;		/* size: of this structure */

	/* The request. */
	_Atomic uint32_t asked;		/* its number */
	uint32_t count;			/* of changes */
	uint64_t sum;
	struct hk_change change[HK_CONTROL_CHANGES];

	/* The answer. If a change is refused, none is made; if it fails for lack of memory, only
	 * those before it. */
	_Atomic uint32_t done;		/* the number of the request; written last */
	uint32_t refused;		/* the number of the refused change, from 1 on; 0: none */
	uint32_t verdict;		/* enum hk_verdict */
	uint32_t stacks;		/* samples have whole stacks, not only the caller */
	uint64_t released;		/* bytes, by trim */
	struct hk_kept kept;		/* by PROFILE */
};
/* Defined in api/set.c, so that a program that is linked with the archive has that code. */
extern struct hk_control hk_control;

/* A copy that nobody changes. */
struct hk_request {
	uint32_t asked, count;
	uint64_t sum;
	struct hk_change change[HK_CONTROL_CHANGES];
};

HK_INLINE uint64_t hk_request_sum(const struct hk_request *r)
{
	const unsigned char *at = (const unsigned char *)r->change;
	uint64_t sum = (uint64_t)r->asked << 32 | r->count;
	size_t i;

	for (i = 0; i < sizeof r->change; i++)
		sum = (sum ^ at[i]) * 0x100000001b3u;
	return sum;
}

/* Is there a request without an answer? Relaxed. */
HK_INLINE bool hk_control_waits(void)
{
	return atomic_load_explicit(&hk_control.asked, memory_order_relaxed) !=
	       atomic_load_explicit(&hk_control.done, memory_order_relaxed);
}

/* Between these two calls no other thread makes changes, unless they take very long: a thread
 * may leave them by a jump out of a signal handler, or end, and never make the second call. Then
 * two threads may make changes at the same time, which at worst are made twice. False: another
 * thread makes changes. */
bool hk_control_begin(void);
void hk_control_end(void);
/* In the child of a fork, in which that other thread does not exist. A request that it had not
 * answered is carried out again. */
void hk_control_forked(void);

/* Copies the request. HK_CHANGED: it is whole, and its texts end. */
enum hk_verdict hk_control_read(struct hk_request *r);
void hk_control_answer(uint32_t asked, uint32_t refused, enum hk_verdict verdict, uint64_t released, bool stacks,
		       const struct hk_kept *kept);

#endif
