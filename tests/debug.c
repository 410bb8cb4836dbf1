/* The debug levels: what the ring and the trace say, and what walkers find. */
#include "child.h"
#include "heap.h"

#include "cache/cache.h"
#include "pool/pool.h"
#include "slab/pagemap.h"

#include <pthread.h>

#define EVENTS "hakmem: recent events, oldest first:"
#define HISTORY "hakmem: history of "

#ifdef HK_DEBUG
static const bool debug_build = true;
#else
static const bool debug_build = false;
#endif

/* What the child does, by the name that main passes on. */
struct mode {
	const char *name;
	void (*body)(void);
};

static void double_free(void)
{
	void *p = hide(malloc(90));

	free(hide(p));
	free(hide(p));
}

static void *allocate(void *size)
{
	get_own_cache();
	return hide(malloc((size_t)size));
}

static void *in_thread(void *(*body)(void *), void *arg)
{
	pthread_t t;
	void *result;

	if (pthread_create(&t, NULL, body, arg) != 0)
		_exit(3);
	pthread_join(t, &result);
	return result;
}

/* One of everything that the ring knows. */
static void tour(void)
{
	static void *block[200], *of_thread;
	int i;

	for (i = 0; i < 200; i++)
		block[i] = hide(malloc(20000));
	for (i = 0; i < 200; i++)
		free(block[i]);
	in_thread(allocate, (void *)1000);
	hide(malloc(1000));
	of_thread = in_thread(allocate, (void *)700);
	free(of_thread);
	free(hide(malloc(3000000)));
	free(hide(malloc(100 << 20)));
	malloc_trim(0);
	in_thread(free_it, malloc(500));
	for (i = 0; i < 100; i++)
		hide(malloc(500));
	for (i = 0; i < 4; i++)
		hide(malloc(1 << 20));
	if (fork() == 0)
		_exit(0);
	double_free();
}

static void many_events(void)
{
	int i;

	for (i = 0; i < 1000; i++)
		free(hide(malloc(3000000)));
	double_free();
}

/* The history of the second life of a block. */
static void two_lives(void)
{
	void *p = hide(malloc(90)), *q;

	free(hide(p));
	q = hide(malloc(90));
	if (q != p)
		_exit(4);
	free(hide(q));
	free(hide(q));
}

/* Calls that reach malloc and free through the library's own code. */
__attribute__((noinline)) static void callers(void)
{
	void *p = hide(calloc(1, 90)), *q;

	q = hide(realloc(hide(p), 900));
	free(hide(p));
	free(q);
}

static void freed_by_thread(void)
{
	void *p = hide(malloc(90));
	int i;

	in_thread(free_it, p);
	free(hide(p));
	for (i = 0; i < 2000; i++)
		hide(malloc(90));
}

static void *churn(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	void *block[64] = { NULL };

	for (;;) {
		void **at = &block[random_below(&seed, 64)];

		free(*at);
		*at = malloc(random_size(&seed, 4000));
	}
	return NULL;
}

static void abort_among_threads(void)
{
	pthread_t t;
	uintptr_t i;

	for (i = 1; i <= 3; i++)
		pthread_create(&t, NULL, churn, (void *)i);
	usleep(20000);
	double_free();
}

static void keeps_errno(void)
{
	void *p = hide(malloc(90));

	errno = 77;
	free(p);
	_exit(errno == 77 ? 0 : 5);
}

/* A slab with blocks of this program in it, to be broken. */
static struct hk_slab *victim(void)
{
	void *p = hide(malloc(90));

	hide(malloc(90));
	return hk_slab_guess(p);
}

static void next_call(void)
{
	hide(malloc(90));
}

static void break_used(void)
{
	victim()->used++;
	next_call();
}

static void break_words(void)
{
	victim()->words |= (uint32_t)1 << 31;
	next_call();
}

static void break_free(void)
{
	struct hk_slab *slab = victim();

	slab->free[slab->carved / 64] |= (uint64_t)1 << (slab->carved % 64);
	next_call();
}

static void break_slots(void)
{
	struct hk_slab *slab = victim();

	atomic_fetch_or(&slab->home->shared_meta->free,
			(uint64_t)1 << (slab - slab->home->slab));
	next_call();
}

static void break_room(void)
{
	victim()->bin->room--;
	next_call();
}

static void break_owner(void)
{
	atomic_store(&victim()->owner, NULL);
	next_call();
}

/* Full of blocks, so that freeing one is what meets the slab again. */
static void break_far(void)
{
	static void *block[20000];
	struct hk_slab *slab;
	int i;

	for (i = 0; i < 20000; i++)
		block[i] = hide(malloc(90));
	slab = hk_slab_guess(block[10000]);
	slab->used++;
	free(hide(block[10000]));
}

/* Threads exchange blocks while the program forks children that go on. */
static _Atomic(void *) exchange[256];

static void *exchanger(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;
	unsigned long i;

	for (i = 0; i < 20000; i++) {
		size_t size = random_size(&seed, i % 100 ? 4000 : 3000000);
		char *p = (char *)malloc(size), *old;

		if (!p)
			_exit(3);
		p[0] = p[size - 1] = 'x';
		old = (char *)atomic_exchange(&exchange[random_below(&seed, 256)], p);
		if (old && i % 7 == 0)
			old = (char *)realloc(old, random_size(&seed, 9000));
		free(old);
	}
	return NULL;
}

static void churn_and_fork(void)
{
	uint64_t seed[4];
	pthread_t t[4];
	int i, status;

	for (i = 0; i < 4; i++) {
		seed[i] = (uint64_t)i + 1;
		if (pthread_create(&t[i], NULL, exchanger, &seed[i]) != 0)
			_exit(3);
	}
	for (i = 0; i < 5; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			uint64_t other = 99;

			exchanger(&other);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			_exit(6);
	}
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static const struct mode modes[] = {
	{ "double_free", double_free }, { "tour", tour }, { "many_events", many_events },
	{ "two_lives", two_lives }, { "callers", callers }, { "freed_by_thread", freed_by_thread },
	{ "abort_among_threads", abort_among_threads }, { "keeps_errno", keeps_errno },
	{ "break_used", break_used }, { "break_words", break_words },
	{ "break_free", break_free }, { "break_slots", break_slots },
	{ "break_room", break_room }, { "break_owner", break_owner },
	{ "break_far", break_far }, { "churn_and_fork", churn_and_fork },
};

struct order {
	const char *level, *mode;
};

static void again(void *arg)
{
	const struct order *order = (const struct order *)arg;

	setenv("HAKMEM_DEBUG_LEVEL", order->level, 1);
	child_exec(order->mode);
}

/* The process of this mode at this level; kept for the cases about it. */
static struct child run(const char *level, const char *mode)
{
	struct order order = { level, mode };

	return child_run(again, &order, 100);
}

static bool aborted(const struct child *c)
{
	return WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGABRT;
}

static void case_of(const struct child *c, bool good, const char *name)
{
	if (!ok(good, "%s", name))
		child_diag(c);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what)) != NULL) {
		text += strlen(what);
		n++;
	}
	return n;
}

/* Every line is one of the library's, and the last is whole. */
static bool whole_lines(const struct child *c)
{
	const char *line = c->err;

	while (*line) {
		if (strncmp(line, "hakmem: ", 8) != 0 || !strchr(line, '\n'))
			return false;
		line = strchr(line, '\n') + 1;
	}
	return c->length != 0;
}

/* The history, cut out of what the child said; "" if there is none. */
static const char *history(struct child *c)
{
	char *start = strstr(c->err, HISTORY), *end = strstr(c->err, EVENTS);

	if (!start || !end || end < start)
		return "";
	*end = 0;
	return start;
}

/* These come in this order. */
static bool in_order(const char *text, const char *const *what)
{
	for (; *what && text; what++) {
		text = strstr(text, *what);
		if (text)
			text += strlen(*what);
	}
	return text != NULL;
}

static void ring_cases(void)
{
	static const char *const events[] = {
		"malloc 0x", "free 0x", NULL
	};
	static const char *const toured[] = {
		": refill", ": flush", ": stage 1 reuse", ": stage 2 claim", ": stage 3 grow",
		": slab without owner", ": slab adopted", ": slots free", ": SuperSlab mapped",
		": SuperSlab unmapped", ": SuperSlab purged", ": Large mapped", ": Large kept",
		": Large unmapped", ": remote batch sent", ": remote batches received",
		": thread cache attached", ": thread cache retired", ": fork",
	};
	struct child c = run("0", "double_free");
	unsigned i;

	if (debug_build)
		skip("nothing but the message at level 0", "a debug build always has the ring");
	else
		case_of(&c, aborted(&c) && count(c.err, "\n") == 1,
			"nothing but the message at level 0");
	c = run("1", "double_free");
	case_of(&c, aborted(&c) && whole_lines(&c) && strstr(c.err, EVENTS) &&
		strstr(c.err, "refill 0x"), "the ring follows the message at level 1");
	case_of(&c, !strstr(c.err, HISTORY) && !in_order(c.err, events),
		"no history of the pointer at level 1");
	c = run("1", "many_events");
	case_of(&c, aborted(&c) && count(c.err, "\n") == 66, "no more than 64 events");
	c = run("1", "tour");
	for (i = 0; i < sizeof toured / sizeof *toured; i++)
		if (!ok(strstr(c.err, toured[i]), "the ring has%s", toured[i]))
			child_diag(&c);
}

/* calloc, the free inside of realloc and free: all called from callers(). */
static void caller_case(void)
{
#if defined DLFO_STRUCT_HAS_EH_DBASE && defined __OPTIMIZE__
	struct child c = run("2", "callers");
	const char *at = history(&c);
	uintptr_t start = (uintptr_t)hide((void *)callers), offset;
	unsigned calls = 0, here = 0;
	Dl_info info;

	if (!dladdr((void *)start, &info))
		bail("cannot tell where this program lies");
	start -= (uintptr_t)info.dli_fbase;
	while ((at = strstr(at, ", called from 0x")) != NULL && (at = strstr(at, "+0x")) != NULL) {
		offset = strtoul(at + 1, NULL, 16);
		here += offset - start < 256;
		calls++;
	}
	case_of(&c, aborted(&c) && calls == 3 && here == 3, "the calls come from the program");
#else
	skip("the calls come from the program", "needs glibc 2.35 and an optimising compiler");
#endif
}

static void trace_cases(void)
{
	static const char *const once[] = {
		": malloc 0x", ", 90 bytes, called from 0x", ": free 0x", ", called from 0x",
		": free 0x", ", called from 0x", NULL,
	};
	static const char *const twice[] = {
		": malloc 0x", ": free 0x", ": malloc 0x", ": free 0x", ": free 0x", NULL,
	};
	static const char *const remote[] = {
		": malloc 0x", ": free 0x", ": free for its owner 0x", ": free 0x", NULL,
	};
	struct child c = run("2", "double_free");
	const char *text = history(&c);

	case_of(&c, aborted(&c) && in_order(text, once), "the history has malloc and both frees");
	c = run("2", "two_lives");
	text = history(&c);
	case_of(&c, aborted(&c) && in_order(text, twice), "the history has both lives of a block");
	caller_case();
	c = run("2", "freed_by_thread");
	text = history(&c);
	case_of(&c, aborted(&c) && in_order(text, remote), "the history has the way of a remote free");
	c = run("2", "abort_among_threads");
	case_of(&c, aborted(&c) && whole_lines(&c) && strstr(c.err, HISTORY),
		"history and ring while other threads write");
	c = run("2", "keeps_errno");
	case_of(&c, c.status == 0 && c.length == 0, "free keeps errno at level 2");
}

static void walker_cases(void)
{
	static const char *const planted[][2] = {
		{ "break_used", "a slab's used is carved - free" },
		{ "break_words", "a slab's words say where free blocks are" },
		{ "break_free", "only carved blocks are free" },
		{ "break_slots", "the slots of a slab in use are not free" },
		{ "break_room", "a list is as long as its count" },
		{ "break_owner", "a bin lists slabs that its cache owns" },
		{ "break_far", "a slab's used is carved - free" },
	};
	char line[256], name[256];
	struct child c;
	unsigned i;

	for (i = 0; i < sizeof planted / sizeof *planted; i++) {
		c = run("3", planted[i][0]);
		snprintf(line, sizeof line, "hakmem: invariant broken: %s, at 0x", planted[i][1]);
		snprintf(name, sizeof name, "%s is found", planted[i][0]);
		case_of(&c, aborted(&c) && !strncmp(c.err, line, strlen(line)), name);
	}
	c = run("2", "break_used");
	if (debug_build)
		skip("no walker below level 3", "a debug build always has the walkers");
	else
		case_of(&c, c.status == 0 && c.length == 0, "no walker below level 3");
	c = run("3", "churn_and_fork");
	case_of(&c, c.status == 0 && c.length == 0, "threads and forks at level 3");
}

int main(int argc, char **argv)
{
	unsigned i;

	for (i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(argv[1], modes[i].name)) {
			modes[i].body();
			return 0;
		}
	tap_start();
	if (tap_hardened("with HAKMEM_HARDEN blocks are of other classes than named here"))
		return tap_end();
	ring_cases();
	trace_cases();
	walker_cases();
	return tap_end();
}
