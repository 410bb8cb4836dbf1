/*
 * What is released for each reason, and what is left: the behaviour behind the table of
 * src/cache/ladder.def. Each case fills one rung, in a process of its own, gives one reason,
 * and looks at what is left on the rung. The expected results are below, in `table`; they are
 * not computed from ladder.def. tests/ladder-mutations.sh changes each cell of ladder.def and
 * checks that a case fails.
 *
 * The library is linked in, so that the rungs can be filled and read from inside.
 */
#include "child.h"
#include "heap.h"

#include <hakmem/hakmem.h>
#include <malloc.h>
#include <semaphore.h>

#include "cache/internal.h"
#include "large/large.h"
#include "pool/pool.h"
#include "range/range.h"

enum { SMALL = 64, ALONE = 1000 };	/* ALONE: of a class that nothing else here uses */
enum { FEW_BLOCKS = 10, SPARSE_SLABS = 20, EMPTY_SUPERSLABS = 12, RANGES = 12 };
enum { LONG_MS = 60 * 60 * 1000 };

static struct hk_cache *own, *other;	/* of this thread, and of another one that is waiting */
static void *block[32768];
static size_t blocks;

static void delay(size_t ms)
{
	atomic_store(&hk_purge_delay, ms);
}

/* Ends the period of the sparse slabs of this thread, and of slots and ranges. What waits now
 * is due once the delay has passed another time. The delay is 0 afterwards. */
static void end_sparse_period(void)
{
	struct hk_cache *cache = hk_enter();
	struct hk_slab_purge purge;

	delay(0);
	if (!cache || hk_sparse_begin(cache, hk_os_now(), &purge))
		fail("slabs are due already");
	hk_leave(cache);
}

static void end_periods(void)
{
	struct hk_cache *cache;
	struct hk_pool_release r;

	end_sparse_period();
	cache = hk_enter();
	if (!cache || hk_pool_due(hk_os_now(), &r) || hk_large_due(hk_os_now(), UINT_MAX))
		fail("memory is due already");
	hk_leave(cache);
}

static void allocate(size_t count, size_t size)
{
	if (count > sizeof block / sizeof *block)
		fail("%zu blocks are too many", count);
	for (blocks = 0; blocks < count; blocks++)
		if (!(block[blocks] = hide(malloc(size))))
			fail("no memory");
}

static void free_all(void)
{
	while (blocks)
		free(block[--blocks]);
}

static struct hk_bin *bin_of(struct hk_cache *cache, size_t size)
{
	return &cache->bin[hk_class_of(size)];
}

/* As after HK_IDLE_MS in which the class was used, or not used. */
static void set_used(struct hk_cache *cache, size_t size, bool used)
{
	unsigned class = hk_class_of(size);
	const struct hk_bin *bin = &cache->bin[class];

	cache->swept[class] = bin->refills + bin->flushes + cache->spilled[class].moves - used;
}

/* The blocks of a class are in their slabs, not in a list or in a chain. */
static void empty_lists(size_t size)
{
	struct hk_cache *cache = hk_enter();
	struct hk_bin *bin = bin_of(cache, size);

	hk_drain_all(cache);
	if (bin->head != HK_LIST_END)
		hk_flush(cache, bin, 0);
	hk_leave(cache);
}

static void deliver(void)
{
	struct hk_cache *cache = hk_enter();

	hk_deliver_all(cache);
	hk_leave(cache);
}

/*
 * Another thread, which has a cache, does something and then waits.
 */
static void (*to_do)(void);
static sem_t done;

static void *in_thread(void *arg)
{
	get_own_cache();
	end_sparse_period();
	delay(LONG_MS);
	other = hk_tls;
	to_do();
	sem_post(&done);
	while (!arg)
		pause();
	return NULL;
}

static pthread_t begin_thread(void (*what)(void), void *ends)
{
	pthread_t id;

	to_do = what;
	sem_init(&done, 0, 0);
	if (pthread_create(&id, NULL, in_thread, ends))
		fail("cannot start a thread");
	while (sem_wait(&done))
		;
	return id;
}

static void in_other(void (*what)(void))
{
	begin_thread(what, NULL);
}

/* A thread that makes so few calls that it has no cache of its own. */
static void *few_calls(void *arg)
{
	to_do();
	return arg;
}

static void in_shared(void (*what)(void))
{
	pthread_t id;

	to_do = what;
	if (pthread_create(&id, NULL, few_calls, NULL))
		fail("cannot start a thread");
	pthread_join(id, NULL);
}

/*
 * batches, mailboxes
 */
static void allocate_few(void) { allocate(FEW_BLOCKS, SMALL); }

static void fill_batch(void)
{
	in_other(allocate_few);
	free_all();
}

static size_t left_in_batches(void)
{
	size_t n = 0, i;

	for (i = 0; i < HK_BATCHES; i++)
		n += own->batch[i].head ? own->batch[i].count : 0;
	return n;
}

static void send_all(void)
{
	free_all();
	deliver();
}

static void fill_own_mail(void)
{
	allocate_few();
	in_other(send_all);
}

static void fill_other_mail(void)
{
	in_other(allocate_few);
	send_all();
}

static void fill_shared_mail(void)
{
	in_shared(allocate_few);
	send_all();
}

static size_t left_in_own_mail(void) { return hk_has_mail(own); }
static size_t left_in_other_mail(void) { return hk_has_mail(other); }
static size_t left_in_shared_mail(void) { return hk_has_mail(&hk_orphan); }

/*
 * chains
 */
static void set_chains_aside(void)
{
	hk_tls->spilled[hk_class_of(SMALL)].debt = -HK_SPILL_UNIT * HK_CHAINS;
	allocate(sizeof block / sizeof *block, SMALL);
	free_all();
	if (hk_tls->used_chains <= HK_DRAIN_CHAINS + 1)
		fail("%u chains are too few", hk_tls->used_chains);
	set_used(hk_tls, SMALL, false);
}

static void fill_idle_chains(void) { set_chains_aside(); }
static void fill_other_chains(void) { in_other(set_chains_aside); }

static void fill_used_other_chains(void)
{
	in_other(set_chains_aside);
	set_used(other, SMALL, true);
}

static void fill_used_chains(void)
{
	set_chains_aside();
	set_used(own, SMALL, true);
}

static size_t left_in_own_chains(void) { return own->spilled_bytes; }
static size_t left_in_other_chains(void) { return other->spilled_bytes; }

/*
 * lists
 */
static size_t list_length(struct hk_cache *cache)
{
	const struct hk_bin *bin = bin_of(cache, ALONE);

	return (size_t)(bin->capacity - bin->room);
}

static void make_list(void)
{
	free(hide(malloc(ALONE)));
	set_used(hk_has_lists(hk_tls) ? hk_tls : &hk_orphan, ALONE, false);
}

static void fill_idle_list(void) { make_list(); }
static void fill_other_list(void) { in_other(make_list); }
static void fill_idle_shared_list(void) { in_shared(make_list); }

static void fill_used_list(void)
{
	make_list();
	set_used(own, ALONE, true);
}

static void fill_used_shared_list(void)
{
	in_shared(make_list);
	set_used(&hk_orphan, ALONE, true);
}

static size_t left_in_own_list(void) { return list_length(own); }
static size_t left_in_other_list(void) { return list_length(other); }
static size_t left_in_shared_list(void) { return list_length(&hk_orphan); }

/*
 * slabs, stage 1
 */
static size_t empty_slabs(struct hk_cache *cache)
{
	struct hk_slab *slab;
	size_t n = 0;

	for (slab = hk_slab_listed(bin_of(cache, ALONE)->avail.first); slab; slab = hk_slab_after(slab))
		n += slab->used == 0;
	return n;
}

static void make_empty_slab(void)
{
	free(hide(malloc(ALONE)));
	empty_lists(ALONE);
	set_used(hk_tls, ALONE, false);
}

static void fill_idle_slab(void) { make_empty_slab(); }
static void fill_other_slab(void) { in_other(make_empty_slab); }

static void fill_used_slab(void)
{
	make_empty_slab();
	set_used(own, ALONE, true);
}

static size_t left_in_own_slabs(void) { return empty_slabs(own); }
static size_t left_in_other_slabs(void) { return empty_slabs(other); }

/* The heap is so large that stage 1 keeps an empty slab. */
static void fill_stage1(void)
{
	struct hk_cache *cache;

	allocate(sizeof block / sizeof *block, 2 * SMALL);
	make_empty_slab();
	cache = hk_enter();
	hk_bin_release_empty(bin_of(cache, ALONE));
	hk_leave(cache);
}

static size_t left_in_stage1(void)
{
	return atomic_load(&hk_pool_counters.slabs[hk_class_of(ALONE)]);
}

/*
 * holes
 */
static struct hk_slab *sparse[SPARSE_SLABS];

/* One block of each slab stays in use. */
static void make_sparse(void)
{
	struct hk_slab *last = NULL;
	size_t i, slabs = 0;

	allocate(2 * SPARSE_SLABS * HK_SLOT_SIZE / SMALL, SMALL);
	for (i = 0; i < blocks; i++) {
		struct hk_slab *slab = hk_slab_guess(block[i]);

		if (slab == last || slabs == SPARSE_SLABS)
			free(block[i]);
		else
			sparse[slabs++] = last = slab;
	}
	if (slabs < SPARSE_SLABS)
		fail("%zu slabs are too few", slabs);
	empty_lists(SMALL);
}

static void sparse_own(void) { make_sparse(); }
static void sparse_other(void) { in_other(make_sparse); }

static void sparse_without_owner(void)
{
	pthread_join(begin_thread(make_sparse, &done), NULL);
}

/* A slab that became sparse in the last period, and is due in the next one. */
static void wait_in_other(void)
{
	make_sparse();
	end_sparse_period();
}

static void sparse_other_due(void) { in_other(wait_in_other); }

static size_t left_without_holes(void)
{
	size_t i, n = 0;

	for (i = 0; i < SPARSE_SLABS; i++)
		n += !hk_slab_holed(sparse[i]);
	return n;
}

/*
 * slots, ranges
 */
static void empty_superslabs(void)
{
	allocate(EMPTY_SUPERSLABS * 4, 500 * KB);
	free_all();
}

/* Other rungs may have left a few free slots. */
static size_t left_in_slots(void) { return hk_pool_waiting() / HK_SUPERSLAB_SIZE; }

/* Every second one, because adjacent free ranges become one. */
static void free_ranges(void)
{
	size_t i;

	allocate(2 * RANGES, 3 * MB);
	for (i = 0; i < blocks; i += 2)
		free(block[i]);
}

static size_t left_in_ranges(void) { return hk_range_waiting(); }

/*
 * The cases. A column of the table is a way to fill a rung, a row a reason:
 *	a	all of it is released
 *	p	a part of it
 *	-	nothing
 * A column that waits long enough is due: its memory has waited for the purge delay.
 */
static const struct column {
	const char *name;
	void (*fill)(void);
	size_t (*left)(void);
	bool due;
} column[] = {
	{ "a batch", fill_batch, left_in_batches, false },
	{ "its own mailbox", fill_own_mail, left_in_own_mail, false },
	{ "another mailbox", fill_other_mail, left_in_other_mail, false },
	{ "the mailbox of the shared cache", fill_shared_mail, left_in_shared_mail, false },
	{ "chains of an idle class", fill_idle_chains, left_in_own_chains, false },
	{ "chains of a class in use", fill_used_chains, left_in_own_chains, false },
	{ "chains of another thread", fill_other_chains, left_in_other_chains, false },
	{ "chains in use of another thread", fill_used_other_chains, left_in_other_chains, false },
	{ "the list of an idle class", fill_idle_list, left_in_own_list, false },
	{ "the list of a class in use", fill_used_list, left_in_own_list, false },
	{ "the list of another thread", fill_other_list, left_in_other_list, false },
	{ "an idle list of the shared cache", fill_idle_shared_list, left_in_shared_list, false },
	{ "a list in use of the shared cache", fill_used_shared_list, left_in_shared_list, false },
	{ "an empty slab of an idle class", fill_idle_slab, left_in_own_slabs, false },
	{ "an empty slab of a class in use", fill_used_slab, left_in_own_slabs, false },
	{ "an empty slab of another thread", fill_other_slab, left_in_other_slabs, false },
	{ "an empty slab without an owner", fill_stage1, left_in_stage1, false },
	{ "pages of sparse slabs that are due", sparse_own, left_without_holes, true },
	{ "pages of sparse slabs", sparse_own, left_without_holes, false },
	{ "pages of another thread's that are due", sparse_other_due, left_without_holes, true },
	{ "pages of another thread's", sparse_other, left_without_holes, false },
	{ "pages of slabs without an owner", sparse_without_owner, left_without_holes, false },
	{ "slots that are due", empty_superslabs, left_in_slots, true },
	{ "slots", empty_superslabs, left_in_slots, false },
	{ "ranges that are due", free_ranges, left_in_ranges, true },
	{ "ranges", free_ranges, left_in_ranges, false },
};
enum { COLUMNS = sizeof column / sizeof *column, FIRST_PAGES = 17, LAST_PAGES = 21 };

static const struct row {
	const char *name, *expected;
} table[HK_RECLAIM_REASONS] = {
	/*                              batch |   chains | slabs  |  pages  | ranges
	 *                                    mailboxes lists   stage1   slots     */
	[HK_FOR_TICK]      = { "TICK",      "a" "--a" "p---" "a----" "a--" "-" "p----" "p-" "p-" },
	[HK_FOR_FREED]     = { "FREED",     "-" "---" "----" "-----" "---" "-" "-----" "p-" "p-" },
	[HK_FOR_STARVED]   = { "STARVED",   "-" "---" "pp--" "-----" "---" "-" "-----" "--" "--" },
	[HK_FOR_GROWTH]    = { "GROWTH",    "-" "-aa" "p---" "a----" "a--" "-" "-----" "--" "--" },
	[HK_FOR_IDLE]      = { "IDLE",      "-" "aaa" "a-a-" "---a-" "a-a" "-" "a-a--" "a-" "a-" },
	[HK_FOR_QUIET]     = { "QUIET",     "-" "aaa" "a-a-" "---aa" "a-a" "a" "a-a-a" "a-" "a-" },
	[HK_FOR_PRESSURE]  = { "PRESSURE",  "-" "aaa" "aaaa" "---aa" "aaa" "a" "aaaaa" "aa" "aa" },
	[HK_FOR_END]       = { "END",       "a" "a-a" "aa--" "aa---" "aa-" "-" "-----" "p-" "p-" },
	[HK_FOR_NO_MEMORY] = { "NO_MEMORY", "a" "aaa" "aaaa" "aa-aa" "aaa" "a" "-----" "aa" "aa" },
	[HK_FOR_TRIM]      = { "TRIM",      "a" "aaa" "aaaa" "aa-aa" "aaa" "a" "aaaaa" "aa" "aa" },
};

/* For a slow path of this thread; the lock is not held during the second part. */
static void slow_path(enum hk_reclaim_reason reason)
{
	struct hk_cache *cache = hk_enter();
	unsigned due;

	if (reason != HK_FOR_FREED)
		hk_reclaim_held(cache, reason);
	due = cache->due | 1u << reason;
	cache->due = 0;
	hk_leave(cache);
	hk_reclaim_rest(due);
}

static void give(enum hk_reclaim_reason reason)
{
	switch (reason) {
	case HK_FOR_IDLE: case HK_FOR_QUIET: case HK_FOR_PRESSURE:
		hk_reclaim(reason);
		return;
	case HK_FOR_END:
		hak_thread_idle();
		return;
	case HK_FOR_NO_MEMORY:
		hk_limit_set(1);
		if (hide(malloc(hide_size(64 * MB))))
			fail("the limit is not in force");
		return;
	case HK_FOR_TRIM:
		malloc_trim(0);
		return;
	default:
		slow_path(reason);
	}
}

struct test {
	const struct column *column;
	enum hk_reclaim_reason reason;
	char expected;
};

static void run(void *arg)
{
	const struct test *t = (const struct test *)arg;
	struct hk_cache *cache;
	size_t before, after;
	char seen;

	get_own_cache();
	own = hk_tls;
	atomic_store(&hk_os_memory_limit, SIZE_MAX);
	end_periods();
	delay(LONG_MS);
	t->column->fill();
	if (t->column->due)
		end_periods();
	atomic_store(&hk_mail_slots, 0);
	for (cache = hk_caches; cache; cache = cache->next_registered)
		cache->swept_at = 0;
	before = t->column->left();
	if (!before)
		fail("nothing is there");
give(t->reason);
	after = t->column->left();
	seen = after == before ? '-' : after ? 'p' : 'a';
	if (seen != t->expected)
		fail("%zu before, %zu after: %c, not %c", before, after, seen, t->expected);
}

static bool has_pages_to_release(unsigned i)
{
	return i < FIRST_PAGES || i > LAST_PAGES || hk_page_size <= 4096;
}

static void run_row(enum hk_reclaim_reason reason)
{
	char name[128];
	unsigned i;

	for (i = 0; i < COLUMNS; i++) {
		struct test t = { &column[i], reason, table[reason].expected[i] };

		snprintf(name, sizeof name, "%s releases %s: %s", table[reason].name,
			 t.expected == 'a' ? "all" : t.expected == 'p' ? "a part" : "nothing", column[i].name);
		if (has_pages_to_release(i))
			child_ok(run, &t, 60, name);
		else
			skip(name, "a slab has no whole free page");
	}
}

/* Arguments: "settings" if they are set; one reason, "" for all. */
int main(int argc, char **argv)
{
	unsigned reason;

	if (argc < 3 || strcmp(argv[1], "settings") != 0) {
		setenv("HAKMEM_PROFILE", "default", 1);
		setenv("HAKMEM_SCAVENGER", "0", 1);
		setenv("HAKMEM_HARDEN", "0", 1);
		setenv("HAKMEM_SUPERSLAB_REUSE", "1", 1);
		exec_self("reclaim", "settings", argc > 1 ? argv[1] : "");
		bail("cannot execute this program again");
	}
	tap_start();
	for (reason = 0; reason < HK_RECLAIM_REASONS; reason++)
		if (!table[reason].name)
			ok(false, "reason %u has a row in the table of this test", reason);
		else if (!argv[2][0] || !strcmp(argv[2], table[reason].name))
			run_row((enum hk_reclaim_reason)reason);
	return tap_end();
}
