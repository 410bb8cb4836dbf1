/*
 * fork while other threads are inside libc, with locks of libc's held: of a
 * stream, of the list of streams, of the dynamic linker, of locales. fork
 * takes some of them, and malloc is called under most: no lock of the
 * library's may be held while libc waits for one of its own. The child uses
 * what POSIX or libc lets it use: the heap, streams of its own, exec.
 */
#include "forks.h"

#include <dirent.h>
#include <grp.h>
#include <hakmem/hakmem.h>
#include <link.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <regex.h>
#include <spawn.h>
#include <sys/socket.h>

static _Atomic bool stop;
static void look_up_user(void)
{
	if (!getpwnam("root") || !getgrgid(0))
		guest_skip("no user root");
}

static void look_up_service(void)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;

	if (getaddrinfo("127.0.0.1", "80", &hints, &found) == 0)
		freeaddrinfo(found);
	getservbyname("http", "tcp");
}

static void compile_pattern(void)
{
	regex_t pattern;

	if (regcomp(&pattern, "^(a|b+)*[[:digit:]]{2,5}x?$", REG_EXTENDED))
		fail("regcomp\n");
	regexec(&pattern, "abbab123x", 0, NULL, 0);
	regfree(&pattern);
}

static void open_library(void)
{
	void *library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		library = dlopen("libresolv.so.2", RTLD_NOW);
	if (library)
		dlclose(library);
}

static void look_up_symbol(void)
{
	if (dlsym(RTLD_DEFAULT, "there_is_no_such_name"))
		fail("dlsym found it\n");
	dlerror();
}

static int allocate_for_each(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)info;
	(void)unused;
	free(hide(malloc(size * 100)));
	return 0;
}

static void walk_libraries(void)
{
	dl_iterate_phdr(allocate_for_each, NULL);
}

static void set_locale(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	setlocale(LC_CTYPE, "C");
	localeconv();
}

static void make_locale(void)
{
	locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", NULL);

	if (locale)
		freelocale(locale);
}

static void set_time_zone(void)
{
	static const char *const zone[] = { "Europe/Berlin", "Asia/Tokyo", "UTC", "CET-1CEST" };
	static unsigned round;
	time_t now = 1700000000 + (time_t)round;
	struct tm tm;

	setenv("TZ", zone[round++ % 4], 1);
	tzset();
	localtime_r(&now, &tm);
	mktime(&tm);
}

static void read_directory(void)
{
	DIR *dir = opendir("/");

	if (!dir)
		fail("opendir: errno %d\n", errno);
	while (readdir(dir))
		;
	closedir(dir);
}

static void spawn(void)
{
	char name[] = "true", *argv[] = { name, NULL };
	pid_t pid;

	if (posix_spawnp(&pid, "true", NULL, NULL, argv, environ) == 0)
		child_end(pid);
}

static void use_heap(void)
{
	if (!use_every_size())
		fail("no memory\n");
}

static void *play(void *role)
{
	while (!stop)
		(*(void (**)(void))role)();
	return NULL;
}

/* What a child may do: the heap, a stream that no other thread used, exec. */
static void in_child(FILE *own, unsigned long number)
{
	pid_t pid;

	if (number % 2)
		_exit(0);
	if (!use_every_size())
		_exit(90);
	fprintf(own, "%lu\n", number);
	fflush(own);
	open_and_close();
	if (number % 16 == 4) {
		execl("/proc/self/exe", "true", "true", "-1", NULL);
		_exit(91);
	}
	if (number % 16 == 8) {
		pid = fork();
		if (pid == 0)
			_exit(!use_every_size());
		_exit(pid < 0 ? 92 : child_end(pid));
	}
	_exit(0);
}

static void *fork_on(void *unused)
{
	FILE *own = fopen("/dev/null", "w");
	unsigned long number;
	pid_t pid;
	int end;

	for (number = 0; more(60); number++) {
		pid = fork();
		if (pid == 0)
			in_child(own, number);
		end = pid < 0 ? 95 : child_end(pid);
		if (end)
			fail("child %lu failed with %d (128 + signal)\n", number, end);
		step();
	}
	fclose(own);
	return unused;
}

enum { MOST = 12 };

/* Each role by a thread; so many threads fork. */
static void forks_beside(void (**role)(void), unsigned roles, unsigned forkers)
{
	pthread_t id[MOST], forker[MOST];
	unsigned i;

	common = fopen("/dev/null", "w");
	for (i = 0; i < roles; i++)
		start_thread(&id[i], play, &role[i]);
	for (i = 1; i < forkers; i++)
		start_thread(&forker[i], fork_on, NULL);
	fork_on(NULL);
	for (i = 1; i < forkers; i++, step())
		pthread_join(forker[i], NULL);
	stop = true;
	for (i = 0; i < roles; i++, step())
		pthread_join(id[i], NULL);
	/* exit flushes streams, which need not be locked by then. */
}

#define BESIDE(name, forkers, ...)						\
static void name(void)								\
{										\
	static void (*role[])(void) = { __VA_ARGS__ };				\
										\
	forks_beside(role, sizeof role / sizeof *role, forkers);		\
}

BESIDE(long_lines, 1, read_long_line, flush_all)
BESIDE(opens, 1, open_and_close, open_and_close, flush_all)
BESIDE(held, 1, hold_stream, flush_all, print_to_common)
BESIDE(streams, 1, write_to_memory, write_to_cookie, flush_all, use_heap)
BESIDE(names, 1, look_up_user, look_up_service, compile_pattern, flush_all)
BESIDE(linker, 1, open_library, look_up_symbol, walk_libraries, flush_all)
BESIDE(locales, 1, set_locale, make_locale, set_time_zone, read_directory)
BESIDE(spawns, 1, spawn, read_long_line, flush_all)
BESIDE(forkers, 3, read_long_line, hold_stream, flush_all, open_library)

/* skipped: why the case is skipped if the child ends with 77, or NULL. */
static void run_in_child(void (*body)(void), const char *skipped)
{
	pid_t pid = fork();
	int end;

	if (pid == 0)
		body();
	end = pid < 0 ? 95 : child_end(pid);
	if (end == 77 && skipped)
		guest_skip(skipped);
	if (end)
		fail("a child failed with %d (128 + signal)\n", end);
	step();
}

/*
 * The list of handlers grows by malloc under the lock that fork takes again after each handler.
 * glibc reads an entry after it has released that lock, which is an error of its own: a list that
 * realloc moved may be gone by then. It is not moved here: the first 48 entries are in static
 * memory, and there is room for 73 after that. So each list grows once, in a child that has its
 * own copy.
 */
enum { BEFORE = 40, MEANWHILE = 20 };

static void handler(void)
{
}

static void *register_handlers(void *unused)
{
	int i;

	for (i = 0; i < MEANWHILE; i++) {
		pthread_atfork(handler, handler, handler);
		usleep(50);
	}
	stop = true;
	return unused;
}

static void fork_while_list_grows(void)
{
	static void (*heap)(void) = use_heap;
	pthread_t id[2];
	pid_t pid;
	int i, end = 0;

	for (i = 0; i < BEFORE; i++)
		pthread_atfork(handler, handler, handler);
	start_thread(&id[0], play, &heap);
	start_thread(&id[1], register_handlers, NULL);
	while (!end && !stop) {
		pid = fork();
		if (pid == 0)
			_exit(use_every_size() ? 0 : 90);
		end = pid < 0 ? 95 : child_end(pid);
	}
	for (i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	_exit(end);
}

static void handlers(void)
{
	do
		run_in_child(fork_while_list_grows, NULL);
	while (more(60));
}

/*
 * exit() removes fork handlers of libraries. Another thread is in fork meanwhile, and waits
 * there for a stream lock that is held for so long.
 */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
static _Atomic bool locked;

static void *hold_streams(void *unused)
{
	_IO_list_lock();
	locked = true;
	usleep(400000);
	_IO_list_unlock();
	return unused;
}

static void *fork_once(void *unused)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	return unused;
}

static void exits(void)
{
	pthread_t id;

	if (!_IO_list_lock || !_IO_list_unlock)
		guest_skip("no lock of the streams");
	free(hide(malloc(100)));
	start_thread(&id, hold_streams, NULL);
	while (!locked)
		sched_yield();
	start_thread(&id, fork_once, NULL);
	usleep(100000);
	exit(0);
}

/* This handler is registered before that of the library, so it runs after it. If the program has threads, the
 * heap's locks are taken. */
static _Atomic bool linger, stay, in_fork, begin;

__attribute__((noreturn)) static void *use_large_blocks(void *unused)
{
	enum { BLOCKS = 1000 };
	static void *block[BLOCKS];
	uint64_t state = 1;
	void **p;

	(void)unused;
	for (;;) {
		p = &block[random_below(&state, BLOCKS)];
		free(*p);
		*p = malloc(40000 + random_below(&state, 300000));
	}
}

static void first_handler(void)
{
	pthread_t id;

	if (begin) {
		begin = false;
		start_thread(&id, use_large_blocks, NULL);
		usleep(3000);
	}
	if (!linger)
		return;
	in_fork = true;
	usleep(300000);
	while (stay)
		usleep(1000);
}

static bool wake;		/* the child starts the scavenger */
static unsigned tasks_in_handler;

static unsigned count_tasks(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned count = 0;

	if (!dir)
		guest_skip("no /proc");
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static void leave_memory_waiting(void)
{
	enum { BLOCKS = 2000, SIZE = 20000 };
	static void *block[BLOCKS];
	int i;

	for (i = 0; i < BLOCKS; i++)
		memset(block[i] = hide(malloc(SIZE)), 1, SIZE);
	for (i = 0; i < BLOCKS; i++)
		free(block[i]);
}

static void first_in_child(void)
{
	if (!wake)
		return;
	leave_memory_waiting();
	tasks_in_handler = count_tasks();
}

static void register_first(void)
{
	pthread_atfork(first_handler, NULL, first_in_child);
}

__attribute__((section(".preinit_array"), used)) static void (*first)(void) = register_first;

/* Only a process that has had no thread so far. */
static void start_in_fork(void)
{
	free(hide(malloc(100)));
	begin = true;
	fork_again();
}

static void starts(void)
{
	do
		run_in_child(start_in_fork, NULL);
	while (more(60));
}

static void wake_in_fork(void)
{
	enum { FIRST_US = 100000 };	/* of a process, without a scavenger */
	pid_t pid;
	int i;

	free(hide(malloc(100)));
	usleep(2 * FIRST_US);
	wake = true;
	pid = fork();
	if (pid)
		_exit(pid < 0 ? 92 : child_end(pid));
	if (tasks_in_handler != 2)
		_exit(77);
	for (i = 0; i < 100 && count_tasks() == 2; i++) {
		usleep(10000);
		if (i % 20 == 0)
			leave_memory_waiting();
	}
	_exit(i == 100 ? 0 : 91);
}

static void wakes(void)
{
	int round;

	for (round = 0; round < 3; round++)
		run_in_child(wake_in_fork, "the handler started no scavenger");
}

static void sets(void)
{
	pthread_t id;

	linger = true;
	start_thread(&id, fork_once, NULL);
	while (!in_fork)
		usleep(1000);
	if (hak_set("HAKMEM_SCAVENGER", "0") != 0)
		fail("it is refused: errno %d\n", errno);
	pthread_join(id, NULL);
}

static void sets_in_vain(void)
{
	pthread_t id;
	int result, error;

	linger = stay = true;
	start_thread(&id, fork_once, NULL);
	while (!in_fork)
		usleep(1000);
	result = hak_set("HAKMEM_SCAVENGER", "0");
	error = errno;
	stay = false;
	pthread_join(id, NULL);
	if (result != -1 || error != EBUSY)
		fail("it returns %d, errno %d\n", result, error);
}

int main(int argc, char **argv)
{
	struct guest guest[] = {
		{ "lines", long_lines, "fork beside getline and fflush(NULL)", NULL, NULL, true, 0 },
		{ "opens", opens, "fork beside fopen, fclose and fflush(NULL)", NULL, NULL, true, 0 },
		{ "held", held, "fork beside malloc with a stream locked", NULL, NULL, true, 0 },
		{ "streams", streams, "fork beside open_memstream and fopencookie", NULL, NULL, true, 0 },
		{ "names", names, "fork beside getpwnam, getaddrinfo and regcomp", NULL, NULL, true, 0 },
		{ "linker", linker, "fork beside dlopen, dlsym and dl_iterate_phdr", NULL, NULL, true, 0 },
		{ "locales", locales, "fork beside setlocale, tzset and opendir", NULL, NULL, true, 0 },
		{ "handlers", handlers, "fork beside pthread_atfork", NULL, NULL, true, 0 },
		{ "spawns", spawns, "fork beside posix_spawn", NULL, NULL, true, 0 },
		{ "exits", exits, "exit while another thread is in fork", NULL, NULL, true, 0 },
		{ "starts", starts, "a fork handler starts the first thread", NULL, NULL, true, 0 },
		{ "wakes", wakes, "a fork handler of the child starts the scavenger", "HAKMEM_SCAVENGER", "always", false, 0 },
		{ "sets", sets, "hak_set while another thread is in fork", NULL, NULL, false, 0 },
		{ "sets_in_vain", sets_in_vain, "it waits for about a second, not until the fork ends", NULL, NULL, false, 0 },
		{ "forkers", forkers, "three threads fork beside all of that", NULL, NULL, true, 0 },
	};

	if (argc > 2 && !strcmp(argv[1], "true"))
		return 0;	/* of a child that calls exec */
	return guest_main(argc, argv, guest, sizeof guest / sizeof *guest);
}
