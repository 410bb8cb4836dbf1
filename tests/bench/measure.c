/*
 * Runs a command and writes what it cost into a file, as one line of JSON.
 * A program of its own because the kernel carries the peak RSS of a process
 * over execve: started from an interpreter, every small program would seem to
 * be as big as the interpreter. The peak is that of the largest process, the
 * other figures are sums over the command and the children it waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* The new process has LD_PRELOAD, this one has not. */
static char **environment(char **all, char *preload)
{
	size_t count = 0, i;
	char **copy;

	while (all[count])
		count++;
	copy = (char **)malloc((count + 2) * sizeof *copy);
	if (!copy)
		abort();
	for (i = count = 0; all[i]; i++)
		if (strncmp(all[i], "LD_PRELOAD=", 11))
			copy[count++] = all[i];
	if (strcmp(preload, "LD_PRELOAD="))
		copy[count++] = preload;
	copy[count] = NULL;
	return copy;
}

int main(int argc, char **argv, char **envp)
{
	struct timespec from, to;
	struct rusage use;
	int status = 0, report;
	long times;
	pid_t pid;

	if (argc < 5 || strncmp(argv[3], "LD_PRELOAD=", 11)) {
		fputs("Usage: measure REPORT TIMES LD_PRELOAD=[LIBRARY] COMMAND [ARGUMENT]...\n"
		      "Runs COMMAND so many times, one after the other, and writes the sums.\n", stderr);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	report = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (report < 0) {
		perror(argv[1]);
		return 1;
	}
	envp = environment(envp, argv[3]);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (times = strtol(argv[2], NULL, 10); times > 0 && !status; times--) {
		errno = posix_spawnp(&pid, argv[4], NULL, NULL, argv + 4, envp);
		if (errno) {
			perror(argv[4]);
			return 127;
		}
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	getrusage(RUSAGE_CHILDREN, &use);
	dprintf(report, "{\"wall\": %.6f, \"user\": %.6f, \"sys\": %.6f, \"peak_rss_kb\": %ld, "
			"\"minor_faults\": %ld, \"status\": %d, \"signal\": %d}\n",
		(double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9,
		seconds(use.ru_utime), seconds(use.ru_stime), use.ru_maxrss, use.ru_minflt,
		WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return 0;
}
