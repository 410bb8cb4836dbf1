// The plain operators new and delete and nothing else, as the standard lets a
// program replace them: each block has a header, so that no other operator can
// do without them. For the program itself and, once more, as a library of it.
#include "replacing.h"
#include "heap.h"

#include <new>

// What this is about: there is no delete with a size.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wsized-deallocation"
#endif

long live, taken;
bool starve;

namespace {

const std::size_t HEADER = 16;

struct Object {
	int x[20];
	~Object() { x[0] = 0; }
};

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

void use_there()
{
	delete static_cast<Object *>(hide(new Object));
	delete[] static_cast<Object *>(hide(new Object[3]));
}
