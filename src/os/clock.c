/*
 * Reads the clocks through the kernel's vDSO (vdso(7)). This file finds the vDSO itself
 * instead of calling clock_gettime(), because a preloaded library may replace that with a
 * function that calls malloc. Without a vDSO, as under valgrind, each reading is a system
 * call.
 */
#include "os/os.h"
#include "os/syscall.h"

#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#if UINTPTR_MAX == UINT32_MAX && defined(SYS_clock_gettime64)
typedef struct { int64_t sec, nsec; } reading;
#define SYS_CLOCK SYS_clock_gettime64
static const char *const names[] = { "__vdso_clock_gettime64", "__kernel_clock_gettime64" };
#else
typedef struct { long sec, nsec; } reading;
#define SYS_CLOCK SYS_clock_gettime
static const char *const names[] = { "__vdso_clock_gettime", "__kernel_clock_gettime" };
#endif

/* NULL: there is none, or it has not been searched for yet. Written before the process has a
 * second thread. */
static long (*vdso_clock)(clockid_t, reading *);

/* In some ABIs a function pointer points to a descriptor; the vDSO has no descriptors. */
#if defined(__powerpc__) && !(defined(_CALL_ELF) && _CALL_ELF == 2)
enum { CALLABLE = 0 };
#else
enum { CALLABLE = 1 };
#endif

/* The contents of the vDSO's dynamic section. */
struct vdso {
	const char *base;		/* added to the addresses in it */
	const ElfW(Sym) *symbol;
	const char *string;
	const ElfW(Word) *hash, *gnu_hash;
};

static void read_dynamic(struct vdso *v, const ElfW(Dyn) *d)
{
	for (; d->d_tag != DT_NULL; d++) {
		const void *at = v->base + d->d_un.d_ptr;

		if (d->d_tag == DT_SYMTAB)
			v->symbol = at;
		else if (d->d_tag == DT_STRTAB)
			v->string = at;
		else if (d->d_tag == DT_HASH)
			v->hash = at;
		else if (d->d_tag == DT_GNU_HASH)
			v->gnu_hash = at;
	}
}

/* The vDSO does not store the number of symbols. The end of the last chain in the GNU hash
 * table gives it. */
static size_t count_symbols(const struct vdso *v)
{
	const ElfW(Word) *bucket, *chain;
	size_t last = 0, i;

#if !defined(__s390x__)		/* its words have 8 bytes */
	if (v->hash)
		return v->hash[1];
#endif
	if (!v->gnu_hash)
		return 0;
	bucket = v->gnu_hash + 4 + v->gnu_hash[2] * (sizeof(size_t) / sizeof *bucket);
	chain = bucket + v->gnu_hash[0];
	for (i = 0; i < v->gnu_hash[0]; i++)
		last = bucket[i] > last ? bucket[i] : last;
	if (!last)
		return 0;
	while (!(chain[last - v->gnu_hash[1]] & 1))
		last++;
	return last + 1;
}

static void find_clock(const struct vdso *v)
{
	size_t count = count_symbols(v), i, n;

	for (i = 0; i < count; i++)
		for (n = 0; n < sizeof names / sizeof *names; n++)
			if (v->symbol[i].st_shndx &&
			    !strcmp(v->string + v->symbol[i].st_name, names[n]))
				vdso_clock = (long (*)(clockid_t, reading *))(uintptr_t)
					(v->base + v->symbol[i].st_value);
}

void hk_os_clock_start(void)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	const ElfW(Ehdr) *head = (const void *)image;
	const ElfW(Phdr) *part;
	const ElfW(Dyn) *dynamic = NULL;
	struct vdso v = { 0 };
	unsigned i;

	if (!CALLABLE || !image)
		return;
	part = (const void *)(image + head->e_phoff);
	for (i = 0; i < head->e_phnum; i++)
		if (part[i].p_type == PT_LOAD && !v.base)
			v.base = image + part[i].p_offset - part[i].p_vaddr;
		else if (part[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(image + part[i].p_offset);
	if (!v.base || !dynamic)
		return;
	read_dynamic(&v, dynamic);
	if (v.symbol && v.string)
		find_clock(&v);
}

static reading read_clock(clockid_t clock)
{
	reading now = { 0, 0 };

	if (!vdso_clock || vdso_clock(clock, &now) != 0)
		hk_syscall(SYS_CLOCK, clock, (long)&now, 0, 0, 0, 0);
	return now;
}

uint64_t hk_os_now(void)
{
	reading now = read_clock(CLOCK_MONOTONIC_COARSE);

	return (uint64_t)now.sec * 1000 + (uint64_t)now.nsec / 1000000;
}

uint64_t hk_os_clock(void)
{
	reading now = read_clock(CLOCK_MONOTONIC);

	return (uint64_t)now.sec * 1000000000 + (uint64_t)now.nsec;
}

/* How a clock number encodes a thread: see the kernel's posix-timers_types.h. */
bool hk_os_thread_exists(long id)
{
	enum { OF_ONE_THREAD = 4, SCHEDULED = 2 };
	reading unused;

	return hk_syscall(SYS_CLOCK, ~id * 8 + OF_ONE_THREAD + SCHEDULED, (long)&unused,
			  0, 0, 0, 0) == 0;
}
