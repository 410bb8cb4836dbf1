// A program in which the plain operators new and delete are replaced and nothing
// else. Linked with the library, shared and static, and preloaded, where the
// operators are in a library of the program's as well.
#include "replacing.h"
#include "heap.h"

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#ifndef TEST_LIBRARY
#define TEST_LIBRARY nullptr
#endif

namespace {

struct Object {
	int x[10];
	~Object() { x[0] = 0; }
};

struct alignas(256) Wide {
	char c[256];
	~Wide() { c[0] = 0; }
};

// All blocks came from the replaced operator and were freed by it.
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
	use_there();
	went_through(2, "where the operators are");

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
