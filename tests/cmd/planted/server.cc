// A server for cmd-planted.sh: threads take orders from a queue, and never free their copy of each order.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shop {

struct Order {
	unsigned number;
	char text[8000];
};

template <typename Item> class Archive {
public:
	// Only debug information has its frame.
	__attribute__((always_inline)) void keep(const Item &item)
	{
		auto *copy = new Item(item);
		asm volatile("" : : "r"(copy) : "memory");
	}
};

template <typename Item> class Server {
public:
	void put(const Item &item)
	{
		std::lock_guard<std::mutex> guard(lock);
		queue.push_back(item);
		ready.notify_one();
	}

	void serve()
	{
		for (;;) {
			std::unique_lock<std::mutex> guard(lock);
			ready.wait(guard, [this] { return !queue.empty(); });
			Item item = queue.front();
			queue.pop_front();
			guard.unlock();
			handle(item);
		}
	}

private:
	__attribute__((noinline)) void handle(const Item &item)
	{
		std::string answer(item.text, sizeof item.text);
		asm volatile("" : : "r"(answer.data()) : "memory");
		archive.keep(item);
	}

	std::mutex lock;
	std::condition_variable ready;
	std::deque<Item> queue;
	Archive<Item> archive;
};

}

int main()
{
	static shop::Server<shop::Order> server;
	static shop::Order order;

	for (int i = 0; i < 4; i++)
		std::thread([] { server.serve(); }).detach();
	std::puts("ready");
	std::fflush(stdout);
	// At most 480 MB, in a minute or more.
	for (; order.number < 60000; order.number++) {
		server.put(order);
		std::this_thread::sleep_for(std::chrono::milliseconds(1));
	}
}
