/*
 * The sampler: its sums are unbiased, each sampled block is a block like any other, and neither
 * threads, forks, signal handlers nor a full table disturb it. The test has the library inside,
 * so that it can say which block is sampled next. With TEST_GUARDED, sampled blocks are between
 * guard pages, where that is possible.
 */
#include "child.h"
#include "heap.h"
#include "sampler.h"

#include "cache/cache.h"
#include "sample/fence.h"
#include "sample/sample.h"

#include <hakmem/hakmem.h>

enum { MEAN = 16384 };

struct sums {
	uint64_t samples, bytes, weight;
};

static void add(struct sums *sums, struct hk_sample_sum *sum)
{
	sums->samples += sum->samples;
	sums->bytes += sum->bytes;
	sums->weight += sum->weight;
}

/* Of all stacks. */
static struct sums sums_of(bool live)
{
	struct hk_sample_table *t = hk_sample_table;
	struct sums sums = { 0, 0, 0 };
	uint32_t i;

	for (i = 0; i < t->sites; i++)
		add(&sums, live ? &t->site[i].live : &t->site[i].all);
	return sums;
}

static bool live_is(struct sums *before)
{
	struct sums now = sums_of(true);

	return now.samples == before->samples && now.bytes == before->bytes && now.weight == before->weight;
}

/* The bytes with which a block is counted. */
static size_t counted(size_t size)
{
	size_t whole = hk_harden ? (size < 24 ? 24 : size) + 8 : size;

	if (whole <= HK_SLAB_MAX)
		return hk_class_size(hk_class_of(whole));
	return hk_harden >= HK_HARDEN_GUARDS ? ((size + hk_page_size - 1) & -hk_page_size) + hk_page_size : whole;
}

/* The pointer is volatile, so that the compiler does not leave the calls out. */
static void take_and_free(size_t size)
{
	void *volatile p = malloc(size);

	free(p);
}

static bool near(double is, double wanted, double part)
{
	bool good = is >= wanted * (1 - part) && is <= wanted * (1 + part);

	if (!good)
		diag("  %llu instead of %llu", (unsigned long long)(is * 1e6), (unsigned long long)(wanted * 1e6));
	return good;
}

static void test_arithmetic(void)
{
	enum { DRAWS = 1000000 };
	uint64_t state = 1, sum = 0, longer = 0;
	unsigned i;

	for (i = 0; i < DRAWS; i++) {
		int64_t d = hk_random_distance(&state, MEAN);

		sum += (uint64_t)d;
		longer += d >= MEAN;
	}
	/* Five standard deviations. */
	ok(near((double)sum / DRAWS, MEAN - 0.5, 0.005), "distances have the mean");
	ok(near((double)longer / DRAWS, 0.36787944117, 0.0066), "and are exponential");
	ok(near(hk_sample_probability(MEAN, MEAN), 0.63212055883, 1e-9) &&
	   near(hk_sample_probability(1, 1 << 30), 9.31322574e-10, 1e-6) &&
	   near(hk_sample_probability(5 * MEAN, MEAN), 0.99326205300, 1e-9) &&
	   hk_sample_probability((size_t)1 << 30, 1) == 1, "the probability of a sample");
	ok(hk_sample_weight((size_t)1 << 30, 1) == (uint64_t)1 << 30 && hk_sample_weight(16, MEAN) - MEAN <= 9,
	   "the weight of a sample");
}

static double root(double x)
{
	double y = x > 1 ? x : 1;
	int i;

	for (i = 0; i < 60; i++)
		y = (y + x / y) / 2;
	return y;
}

/* Is the weight of the samples since then within five standard deviations of the truth? */
static bool unbiased(struct sums *before, double bytes, size_t size)
{
	struct sums now = sums_of(false);
	double samples = bytes / (double)size * hk_sample_probability(size, MEAN);

	return near((double)(now.weight - before->weight), bytes, 5 / root(samples));
}

static void test_sums(size_t size)
{
	enum { BYTES = 32 << 20 };
	size_t n = BYTES / size / (tap_rounds(20) < 20 ? 4 : 1) + 1, i;
	struct sums before, all;
	void **block;

	block = malloc(n * sizeof *block);
	before = sums_of(true);
	all = sums_of(false);
	seed(size);
	for (i = 0; i < n; i++)
		block[i] = malloc(size);
	ok(unbiased(&all, (double)n * (double)counted(size), counted(size)), "blocks of %zu bytes", size);
	for (i = 0; i < n; i++)
		free(block[i]);
	ok(live_is(&before), "that are freed");
	free(block);
}

static size_t waste(void)
{
	struct hak_stats stats;

	hak_stats_get(&stats, sizeof stats);
	return stats.waste_estimate;
}

/* Five standard deviations, as in unbiased(). */
static void test_waste(size_t size)
{
	enum { BYTES = 16 << 20 };
	size_t n = BYTES / size / (tap_rounds(20) < 20 ? 4 : 1) + 1, before, spare, i;
	void **block = malloc(n * sizeof *block);
	double blocks = (double)n;

	before = waste();
	sample_none();
	block[0] = malloc(size);
	spare = hk_harden ? counted(size) - size : malloc_usable_size(block[0]) - size;
	free(block[0]);
	seed(size + 1);
	for (i = 0; i < n; i++)
		block[i] = malloc(size);
	ok(near((double)(waste() - before), blocks * (double)spare,
		5 / root(blocks * hk_sample_probability(counted(size), MEAN))), "waste of blocks of %zu bytes", size);
	for (i = 0; i < n; i++)
		free(block[i]);
	ok(waste() == before, "until they are freed");
	free(block);
}

static void test_one_block(void)
{
	struct sums before = sums_of(true), all = sums_of(false);
	unsigned long n = tap_rounds(1000000), i;

	seed(7);
	for (i = 0; i < n; i++)
		take_and_free(100);
	ok(unbiased(&all, (double)n * (double)counted(100), counted(100)) && live_is(&before),
	   "one block, taken and freed all day");
}

/*
 * The samples of several sizes, each in a list of its own. While blocks of one size are counted in
 * advance, those of another must not get its samples.
 */
enum { MIXED = 3, STEPS = 600000 };
static const size_t mixed[MIXED] = { 48, 400, 1500 };

struct mix {
	struct sums before[MIXED];
	double blocks[MIXED];
};

/* The sums over the stacks of this size. */
static struct sums sums_of_size(size_t size)
{
	struct hk_sample_table *t = hk_sample_table;
	struct sums sums = { 0, 0, 0 };
	uint32_t i;

	for (i = 0; i < t->sites; i++)
		if (t->site[i].key == hk_class_of(counted(size)))
			add(&sums, &t->site[i].all);
	return sums;
}

static struct mix start_mix(uint64_t number)
{
	struct mix mix = { 0 };
	unsigned i;

	for (i = 0; i < MIXED; i++)
		mix.before[i] = sums_of_size(mixed[i]);
	seed(number);
	return mix;
}

static void *take_mixed(struct mix *mix, unsigned i)
{
	mix->blocks[i]++;
	return malloc(mixed[i]);
}

static bool mix_is_unbiased(struct mix *mix)
{
	bool good = true;
	unsigned i;

	sample_none();
	for (i = 0; i < MIXED; i++) {
		struct sums now = sums_of_size(mixed[i]);
		double bytes = mix->blocks[i] * (double)counted(mixed[i]);
		double samples = mix->blocks[i] * hk_sample_probability(counted(mixed[i]), MEAN);

		if (mix->blocks[i])
			good &= near((double)(now.weight - mix->before[i].weight), bytes, 5 / root(samples));
	}
	return good;
}

/* Each block is freed before the next one is taken. */
static void mix_of_pairs(struct mix *mix, unsigned long steps)
{
	unsigned long i;

	for (i = 0; i < steps; i++) {
		void *volatile p = take_mixed(mix, i % MIXED);

		free(p);
	}
}

/* One block of another size in the middle of many. */
static void mix_of_bursts(struct mix *mix, unsigned long steps)
{
	unsigned long i;

	for (i = 0; i < steps; i++) {
		void *volatile p = take_mixed(mix, i % 64 != 40 ? 0 : i / 64 % 8 ? 1 : 2);

		free(p);
	}
}

/* The oldest of 300 blocks is freed. */
static void mix_of_queue(struct mix *mix, unsigned long steps)
{
	static void *queue[300];
	uint64_t random = 5;
	unsigned long i;

	for (i = 0; i < steps; i++) {
		free(queue[i % 300]);
		queue[i % 300] = take_mixed(mix, (unsigned)random_below(&random, MIXED));
	}
	for (i = 0; i < 300; i++) {
		free(queue[i]);
		queue[i] = NULL;
	}
}

/* The newest of up to 300 blocks is freed, with trims, so that counted blocks are given back. */
static void mix_of_stack(struct mix *mix, unsigned long steps)
{
	static void *stack[300];
	uint64_t random = 6;
	unsigned long i, n = 0;

	for (i = 0; i < steps; i++) {
		if (n && (n == 300 || random_below(&random, 2)))
			free(stack[--n]);
		else
			stack[n++] = take_mixed(mix, (unsigned)random_below(&random, MIXED));
		if (random_below(&random, 100) == 0)
			hak_thread_idle();
	}
	while (n)
		free(stack[--n]);
}

static void test_mixed(void (*body)(struct mix *mix, unsigned long steps), const char *name)
{
	struct sums live = sums_of(true);
	struct mix mix = start_mix(3);

	body(&mix, tap_rounds(STEPS));
	ok(mix_is_unbiased(&mix) && live_is(&live), "several sizes: %s", name);
}

static void *mix_in_thread(void *argument)
{
	struct mix *mix = argument;

	sample_none();
	seed((uint64_t)(uintptr_t)mix);
	mix_of_pairs(mix, tap_rounds(STEPS) / 4);
	mix_of_bursts(mix, tap_rounds(STEPS) / 4);
	return NULL;
}

static void test_mixed_threads(void)
{
	enum { THREADS = 4 };
	pthread_t thread[THREADS];
	struct mix mix[THREADS], all = start_mix(4);
	unsigned i, j;

	memset(mix, 0, sizeof mix);
	for (i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, mix_in_thread, &mix[i]);
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		for (j = 0; j < MIXED; j++)
			all.blocks[j] += mix[i].blocks[j];
	}
	ok(mix_is_unbiased(&all), "several sizes in several threads");
}

static const size_t sizes[] = { 1, 16, 24, 100, 2048, 2049, 5000, 32760, 32768, 40000, 300000, 3000000, 50000000 };
enum { SIZES = sizeof sizes / sizeof *sizes };

static bool is_like_others(size_t size)
{
	struct sums before = sums_of(true);
	void *usual, *sampled;
	bool good;

	sample_none();
	usual = malloc(size);
	sample_next();
	sampled = malloc(size);
	good = sums_of(true).samples == before.samples + 1 &&
	       malloc_usable_size(sampled) == (hk_fenced(sampled) ? size : malloc_usable_size(usual)) &&
	       (uintptr_t)sampled % 16 == 0;
	fill(sampled, size, size);
	fill(usual, size, size + 1);
	good &= filled(sampled, size, size) && filled(usual, size, size + 1);
	if (!good)
		diag("  %zu bytes: %d samples, %zu usable instead of %zu", size, (int)(sums_of(true).samples - before.samples), malloc_usable_size(sampled), malloc_usable_size(usual));
	free(usual);
	free(sampled);
	return good && live_is(&before);
}

static bool calloc_clears(size_t size)
{
	struct sums before = sums_of(true);
	unsigned char *p;
	size_t i;

	p = malloc(size);
	memset(p, 0xff, size);
	free(p);
	sample_next();
	p = calloc(1, size);
	for (i = 0; i < size && !p[i]; i++)
		;
	free(p);
	return i == size && live_is(&before);
}

/* Both are sampled, before and after. */
static bool realloc_keeps(size_t from, size_t to)
{
	struct sums before = sums_of(true), between;
	void *p;
	bool good;

	sample_next();
	p = malloc(from);
	fill(p, from, from);
	sample_next();
	p = realloc(p, to);
	between = sums_of(true);
	good = filled(p, from < to ? from : to, from) && between.samples - before.samples <= 1;
	free(p);
	return good && live_is(&before);
}

static bool freed_elsewhere(size_t size)
{
	struct sums before = sums_of(true);

	sample_next();
	free_elsewhere(malloc(size));
	return live_is(&before);
}

static bool aligned(size_t size)
{
	struct sums before = sums_of(true);
	size_t align, wrong = 0;

	for (align = 16; align <= 1 << 20; align *= 2) {
		void *p;

		sample_next();
		p = aligned_alloc(align, size);
		wrong += !p || (uintptr_t)p % align;
		fill(p, size, align);
		wrong += !filled(p, size, align);
		free(p);
	}
	return wrong == 0 && live_is(&before);
}

static void test_blocks(void)
{
	size_t i, j, wrong[5] = { 0, 0, 0, 0, 0 };

	for (i = 0; i < SIZES; i++) {
		wrong[0] += !is_like_others(sizes[i]);
		wrong[1] += !calloc_clears(sizes[i]);
		wrong[2] += !freed_elsewhere(sizes[i]);
		wrong[3] += !aligned(sizes[i]);
		for (j = 0; j < SIZES; j++)
			wrong[4] += !realloc_keeps(sizes[i], sizes[j]);
	}
	ok(wrong[0] == 0, "a sampled block has the size of any other");
	ok(wrong[1] == 0, "and is cleared by calloc");
	ok(wrong[2] == 0, "and is freed by another thread");
	ok(wrong[3] == 0, "and is aligned");
	ok(wrong[4] == 0, "and is resized");
}

static void test_resized(void)
{
	struct sums before = sums_of(true), now;
	void *p;

	sample_next();
	p = malloc(4 << 20);
	sample_none();
	p = realloc(p, 64 << 20);
	ok(live_is(&before), "a block that was resized counts as another one");
	sample_next();
	p = realloc(p, 128 << 20);
	now = sums_of(true);
	ok(now.samples == before.samples + 1 && now.bytes - before.bytes >= 128 << 20, "which may be sampled");
	free(p);
	ok(live_is(&before), "and is freed");
}

__attribute__((noinline)) static void *from_here(size_t size)
{
	void *p = malloc(size);

	__asm__ volatile("" ::: "memory");
	return p;
}

__attribute__((noinline)) static void *from_there(size_t size)
{
	void *p = from_here(size);

	__asm__ volatile("" ::: "memory");
	return p;
}

static bool is_in(uintptr_t frame, void *(*function)(size_t))
{
	return frame - (uintptr_t)function < 512;
}

static void test_stack(void)
{
	struct hk_sample_table *t = hk_sample_table;
	uint32_t sites = t->sites;
	void *p[3];
	int i;

	for (i = 0; i < 3; i++) {
		sample_next();
		p[i] = from_there(1234);
	}
	ok(t->sites == sites + 1 && t->site[sites].live.samples == 3 &&
	   is_in(t->frame[t->site[sites].first], from_here), "samples of one stack are counted together");
	if (t->site[sites].depth == 1)
		skip("the stack has the caller's caller", "this system finds no stacks without locks");
	else
		ok(is_in(t->frame[t->site[sites].first + 1], from_there), "the stack has the caller's caller");
	for (i = 0; i < 3; i++)
		free(p[i]);
	ok(t->site[sites].live.samples == 0 && t->site[sites].all.samples == 3, "and are kept after they are freed");
	errno = 77;
	sample_next();
	free(from_there(99));
	ok(errno == 77, "errno is kept");
}

static bool record_is(struct hk_sample *sample, uintptr_t address)
{
	return sample->site && sample->address == address;
}

static void test_records(void)
{
	struct hk_sample_table *t = hk_sample_table;
	uint64_t now = hk_os_now();
	uint32_t i, found = 0;
	uintptr_t address;
	void *p;

	sample_next();
	p = malloc(5000);
	address = (uintptr_t)p;
	for (i = 0; i < t->samples; i++)
		if (record_is(&t->sample[i], address) && ++found)
			ok(t->sample[i].size == counted(5000) && t->sample[i].time - now < 60000 &&
			   t->sample[i].weight == hk_sample_weight(counted(5000), MEAN), "a record of the block");
	free(p);
	for (i = 0; i < t->samples; i++)
		found += record_is(&t->sample[i], address);
	ok(found == 1, "until it is freed");
}

/* Threads exchange blocks, so that each frees those of the others. */
enum { PLACES = 512 };
static _Atomic(void *) place[PLACES];

static void *exchange(void *state)
{
	unsigned long i, n = tap_rounds(200000);
	uint64_t random = *(uint64_t *)state;

	for (i = 0; i < n; i++)
		free(atomic_exchange(&place[random_below(&random, PLACES)], malloc(random_size(&random, 100000))));
	return NULL;
}

static void empty_places(void)
{
	unsigned i;

	for (i = 0; i < PLACES; i++)
		free(atomic_exchange(&place[i], NULL));
}

static void test_threads(void)
{
	struct sums before = sums_of(true);
	struct hak_stats stats;

	seeded_threads(4, exchange, 1);
	ok(sums_of(false).samples > 100, "threads are sampled");
	hak_stats_get(&stats, sizeof stats);
	ok(stats.samples == sums_of(false).samples && stats.samples_lost == 0 &&
	   stats.sample_sites == hk_sample_table->sites, "as the statistics show");
	empty_places();
	ok(live_is(&before), "and free each other's blocks");
}

enum { SENT = 2000 };
static void *sent[SENT];

static void *free_sent(void *unused)
{
	unsigned i;

	for (i = 0; i < SENT; i++)
		free(sent[i]);
	return unused;
}

/* Malloc takes the blocks that other threads have freed before the heap grows. The heap may also
 * shrink, by what was freed before. */
static void test_received(void)
{
	unsigned round, i;
	size_t before = 0;
	long grown;

	for (round = 0; round < 100; round++) {
		pthread_t thread;

		if (round == 10)
			before = hk_pool_touched();
		for (i = 0; i < SENT; i++)
			sent[i] = malloc(200);
		pthread_create(&thread, NULL, free_sent, NULL);
		pthread_join(thread, NULL);
	}
	grown = (long)hk_pool_touched() - (long)before;
	if (!ok(grown < (long)(4 * SENT * 200 / HK_SLOT_SIZE), "blocks that another thread freed are used again"))
		diag("  the heap has grown by %ld slots", grown);
}

static pthread_key_t key;

static void at_thread_end(void *p)
{
	free(p);
	sample_next();
	take_and_free(100);
}

static void *short_lived(void *unused)
{
	(void)unused;
	sample_next();
	pthread_setspecific(key, malloc(10));
	sample_next();
	return malloc(20);
}

static void test_thread_ends(void)
{
	struct sums before = sums_of(true);
	unsigned i;

	pthread_key_create(&key, at_thread_end);
	for (i = 0; i < 200; i++) {
		pthread_t thread;
		void *p;

		pthread_create(&thread, NULL, short_lived, NULL);
		pthread_join(thread, &p);
		free(p);
	}
	ok(live_is(&before), "samples at the end of a thread");
}

static void in_child(void *unused)
{
	struct sums before = sums_of(true);
	void *volatile p;

	(void)unused;
	sample_next();
	p = malloc(100);
	if (sums_of(true).samples != before.samples + 1)
		fail("the child is not sampled");
	free(p);
	if (!live_is(&before))
		fail("a block of the child is left");
	seeded_threads(2, exchange, 5);
	empty_places();
	if (!live_is(&before))
		fail("blocks of its threads are left");
}

static void case_of(void (*body)(void *), const char *name)
{
	struct child c = child_run(body, NULL, 60);

	if (!ok(c.status == 0, "%s", name))
		child_diag(&c);
}

static void test_fork(void)
{
	struct sums before;
	void *p;

	sample_next();
	p = malloc(1000);
	before = sums_of(true);
	case_of(in_child, "the child of a fork is sampled");
	ok(live_is(&before), "which changes nothing in the parent");
	free(p);
}

static volatile sig_atomic_t forks;

static void fork_here(int number)
{
	int saved = errno, status = -1;
	pid_t pid = fork();

	(void)number;
	if (pid == 0) {
		take_and_free(100);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (status)
		_exit(9);
	forks = forks + 1;
	errno = saved;
}

static void allocate_here(int number)
{
	(void)number;
	take_and_free(100);
	forks = forks + 1;
}

static void interrupted(void (*handler)(int), int times)
{
	struct itimerval often = { { 0, 3000 }, { 0, 3000 } }, never = { { 0, 0 }, { 0, 0 } };
	uint64_t random = 1;

	hk_sample_set(64);
	signal(SIGVTALRM, handler);
	setitimer(ITIMER_VIRTUAL, &often, NULL);
	while (forks < times)
		free(atomic_exchange(&place[random_below(&random, PLACES)], malloc(random_size(&random, 5000))));
	setitimer(ITIMER_VIRTUAL, &never, NULL);
	empty_places();
}

static void forks_in_handler(void *unused)
{
	(void)unused;
	interrupted(fork_here, 30);
}

static void handler_allocates(void *unused)
{
	struct sums before = sums_of(true);

	(void)unused;
	interrupted(allocate_here, 100);
	if (!live_is(&before))
		fail("blocks are left");
}

static void open_libraries(void *unused)
{
	unsigned i;

	(void)unused;
	hk_sample_set(1);
	for (i = 0; i < 20; i++) {
		void *library = dlopen("libm.so.6", RTLD_NOW);

		if (!library || !dlsym(library, "cos") || dlclose(library))
			fail("dlopen");
	}
}

/* Blocks are allocated all the same. */
static void allocate_unsampled(const char *what)
{
	size_t lost = hk_sample_counters.lost, taken = hk_sample_counters.taken;
	void *p, *q;

	sample_next();
	p = from_here(4321);
	sample_next();
	q = malloc(400000);
	if (hk_sample_counters.lost != lost + 2 || hk_sample_counters.taken != taken)
		fail("%s is full, and %zu are lost", what, hk_sample_counters.lost - lost);
	fill(p, 4321, 1);
	fill(q, 400000, 2);
	if (!filled(p, 4321, 1) || !filled(q, 400000, 2))
		fail("contents");
	free(p);
	free(q);
}

static void fill_sites(void *unused)
{
	uintptr_t frame[2] = { 0, 1 };
	unsigned i = 0;

	(void)unused;
	while (i < HK_SAMPLE_SITES && (frame[0] = ++i, hk_table_site(frame, 2, 16)))
		;
	if (hk_sample_table->sites < HK_SAMPLE_SITES / 4 * 3)
		fail("%u sites", (unsigned)hk_sample_table->sites);
	while (i++ < 3 * HK_SAMPLE_SITES) {
		frame[0] = i;
		hk_table_site(frame, 2, 16);
	}
	allocate_unsampled("the table of sites");
}

static void fill_frames(void *unused)
{
	uintptr_t frame[HK_SAMPLE_DEPTH] = { 0 };

	(void)unused;
	do
		frame[0]++;
	while (hk_table_site(frame, HK_SAMPLE_DEPTH, 16));
	if (hk_sample_table->sites < HK_SAMPLE_FRAMES / HK_SAMPLE_DEPTH / 2)
		fail("%u sites", (unsigned)hk_sample_table->sites);
}

static void fill_samples(void *unused)
{
	uint32_t n = 0, one, last = 0;

	(void)unused;
	while ((one = hk_table_new()) != 0) {
		last = one;
		n++;
	}
	if (n > HK_SAMPLE_BLOCKS || n < HK_SAMPLE_BLOCKS / 2)
		fail("%u samples", n);
	allocate_unsampled("the table of samples");
	hk_table_free(last);
	if (hk_table_new() != last)
		fail("a free one is not used");
}

static char folder[] = "sample-XXXXXX", path[64], linked[64];

static void read_dump(char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
}

static void test_dump(void)
{
	unsigned long long live, bytes, all, all_bytes, mean = 0;
	static char text[1 << 20];
	struct sums before;
	void *p;

	snprintf(path, sizeof path, "%s/heap", folder);
	snprintf(linked, sizeof linked, "%s/link", folder);
	sample_next();
	p = malloc(1000);
	before = sums_of(true);
	ok(hak_profile_dump(path) == 0, "hak_profile_dump");
	read_dump(text, sizeof text);
	ok(sscanf(text, "heap profile: %llu: %llu [%llu: %llu] @ heap_v2/%llu", &live, &bytes, &all, &all_bytes,
		  &mean) == 5 && live == before.samples && bytes == before.bytes && all >= live && mean == MEAN,
	   "its first line");
	ok(strstr(text, "] @ 0x") && strstr(text, "\nMAPPED_LIBRARIES:\n") && strstr(text, "r-xp"),
	   "stacks and mappings");
	free(p);
	ok(hak_profile_dump(NULL) == -1 && hak_profile_dump("") == -1, "without a path it fails");
}

static void dump_to_link(void *unused)
{
	(void)unused;
	if (symlink("heap", linked) || hak_profile_dump(linked) != -1)
		_exit(1);
}

static void test_link(void)
{
	struct child c = child_run(dump_to_link, NULL, 60);

	ok(c.status == 0 && strstr(c.err, "hakmem: cannot write the heap profile to ") &&
	   strstr(c.err, "a symbolic link is not followed"), "a symbolic link is not followed");
	unlink(linked);
	unlink(path);
}

static int run_off(void)
{
	take_and_free(100);
	take_and_free(100000);
	return !hk_sample_table && !hk_sampling() && !hk_sample_counters.taken && hak_profile_dump("x") == -1 ? 0 : 1;
}

static void off(void *self)
{
	setenv("HAKMEM_SAMPLE", "0", 1);
	exec_self(self, "off", NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct child c;
	size_t i;

	if (argc > 1 && !strcmp(argv[1], "off"))
		return run_off();
	if (!getenv("HAKMEM_SAMPLE")) {
		setenv("HAKMEM_SAMPLE", "16384", 1);
#ifdef TEST_GUARDED
		setenv("HAKMEM_SAMPLE_GUARD", "1", 1);
#endif
		exec_self(argv[0], "", NULL);
		_exit(127);
	}
	tap_start();
	if (!mkdtemp(folder))
		bail("no folder");
	test_arithmetic();
	for (i = 0; i < SIZES; i++)
		test_sums(sizes[i]);
	test_waste(24);
	test_waste(1100);
	test_waste(20000);
	if (!hk_harden)
		test_waste(40000);
	test_one_block();
	test_mixed(mix_of_pairs, "taken and freed");
	test_mixed(mix_of_bursts, "one among many");
	test_mixed(mix_of_queue, "first in, first out");
	test_mixed(mix_of_stack, "last in, first out, with trims");
	test_mixed_threads();
	test_blocks();
	test_resized();
	test_stack();
	test_records();
	test_threads();
	test_received();
	test_thread_ends();
	test_fork();
	case_of(forks_in_handler, "a handler that interrupts a sample forks");
	case_of(handler_allocates, "a handler that interrupts a sample allocates");
	case_of(open_libraries, "each block of dlopen is sampled");
	case_of(fill_sites, "the table of stacks is full");
	case_of(fill_frames, "the table of frames is full");
	case_of(fill_samples, "the table of samples is full");
	test_dump();
	test_link();
	rmdir(folder);
	c = child_run(off, argv[0], 60);
	ok(c.status == 0, "without the setting there is nothing");
	return tap_end();
}
