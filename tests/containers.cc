// <hakmem/hakmem.hpp>: the allocator and the memory resource in containers.
#include <hakmem/hakmem.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tap.h"

namespace {

template <class T> using Vector = std::vector<T, hakmem::allocator<T>>;
using String = std::basic_string<char, std::char_traits<char>, hakmem::allocator<char>>;

struct alignas(256) Wide {
	char text[256];
};

bool aligned(const void *p, std::size_t align)
{
	return reinterpret_cast<std::uintptr_t>(p) % align == 0;
}

std::size_t in_use()
{
	struct hak_stats stats;

	hak_stats_get(&stats, sizeof stats);
	return stats.in_use;
}

const std::size_t large = std::size_t(64) << 20;

// Blocks of other allocators stop the program here.
bool ours(const void *p, std::size_t size)
{
	return hak_malloc_usable_size(p) >= size;
}

// A quarantine may hold some of the blocks, but not all.
template <class F> bool frees(F allocate_and_free)
{
	for (int i = 0; i < 64; i++)
		allocate_and_free();
	return in_use() < 16 * large;
}

void allocator_blocks()
{
	hakmem::allocator<Wide> wide;
	const std::size_t many = large / sizeof(Wide);
	Wide *one = wide.allocate(1), *array = wide.allocate(many);

	ok(aligned(one, 256) && aligned(array, 256), "the allocator aligns as the type asks");
	ok(ours(one, 256) && ours(array, large), "its memory is HAKMEM's");
	wide.deallocate(one, 1);
	wide.deallocate(array, many);
	ok(frees([&] { wide.deallocate(wide.allocate(many), many); }), "and is freed");
	ok(hakmem::allocator<int>() == hakmem::allocator<Wide>(wide) &&
	   !(hakmem::allocator<int>() != hakmem::allocator<char>()), "all allocators are equal");
}

template <class Exception> bool throws(std::function<void()> call)
{
	try {
		call();
	} catch (const Exception &) {
		return true;
	} catch (...) {
	}
	return false;
}

void allocator_failures()
{
	hakmem::allocator<Wide> wide;
	std::size_t most = SIZE_MAX / sizeof(Wide);

	ok(throws<std::bad_alloc>([&] { wide.deallocate(wide.allocate(hide_size(most)), most); }),
	   "more than there is: bad_alloc");
	ok(!throws<std::bad_array_new_length>([&] { wide.deallocate(wide.allocate(hide_size(most)), most); }),
	   "and not bad_array_new_length");
	ok(throws<std::bad_array_new_length>([&] { wide.deallocate(wide.allocate(hide_size(most + 1)), 1); }),
	   "an overflow: bad_array_new_length");
	Vector<int> v(100, 7);
	ok(throws<std::bad_alloc>([&] { v.reserve(PTRDIFF_MAX / sizeof(int)); }) && v.size() == 100 &&
	   v[99] == 7, "a vector keeps its elements then");
}

// Elements in, half of them out, moves and swaps; all by the allocator.
template <class Container> bool lives(Container c, const std::function<void(Container &, int)> &add)
{
	for (int i = 0; i < 1000; i++)
		add(c, i);
	Container copy = c, moved = std::move(c);

	std::swap(copy, moved);
	copy = moved;
	while (copy.size() > 500)
		copy.erase(copy.begin());
	return moved.size() == 1000 && copy.size() == 500 &&
	       std::equal(copy.begin(), copy.end(), std::next(moved.begin(), 500));
}

void allocator_containers()
{
	using Pair = std::pair<const int, String>;
	using Map = std::map<int, String, std::less<int>, hakmem::allocator<Pair>>;
	using Set = std::set<int, std::less<int>, hakmem::allocator<int>>;
	using List = std::list<String, hakmem::allocator<String>>;
	using Deque = std::deque<Wide *, hakmem::allocator<Wide *>>;
	using Table = std::unordered_map<int, int, std::hash<int>, std::equal_to<int>,
					 hakmem::allocator<std::pair<const int, int>>>;
	Table table;

	ok(lives<Vector<int>>({}, [](Vector<int> &v, int i) { v.push_back(i); }), "vector");
	ok(lives<String>({}, [](String &s, int i) { s.push_back(char(i)); }), "string");
	ok(lives<Map>({}, [](Map &m, int i) { m.emplace(i, String(std::size_t(i), 'x')); }), "map of strings");
	ok(lives<Set>({}, [](Set &s, int i) { s.insert(i); }), "set");
	ok(lives<List>({}, [](List &l, int i) { l.emplace_back(std::size_t(i), 'y'); }), "list of strings");
	ok(lives<Deque>({}, [](Deque &d, int) { d.push_back(nullptr); }), "deque");
	for (int i = 0; i < 100000; i++)
		table[i] = -i;
	ok(table.size() == 100000 && table[777] == -777, "unordered_map");
	ok(*std::allocate_shared<int>(hakmem::allocator<int>(), 42) == 42, "allocate_shared");
	Vector<bool> bits(1000, true);
	ok(bits[999], "vector of bool");
	Vector<Wide> wide(100);
	ok(aligned(&wide[99], 256), "a vector of aligned elements");
}

#ifdef __cpp_lib_memory_resource
void resource_blocks()
{
	std::pmr::memory_resource *r = hakmem::resource();
	bool good = true;
	void *p;

	for (std::size_t align = 1; align <= 1 << 20; align *= 2)
		for (std::size_t size : {0, 1, 100, 5000, 100000}) {
			p = r->allocate(size, align);
			good &= aligned(p, align) && ours(p, size);
			std::memset(p, 1, size);
			r->deallocate(p, size, align);
		}
	ok(good, "the resource allocates from HAKMEM, aligned as it is asked");
	ok(frees([&] { r->deallocate(r->allocate(large), large); }), "and frees");
	ok(throws<std::bad_alloc>([&] { r->deallocate(r->allocate(hide_size(SIZE_MAX / 2 + 1)), 1); }),
	   "more than there is: bad_alloc");
	ok(throws<std::bad_alloc>([&] { r->deallocate(r->allocate(1, hide_size(SIZE_MAX / 2 + 1)), 1); }),
	   "an alignment beyond the address space: bad_alloc");
}

void resource_equality()
{
	hakmem::memory_resource other;
	std::pmr::memory_resource *r = hakmem::resource();

	ok(r == hakmem::resource() && r->is_equal(*r), "there is one resource");
	ok(r->is_equal(other) && other.is_equal(*r) && *r == other, "another one is equal");
	ok(!r->is_equal(*std::pmr::new_delete_resource()) && *r != *std::pmr::null_memory_resource(),
	   "other resources are not");
}

void resource_containers()
{
	std::pmr::memory_resource *kept = std::pmr::get_default_resource();

	{
		std::pmr::vector<std::pmr::string> words(hakmem::resource());

		for (std::size_t i = 0; i < 20000; i++)
			words.emplace_back(i % 100, 'w');
		ok(words[99].size() == 99 && words[99].get_allocator().resource() == hakmem::resource(),
		   "pmr::vector passes it on to its strings");
		ok(ours(words.data(), 20000 * sizeof(std::pmr::string)) && ours(words[99].data(), 100),
		   "which are HAKMEM's");
	}
	{
		std::pmr::monotonic_buffer_resource buffer(hakmem::resource());
		std::pmr::map<int, std::pmr::string> map(&buffer);

		for (int i = 0; i < 1000; i++)
			map.emplace(i, "a string that is longer than what fits into the object itself");
		ok(map.size() == 1000, "upstream of monotonic_buffer_resource");
	}
	{
		std::pmr::synchronized_pool_resource pool(hakmem::resource());
		std::vector<std::thread> threads;
		std::size_t sum[4] = {};

		for (std::size_t n = 0; n < 4; n++)
			threads.emplace_back([&, n] {
				std::pmr::unordered_map<int, std::pmr::string> map(&pool);

				for (int i = 0; i < 1000; i++)
					map[i] = std::pmr::string(std::size_t(i), 'z');
				sum[n] = map.size();
			});
		for (std::thread &thread : threads)
			thread.join();
		ok(sum[0] + sum[1] + sum[2] + sum[3] == 4000, "upstream of synchronized_pool_resource");
	}
	std::pmr::set_default_resource(hakmem::resource());
	{
		std::pmr::vector<Wide> wide(100);

		ok(aligned(&wide[99], 256) && wide.get_allocator().resource() == hakmem::resource(),
		   "as the default resource");
	}
	std::pmr::set_default_resource(kept);
}

// Uses the resource when all other statics are gone.
struct Last {
	std::pmr::vector<int> *numbers = nullptr;

	~Last()
	{
		std::pmr::vector<int> more(1000, 5, hakmem::resource());

		delete numbers;
		if (more[999] != 5)
			_exit(98);
	}
} last;
#endif

} // namespace

int main()
{
	tap_start();
	allocator_blocks();
	allocator_failures();
	allocator_containers();
#ifdef __cpp_lib_memory_resource
	resource_blocks();
	resource_equality();
	resource_containers();
	last.numbers = new std::pmr::vector<int>(1000, 1, hakmem::resource());
#else
	skip("the memory resource", "no <memory_resource>");
#endif
	return tap_end();
}
