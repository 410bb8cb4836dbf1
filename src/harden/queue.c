/*
 * The quarantine. Each thread has a ring in which the blocks that it freed wait; the number
 * of blocks and their bytes are limited. A new block is swapped with one of the newest, or of
 * the newer half if there are few. So the order of reuse cannot be predicted, and no block is
 * reused soon. A choice among more blocks would not be harder to guess and would cost
 * locality.
 *
 * Only its thread uses a ring, without a lock. A signal handler that interrupts the thread
 * there finds the ring busy, and frees blocks without it.
 */
#include "harden/internal.h"

#include "config/policy.h"
#include "slab/meta.h"

struct hk_queue {
	void *block[HK_QUEUE_BLOCKS];
	uint8_t class[HK_QUEUE_BLOCKS];
	void *wide[HK_QUEUE_WIDE_BLOCKS];
	unsigned first, count;
	unsigned first_wide, wides;
	size_t bytes, wide_bytes;
	uint64_t random;
	volatile bool busy;
};

static struct hk_queue *new_queue(void)
{
	struct hk_cache *cache = hk_enter();
	struct hk_queue *q;

	if (!cache)
		return NULL;
	q = hk_cache_private(cache) ? hk_meta_alloc(sizeof *q) : NULL;
	if (q) {
		q->random = hk_seal_mask((uintptr_t)q) | 1;
		cache->queue = q;
	}
	hk_leave(cache);
	return q;
}

/* The ring is changed only between begin() and end(); see the top. */
HK_INLINE void begin(struct hk_queue *q)
{
	q->busy = true;
	atomic_signal_fence(memory_order_seq_cst);
}

HK_INLINE void end(struct hk_queue *q)
{
	atomic_signal_fence(memory_order_seq_cst);
	q->busy = false;
}

/* NULL: this thread cannot use a quarantine, now or at all. */
HK_INLINE struct hk_queue *enter_queue(void)
{
	struct hk_cache *cache = hk_tls;
	struct hk_queue *q;

	if (hk_unlikely(!hk_has_lists(cache)))
		return NULL;
	q = cache->queue;
	if (hk_unlikely(!q))
		q = new_queue();
	if (hk_unlikely(!q || q->busy))
		return NULL;
	begin(q);
	return q;
}

/* xorshift64: to predict it, an attacker would need more of its numbers than are visible. */
HK_INLINE unsigned chance(struct hk_queue *q, unsigned below)
{
	uint64_t x = q->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	q->random = x;
	return (unsigned)((uint64_t)(uint32_t)(x >> 32) * below >> 32);
}

HK_INLINE void insert(struct hk_queue *q, void *p, unsigned class)
{
	unsigned last = (q->first + q->count) % HK_QUEUE_BLOCKS;
	unsigned other = (q->first + q->count - chance(q, q->count < 2 * HK_QUEUE_NEAR ? q->count / 2 + 1 : HK_QUEUE_NEAR + 1)) % HK_QUEUE_BLOCKS;

	q->block[last] = q->block[other];
	q->class[last] = q->class[other];
	q->block[other] = p;
	q->class[other] = (uint8_t)class;
	q->count++;
	q->bytes += hk_class_size(class);
}

/* Removes the oldest block if a limit is exceeded or if all are wanted; NULL otherwise. */
HK_INLINE void *surplus(struct hk_queue *q, bool all, unsigned *class)
{
	unsigned most = hk_guards_on() ? HK_QUEUE_BLOCKS - 1 : HK_QUEUE_FEW_BLOCKS;
	size_t bytes = hk_guards_on() ? HK_QUEUE_BYTES : HK_QUEUE_FEW_BYTES;
	void *p;

	if (!q->count || (!all && q->count <= most && q->bytes <= bytes))
		return NULL;
	p = q->block[q->first];
	*class = q->class[q->first];
	q->first = (q->first + 1) % HK_QUEUE_BLOCKS;
	q->count--;
	q->bytes -= hk_class_size(*class);
	__builtin_prefetch(q->block[(q->first + HK_QUEUE_AHEAD) % HK_QUEUE_BLOCKS], 1);
	return p;
}

void hk_queue_push(void *p, unsigned class, const void *caller)
{
	struct hk_queue *q = enter_queue();

	if (hk_unlikely(!q)) {
		hk_settle(p, class, caller);
		return;
	}
	insert(q, p, class);
	while ((p = surplus(q, false, &class)) != NULL) {
		end(q);
		hk_settle(p, class, caller);
		begin(q);
	}
	end(q);
}

HK_INLINE void *surplus_wide(struct hk_queue *q, bool all)
{
	void *p;

	if (!q->wides || (!all && q->wides < HK_QUEUE_WIDE_BLOCKS && q->wide_bytes <= HK_QUEUE_WIDE_BYTES))
		return NULL;
	p = q->wide[q->first_wide];
	q->first_wide = (q->first_wide + 1) % HK_QUEUE_WIDE_BLOCKS;
	q->wides--;
	q->wide_bytes -= hk_large_size(p);
	return p;
}

void hk_queue_push_wide(void *p, size_t whole)
{
	struct hk_queue *q = whole > HK_QUEUE_WIDE_BYTES / HK_QUEUE_WIDE_SHARE ? NULL : enter_queue();

	if (!q) {
		hk_wide_settle(p);
		return;
	}
	q->wide[(q->first_wide + q->wides++) % HK_QUEUE_WIDE_BLOCKS] = p;
	q->wide_bytes += whole;
	while ((p = surplus_wide(q, false)) != NULL) {
		end(q);
		hk_wide_settle(p);
		begin(q);
	}
	end(q);
}

bool hk_queue_drain(struct hk_cache *cache)
{
	struct hk_queue *q = hk_has_lists(cache) ? cache->queue : NULL;
	unsigned class;
	void *p;

	if (!q || q->busy || !(q->count + q->wides))
		return false;
	begin(q);
	while ((p = surplus(q, true, &class)) != NULL)
		hk_settle(p, class, NULL);
	while ((p = surplus_wide(q, true)) != NULL)
		hk_wide_settle(p);
	end(q);
	return true;
}
