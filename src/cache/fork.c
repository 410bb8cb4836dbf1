/* Fork in a program with threads: the parent's locks are all taken for it, and
 * the child, alone, inherits the slabs of the threads that it lacks. */
#include "cache/threads.h"
#include "debug/ring.h"
#include "large/large.h"
#include "os/os.h"
#include "pool/meta.h"
#include "pool/pool.h"
#include "slab/pagemap.h"

_Atomic uint64_t hk_forked_at;

void hk_lock_everything(void)
{
	struct hk_cache *cache;

	hk_lock(&hk_registry_lock);
	hk_lock(&hk_orphan_lock);
	for (cache = hk_caches; cache; cache = cache->next_registered)
		hk_lock(&cache->lock);
	hk_pool_lock();
	hk_large_lock();
	hk_meta_lock();
	hk_pagemap_lock();
}

void hk_unlock_everything(void)
{
	struct hk_cache *cache;

	hk_pagemap_unlock();
	hk_meta_unlock();
	hk_large_unlock();
	hk_pool_unlock();
	for (cache = hk_caches; cache; cache = cache->next_registered)
		hk_unlock(&cache->lock);
	hk_unlock(&hk_orphan_lock);
	hk_unlock(&hk_registry_lock);
}

/* Handlers registered before ours run inside: see hk_all_locked. A cache made
 * there would be unlocked without having been locked, so there is one before. */
static void fork_prepare(void)
{
	hk_event(HK_EVENT_FORK, 0, NULL, 0);
	hk_leave(hk_enter());
	hk_lock_everything();
	hk_all_locked = true;
}

static void fork_parent(void)
{
	atomic_store_explicit(&hk_forked_at, hk_os_now(), memory_order_relaxed);
	hk_all_locked = false;
	hk_unlock_everything();
}

/*
 * The child has this thread alone. The others' slabs were at rest, so they
 * are abandoned as at thread exit and get used again; blocks in the others'
 * lists stay taken, for no one can tell what the hot path was doing. So do
 * the blocks on their way to them.
 */
static void fork_child(void)
{
	struct hk_cache *cache, *mine = hk_tls;

	fork_parent();
	hk_huge_forked();
	if (hk_hooks.forked)
		hk_hooks.forked();
	for (cache = hk_caches; cache; cache = cache->next_registered) {
		unsigned i;

		if (cache == mine || !cache->live)
			continue;
		hk_lock(&cache->lock);
		hk_drain_all(cache);
		hk_abandon_slabs(cache);
		atomic_store(&cache->mailbox, HK_MAILBOX_CLOSED);
		cache->inbox = NULL;
		for (i = 0; i < HK_BATCHES; i++)
			cache->batch[i] = (struct hk_batch){ 0 };
		hk_suspects_forget(cache);
		hk_unlock(&cache->lock);
		hk_retire(cache);
	}
}

void hk_fork_watch(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}
