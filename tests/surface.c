/*
 * The functions themselves: names that only dlsym finds, odd arguments,
 * options, errno, and the settings as the program sees them. Sizes and
 * alignments at large have tests of their own.
 */
#include "child.h"
#include "heap.h"
#include "seccomp.h"

#include <hakmem/hakmem.h>

#include <limits.h>
#include <pthread.h>

/* One size of every kind: Tiny, Mid in a slab, Mid, Large, Huge. */
static const size_t kinds[] = { 0, 24, 2048, 20000, 300 * 1024, 3 << 20, 40 << 20 };
enum { KINDS = sizeof kinds / sizeof *kinds };

#ifdef __LP64__
#define SIZE "m"
#else
#define SIZE "j"
#endif

typedef void *(*take_size)(size_t);
typedef void *(*take_two)(size_t, size_t);
typedef void (*give)(void *);
typedef void (*give_size)(void *, size_t);
typedef void (*give_two)(void *, size_t, size_t);

static void *find(const char *name)
{
	void *p = dlsym(RTLD_DEFAULT, name);

	if (!p)
		diag("%s is not there", name);
	return p;
}

static void frees(void)
{
	give by_cfree = (give)find("cfree");
	give_size by_size = (give_size)find("free_sized");
	give_two by_two = (give_two)find("free_aligned_sized");
	bool good = by_cfree && by_size && by_two;
	size_t before, i, round;

	if (!ok(good, "cfree, free_sized and free_aligned_sized are there"))
		return;
	by_cfree(NULL);
	by_size(NULL, 0);
	by_two(NULL, 64, 0);
	before = resident();
	for (round = 0; round < 50; round++)
		for (i = 0; i < KINDS; i++) {
			void *p = hide(malloc(kinds[i]));
			void *q = hide(malloc(kinds[i]));
			void *r = hide(aligned_alloc(64, kinds[i]));

			good &= p && q && r;
			if (kinds[i]) {
				memset(p, 1, kinds[i]);
				memset(q, 2, kinds[i]);
				memset(r, 3, kinds[i]);
			}
			by_cfree(p);
			by_size(q, kinds[i]);
			by_two(r, 64, kinds[i]);
		}
	ok(good && resident() < before + 256 * MB, "they free blocks of every kind");
}

/* As glibc: an alignment is rounded up to a power of two. */
static void odd_memalign(void)
{
	static const size_t odd[] = { 0, 1, 3, 17, 24, 48, 100, 1000, 4097, 100000, (2 << 20) + 1 };
	bool good = true;
	size_t i;

	for (i = 0; i < sizeof odd / sizeof *odd; i++) {
		size_t power = 16;
		void *p = hide(memalign(hide_size(odd[i]), 100));

		while (power < odd[i])
			power *= 2;
		if (!p || (uintptr_t)p % power) {
			diag("memalign(%zu, 100) is %p", odd[i], p);
			good = false;
		}
		free(p);
	}
	ok(good, "memalign rounds odd alignments up");
	errno = 0;
	ok(!hide(memalign(hide_size(SIZE_MAX / 2 + 2), 1)) && errno == EINVAL,
	   "memalign beyond the largest power of two: EINVAL");
}

static void options(void)
{
	static const int known[] = { M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD,
				     M_MMAP_MAX, M_CHECK_ACTION, M_PERTURB, M_ARENA_TEST, M_ARENA_MAX };
	static const int unknown[] = { 0, 5, 1000, -9, INT_MIN, INT_MAX };
	const int most = 20 * (int)sizeof(size_t);
	bool good = true;
	char *p;
	size_t i;

	for (i = 0; i < sizeof known / sizeof *known; i++)
		good &= mallopt(known[i], 1) == 1;
	ok(good, "mallopt accepts glibc's options");
	for (good = true, i = 0; i < sizeof unknown / sizeof *unknown; i++)
		good &= mallopt(unknown[i], 1) == 1;
	ok(good, "and others, as glibc does");
	ok(mallopt(M_MXFAST, most) == 1 && !mallopt(M_MXFAST, most + 1) && !mallopt(M_MXFAST, -1),
	   "but no fast bins larger than glibc's");
	p = (char *)hide(malloc(1000));
	ok(p && malloc_usable_size(p) >= 1000, "and malloc goes on as before");
	free(p);
}

static void trim(void)
{
	enum { N = 2000 };
	static void *p[N];
	int i, first, second;

	for (i = 0; i < N; i++)
		memset(p[i] = hide(malloc(10000)), 1, 10000);
	for (i = 0; i < N; i++)
		free(p[i]);
	first = malloc_trim(0);
	second = malloc_trim(0);
	ok(first == 1, "malloc_trim is 1 where there was something to give back");
	ok(second == 0, "and 0 right after that");
}

/* glibc's own names lead to the same functions. */
static void aliases(void)
{
	static const char *const same[][2] = {
		{ "__libc_malloc", "malloc" }, { "__libc_free", "free" },
		{ "__libc_cfree", "free" }, { "__libc_calloc", "calloc" },
		{ "__libc_realloc", "realloc" }, { "__libc_memalign", "memalign" },
		{ "__libc_valloc", "valloc" }, { "__libc_pvalloc", "pvalloc" },
		{ "__posix_memalign", "posix_memalign" }, { "cfree", "free" },
	};
	size_t i;

	for (i = 0; i < sizeof same / sizeof *same; i++)
		ok(find(same[i][0]) && find(same[i][0]) == find(same[i][1]), "%s is %s",
		   same[i][0], same[i][1]);
}

static void versions(void)
{
	void *self = dlopen(NULL, RTLD_NOW);

	ok(dlvsym(self, "hak_malloc", "HAKMEM_1") == (void *)hak_malloc, "hak_malloc has version HAKMEM_1");
	ok(!dlvsym(self, "hak_malloc", "HAKMEM_2"), "and no other");
	ok(!dlvsym(self, "malloc", "HAKMEM_1") && dlsym(self, "malloc"), "malloc has none of ours");
	dlclose(self);
}

static void prefixed(void)
{
	void *p = hide(hak_malloc(100)), *q = hide(malloc(100)), *out = NULL;

	p = hide(hak_realloc(p, 300));
	q = hide(hak_reallocarray(q, 3, 100));
	ok(p && q && hak_malloc_usable_size(p) >= 300 && malloc_usable_size(q) >= 300,
	   "blocks of malloc and of hak_malloc are the same");
	free(p);
	hak_free(q);
	p = hide(hak_calloc(10, 10));
	ok(p && all_zero(p, 100), "hak_calloc");
	hak_free_sized(p, 100);
	p = hide(hak_aligned_alloc(128, 10));
	q = hide(hak_memalign(256, 10));
	ok(p && q && (uintptr_t)p % 128 == 0 && (uintptr_t)q % 256 == 0, "hak_aligned_alloc, hak_memalign");
	hak_free_aligned_sized(p, 128, 10);
	hak_free(q);
	ok(hak_posix_memalign(&out, 4096, 10) == 0 && (uintptr_t)out % 4096 == 0, "hak_posix_memalign");
	hak_free(out);
	p = hide(hak_valloc(10));
	q = hide(hak_pvalloc(10));
	ok(p && q && hak_malloc_usable_size(q) >= (size_t)sysconf(_SC_PAGESIZE), "hak_valloc, hak_pvalloc");
	hak_free(p);
	hak_free(q);
	hak_free(NULL);
	ok(hak_malloc_usable_size(NULL) == 0 && hak_malloc_trim(0) <= 1, "hak_malloc_usable_size(NULL), hak_malloc_trim");
	p = hide(malloc(50));
	errno = 0;
	ok(!hide(hak_realloc(p, 0)) && errno == 0, "hak_realloc(p, 0) is NULL, and no error");
	errno = 0;
	ok(!hide(hak_malloc(hide_size((size_t)PTRDIFF_MAX + 1))) && errno == ENOMEM,
	   "hak_malloc of more than PTRDIFF_MAX: ENOMEM");
}

static void settings(void)
{
	char value[64] = "untouched", cut[4];
	const char *name;
	unsigned i;
	bool good = true;
	int n;

	ok(!strcmp(hak_version(), PACKAGE_VERSION), "hak_version");
	for (i = 0; (name = hak_setting_name(i)) != NULL; i++)
		good &= !strncmp(name, "HAKMEM_", 7) && hak_setting(name, NULL, 0) > 0 &&
			hak_setting_source(name) != NULL;
	ok(good && i >= 8, "every setting has a name, a value and a source");
	ok(!hak_setting_name(UINT_MAX), "there is none behind the last");
	n = hak_setting("HAKMEM_TINY_PRESET", value, sizeof value);
	ok(n == (int)strlen(value) && !strcmp(value, "ultra-tight") &&
	   !strcmp(hak_setting_source("HAKMEM_TINY_PRESET"), "environment"), "a setting from the environment");
	ok(hak_setting("HAKMEM_TINY_PRESET", cut, sizeof cut) == n && !strcmp(cut, "ult"), "cut to the buffer");
	ok(hak_setting("HAKMEM_TINY_PRESET", cut, 1) == n && !*cut, "even to one of a byte");
	ok(hak_setting("HAKMEM_STATS_ENABLE", value, sizeof value) == 1 && !strcmp(value, "0") &&
	   !strcmp(hak_setting_source("HAKMEM_STATS_ENABLE"), "default"), "an older spelling, and a default");
	strcpy(value, "untouched");
	errno = 0;
	ok(hak_setting("HAKMEM_STAT", value, sizeof value) == -1 && errno == EINVAL &&
	   !strcmp(value, "untouched"), "an unknown name: -1 and EINVAL");
	errno = 0;
	ok(!hak_setting_source("") && errno == EINVAL, "its source: NULL and EINVAL");
}

/* errno, through every way to free. */
static bool keeps_errno(void)
{
	static const char *const names[] = { "free", "cfree", "_ZdlPv", "_ZdaPv",
		"_ZdlPvRKSt9nothrow_t", "_ZdlPvSt11align_val_t" };
	bool good = true;
	size_t i, k, n;

	for (k = 0; k < sizeof names / sizeof *names; k++)
		for (i = 0; i < KINDS; i++)
			for (n = 0; n < 40; n++) {
				void *p = hide(malloc(kinds[i]));

				errno = 12345;
				((give)find(names[k]))(p);
				if (errno != 12345) {
					diag("%s of %zu bytes: errno %d", names[k], kinds[i], errno);
					return false;
				}
			}
	/* All lists at once, so that slabs and SuperSlabs are released too. */
	for (i = 0; i < KINDS - 2; i++) {
		static void *p[5000];
		size_t many = kinds[i] > 100000 ? 100 : 5000;

		for (n = 0; n < many; n++)
			p[n] = hide(malloc(kinds[i]));
		errno = 12345;
		for (n = 0; n < many; n++)
			free(p[n]);
		good &= errno == 12345;
	}
	return good;
}

static void *free_all(void *arg)
{
	void **p = (void **)arg;

	errno = 12345;
	for (; *p; p++)
		free(*p);
	return errno == 12345 ? arg : NULL;
}

static bool keeps_errno_between_threads(void)
{
	static void *p[5001];
	bool good = true;
	size_t i, n;

	for (i = 0; i < KINDS; i++) {
		size_t many = kinds[i] > 100000 ? 20 : 5000;
		void *result = NULL;
		pthread_t t;

		for (n = 0; n < many; n++)
			p[n] = hide(malloc(kinds[i]));
		p[n] = NULL;
		if (pthread_create(&t, NULL, free_all, p) != 0)
			return false;
		pthread_join(t, &result);
		good &= result != NULL;
	}
	return good;
}

/* From here on the kernel takes nothing back. */
static bool refuse_to_unmap(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_munmap, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_madvise, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
	};

	return seccomp_filter(code, sizeof code / sizeof *code);
}

static void without_unmap(void *arg)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hak_stats s;

	(void)arg;
	if (!refuse_to_unmap())
		_exit(77);
	if (munmap(p, page) == 0 || !keeps_errno() || !keeps_errno_between_threads())
		_exit(1);
	malloc_trim(0);
	hak_stats_get(&s, sizeof s);
	_exit(s.mapped == s.in_use + s.cached + s.free_bytes + s.metadata &&
	      s.free_bytes < s.mapped ? 0 : 2);
}

static void errors(void)
{
	const char *name = "and where the kernel refuses to take memory back";
	struct child c;

	ok(keeps_errno(), "freeing preserves errno, for blocks of every kind");
	ok(keeps_errno_between_threads(), "and for blocks of other threads");
	c = child_run(without_unmap, NULL, 60);
	if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == 77)
		skip(name, "no seccomp");
	else if (!ok(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0 && !c.length, "%s", name))
		child_diag(&c);
}

/* C++'s operators in a program without its library. */
static void no_exceptions(void *arg)
{
	size_t size = hide_size((size_t)PTRDIFF_MAX + 1);

	(void)arg;
	expect("hakmem: operator new: no memory for %zu bytes and no C++ library to throw bad_alloc", size);
	((take_size)find("_Znw" SIZE))(size);
}

static void operators(void)
{
	take_size plain = (take_size)find("_Znw" SIZE);
	take_two nothrow = (take_two)find("_Znw" SIZE "RKSt9nothrow_t");
	void *p;

	ok(!dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv"), "this program has no C++ library");
	p = hide(plain(100));
	ok(p && malloc_usable_size(p) >= 100, "operator new works without it");
	free(p);
	ok(!nothrow(hide_size((size_t)PTRDIFF_MAX + 1), 0), "operator new(nothrow) is NULL without memory");
	child_aborts(no_exceptions, NULL, "operator new stops the program then");
}

int main(int argc, char **argv)
{
	/* What settings() expects; read before main, hence a second start. */
	if (argc < 2) {
		setenv("HAKMEM_TINY_PRESET", "ultra-tight", 1);
		exec_self(argv[0], "again", NULL);
	}
	tap_start();
	if (tap_hardened("it mixes the forms of functions, which HAKMEM_HARDEN refuses"))
		return tap_end();
	if (tap_other) {
		skip("everything", "this is about HAKMEM's own functions");
		return tap_end();
	}
	frees();
	odd_memalign();
	options();
	trim();
	aliases();
	versions();
	prefixed();
	settings();
	errors();
	operators();
	return tap_end();
}
