/*
 * The index of free slots: SuperSlabs by their longest free run, and those whose free slots
 * hold pages by the time of the last free. The pool lock protects all fields. A thread that
 * frees slots does not take it: it pushes the SuperSlab onto a lock-free stack of changed
 * ones, and the next holder of the lock updates the index. So threads that empty many slabs
 * do not contend for the lock, and many frees into one SuperSlab cause one update.
 */
#include "config/settings.h"
#include "pool/internal.h"

struct hk_pool hk_pool = { .lock = HK_LOCK_INITIALIZER(HK_RANK_POOL) };

static unsigned longest_run(uint64_t free)
{
	unsigned low = 0, high = HK_SLOTS;

	while (low < high) {
		unsigned middle = (low + high + 1) / 2;

		if (hk_run_starts(free, middle))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

void hk_bucket_remove(struct hk_superslab *s)
{
	struct hk_shared_meta *m = s->shared_meta;

	if (!m->bucket)
		return;
	if (m->prev)
		m->prev->shared_meta->next = m->next;
	else
		hk_pool.bucket[m->bucket] = m->next;
	if (m->next)
		m->next->shared_meta->prev = m->prev;
	if (!hk_pool.bucket[m->bucket])
		hk_pool.filled &= ~((uint64_t)1 << (m->bucket - 1));
	m->bucket = 0;
}

void hk_bucket_update(struct hk_superslab *s)
{
	struct hk_shared_meta *m = s->shared_meta;
	unsigned run = longest_run(atomic_load_explicit(&m->free, memory_order_relaxed));

	if (run == m->bucket)
		return;
	hk_bucket_remove(s);
	if (!run)
		return;
	m->prev = NULL;
	m->next = hk_pool.bucket[run];
	if (m->next)
		m->next->shared_meta->prev = s;
	hk_pool.bucket[run] = s;
	hk_pool.filled |= (uint64_t)1 << (run - 1);
	m->bucket = (uint8_t)run;
}

void hk_queue_remove(struct hk_superslab *s)
{
	struct hk_shared_meta *m = s->shared_meta;

	if (!m->queued)
		return;
	*(m->older ? &m->older->shared_meta->newer : &hk_pool.oldest) = m->newer;
	*(m->newer ? &m->newer->shared_meta->older : &hk_pool.newest) = m->older;
	m->queued = false;
}

/* Adds the SuperSlab at the newest end, because memory that was freed last is reused first;
 * at_once: at the oldest end, to be released next. */
static void queue_add(struct hk_superslab *s, bool at_once)
{
	struct hk_shared_meta *m = s->shared_meta;

	if (hk_pool.newest == s && !at_once)
		return;
	hk_queue_remove(s);
	m->queued = true;
	if (at_once) {
		hk_pool.at_once++;
		m->older = NULL;
		m->newer = hk_pool.oldest;
		*(m->newer ? &m->newer->shared_meta->older : &hk_pool.newest) = s;
		hk_pool.oldest = s;
		return;
	}
	m->newer = NULL;
	m->older = hk_pool.newest;
	*(m->older ? &m->older->shared_meta->newer : &hk_pool.oldest) = s;
	hk_pool.newest = s;
}

/*
 * The flag is set after the bits of the freed slots, and cleared before the bits are read.
 * So if the reader missed the bits of a thread, that thread finds the flag cleared and
 * pushes the SuperSlab again. The stack is only taken as a whole, so it needs no ABA tag.
 */
void hk_pool_changed(struct hk_superslab *s)
{
	struct hk_shared_meta *m = s->shared_meta;
	struct hk_superslab *head;

	if (atomic_exchange_explicit(&m->changed, true, memory_order_acq_rel)) {
		if (!atomic_load_explicit(&m->changed_again, memory_order_relaxed))
			atomic_store_explicit(&m->changed_again, true, memory_order_relaxed);
		return;
	}
	head = atomic_load_explicit(&hk_pool.changed, memory_order_relaxed);
	do
		m->next_changed = head;
	while (!hk_swapped(atomic_compare_exchange_weak_explicit(&hk_pool.changed, &head, s,
			memory_order_release, memory_order_relaxed)));
}

/* With HAKMEM_SUPERSLAB_REUSE=0: an empty SuperSlab, or one with many dirty free slots. */
static bool released_at_once(const struct hk_superslab *s)
{
	return !hk_settings.superslab_reuse &&
	       (s->shared_meta->bucket == HK_SLOTS ||
		hk_slots_dirty(s) >= HK_SLOTS / HK_POOL_AT_ONCE_SHARE);
}

static void enter(struct hk_superslab *s)
{
	struct hk_superslab *next;

	for (; s; s = next) {
		next = s->shared_meta->next_changed;
		atomic_exchange_explicit(&s->shared_meta->changed, false, memory_order_acq_rel);
		/* It may have been released meanwhile. */
		if (!hk_superslab_mapped(s))
			continue;
		hk_bucket_update(s);
		if (hk_slots_dirty(s))
			queue_add(s, released_at_once(s));
	}
}

/* In the order of the first free in each, followed by those with further frees. */
static void enter_changed(void)
{
	struct hk_superslab *s = atomic_exchange_explicit(&hk_pool.changed, NULL,
							  memory_order_acquire);
	struct hk_superslab *next, *once = NULL, *again = NULL;

	for (; s; s = next) {
		struct hk_shared_meta *m = s->shared_meta;
		struct hk_superslab **list = &once;

		if (atomic_load_explicit(&m->changed_again, memory_order_relaxed)) {
			atomic_store_explicit(&m->changed_again, false, memory_order_relaxed);
			list = &again;
		}
		next = m->next_changed;
		m->next_changed = *list;
		*list = s;
	}
	enter(once);
	enter(again);
}

static void locked(void)
{
	if (atomic_load_explicit(&hk_pool.changed, memory_order_relaxed))
		enter_changed();
}

bool hk_pool_lock(void)
{
	if (!hk_lock(&hk_pool.lock))
		return false;
	locked();
	return true;
}

struct hk_lock *hk_pool_lock_itself(void)
{
	return &hk_pool.lock;
}

void hk_pool_unlock(void)
{
	hk_unlock(&hk_pool.lock);
}
