// Leaks blocks of every kind of allocation, for cmd-leaks.sh, which compares the functions in which leak detectors find
// leaks. With an argument, this program leaks nothing and starts a thread.
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#define SITE extern "C" __attribute__((noinline)) void

struct node {
	node *next;
	char name[56];
};

static void *volatile last;

SITE lose_list()
{
	node *first = nullptr;

	for (int i = 0; i < 50; i++)
		first = new node{ first, "" };
	last = first;
}

SITE lose_array()
{
	last = new char[100000];
}

SITE lose_string()
{
	last = strdup(static_cast<const char *>("lost"));
}

SITE lose_grown()
{
	last = std::realloc(std::malloc(100), 200000);
}

SITE lose_aligned()
{
	void *p = nullptr;

	if (posix_memalign(&p, 256, 5000))
		std::abort();
	last = p;
}

SITE lose_large()
{
	last = std::calloc(1, 3 << 20);
}

SITE lose_in_thread()
{
	last = std::malloc(7000);
}

SITE lose_in_library_code()
{
	last = new std::vector<int>(10000, 1);
}

SITE free_all()
{
	std::vector<char *> blocks;

	for (int i = 0; i < 1000; i++)
		blocks.push_back(new char[i]);
	for (char *block : blocks)
		delete[] block;
}

int main(int argc, char **)
{
	if (argc > 1) {
		std::thread(free_all).join();
		return 0;
	}
	for (int i = 0; i < 20; i++) {
		lose_list();
		lose_array();
		lose_string();
		lose_grown();
		lose_aligned();
		lose_large();
		lose_in_library_code();
		free_all();
		std::thread(lose_in_thread).join();
	}
	last = nullptr;
}
