// Every operator new and delete, the new-handler, bad_alloc, errno.
#include "heap.h"

#include <hakmem/hakmem.h>

#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>

namespace {

using std::align_val_t;
using std::nothrow;
using std::size_t;

// More than there can be.
const size_t impossible = size_t(PTRDIFF_MAX) + 1;

bool sound(void *p, size_t size, size_t align)
{
	if (!p || reinterpret_cast<uintptr_t>(p) % align || malloc_usable_size(p) < size)
		return false;
	fill(p, size, align);
	return true;
}

// Each way to take a block with each way to give one back.
bool pairs(size_t n)
{
	bool good = true;
	void *p;

	for (int way = 0; way < 4; way++)
		for (int back = 0; back < 6; back++) {
			p = hide(way == 0 ? ::operator new(n) : way == 1 ? ::operator new[](n) :
				 way == 2 ? ::operator new(n, nothrow) : ::operator new[](n, nothrow));
			good &= sound(p, n, 16);
			errno = 12345;
			switch (back) {
			case 0: ::operator delete(p); break;
			case 1: ::operator delete[](p); break;
			case 2: ::operator delete(p, n); break;
			case 3: ::operator delete[](p, n); break;
			case 4: ::operator delete(p, nothrow); break;
			default: ::operator delete[](p, nothrow);
			}
			good &= errno == 12345;
		}
	return good;
}

bool aligned_pairs(size_t n, size_t align)
{
	align_val_t a = align_val_t(align);
	bool good = true;
	void *p;

	for (int way = 0; way < 4; way++)
		for (int back = 0; back < 6; back++) {
			p = hide(way == 0 ? ::operator new(n, a) : way == 1 ? ::operator new[](n, a) :
				 way == 2 ? ::operator new(n, a, nothrow) : ::operator new[](n, a, nothrow));
			good &= sound(p, n, align);
			errno = 12345;
			switch (back) {
			case 0: ::operator delete(p, a); break;
			case 1: ::operator delete[](p, a); break;
			case 2: ::operator delete(p, n, a); break;
			case 3: ::operator delete[](p, n, a); break;
			case 4: ::operator delete(p, a, nothrow); break;
			default: ::operator delete[](p, a, nothrow);
			}
			good &= errno == 12345;
		}
	return good;
}

// How a form of new fails.
enum class Outcome { null, bad_alloc, other, block };

template <class F> Outcome outcome(F take)
{
	try {
		return hide(take()) ? Outcome::block : Outcome::null;
	} catch (const std::bad_alloc &) {
		return Outcome::bad_alloc;
	} catch (...) {
		return Outcome::other;
	}
}

// All throwing forms, then all others.
bool fail_as(Outcome throwing, Outcome quiet)
{
	size_t n = hide_size(impossible);
	align_val_t a = align_val_t(64);

	return outcome([=] { return ::operator new(n); }) == throwing &&
	       outcome([=] { return ::operator new[](n); }) == throwing &&
	       outcome([=] { return ::operator new(n, a); }) == throwing &&
	       outcome([=] { return ::operator new[](n, a); }) == throwing &&
	       outcome([=] { return ::operator new(n, nothrow); }) == quiet &&
	       outcome([=] { return ::operator new[](n, nothrow); }) == quiet &&
	       outcome([=] { return ::operator new(n, a, nothrow); }) == quiet &&
	       outcome([=] { return ::operator new[](n, a, nothrow); }) == quiet;
}

// As in libstdc++, which does not call the new-handler for them. Compilers may assume that an
// alignment is valid, so the alignments are hidden from them.
void odd_alignments()
{
	static const size_t odd[] = { 0, 3, 24, 48, 4097, impossible + 1, SIZE_MAX };
	bool good = true;
	int asked = 0;
	static int *count = &asked;

	std::set_new_handler([] { ++*count; std::set_new_handler(nullptr); });
	for (size_t align : odd) {
		size_t hidden = hide_size(align);
		align_val_t a = align_val_t(hidden);

		good &= outcome([=] { return ::operator new(100, a); }) == Outcome::bad_alloc &&
			outcome([=] { return ::operator new[](100, a); }) == Outcome::bad_alloc &&
			outcome([=] { return ::operator new(100, a, nothrow); }) == Outcome::null &&
			outcome([=] { return ::operator new[](100, a, nothrow); }) == Outcome::null;
	}
	ok(good && !asked, "an alignment that is no power of two: bad_alloc, or NULL from nothrow");
	std::set_new_handler(nullptr);
}

int calls;

// Gives up at the third call.
void patient()
{
	if (++calls % 3 == 0)
		std::set_new_handler(nullptr);
}

void thrower()
{
	calls++;
	throw std::bad_alloc();
}

void stranger()
{
	throw std::runtime_error("not a bad_alloc");
}


// Makes room: the limit on the address space goes up.
void helper()
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	calls++;
	setrlimit(RLIMIT_AS, &all);
}

void handlers()
{
	int good = 0;

	for (int i = 0; i < 8; i++) {
		size_t n = hide_size(impossible);
		align_val_t a = align_val_t(64);
		Outcome o;

		calls = 0;
		std::set_new_handler(patient);
		switch (i) {
		case 0: o = outcome([=] { return ::operator new(n); }); break;
		case 1: o = outcome([=] { return ::operator new[](n); }); break;
		case 2: o = outcome([=] { return ::operator new(n, a); }); break;
		case 3: o = outcome([=] { return ::operator new[](n, a); }); break;
		case 4: o = outcome([=] { return ::operator new(n, nothrow); }); break;
		case 5: o = outcome([=] { return ::operator new[](n, nothrow); }); break;
		case 6: o = outcome([=] { return ::operator new(n, a, nothrow); }); break;
		default: o = outcome([=] { return ::operator new[](n, a, nothrow); });
		}
		good += calls == 3 && o == (i < 4 ? Outcome::bad_alloc : Outcome::null);
	}
	ok(good == 8, "every form calls the new-handler until there is none");

	std::set_new_handler(thrower);
	calls = 0;
	ok(fail_as(Outcome::bad_alloc, Outcome::null) && calls == 8,
	   "a handler that throws bad_alloc: nothrow forms return NULL");
	std::set_new_handler(stranger);
	ok(outcome([] { return ::operator new(hide_size(impossible)); }) == Outcome::other,
	   "what else a handler throws comes through");
	std::set_new_handler(nullptr);

	const char *room = "a handler that makes room is asked once, and the block comes";
	if (emulator_fails(LACK_RLIMIT, room))
		return;
	struct rlimit limit;
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = address_space() + 16 * MB;
	setrlimit(RLIMIT_AS, &limit);
	calls = 0;
	std::set_new_handler(helper);
	void *p = hide(::operator new(64 * MB));
	ok(calls == 1 && sound(p, 64 * MB, 16), "%s", room);
	::operator delete(p);
	std::set_new_handler(nullptr);
}

struct alignas(256) Wide {
	char c[256];
	static int alive;
	Wide() { alive++; }
	~Wide() { alive--; }
};
int Wide::alive;

}

// Beyond the limit of the heap, as without memory.
void at_the_limit()
{
	hak_set_limit(1);
	ok(outcome([] { return ::operator new(hide_size(300 * MB)); }) == Outcome::bad_alloc &&
	   outcome([] { return ::operator new[](hide_size(300 * MB), align_val_t(64)); }) == Outcome::bad_alloc &&
	   outcome([] { return ::operator new(hide_size(300 * MB), nothrow); }) == Outcome::null,
	   "beyond the limit of the heap: the same");
	hak_set_limit(0);
	void *p = ::operator new(hide_size(300 * MB));
	ok(p != nullptr, "and not without a limit");
	::operator delete(p);
}

int main()
{
	static const size_t sizes[] = { 0, 1, 100, 2048, 30000, 500000, 3000000, 40000000 };
	bool plain = true, aligned = true;

	tap_start();
	if (tap_hardened("all forms of new meet all forms of delete, which HAKMEM_HARDEN refuses"))
		return tap_end();
	for (size_t n : sizes) {
		plain &= pairs(n);
		for (size_t align = 32; align <= 4 * MB; align *= 8)
			aligned &= aligned_pairs(n, align);
	}
	ok(plain, "all forms of new with all forms of delete, errno preserved");
	ok(aligned, "the aligned forms too");
	::operator delete(nullptr);
	::operator delete[](nullptr, align_val_t(64), nothrow);
	ok(true, "NULL may be deleted");
	{
#ifdef __ARM_EABI__
		/* There the compiler puts the array 8 bytes into the block. */
		const uintptr_t into = 8;
#else
		const uintptr_t into = 0;
#endif
		auto many = std::make_unique<Wide[]>(17);
		ok(Wide::alive == 17 && reinterpret_cast<uintptr_t>(many.get()) % 256 == into,
		   "an array of aligned objects");
	}
	ok(Wide::alive == 0, "and its end");
	ok(fail_as(Outcome::bad_alloc, Outcome::null), "without memory: bad_alloc, or NULL from nothrow");
	odd_alignments();
	at_the_limit();
	handlers();
	return tap_end();
}
