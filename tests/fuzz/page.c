/*
 * The reader of another process in the command: the input is all memory of that process,
 * at address 0 and again at each multiple of its size below 4 GiB. Then the same bytes are
 * the replies of readers that the process has compromised.
 *
 * Unless the highest bit of its first byte is set, the memory begins with the header of a
 * page of this version, so that the corpus stays useful for later versions.
 *
 * sources: src/cmd/elf.c src/cmd/heap.c src/cmd/proc.c src/cmd/say.c src/stats/sums.c
 * options: -max_len=8192 -timeout=5
 */
#include "cmd/find.c"
#include "cmd/memory.c"
#include "fuzz.h"

static struct {
	uint8_t *data;
	size_t size;
	unsigned reads;
} memory;

ssize_t process_vm_readv(pid_t pid, const struct iovec *here, unsigned long here_count,
			 const struct iovec *there, unsigned long there_count, unsigned long flags)
{
	size_t at = (size_t)(uintptr_t)there->iov_base;

	MUST(pid == 1 && here_count == 1 && there_count == 1 && here->iov_len == there->iov_len && !flags);
	if (at >> 32 || at % memory.size > memory.size - 1 || there->iov_len > memory.size - at % memory.size) {
		errno = EFAULT;
		return -1;
	}
	memcpy(here->iov_base, memory.data + at % memory.size, here->iov_len);
	return (ssize_t)here->iov_len;
}

/* The number of reads stands for the time. */
bool reader_late(double share)
{
	return ++memory.reads > share * 5000;
}

/* Children are not part of this. */
bool reader_run(const struct reader *r, const pid_t *pid, unsigned count)
{
	(void)r, (void)pid, (void)count;
	return true;
}

/* The memory of a process that has this heap. */
static void accept_memory(const struct hak_stats *heap)
{
	struct reply reply = { 0 };
	struct memory m = { 0 };
	struct shares s;

	memcpy(&reply, memory.data, memory.size < sizeof reply ? memory.size : sizeof reply);
	memory_accept(&m, &reply);
	s = memory_shares(&m, heap);
	MUST(s.in_use <= m.rss && s.cached <= m.rss && s.free <= m.rss && s.metadata <= m.rss && s.other <= m.rss);
	MUST(s.in_use + s.cached + s.free + s.metadata + s.other == m.rss);
	MUST(!m.unit || strstr(m.cgroup, m.unit));
	memory_forget(&m);
}

static void accept_it(const struct heap_reply *reply)
{
	struct heap heap = { .pid = 1 };
	unsigned i;

	heap_accept(&heap, reply);
	MUST(heap.state < HEAP_STATES && (heap.state == HEAP_READ) == !heap.why);
	MUST(strlen(heap.version) < sizeof heap.version);
	MUST(!heap.s.decisions && heap.s.all.free_bytes <= heap.s.all.mapped);
	MUST(heap.threads <= HEAP_THREADS);
	for (i = 0; i < heap.threads; i++)
		MUST(heap.thread[i].number && (!i || heap.thread[i].cached <= heap.thread[i - 1].cached));
	for (i = 0; i < HK_CLASSES; i++)
		MUST(heap.s.class[i].size == hk_class_size(i));
	if (heap.why)
		must_be_plain(heap.why);
	free(heap.why);
	accept_memory(&heap.s.all);
}

static void search_and_read(void)
{
	struct heap_reply reply = { 0 };
	struct hk_stats_page page;
	struct search s = { .pid = 1, .page = &page, .exe = "", .reply = &reply };
	struct mapping all = { .end = memory.size, .path = "/libhakmem.so.1" };

	if (by_magic(&all, &s)) {
		heap_read(1, &page, &reply);
		MUST(reply.state == HEAP_READ || (reply.state == HEAP_FAULT && *reply.why));
	} else {
		say_why_not(&s, true);
		MUST(reply.state != HEAP_READ && *reply.why);
	}
	accept_it(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hk_stats_page *page;
	struct heap_reply reply = { 0 };

	if (!size)
		return 0;
	memory.data = grow(NULL, size);
	memory.size = size;
	memory.reads = 0;
	memcpy(memory.data, data, size);
	page = (void *)memory.data;
	if (*data < 128 && size >= sizeof *page) {
		memcpy(page->magic, HK_STATS_PAGE_MAGIC, sizeof page->magic);
		page->version = HK_STATS_PAGE_VERSION;
		page->word = sizeof(size_t);
		page->size = sizeof *page;
		page->classes = HK_CLASSES;
	}
	search_and_read();
	memcpy(&reply, data, size < sizeof reply ? size : sizeof reply);
	accept_it(&reply);
	free(memory.data);
	return 0;
}
