/* Runs a program in a child as if it had replaced this process. */
#include "cmd/leaks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };

/* What the terminal sends reaches the child too, so that only signals of processes are passed on. */
static int wait_for(pid_t child, const sigset_t *waited)
{
	siginfo_t info;
	int status = 0, number;

	while (waitpid(child, &status, WNOHANG) == 0) {
		number = sigwaitinfo(waited, &info);
		if (number > 0 && number != SIGCHLD && info.si_code <= 0)
			kill(child, number);
	}
	return status;
}

static void in_child(const struct args *a, int (*become)(const struct args *a), pid_t parent, int out)
{
	int failed;

	/* A program that had replaced the parent would be killed with it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(RUN_FAILED);
	failed = become(a);
	if (write(out, &failed, sizeof failed) < 0)
		_exit(RUN_FAILED);
	_exit(failed);
}

struct child child_run(const struct args *a, int (*become)(const struct args *a))
{
	struct child child = { .failed = RUN_FAILED };
	struct sigaction usual = { .sa_handler = SIG_DFL }, before;
	sigset_t waited, outside;
	pid_t parent = getpid();
	int ends[2], failed;
	unsigned i;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return child;
	sigemptyset(&waited);
	sigaddset(&waited, SIGCHLD);
	for (i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		sigaddset(&waited, passed_on[i]);
	/* If it is ignored, the kernel discards the status of children. */
	sigaction(SIGCHLD, &usual, &before);
	sigprocmask(SIG_BLOCK, &waited, &outside);
	child.pid = fork();
	if (child.pid == 0) {
		sigaction(SIGCHLD, &before, NULL);
		sigprocmask(SIG_SETMASK, &outside, NULL);
		in_child(a, become, parent, ends[1]);
	}
	close(ends[1]);
	if (child.pid > 0) {
		child.failed = read(ends[0], &failed, sizeof failed) == (ssize_t)sizeof failed ? failed : 0;
		child.status = wait_for(child.pid, &waited);
	} else {
		warn("cannot start a process");
	}
	close(ends[0]);
	return child;
}

/* The program has dumped core, if any is wanted. */
void child_signal(int number)
{
	struct rlimit none = { 0, 0 };
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t one;

	setrlimit(RLIMIT_CORE, &none);
	sigaction(number, &usual, NULL);
	sigemptyset(&one);
	sigaddset(&one, number);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	raise(number);
}
