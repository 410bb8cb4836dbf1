/*
 * How much memory a program holds in all its ages. It grows to a given size
 * of live data, small and middle-sized objects mixed; replaces objects at
 * random; frees most of them at random; then sits idle. What is reported
 * beside the peak: the average over the time from start to the end of the
 * idle age, the resident size just after freeing, and at the end.
 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static uint64_t size = 1 << 30, churn = 200, freed = 90, idle = 2000;

static const struct bench_option options[] = {
	{ "size", BENCH_BYTES, &size, 1 << 16, UINT64_MAX / 2, "bytes live at the peak, all threads", NULL },
	{ "churn", BENCH_COUNT, &churn, 0, 1000000, "objects replaced, in percent of all", NULL },
	{ "freed", BENCH_COUNT, &freed, 0, 100, "objects freed before the idle age, in percent", NULL },
	{ "idle", BENCH_COUNT, &idle, 0, 86400000, "milliseconds", NULL },
	{ 0 },
};

enum { SAMPLE_US = 10000 };

static double sampled_at, weighted, first_sample;
static uint64_t last_kb, after_free_kb, idle_kb, live_kb;

/*
 * A timer signal and not a thread: with a second thread the process would no
 * longer be single-threaded, which some allocators use.
 */
static void sample(int signal)
{
	double now = bench_now();
	int saved = errno;

	(void)signal;
	weighted += (double)last_kb * (now - sampled_at);
	last_kb = bench_resident_kb();
	sampled_at = now;
	errno = saved;
}

static void sampling(bool on)
{
	struct itimerval every = { { 0, on ? SAMPLE_US : 0 }, { 0, on ? SAMPLE_US : 0 } };
	struct sigaction act = { .sa_handler = sample, .sa_flags = SA_RESTART };

	if (on) {
		first_sample = sampled_at = bench_now();
		last_kb = bench_resident_kb();
		sigaction(SIGALRM, &act, NULL);
	}
	setitimer(ITIMER_REAL, &every, NULL);
}

/* About 30, 26 and 44 percent of the bytes. */
static size_t pick(uint64_t r)
{
	uint64_t share = bench_scale(r >> 32, 100);

	if (share < 90)
		return 16 + bench_scale(r, 256 - 16);
	if (share < 99)
		return 256 + bench_scale(r, 2048 - 256);
	return 2048 + bench_scale(r, 32768 - 2048);
}

static void work(struct bench_worker *w)
{
	uint64_t most = size / bench_threads, live = 0, count = 0, i, at, r;
	uint64_t room = most / 64 + 64;

	w->slots = (void **)bench_map(room * sizeof *w->slots);
	for (; live < most && count < room; count++, w->ops++) {
		size_t bytes = pick(bench_random(&w->random));

		w->slots[count] = bench_block_paged(bytes, bytes);
		live += bytes;
	}
	for (i = count * churn / 100; i; i--, w->ops += 2) {
		r = bench_random(&w->random);
		at = bench_scale(r >> 32, count);
		r = pick(bench_random(&w->random));
		/* The mark of a block is its size: here the old one is not needed. */
		live -= *(bench_word *)w->slots[at];
		free(w->slots[at]);
		w->slots[at] = bench_block_paged(r, r);
		live += r;
	}
	for (i = count * freed / 100; i; i--, w->ops++) {
		at = bench_scale(bench_random(&w->random), count);
		live -= *(bench_word *)w->slots[at];
		free(w->slots[at]);
		w->slots[at] = w->slots[--count];
	}
	__atomic_fetch_add(&live_kb, live / 1024, __ATOMIC_RELAXED);
}

static void rest(struct bench_worker *w)
{
	struct timespec until;

	if (!w->number)
		after_free_kb = bench_resident_kb();
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(idle / 1000);
	until.tv_nsec += (long)(idle % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	if (!w->number) {
		idle_kb = bench_resident_kb();
		sampling(false);
		sample(0);
	}
}

int main(int argc, char **argv)
{
	struct bench_worker *workers;
	double seconds;

	bench_start(argc, argv, "Grows, churns, frees most, idles; reports resident memory.",
		    options);
	workers = bench_workers();
	sampling(true);
	seconds = bench_run(workers, NULL, work, rest);
	bench_report(bench_ops(workers), seconds, (struct bench_extra[]){
		{ "mean_rss_kb", (uint64_t)(weighted / (sampled_at - first_sample)) },
		{ "freed_rss_kb", after_free_kb },
		{ "idle_rss_kb", idle_kb },
		{ "idle_live_kb", live_kb },
		{ 0 },
	});
	return 0;
}
