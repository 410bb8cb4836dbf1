/*
 * ALLOC learning by itself, without threads or clocks: the step that goes from
 * the counts of a window to new limits, alone and with a model of lists that
 * a program of known habits uses.
 */
#include "tap.h"

#include "cache/cache.h"
#include "learn/adapt.h"

enum { CLASSES = 8, U = HK_LEARN_UNIT, OPERATIONS = 10000, FEW = 2000 };

static struct hk_learn_class class[CLASSES];
static struct hk_learn_bounds bounds;
static uint64_t state;

static unsigned below(unsigned bound)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((state >> 33) % bound);
}

/* Sizes 16 to 2048, lists of 64 blocks and batches of 8, and this budget. */
static void start(int64_t budget)
{
	unsigned i;

	for (i = 0; i < CLASSES; i++)
		class[i] = (struct hk_learn_class){ .size = 16u << i, .capacity = 64 * U, .batch = 8 * U };
	bounds = (struct hk_learn_bounds){
		.rate = HK_RATIO_ONE / 10, .operations = OPERATIONS, .budget = budget, .busy = true };
}

static void quiet(void)
{
	unsigned i;

	for (i = 0; i < CLASSES; i++)
		class[i].refills = class[i].flushes = class[i].low = 0;
}

static void step(void)
{
	hk_learn_step(class, CLASSES, &bounds);
}

static int64_t all(void)
{
	return hk_learn_bytes(class, CLASSES);
}

static void test_signs(void)
{
	int64_t plenty = 1 << 30;

	start(plenty);
	class[3].refills = class[3].flushes = 400;
	step();
	ok(class[3].capacity == 64 * U + 64 * U / 10 && class[3].capacity_moved == HK_ROUND_TRIPS,
	   "a list that makes round trips grows by the rate");
	ok(class[2].capacity == 64 * U && class[2].capacity_moved == HK_KEPT, "its neighbour rests");

	start(plenty);
	class[3].refills = 1200;
	step();
	ok(class[3].capacity == 64 * U, "a program that only takes needs no longer list");
	ok(class[3].batch == 8 * U + 8 * U / 10 && class[3].batch_moved == HK_STREAM, "but a larger batch");

	start(plenty);
	class[3].flushes = 300;
	step();
	ok(class[3].capacity == 64 * U && class[3].batch == 8 * U, "one that only gives needs neither");

	start(plenty);
	class[3].refills = class[3].flushes = 4;
	step();
	ok(class[3].capacity == 64 * U, "few round trips are noise");

	start(plenty);
	class[3].refills = class[3].flushes = 400;
	bounds.busy = false;
	step();
	ok(class[3].capacity == 64 * U, "a window that took long is not worth growth");

	start(plenty);
	class[3].capacity = class[3].batch = 32 * U;
	class[3].refills = class[3].flushes = 400;
	step();
	ok(class[3].batch < 32 * U && class[3].batch_moved == HK_TOO_LARGE,
	   "a batch that fills its list shrinks when blocks make round trips");
}

static void test_idle(void)
{
	unsigned windows;

	start(1 << 30);
	class[3].low = 60;
	for (windows = 0; class[3].capacity == 64 * U && windows < 100; windows++)
		step();
	ok(windows == 4 && class[3].capacity_moved == HK_IDLE, "blocks that lay idle for windows cost capacity");
	for (windows = 0; windows < 200; windows++) {
		if (class[3].low > class[3].capacity / U)
			class[3].low = class[3].capacity / U;
		step();
	}
	ok(class[3].capacity == class[3].batch, "down to the batch in the end");

	start(1 << 30);
	class[3].refills = class[3].flushes = 400;
	step();
	quiet();
	class[3].low = 60;
	for (windows = 0; windows < 60; windows++)
		step();
	ok(class[3].capacity == 64 * U + 64 * U / 10, "but not soon to where it made round trips");
	for (; windows < 70; windows++)
		step();
	ok(class[3].capacity < 64 * U, "only when that is long ago");
}

static void test_budget(void)
{
	int64_t budget, before;
	unsigned i, paid = 0, windows;

	start(0);
	budget = bounds.budget = all();
	class[0].refills = class[0].flushes = 400;
	class[1].refills = class[1].flushes = 400;
	step();
	for (i = 2; i < CLASSES; i++)
		paid += class[i].capacity_moved == HK_LENT;
	ok(class[0].capacity > 64 * U && paid == CLASSES - 2, "where the budget is used up all others pay");
	ok(all() <= budget && all() > budget - CLASSES * 2048 / U, "the sum stays");

	start(0);
	budget = bounds.budget = all();
	for (i = 0; i < CLASSES; i++) {
		class[i].refills = 400;
		class[i].flushes = 400;
		class[i].capacity = (unsigned)((64u << 7 >> i) * U);
	}
	budget = bounds.budget = all();
	for (windows = 0; windows < 50; windows++)
		step();
	ok(class[0].capacity == 64 * 128 * U && class[7].capacity == 64 * U && all() == budget,
	   "equal pressure moves nothing");

	start(0);
	bounds.budget = all() / 3;
	for (windows = 0; all() > bounds.budget && windows < 100; windows++) {
		before = all();
		step();
		if (all() >= before || all() * 100 < before * 89)
			break;
	}
	ok(all() <= bounds.budget && windows < 15, "a budget that was cut is met in steps of the rate: %u", windows);
}

static bool within_rate(unsigned before, unsigned after)
{
	unsigned most = (unsigned)((uint64_t)before * bounds.rate / HK_RATIO_ONE);

	return after <= before + most && after + most >= before;
}

/* Whatever the counts: the rate, the budget and the bounds of each limit. */
static void test_random(void)
{
	static const unsigned rates[] = { 1, 50000, 100000, 150000, 1000000 };
	unsigned long rounds = tap_rounds(200000), round, fast = 0, over = 0, wild = 0;
	unsigned i;

	state = tap_seed();
	start(0);
	for (round = 0; round < rounds; round++) {
		struct hk_learn_class before[CLASSES];
		int64_t sum;

		if (round % 50 == 0) {
			start(below(1 << 22));
			for (i = 0; i < CLASSES; i++) {
				class[i].capacity = (1 + below(4096)) * U;
				class[i].batch = (1 + below(class[i].capacity / U)) * U;
			}
			bounds.rate = rates[below(5)];
			bounds.operations = 1 + below(100000000);
		}
		bounds.busy = below(4);
		for (i = 0; i < CLASSES; i++) {
			class[i].refills = below(3) ? 0 : below(1u << below(31));
			class[i].flushes = below(3) ? 0 : below(1u << below(31));
			class[i].low = below(class[i].capacity / U + 1);
		}
		memcpy(before, class, sizeof class);
		sum = all();
		step();
		over += all() > sum && all() > bounds.budget;
		for (i = 0; i < CLASSES; i++) {
			fast += !within_rate(before[i].capacity, class[i].capacity);
			fast += class[i].batch > before[i].batch && !within_rate(before[i].batch, class[i].batch);
			wild += class[i].batch > class[i].capacity || class[i].batch < U ||
				class[i].capacity > HK_LEARN_CAPACITY_MOST * U;
		}
	}
	ok(fast == 0, "%lu random windows: nothing moves by more than the rate", rounds);
	ok(over == 0, "the budget is never exceeded by growth");
	ok(wild == 0, "limits stay in their bounds");
}

/*
 * The model: a list per class and a program that at each step takes or gives
 * a block of some class, its number of live blocks wandering within a range
 * that it turns back from. Lists refill and flush as those of the library do.
 */
struct model {
	unsigned length[CLASSES], range[CLASSES], live[CLASSES];
	unsigned long moved, trips;
};
static struct model m;

static void take(unsigned i)
{
	struct hk_learn_class *c = &class[i];

	m.live[i]++;
	if (!m.length[i]) {
		m.length[i] = c->batch / U;
		m.moved += c->batch / U;
		c->refills++;
	}
	m.length[i]--;
}

static void give(unsigned i)
{
	struct hk_learn_class *c = &class[i];
	unsigned keep = (unsigned)hk_list_keep((int32_t)(c->capacity / U));

	m.live[i]--;
	if (++m.length[i] > c->capacity / U) {
		m.moved += m.length[i] - keep;
		m.trips += m.length[i] - keep;
		m.length[i] = keep;
		c->flushes++;
	}
}

/* Until so many blocks moved, or nothing did for long. Steps of the program. */
static unsigned long window(void)
{
	unsigned long steps = 0, before = m.moved;
	unsigned i, sum = 0;

	quiet();
	for (i = 0; i < CLASSES; i++)
		sum += m.range[i];
	m.trips = 0;
	while (m.moved - before < FEW && steps < 600000) {
		unsigned at = below(sum), upward;

		for (i = 0; at >= m.range[i]; i++)
			at -= m.range[i];
		upward = m.live[i] == 0 || (m.live[i] < m.range[i] && below(2));
		if (upward)
			take(i);
		else
			give(i);
		steps++;
	}
	bounds.operations = FEW;

	step();
	for (i = 0; i < CLASSES; i++)
		if (m.length[i] > class[i].capacity / U)
			m.length[i] = class[i].capacity / U;
	return steps;
}

/* The trace of the model is the same in every run. */
static void begin(void)
{
	state = 1;
	memset(&m, 0, sizeof m);
	start(0);
}

static void use(unsigned from, unsigned to, unsigned range)
{
	unsigned i;

	for (i = 0; i < CLASSES; i++)
		m.range[i] = i >= from && i < to ? range : 0;
}

static void test_convergence(void)
{
	enum { SETTLING = 150, WATCHED = 200 };
	unsigned low[CLASSES], high[CLASSES], last[CLASSES], i, w;
	int64_t moved = 0;
	unsigned long first, steps = 0;
	bool still = true;

	begin();
	bounds.budget = all() * 2;
	use(0, CLASSES, 3000);
	first = window();
	for (w = 0; w < SETTLING; w++)
		window();
	for (i = 0; i < CLASSES; i++)
		low[i] = high[i] = last[i] = class[i].capacity;
	for (w = 0; w < WATCHED; w++) {
		steps += window();
		for (i = 0; i < CLASSES; i++) {
			moved += labs((long)class[i].capacity - (long)last[i]) * (int64_t)class[i].size;
			last[i] = class[i].capacity;
			low[i] = low[i] < last[i] ? low[i] : last[i];
			high[i] = high[i] > last[i] ? high[i] : last[i];
		}
	}
	for (i = 0; i < CLASSES; i++) {
		still &= high[i] - low[i] <= (high[i] + low[i]) / 4;
		diag("size %u: capacity %u to %u", class[i].size, low[i] / U, high[i] / U);
	}
	ok(still, "after %d windows the capacities of a steady load stay within a quarter", SETTLING);
	moved /= WATCHED * U;
	ok(moved < all() / 500, "and of %ld bytes only %ld move in a window", (long)all(), (long)moved);
	ok(steps / WATCHED > first, "a window serves more calls than at first: %lu, then %lu", first, steps / WATCHED);
}

static void test_phases(void)
{
	unsigned before, w;
	unsigned long trips;

	begin();
	bounds.budget = all();
	use(0, 3, 3000);
	for (w = 0; w < 60; w++)
		window();
	ok(class[0].capacity > 128 * U && class[5].capacity < 64 * U,
	   "one phase uses small blocks, at the cost of the others: %u and %u", class[0].capacity / U,
	   class[5].capacity / U);
	use(3, 6, 3000);
	before = class[4].capacity;
	window();
	window();
	trips = window();
	ok(class[4].capacity > before, "after three windows of another its lists grow");
	for (w = 3; w < 10; w++)
		window();
	ok(class[4].capacity > before + before / 2, "after ten they are half as long again: %u, then %u",
	   before / U, class[4].capacity / U);
	ok(window() > trips, "and a window serves more calls");
}

int main(void)
{
	tap_watch(300);
	test_signs();
	test_idle();
	test_budget();
	test_random();
	test_convergence();
	test_phases();
	return tap_end();
}
