/* Starts the processes of hakmem compare and records the end of their output. */
#include "cmd/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

sigset_t outside_mask;

/* Starts a process and waits until it has called exec; returns 0, or errno. */
static int start(pid_t *pid, char *const *argv, char *const *environment, const char *input, int out, int error)
{
	int ends[2], failed = 0, in;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	*pid = fork();
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		in = open(input, O_RDONLY);
		dup2(in, STDIN_FILENO);
		if (in > STDERR_FILENO)
			close(in);
		dup2(out, STDOUT_FILENO);
		dup2(error, STDERR_FILENO);
		sigprocmask(SIG_SETMASK, &outside_mask, NULL);
		execvpe(argv[0], argv, environment);
		failed = errno;
		if (write(ends[1], &failed, sizeof failed) < 0)
			_exit(RUN_NOWHERE);
		_exit(RUN_CANNOT);
	}
	failed = *pid < 0 ? errno : 0;
	close(ends[1]);
	if (*pid > 0 && read(ends[0], &failed, sizeof failed) != (ssize_t)sizeof failed)
		failed = 0;
	close(ends[0]);
	if (failed && *pid > 0)
		waitpid(*pid, NULL, 0);
	if (failed)
		*pid = 0;
	return failed;
}

void output_end(struct output *o)
{
	if (o->in >= 0)
		close(o->in);
	o->in = -1;
}

/* Without all, standard output goes to /dev/null: a pipe would slow down a program that
 * writes much. */
int spawn(struct output *o, pid_t *pid, char *const *argv, char *const *environment,
		       const char *input, bool all)
{
	int ends[2], nothing = open("/dev/null", O_WRONLY | O_CLOEXEC), failed;

	output_end(o);
	o->length = 0;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		failed = errno;
	} else {
		failed = start(pid, argv, environment, input, all ? ends[1] : nothing, ends[1]);
		close(ends[1]);
		o->in = ends[0];
		fcntl(o->in, F_SETFL, O_NONBLOCK);
	}
	close(nothing);
	return failed;
}

void output_read(struct output *o)
{
	char piece[4096];
	unsigned times;

	for (times = 0; times < 64 && o->in >= 0; times++) {
		ssize_t got = read(o->in, piece, sizeof piece);
		size_t keep, size;

		if (got < 0)
			return;
		if (got == 0) {
			output_end(o);
			return;
		}
		size = (size_t)got < sizeof o->tail ? (size_t)got : sizeof o->tail;
		keep = o->length + size > sizeof o->tail ? sizeof o->tail - size : o->length;
		memmove(o->tail, o->tail + o->length - keep, keep);
		memcpy(o->tail + keep, piece + got - size, size);
		o->length = keep + size;
	}
}

char *output_last(struct output *o)
{
	enum { LINES = 5 };
	char copy[sizeof o->tail + 1], *from, *line, *out = text("%s", ""), *more, *shown;
	unsigned lines = 0;

	output_read(o);
	while (o->length && o->tail[o->length - 1] == '\n')
		o->length--;
	if (!o->length) {
		free(out);
		return NULL;
	}
	memcpy(copy, o->tail, o->length);
	copy[o->length] = 0;
	for (from = copy + o->length; from > copy && lines < LINES; from--)
		lines += from[-1] == '\n';
	if (lines == LINES)
		from++;
	while ((line = strsep(&from, "\n"))) {
		shown = printable(line, 200);
		more = text("%s%s  %s", out, *out ? "\n" : "", shown);
		free(shown);
		free(out);
		out = more;
	}
	return out;
}

static char *signal_text(int number)
{
	static const struct {
		int number;
		const char *name;
	} signals[] = {
		{ SIGSEGV, "SEGV" }, { SIGABRT, "ABRT" }, { SIGBUS, "BUS" }, { SIGILL, "ILL" }, { SIGFPE, "FPE" },
		{ SIGKILL, "KILL" }, { SIGTERM, "TERM" }, { SIGTRAP, "TRAP" }, { SIGPIPE, "PIPE" }, { SIGSYS, "SYS" },
		{ SIGINT, "INT" }, { SIGHUP, "HUP" }, { SIGALRM, "ALRM" }, { SIGXCPU, "XCPU" }, { SIGXFSZ, "XFSZ" },
	};
	unsigned i;

	for (i = 0; i < sizeof signals / sizeof *signals; i++)
		if (signals[i].number == number)
			return text("killed by SIG%s", signals[i].name);
	return text("killed by signal %d", number);
}

/* How a process ended; NULL: it succeeded. A shell returns 128 plus the number of the signal
 * that killed its command. */
char *exit_text(int status)
{
	int code = WEXITSTATUS(status);
	char *killed, *out;

	if (WIFSIGNALED(status))
		return signal_text(WTERMSIG(status));
	if (code <= 128 || code >= 128 + NSIG)
		return code ? text("ended with status %d", code) : NULL;
	killed = signal_text(code - 128);
	out = text("ended with status %d, as if %s", code, killed);
	free(killed);
	return out;
}
