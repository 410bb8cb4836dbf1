/*
 * Requests that another process writes into the control block: each is carried out once, as a whole
 * or not at all, whatever the block contains and whatever the threads do at that time. The test is
 * linked with the library, and writes the block itself.
 */
#include "child.h"
#include "heap.h"

#include "cache/cache.h"
#include "config/control.h"
#include "config/settings.h"
#include "learn/learn.h"
#include "pool/eager.h"
#include "range/decay.h"
#include "sample/sample.h"

#include <hakmem/hakmem.h>

enum { MEAN = 4096, THREADS = 4 };

static uint32_t number;			/* of the last request */
static struct hk_request request;

static void change(const char *name, const char *value)
{
	struct hk_change *c = &request.change[request.count++];

	snprintf(c->name, sizeof c->name, "%s", name);
	snprintf(c->value, sizeof c->value, "%s", value);
}

static void put_request(void)
{
	hk_control.count = request.count;
	hk_control.sum = request.sum;
	memcpy(hk_control.change, request.change, sizeof request.change);
	atomic_store(&hk_control.asked, request.asked);
	memset(&request, 0, sizeof request);
}

/* As the command writes it. */
static void ask(void)
{
	request.asked = ++number;
	request.sum = hk_request_sum(&request);
	put_request();
}

static bool answered(void)
{
	return atomic_load(&hk_control.done) == number;
}

static void take_and_free(size_t size, unsigned times)
{
	while (times--) {
		void *volatile p = malloc(size);

		free(p);
	}
}

/* However long the lists have become. */
static void reach_slow_path(void)
{
	take_and_free(300000, 1);
}

static bool answer_is(enum hk_verdict verdict, uint32_t refused)
{
	unsigned n;

	/* Another thread may be carrying it out. */
	for (n = 0; n < 10000 && (n == 0 || !answered()); n++) {
		reach_slow_path();
		if (!answered())
			usleep(100);
	}
	if (answered() && hk_control.verdict == (uint32_t)verdict && hk_control.refused == refused)
		return true;
	diag("  request %u, answer to %u: %u, change %u", number, (unsigned)hk_control.done,
	     (unsigned)hk_control.verdict, (unsigned)hk_control.refused);
	return false;
}

static bool set(const char *name, const char *value)
{
	change(name, value);
	ask();
	return answer_is(HK_CHANGED, 0);
}

static size_t taken(void)
{
	return atomic_load(&hk_sample_counters.taken);
}

static uint64_t live(void)
{
	struct hk_sample_table *t = hk_sample_table;
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; t && i < t->sites; i++)
		sum += t->site[i].live.samples;
	return sum;
}

/* Does the hot path of this thread find its lists? */
static bool finds_lists(void)
{
	return hk_bin_for(hk_tls, 64) == &hk_tls->bin[hk_class_of(64)];
}

static void test_on_and_off(void)
{
	size_t before = taken();
	void *kept[200];
	unsigned i;

	take_and_free(64, 100000);
	ok(taken() == before && (finds_lists() || hk_harden), "while the sampler is off, nothing is sampled");
	ok(set("SAMPLE", "4096") && hk_settings.sample == MEAN && hk_setting_source(HK_SET_SAMPLE)[0] == 'c',
	   "a request turns it on");
	take_and_free(64, 100000);
	ok(taken() - before > 100000 * 64 / MEAN / 2 && !finds_lists(), "then the hot path is sampled");
	for (i = 0; i < 200; i++)
		kept[i] = malloc(3000);
	ok(set("SAMPLE", "0"), "another request turns it off");
	before = taken();
	take_and_free(64, 100000);
	ok(taken() == before && (finds_lists() || hk_harden), "then nothing is sampled, and the hot path finds its lists again");
	ok(live() > 20, "the samples stay recorded");
	for (i = 0; i < 200; i++)
		free(kept[i]);
	ok(live() == 0, "until their blocks are freed");
}

static void test_other_distance(void)
{
	size_t before;

	set("SAMPLE", "1073741824");
	take_and_free(64, 1000);
	set("SAMPLE", "4096");
	before = taken();
	take_and_free(64, 100000);
	ok(taken() - before > 100000 * 64 / MEAN / 2 && hk_sample_table->mean == MEAN && hk_sample_table->mixed,
	   "a shorter distance is in force at once");
	set("SAMPLE", "0");
}

static _Atomic bool stop;
static _Atomic unsigned turns;

/* Frees and takes one block, so that it never reaches a slow path of its own. */
static void *one_block(void *unused)
{
	small_activity();
	while (!atomic_load(&stop)) {
		take_and_free(64, 100);
		atomic_fetch_add(&turns, 1);
	}
	return unused;
}

static void wait_for_turns(unsigned n)
{
	unsigned from = atomic_load(&turns);

	while (atomic_load(&turns) - from < n)
		usleep(100);
}

static void test_other_thread(void)
{
	pthread_t id;
	size_t before;

	if (pthread_create(&id, NULL, one_block, NULL) != 0)
		bail("cannot start a thread");
	wait_for_turns(10);
	set("SAMPLE", "4096");
	before = taken();
	wait_for_turns(100);
	ok(taken() > before, "a thread that never reaches a slow path is sampled too");
	set("SAMPLE", "0");
	wait_for_turns(2);
	before = taken();
	wait_for_turns(100);
	ok(taken() == before, "and no longer after the sampler is off");
	atomic_store(&stop, true);
	pthread_join(id, NULL);
	atomic_store(&stop, false);
}

/* Blocks of all sizes, whose contents are checked. */
static void *work(void *arg)
{
	enum { BLOCKS = 64 };
	uint64_t seed = (uintptr_t)arg;
	void *block[BLOCKS] = { NULL };
	size_t size[BLOCKS] = { 0 };
	bool good = true;
	unsigned i;

	while (!atomic_load(&stop)) {
		i = (unsigned)random_below(&seed, BLOCKS);
		good = good && (!block[i] || filled(block[i], size[i], i));
		free(block[i]);
		size[i] = random_size(&seed, 100000);
		block[i] = malloc(size[i]);
		if (block[i])
			fill(block[i], size[i], i);
		good = good && block[i];
		atomic_fetch_add(&turns, 1);
	}
	for (i = 0; i < BLOCKS; i++)
		free(block[i]);
	return good ? NULL : arg;
}

/* The settings change with different periods, so that many combinations occur. */
static void change_in_cycle(unsigned i)
{
	change("SAMPLE", i % 2 ? "0" : i % 4 ? "512" : "65536");
	change("ALLOC_LEARN", i / 2 % 2 ? "0" : "1");
	change("ALLOC_LEARN_WINDOW", i % 3 ? "200" : "1000");
	change("MEM_LEARN", i / 4 % 2 ? "0" : "1");
	change("MEM_LEARN_THRESHOLD", i % 5 ? "0.2" : "0.9");
	change("SCAVENGER", i / 8 % 2 ? "0" : "1");
}

static void test_cycles(void)
{
	enum { CYCLES = 200 };
	pthread_t id[THREADS];
	void *result;
	bool good = true;
	unsigned i, n;

	for (i = 0; i < THREADS; i++)
		if (pthread_create(&id[i], NULL, work, (void *)(uintptr_t)(i + 1)) != 0)
			bail("cannot start a thread");
	for (i = 0; i < CYCLES; i++) {
		change_in_cycle(i);
		ask();
		wait_for_turns(200);
		for (n = 0; !answered() && n < 100000; n++) {
			reach_slow_path();
			usleep(100);
		}
		good = good && hk_control.verdict == HK_CHANGED;
		if (i % 10 == 0)
			free_elsewhere(malloc(100));
	}
	atomic_store(&stop, true);
	for (i = 0; i < THREADS; i++) {
		pthread_join(id[i], &result);
		good = good && !result;
	}
	atomic_store(&stop, false);
	ok(good, "on and off under threads: every block keeps its contents");
	small_activity();
	ok(!hk_sampling() && live() == 0, "and no sample stays");
	set("SCAVENGER", "0");
	set("MEM_LEARN", "0");
	set("ALLOC_LEARN", "0");
}

static void test_refused(void)
{
	unsigned before = hk_settings.sample;

	change("NO_SUCH", "1");
	ask();
	ok(answer_is(HK_NO_SETTING, 1), "a setting that does not exist is refused");
	change("SAMPLE", "512");
	change("DEBUG_LEVEL", "1");
	ask();
	ok(answer_is(HK_FIXED, 2) && hk_settings.sample == before, "one that cannot change too, and nothing is changed");
	change("SAMPLE", "-1");
	ask();
	ok(answer_is(HK_BAD_VALUE, 1), "and a bad value");
	change("trim", "1");
	ask();
	ok(answer_is(HK_BAD_VALUE, 1), "trim takes no value");
	ask();
	ok(answer_is(HK_CHANGED, 0), "a request without changes is answered");
}

static void test_garbled(void)
{
	change("SAMPLE", "512");
	request.asked = ++number;
	request.sum = hk_request_sum(&request) + 1;
	put_request();
	ok(answer_is(HK_GARBLED, 1) && !hk_sampling(), "a request with a wrong checksum is refused");
	request.count = UINT32_MAX;
	ask();
	ok(answer_is(HK_GARBLED, 1), "one with too many changes too");
	change("SAMPLE", "512");
	memset(request.change, 'S', sizeof request.change);
	ask();
	ok(answer_is(HK_GARBLED, 1), "and names or values without a NUL");
}

static void test_api(void)
{
	char value[32];

	ok(hak_setting_changed("HAKMEM_LIMIT") == 0 && hak_set("HAKMEM_LIMIT", "64M") == 0 &&
	   hak_setting_changed("HAKMEM_LIMIT") == 1 && !strcmp(hak_setting_source("HAKMEM_LIMIT"), "change"),
	   "a program changes a setting");
	ok(hak_setting("HAKMEM_LIMIT", value, sizeof value) == 3 && !strcmp(value, "64M") && !hide(malloc(100 * MB)) &&
	   errno == ENOMEM, "and it is in force");
	ok(hak_set("HAKMEM_LIMIT", "none") == 0 && hak_set_limit(0) == 0, "and it can be removed");
	ok(hak_set("HAKMEM_MEM_LEARN_DELAY", "20") == 0 && hk_purge_delay == 20, "the purge delay");
	ok(hak_set("HAKMEM_STATS_ENABLE", "1") == 0 && hk_settings.stats, "the history, by its older spelling");
	ok(hak_set("HAKMEM_DEBUG_LEVEL", "1") == -1 && errno == EPERM && !hak_setting_changed("HAKMEM_DEBUG_LEVEL"),
	   "EPERM for a setting that cannot change");
	ok(hak_set("HAKMEM_STATS", "2") == -1 && errno == EINVAL, "EINVAL for a bad value");
	ok(hak_set("HAKMEM_NO_SUCH", "2") == -1 && errno == EINVAL && hak_setting_changed("") == -1, "and a bad name");
	hk_control_begin();
	ok(hak_set("HAKMEM_STATS", "0") == -1 && errno == EBUSY, "EBUSY while another thread makes changes");
	hk_control_end();
	ok(hak_set("HAKMEM_STATS", "0") == 0 && !hk_settings.stats, "and not afterwards");
}

static void test_scavenger(void)
{
	ok(set("SCAVENGER", "1") && hk_is_eager(), "once the scavenger is turned on, frees release memory while its thread does not run");
	ok(set("SCAVENGER", "0") && !hk_is_eager(), "and no longer once it is off");
}

enum { BLOCK = 64 };

static size_t windows(void)
{
	return atomic_load(&hk_learn_counters.windows);
}

/* Refills and flushes of one class. */
static void move_blocks(void)
{
	static _Thread_local void *p[10000];
	unsigned i;

	for (i = 0; i < 10000; i++)
		p[i] = malloc(BLOCK);
	for (i = 0; i < 10000; i++)
		free(p[i]);
}

static bool own_limit_is(int32_t capacity)
{
	return hk_tls->bin[hk_class_of(BLOCK)].capacity_max == capacity;
}

/* As if learned. */
static void lengthen_own_list(void)
{
	struct hk_cache *cache = hk_enter();

	if (!cache)
		bail("inside the heap");
	hk_bin_limit(cache, &cache->bin[hk_class_of(BLOCK)], 999, 9);
	hk_leave(cache);
}

static int32_t start_limit(void)
{
	return atomic_load(&hk_start_limits[hk_class_of(BLOCK)].capacity);
}

static pthread_barrier_t meeting;

static void *learn(void *configured)
{
	size_t before;

	small_activity();
	pthread_barrier_wait(&meeting);
	pthread_barrier_wait(&meeting);		/* learning is on */
	before = windows();
	move_blocks();
	move_blocks();
	ok(windows() > before && hk_tls->budget_held, "a thread that existed before learns");
	lengthen_own_list();
	pthread_barrier_wait(&meeting);
	pthread_barrier_wait(&meeting);		/* learning is off */
	reach_slow_path();
	ok(own_limit_is(*(int32_t *)configured) && !hk_tls->budget_held,
	   "once learning is off, the limits of its lists are those of the settings");
	return NULL;
}

static void test_alloc_learning(void)
{
	size_t before;
	int32_t configured;
	pthread_t id;

	set("ALLOC_LEARN", "0");
	configured = start_limit();
	pthread_barrier_init(&meeting, NULL, 2);
	if (pthread_create(&id, NULL, learn, &configured) != 0)
		bail("cannot start a thread");
	pthread_barrier_wait(&meeting);
	before = windows();
	move_blocks();
	ok(windows() == before, "without ALLOC learning there are no windows");
	change("ALLOC_LEARN_WINDOW", "1000");
	change("ALLOC_LEARN_RATE", "0.2");
	change("ALLOC_LEARN", "1");
	ask();
	ok(answer_is(HK_CHANGED, 0) && hk_settings.alloc_learn_rate == 200000, "it is turned on");
	pthread_barrier_wait(&meeting);
	pthread_barrier_wait(&meeting);		/* the thread has learned */
	move_blocks();
	move_blocks();
	lengthen_own_list();
	atomic_store(&hk_start_limits[hk_class_of(BLOCK)].capacity, 5);
	set("ALLOC_LEARN", "0");
	reach_slow_path();
	before = windows();
	move_blocks();
	ok(windows() == before && own_limit_is(configured), "it is turned off");
	ok(start_limit() == configured, "and new threads have the limits of the settings");
	pthread_barrier_wait(&meeting);
	pthread_join(id, NULL);
	ok(atomic_load(&hk_budget_held) == 0, "no part of the budget stays in use");
	pthread_barrier_destroy(&meeting);
	set("ALLOC_LEARN_WINDOW", "100000000");
	set("ALLOC_LEARN", "1");
	move_blocks();
	move_blocks();
	ok(windows() == before && set("ALLOC_LEARN_WINDOW", "1000"), "a longer window is in force");
	move_blocks();
	move_blocks();
	ok(windows() > before, "and a shorter one at once");
	set("ALLOC_LEARN", "0");
}

static _Atomic unsigned looks;

static void look(void)
{
	atomic_fetch_add(&looks, 1);
}

static void test_mem_learning(void)
{
	void (*usual)(void) = hk_hooks.look;
	unsigned before;

	set("MEM_LEARN", "0");
	hk_hooks.look = look;
	move_blocks();
	before = looks;
	move_blocks();
	ok(looks == before, "without MEM learning no SuperSlab is examined");
	ok(set("MEM_LEARN_WINDOW", "1000") && set("MEM_LEARN", "1"), "it is turned on");
	move_blocks();
	move_blocks();
	ok(looks > before, "then some are, in a thread that existed before");
	atomic_store(&hk_purge_delay, 777);
	set("MEM_LEARN", "0");
	ok(hk_purge_delay == hk_settings.mem_learn_delay, "once it is off, the purge delay is that of the settings");
	move_blocks();
	before = looks;
	move_blocks();
	ok(looks == before, "and none is examined");
	hk_hooks.look = usual;
	ok(set("MEM_LEARN_THRESHOLD", "0.9") && hk_mem_threshold() == 900000 && set("MEM_LEARN_THRESHOLD", "0.5") &&
	   hk_mem_threshold() == 500000, "another threshold is in force at once");
	ok(set("MEM_LEARN_SPARSE", "0.3") && hk_settings.mem_learn_sparse == 300000, "the share below which huge pages are given up");
	ok(set("MEM_LEARN_STABLE", "100") && hk_settings.mem_learn_stable == 100, "the time that a share must last");
	ok(set("MEM_LEARN_STEP", "1024") && hk_settings.mem_learn_step == 1024, "the SuperSlabs of a window");
}

static void test_profile(void)
{
	uint8_t harden = (uint8_t)hk_settings.harden;

	set("PROFILE", "adaptive");
	ok(set("PROFILE", "tight") && hk_settings.alloc_learn_window == 20000 && hk_settings.mem_learn_threshold == 900000 &&
	   !hk_settings.stats && hk_settings.profile == HK_PROFILE_TIGHT, "a profile changes its settings");
	hk_settings.given[HK_SET_STATS] = true;
	ok(set("PROFILE", "adaptive") && !hk_settings.stats && !strcmp(hk_control.kept.given, " STATS"),
	   "but not those that the environment gives, which are named");
	hk_settings.given[HK_SET_STATS] = false;
	ok(set("PROFILE", "hardened") && (harden == 3 || strstr(hk_control.kept.fixed, " HARDEN")) && hk_settings.harden == harden,
	   "nor those that only a start can set, which are named");
	set("SAMPLE", "4096");
	ok(set("PROFILE", "tight") && hk_settings.sample == MEAN, "nor those that no profile sets");
	set("SAMPLE", "0");
	change("PROFILE", "balanced");
	change("DEBUG_LEVEL", "1");
	ask();
	ok(answer_is(HK_FIXED, 2) && hk_settings.profile == HK_PROFILE_TIGHT && hk_settings.alloc_learn_window == 20000,
	   "a request that is refused changes nothing of a profile");
	change("PROFILE", "none");
	ask();
	ok(answer_is(HK_BAD_VALUE, 1), "a profile that does not exist is refused");
	ok(hak_set("HAKMEM_PROFILE", "default") == 0 && !hk_settings.alloc_learn && !hk_settings.scavenger,
	   "a program changes its profile");
}

/* As a thread leaves it that jumps out of a signal handler. */
static void begin_for_ever(void *unused)
{
	unsigned n;

	(void)unused;
	hk_control_begin();
	change("STATS", "1");
	ask();
	reach_slow_path();
	if (answered())
		fail("the changes have ended\n");
	for (n = 0; n < 30 && hak_set("HAKMEM_STATS", "1") != 0; n++)
		;
	if (n == 30 || !set("STATS", "0"))
		fail("no change is possible\n");
}

static void test_never_ended(void)
{
	child_ok(begin_for_ever, NULL, 60, "changes that never end stop others for a while only");
}

static void test_trim(void)
{
	void *volatile p = malloc(4 * MB);
	unsigned i;

	memset(p, 1, 4 * MB);
	free(p);
	for (i = 0; i < 2000; i++)
		take_and_free(20000, 1);
	ok(set("trim", ""), "free memory is released on request");
}

static void in_child(void *unused)
{
	(void)unused;
	reach_slow_path();
	if (!answered() || !hk_sampling())
		fail("request %u, done %u, sampling %d\n", number, (unsigned)hk_control.done, hk_sampling());
	if (!set("SAMPLE", "0") || hk_sampling())
		fail("cannot turn it off\n");
}

static void test_fork(void)
{
	set("SAMPLE", "4096");
	child_ok(in_child, NULL, 60, "a child inherits the sampler, and can turn it off");
	set("SAMPLE", "0");
	change("SAMPLE", "4096");
	ask();
	child_ok(in_child, NULL, 60, "a request that waits at a fork is carried out in the child");
	ok(answer_is(HK_CHANGED, 0) && hk_sampling(), "and in the parent");
	/* As a fork finds it while another thread makes changes. */
	hk_control_begin();
	change("SAMPLE", "4096");
	ask();
	child_ok(in_child, NULL, 60, "a fork during a change leaves nothing locked");
	hk_control_end();
	set("SAMPLE", "0");
}

static void handler(int unused)
{
	(void)unused;
	if (answered()) {
		change("SAMPLE", number % 2 ? "4096" : "0");
		ask();
	}
	free(hide(malloc(200000)));
	free(hide(malloc(100)));
}

static void test_handlers(void)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	uint32_t first = number;
	uint64_t seed = 7;
	unsigned i;
	bool good = true;

	signal(SIGPROF, handler);
	setitimer(ITIMER_PROF, &often, NULL);
	for (i = 0; i < 200000; i++) {
		size_t size = random_size(&seed, 50000);
		void *p = malloc(size);

		fill(p, size, i);
		good = good && filled(p, size, i);
		free(p);
	}
	setitimer(ITIMER_PROF, &never, NULL);
	signal(SIGPROF, SIG_IGN);
	reach_slow_path();
	ok(good && answered() && number > first, "signal handlers request changes and carry them out");
	set("SAMPLE", "0");
}

int main(void)
{
	tap_start();
	tap_watch(300);
	small_activity();
	test_on_and_off();
	test_other_distance();
	test_other_thread();
	test_refused();
	test_garbled();
	test_api();
	test_scavenger();
	test_alloc_learning();
	test_mem_learning();
	test_profile();
	test_never_ended();
	test_trim();
	test_fork();
	test_cycles();
	test_handlers();
	return tap_end();
}
