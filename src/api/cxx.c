/*
 * C++'s operator new and delete, by their mangled names, without libstdc++:
 * what is needed of it is looked up weakly, and there whenever a program has
 * a handler to call or an exception to catch. Compiled with -fexceptions.
 */
#include "api/alloc.h"
#include "os/line.h"

#ifndef HK_PREFIXED

#if UINTPTR_MAX == UINT32_MAX && !defined(__s390__)
#define SIZE "j"
#else
#define SIZE "m"
#endif

typedef void (*handler)(void);
extern handler get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));

static _Noreturn void no_memory(size_t size)
{
	struct hk_line line;

	if (throw_bad_alloc)
		throw_bad_alloc();
	hk_line_start(&line);
	hk_line_str(&line, "operator new: no memory for ");
	hk_line_dec(&line, size);
	hk_line_str(&line, " bytes and no C++ library to throw bad_alloc");
	hk_line_abort(&line);
}

static void *allocate(size_t size, size_t align)
{
	return align > HK_GRAIN ? hk_memalign(align, size) : hk_malloc(size);
}

/* The handler may free memory, throw, or not return; NULL: there is none. */
void *hk_new_retry(size_t size, size_t align) HK_HIDDEN;
HK_NOINLINE void *hk_new_retry(size_t size, size_t align)
{
	handler h;
	void *p;

	while (get_new_handler && (h = get_new_handler()) != NULL) {
		h();
		p = allocate(size, align);
		if (p)
			return p;
	}
	return NULL;
}

void *hk_new_nothrow(size_t size, size_t align);	/* nothrow.cc */

static HK_NOINLINE void *must(size_t size, size_t align)
{
	void *p = hk_new_retry(size, align);

	if (!p)
		no_memory(size);
	return p;
}

#define NEW(name, suffix, args, align, fail)				\
	HK_API void *name args __asm__("_Zn" suffix);			\
	void *name args							\
	{								\
		void *p = allocate(size, align);			\
		return hk_likely(p != NULL) ? p : fail(size, align);	\
	}
#define TAG const void *nothrow __attribute__((unused))

NEW(new_one, "w" SIZE, (size_t size), 1, must)
NEW(new_many, "a" SIZE, (size_t size), 1, must)
NEW(new_one_nothrow, "w" SIZE "RKSt9nothrow_t", (size_t size, TAG), 1, hk_new_nothrow)
NEW(new_many_nothrow, "a" SIZE "RKSt9nothrow_t", (size_t size, TAG), 1, hk_new_nothrow)
NEW(new_one_aligned, "w" SIZE "St11align_val_t", (size_t size, size_t align), align, must)
NEW(new_many_aligned, "a" SIZE "St11align_val_t", (size_t size, size_t align), align, must)
NEW(new_one_aligned_nothrow, "w" SIZE "St11align_val_tRKSt9nothrow_t",
    (size_t size, size_t align, TAG), align, hk_new_nothrow)
NEW(new_many_aligned_nothrow, "a" SIZE "St11align_val_tRKSt9nothrow_t",
    (size_t size, size_t align, TAG), align, hk_new_nothrow)

#define DELETE(name, suffix, args)					\
	HK_API void name args __asm__("_Zd" suffix);			\
	void name args { hk_free(p, HK_CALL_FREE); }
#define BYTES size_t size __attribute__((unused))
#define ALIGN size_t align __attribute__((unused))

DELETE(delete_one, "lPv", (void *p))
DELETE(delete_many, "aPv", (void *p))
DELETE(delete_one_sized, "lPv" SIZE, (void *p, BYTES))
DELETE(delete_many_sized, "aPv" SIZE, (void *p, BYTES))
DELETE(delete_one_nothrow, "lPvRKSt9nothrow_t", (void *p, TAG))
DELETE(delete_many_nothrow, "aPvRKSt9nothrow_t", (void *p, TAG))
DELETE(delete_one_aligned, "lPvSt11align_val_t", (void *p, ALIGN))
DELETE(delete_many_aligned, "aPvSt11align_val_t", (void *p, ALIGN))
DELETE(delete_one_sized_aligned, "lPv" SIZE "St11align_val_t", (void *p, BYTES, ALIGN))
DELETE(delete_many_sized_aligned, "aPv" SIZE "St11align_val_t", (void *p, BYTES, ALIGN))
DELETE(delete_one_aligned_nothrow, "lPvSt11align_val_tRKSt9nothrow_t", (void *p, ALIGN, TAG))
DELETE(delete_many_aligned_nothrow, "aPvSt11align_val_tRKSt9nothrow_t", (void *p, ALIGN, TAG))

#endif
