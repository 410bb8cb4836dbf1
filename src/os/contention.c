#define HK_UNCOUNTED
#include "os/lock.h"

#ifdef HK_DEBUG

/* Threads have a row each, of which they are the only writers until there are
 * more of them than rows; relaxed. */
enum { ROWS = 128 };

struct counts {
	_Atomic size_t done, waited;
};
static struct {
	struct counts lock[HK_RANK_COUNT], site[HK_SITES];
} HK_ALIGNED(HK_CACHE_LINE) row[ROWS];

/* Numbers are drawn; 0 stands for all sites beyond the last. */
_Static_assert(HK_RANK_COUNT + HK_SITES <= HK_WAITS, "all of them have an index");

static _Atomic(struct hk_site *) sites[HK_SITES];
static _Atomic unsigned sites_drawn, rows_drawn;
static HK_TLS unsigned my_row;

static unsigned find_row(void)
{
	if (!my_row)
		my_row = 1 + atomic_fetch_add_explicit(&rows_drawn, 1, memory_order_relaxed) % ROWS;
	return my_row - 1;
}

static void add(struct counts *c, bool waited)
{
	atomic_fetch_add_explicit(&c->done, 1, memory_order_relaxed);
	if (waited)
		atomic_fetch_add_explicit(&c->waited, 1, memory_order_relaxed);
}

/* Of two threads that draw for one site the later number stays unused. */
static unsigned find_site(struct hk_site *site)
{
	unsigned number = atomic_load_explicit(&site->number, memory_order_relaxed), none = 0;

	if (number)
		return number;
	number = atomic_fetch_add_explicit(&sites_drawn, 1, memory_order_relaxed) + 1;
	if (number >= HK_SITES)
		return 0;
	if (!atomic_compare_exchange_strong(&site->number, &none, number))
		return none;
	atomic_store_explicit(&sites[number], site, memory_order_release);
	return number;
}

void hk_site_note(struct hk_site *site)
{
	add(&row[find_row()].site[find_site(site)], false);
}

bool hk_site_tried(struct hk_site *site, bool done)
{
	add(&row[find_row()].site[find_site(site)], !done);
	return done;
}

void hk_lock_counted(unsigned rank, bool waited)
{
	add(&row[find_row()].lock[rank], waited);
}

/* The path below the folder of the sources. */
static const char *short_path(const char *path)
{
	const char *at;

	for (at = path; *at; at++)
		if (at[0] == 's' && at[1] == 'r' && at[2] == 'c' && at[3] == '/')
			path = at + 4;
	return path;
}

void hk_waits_sum(unsigned index, struct hk_waits *waits)
{
	static const char *const ranks[HK_RANK_COUNT] = {
		[HK_RANK_REGISTRY] = "registry", [HK_RANK_ORPHAN] = "orphan",
		[HK_RANK_CACHE] = "cache", [HK_RANK_POOL] = "pool", [HK_RANK_LARGE] = "large",
		[HK_RANK_META] = "meta", [HK_RANK_PAGEMAP] = "pagemap" };
	const struct hk_site *site = NULL;
	unsigned i, number = index - HK_RANK_COUNT;

	*waits = (struct hk_waits){ .what = "other places" };
	if (index < HK_RANK_COUNT)
		waits->what = ranks[index];
	else if (number < HK_SITES)
		site = atomic_load_explicit(&sites[number], memory_order_acquire);
	else
		return;
	if (site) {
		waits->what = short_path(site->file);
		waits->line = site->line;
	}
	for (i = 0; i < ROWS; i++) {
		struct counts *c = index < HK_RANK_COUNT ? &row[i].lock[index] : &row[i].site[number];

		waits->done += atomic_load_explicit(&c->done, memory_order_relaxed);
		waits->waited += atomic_load_explicit(&c->waited, memory_order_relaxed);
	}
}

#endif
