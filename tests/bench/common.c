#include "common.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t bench_threads = 1, bench_seed = 1, bench_quiet_ms;

static double quiet_from;
static uint64_t idle_kb;
static bool as_json, was_quiet;
static pthread_barrier_t gate;
static bench_part *parts[3];

static const struct bench_option shared[] = {
	{ "threads", BENCH_COUNT, &bench_threads, 1, 4096, "threads that work", NULL },
	{ "seed", BENCH_COUNT, &bench_seed, 0, UINT64_MAX, "of the random numbers", NULL },
	{ "quiet", BENCH_COUNT, &bench_quiet_ms, 0, 86400000, "milliseconds of a wait before the end", NULL },
};

enum { SHARED = sizeof shared / sizeof *shared, MOST = 24, JSON = 1000, HELP };

void bench_die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static _Noreturn void bad_usage(const char *what, const char *which)
{
	fprintf(stderr, "%s: %s %s; --help lists the options\n",
		program_invocation_short_name, what, which);
	exit(2);
}

static void number(const struct bench_option *o, const char *text)
{
	uint64_t factor = 1, step = o->unit == BENCH_BYTES ? 1024 : 1000, value;
	char *end;

	if (o->names) {
		for (value = 0; value < o->most && strcmp(text, o->names[value]); value++)
			;
		if (strcmp(text, o->names[value]))
			bad_usage("bad value for", o->name);
		*o->value = value;
		return;
	}
	errno = 0;
	value = strtoull(text, &end, 0);
	switch (*end) {
	case 'g': case 'G':
		factor *= step;
		/* fall through */
	case 'm': case 'M':
		factor *= step;
		/* fall through */
	case 'k': case 'K':
		factor *= step;
		end++;
	}
	if (errno || *text < '0' || *text > '9' || *end ||
	    __builtin_mul_overflow(value, factor, &value) ||
	    value < o->least || value > o->most)
		bad_usage("bad value for", o->name);
	*o->value = value;
}

static void help(const char *about, const struct bench_option *all, unsigned count)
{
	uint64_t n;
	unsigned i;

	printf("Usage: %s [OPTION]...\n%s\n\n", program_invocation_short_name, about);
	for (i = 0; i < count; i++) {
		printf("  --%-12s %s", all[i].name, all[i].help);
		for (n = 0; all[i].names && n <= all[i].most; n++)
			printf("%s %s", n ? "," : ":", all[i].names[n]);
		if (all[i].names)
			printf(" (%s)\n", all[i].names[*all[i].value]);
		else
			printf(" (%llu)\n", (unsigned long long)*all[i].value);
	}
	puts("  --json         print the result as one line of JSON\n"
	     "  --help         print this\n\n"
	     "Numbers may end in k, m or g. One operation is one call of malloc or free.");
	exit(fflush(stdout) ? 1 : 0);
}

void bench_start(int argc, char **argv, const char *about,
		 const struct bench_option *table)
{
	struct bench_option all[MOST];
	struct option names[MOST + 3];
	unsigned count = 0, i;
	int found;

	for (; table->name && count < MOST - SHARED; table++)
		all[count++] = *table;
	for (i = 0; i < SHARED; i++)
		all[count++] = shared[i];
	for (i = 0; i < count; i++)
		names[i] = (struct option){ all[i].name, required_argument, NULL, (int)i };
	names[i++] = (struct option){ "json", no_argument, NULL, JSON };
	names[i++] = (struct option){ "help", no_argument, NULL, HELP };
	names[i] = (struct option){ NULL, 0, NULL, 0 };

	while ((found = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (found == JSON)
			as_json = true;
		else if (found == HELP)
			help(about, all, count);
		else if (found == '?')
			exit(2);
		else
			number(&all[found], optarg);
	}
	if (optind < argc)
		bad_usage("unexpected argument", argv[optind]);
}

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void *bench_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		bench_die("mmap of %zu bytes: %s", bytes, strerror(errno));
	return p;
}

/* stdio would allocate from the heap that is measured. */
static void read_proc(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, room - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = 0;
}

static uint64_t decimal(const char *text)
{
	uint64_t value = 0;

	while (*text == ' ' || *text == '\t')
		text++;
	while (*text >= '0' && *text <= '9')
		value = value * 10 + (uint64_t)(*text++ - '0');
	return value;
}

uint64_t bench_resident_kb(void)
{
	char text[128], *space;

	read_proc("/proc/self/statm", text, sizeof text);
	space = strchr(text, ' ');
	return space ? decimal(space) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024) : 0;
}

void bench_quiet(void)
{
	bool first = !__atomic_exchange_n(&was_quiet, true, __ATOMIC_RELAXED);
	struct timespec rest = { (time_t)(bench_quiet_ms / 1000), (long)(bench_quiet_ms % 1000) * 1000000 };

	if (first)
		quiet_from = bench_now();
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
		;
	if (first)
		idle_kb = bench_resident_kb();
}

/*
 * Not ru_maxrss: execve carries that over from the process image before, so
 * a small program would show the size of the harness that started it.
 */
static uint64_t peak_kb(void)
{
	char text[4096], *line;

	read_proc("/proc/self/status", text, sizeof text);
	line = strstr(text, "VmHWM:");
	return line ? decimal(line + 6) : 0;
}

uint64_t bench_seed_for(unsigned number)
{
	uint64_t z = (bench_seed + 1) * 0x9e3779b97f4a7c15ULL + number * 0xd1342543de82ef95ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (z ^ z >> 31) | 1;
}

struct bench_worker *bench_workers(void)
{
	struct bench_worker *w = (struct bench_worker *)bench_map(bench_threads * sizeof *w);
	unsigned i;

	for (i = 0; i < bench_threads; i++) {
		w[i].number = i;
		w[i].random = bench_seed_for(i);
	}
	return w;
}

static void *run_parts(void *arg)
{
	/* A copy, so that two workers never write to one cache line. */
	struct bench_worker mine = *(struct bench_worker *)arg;

	if (parts[0])
		parts[0](&mine);
	pthread_barrier_wait(&gate);
	mine.start = bench_now();
	parts[1](&mine);
	mine.end = bench_now();
	pthread_barrier_wait(&gate);
	if (parts[2])
		parts[2](&mine);
	mine.id = ((struct bench_worker *)arg)->id;
	*(struct bench_worker *)arg = mine;
	return NULL;
}

double bench_run(struct bench_worker *w, bench_part *prepare,
		 bench_part *work, bench_part *finish)
{
	double start, end;
	unsigned i;

	parts[0] = prepare;
	parts[1] = work;
	parts[2] = finish;
	pthread_barrier_init(&gate, NULL, (unsigned)bench_threads);

	/* One worker is the main thread: the process stays single-threaded. */
	if (bench_threads == 1)
		run_parts(w);
	for (i = 0; bench_threads > 1 && i < bench_threads; i++)
		if (pthread_create(&w[i].id, NULL, run_parts, &w[i]))
			bench_die("cannot start thread %u", i);
	for (i = 0; bench_threads > 1 && i < bench_threads; i++)
		pthread_join(w[i].id, NULL);

	start = w[0].start;
	end = w[0].end;
	for (i = 1; i < bench_threads; i++) {
		start = w[i].start < start ? w[i].start : start;
		end = w[i].end > end ? w[i].end : end;
	}
	return end - start;
}

uint64_t bench_ops(const struct bench_worker *w)
{
	uint64_t ops = 0;
	unsigned i;

	for (i = 0; i < bench_threads; i++)
		ops += w[i].ops;
	return ops;
}

static double in_seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

void bench_report(uint64_t ops, double seconds, const struct bench_extra *extra)
{
	const char *format = as_json ? ", \"%s\": %llu" : "%-16s %llu\n";
	double mops = seconds > 0 ? (double)ops / seconds / 1e6 : 0;
	uint64_t peak = peak_kb();
	Dl_info from = { 0 };
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	if (bench_quiet_ms && !was_quiet)
		bench_quiet();
	/* Asked of the linker, because that is who decides whose malloc runs. */
	if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &from) || !from.dli_fname)
		from.dli_fname = "unknown";

	printf(as_json ? "{\"bench\": \"%s\", \"malloc\": \"%s\", \"threads\": %llu, "
			 "\"seed\": %llu, \"ops\": %llu, \"seconds\": %.6f, \"mops\": %.3f, "
			 "\"peak_rss_kb\": %llu, \"minor_faults\": %ld, \"user\": %.6f, "
			 "\"sys\": %.6f"
		       : "%s with malloc of %s\nthreads          %llu\nseed             %llu\n"
			 "operations       %llu\nseconds          %.3f\nmillion ops/s    %.2f\n"
			 "peak RSS, KB     %llu\nminor faults     %ld\nuser seconds     %.3f\n"
			 "system seconds   %.3f\n",
	       program_invocation_short_name, from.dli_fname,
	       (unsigned long long)bench_threads, (unsigned long long)bench_seed,
	       (unsigned long long)ops, seconds, mops, (unsigned long long)peak,
	       use.ru_minflt, in_seconds(use.ru_utime), in_seconds(use.ru_stime));
	if (bench_quiet_ms) {
		printf(format, "idle_rss_kb", (unsigned long long)idle_kb);
		printf(format, "quiet_from_ms", (unsigned long long)(quiet_from * 1e3));
	}
	for (; extra && extra->name; extra++)
		printf(format, extra->name, (unsigned long long)*extra->value);
	if (as_json)
		puts("}");
	if (fflush(stdout))
		exit(1);
}

void bench_all(bench_part *prepare, bench_part *work, bench_part *finish)
{
	bench_all_with(prepare, work, finish, NULL);
}

void bench_all_with(bench_part *prepare, bench_part *work, bench_part *finish, const struct bench_extra *extra)
{
	struct bench_worker *workers = bench_workers();
	double seconds = bench_run(workers, prepare, work, finish);

	bench_report(bench_ops(workers), seconds, extra);
}
