/*
 * operator new and delete of C++, by their mangled names, without libstdc++. The functions of
 * libstdc++ that they need are weak references; these are defined in every program that has a
 * handler to call or an exception to catch. Compiled with -fexceptions.
 *
 * A program may replace any of these operators, and the standard allows it to replace only
 * the plain pair: the forms that it did not replace must then call those that it did. As in
 * libstdc++, each form calls a simpler one:
 *
 *	new[]			new
 *	nothrow new		new, whose exceptions it catches
 *	nothrow new[]		new[], likewise
 *	sized, nothrow delete	delete
 *	delete[]		delete
 *	sized, nothrow delete[]	delete[]
 *
 * The same holds for the forms with an alignment. The operators are weak, so that in the
 * archive the program's own definitions take precedence.
 *
 * If this library is preloaded, it precedes the other libraries of the program, one of which
 * may replace operators too. Then our operators call those of that library: hk_tls_cxx
 * remains an empty cache, so that each call takes its slow path, as in a new thread, and the
 * fast path needs no test. If nothing is replaced, a form need not call the simpler one, and
 * HAKMEM_HARDEN can record which form was used.
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
	hk_line_bytes(&line, size);
	hk_line_str(&line, " and no C++ library to throw bad_alloc");
	hk_line_abort(&line);
}

/* Does the program replace operators? Then it is unknown which forms of new and delete belong
 * together. */
static bool are_replaced(void);

static void *allocate(size_t size, size_t align, enum hk_form form)
{
	if (!hk_is_power_of_two(align))
		return NULL;
	if (hk_hardened())
		return hk_harden_allocate(size, align, are_replaced() ? HK_FORM_MALLOC : form,
					  hk_caller());
	return align > HK_GRAIN ? hk_memalign(align, size) : hk_malloc(size);
}

/* Calls the new-handler, which may free memory, throw, or not return, and retries. NULL:
 * there is no handler, or the request can never succeed. */
void *hk_new_retry(size_t size, size_t align, unsigned form) HK_HIDDEN;
HK_NOINLINE void *hk_new_retry(size_t size, size_t align, unsigned form)
{
	handler h;
	void *p;

	if (!hk_is_power_of_two(align))
		return NULL;
	while (get_new_handler && (h = get_new_handler()) != NULL) {
		h();
		p = allocate(size, align, (enum hk_form)form);
		if (p)
			return p;
	}
	return NULL;
}

/* nothrow.cc: NULL instead of an exception. */
void *hk_new_nothrow(size_t size, size_t align, unsigned form);
void *hk_new_quietly(size_t size, void *(*take)(size_t));
void *hk_new_quietly_aligned(size_t size, size_t align, void *(*take)(size_t, size_t));

static HK_NOINLINE void *must(size_t size, size_t align, enum hk_form form)
{
	void *p = hk_new_retry(size, align, form);

	if (!p)
		no_memory(size);
	return p;
}

#define OPERATOR(type, name, symbol, args)				\
	HK_API HK_NO_PLT type name args __asm__(symbol) __attribute__((weak))
/* Has a second name that the program cannot replace. */
#define OPERATOR_OWN(type, name, symbol, args)				\
	static type own_##name args;					\
	OPERATOR(type, name, symbol, args) __attribute__((alias("own_" #name)))
#define OPERATOR_BODY(type, name, args) static type own_##name args
#define TAG const void *nothrow __attribute__((unused))
#define ALIGN size_t align __attribute__((unused))

/* The forms that other forms call. */
OPERATOR_OWN(void *, new_one, "_Znw" SIZE, (size_t size));
OPERATOR_OWN(void *, new_many, "_Zna" SIZE, (size_t size));
OPERATOR_OWN(void *, new_one_aligned, "_Znw" SIZE "St11align_val_t", (size_t size, size_t align));
OPERATOR_OWN(void *, new_many_aligned, "_Zna" SIZE "St11align_val_t", (size_t size, size_t align));
OPERATOR_OWN(void, delete_one, "_ZdlPv", (void *p));
OPERATOR_OWN(void, delete_many, "_ZdaPv", (void *p));
OPERATOR_OWN(void, delete_one_aligned, "_ZdlPvSt11align_val_t", (void *p, ALIGN));
OPERATOR_OWN(void, delete_many_aligned, "_ZdaPvSt11align_val_t", (void *p, ALIGN));

/* Replaced by the program itself, or by a library that precedes this one. */
static bool are_replaced_by_name(void)
{
	return new_one != own_new_one || new_many != own_new_many ||
	       new_one_aligned != own_new_one_aligned || new_many_aligned != own_new_many_aligned ||
	       delete_one != own_delete_one || delete_many != own_delete_many ||
	       delete_one_aligned != own_delete_one_aligned || delete_many_aligned != own_delete_many_aligned;
}

/* The operators that a library of the program replaces; NULL for the others. Written once,
 * before there are threads. If several threads write them all the same, they write the same
 * values. */
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

/* During the search this thread has the dead cache, because another library may wrap dlsym by
 * a function that uses these operators. Without a C++ library there is nothing to search for. */
static HK_NOINLINE bool ask_whose(void)
{
	int known = atomic_load(&whose);

	if (known == UNKNOWN && hk_tls_cxx != HK_DEAD_CACHE) {
		hk_tls_cxx = HK_DEAD_CACHE;
		if (get_new_handler)
			find_out();
		known = theirs.new_one || theirs.new_one_aligned || theirs.delete_one ||
			theirs.delete_one_aligned || are_replaced_by_name() ? THEIRS : OURS;
		atomic_store(&whose, known);
		hk_tls_cxx = HK_EMPTY_CACHE;
	}
	return known == THEIRS;
}

HK_INLINE bool are_theirs(void)
{
	return hk_unlikely(atomic_load_explicit(&whose, memory_order_acquire) != OURS) && ask_whose();
}

/* The same from a slow path. If the operators are ours, the fast paths use the cache of the
 * thread from here on. */
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

static bool are_replaced(void)
{
	return are_theirs();
}

HK_INLINE void *heap_new(size_t size, enum hk_form form, const void *caller)
{
	return hk_hardened() ? hk_harden_allocate(size, 1, are_replaced() ? HK_FORM_MALLOC : form, caller) :
			       hk_malloc_slow(size, caller);
}

static HK_NOINLINE void *new_slow(size_t size, const void *caller)
{
	return turn_out_theirs() && theirs.new_one ? theirs.new_one(size) :
						     heap_new(size, HK_FORM_NEW, caller);
}

static HK_NOINLINE void *new_many_slow(size_t size, const void *caller)
{
	return turn_out_theirs() ? new_one(size) : heap_new(size, HK_FORM_NEW_MANY, caller);
}

HK_INLINE void *new_nothrow(size_t size, enum hk_form form, const void *caller)
{
	void *p;

	if (turn_out_theirs() && theirs.new_one)
		return hk_new_quietly(size, theirs.new_one);
	p = heap_new(size, form, caller);
	return hk_likely(p != NULL) ? p : hk_new_nothrow(size, 1, form);
}

static HK_NOINLINE void *new_slow_nothrow(size_t size, const void *caller)
{
	return new_nothrow(size, HK_FORM_NEW, caller);
}

static HK_NOINLINE void *new_many_slow_nothrow(size_t size, const void *caller)
{
	return new_nothrow(size, HK_FORM_NEW_MANY, caller);
}

/* The kind of a delete: its form and its arguments. */
enum { MANY = 1, SIZED = 2, ALIGNED = 4 };

/* Calls the program's own form; false: our own must release the block. */
static bool pass_on(void *p, size_t align, unsigned kind)
{
	bool aligned = kind & ALIGNED;

	if (kind & MANY && kind & SIZED)
		aligned ? delete_many_aligned(p, align) : delete_many(p);
	else if (kind & (MANY | SIZED))
		aligned ? delete_one_aligned(p, align) : delete_one(p);
	else if (aligned && theirs.delete_one_aligned)
		theirs.delete_one_aligned(p, align);
	else if (!aligned && theirs.delete_one)
		theirs.delete_one(p);
	else
		return false;
	return true;
}

static HK_NOINLINE void delete_slow(void *p, size_t size, size_t align, unsigned kind, const void *caller)
{
	bool passes = turn_out_theirs();

	if (passes && pass_on(p, align, kind))
		return;
	if (hk_hardened())
		hk_harden_release(p, &(const struct hk_release){
			.call = HK_CALL_FREE, .any = passes,
			.form = kind & MANY ? HK_FORM_NEW_MANY : HK_FORM_NEW, .sized = kind & SIZED,
			.size = size, .aligned = true, .align = align, .caller = caller });
	else
		hk_free_slow(p, HK_CALL_FREE, caller);
}

OPERATOR_BODY(void *, new_one, (size_t size))
{
	void *p = hk_take(&hk_tls_cxx, size, new_slow);

	return hk_likely(p != NULL) ? p : must(size, 1, HK_FORM_NEW);
}

OPERATOR_BODY(void *, new_many, (size_t size))
{
	void *p = hk_take(&hk_tls_cxx, size, new_many_slow);

	return hk_likely(p != NULL) ? p : must(size, 1, HK_FORM_NEW_MANY);
}

OPERATOR_BODY(void *, new_one_aligned, (size_t size, size_t align))
{
	void *p;

	if (are_theirs() && theirs.new_one_aligned)
		return theirs.new_one_aligned(size, align);
	p = allocate(size, align, HK_FORM_NEW);
	return hk_likely(p != NULL) ? p : must(size, align, HK_FORM_NEW);
}

OPERATOR_BODY(void *, new_many_aligned, (size_t size, size_t align))
{
	void *p;

	if (are_theirs())
		return new_one_aligned(size, align);
	p = allocate(size, align, HK_FORM_NEW_MANY);
	return hk_likely(p != NULL) ? p : must(size, align, HK_FORM_NEW_MANY);
}

/* If nothing is replaced, no exception has to be thrown and caught. */
OPERATOR(void *, new_one_nothrow, "_Znw" SIZE "RKSt9nothrow_t", (size_t size, TAG));
void *new_one_nothrow(size_t size, TAG)
{
	if (hk_unlikely(new_one != own_new_one))
		return hk_new_quietly(size, new_one);
	return hk_take(&hk_tls_cxx, size, new_slow_nothrow);
}

OPERATOR(void *, new_one_aligned_nothrow, "_Znw" SIZE "St11align_val_tRKSt9nothrow_t",
	 (size_t size, size_t align, TAG));
void *new_one_aligned_nothrow(size_t size, size_t align, TAG)
{
	void *p;

	if (hk_unlikely(new_one_aligned != own_new_one_aligned))
		return hk_new_quietly_aligned(size, align, new_one_aligned);
	if (are_theirs() && theirs.new_one_aligned)
		return hk_new_quietly_aligned(size, align, theirs.new_one_aligned);
	p = allocate(size, align, HK_FORM_NEW);
	return hk_likely(p != NULL) ? p : hk_new_nothrow(size, align, HK_FORM_NEW);
}

/* Does not call the nothrow form of new, which the program may have replaced. */
OPERATOR(void *, new_many_nothrow, "_Zna" SIZE "RKSt9nothrow_t", (size_t size, TAG));
void *new_many_nothrow(size_t size, TAG)
{
	if (hk_unlikely(new_many != own_new_many || new_one != own_new_one))
		return hk_new_quietly(size, new_many);
	return hk_take(&hk_tls_cxx, size, new_many_slow_nothrow);
}

OPERATOR(void *, new_many_aligned_nothrow, "_Zna" SIZE "St11align_val_tRKSt9nothrow_t",
	 (size_t size, size_t align, TAG));
void *new_many_aligned_nothrow(size_t size, size_t align, TAG)
{
	void *p;

	if (hk_unlikely(new_many_aligned != own_new_many_aligned || are_theirs()))
		return hk_new_quietly_aligned(size, align, new_many_aligned);
	p = allocate(size, align, HK_FORM_NEW_MANY);
	return hk_likely(p != NULL) ? p : hk_new_nothrow(size, align, HK_FORM_NEW_MANY);
}

#define DELETE(size, align, kind)					\
	if (!hk_give(hk_tls_cxx, p))					\
		delete_slow(p, size, align, kind, hk_caller())

OPERATOR_BODY(void, delete_one, (void *p)) { DELETE(0, 1, 0); }
OPERATOR_BODY(void, delete_many, (void *p)) { DELETE(0, 1, MANY); }
OPERATOR_BODY(void, delete_one_aligned, (void *p, ALIGN)) { DELETE(0, align, ALIGNED); }
OPERATOR_BODY(void, delete_many_aligned, (void *p, ALIGN)) { DELETE(0, align, MANY | ALIGNED); }

#define DELETE_AS(name, suffix, args, how)				\
	OPERATOR(void, name, "_Zd" suffix, args);			\
	void name args { how; }

DELETE_AS(delete_one_sized, "lPv" SIZE, (void *p, size_t size), DELETE(size, 1, SIZED))
DELETE_AS(delete_many_sized, "aPv" SIZE, (void *p, size_t size), DELETE(size, 1, MANY | SIZED))
DELETE_AS(delete_one_sized_aligned, "lPv" SIZE "St11align_val_t", (void *p, size_t size, size_t align),
	  DELETE(size, align, SIZED | ALIGNED))
DELETE_AS(delete_many_sized_aligned, "aPv" SIZE "St11align_val_t", (void *p, size_t size, size_t align),
	  DELETE(size, align, MANY | SIZED | ALIGNED))
DELETE_AS(delete_one_nothrow, "lPvRKSt9nothrow_t", (void *p, TAG), delete_one(p))
DELETE_AS(delete_many_nothrow, "aPvRKSt9nothrow_t", (void *p, TAG), delete_many(p))
DELETE_AS(delete_one_aligned_nothrow, "lPvSt11align_val_tRKSt9nothrow_t", (void *p, ALIGN, TAG),
	  delete_one_aligned(p, align))
DELETE_AS(delete_many_aligned_nothrow, "aPvSt11align_val_tRKSt9nothrow_t", (void *p, ALIGN, TAG),
	  delete_many_aligned(p, align))

#endif
