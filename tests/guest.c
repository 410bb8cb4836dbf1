/*
 * What a program may expect of its malloc besides memory: no cancellation
 * where glibc has none, forks that cost nothing for threads that are gone,
 * memory up to the limit of the address space, no wait for others' frees.
 */
#include "guest.h"

#include <hakmem/hakmem.h>

static FILE *out;

static void report_stats(void)
{
	malloc_stats();
}

static void report_info(void)
{
	malloc_info(0, out);
}

static void report_dump(void)
{
	hak_stats_dump();
	hak_learn_save();
}

static void report_text(void *unused, const char *text, size_t length)
{
	(void)unused;
	(void)text;
	(void)length;
}

static void report_json(void)
{
	hak_stats_json(report_text, NULL);
	malloc_trim(0);
	mallinfo2();
}

static pthread_barrier_t together;
static _Atomic bool past;

/* The request is there before the report begins. */
static void *cancelled(void *report)
{
	pthread_barrier_wait(&together);
	(*(void (**)(void))report)();
	past = true;
	return NULL;
}

static void not_cancelled(void (*report)(void))
{
	int errors = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pthread_t id;
	void *end;

	/* No buffer: each piece is written at once. */
	out = fdopen(dup(null), "w");
	setvbuf(out, NULL, _IONBF, 0);
	dup2(null, STDERR_FILENO);	/* for reports, not for fail */
	free(hide(malloc(100)));
	pthread_barrier_init(&together, NULL, 2);
	start_thread(&id, cancelled, &report);
	pthread_cancel(id);
	pthread_barrier_wait(&together);
	pthread_join(id, &end);
	dup2(errors, STDERR_FILENO);
	if (end == PTHREAD_CANCELED || !past)
		fail("it was cancelled\n");
}

static void stats_not_cancelled(void)
{
	not_cancelled(report_stats);
}

static void info_not_cancelled(void)
{
	not_cancelled(report_info);
}

static void dump_not_cancelled(void)
{
	not_cancelled(report_dump);
}

static void json_not_cancelled(void)
{
	not_cancelled(report_json);
}

/* Statistics are dumped there. */
static void exit_here(void)
{
	exit(0);
}

static void exit_not_cancelled(void)
{
	not_cancelled(exit_here);
}

enum { GONE = 2000, FORKS = 10 };

static long faults(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return usage.ru_minflt;
}

/* Of one fork, in the parent or its children. */
static long faults_of_fork(int who)
{
	long before = faults(who);
	int i;

	for (i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (child_end(pid))
			fail("a child failed\n");
		step();
	}
	return (faults(who) - before) / FORKS;
}

static void *meet(void *unused)
{
	void *p = hide(malloc(1000));

	pthread_barrier_wait(&together);
	free(p);
	return unused;
}

/* All at the same time, so that each has a cache of its own. */
static void come_and_go(void)
{
	static pthread_t id[GONE];
	pthread_attr_t small;
	unsigned i;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 * KB);
	pthread_barrier_init(&together, NULL, GONE);
	for (i = 0; i < GONE; i++) {
		if (pthread_create(&id[i], &small, meet, NULL))
			guest_skip("so many threads are not allowed here");
		step();
	}
	for (i = 0; i < GONE; i++)
		pthread_join(id[i], NULL);
}

static void former_threads(void)
{
	long parent = faults_of_fork(RUSAGE_SELF), child = faults_of_fork(RUSAGE_CHILDREN);

	come_and_go();
	usleep(200000);
	parent = faults_of_fork(RUSAGE_SELF) - parent;
	child = faults_of_fork(RUSAGE_CHILDREN) - child;
	if (parent > 500 || child > 500)
		fail("a fork has %ld page faults more in the parent, %ld in the child\n", parent, child);
}

/* How many threads began and used the heap. */
static _Atomic unsigned long begun;
static _Atomic int freeing;

static void *begin(void *unused)
{
	if (!use_many())
		fail("no memory in a thread\n");
	begun++;
	return unused;
}

static void *free_block(void *block)
{
	freeing = 1;
	free(block);
	freeing = 2;
	return NULL;
}

/* How many threads began while the block was on its way; *took: seconds. */
static unsigned long begun_meanwhile(void *block, double *took)
{
	unsigned long before;
	pthread_t id, other;

	freeing = 0;
	start_thread(&id, free_block, block);
	while (!freeing)
		;
	before = begun;
	*took = seconds_now();
	while (freeing == 1) {
		start_thread(&other, begin, NULL);
		pthread_join(other, NULL);
		step();
	}
	*took = seconds_now() - *took;
	pthread_join(id, NULL);
	return begun - before;
}

/* Counted, not timed. On a busy machine one attempt may fail by chance. */
static void others_go_on(void)
{
	enum { ATTEMPTS = 5 };
	unsigned long most = 0;
	pthread_t other;
	double took = 0;
	int i;

	begin(NULL);
	start_thread(&other, begin, NULL);
	pthread_join(other, NULL);
	for (i = 0; i < ATTEMPTS && most < 2; i++) {
		void *block = hide(malloc(GB));

		if (!block)
			guest_skip("no gigabyte here");
		for (size_t at = 0; at < GB; at += 4 * KB, at % (64 * MB) || (step(), 0))
			((char *)block)[at] = 1;
		most = begun_meanwhile(block, &took);
		if (took < 0.05)
			guest_skip("the free was too quick");
	}
	if (most < 2)
		fail("%lu threads began in %u ms\n", most, (unsigned)(took * 1000));
}

/* The soft limit, which can be raised again. */
static void limit_space(size_t left)
{
	struct rlimit l;

	getrlimit(RLIMIT_AS, &l);
	l.rlim_cur = address_space() + left;
	if (setrlimit(RLIMIT_AS, &l))
		fail("setrlimit: errno %d\n", errno);
}

/* Classes that have no slab yet, where every SuperSlab is full and no other fits. */
static void near_the_limit(void)
{
	static const size_t size[] = { 400, 900, 1500, 2500, 6000, 20000 };
	size_t i;

	limit_space(0);
	while (hide(malloc(1000)))
		;
	limit_space(1536 * KB);
	for (i = 0; i < sizeof size / sizeof *size; i++)
		if (!hide(malloc(size[i])))
			fail("no %zu bytes with 1.5 MiB left\n", size[i]);
}

/* Fills what the limit leaves, then asks for small blocks of many classes. */
static void at_the_limit(void)
{
	const char *profile = getenv("HAKMEM_PROFILE");
	size_t got = 0;

	if (profile && !strcmp(profile, "hardened"))
		guest_skip("a MiB and its guard take two of addresses");
	free(hide(malloc(100)));
	limit(RLIMIT_AS, 200 * MB);
	while (hide(malloc(MB)))
		got++;
	if (got < 180)
		fail("%zu of 200 MiB\n", got);
	if (!hide(malloc(40)))
		fail("no 40 bytes when no MiB is left\n");
}

static void grows_to_the_limit(void)
{
	char *p = NULL, *grown;
	size_t size = 0;

	limit(RLIMIT_AS, 1000 * MB);
	while ((grown = (char *)hide(realloc(hide(p), size + 10 * MB)))) {
		p = grown;
		size += 10 * MB;
		p[size - 1] = 1;
		step();
	}
	if (size < 900 * MB)
		fail("realloc reached %zu of 1000 MiB\n", size / MB);
	free(p);
}

/* The options that glibc does not know as well. */
static void unknown_option(void)
{
	static const int option[] = { -99, 99, 0, 2, -9, 12345 };
	unsigned i;

	for (i = 0; i < sizeof option / sizeof *option; i++)
		if (mallopt(option[i], 0) != 1)
			fail("mallopt(%d, 0) is not 1\n", option[i]);
}

int main(int argc, char **argv)
{
	struct guest guest[] = {
		{ "stats", stats_not_cancelled, "malloc_stats is no cancellation point", NULL, NULL, true, 0 },
		{ "info", info_not_cancelled, "nor is malloc_info", NULL, NULL, true, 0 },
		{ "dump", dump_not_cancelled, "nor are hak_stats_dump and hak_learn_save",
		  "HAKMEM_STATS_DUMP", "/dev/null", true, 0 },
		{ "json", json_not_cancelled, "nor are hak_stats_json and malloc_trim", NULL, NULL, true, 0 },
		{ "exit", exit_not_cancelled, "nor is the dump at exit", "HAKMEM_STATS_DUMP", "/dev/null", true, 0 },
		{ "gone", former_threads, "a fork after 2000 threads that are gone", NULL, NULL, true, 0 },
		{ "stall", others_go_on, "threads begin while a gigabyte is freed", NULL, NULL, true, 0 },
		{ "near", near_the_limit, "small blocks with less than 4 MiB left", NULL, NULL, true, 0 },
		{ "at", at_the_limit, "the heap reaches the limit", NULL, NULL, true, 0 },
		{ "grows", grows_to_the_limit, "realloc reaches the limit", NULL, NULL, true, 0 },
		{ "option", unknown_option, "mallopt of an unknown option", NULL, NULL, false, 0 },
	};

	return guest_main(argc, argv, guest, sizeof guest / sizeof *guest);
}
