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
	hk_list_remove(&m->in_bucket);
	if (!hk_pool.bucket[m->bucket].first)
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
	hk_list_push(&hk_pool.bucket[run], &m->in_bucket);
	hk_pool.filled |= (uint64_t)1 << (run - 1);
	m->bucket = (uint8_t)run;
}

/* Adds the SuperSlab at the newest end, because memory that was freed last is reused first;
 * at_once: at the oldest end, to be released next. */
static void queue_add(struct hk_superslab *s, bool at_once)
{
	struct hk_fifo_link *link = &s->shared_meta->in_queue;

	hk_fifo_remove(link);
	hk_fifo_insert(&hk_pool.queue, link, at_once ? NULL : hk_pool.queue.newest);
	hk_pool.at_once += at_once;
}

/*
 * The flag is set after the bits of the freed slots, and cleared before the bits are read.
 * So if the reader missed the bits of a thread, that thread finds the flag cleared and
 * pushes the SuperSlab again. The stack is only taken as a whole, so it needs no ABA tag.
 */
void hk_pool_changed(struct hk_superslab *s)
{
	struct hk_shared_meta *m = s->shared_meta;

	if (atomic_exchange_explicit(&m->changed, true, memory_order_acq_rel)) {
		if (!atomic_load_explicit(&m->changed_again, memory_order_relaxed))
			atomic_store_explicit(&m->changed_again, true, memory_order_relaxed);
		return;
	}
	hk_stack_push(&hk_pool.changed, &m->change);
}

/* With HAKMEM_SUPERSLAB_REUSE=0: an empty SuperSlab, or one with many dirty free slots. */
static bool released_at_once(const struct hk_superslab *s)
{
	return !hk_settings.superslab_reuse &&
	       (s->shared_meta->bucket == HK_SLOTS ||
		hk_slots_dirty(s) >= HK_SLOTS / HK_POOL_AT_ONCE_SHARE);
}

static struct hk_shared_meta *changed_meta(struct hk_stack_link *link)
{
	return hk_holder(link, struct hk_shared_meta, change);
}

static void enter(struct hk_stack_link *link)
{
	struct hk_stack_link *next;

	for (; link; link = next) {
		struct hk_superslab *s = changed_meta(link)->home;

		next = link->below;
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
	struct hk_stack_link *link = hk_stack_take(&hk_pool.changed), *next;
	struct hk_stack_link *once = NULL, *again = NULL;

	for (; link; link = next) {
		struct hk_shared_meta *m = changed_meta(link);
		struct hk_stack_link **list = &once;

		if (atomic_load_explicit(&m->changed_again, memory_order_relaxed)) {
			atomic_store_explicit(&m->changed_again, false, memory_order_relaxed);
			list = &again;
		}
		next = link->below;
		link->below = *list;
		*list = link;
	}
	enter(once);
	enter(again);
}

static void locked(void)
{
	if (!hk_stack_empty(&hk_pool.changed))
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
