/*
 * fork in signal handlers that interrupt malloc, free and their like at any
 * instruction, in programs with one thread and with several. The child
 * allocates in the handler and ends, or goes on where it was interrupted,
 * starts threads, forks again, calls exec.
 */
#include "forks.h"

enum { THREADS = 3, WAVE = 6 };

static _Atomic unsigned long forks;
static _Atomic bool stop;
static int left = -1;			/* of a child that goes on, its calls to come */
static bool then_threads;

/*
 * One that returns does not allocate here: it would take the block that the
 * interrupted call is about to. Only in the slow path is that served.
 */
static void child_in_handler(unsigned long number)
{
	switch (number % 8) {
	case 0:
		_exit(use_every_size() ? 0 : 90);
	case 1:
		execl("/proc/self/exe", "true", "true", "-1", NULL);
		_exit(91);
	case 2:
		if (!use_every_size())
			_exit(90);
		fork_again();
		break;
	case 3:
		_exit(threads_work() ? 0 : 93);
	case 4:
		_exit(0);
	default:
		left = 3000;
		then_threads = number % 8 == 5;
	}
}

static void fork_here(int signal)
{
	unsigned long number = forks++;
	int saved = errno, end;
	pid_t pid = fork();

	if (pid == 0) {
		child_in_handler(number);
	} else {
		end = pid < 0 ? 95 : child_end(pid);
		if (end)
			fail("child %lu failed with %d (128 + signal)\n", number, end);
		step();
		if (signal == SIGPROF)
			arm_timer();
	}
	errno = saved;
}

static void handle(int signal)
{
	struct sigaction action = { .sa_handler = fork_here, .sa_flags = SA_RESTART };

	sigfillset(&action.sa_mask);
	sigaction(signal, &action, NULL);
}

/* In the child: until its calls are made. In the parent: until the case ends. */
static bool goes_on(void)
{
	if (left > 0 && --left == 0) {
		if (then_threads && !threads_work())
			_exit(93);
		_exit(use_every_size() ? 0 : 90);
	}
	return left > 0 || !stop;
}

static void *interrupted(void *number)
{
	struct churn *churn = churn_new(shared->seed + (uintptr_t)number);
	sigset_t all, before;

	make_timer(churn->random ^ 1);
	arm_timer();
	while (goes_on())
		churn_once(churn);
	/* A timer's end and a thread's are no place to fork. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	timer_delete(timer);
	churn_delete(churn);
	return NULL;
}

static void *stop_in_time(void *unused)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	while (more(60))
		usleep(20000);
	stop = true;
	return unused;
}

static void single(void)
{
	static struct churn churn;

	handle(SIGPROF);
	churn.random = shared->seed;
	make_timer(shared->seed ^ 1);
	arm_timer();
	while (left > 0 ? goes_on() : more(60))
		churn_once(&churn);
	timer_delete(timer);
}

static void several(void)
{
	pthread_t id[THREADS], clock;
	uintptr_t i;

	handle(SIGPROF);
	start_thread(&clock, stop_in_time, NULL);
	for (i = 0; i < THREADS; i++)
		start_thread(&id[i], interrupted, (void *)i);
	for (i = 0; i < THREADS; i++, step())
		pthread_join(id[i], NULL);
	pthread_join(clock, NULL);
}

/* In short-lived threads, each of which raises a few of its own. */
static void *raises(void *number)
{
	struct churn *churn = churn_new(shared->seed + (uintptr_t)number + forks);
	int i, round;

	for (round = 0; round < 6; round++) {
		for (i = 0; i < 50 && goes_on(); i++)
			churn_once(churn);
		raise(SIGUSR2);
		if (left > 0)
			while (goes_on())
				churn_once(churn);
	}
	churn_delete(churn);
	return NULL;
}

static void races(void)
{
	pthread_t id[WAVE];
	uintptr_t i;

	handle(SIGUSR2);
	while (more(60)) {
		for (i = 0; i < WAVE; i++)
			start_thread(&id[i], raises, (void *)i);
		for (i = 0; i < WAVE; i++)
			pthread_join(id[i], NULL);
	}
}

int main(int argc, char **argv)
{
	struct guest guest[] = {
		{ "single", single, "fork in a handler that interrupts malloc", NULL, NULL, true, 2 },
		{ "slow", single, "and at the debug level without fast paths",
		  "HAKMEM_DEBUG_LEVEL", "2", true, 1 },
		{ "several", several, "fork in handlers of three threads", NULL, NULL, true, 2 },
		{ "races", races, "fork in handlers of threads that come and go", NULL, NULL, true, 3 },
	};

	if (argc > 2 && !strcmp(argv[1], "true"))
		return 0;	/* of a child that calls exec */
	return guest_main(argc, argv, guest, sizeof guest / sizeof *guest);
}
