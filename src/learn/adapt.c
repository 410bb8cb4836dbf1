#include "learn/adapt.h"

#include "cache/cache.h"

/* In bytes times HK_LEARN_UNIT, so that sums are exact. */
static int64_t cost(const struct hk_learn_class *c, int64_t units)
{
	return units * c->size;
}

static int64_t total(const struct hk_learn_class *class, unsigned count)
{
	int64_t sum = 0;
	unsigned i;

	for (i = 0; i < count; i++)
		sum += cost(&class[i], class[i].capacity);
	return sum;
}

int64_t hk_learn_bytes(const struct hk_learn_class *class, unsigned count)
{
	return (total(class, count) + HK_LEARN_UNIT - 1) / HK_LEARN_UNIT;
}

static unsigned step_of(unsigned units, unsigned rate)
{
	return (unsigned)((uint64_t)units * rate / HK_RATIO_ONE);
}

static unsigned most(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static bool active(const struct hk_learn_class *c)
{
	return c->refills || c->flushes;
}

/*
 * The weight of a single window, up to HK_ADAPT_CERTAIN. A few refills and flushes more or
 * less are random, and random changes must not make a limit oscillate. A single window
 * without any refill or flush is random too; several in a row are not.
 */
static unsigned window_weight(const struct hk_learn_class *c)
{
	size_t events = c->refills + c->flushes;

	if (!events)
		return c->idle < HK_ADAPT_IDLE_WINDOWS ? HK_ADAPT_CERTAIN / HK_ADAPT_IDLE_WEIGHT : HK_ADAPT_CERTAIN;
	return events < HK_ADAPT_CERTAIN ? (unsigned)events : HK_ADAPT_CERTAIN;
}

static unsigned pace(const struct hk_learn_class *c, unsigned rate)
{
	return (step_of(c->capacity, rate) * window_weight(c) / HK_ADAPT_CERTAIN) >> c->damped;
}

/* A limit that reverses its direction moves half as fast from then on; one that keeps its
 * direction gains speed again. So oscillations are damped and new phases are not. */
static void damp(struct hk_learn_class *c, unsigned before)
{
	int way = (c->capacity > before) - (c->capacity < before);

	if (!way)
		return;
	if (way * c->run < 0) {
		c->run = way;
		c->damped += c->damped < HK_ADAPT_DAMPED;
	} else if ((c->run += way) % HK_ADAPT_STEADY == 0) {
		c->damped -= c->damped > 0;
	}
}

/* The units that a class can give up in one step. At least its batch remains, or very little
 * if there are too many threads for the budget. */
static unsigned reduction(const struct hk_learn_class *c, unsigned rate, bool poor)
{
	unsigned floor = most(HK_ADAPT_LEAST_CAPACITY * HK_LEARN_UNIT, poor ? 0 : c->batch);

	return c->capacity > floor ? least(pace(c, rate), c->capacity - floor) : 0;
}

static uint64_t average(const struct hk_learn_class *c, uint64_t old, uint64_t now)
{
	unsigned weight = window_weight(c);

	return (old * (2 * HK_ADAPT_CERTAIN - weight) + now * weight) / (2 * HK_ADAPT_CERTAIN);
}

/*
 * Round trips per MiB of capacity. A flush leaves hk_list_keep blocks in the list. The result
 * is an average of the latest windows: of more windows if each has few refills and flushes.
 */
static uint64_t pressure(struct hk_learn_class *c, uint64_t operations)
{
	unsigned keep = (unsigned)hk_list_keep((int32_t)(c->capacity / HK_LEARN_UNIT)) * HK_LEARN_UNIT;
	uint64_t in = (uint64_t)c->refills * c->batch, out = (uint64_t)c->flushes * (c->capacity - keep);
	uint64_t all = operations * HK_LEARN_UNIT, trips;

	c->in = average(c, c->in, in < all ? in : all);
	c->out = average(c, c->out, out < all ? out : all);
	trips = c->in < c->out ? c->in : c->out;
	if (trips * HK_ADAPT_NOISE <= all)
		return 0;
	return (trips << 20) / (uint64_t)(cost(c, c->capacity) + 1) + 1;
}

/* A list that holds more than it needs gives up capacity, but stays above the capacity at
 * which it last made round trips, until that is long ago. */
static void note(struct hk_learn_class *c, uint64_t press, unsigned rate)
{
	c->idle = active(c) ? 0 : c->idle + 1;
	if (press)
		c->needed = c->capacity;
	else if (c->idle > HK_ADAPT_MEMORY)
		c->needed = 0;
	if (c->idle >= HK_ADAPT_IDLE_WINDOWS && c->low * HK_LEARN_UNIT >= c->capacity / HK_ADAPT_IDLE_SHARE &&
	    c->capacity - reduction(c, rate, false) > c->needed + 2 * step_of(c->needed, rate) &&
	    reduction(c, rate, false)) {
		c->capacity -= reduction(c, rate, false);
		c->capacity_moved = HK_IDLE;
	}
}

static void move_batch(struct hk_learn_class *c, uint64_t press, const struct hk_learn_bounds *b)
{
	unsigned top = least(HK_ADAPT_BATCH_BLOCKS, most(HK_ADAPT_BATCH_BYTES / c->size, 1)) * HK_LEARN_UNIT;
	unsigned step = step_of(c->batch, b->rate);

	top = least(top, c->capacity / HK_ADAPT_BATCH_SHARE);
	if (press && c->batch > c->capacity / 2) {
		c->batch -= least(step, c->batch - c->capacity / 2);
		c->batch_moved = HK_TOO_LARGE;
	} else if (c->batch < top && !c->flushes &&
		   (uint64_t)c->refills * c->batch / HK_LEARN_UNIT * HK_ADAPT_NOISE > b->operations) {
		c->batch += least(step, top - c->batch);
		c->batch_moved = HK_STREAM;
	}
	c->batch = least(most(c->batch, HK_LEARN_UNIT), most(c->capacity, HK_LEARN_UNIT));
}

/* The units that a class requests. */
static unsigned wish(const struct hk_learn_class *c, uint64_t press, uint64_t highest,
		     const struct hk_learn_bounds *b)
{
	unsigned most_units = HK_LEARN_CAPACITY_MOST * HK_LEARN_UNIT;

	if (!b->busy || !press || !active(c) || press < highest / HK_ADAPT_GROW_SHARE || c->capacity >= most_units)
		return 0;
	return least(pace(c, b->rate), most_units - c->capacity);
}

/* of * part / whole, at most `of`. */
static unsigned share(int64_t of, int64_t part, int64_t whole, bool up)
{
	return (unsigned)(part < whole ? (of * part + (up ? whole - 1 : 0)) / whole : of);
}

/* Classes under little pressure give up capacity in proportion, so that a new phase takes
 * capacity from many classes and none of them loses much. */
static void collect(struct hk_learn_class *class, unsigned count, const uint64_t *press,
		    uint64_t highest, unsigned rate, int64_t lacking, bool poor)
{
	unsigned reductions[count], given, i;
	int64_t supply = 0;

	for (i = 0; i < count; i++) {
		reductions[i] = press[i] <= highest / HK_ADAPT_PAY_SHARE && class[i].capacity_moved == HK_KEPT ?
			   reduction(&class[i], rate, poor) : 0;
		supply += cost(&class[i], reductions[i]);
	}
	for (i = 0; i < count; i++) {
		given = reductions[i] ? share(reductions[i], lacking, supply, true) : 0;
		class[i].capacity -= given;
		if (given)
			class[i].capacity_moved = poor ? HK_OVER_BUDGET : HK_LENT;
	}
}

/* All classes that request capacity receive it in proportion. */
static void move_capacities(struct hk_learn_class *class, unsigned count, const uint64_t *press,
			    uint64_t highest, const struct hk_learn_bounds *b)
{
	int64_t spare = b->budget * HK_LEARN_UNIT - total(class, count), want = 0;
	unsigned asked[count], got, i;

	for (i = 0; i < count; i++) {
		asked[i] = wish(&class[i], press[i], highest, b);
		want += cost(&class[i], asked[i]);
	}
	if (want > spare) {
		collect(class, count, press, highest, b->rate, want - spare, spare < 0);
		spare = b->budget * HK_LEARN_UNIT - total(class, count);
	}
	for (i = 0; i < count && want && spare > 0; i++) {
		got = asked[i] ? share(asked[i], spare, want, false) : 0;
		class[i].capacity += got;
		if (got)
			class[i].capacity_moved = HK_ROUND_TRIPS;
	}
}

/* A class with an empty list and without a refill or flush for long is skipped, except that
 * it may have to give up capacity. Most classes of most programs are quiet, so windows are
 * cheap. */
static bool quiet(const struct hk_learn_class *c)
{
	return c->idle > HK_ADAPT_MEMORY && !active(c) && !c->in && !c->out && !c->low;
}

void hk_learn_step(struct hk_learn_class *class, unsigned count, const struct hk_learn_bounds *b)
{
	uint64_t press[count], highest = 0;
	unsigned before[count], i;

	for (i = 0; i < count; i++) {
		before[i] = class[i].capacity;
		press[i] = 0;
		class[i].capacity_moved = class[i].batch_moved = HK_KEPT;
		if (quiet(&class[i]))
			continue;
		press[i] = pressure(&class[i], b->operations);
		note(&class[i], press[i], b->rate);
		if (active(&class[i]) && press[i] > highest)
			highest = press[i];
	}
	move_capacities(class, count, press, highest, b);
	for (i = 0; i < count; i++) {
		if (class[i].capacity == before[i] && quiet(&class[i]))
			continue;
		damp(&class[i], before[i]);
		move_batch(&class[i], press[i], b);
	}
}

const char *hk_learn_reason(enum hk_reason reason)
{
	static const char *const texts[] = {
		[HK_KEPT] = "kept", [HK_ROUND_TRIPS] = "round-trips", [HK_LENT] = "lent",
		[HK_OVER_BUDGET] = "over-budget", [HK_IDLE] = "idle", [HK_STREAM] = "stream",
		[HK_TOO_LARGE] = "too-large", [HK_DENSE] = "dense", [HK_SPARSE] = "sparse",
		[HK_UNUSED] = "unused", [HK_NEEDED_AGAIN] = "needed-again",
		[HK_NOT_NEEDED] = "not-needed",
	};

	return texts[reason];
}

const char *hk_learn_moved(enum hk_reason reason)
{
	return reason < HK_STREAM ? "capacity" : reason < HK_DENSE ? "batch" :
	       reason < HK_NEEDED_AGAIN ? "pages" : "purge_delay";
}
