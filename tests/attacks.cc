/*
 * Attacks of publicly known kinds, each in a separate child: does the malloc of this
 * program stop them? The program is not linked with one, so that LD_PRELOAD selects it.
 * Prints a line for each attack, then sums by kind; not a test by itself, see attacks.sh.
 *
 * An attack is stopped if a signal ends the child (SIGABRT, SIGSEGV and the like), or if
 * it had no effect: exit_harmless() is called if the stale pointer showed nothing, or if
 * no data of other blocks changed. An attack whose child hangs or returns was not stopped.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cstdint>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

enum { SMALL = 24, SMALL_FULL = 32, MEDIUM = 2000, MEDIUM_FULL = 2048, LARGE = 300000, LARGE_FULL = 327680,
       HUGE = 48 << 20 };
enum { NEIGHBOURS = 8, VICTIM = 3, REUSES = 32, LATER = 3000 };
enum { HARMLESS = 7 };
const size_t MIB = 1 << 20;

/* The parameters of an attack. */
struct arg {
	size_t size;
	size_t amount;
};

struct attack {
	const char *kind, *name;
	void (*body)(const arg &);
	arg a;
};

template <typename T> T *hide(T *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

size_t hide_size(size_t size)
{
	__asm__ volatile("" : "+r"(size));
	return size;
}

char *take(size_t size)
{
	return hide(static_cast<char *>(malloc(hide_size(size))));
}

[[noreturn]] void exit_harmless()
{
	_exit(HARMLESS);
}

bool shows(const char *p, size_t n, char what)
{
	for (size_t i = 0; i < n; i++)
		if (hide(p)[i] == what)
			return true;
	return false;
}

bool is_all(const char *p, size_t n, char what)
{
	for (size_t i = 0; i < n; i++)
		if (hide(p)[i] != what)
			return false;
	return true;
}

/* What a program does afterwards: enough calls to overflow and refill the lists. */
void live_on(size_t size)
{
	static char *p[LATER];
	size_t many = size >= HUGE ? 1 : size > 100000 ? 30 : LATER;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < many; i++)
			p[i] = take(size);
		for (size_t i = 0; i < many; i++)
			free(p[i]);
	}
}

/* Adjacent blocks; one in the middle is attacked. */
struct row {
	char *p[NEIGHBOURS];

	explicit row(size_t size)
	{
		for (char *&block : p) {
			block = take(size);
			memset(hide(block), 'o', size);
		}
	}
	void drop()
	{
		for (char *block : p)
			free(hide(block));
	}
};

/* Changes each byte, whatever its value is. */
void change(char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hide(from)[i] = static_cast<char>(hide(from)[i] ^ 0x5a);
}

void overflow(const arg &a)
{
	row r(a.size);

	change(r.p[VICTIM] + a.size, a.amount);
	r.drop();
	live_on(a.size);
}

void underflow(const arg &a)
{
	row r(a.size);

	change(r.p[VICTIM] - a.amount, a.amount);
	r.drop();
	live_on(a.size);
}

void overflow_realloc(const arg &a)
{
	row r(a.size);

	change(r.p[VICTIM] + a.size, a.amount);
	r.p[VICTIM] = hide(static_cast<char *>(realloc(hide(r.p[VICTIM]), hide_size(a.size * 3))));
	live_on(a.size);
}

void overflow_string(const arg &a)
{
	row r(a.size);

	hide(r.p[VICTIM])[a.size] = 0;
	if (r.p[VICTIM + 1][0] != 'o')
		return;
	/* If the byte was zero already, the write changed nothing. */
	r.drop();
	live_on(a.size);
}

void overflow_calloc(const arg &a)
{
	char *p = hide(static_cast<char *>(calloc(1, hide_size(a.size))));

	change(p + a.size, a.amount);
	free(hide(p));
	live_on(a.size);
}

void overflow_aligned(const arg &a)
{
	char *p = hide(static_cast<char *>(memalign(64, hide_size(a.size))));

	change(p + a.size, a.amount);
	free(hide(p));
	live_on(a.size);
}

void overflow_new(const arg &a)
{
	char *p = hide(new char[hide_size(a.size)]);

	change(p + a.size, a.amount);
	delete[] hide(p);
	live_on(a.size);
}

/* After realloc has shrunk the block in place. */
void overflow_shrunk(const arg &a)
{
	char *p = take(a.size);

	p = hide(static_cast<char *>(realloc(hide(p), a.size - 8)));
	change(p + a.size - 8, a.amount);
	free(hide(p));
	live_on(a.size);
}

char *make_stale(size_t size)
{
	char *p = take(size);

	memset(hide(p), 's', size);
	free(hide(p));
	return hide(p);
}

/* Puts other data where the stale pointer points, as an attacker would. */
void reuse(char **block, size_t size)
{
	for (size_t i = 0; i < REUSES; i++) {
		block[i] = take(size);
		memset(hide(block[i]), 'n', size);
	}
}

void read_free(const arg &a)
{
	if (!shows(make_stale(a.size), a.size, 's'))
		exit_harmless();
}

void read_reused(const arg &a)
{
	char *block[REUSES], *p = make_stale(a.size);

	reuse(block, a.size);
	if (!shows(p, a.size, 'n') && !shows(p, a.size, 's'))
		exit_harmless();
}

void write_free(const arg &a)
{
	memset(make_stale(a.size), 'w', a.size < 64 ? a.size : 64);
	live_on(a.size);
}

void write_free_behind(const arg &a)
{
	char *p = make_stale(a.size);

	memset(p + a.size - 8, 'w', 8);
	live_on(a.size);
}

void damage_reused(const arg &a, char with)
{
	char *block[REUSES], *p = make_stale(a.size);

	reuse(block, a.size);
	memset(hide(p), with, a.size < 64 ? a.size : 64);
	for (char *b : block)
		if (!is_all(b, a.size, 'n'))
			return;
	live_on(a.size);
	exit_harmless();
}

void write_reused(const arg &a)
{
	damage_reused(a, 'w');
}

void zero_reused(const arg &a)
{
	damage_reused(a, 0);
}

/* Harmless if the block reads as zero anyway. */
void zero_free(const arg &a)
{
	char *p = make_stale(a.size);
	bool same = is_all(p, a.size, 0);

	memset(p, 0, a.size);
	live_on(a.size);
	if (same)
		exit_harmless();
}

/* A new block may contain a secret that was in a freed block. */
void uninitialised(const arg &a)
{
	char *block[REUSES];

	for (char *&b : block) {
		b = take(a.size);
		memset(hide(b), 's', a.size);
	}
	for (char *b : block)
		free(hide(b));
	live_on(a.size);
	for (char *&b : block)
		if (shows(b = take(a.size), a.size, 's'))
			return;
	exit_harmless();
}

void uninitialised_tail(const arg &a)
{
	char *block[REUSES];

	for (char *&b : block) {
		b = take(a.size);
		memset(hide(b), 's', a.size);
	}
	for (char *b : block)
		free(hide(b));
	for (char *&b : block) {
		b = take(a.size / 4);
		memset(hide(b), 'n', a.size / 4);
		b = hide(static_cast<char *>(realloc(b, a.size)));
		if (shows(b + a.size / 4, a.size - a.size / 4, 's'))
			return;
	}
	exit_harmless();
}

/* A new block may disclose a heap address. */
void pointer_shown(const arg &a)
{
	char *block[REUSES];
	uintptr_t word, mask = ~static_cast<uintptr_t>(0) << 24;

	for (char *&b : block)
		b = take(a.size);
	for (char *b : block)
		free(hide(b));
	for (char *&b : block) {
		b = take(a.size);
		memcpy(&word, hide(b), sizeof word);
		if (word && (word & mask) == (reinterpret_cast<uintptr_t>(b) & mask))
			return;
	}
	exit_harmless();
}

/* Classes for new and delete. */
struct object {
	char bytes[40];
};
struct alignas(64) aligned_object {
	char bytes[64];
};

void new_delete_many(const arg &)
{
	::operator delete[](hide(::operator new(40)));
}

void new_many_delete(const arg &)
{
	::operator delete(hide(::operator new[](40)));
}

void malloc_delete(const arg &)
{
	::operator delete(hide(malloc(40)));
}

void malloc_delete_many(const arg &)
{
	::operator delete[](hide(malloc(40)));
}

void new_free(const arg &)
{
	free(hide(::operator new(40)));
}

void new_many_free(const arg &)
{
	free(hide(::operator new[](40)));
}

void new_realloc(const arg &)
{
	hide(realloc(hide(::operator new(40)), 400));
}

void delete_size(const arg &a)
{
	::operator delete(hide(::operator new(a.size)), hide_size(a.amount));
}

void delete_many_size(const arg &a)
{
	::operator delete[](hide(::operator new[](a.size)), hide_size(a.amount));
}

void aligned_delete(const arg &)
{
	::operator delete(hide(::operator new(128, std::align_val_t(64))));
}

void delete_aligned(const arg &)
{
	::operator delete(hide(::operator new(128)), std::align_val_t(64));
}

void delete_aligned_otherwise(const arg &)
{
	::operator delete(hide(::operator new(256, std::align_val_t(64))), std::align_val_t(128));
}

void memalign_delete(const arg &)
{
	::operator delete(hide(memalign(64, 128)));
}

void *empty(size_t how)
{
	return how == 0 ? malloc(hide_size(0)) : how == 1 ? calloc(hide_size(0), 8) :
		static_cast<void *>(new char[hide_size(0)]);
}

void read_empty(const arg &a)
{
	(void)*static_cast<volatile char *>(hide(empty(a.amount)));
}

void write_empty(const arg &a)
{
	*static_cast<volatile char *>(hide(empty(a.amount))) = 'w';
}

void *free_here(void *p)
{
	free(hide(p));
	return nullptr;
}

void in_thread(void *p)
{
	pthread_t t;

	if (pthread_create(&t, nullptr, free_here, p) == 0)
		pthread_join(t, nullptr);
}

void twice(const arg &a)
{
	free(make_stale(a.size));
	live_on(a.size);
}

void twice_between(const arg &a)
{
	char *q = take(a.size), *p = make_stale(a.size);

	free(hide(q));
	free(hide(p));
	live_on(a.size);
}

void twice_many_between(const arg &a)
{
	char *block[REUSES], *p;

	for (char *&b : block)
		b = take(a.size);
	p = make_stale(a.size);
	for (char *b : block)
		free(hide(b));
	free(hide(p));
	live_on(a.size);
}

void twice_thread(const arg &a)
{
	in_thread(make_stale(a.size));
	live_on(a.size);
}

void thread_twice(const arg &a)
{
	char *p = take(a.size);

	in_thread(p);
	free(hide(p));
	live_on(a.size);
}

/* The second free releases a block that was allocated again. */
void twice_reused(const arg &a)
{
	char *block[REUSES], *p = make_stale(a.size);

	reuse(block, a.size);
	free(hide(p));
	live_on(a.size);
}

void free_inside(const arg &a)
{
	char *p = take(a.size);

	memset(hide(p), 0, a.size);
	free(hide(p + a.amount));
	live_on(a.size);
}

void free_before(const arg &a)
{
	row r(a.size);

	free(hide(r.p[VICTIM] - a.amount));
	live_on(a.size);
}

/* With a header that glibc accepts. */
void free_forged(const arg &)
{
	size_t *forged = hide(reinterpret_cast<size_t *>(take(4000)));

	forged = reinterpret_cast<size_t *>((reinterpret_cast<uintptr_t>(forged) + 63) & ~static_cast<uintptr_t>(63));
	forged[1] = 0x71;
	forged[15] = 0x71;
	free(hide(forged + 2));
	live_on(100);
}

void free_stack(const arg &)
{
	size_t here[32] = { 0, 0x71 };

	here[15] = 0x71;
	free(hide(reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(here + 2) + 15) & ~static_cast<uintptr_t>(15))));
	live_on(100);
}

alignas(64) size_t fixed[64] = { 0, 0x71 };

void free_static(const arg &)
{
	fixed[15] = 0x71;
	free(hide(fixed + 2));
	live_on(100);
}

void free_mapping(const arg &)
{
	free(hide(mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	live_on(100);
}

void free_number(const arg &a)
{
	free(hide(reinterpret_cast<char *>(a.amount)));
	live_on(100);
}

void realloc_free(const arg &a)
{
	hide(realloc(make_stale(a.size), hide_size(a.size + a.size / 2)));
	live_on(a.size);
}

void realloc_static(const arg &)
{
	hide(realloc(hide(fixed + 2), hide_size(400)));
	live_on(100);
}

void realloc_inside(const arg &a)
{
	char *p = take(a.size);

	memset(hide(p), 0, a.size);
	hide(realloc(hide(p + 16), hide_size(a.size * 2)));
	live_on(a.size);
}

void usable_free(const arg &a)
{
	hide_size(malloc_usable_size(make_stale(a.size)));
}

void usable_inside(const arg &a)
{
	char *p = take(a.size);

	memset(hide(p), 0, a.size);
	hide_size(malloc_usable_size(hide(p + 1)));
}

/* malloc_usable_size must not return more than was requested: compiler checks
 * (_FORTIFY_SOURCE=3) use the requested size. */
void usable_more(const arg &a)
{
	char *p = take(a.size);

	if (malloc_usable_size(hide(p)) == a.size)
		exit_harmless();
}

/* Makes no mistake: if this does not exit normally, the other results are meaningless. */
void no_attack(const arg &)
{
	static const size_t sizes[] = { SMALL, SMALL_FULL, MEDIUM, MEDIUM_FULL, LARGE, LARGE_FULL };

	for (size_t size : sizes) {
		row r(size);

		r.p[VICTIM] = hide(static_cast<char *>(realloc(hide(r.p[VICTIM]), size + size / 8)));
		r.drop();
		in_thread(take(size));
		live_on(size);
	}
	delete[] hide(new char[100]);
	delete hide(new object);
	delete hide(new aligned_object);
	free(hide(malloc(hide_size(0))));
}

#define EACH_SIZE(kind, name, body, amount)			\
	{ kind, name " of a small block", body, { SMALL, amount } },		\
	{ kind, name " of a medium block", body, { MEDIUM, amount } },		\
	{ kind, name " of a large block", body, { LARGE, amount } }
#define EACH_FULL(kind, name, body, amount)			\
	{ kind, name " of a small block that is full", body, { SMALL_FULL, amount } },	\
	{ kind, name " of a medium block that is full", body, { MEDIUM_FULL, amount } },	\
	{ kind, name " of a large block that is full", body, { LARGE_FULL, amount } }
#define ALL_SIZES(kind, name, body, amount)			\
	EACH_SIZE(kind, name, body, amount), EACH_FULL(kind, name, body, amount)

const attack attacks[] = {
	ALL_SIZES("overflow", "write 1 byte behind the end", overflow, 1),
	ALL_SIZES("overflow", "write 8 bytes behind the end", overflow, 8),
	ALL_SIZES("overflow", "write 32 bytes behind the end", overflow, 32),
	ALL_SIZES("overflow", "write 1 MiB behind the end", overflow, MIB),
	EACH_SIZE("overflow", "write 8 bytes behind the end, then realloc", overflow_realloc, 8),
	EACH_FULL("overflow", "the zero behind a string", overflow_string, 0),
	{ "overflow", "write 1 byte behind the end of a huge block", overflow_calloc, { HUGE, 1 } },
	{ "overflow", "write a page behind the end of a huge block", overflow_calloc, { HUGE, 4096 } },
	{ "overflow", "write 1 byte behind the end of a block of calloc", overflow_calloc, { 100, 1 } },
	{ "overflow", "write 1 byte behind the end of an aligned block", overflow_aligned, { 128, 1 } },
	{ "overflow", "write 1 byte behind the end of new[]", overflow_new, { 100, 1 } },
	{ "overflow", "write 1 byte behind the end of a block that shrank", overflow_shrunk, { 100, 1 } },
	EACH_SIZE("underflow", "write 1 byte before the start", underflow, 1),
	EACH_SIZE("underflow", "write 8 bytes before the start", underflow, 8),
	EACH_SIZE("underflow", "write 32 bytes before the start", underflow, 32),
	EACH_SIZE("underflow", "write 1 MiB before the start", underflow, MIB),
	ALL_SIZES("after free", "read", read_free, 0),
	{ "after free", "read of a huge block", read_free, { HUGE, 0 } },
	{ "after free", "write of a huge block", write_free, { HUGE, 0 } },
	EACH_SIZE("after free", "read, after reuse", read_reused, 0),
	ALL_SIZES("after free", "write", write_free, 0),
	EACH_SIZE("after free", "write to the end", write_free_behind, 0),
	EACH_SIZE("after free", "write, after reuse", write_reused, 0),
	EACH_SIZE("after free", "write zeros", zero_free, 0),
	EACH_SIZE("after free", "write zeros, after reuse", zero_reused, 0),
	ALL_SIZES("uninitialised read", "what was freed", uninitialised, 0),
	EACH_SIZE("uninitialised read", "what realloc adds", uninitialised_tail, 0),
	{ "uninitialised read", "where the heap lies", pointer_shown, { SMALL, 0 } },
	{ "wrong delete", "delete[] of new", new_delete_many, { 0, 0 } },
	{ "wrong delete", "delete of new[]", new_many_delete, { 0, 0 } },
	{ "wrong delete", "delete of malloc", malloc_delete, { 0, 0 } },
	{ "wrong delete", "delete[] of malloc", malloc_delete_many, { 0, 0 } },
	{ "wrong delete", "free of new", new_free, { 0, 0 } },
	{ "wrong delete", "free of new[]", new_many_free, { 0, 0 } },
	{ "wrong delete", "realloc of new", new_realloc, { 0, 0 } },
	{ "wrong delete", "delete with a smaller size", delete_size, { 100, 98 } },
	{ "wrong delete", "delete with a larger size", delete_size, { 100, 102 } },
	{ "wrong delete", "delete with a much larger size", delete_size, { 100, 5000 } },
	{ "wrong delete", "delete[] with a smaller size", delete_many_size, { 2000, 20 } },
	{ "wrong delete", "delete of aligned new", aligned_delete, { 0, 0 } },
	{ "wrong delete", "aligned delete of new", delete_aligned, { 0, 0 } },
	{ "wrong delete", "delete with another alignment", delete_aligned_otherwise, { 0, 0 } },
	{ "wrong delete", "delete of memalign", memalign_delete, { 0, 0 } },
	{ "zero size", "read of malloc(0)", read_empty, { 0, 0 } },
	{ "zero size", "read of calloc(0, 8)", read_empty, { 0, 1 } },
	{ "zero size", "read of new char[0]", read_empty, { 0, 2 } },
	{ "zero size", "write to malloc(0)", write_empty, { 0, 0 } },
	{ "zero size", "write to calloc(0, 8)", write_empty, { 0, 1 } },
	{ "zero size", "write to new char[0]", write_empty, { 0, 2 } },
	EACH_SIZE("double free", "at once", twice, 0),
	{ "double free", "at once of a huge block", twice, { HUGE, 0 } },
	EACH_SIZE("double free", "another block between", twice_between, 0),
	EACH_SIZE("double free", "32 blocks between", twice_many_between, 0),
	EACH_SIZE("double free", "the second in a thread", twice_thread, 0),
	EACH_SIZE("double free", "the first in a thread", thread_twice, 0),
	EACH_SIZE("double free", "after reuse", twice_reused, 0),
	EACH_SIZE("invalid free", "16 bytes inside", free_inside, 16),
	EACH_SIZE("invalid free", "1 byte inside", free_inside, 1),
	EACH_SIZE("invalid free", "16 bytes before", free_before, 16),
	{ "invalid free", "16 bytes inside a huge block", free_inside, { HUGE, 16 } },
	{ "invalid free", "a page inside a large block", free_inside, { LARGE, 4096 } },
	{ "invalid free", "a forged header inside a block", free_forged, { 0, 0 } },
	{ "invalid free", "the stack", free_stack, { 0, 0 } },
	{ "invalid free", "static data", free_static, { 0, 0 } },
	{ "invalid free", "another mapping", free_mapping, { 0, 0 } },
	{ "invalid free", "a small number", free_number, { 0, 4096 } },
	{ "invalid free", "a large number", free_number, { 0, ~static_cast<size_t>(0) / 2 & ~static_cast<size_t>(15) } },
	EACH_SIZE("invalid realloc", "a free block", realloc_free, 0),
	{ "invalid realloc", "static data", realloc_static, { 0, 0 } },
	{ "invalid realloc", "16 bytes inside", realloc_inside, { 100, 0 } },
	EACH_SIZE("invalid size", "malloc_usable_size of a free block", usable_free, 0),
	{ "invalid size", "malloc_usable_size inside", usable_inside, { 100, 0 } },
	{ "invalid size", "malloc_usable_size says more", usable_more, { 100, 0 } },
};
const size_t count = sizeof attacks / sizeof *attacks;

[[noreturn]] void run(const attack &which)
{
	struct rlimit none = { 0, 0 };
	int null = open("/dev/null", O_WRONLY);

	dup2(null, STDERR_FILENO);
	setrlimit(RLIMIT_CORE, &none);
	alarm(60);
	which.body(which.a);
	_exit(0);
}

/* How the child ended; NULL: the attack was not stopped. */
const char *outcome(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == HARMLESS ? "harmless" : nullptr;
	switch (WTERMSIG(status)) {
	case SIGABRT: return "abort";
	case SIGSEGV: return "fault";
	case SIGBUS: return "fault";
	case SIGILL: return "abort";
	case SIGTRAP: return "abort";
	default: return nullptr;
	}
}

int status_of(const attack &which)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		_exit(99);
	if (pid == 0)
		run(which);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

const char *attempt(const attack &which)
{
	return outcome(status_of(which));
}

}

/* Without arguments, makes all attacks; otherwise the one with this number, in this process. */
int main(int argc, char **argv)
{
	const char *kind = attacks[0].kind;
	unsigned stopped = 0, of_kind = 0, in_kind = 0;
	char sums[1024] = "", line[128];

	setvbuf(stdout, line, _IOLBF, sizeof line);
	if (argc > 1) {
		attacks[strtoul(argv[1], nullptr, 10)].body(attacks[strtoul(argv[1], nullptr, 10)].a);
		return 0;
	}
	if (status_of({ "none", "no attack", no_attack, { 0, 0 } }) != 0) {
		printf("a program without a mistake does not end as it should\n");
		return 1;
	}
	for (size_t i = 0; i <= count; i++) {
		if (i == count || strcmp(kind, attacks[i].kind)) {
			size_t used = strlen(sums);

			snprintf(sums + used, sizeof sums - used, "sum\t%s\t%u\t%u\n", kind, of_kind, in_kind);
			of_kind = in_kind = 0;
		}
		if (i == count)
			break;
		kind = attacks[i].kind;
		const char *how = attempt(attacks[i]);
		stopped += how != nullptr;
		of_kind += how != nullptr;
		in_kind++;
		printf("%zu\t%s\t%s: %s\n", i, how ? how : "NOT STOPPED", kind, attacks[i].name);
	}
	printf("%ssum\tall\t%u\t%zu\n", sums, stopped, count);
	return 0;
}
