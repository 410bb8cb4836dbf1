/*
 * What is due for release, by itself: single cases, and at random beside a model that
 * remembers every moment of a period.
 */
#include "tap.h"

#include "range/decay.h"

enum { PERIOD = 100, MANY = 1000000 };

static struct hk_decay decay;

static size_t due_at(uint64_t now)
{
	return hk_decay_due(&decay, now, PERIOD, MANY);
}

/* A period begins at 1000, with so much waiting. */
static void start(size_t waiting)
{
	decay = (struct hk_decay){ .began = 0 };
	due_at(1000 - PERIOD);
	hk_decay_add(&decay, waiting);
	due_at(1000);
}

static void test_periods(void)
{
	start(50);
	ok(due_at(1000 + PERIOD - 1) == 0, "nothing is due before a period has passed");
	ok(due_at(1000 + PERIOD) == 50, "what waited for a whole period is due");
	ok(due_at(1000 + PERIOD) == 50, "for as long as it is not released");
	hk_decay_subtract(&decay, 20);
	hk_decay_release(&decay, 20);
	ok(due_at(1000 + PERIOD + 1) == 30, "what was released is not due again");
	hk_decay_release(&decay, 40);
	ok(due_at(1000 + PERIOD + 2) == 0, "nor is anything if a piece was larger than what was due");

	start(50);
	hk_decay_subtract(&decay, 40);
	hk_decay_add(&decay, 90);
	ok(due_at(1000 + PERIOD) == 10, "what was used for a moment is not due");
	hk_decay_release(&decay, 10);
	hk_decay_subtract(&decay, 10);
	ok(due_at(1000 + 2 * PERIOD) == 90, "but after another period without use");

	start(50);
	hk_decay_add(&decay, 30);
	ok(due_at(1000 + PERIOD) == 50, "what was freed during the period is not due");
	ok(due_at(1000 + 9 * PERIOD) == 80, "a period lasts until somebody asks");
}

static void test_limit(void)
{
	start(0);
	hk_decay_add(&decay, 50);
	ok(hk_decay_due(&decay, 1001, PERIOD, 20) == 30, "what exceeds the limit is due at once");
	ok(hk_decay_due(&decay, 1001, PERIOD, 50) == 0, "nothing is due at the limit");
	start(50);
	ok(hk_decay_due(&decay, 1000 + PERIOD, PERIOD, 30) == 50, "the larger of the two is due");
}

static void test_idle(void)
{
	start(50);
	ok(hk_decay_is_idle(&decay, 1001, PERIOD, MANY), "it is idle during the first period");
	ok(!hk_decay_is_idle(&decay, 1000 + PERIOD, PERIOD, MANY), "not at its end");
	ok(!hk_decay_is_idle(&decay, 1001, PERIOD, 49), "nor if too much waits");
	ok(!hk_decay_is_idle(&decay, 1001, 1, MANY), "nor if the period has become shorter");
	due_at(1000 + PERIOD);
	ok(!hk_decay_is_idle(&decay, 1000 + PERIOD + 1, PERIOD, MANY), "nor while something is due");
	hk_decay_release(&decay, 50);
	due_at(1000 + PERIOD + 1);
	ok(hk_decay_is_idle(&decay, 1000 + PERIOD + 2, PERIOD, MANY), "it is idle when all of it was released");
}

static uint64_t state;

static size_t below(size_t bound)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(state >> 33) % bound;
}

/* The model: what waits, the least since the period began, and what is left of the last one. */
static struct {
	size_t waiting, least, left;
	uint64_t began;
} model;

static size_t model_due(uint64_t now, size_t limit)
{
	size_t excess = model.waiting > limit ? model.waiting - limit : 0;

	if (now >= model.began + PERIOD) {
		model.left = model.least;
		model.least = model.waiting;
		model.began = now;
	}
	return excess > model.left ? excess : model.left;
}

static void model_change(size_t waiting)
{
	model.waiting = waiting;
	if (waiting < model.least)
		model.least = waiting;
}

/* Frees, uses again, and asks; releases at most what is due. */
static bool random_step(uint64_t now)
{
	size_t limit = below(2000), amount = below(300), due;
	bool idle = hk_decay_is_idle(&decay, now, PERIOD, limit);

	switch (below(4)) {
	case 0:
		hk_decay_add(&decay, amount);
		model_change(model.waiting + amount);
		return true;
	case 1:
		amount = amount < model.waiting ? amount : model.waiting;
		hk_decay_subtract(&decay, amount);
		model_change(model.waiting - amount);
		return true;
	default:
		due = hk_decay_due(&decay, now, PERIOD, limit);
		if (due != model_due(now, limit) || (idle && due))
			return false;
		amount = below(due + 1);
		amount = amount < model.waiting ? amount : model.waiting;
		hk_decay_subtract(&decay, amount);
		hk_decay_release(&decay, amount);
		model_change(model.waiting - amount);
		model.left -= amount < model.left ? amount : model.left;
		return hk_decay_waiting(&decay) == model.waiting;
	}
}

static void test_model(void)
{
	uint64_t now = PERIOD;
	unsigned long n, rounds = tap_rounds(200000);

	state = tap_seed();
	decay = (struct hk_decay){ .began = 0 };
	for (n = 0; n < rounds; n++) {
		now += below(PERIOD / 4);
		if (!random_step(now))
			break;
	}
	ok(n == rounds, "it agrees with a model at random, and is never idle if something is due");
	if (n < rounds)
		diag("  at step %lu", n);
}

int main(void)
{
	tap_watch(300);
	test_periods();
	test_limit();
	test_idle();
	test_model();
	return tap_end();
}
