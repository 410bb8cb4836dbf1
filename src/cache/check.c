/*
 * Pointers that must not be freed: what they are, said in one line.
 *
 * A block freed with the mark of a free block in it is only a suspect, for a
 * program may have copied those bytes. Proof is to find it: in its slab's
 * bitmap, in the owner's list, on its way in a batch or a mailbox. What is
 * proved neither way must not be linked anywhere, it might be in a list
 * already; it waits in its owner's suspects. There it is convicted when it
 * turns up a second time or has been given out again, and taken as freed
 * when nothing of the kind happened for a while.
 */
#include "cache/cache.h"
#include "debug/ring.h"
#include "large/large.h"
#include "pool/meta.h"
#include "slab/pagemap.h"

enum { SUSPECT_PATIENCE = 64 };

static void start(struct hk_line *line, enum hk_call call, const void *p)
{
	static const char *const name[] = { "free", "realloc", "malloc_usable_size",
		"free_sized", "free_aligned_sized" };

	hk_line_start(line);
	hk_line_str(line, name[call]);
	hk_line_str(line, "(): ");
	hk_line_hex(line, (uintptr_t)p);
}

static _Noreturn void stop(struct hk_line *line, const void *p)
{
	hk_leave_to_abort();
	hk_trace_abort(line, p);
}

static void put_kind(struct hk_line *line, const struct hk_slab *slab)
{
	hk_line_dec(line, slab->size);
	hk_line_str(line, "-byte block of C");
	hk_line_dec(line, hk_class_group(slab->class));
}

static void put_away(struct hk_line *line, const void *p, uintptr_t from, const char *where)
{
	hk_line_str(line, " is ");
	hk_line_dec(line, (uintptr_t)p - from);
	hk_line_str(line, " bytes ");
	hk_line_str(line, where);
}

static void put_start(struct hk_line *line, uintptr_t block)
{
	hk_line_str(line, " that starts at ");
	hk_line_hex(line, block);
}

_Noreturn void hk_already_free(enum hk_call call, const void *p, const struct hk_slab *slab)
{
	struct hk_line line;

	start(&line, call, p);
	hk_line_str(&line, " is already free (");
	put_kind(&line, slab);
	hk_line_char(&line, ')');
	stop(&line, p);
}

static void describe_slab(struct hk_line *line, const void *p, const struct hk_slab *slab)
{
	unsigned i = hk_slab_index(slab, p);
	uintptr_t block = slab->base + (uintptr_t)i * slab->size;

	if (i >= slab->blocks) {
		put_away(line, p, slab->base + (uintptr_t)slab->blocks * slab->size,
			 "behind the last block of a slab (");
		put_kind(line, slab);
		hk_line_char(line, ')');
		return;
	}
	if (i < slab->carved && block != (uintptr_t)p) {
		put_away(line, p, block, "inside a ");
		put_kind(line, slab);
		put_start(line, block);
		return;
	}
	hk_line_str(line, i < slab->carved ? " is already free (" : " was never allocated (");
	put_kind(line, slab);
	hk_line_char(line, ')');
}

static void describe_span(struct hk_line *line, const void *p, uintptr_t block,
			  size_t size, const char *kind)
{
	if ((uintptr_t)p - block < size)
		put_away(line, p, block, "inside a ");
	else
		put_away(line, p, block + size, "behind the end of a ");
	hk_line_dec(line, size);
	hk_line_str(line, "-byte ");
	hk_line_str(line, kind);
	hk_line_str(line, " block");
	put_start(line, block);
}

/* The run that p, in free slots, lay in last, as far as descriptors still tell. */
static const struct hk_slab *former_run(const void *p, const struct hk_superslab *home)
{
	unsigned slot = (uintptr_t)p >> HK_SLOT_SHIFT & (HK_SLOTS - 1), i;

	for (i = 0; i <= slot; i++) {
		const struct hk_slab *run = &home->slab[slot - i];

		if (run->base == home->base + (slot - i) * HK_SLOT_SIZE && i < run->slots)
			return run;
	}
	return NULL;
}

static void describe_former(struct hk_line *line, const void *p, const struct hk_superslab *home)
{
	const struct hk_slab *run = former_run(p, home);
	uintptr_t offset = run ? (uintptr_t)p - run->base : 0;

	if (run && run->class < HK_CLASSES && offset % run->size == 0 && offset / run->size < run->carved)
		describe_slab(line, p, run);
	else if (run && run->class == HK_CLASSES && offset == 0)
		hk_line_str(line, " is already free (Mid block)");
	else
		hk_line_str(line, " lies in free memory of the heap");
}

_Noreturn void hk_bad_pointer(enum hk_call call, const void *p)
{
	const struct hk_superslab *home = hk_granule_find(p).superslab;
	const struct hk_slab *run = hk_run_find(p);
	struct hk_span span;
	struct hk_line line;

	start(&line, call, p);
	if (run && run->kind == HK_RUN_SLAB)
		describe_slab(&line, p, run);
	else if (run && run->base != (uintptr_t)p)
		describe_span(&line, p, run->base, run->size, "Mid");
	else if (run)
		hk_line_str(&line, " is already free (Mid block)");
	else if (home)
		describe_former(&line, p, home);
	else if (hk_large_around(p, &span))
		describe_span(&line, p, span.start, span.size, span.kind);
	else
		hk_line_str(&line, " is not a hakmem block");
	stop(&line, p);
}

/* Lock held; the block of the cache's own slab is on no list of this cache. */
static bool found_here(struct hk_cache *cache, struct hk_slab *slab, const void *block)
{
	return hk_bin_has(cache, slab, block);
}

struct hk_slab *hk_slab_of(const void *p, enum hk_call call)
{
	struct hk_slab *slab = hk_slab_guess(p);

	/* The range as well: a wrong guess may be another thread's, changing. */
	if ((uintptr_t)p - slab->base < slab->slots * HK_SLOT_SIZE && hk_slab_valid(slab, p))
		return slab;
	slab = hk_run_find(p);
	if (!slab || slab->kind != HK_RUN_SLAB)
		return NULL;
	if (!hk_slab_valid(slab, p))
		hk_bad_pointer(call, p);
	hk_slab_remember(slab, p);
	return slab;
}

struct hk_slab *hk_slab_of_freed(const void *block)
{
	struct hk_slab *slab = hk_slab_of(block, HK_CALL_FREE);

	if (!slab)
		hk_bad_pointer(HK_CALL_FREE, block);
	return slab;
}

/* NULL: out of memory. */
static struct hk_suspects *further(struct hk_suspects *s)
{
	struct hk_suspects *more = atomic_load(&s->more), *fresh;

	if (more)
		return more;
	fresh = hk_meta_alloc(sizeof *fresh);
	if (!fresh || atomic_compare_exchange_strong(&s->more, &more, fresh))
		return fresh;
	return more;
}

/* False: it is among the suspects already. */
static bool report(struct hk_cache *owner, void *block)
{
	unsigned i = (unsigned)((uintptr_t)block / HK_GRAIN) * HK_FREED >> 16 & (HK_SUSPECTS - 1);
	struct hk_suspects *s;
	void *nothing;

	for (s = &owner->suspects; s; s = atomic_load(&s->more))
		if (atomic_load(&s->block[i]) == block)
			return false;
	/* Without memory for one more place the block is lost. */
	for (s = &owner->suspects; s; s = further(s)) {
		nothing = NULL;
		if (atomic_compare_exchange_strong(&s->block[i], &nothing, block)) {
			atomic_store(&owner->suspected, true);
			return true;
		}
	}
	return true;
}

/* True: go on and free it. False: it is being looked after. */
bool hk_innocent(struct hk_cache *cache, struct hk_slab *slab, void *p, enum hk_call call)
{
	struct hk_block *block = p;
	struct hk_cache *owner = atomic_load(&slab->owner);
	unsigned i;

	if (block->where != HK_IN_CACHE && block->where != HK_IN_TRANSIT)
		return true;
	for (i = 0; i < HK_BATCHES; i++)
		if (hk_list_has(cache->batch[i].head, p))
			hk_already_free(call, p, slab);
	if (hk_slab_bit(slab, hk_slab_index(slab, p)))
		hk_already_free(call, p, slab);
	if (owner == cache) {
		if (block->where == HK_IN_TRANSIT)
			hk_receive(cache, cache, NULL);
		if (found_here(cache, slab, p))
			hk_already_free(call, p, slab);
		if (block->where != HK_IN_TRANSIT)
			return true;
	} else if (!owner) {
		/* Nobody has a list that it could be in. */
		return true;
	} else if (block->where == HK_IN_TRANSIT && hk_mailbox_has(cache, owner, p)) {
		hk_already_free(call, p, slab);
	}
	if (!report(owner, p))
		hk_already_free(call, p, slab);
	return false;
}

static bool settled(struct hk_cache *cache, struct hk_suspects *s, unsigned i, bool settle)
{
	struct hk_block *block = atomic_load(&s->block[i]);
	struct hk_slab *slab = hk_slab_of_freed(block);

	if (atomic_load(&slab->owner) != cache) {
		hk_remote_free(cache, slab, block);
		return true;
	}
	if (block->mark != HK_FREED || found_here(cache, slab, block)) {
		/* Convicted once: a SIGABRT handler comes through here too. */
		atomic_store(&s->block[i], NULL);
		hk_already_free(HK_CALL_FREE, block, slab);
	}
	if (block->where == HK_IN_TRANSIT && !settle && ++s->age[i] < SUSPECT_PATIENCE)
		return false;
	hk_put_back(cache, slab, block);
	return true;
}

void hk_suspects_review(struct hk_cache *cache, bool settle)
{
	struct hk_suspects *s;
	bool left = false;
	unsigned i;

	atomic_store(&cache->suspected, false);
	for (s = &cache->suspects; s; s = atomic_load(&s->more))
		for (i = 0; i < HK_SUSPECTS; i++) {
			if (!atomic_load(&s->block[i]))
				continue;
			if (settled(cache, s, i, settle)) {
				s->age[i] = 0;
				atomic_store(&s->block[i], NULL);
			} else {
				left = true;
			}
		}
	if (left)
		atomic_store(&cache->suspected, true);
}

/* In the child of a fork, where the owner is gone: the blocks stay taken. */
void hk_suspects_forget(struct hk_cache *cache)
{
	struct hk_suspects *s;
	unsigned i;

	for (s = &cache->suspects; s; s = atomic_load(&s->more))
		for (i = 0; i < HK_SUSPECTS; i++)
			atomic_store(&s->block[i], NULL);
}
