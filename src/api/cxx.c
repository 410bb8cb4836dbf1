/*
 * C++'s operator new and delete, by their mangled names, without libstdc++:
 * what is needed of it is looked up weakly, and there whenever a program has
 * a handler to call or an exception to catch. Compiled with -fexceptions.
 *
 * A program may replace any of them, and the standard lets it replace the plain
 * pair alone: a form that it left must reach the one that it replaced. So, as in
 * libstdc++, four forms use the heap and all others call a simpler one by name:
 *
 *	new[]			new
 *	nothrow new		new, whose exceptions it catches
 *	nothrow new[]		new[], likewise
 *	sized, nothrow delete	delete
 *	delete[]		delete
 *	sized, nothrow delete[]	delete[]
 *
 * and the same once more with an alignment. Weak: in the archive the program's
 * own come first.
 *
 * Where this library is preloaded it precedes the program's others, of which one
 * may replace operators too. Then ours pass the calls on: hk_tls_cxx stays at an
 * empty cache, so that each call falls into its slow path, as in a new thread,
 * and the fast one has no test for it.
 */
#include "api/alloc.h"
#include "os/line.h"
#include "os/os.h"

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

/* The handler may free memory, throw, or not return; NULL: there is none, or no
 * memory could help. */
void *hk_new_retry(size_t size, size_t align) HK_HIDDEN;
HK_NOINLINE void *hk_new_retry(size_t size, size_t align)
{
	handler h;
	void *p;

	if (align & (align - 1))
		return NULL;
	while (get_new_handler && (h = get_new_handler()) != NULL) {
		h();
		p = allocate(size, align);
		if (p)
			return p;
	}
	return NULL;
}

/* nothrow.cc: NULL instead of an exception. */
void *hk_new_nothrow(size_t size, size_t align);
void *hk_new_quietly(size_t size, void *(*take)(size_t));
void *hk_new_quietly_aligned(size_t size, size_t align, void *(*take)(size_t, size_t));

static HK_NOINLINE void *must(size_t size, size_t align)
{
	void *p = hk_new_retry(size, align);

	if (!p)
		no_memory(size);
	return p;
}

/* What a library of the program's replaces, NULL elsewhere. Written once, before
 * threads; should several find out at once, they find the same. */
enum { UNKNOWN, OURS, THEIRS };
static _Atomic int whose;
static struct {
	void *(*new_one)(size_t);
	void *(*new_one_aligned)(size_t, size_t);
	void (*delete_one)(void *);
	void (*delete_one_aligned)(void *, size_t);
} theirs;

static void find_out(void)
{
	static const char beside[] = "_ZSt15get_new_handlerv";

	*(void **)&theirs.new_one = hk_os_replacement("_Znw" SIZE, beside);
	*(void **)&theirs.new_one_aligned = hk_os_replacement("_Znw" SIZE "St11align_val_t", beside);
	*(void **)&theirs.delete_one = hk_os_replacement("_ZdlPv", beside);
	*(void **)&theirs.delete_one_aligned = hk_os_replacement("_ZdlPvSt11align_val_t", beside);
}

/* Who looks is at the dead cache meanwhile: a dlsym that another library wraps may
 * use the operators itself. Without a C++ library there is nothing to look for. */
static HK_NOINLINE bool ask_whose(void)
{
	int known = atomic_load(&whose);

	if (known == UNKNOWN && hk_tls_cxx != HK_DEAD_CACHE) {
		hk_tls_cxx = HK_DEAD_CACHE;
		if (get_new_handler)
			find_out();
		known = theirs.new_one || theirs.new_one_aligned || theirs.delete_one ||
			theirs.delete_one_aligned ? THEIRS : OURS;
		atomic_store(&whose, known);
		hk_tls_cxx = HK_EMPTY_CACHE;
	}
	return known == THEIRS;
}

HK_INLINE bool are_theirs(void)
{
	return hk_unlikely(atomic_load_explicit(&whose, memory_order_acquire) != OURS) && ask_whose();
}

/* The same from a slow path; if they are not, the fast ones have the thread's cache
 * from here on. */
HK_INLINE bool turn_out_theirs(void)
{
	if (are_theirs())
		return true;
	if (hk_tls_cxx != hk_tls)
		hk_tls_cxx = hk_tls;
	return false;
}

static void __attribute__((constructor)) before_threads(void)
{
	ask_whose();
}

static HK_NOINLINE void *new_slow(size_t size, const void *caller)
{
	return turn_out_theirs() && theirs.new_one ? theirs.new_one(size) : hk_malloc_slow(size, caller);
}

static HK_NOINLINE void *new_slow_nothrow(size_t size, const void *caller)
{
	void *p;

	if (turn_out_theirs() && theirs.new_one)
		return hk_new_quietly(size, theirs.new_one);
	p = hk_malloc_slow(size, caller);
	return hk_likely(p != NULL) ? p : hk_new_nothrow(size, 1);
}

static HK_NOINLINE void delete_slow(void *p, const void *caller)
{
	if (turn_out_theirs() && theirs.delete_one)
		theirs.delete_one(p);
	else
		hk_free_slow(p, HK_CALL_FREE, caller);
}

static HK_NOINLINE void delete_slow_aligned(void *p, size_t align, const void *caller)
{
	if (turn_out_theirs() && theirs.delete_one_aligned)
		theirs.delete_one_aligned(p, align);
	else
		hk_free_slow(p, HK_CALL_FREE, caller);
}

#define OPERATOR(type, name, symbol, args)				\
	HK_API HK_NO_PLT type name args __asm__(symbol) __attribute__((weak))
/* With a name that the program cannot take. */
#define OPERATOR_OWN(type, name, symbol, args)				\
	static type own_##name args;					\
	OPERATOR(type, name, symbol, args) __attribute__((alias("own_" #name)));	\
	static type own_##name args
#define TAG const void *nothrow __attribute__((unused))
#define BYTES size_t size __attribute__((unused))
#define ALIGN size_t align __attribute__((unused))

OPERATOR_OWN(void *, new_one, "_Znw" SIZE, (size_t size))
{
	void *p = hk_take(&hk_tls_cxx, size, new_slow);

	return hk_likely(p != NULL) ? p : must(size, 1);
}

OPERATOR_OWN(void *, new_one_aligned, "_Znw" SIZE "St11align_val_t", (size_t size, size_t align))
{
	void *p;

	if (are_theirs() && theirs.new_one_aligned)
		return theirs.new_one_aligned(size, align);
	p = allocate(size, align);
	return hk_likely(p != NULL) ? p : must(size, align);
}

OPERATOR_OWN(void *, new_many, "_Zna" SIZE, (size_t size))
{
	return new_one(size);
}

OPERATOR_OWN(void *, new_many_aligned, "_Zna" SIZE "St11align_val_t", (size_t size, size_t align))
{
	return new_one_aligned(size, align);
}

/* Where nothing is replaced, no exception has to be thrown to be caught. */
OPERATOR_OWN(void *, new_one_nothrow, "_Znw" SIZE "RKSt9nothrow_t", (size_t size, TAG))
{
	if (hk_unlikely(new_one != own_new_one))
		return hk_new_quietly(size, new_one);
	return hk_take(&hk_tls_cxx, size, new_slow_nothrow);
}

OPERATOR_OWN(void *, new_one_aligned_nothrow, "_Znw" SIZE "St11align_val_tRKSt9nothrow_t",
	     (size_t size, size_t align, TAG))
{
	void *p;

	if (hk_unlikely(new_one_aligned != own_new_one_aligned))
		return hk_new_quietly_aligned(size, align, new_one_aligned);
	if (are_theirs() && theirs.new_one_aligned)
		return hk_new_quietly_aligned(size, align, theirs.new_one_aligned);
	p = allocate(size, align);
	return hk_likely(p != NULL) ? p : hk_new_nothrow(size, align);
}

/* Not the nothrow form for one, which the program may have. */
OPERATOR(void *, new_many_nothrow, "_Zna" SIZE "RKSt9nothrow_t", (size_t size, TAG));
void *new_many_nothrow(size_t size, TAG)
{
	if (hk_unlikely(new_many != own_new_many))
		return hk_new_quietly(size, new_many);
	return own_new_one_nothrow(size, nothrow);
}

OPERATOR(void *, new_many_aligned_nothrow, "_Zna" SIZE "St11align_val_tRKSt9nothrow_t",
	 (size_t size, size_t align, TAG));
void *new_many_aligned_nothrow(size_t size, size_t align, TAG)
{
	if (hk_unlikely(new_many_aligned != own_new_many_aligned))
		return hk_new_quietly_aligned(size, align, new_many_aligned);
	return own_new_one_aligned_nothrow(size, align, nothrow);
}

#define DELETE(name, suffix, args, how)					\
	OPERATOR(void, name, "_Zd" suffix, args);			\
	void name args { how; }

DELETE(delete_one, "lPv", (void *p), if (!hk_give(hk_tls_cxx, p)) delete_slow(p, hk_caller()))
DELETE(delete_one_sized, "lPv" SIZE, (void *p, BYTES), delete_one(p))
DELETE(delete_one_nothrow, "lPvRKSt9nothrow_t", (void *p, TAG), delete_one(p))
DELETE(delete_many, "aPv", (void *p), delete_one(p))
DELETE(delete_many_sized, "aPv" SIZE, (void *p, BYTES), delete_many(p))
DELETE(delete_many_nothrow, "aPvRKSt9nothrow_t", (void *p, TAG), delete_many(p))

DELETE(delete_one_aligned, "lPvSt11align_val_t", (void *p, ALIGN),
       if (!hk_give(hk_tls_cxx, p)) delete_slow_aligned(p, align, hk_caller()))
DELETE(delete_one_sized_aligned, "lPv" SIZE "St11align_val_t", (void *p, BYTES, ALIGN),
       delete_one_aligned(p, align))
DELETE(delete_one_aligned_nothrow, "lPvSt11align_val_tRKSt9nothrow_t", (void *p, ALIGN, TAG),
       delete_one_aligned(p, align))
DELETE(delete_many_aligned, "aPvSt11align_val_t", (void *p, ALIGN), delete_one_aligned(p, align))
DELETE(delete_many_sized_aligned, "aPv" SIZE "St11align_val_t", (void *p, BYTES, ALIGN),
       delete_many_aligned(p, align))
DELETE(delete_many_aligned_nothrow, "aPvSt11align_val_tRKSt9nothrow_t", (void *p, ALIGN, TAG),
       delete_many_aligned(p, align))

#endif
