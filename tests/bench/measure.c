/*
 * Runs a command and writes what it cost into a file, as one line of JSON.
 * A program of its own because the kernel carries the peak RSS of a process
 * over execve: started from an interpreter, every small program would seem to
 * be as big as the interpreter. The peak is that of the largest process, and
 * so is the RSS over time; the other figures are sums over the command and the
 * children it waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLE_MS = 10, MOST_SAMPLES = 1 << 13, DEEPEST = 8, TEXT = 4096 };

static struct sample {
	double at;
	long kb;
} samples[MOST_SAMPLES];
static unsigned sampled;
static int sample_ms = SAMPLE_MS;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The text begins as the path of the file, and is empty if there is none. */
static void read_file(char text[TEXT])
{
	int fd = open(text, O_RDONLY | O_CLOEXEC);
	ssize_t got = -1;

	if (fd >= 0) {
		got = read(fd, text, TEXT - 1);
		close(fd);
	}
	text[got > 0 ? got : 0] = 0;
}

/* The RSS of the largest of a process and those that it started. */
static long largest_kb(pid_t pid, unsigned deep)
{
	char text[TEXT], *at, *end;
	long most = 0, kb;
	pid_t child;

	snprintf(text, TEXT, "/proc/%d/statm", (int)pid);
	read_file(text);
	at = strchr(text, ' ');
	if (at)
		most = strtol(at, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
	snprintf(text, TEXT, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	read_file(text);
	for (at = text; deep < DEEPEST && (child = (pid_t)strtol(at, &end, 10)) > 0 && *end == ' '; at = end) {
		kb = largest_kb(child, deep + 1);
		most = kb > most ? kb : most;
	}
	return most;
}

static void sample(pid_t pid)
{
	long kb = largest_kb(pid, 0);
	unsigned i;

	/* A process that ends has no memory any more. */
	if (!kb)
		return;
	if (sampled == MOST_SAMPLES) {
		for (i = 0; i < MOST_SAMPLES / 2; i++)
			samples[i] = samples[2 * i];
		sampled = MOST_SAMPLES / 2;
		sample_ms *= 2;
	}
	samples[sampled++] = (struct sample){ now(), kb };
}

/* Waits for the process and samples it; false if it cannot be waited for. */
static bool watch(pid_t pid, int *status)
{
	struct pollfd end = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	pid_t got;

	/* Before Linux 5.3 there is no descriptor: poll ignores it then. */
	do {
		if (!poll(&end, 1, sample_ms))
			sample(pid);
		got = waitpid(pid, status, WNOHANG);
	} while (!got || (got < 0 && errno == EINTR));
	if (end.fd >= 0)
		close(end.fd);
	return got > 0;
}

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
	struct rusage use;
	double from, to;
	int status = 0, report;
	unsigned i;
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
	from = now();
	for (times = strtol(argv[2], NULL, 10); times > 0 && !status; times--) {
		errno = posix_spawnp(&pid, argv[4], NULL, NULL, argv + 4, envp);
		if (errno) {
			perror(argv[4]);
			return 127;
		}
		if (!watch(pid, &status))
			return 1;
	}
	to = now();
	getrusage(RUSAGE_CHILDREN, &use);
	dprintf(report, "{\"wall\": %.6f, \"user\": %.6f, \"sys\": %.6f, \"peak_rss_kb\": %ld, "
			"\"minor_faults\": %ld, \"status\": %d, \"signal\": %d, \"samples\": [",
		to - from, seconds(use.ru_utime), seconds(use.ru_stime), use.ru_maxrss, use.ru_minflt,
		WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	for (i = 0; i < sampled; i++)
		dprintf(report, "%s[%.3f, %ld]", i ? ", " : "", samples[i].at, samples[i].kb);
	dprintf(report, "]}\n");
	return 0;
}
