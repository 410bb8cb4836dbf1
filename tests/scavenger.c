/*
 * Memory that is released while the program does not call, by a thread of the
 * library; and what that thread is in a program that is not its own. Each case is a
 * program of its own.
 */
#include "guest.h"
#include "heap.h"

#include <dirent.h>
#include <grp.h>
#include <hakmem/hakmem.h>
#include <pthread.h>
#include <sched.h>

enum { SIZE = 1000, BLOCKS = 300 * 1024 };
static char *block[BLOCKS];

static struct hak_stats now(void)
{
	struct hak_stats s;

	hak_stats_get(&s, sizeof s);
	return s;
}

static size_t start;

/* The first moments of a process, or of the child of a fork, are without it. */
static void pass_first_moments(void)
{
	usleep(300000);
}

static void begin(void)
{
	pass_first_moments();
	memset(block, 0, sizeof block);
	free(hide(malloc(100)));
	start = resident();
}

static void fill_all(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		if (!block[i])
			fill(block[i] = (char *)malloc(SIZE), SIZE, i);
}

static void free_but(unsigned kept)
{
	uint64_t seed = 1;
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		if (block[i] && (!kept || random_below(&seed, kept))) {
			free(block[i]);
			block[i] = NULL;
		}
}

/* Without a call of malloc, however long it takes, within reason. */
static void idle_until(size_t most, const char *what)
{
	int wait;

	for (wait = 0; wait < 600 && resident() > start + most; wait++)
		usleep(100000);
	if (resident() > start + most)
		fail("%s: %zu KiB stay", what, (resident() - start) / KB);
}

static void check_all(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		if (block[i] && !filled(block[i], SIZE, i))
			fail("block %zu is damaged", i);
}

static void idle(void)
{
	fill_all();
	free_but(0);
	idle_until(15 * MB, "of 300 MiB");
	if (!now().scavenger)
		fail("it is not said to run");
}

static void survivors(void)
{
	fill_all();
	free_but(20);
	idle_until(75 * MB, "of 285 MiB");
	check_all();
	fill_all();
	check_all();
}

static void *free_rest(void *arg)
{
	free_but(0);
	return arg;
}

static void in_thread(void *(*body)(void *))
{
	pthread_t t;

	if (pthread_create(&t, NULL, body, NULL) != 0)
		fail("cannot start a thread");
	pthread_join(t, NULL);
}

/* What others freed lies in the mailbox of a thread that sleeps. */
static void elsewhere(void)
{
	fill_all();
	in_thread(free_rest);
	idle_until(15 * MB, "freed by another thread");
}

static void large(void)
{
	int i;

	for (i = 0; i < 10; i++)
		memset(block[i] = (char *)malloc(6 * MB), 1, 6 * MB);
	for (i = 0; i < 10; i++)
		free(hide(block[i]));
	idle_until(10 * MB, "of 10 Large blocks");
}

/* No thread wakes up in a program that sleeps. */
static void asleep(void)
{
	size_t turns = 0;
	int wait;

	idle();
	for (wait = 0; wait < 60 && now().scavenger_turns != turns; wait++) {
		turns = now().scavenger_turns;
		usleep(1000000);
	}
	if (wait == 60)
		fail("it never sleeps");
	/* And it is woken again. */
	fill_all();
	free_but(0);
	idle_until(15 * MB, "the second time");
	for (wait = 0; wait < 100 && now().scavenger_turns == turns; wait++)
		usleep(100000);
	if (now().scavenger_turns == turns)
		fail("it was not that");
}

/* The last turns before it sleeps find nothing yet; then much is set aside. */
static void late(void)
{
	useconds_t ms;

	for (ms = 600; ms <= 1800; ms += 300) {
		fill_all();
		usleep(ms * 1000);
		free_but(0);
		idle_until(15 * MB, "when it was about to sleep");
	}
}

/* A thread without a cache, in a destructor that runs after the end of its cache, keeps
 * the lists of the shared cache in use while nothing is released. */
static pthread_key_t after_end;

static void use_shared(void *arg)
{
	enum { TURNS = 60, FEW = 64 };
	static _Thread_local unsigned rounds;
	void *p[FEW];
	int turn, i;

	if (rounds++ < 2) {
		pthread_setspecific(after_end, arg);
		return;
	}
	for (turn = 0; turn < TURNS; turn++) {
		for (i = 0; i < FEW; i++)
			p[i] = hide(malloc(100));
		for (i = 0; i < FEW; i++)
			free(p[i]);
		usleep(100000);
	}
}

static void *end_late(void *arg)
{
	free(hide(malloc(100)));
	pthread_setspecific(after_end, &after_end);
	return arg;
}

static void use_after_end(void)
{
	size_t before, i;

	malloc_trim(0);
	before = now().slab_blocks;
	for (i = 0; i < 8 * MB / SIZE; i++)
		block[i] = (char *)malloc(SIZE);
	free_but(0);
	if (pthread_key_create(&after_end, use_shared) != 0)
		fail("cannot make a key");
	in_thread(end_late);
	malloc_trim(0);
	if (!now().scavenger_turns)
		fail("it did not run");
	if (now().slab_blocks > before + 16)
		fail("%zu blocks are lost", now().slab_blocks - before);
}

static void little(void)
{
	int i;

	for (i = 0; i < 1000; i++)
		block[i] = (char *)malloc(SIZE);
	free_but(0);
	if (now().scavenger)
		fail("it runs for 1 MB");
}

/* The status of our thread, from /proc; false: there is none. And how many there
 * are of all. */
static bool status(char *text, size_t size, unsigned *tasks)
{
	DIR *folder = opendir("/proc/self/task");
	struct dirent *entry;
	bool found = false;
	char path[300];
	ssize_t n;
	int fd;

	*tasks = 0;
	while ((entry = readdir(folder)) != NULL) {
		*tasks += *entry->d_name != '.';
		snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
		fd = found ? -1 : open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, size - 1);
		if (fd >= 0)
			close(fd);
		if (n <= 0)
			continue;
		text[n] = 0;
		found = strstr(text, "hakmem-scav\n") != NULL;
	}
	closedir(folder);
	return found;
}

static void none(void)
{
	char text[4096];
	unsigned tasks;

	if (status(text, sizeof text, &tasks))
		fail("there is such a thread");
	if (now().scavenger)
		fail("it is said to run");
}

static void off(void)
{
	fill_all();
	free_but(0);
	none();
}

/* Threads of the program that use the heap, and then only are there. */
enum { MOST = 8 };
static pthread_t companion[MOST];
static pthread_barrier_t meeting;

static void *keep_company(void *arg)
{
	get_own_cache();
	pthread_barrier_wait(&meeting);
	pthread_barrier_wait(&meeting);
	return arg;
}

static void start_companions(unsigned n)
{
	unsigned i;

	pthread_barrier_init(&meeting, NULL, n + 1);
	for (i = 0; i < n; i++)
		if (pthread_create(&companion[i], NULL, keep_company, NULL) != 0)
			fail("cannot start a thread");
	pthread_barrier_wait(&meeting);
}

static void dismiss_companions(unsigned n)
{
	unsigned i;

	pthread_barrier_wait(&meeting);
	for (i = 0; i < n; i++)
		pthread_join(companion[i], NULL);
}

/* A while after the last one ended. */
static void start_ours(void)
{
	usleep(150000);
	fill_all();
	free_but(0);
	if (!now().scavenger)
		fail("it does not run");
}

static void company(void)
{
	const unsigned rounds = (unsigned)tap_rounds(10);
	char text[4096];
	unsigned i, n, tasks;

	for (i = 0; i < rounds; i++) {
		n = i % 2 ? MOST : 1;
		start_companions(n);
		start_ours();
		dismiss_companions(n);
		none();
	}
	/* The kernel may have what is left of the program's own. */
	for (i = 0; i < 100 && (status(text, sizeof text, &tasks) || tasks > 1); i++)
		usleep(10000);
	if (tasks > 1)
		fail("%u threads are left", tasks);
}

static void idle_in_company(void)
{
	start_companions(1);
	idle();
	dismiss_companions(1);
	none();
}

static void in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		start = resident();
		body();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("the child ended with %d", status);
}

static void none_at_first(void)
{
	if (now().scavenger)
		fail("it is said to run in a child");
	pass_first_moments();
	idle();
}

static void forked(void)
{
	idle();
	in_child(none_at_first);
	idle();
}

/* A field of the status of our thread, which must be there, soon. */
static const char *field(const char *name)
{
	static char text[4096];
	const char *at;
	unsigned tasks, tries = 0;

	while (!status(text, sizeof text, &tasks))
		if (tries++ == 100)
			fail("there is no such thread");
		else
			usleep(10000);
	at = strstr(text, name);
	return at ? at + strlen(name) : NULL;
}

/* The thread's name and mask: it takes no signal. */
static void signals(void)
{
	const char *mask;

	idle();
	mask = field("SigBlk:\t");
	/* All signals, except those that cannot be blocked and two of libc. */
	if (!mask || (strtoull(mask, NULL, 16) | 1u << 8 | 1u << 18 | 3ull << 31) != UINT64_MAX)
		fail("it blocks %.16s", mask ? mask : "nothing");
}

/* It is there before it has made itself a guest. */
static void holds(const char *name, unsigned base, unsigned long long value)
{
	const char *at = field(name);
	unsigned tries;

	for (tries = 0; tries < 500 && at && strtoull(at, NULL, (int)base) != value; tries++) {
		usleep(10000);
		at = field(name);
	}
	/* Kernels without filters have no such line. */
	if (at && strtoull(at, NULL, (int)base) != value)
		fail("%s%.16s", name, at);
}

/* On i386 and musl libc has it call setuid() like all others: see src/os/guest.c. */
static const unsigned long long kept =
#if defined(__i386__) || !defined(__GLIBC__)
	0xc0;
#else
	0;
#endif

static void rights(void)
{
	bool root = geteuid() == 0;

	start_companions(1);
	start_ours();
	holds("CapInh:\t", 16, 0);
	holds("CapPrm:\t", 16, root ? kept : 0);
	holds("CapEff:\t", 16, root ? kept : 0);
	holds("NoNewPrivs:\t", 10, 1);
	holds("\nSeccomp:\t", 10, 2);
	idle();
	dismiss_companions(1);
}

/* The thread that starts it is a real-time one on one processor, if it may. */
static void ordinary(void)
{
	struct sched_param real_time;
	cpu_set_t all, one;
	pid_t id;
	int cpu = sched_getcpu();
	bool may;

	memset(&real_time, 0, sizeof real_time);
	real_time.sched_priority = 10;
	sched_getaffinity(0, sizeof all, &all);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof one, &one);
	may = sched_setscheduler(0, SCHED_RR, &real_time) == 0;
	start_companions(1);
	start_ours();
	holds("\nSeccomp:\t", 10, 2);		/* comes last */
	id = (pid_t)atol(field("\nPid:\t"));
	if (sched_getscheduler(id) != SCHED_OTHER)
		fail("its policy is %d%s", sched_getscheduler(id), may ? "" : ", not inherited");
	if (sched_getaffinity(id, sizeof one, &one) || !CPU_EQUAL(&one, &all))
		fail("it may use %d processors of %d", CPU_COUNT(&one), CPU_COUNT(&all));
	dismiss_companions(1);
}

/* The nice value of a thread that the program has made less urgent, or more. */
static void nice_value(void)
{
	int before = getpriority(PRIO_PROCESS, 0), wants = before < 0 ? 0 : before;

	start_companions(1);
	if (setpriority(PRIO_PROCESS, 0, before - 5)) {
		dismiss_companions(1);
		return;			/* nor could it take its own back */
	}
	start_ours();
	holds("\nSeccomp:\t", 10, 2);
	if (getpriority(PRIO_PROCESS, (id_t)atol(field("\nPid:\t"))) != wants)
		fail("it is not %d", wants);
	dismiss_companions(1);
}

/* libc calls these in every thread that it has. */
static void identity(void)
{
	enum { NOBODY = 65534 };
	const gid_t group = NOBODY;

	start_companions(2);
	start_ours();
	if (geteuid() == 0 &&
	    (setgroups(1, &group) || setgid(NOBODY) || setresuid(NOBODY, NOBODY, 0) ||
	     setresuid(-1u, 0, -1u) || setuid(NOBODY)))
		fail("errno %d", errno);
	if (!setuid(0) || errno != EPERM)
		fail("no longer root, and yet it is");
	fill_all();
	free_but(0);
	idle_until(15 * MB, "of 300 MiB");
	dismiss_companions(2);
	none();
}

/* exit() while the last threads end; and the main thread ends with them. */
static void exits(void)
{
	unsigned i;

	start_companions(MOST);
	start_ours();
	pthread_barrier_wait(&meeting);
	for (i = 0; i < MOST; i++)
		pthread_detach(companion[i]);
	exit(0);
}

static void main_first(void)
{
	start_companions(MOST);
	start_ours();
	pthread_barrier_wait(&meeting);
	pthread_exit(NULL);
}

static void children(void (*body)(void))
{
	unsigned long round, rounds = tap_rounds(20);

	for (round = 0; round < rounds; round++)
		in_child(body);
}

static void ends(void)
{
	children(exits);
	children(main_first);
}

/* A child of a program with threads has one. */
static void child_alone(void)
{
	pass_first_moments();
	off();
	start_companions(1);
	start_ours();
	dismiss_companions(1);
	none();
}

static void forked_in_company(void)
{
	start_companions(MOST);
	start_ours();
	in_child(child_alone);
	dismiss_companions(MOST);
	in_child(child_alone);
}

/* The process ends with the last thread that the program made. */
static void *outlive_main(void *arg)
{
	usleep(500000);
	return arg;
}

static void last(void)
{
	pthread_t t;

	idle();
	if (pthread_create(&t, NULL, outlive_main, NULL) != 0)
		fail("cannot start a thread");
	pthread_detach(t);
	pthread_exit(NULL);
}

static void refused(void)
{
	fill_all();
	limit(RLIMIT_AS, 64 * KB);
	free_but(0);
	if (now().scavenger)
		fail("it runs");
	free(hide(malloc(100)));
}

/* Threads come and go while it is started, and works. */
static void *come_and_go(void *arg)
{
	void *p[1000];
	int i, round;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 1000; i++)
			p[i] = malloc(SIZE);
		for (i = 0; i < 1000; i++)
			free(p[i]);
	}
	return arg;
}

static void work_in_child(void)
{
	come_and_go(NULL);
}

static void many_threads(void)
{
	enum { AT_ONCE = 8 };
	pthread_t t[AT_ONCE];
	unsigned long round, rounds = tap_rounds(300), i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < AT_ONCE; i++)
			if (pthread_create(&t[i], NULL, come_and_go, NULL) != 0)
				fail("cannot start a thread");
		for (i = 0; i < AT_ONCE; i++)
			pthread_join(t[i], NULL);
		if (round % 50 == 25)
			in_child(work_in_child);
	}
}

static void threads(void)
{
	many_threads();
	free(hide(malloc(100)));
	idle_until(40 * MB, "of threads that ended");
}

static void turn(const char *value)
{
	if (hak_set("HAKMEM_SCAVENGER", value) != 0)
		fail("HAKMEM_SCAVENGER=%s is refused", value);
}

static void turned_on(void)
{
	off();
	turn("always");
	idle();
}

static void turned_on_in_company(void)
{
	off();
	turn("1");
	off();
	idle_in_company();
}

static void turned_off(void)
{
	idle();
	turn("0");
	none();
	off();
}

/* Still without threads of the program. */
static void turned_down(void)
{
	idle();
	turn("1");
	none();
	off();
}

static void turned_on_in_child(void)
{
	none();
	turn("always");
	idle();
}

static void turned_in_children(void)
{
	in_child(turned_on_in_child);
	none();
	turn("always");
	in_child(none_at_first);
	turn("0");
	in_child(off);
}

static void *turn_often(void *arg)
{
	static const char *const values[] = { "1", "0", "always", "0" };
	unsigned i;

	for (i = 0; i < 400; i++) {
		turn(values[i % 4]);
		usleep(i % 8 * 1000);
	}
	return arg;
}

static void turned_among_threads(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, turn_often, NULL) != 0)
		fail("cannot start a thread");
	many_threads();
	pthread_join(t, NULL);
	turn("0");
	none();
}

/* Without a fork handler; 5 s are the longest time to wait for the end of the thread. */
static void turned_off_in_bare_child(void)
{
	struct timespec before, after;
	int status;
	pid_t pid;

	idle();
	pid = bare_fork();
	if (pid == 0) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		turn("0");
		clock_gettime(CLOCK_MONOTONIC, &after);
		_exit(after.tv_sec - before.tv_sec > 4);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("the child ended with %d", status);
}

/* The child of a vfork shares the memory of this process, but has an id of its own. */
static void in_vfork_child(void (*body)(void))
{
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		body();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("the child ended with %d", status);
}

/* To the library, a process that may not open a file is in a sandbox. */
static void free_in_sandbox(void)
{
	const struct rlimit files = { 0, 0 };

	setrlimit(RLIMIT_NOFILE, &files);
	free_but(0);
}

static void vforked(void)
{
	fill_all();
	in_vfork_child(free_in_sandbox);
	none();
	idle();
}

static void turn_on(void)
{
	turn("always");
}

static void turned_on_in_vfork_child(void)
{
	off();
	in_vfork_child(turn_on);
	idle();
}

static const struct mode {
	const char *name, *setting;
	void (*body)(void);
	const char *says;
} modes[] = {
	{ "idle", "always", idle, "memory is released while the program does not call" },
	{ "survivors", "always", survivors, "pages between survivors are released" },
	{ "elsewhere", "always", elsewhere, "blocks that other threads freed are released" },
	{ "large", "always", large, "Large blocks are released" },
	{ "asleep", "always", asleep, "it sleeps when all is back, and is woken again" },
	{ "late", "always", late, "chains set aside when it is about to sleep are released" },
	{ "shared", "always", use_after_end, "threads after the end of their caches lose no block to it" },
	{ "little", "always", little, "a program with little memory has no such thread" },
	{ "off", "0", off, "nor has one without the setting" },
	{ "forked", "always", forked, "the child of a fork starts its own" },
	{ "vforked", "always", vforked, "the child of a vfork does not decide for its parent" },
	{ "signals", "always", signals, "its thread takes no signals" },
	{ "last", "always", last, "the process ends when its own threads have" },
	{ "refused", "always", refused, "a program that can have no thread goes on" },
	{ "threads", "always", threads, "threads come and go meanwhile" },
	{ "alone", "1", off, "a program without threads has none of the library's" },
	{ "idle-in-company", "1", idle_in_company, "one with threads has it" },
	{ "company", "1", company, "it has gone when the last thread of the program has been joined" },
	{ "threads-in-company", "1", threads, "threads come and go, and it with them" },
	{ "ends", "1", ends, "the process ends while it does" },
	{ "forked-in-company", "1", forked_in_company, "the child of a fork is without threads at first" },
	{ "rights", "1", rights, "it has no rights" },
	{ "ordinary", "1", ordinary, "its policy and processors are not those of the thread that starts it" },
	{ "nice", "1", nice_value, "nor is its nice value" },
	{ "identity", "1", identity, "the program changes its user and groups" },
	{ "turned-on", "0", turned_on, "it is turned on in a running process" },
	{ "turned-on-in-company", "0", turned_on_in_company, "for programs with threads only" },
	{ "turned-off", "always", turned_off, "it has ended when hak_set turns it off" },
	{ "turned-down", "always", turned_down, "or restricts it to programs with threads" },
	{ "turned-in-children", "0", turned_in_children, "a child inherits the change" },
	{ "turned-off-in-bare-child", "always", turned_off_in_bare_child, "a child of _Fork waits for no thread of its parent" },
	{ "turned-on-in-vfork-child", "0", turned_on_in_vfork_child, "the child of a vfork turns it on for its parent" },
	{ "turned-among-threads", "0", turned_among_threads, "it is turned on and off while threads come and go" },
};

static void run_again(void *mode)
{
	const struct mode *m = (const struct mode *)mode;

	setenv("HAKMEM_SCAVENGER", m->setting, 1);
	/* Else frees alone may give all of it back. */
	setenv("HAKMEM_SUPERSLAB_REUSE", "1", 1);
	child_exec(m->name);
}

int main(int argc, char **argv)
{
	size_t i;

	tap_start();
	for (i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (argc < 2) {
			child_ok(run_again, (void *)&modes[i], 120, modes[i].says);
		} else if (!strcmp(argv[1], modes[i].name)) {
			begin();
			modes[i].body();
			return 0;
		}
	}
	return tap_end();
}
