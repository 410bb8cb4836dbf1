/* malloc, free, realloc and the like when a level of HAKMEM_HARDEN is in force. */
#include "harden/internal.h"

#include "cache/fallback.h"
#include "debug/ring.h"
#include "os/os.h"
#include "sample/sample.h"
#include "slab/pagemap.h"

/* A block at the start of a slot is not checked for a left neighbour, which may be in
 * another slab. Machines with less than 64 bits cannot read the seal in one access. */
HK_INLINE bool has_left(const void *p)
{
	return sizeof(void *) == 8 && ((uintptr_t)p & (HK_SLOT_SIZE - 1)) != 0;
}

/*
 * Does the preceding block have a valid seal, in use or free? A zero is valid too: the block
 * was never allocated, or its page was purged.
 */
HK_INLINE bool left_sealed(const char *p, size_t whole)
{
	struct hk_seal s;

	return hk_seal_get(p - whole, whole, &s) || !HK_FOLDED_LOAD(*hk_seal_place(p - whole, whole));
}

HK_INLINE void put_seal(char *p, size_t whole, size_t size, struct hk_seal *s)
{
	s->pad = (unsigned)(whole - HK_SEAL - size);
	hk_pad_put(p, whole, s->pad);
	hk_seal_put(p, whole, s);
}

/*
 * Prepares a block from the cache for the program. The memory of a new slab is zero
 * (pool/reuse.c) and freed blocks are cleared, so only the bytes that caches use in free
 * blocks must be cleared. These include a link, which would disclose a heap address.
 */
HK_INLINE void *seal(char *p, size_t whole, size_t size, struct hk_seal *s)
{
	s->freed = false;
	memset(p, 0, HK_USED_IF_FREE);
	put_seal(p, whole, size, s);
	return p;
}

/* Blocks of the fallback allocator have no seals. */
static void *seal_slow(char *p, size_t size, size_t align, struct hk_seal *s)
{
	const struct hk_slab *slab = p ? hk_slab_of(p, HK_CALL_FREE) : NULL;

	if (slab)
		return seal(p, slab->size, size, s);
	p = hk_fallback_aligned(p, size, align);
	if (p && hk_contents_on())
		hk_block_clear(p, size);
	return p;
}

HK_INLINE uint8_t align_of(size_t align)
{
	return align > 1 ? (uint8_t)(__builtin_ctzl(align) + 1) : 0;
}

/* The block size to request from a cache; 0 if no slab has blocks for this request. */
HK_INLINE size_t whole_for(size_t size, size_t align)
{
	size_t whole = size < HK_SEAL_LEAST - HK_SEAL ? HK_SEAL_LEAST : size + HK_SEAL;

	if (align > HK_GRAIN)
		whole = (whole + align - 1) & -align;
	return size <= HK_SLAB_MAX && align <= HK_SLAB_MAX && whole <= HK_SLAB_MAX ? whole : 0;
}

/*
 * The first block of this thread's list, as on the hot path, or NULL. A signal handler that
 * interrupts this function finds the thread inside the heap: a block that the handler frees
 * must not be pushed onto the list that is being changed, so it goes into the quarantine.
 */
HK_INLINE void *pop(unsigned class)
{
	struct hk_cache *cache = hk_tls;
	struct hk_bin *bin = &cache->bin[class];
	struct hk_block *block;
	struct hk_before before;
	uint64_t mark;

	if (hk_unlikely(!hk_has_lists(cache)))
		return NULL;
	before = hk_find_nothing();
	block = bin->head;
	mark = hk_mark(block, hk_secret());
	if (hk_likely(block->mark == mark)) {
		hk_bin_pop(bin, block, mark);
		/* The seal of the next block; hk_bin_pop has prefetched its start. */
		__builtin_prefetch(hk_seal_place(bin->head, hk_class_size(class)), 1);
	} else {
		block = NULL;
	}
	hk_find_again(before);
	return block;
}

/* zero: NULL, or receives whether the block reads as zero. */
HK_INLINE void *attempt(size_t size, size_t align, enum hk_form form, bool *zero, const void *caller)
{
	struct hk_seal s = { .form = (uint8_t)form, .align = align_of(align) };
	size_t whole = whole_for(size, align);
	void *p;

	if (zero)
		*zero = hk_contents_on();
	if (hk_unlikely(size == 0 && align <= HK_GRAIN)) {
		p = hk_inside() ? NULL : hk_empty_take();
		if (p)
			return p;
	}
	if (hk_unlikely(!whole))
		return hk_wide_take(size, align, &s, 0, zero, caller);
	if (hk_unlikely(hk_sample_due(hk_sampler(), hk_class_size(hk_class_of(whole))))) {
		p = hk_wide_take(size, align, &s, hk_class_size(hk_class_of(whole)), zero, caller);
		if (p)
			return p;
	}
	p = pop(hk_class_of(whole));
	return p ? seal(p, hk_class_size(hk_class_of(whole)), size, &s) :
		   seal_slow(hk_malloc_uncounted(whole, caller), size, align, &s);
}

/* If there is no memory, the quarantine is emptied and the allocation retried. */
HK_INLINE void *allocate(size_t size, size_t align, enum hk_form form, bool *zero, const void *caller)
{
	void *p;

	do
		p = attempt(size, align, form, zero, caller);
	while (hk_unlikely(!p) && size < HK_IMPOSSIBLE && !hk_inside() && hk_queue_drain(hk_tls));
	return p;
}

/* For all functions but malloc. Not inline, because it is long. */
static HK_NOINLINE void *allocate_any(size_t size, size_t align, enum hk_form form, bool *zero,
				      const void *caller)
{
	return allocate(size, align, form, zero, caller);
}

/* Not inline, because HAKMEM_SAMPLE takes the other way with each malloc. */
static HK_NOINLINE void *malloc_hardened(size_t size, const void *caller)
{
	return allocate(size, 1, HK_FORM_MALLOC, NULL, caller);
}

void *hk_harden_malloc(size_t size, const void *caller)
{
	return hk_hardened() ? malloc_hardened(size, caller) : hk_malloc_slow(size, caller);
}

void *hk_harden_calloc(size_t size, bool *zero, const void *caller)
{
	return hk_hardened() ? allocate_any(size, 1, HK_FORM_MALLOC, zero, caller) :
			 hk_calloc_slow(size, zero, caller);
}

void *hk_harden_allocate(size_t size, size_t align, enum hk_form form, const void *caller)
{
	return allocate_any(size, align, form, NULL, caller);
}

/* Reads the seal of a block in use; stops the program if the seal is anything else. */
HK_INLINE void check(const char *p, const struct hk_slab *slab, enum hk_call call, struct hk_seal *s)
{
	size_t whole = slab->size;

	if (hk_unlikely(!hk_seal_get(p, whole, s) || s->freed || s->pad > whole - HK_SEAL)) {
		if (hk_seal_get(p, whole, s) ? s->freed : hk_is_free(slab, p))
			hk_already_free(call, p, slab);
		hk_report_overrun(call, p, SIZE_MAX, whole);
	}
	if (hk_unlikely(!hk_pad_right(p, whole, s->pad)))
		hk_report_overrun(call, p, whole - HK_SEAL - s->pad, whole);
	if (hk_contents_on() && has_left(p) && hk_unlikely(!left_sealed(p, whole)))
		hk_report_underrun(call, p);
}

HK_INLINE void check_form(const struct hk_release *how, const void *p, const struct hk_seal *s, size_t size)
{
	if (how->sized && how->size != size)
		hk_report_size(how, p, size);
	if (!hk_guards_on() || how->any)
		return;
	if (how->form != s->form)
		hk_report_form(how, p, s);
	if (how->aligned && align_of(how->align) != s->align)
		hk_report_align(how, p, s);
}

/* Returns a block that the program no longer owns to the cache, as free() does. */
HK_INLINE void give(struct hk_slab *slab, void *p, const void *caller)
{
	struct hk_before before;
	struct hk_bin *bin;
	bool fits;

	if (hk_unlikely(atomic_load_explicit(&slab->owner, memory_order_relaxed) != hk_tls ||
			!hk_slab_valid(slab, p) || hk_slab_holed(slab))) {
		hk_free_slow(p, HK_CALL_FREE, caller);
		return;
	}
	bin = atomic_load_explicit(&slab->bin, memory_order_relaxed);
	/* The reason is that of pop(). */
	before = hk_find_nothing();
	fits = hk_bin_push(bin, p, hk_mark(p, hk_secret()));
	hk_find_again(before);
	if (hk_unlikely(!fits))
		hk_free_overflow(bin, caller);
}

/* Is the block zero up to its seal? */
HK_INLINE bool is_zero(const uint64_t *word, size_t words)
{
	uint64_t any = 0;
	size_t i;

	for (i = 0; i + 4 <= words; i += 4) {
		any = word[i] | word[i + 1] | word[i + 2] | word[i + 3];
		if (hk_unlikely(any))
			return false;
	}
	/* Sizes are multiples of 16, so one or three words remain. */
	if (words & 2)
		any = word[i] | word[i + 1];
	return (any | word[words - 1]) == 0;
}

static HK_NOINLINE _Noreturn void report_written(const char *p, size_t whole)
{
	size_t i = 0;

	while (i < whole - HK_SEAL && !p[i])
		i++;
	hk_report_written(p, whole, i);
}

void hk_settle(void *p, unsigned class, const void *caller)
{
	size_t whole = hk_class_size(class);
	struct hk_slab *slab = hk_slab_guess(p);
	struct hk_seal s;

	if (hk_unlikely(!is_zero(p, whole / sizeof(uint64_t) - 1) || !hk_seal_get(p, whole, &s) || !s.freed))
		report_written(p, whole);
	give(slab, p, caller);
}

HK_INLINE void release(void *p, const struct hk_release *how)
{
	struct hk_slab *slab = hk_slab_of(p, how->call);
	struct hk_seal s;

	if (hk_unlikely(!slab)) {
		struct hk_note *note = hk_wide_find(p, how->call);

		if (note) {
			s = (struct hk_seal){ .form = note->form, .align = note->align };
			check_form(how, p, &s, note->size);
			hk_wide_free(p, note, how->caller);
		} else if (hk_empty_is(p)) {
			hk_empty_free(p, how->call);
		} else {
			hk_free_slow(p, how->call, how->caller);
		}
		return;
	}
	check(p, slab, how->call, &s);
	check_form(how, p, &s, slab->size - HK_SEAL - s.pad);
	hk_trace(HK_EVENT_FREE, p, 0, how->caller);
	s.freed = true;
	hk_seal_put(p, slab->size, &s);
	if (!hk_contents_on()) {
		give(slab, p, how->caller);
		return;
	}
	hk_block_clear(p, slab->size - HK_SEAL);
	hk_queue_push(p, slab->class, how->caller);
}

/* Not in hk_harden_free, whose other case needs no stack. */
static HK_NOINLINE void release_plain(void *p, enum hk_call call, const void *caller)
{
	const struct hk_release how = { .call = call, .form = HK_FORM_MALLOC, .caller = caller };

	if (p)
		release(p, &how);
}

void hk_harden_free(void *p, enum hk_call call, const void *caller)
{
	if (hk_likely(!hk_hardened()))
		hk_free_slow(p, call, caller);
	else
		release_plain(p, call, caller);
}

void hk_harden_release(void *p, const struct hk_release *how)
{
	if (p)
		release(p, how);
}

size_t hk_harden_usable(const void *p, enum hk_call call)
{
	const struct hk_slab *slab = hk_slab_of(p, call);
	const struct hk_note *note;
	struct hk_seal s;
	size_t size;

	if (slab) {
		check(p, slab, call, &s);
		return slab->size - HK_SEAL - s.pad;
	}
	note = hk_wide_find(p, call);
	if (note)
		return note->size;
	if (hk_empty_is(p)) {
		hk_empty_check(p, call);
		return 0;
	}
	size = hk_fallback_size(p);
	if (!size)
		hk_bad_pointer(call, p);
	return size;
}

/* Resizes in place if the class is the same and at most half of the block would be unused, as
 * in api/alloc.c. Added bytes read as zero. */
static bool resize_in_place(char *p, size_t size)
{
	struct hk_slab *slab = hk_slab_of(p, HK_CALL_REALLOC);
	size_t whole = whole_for(size, 1), old;
	struct hk_seal s;

	if (!slab || !whole || whole > slab->size || whole < slab->size / 2)
		return false;
	check(p, slab, HK_CALL_REALLOC, &s);
	if (s.form != HK_FORM_MALLOC)
		return false;
	old = slab->size - HK_SEAL - s.pad;
	if (size > old)
		hk_block_clear(p + old, size - old);
	else if (hk_contents_on())
		hk_block_clear(p + size, old - size);
	put_seal(p, slab->size, size, &s);
	return true;
}

void *hk_harden_realloc(void *p, size_t size, const void *caller)
{
	const struct hk_release how = { .call = HK_CALL_REALLOC, .form = HK_FORM_MALLOC, .caller = caller };
	size_t old;
	void *to;

	if (!p)
		return allocate_any(size, 1, HK_FORM_MALLOC, NULL, caller);
	if (size == 0) {
		hk_harden_release(p, &how);
		return NULL;
	}
	if (resize_in_place(p, size))
		return p;
	old = hk_harden_usable(p, HK_CALL_REALLOC);
	to = hk_wide_resize(p, size, caller);
	if (to)
		return to;
	to = allocate_any(size, 1, HK_FORM_MALLOC, NULL, caller);
	if (!to)
		return size <= old ? p : NULL;
	hk_block_copy(to, p, size < old ? size : old);
	hk_harden_release(p, &how);
	return to;
}

void hk_harden_trim(void)
{
	if (hk_hardened() && !hk_inside())
		hk_queue_drain(hk_tls);
}

static void thread_ends(struct hk_cache *cache)
{
	hk_queue_drain(cache);
}

__attribute__((constructor)) static void start(void)
{
	hk_hooks.thread_ends = thread_ends;
}
