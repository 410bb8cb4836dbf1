// A program that replaces the plain operators new and delete and nothing else,
// as the standard lets it: each block has a header, so that no other operator
// can do without them. Linked with the library, shared and static, and
// preloaded.
#include "heap.h"

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

// What this is about: there is no delete with a size.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#endif

#ifndef TEST_LIBRARY
#define TEST_LIBRARY nullptr
#endif

namespace {

const std::size_t HEADER = 16;
long live, taken;
bool starve;

struct Object {
	int x[10];
	~Object() { x[0] = 0; }
};

struct alignas(256) Wide {
	char c[256];
	~Wide() { c[0] = 0; }
};

// All blocks came from the replaced operator, and went back to it.
void went_through(long blocks, const char *what)
{
	if (!ok(taken >= blocks && live == 0, "%s", what))
		diag("%ld blocks taken, %ld live", taken, live);
	taken = live = 0;
}

Object *object(Object *p)
{
	return static_cast<Object *>(hide(p));
}

}

void *operator new(std::size_t n)
{
	char *p = starve ? nullptr : static_cast<char *>(hide(malloc(n + HEADER)));

	if (!p)
		throw std::bad_alloc();
	live++;
	taken++;
	return p + HEADER;
}

void operator delete(void *p) noexcept
{
	if (!p)
		return;
	live--;
	free(static_cast<char *>(p) - HEADER);
}

int main(int, char **argv)
{
	const char *library = TEST_LIBRARY;

	if (library && !getenv("LD_PRELOAD")) {
		setenv("LD_PRELOAD", library, 1);
		exec_self(argv[0], nullptr, nullptr);
	}
	tap_start();
	taken = live = 0;

	delete object(new Object);
	went_through(1, "delete with a size");
	delete[] object(new Object[5]);
	went_through(1, "an array");
	delete object(new (std::nothrow) Object);
	delete[] object(new (std::nothrow) Object[5]);
	went_through(2, "nothrow");
	::operator delete(hide(::operator new(100)), std::nothrow);
	::operator delete[](hide(::operator new[](100)), std::nothrow);
	::operator delete[](hide(::operator new[](100)), 100);
	went_through(3, "forms that are called by name");
	{
		std::string s(1000, 'x');
		std::vector<std::string> v(10, s);
		std::unique_ptr<Object[]> o(new Object[3]);

		std::stable_sort(v.begin(), v.end());
		v.push_back(s);
	}
	went_through(10, "strings and vectors");

	delete static_cast<Wide *>(hide(new Wide));
	delete[] static_cast<Wide *>(hide(new Wide[5]));
	ok(taken == 0 && live == 0, "with an alignment there are others");

	starve = true;
	ok(!hide(new (std::nothrow) Object) && !hide(new (std::nothrow) Object[5]), "nothrow without memory");
	bool thrown = false;
	try {
		hide(new Object[5]);
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	ok(thrown, "an array without memory");
	return tap_end();
}
