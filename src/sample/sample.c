#include "sample/sample.h"

#include "config/settings.h"
#include "os/os.h"
#include "os/secret.h"
#include "sample/fence.h"
#include "sample/random.h"
#include "sample/table.h"

_Atomic size_t hk_sample_mean;

/* The current distance, or the last one, so that a thread can complete a sample after another
 * thread has turned the sampler off. */
static size_t mean(void)
{
	return (size_t)atomic_load_explicit(&hk_sample_table->mean, memory_order_relaxed);
}

/* Each sampler has another sequence, which depends on the secret of the process. */
static void start_sampler(struct hk_sampler *s)
{
	static _Atomic uint64_t samplers;
	uint64_t seed = hk_secret() + atomic_fetch_add_explicit(&samplers, 1, memory_order_relaxed);

	atomic_store_explicit(&s->random, hk_random_next(&seed), memory_order_relaxed);
	atomic_store_explicit(&s->started, true, memory_order_relaxed);
}

static void next_distance(struct hk_sampler *s)
{
	uint64_t random = atomic_load_explicit(&s->random, memory_order_relaxed);
	int64_t distance = hk_random_distance(&random, mean());

	atomic_store_explicit(&s->random, random, memory_order_relaxed);
	atomic_store_explicit(&s->left, distance, memory_order_relaxed);
}

/* After a sample, the next distance is counted from the end of the block. A thread that finds the
 * sampler on finds the table, too. */
bool hk_sample_reached(struct hk_sampler *s, size_t size)
{
	(void)atomic_load_explicit(&hk_sample_mean, memory_order_acquire);
	if (!atomic_load_explicit(&s->started, memory_order_relaxed)) {
		start_sampler(s);
		next_distance(s);
		if (hk_sample_count(s, size) >= 0)
			return false;
	}
	next_distance(s);
	return !(hk_thread_bits & HK_BIT_SAMPLING);
}

static void add(struct hk_sample_sum *sum, uint64_t size, uint64_t weight)
{
	atomic_fetch_add_explicit(&sum->samples, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&sum->bytes, size, memory_order_relaxed);
	atomic_fetch_add_explicit(&sum->weight, weight, memory_order_relaxed);
}

static void subtract(struct hk_sample_sum *sum, uint64_t size, uint64_t weight)
{
	atomic_fetch_sub_explicit(&sum->samples, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&sum->bytes, size, memory_order_relaxed);
	atomic_fetch_sub_explicit(&sum->weight, weight, memory_order_relaxed);
}

static struct hk_sample_site *find_site(size_t size, const void *caller)
{
	uintptr_t frame[HK_SAMPLE_DEPTH];

	return hk_table_site(frame, hk_os_stack(frame, HK_SAMPLE_DEPTH, caller), size);
}

static uint32_t record(struct hk_sample_site *site, const void *p, size_t size, uint64_t weight, uint64_t waste)
{
	struct hk_sample_table *t = hk_sample_table;
	uint32_t number = hk_table_new();
	struct hk_sample *sample = number ? &t->sample[number - 1] : NULL;

	if (!sample)
		return 0;
	atomic_store_explicit(&sample->address, (uintptr_t)p, memory_order_relaxed);
	atomic_store_explicit(&sample->size, size, memory_order_relaxed);
	atomic_store_explicit(&sample->weight, weight, memory_order_relaxed);
	atomic_store_explicit(&sample->waste, waste, memory_order_relaxed);
	atomic_store_explicit(&sample->time, hk_os_now(), memory_order_relaxed);
	atomic_store_explicit(&sample->site, (uint32_t)(site - t->site) + 1, memory_order_release);
	return number;
}

void hk_sample_lose(void)
{
	atomic_fetch_add_explicit(&hk_sample_counters.lost, 1, memory_order_relaxed);
}

/* The sample stands for weight / size blocks. */
static uint64_t waste_of(uint64_t weight, size_t size, size_t spare)
{
	return size ? (uint64_t)((double)weight / (double)size * (double)spare) : 0;
}

/* A signal handler that interrupts this function finds the thread busy, and is not sampled. */
uint32_t hk_sample_take(const void *p, size_t size, size_t spare, const void *caller)
{
	uint64_t weight = hk_sample_weight(size, mean());
	uint64_t waste = waste_of(weight, size, spare);
	struct hk_sample_site *site;
	uint32_t number = 0;

	hk_thread_bits |= HK_BIT_SAMPLING;
	atomic_signal_fence(memory_order_seq_cst);
	site = find_site(size, caller);
	if (site)
		number = record(site, p, size, weight, waste);
	if (number) {
		add(&site->live, size, weight);
		add(&site->all, size, weight);
		atomic_fetch_add_explicit(&hk_sample_counters.taken, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&hk_sample_counters.waste, (size_t)waste, memory_order_relaxed);
	} else {
		hk_sample_lose();
	}
	atomic_signal_fence(memory_order_seq_cst);
	hk_thread_bits &= (uint16_t)~HK_BIT_SAMPLING;
	return number;
}

uint32_t hk_sample_site(uint32_t sample)
{
	return atomic_load_explicit(&hk_sample_table->sample[sample - 1].site, memory_order_relaxed);
}

void hk_sample_drop(uint32_t number)
{
	struct hk_sample_table *t = hk_sample_table;
	struct hk_sample *sample;
	uint32_t site;

	if (!number)
		return;
	sample = &t->sample[number - 1];
	site = atomic_exchange_explicit(&sample->site, 0, memory_order_acquire);
	if (!site)
		return;
	subtract(&t->site[site - 1].live, sample->size, sample->weight);
	atomic_fetch_sub_explicit(&hk_sample_counters.waste, (size_t)sample->waste, memory_order_relaxed);
	hk_table_free(number);
}

bool hk_sample_set(size_t distance)
{
	if (distance && !hk_table_make())
		return false;
	hk_table_mean(distance);
	atomic_store_explicit(&hk_sample_mean, distance, memory_order_release);
	return true;
}

void hk_sample_start(void)
{
	if (!hk_settings.sample)
		return;
	/* HAKMEM_HARDEN has guards of its own. */
	if (hk_settings.sample_guard && !hk_settings.harden)
		hk_fence_make();
	if (hk_sample_set(hk_settings.sample))
		hk_table_whole();
}

__attribute__((constructor)) static void start(void)
{
	if (!hk_settings.sample)
		return;
	hk_os_unwinder_start();
	hk_fence_watch();
}
