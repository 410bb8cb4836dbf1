/*
 * Forks of all kinds at once, for HAKMEM_TEST_SECONDS seconds. The test runs rounds one after
 * the other. Each round is a program with its own mixture of threads, which allocate, use
 * streams, start and end, and of children of fork, _Fork, clone and vfork. Threads, and signal
 * handlers that interrupted the heap, start the children. These allocate, start threads, fork
 * again, or call exec, exit or _exit.
 *
 * Each thread that forks counts its steps in a slot of the shared page. If a slot does not change
 * for five minutes, the test prints the stacks of all processes of the round.
 */
#include "forks.h"

#include <dirent.h>

enum { PATIENCE = 300, MOST = 8, FAILURES = 5 };

/* How a child is made. */
enum way { FORK, BARE, CLONE, VFORK, HANDLER, WAYS };
static const char *const way_name[] = { "fork", "_Fork", "clone", "vfork", "fork in a handler" };

/* What it does. */
enum deed { NOTHING, USE, EXIT, EXEC, THREADS, AGAIN, STRUCK, RETURN, DEEDS };
static const char *const deed_name[] = { "_exit", "malloc and free", "exit", "exec", "threads", "fork",
					 "exit in a handler", "the interrupted call, threads, exit" };

/* In the page that child.h shares. The first slot is that of the main thread. */
struct slot {
	_Atomic unsigned long steps;
	_Atomic int used, way, deed;
};
struct mixture {
	struct slot slot[MOST + 1];
	_Atomic unsigned long children[WAYS], ended[DEEDS];
	uint64_t seed;
	double seconds;
};
static struct mixture *mixture;

static void attach_mixture(void)
{
	_Static_assert(sizeof *mixture + sizeof *shared < EXPECT_SIZE, "one page has both");
	mixture = (struct mixture *)(void *)expected;
}

/* The round. */

static bool has_streams;		/* exit in a child could find a stream half changed */
static _Thread_local struct slot *slot;
static _Thread_local FILE *own;
static _Thread_local struct churn churn;

static bool round_lasts(void)
{
	return seconds_now() < mixture->seconds;
}

static void set_mask(int how, int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(how, &set, NULL);
}

static void exit_here(int signal)
{
	(void)signal;
	exit(0);
}

static void churn_until_struck(void)
{
	memset(&churn, 0, sizeof churn);
	churn.random = moment;
	signal(SIGPROF, exit_here);
	make_timer(moment);
	arm_timer();
	set_mask(SIG_UNBLOCK, SIGPROF);
	for (;;)
		churn_once(&churn);
}

static void use_or_fail(void)
{
	if (!use_every_size())
		_exit(90);
}

/* Ends the process, except for RETURN. */
static void do_in_child(enum deed deed)
{
	switch (deed) {
	case NOTHING:
		_exit(0);
	case USE:
		use_or_fail();
		_exit(0);
	case EXIT:
		use_or_fail();
		exit(0);
	case EXEC:
		execl("/proc/self/exe", "true", "true", "-1", NULL);
		_exit(91);
	case THREADS:
		_exit(threads_work() ? 0 : 93);
	case AGAIN:
		use_or_fail();
		fork_again();
		break;
	case STRUCK:
		churn_until_struck();
		break;
	default:
		break;
	}
}

/* Only what libc allows: exit only if no stream is in use, and no locks of libc in a child without
 * fork handlers. */
static bool is_allowed(enum way way, enum deed deed)
{
	bool exits = deed == EXIT || deed == STRUCK || deed == RETURN;

	if (way == VFORK)
		return deed == NOTHING || deed == USE || deed == EXEC;
	if (way == BARE || way == CLONE)
		return deed <= EXEC && !exits;
	return (!exits || !has_streams) && (deed != RETURN || way == HANDLER);
}

static enum deed choose_deed(uint64_t *random, enum way way)
{
	enum deed deed;

	do
		deed = (enum deed)random_below(random, DEEDS);
	while (!is_allowed(way, deed));
	return deed;
}

static pid_t make_child(enum way way)
{
	return way == BARE ? bare_fork() : way == CLONE ? fork_by_clone() : fork();
}

/* Runs in the parent, which waits for the child. In the child it returns false, and only for RETURN. */
static bool follow_child(enum way way, enum deed deed)
{
	pid_t pid;
	int end;

	slot->way = (int)way;
	slot->deed = (int)deed;
	if (way == VFORK) {
		pid = vfork();
		if (pid == 0)
			do_in_child(deed);
	} else {
		pid = make_child(way);
		if (pid == 0) {
			do_in_child(deed);
			return false;
		}
	}
	end = pid < 0 ? 95 : child_end(pid);
	if (end)
		fail("a child of %s with %s ended with %d (128 + signal)\n", way_name[way],
		     deed_name[deed], end);
	mixture->children[way]++;
	mixture->ended[deed]++;
	slot->steps++;
	return true;
}

/* A thread that makes children; the main thread is one of them. */
static void *fork_on(void *number)
{
	uint64_t random = mixture->seed + (uintptr_t)number * 7919;
	enum way way;

	slot = &mixture->slot[(uintptr_t)number];
	moment = random;
	own = fopen("/dev/null", "w");
	while (round_lasts()) {
		way = (enum way)random_below(&random, HANDLER);
		follow_child(way, choose_deed(&random, way));
		fprintf(own, "%lu\n", atomic_load(&slot->steps));
		fflush(own);
	}
	fclose(own);
	return NULL;
}

/* In a child that returned from the handler: the calls that are left. */
static int left = -1;

static void fork_here(int signal)
{
	enum deed deed = choose_deed(&moment, HANDLER);
	int saved = errno;

	if (left >= 0 || !follow_child(HANDLER, deed))
		left = left < 0 ? 3000 : left;
	else if (signal == SIGPROF)
		arm_timer();
	errno = saved;
}

static void end_of_returned(void)
{
	if (!threads_work())
		_exit(93);
	use_or_fail();
	exit(0);
}

/* A thread that is interrupted in the heap, by its timer or by itself between two calls. */
static void *interrupted(void *number)
{
	uintptr_t which = (uintptr_t)number;

	slot = &mixture->slot[which];
	churn.random = mixture->seed + which * 104729 + slot->steps;
	make_timer(churn.random);
	arm_timer();
	set_mask(SIG_UNBLOCK, SIGPROF);
	while (left > 0 || round_lasts()) {
		churn_once(&churn);
		if (left > 0 && --left == 0)
			end_of_returned();
		if (left < 0 && random_below(&churn.random, 4000) == 0)
			break;
	}
	set_mask(SIG_BLOCK, SIGPROF);
	timer_delete(timer);
	churn_end(&churn);
	return NULL;
}

/* Starts such threads one after the other. */
static void *start_interrupted(void *number)
{
	pthread_t id;

	while (round_lasts()) {
		start_thread(&id, interrupted, number);
		pthread_join(id, NULL);
		mixture->slot[(uintptr_t)number].steps++;
	}
	return NULL;
}

static void *churn_briefly(void *seed)
{
	struct churn *mine = churn_new((uintptr_t)seed);
	int i;

	for (i = 0; i < 2000; i++)
		churn_once(mine);
	churn_delete(mine);
	return NULL;
}

static void come_and_go(void)
{
	static _Atomic uintptr_t started;
	pthread_t id[3];
	unsigned i;

	for (i = 0; i < 3; i++)
		start_thread(&id[i], churn_briefly, (void *)(uintptr_t)(mixture->seed + started++));
	for (i = 0; i < 3; i++)
		pthread_join(id[i], NULL);
}

static void churn_for_a_while(void)
{
	churn_briefly((void *)(uintptr_t)mixture->seed);
}

/* Frees memory, so that the scavenger has something to release. */
static void fill_and_empty(void)
{
	use_many();
	usleep(20000);
}

static void (*const without_streams[])(void) = { churn_for_a_while, come_and_go, fill_and_empty };
static void (*const with_streams[])(void) = {
	read_long_line, flush_all, open_and_close, hold_stream, print_to_common, write_to_memory,
	write_to_cookie, churn_for_a_while, come_and_go, fill_and_empty,
};

static void *play(void *role)
{
	while (round_lasts())
		(*(void (*const *)(void))role)();
	return NULL;
}

static void (*const *choose_role(uint64_t *random))(void)
{
	if (has_streams)
		return &with_streams[random_below(random, sizeof with_streams / sizeof *with_streams)];
	return &without_streams[random_below(random, sizeof without_streams / sizeof *without_streams)];
}

static void handle_sigprof(void)
{
	struct sigaction action = { .sa_handler = fork_here, .sa_flags = SA_RESTART };

	sigfillset(&action.sa_mask);
	sigaction(SIGPROF, &action, NULL);
	set_mask(SIG_BLOCK, SIGPROF);
}

static int play_round(void)
{
	uint64_t random = mixture->seed;
	unsigned forkers, struck, roles, i;
	pthread_t id[2 * MOST];

	has_streams = random_below(&random, 2);
	forkers = 1 + (unsigned)random_below(&random, MOST / 2);
	/* fork waits for the lock of libc's list of streams. If the handler that calls fork has
	 * interrupted malloc, a thread that has locked a stream may wait for the heap: a deadlock,
	 * as with glibc's malloc. */
	struck = has_streams ? 0 : (unsigned)random_below(&random, MOST / 2);
	roles = (unsigned)random_below(&random, MOST - 1);
	common = fopen("/dev/null", "w");
	handle_sigprof();
	for (i = 0; i < forkers + struck; i++)
		mixture->slot[i].used = 1;
	for (i = 1; i < forkers + struck; i++)
		start_thread(&id[i], i < forkers ? fork_on : start_interrupted, (void *)(uintptr_t)i);
	for (i = 0; i < roles; i++)
		start_thread(&id[MOST + i], play, (void *)(uintptr_t)choose_role(&random));
	fork_on(NULL);
	for (i = 1; i < forkers + struck; i++, slot->steps++)
		pthread_join(id[i], NULL);
	for (i = 0; i < roles; i++, slot->steps++)
		pthread_join(id[MOST + i], NULL);
	return 0;
}

/* The watcher. */

static void start_round(void)
{
	static const char *const setting[][2] = {
		{ "HAKMEM_SCAVENGER", "always" }, { "HAKMEM_HARDEN", "2" }, { "HAKMEM_DEBUG_LEVEL", "2" },
		{ "HAKMEM_STATS_DUMP", NULL }, { "HAKMEM_LEARN_SAVE", NULL }, { "HAKMEM_SAMPLE", "65536" },
	};
	uint64_t random = mixture->seed ^ 1;
	char path[64];
	size_t i;

	for (i = 0; i < sizeof setting / sizeof *setting; i++) {
		if (random_below(&random, 4))
			continue;
		snprintf(path, sizeof path, "%s/%zu", getenv("TEST_FOLDER"), i);
		setenv(setting[i][0], setting[i][1] ? setting[i][1] : path, 1);
	}
	child_exec("round");
}

static void print_file(int pid, const char *name)
{
	char path[64], text[2048];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	fprintf(stderr, "%s: %.*s\n", path, n < 0 ? 0 : (int)n, text);
}

static void print_stacks(int pid)
{
	char command[160];

	print_file(pid, "stat");
	print_file(pid, "wchan");
	print_file(pid, "stack");
	snprintf(command, sizeof command, "gdb -batch -nx -p %d -ex 'thread apply all bt 12' 2>/dev/null |"
		 " grep '^[#T]' >&2", pid);
	if (system("command -v gdb >/dev/null") == 0 && system(command))
		fprintf(stderr, "no stack of %d\n", pid);
}

/* All processes of a round are in the group of the case, which this process leads. */
static void print_all_stacks(void)
{
	DIR *all = opendir("/proc");
	struct dirent *entry;

	while (all && (entry = readdir(all))) {
		int pid = atoi(entry->d_name);

		if (pid > 0 && pid != getpid() && getpgid(pid) == getpgid(0))
			print_stacks(pid);
	}
	if (all)
		closedir(all);
}

/* True if a slot has not changed for PATIENCE seconds. */
static bool is_stuck(unsigned long *seen, double *since)
{
	double now = seconds_now();
	unsigned i;

	for (i = 0; i < MOST; i++) {
		struct slot *s = &mixture->slot[i];

		if (s->steps != seen[i] || !s->used) {
			seen[i] = s->steps;
			since[i] = now;
		} else if (now > since[i] + PATIENCE) {
			fprintf(stderr, "stuck in %s with %s after %lu\n", way_name[s->way],
				deed_name[s->deed], seen[i]);
			return true;
		}
	}
	return false;
}

/* The exit status of a round, 128 plus its signal, or -1 if it is stuck. */
static int watch_round(pid_t pid)
{
	unsigned long seen[MOST] = { 0 };
	double since[MOST];
	int status, i;

	for (i = 0; i < MOST; i++)
		since[i] = seconds_now();
	while (waitpid(pid, &status, WNOHANG) == 0) {
		step();
		usleep(20000);
		if (is_stuck(seen, since)) {
			print_all_stacks();
			return -1;
		}
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int one_round(uint64_t seed, double seconds)
{
	pid_t pid;

	memset(mixture->slot, 0, sizeof mixture->slot);
	mixture->seed = seed;
	mixture->seconds = seconds_now() + seconds;
	pid = fork();
	if (pid == 0)
		start_round();
	return pid < 0 ? 95 : watch_round(pid);
}

static void report(unsigned long rounds, double seconds)
{
	char text[512];
	size_t n = 0;
	unsigned i;

	for (i = 0; i < WAYS; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, " %s %lu,", way_name[i],
				      atomic_load(&mixture->children[i]));
	n += (size_t)snprintf(text + n, sizeof text - n, " of these");
	for (i = 0; i < DEEDS; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, " %s %lu%s", deed_name[i],
				      atomic_load(&mixture->ended[i]), i < DEEDS - 1 ? "," : "");
	diag("%s, %.0f s, %lu rounds:%s", getenv("HAKMEM_PROFILE"), seconds, rounds, text);
}

/* A short run has rounds of half a second; a long one has longer rounds among them. */
static void mix(void)
{
	double start = seconds_now(), end = start + shared->seconds, told = start;
	uint64_t random = shared->seed, seed;
	unsigned long rounds;
	int status, failures = 0;

	attach_mixture();
	for (rounds = 0; seconds_now() < end && failures < FAILURES; rounds++) {
		double most = (end - start) / 6;

		seed = random_next(&random);
		status = one_round(seed, most > 20 ? 1 + (double)random_below(&random, 20) : most);
		if (status) {
			fprintf(stderr, "round %lu of seed %llu ended with %d\n", rounds,
				(unsigned long long)seed, status);
			failures++;
		}
		if (status < 0)
			break;
		if (seconds_now() > told + 60) {
			report(rounds, seconds_now() - start);
			told = seconds_now();
		}
	}
	report(rounds, seconds_now() - start);
	if (failures)
		_exit(1);
}

int main(int argc, char **argv)
{
	struct guest guest[] = {
		{ "mix", mix, "children of all kinds", NULL, NULL, true, 3 },
	};

	if (argc > 2 && !strcmp(argv[1], "true"))
		return 0;	/* of a child that calls exec */
	if (argc > 2 && !strcmp(argv[1], "round")) {
		child_attach(atoi(argv[2]));
		attach_mixture();
		return play_round();
	}
	setenv("HAKMEM_TEST_PATIENCE", "1000", 0);
	return guest_main_with_folder(argc, argv, guest, sizeof guest / sizeof *guest);
}
