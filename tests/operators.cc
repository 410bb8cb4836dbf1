// Programs that replace some forms of operator new and delete: whatever form
// they left must reach the one that they replaced. This one has all forms. Those
// that a case replaces use a heap of their own; the others go on to the library,
// which is the same to it as a program without them.
#include "heap.h"

#include <cstddef>
#include <new>

namespace {

using std::align_val_t;
using std::nothrow_t;
using std::size_t;

#ifdef __LP64__
#define SIZE "m"
#else
#define SIZE "j"
#endif
#define ALIGNED "St11align_val_t"
#define QUIET "RKSt9nothrow_t"

enum Form {
	NEW, NEW_ALIGNED, NEW_QUIET, NEW_ALIGNED_QUIET,
	NEWS, NEWS_ALIGNED, NEWS_QUIET, NEWS_ALIGNED_QUIET,
	DELETE, DELETE_ALIGNED, DELETE_SIZED, DELETE_SIZED_ALIGNED, DELETE_QUIET, DELETE_ALIGNED_QUIET,
	DELETES, DELETES_ALIGNED, DELETES_SIZED, DELETES_SIZED_ALIGNED, DELETES_QUIET, DELETES_ALIGNED_QUIET,
	FORMS, HEAP = FORMS
};

// What each operator calls if it was not replaced: [new.delete].
const struct {
	const char *symbol, *name;
	Form calls;
} form[FORMS] = {
	{ "_Znw" SIZE, "new", HEAP },
	{ "_Znw" SIZE ALIGNED, "new aligned", HEAP },
	{ "_Znw" SIZE QUIET, "new nothrow", NEW },
	{ "_Znw" SIZE ALIGNED QUIET, "new aligned nothrow", NEW_ALIGNED },
	{ "_Zna" SIZE, "new[]", NEW },
	{ "_Zna" SIZE ALIGNED, "new[] aligned", NEW_ALIGNED },
	{ "_Zna" SIZE QUIET, "new[] nothrow", NEWS },
	{ "_Zna" SIZE ALIGNED QUIET, "new[] aligned nothrow", NEWS_ALIGNED },
	{ "_ZdlPv", "delete", HEAP },
	{ "_ZdlPv" ALIGNED, "delete aligned", HEAP },
	{ "_ZdlPv" SIZE, "delete sized", DELETE },
	{ "_ZdlPv" SIZE ALIGNED, "delete sized aligned", DELETE_ALIGNED },
	{ "_ZdlPv" QUIET, "delete nothrow", DELETE },
	{ "_ZdlPv" ALIGNED QUIET, "delete aligned nothrow", DELETE_ALIGNED },
	{ "_ZdaPv", "delete[]", DELETE },
	{ "_ZdaPv" ALIGNED, "delete[] aligned", DELETE_ALIGNED },
	{ "_ZdaPv" SIZE, "delete[] sized", DELETES },
	{ "_ZdaPv" SIZE ALIGNED, "delete[] sized aligned", DELETES_ALIGNED },
	{ "_ZdaPv" QUIET, "delete[] nothrow", DELETES },
	{ "_ZdaPv" ALIGNED QUIET, "delete[] aligned nothrow", DELETES_ALIGNED },
};

unsigned replaced;	// bit per form
Form reached;		// the replaced one that was called
bool twice, starve;	// it was not the only one; it throws
size_t got_size, got_align;
alignas(64) char own[64];

void reach(Form f)
{
	twice |= reached != HEAP;
	reached = f;
}

void *theirs(Form f)
{
	static void *symbol[FORMS];

	if (!symbol[f])
		symbol[f] = dlsym(RTLD_NEXT, form[f].symbol);
	if (!symbol[f])
		bail("%s is not there", form[f].symbol);
	return symbol[f];
}

bool is_own(Form f)
{
	return replaced >> f & 1;
}

// A stranger: neither a bad_alloc nor of a type that the library has seen.
struct Starved { };

void *take_own(Form f, size_t size, size_t align)
{
	reach(f);
	got_size = size;
	got_align = align;
	if (starve)
		throw Starved();
	return own;
}

void give_own(Form f, void *p, size_t align)
{
	reach(f);
	got_align = align;
	if (p != own)
		bail("%s of %p", form[f].name, p);
}

// f with the arguments given.
template <class R, class... A> R next(Form f, A... arguments)
{
	return reinterpret_cast<R (*)(A...)>(theirs(f))(arguments...);
}

void *take(Form f, size_t n)
{
	return is_own(f) ? take_own(f, n, 0) : next<void *>(f, n);
}

void *take(Form f, size_t n, align_val_t a)
{
	return is_own(f) ? take_own(f, n, size_t(a)) : next<void *>(f, n, a);
}

void *take(Form f, size_t n, const nothrow_t &t)
{
	return is_own(f) ? take_own(f, n, 0) : next<void *, size_t, const nothrow_t &>(f, n, t);
}

void *take(Form f, size_t n, align_val_t a, const nothrow_t &t)
{
	return is_own(f) ? take_own(f, n, size_t(a)) : next<void *, size_t, align_val_t, const nothrow_t &>(f, n, a, t);
}

template <class... A> void give(Form f, size_t align, void *p, A... rest)
{
	if (is_own(f))
		give_own(f, p, align);
	else
		next<void>(f, p, rest...);
}

}

void *operator new(size_t n) { return take(NEW, n); }
void *operator new(size_t n, align_val_t a) { return take(NEW_ALIGNED, n, a); }
void *operator new(size_t n, const nothrow_t &t) noexcept { return take(NEW_QUIET, n, t); }
void *operator new(size_t n, align_val_t a, const nothrow_t &t) noexcept { return take(NEW_ALIGNED_QUIET, n, a, t); }
void *operator new[](size_t n) { return take(NEWS, n); }
void *operator new[](size_t n, align_val_t a) { return take(NEWS_ALIGNED, n, a); }
void *operator new[](size_t n, const nothrow_t &t) noexcept { return take(NEWS_QUIET, n, t); }
void *operator new[](size_t n, align_val_t a, const nothrow_t &t) noexcept { return take(NEWS_ALIGNED_QUIET, n, a, t); }
void operator delete(void *p) noexcept { give(DELETE, 0, p); }
void operator delete(void *p, align_val_t a) noexcept { give(DELETE_ALIGNED, size_t(a), p, a); }
void operator delete(void *p, size_t n) noexcept { give(DELETE_SIZED, 0, p, n); }
void operator delete(void *p, size_t n, align_val_t a) noexcept { give(DELETE_SIZED_ALIGNED, size_t(a), p, n, a); }
void operator delete(void *p, const nothrow_t &t) noexcept { give(DELETE_QUIET, 0, p, &t); }
void operator delete(void *p, align_val_t a, const nothrow_t &t) noexcept { give(DELETE_ALIGNED_QUIET, size_t(a), p, a, &t); }
void operator delete[](void *p) noexcept { give(DELETES, 0, p); }
void operator delete[](void *p, align_val_t a) noexcept { give(DELETES_ALIGNED, size_t(a), p, a); }
void operator delete[](void *p, size_t n) noexcept { give(DELETES_SIZED, 0, p, n); }
void operator delete[](void *p, size_t n, align_val_t a) noexcept { give(DELETES_SIZED_ALIGNED, size_t(a), p, n, a); }
void operator delete[](void *p, const nothrow_t &t) noexcept { give(DELETES_QUIET, 0, p, &t); }
void operator delete[](void *p, align_val_t a, const nothrow_t &t) noexcept { give(DELETES_ALIGNED_QUIET, size_t(a), p, a, &t); }

namespace {

const size_t BYTES = 100, ALIGN = 64;

void *call_new(Form f)
{
	const align_val_t a = align_val_t(ALIGN);

	switch (f) {
	case NEW: return ::operator new(BYTES);
	case NEW_ALIGNED: return ::operator new(BYTES, a);
	case NEW_QUIET: return ::operator new(BYTES, std::nothrow);
	case NEW_ALIGNED_QUIET: return ::operator new(BYTES, a, std::nothrow);
	case NEWS: return ::operator new[](BYTES);
	case NEWS_ALIGNED: return ::operator new[](BYTES, a);
	case NEWS_QUIET: return ::operator new[](BYTES, std::nothrow);
	default: return ::operator new[](BYTES, a, std::nothrow);
	}
}

void call_delete(Form f, void *p)
{
	const align_val_t a = align_val_t(ALIGN);

	switch (f) {
	case DELETE: return ::operator delete(p);
	case DELETE_ALIGNED: return ::operator delete(p, a);
	case DELETE_SIZED: return ::operator delete(p, BYTES);
	case DELETE_SIZED_ALIGNED: return ::operator delete(p, BYTES, a);
	case DELETE_QUIET: return ::operator delete(p, std::nothrow);
	case DELETE_ALIGNED_QUIET: return ::operator delete(p, a, std::nothrow);
	case DELETES: return ::operator delete[](p);
	case DELETES_ALIGNED: return ::operator delete[](p, a);
	case DELETES_SIZED: return ::operator delete[](p, BYTES);
	case DELETES_SIZED_ALIGNED: return ::operator delete[](p, BYTES, a);
	case DELETES_QUIET: return ::operator delete[](p, std::nothrow);
	default: return ::operator delete[](p, a, std::nothrow);
	}
}

bool is_new(Form f)
{
	return f < DELETE;
}

bool has_align(Form f)
{
	return f & 1;
}

bool is_quiet(Form f)
{
	return f == NEW_QUIET || f == NEW_ALIGNED_QUIET || f == NEWS_QUIET || f == NEWS_ALIGNED_QUIET;
}

Form expected(Form f)
{
	while (f != HEAP && !is_own(f))
		f = form[f].calls;
	return f;
}

// The call itself reaches the right form with the right arguments.
bool sound(Form f)
{
	Form right = expected(f);
	void *p = own;

	reached = HEAP;
	twice = false;
	got_size = BYTES;
	got_align = has_align(f) ? ALIGN : 0;
	if (is_new(f)) {
		p = hide(call_new(f));
		if (right == HEAP)
			free(p);
	} else {
		if (right == HEAP)
			p = hide(aligned_alloc(ALIGN, BYTES));
		call_delete(f, p);
	}
	if (reached == right && !twice && got_size == BYTES && got_align == (has_align(f) ? ALIGN : 0) &&
	    (!is_new(f) || (p == own) == (right != HEAP)))
		return true;
	diag("with %#x replaced, %s reached %s of %zu bytes, alignment %zu", replaced, form[f].name,
	     reached == HEAP ? "the heap" : form[reached].name, got_size, got_align);
	return false;
}

// The replaced one throws: through the forms that throw, not through the others.
// A quiet form that is replaced itself may not.
bool sound_without_memory(Form f)
{
	void *p = own;
	bool thrown = false;

	if (!is_new(f) || expected(f) == HEAP || is_quiet(expected(f)))
		return true;
	starve = true;
	try {
		p = hide(call_new(f));
	} catch (const Starved &) {
		thrown = true;
	}
	starve = false;
	if (thrown != is_quiet(f) && (thrown || !p))
		return true;
	diag("with %#x replaced, %s: %s, %p", replaced, form[f].name, thrown ? "exception" : "no exception", p);
	return false;
}

// Whatever else is replaced, all combinations of those that f may reach.
bool every_way(Form f, uint64_t *random)
{
	Form chain[FORMS], g;
	unsigned length = 0, i, n;
	bool good = true;

	for (g = f; g != HEAP; g = form[g].calls)
		chain[length++] = g;
	for (n = 0; n < 8u << length; n++) {
		replaced = n >> length == 0 ? 0 : unsigned(random_next(random)) & ((1u << FORMS) - 1);
		for (i = 0; i < length; i++)
			replaced = (replaced & ~(1u << chain[i])) | (n >> i & 1) << chain[i];
		good &= sound(f) && sound_without_memory(f);
	}
	replaced = 0;
	return good;
}

}

int main()
{
	tap_start();
	uint64_t random = tap_seed();

	for (int f = 0; f < FORMS; f++)
		ok(every_way(Form(f), &random), "%s", form[f].name);
	return tap_end();
}
