// thread_local and static objects whose destructors use the heap.
#include "heap.h"

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<unsigned long> faults{0}, destroyed{0};

struct Keeper {
	std::vector<std::string> words;
	std::map<int, std::unique_ptr<int[]>> numbers;
	Keeper *partner = nullptr;

	~Keeper()
	{
		for (std::size_t i = 0; i < words.size(); i++)
			if (words[i] != std::string(i * 13, 'w'))
				faults++;
		words.clear();
		for (auto &entry : numbers)
			if (entry.second[0] != entry.first)
				faults++;
		numbers.clear();
		// New memory while the thread ends; nothing keeps it.
		std::vector<std::string> more;
		for (int i = 0; i < 50; i++)
			more.push_back(std::string(i * 31, 'm'));
		delete partner;
		destroyed++;
	}

	void fill_up()
	{
		for (int i = 0; i < 60; i++) {
			words.push_back(std::string(i * 13, 'w'));
			numbers[i].reset(new int[i + 1]);
			numbers[i][0] = i;
		}
	}
};

thread_local Keeper first;
thread_local std::unique_ptr<Keeper> second;

// Its constructor runs when the thread is already in its destructors.
struct Late {
	std::string text = std::string(1000, 'l');
	~Late()
	{
		if (text != std::string(1000, 'l'))
			faults++;
		destroyed++;
	}
};

thread_local Late late;

struct Waker {
	~Waker() { late.text.shrink_to_fit(); }
};

thread_local Waker waker;

void live()
{
	static_cast<void>(&waker);
	Waker &w = waker;
	static_cast<void>(hide(&w));
	first.fill_up();
	first.partner = new Keeper;
	first.partner->fill_up();
	second.reset(new Keeper);
	second->fill_up();
}

void many(unsigned long threads)
{
	for (unsigned long n = 0; n < threads; n += 8) {
		std::vector<std::thread> crew;

		for (int i = 0; i < 8; i++)
			crew.emplace_back(live);
		for (auto &t : crew)
			t.join();
	}
}

// An exception must find its way through threads as well.
void throwing()
{
	for (int i = 0; i < 200; i++) {
		try {
			throw std::string(i + 1, 'x');
		} catch (const std::string &s) {
			if (s.size() != static_cast<std::size_t>(i + 1))
				faults++;
		}
	}
}

}

int main()
{
	tap_start();
	unsigned long threads = tap_rounds(2000) / 8 * 8;

	many(threads);
	std::size_t before = resident();
	many(threads);
	ok(destroyed == 2 * threads * 4, "every thread_local destructor ran");
	if (destroyed != 2 * threads * 4)
		diag("%lu of %lu", destroyed.load(), 2 * threads * 4);
	ok(faults == 0, "thread_local objects found their memory whole");
	ok(resident() < before + 24 * MB, "their threads leave nothing behind");
	std::vector<std::thread> crew;
	for (int i = 0; i < 8; i++)
		crew.emplace_back(throwing);
	for (auto &t : crew)
		t.join();
	ok(faults == 0, "exceptions thrown and caught in threads");
	return tap_end();
}
