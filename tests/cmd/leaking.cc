// Leaks 40 MB through templates and inlined functions, for cmd-profile.sh, and waits.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unistd.h>
#include <vector>

namespace shop {

template <typename Item> class Cache {
public:
	__attribute__((noinline)) void insert(const Item &item)
	{
		// Never read, never freed.
		auto *copy = new Item(item);
		asm volatile("" : : "r"(copy) : "memory");
	}
};

__attribute__((noinline)) void keep_order(std::vector<std::string> &orders, size_t i)
{
	orders.emplace_back(2000, static_cast<char>('a' + i % 26));
}

using Shelf = std::vector<std::vector<std::string>>;

// Calls functions of the C++ library, which call more of them than the table has lines.
__attribute__((noinline)) void copy_shelf(std::vector<Shelf> &copies, const Shelf &shelf)
{
	copies.push_back(shelf);
}

}

struct alignas(64) Line {
	char data[256];
};

struct Blob {
	char data[4000];
};

int main(int argc, char **argv)
{
	static std::vector<std::string> orders;
	static std::vector<shop::Shelf> copies;
	static const shop::Shelf shelf(10, std::vector<std::string>(10, std::string(1000, 'x')));
	shop::Cache<Blob> cache;
	static Blob blob;

	for (size_t i = 0; i < 10000; i++) {
		cache.insert(blob);
		if (i % 10 == 0)
			shop::keep_order(orders, i);
		if (i % 500 == 0)
			shop::copy_shelf(copies, shelf);
		Line *volatile line = new Line;
		delete line;
		void *volatile p = std::malloc(3000);
		std::free(p);
	}
	if (argc > 1 && !std::strcmp(argv[1], "end"))
		return 0;
	std::puts("ready");
	std::fflush(stdout);
	pause();
}
