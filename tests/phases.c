/*
 * A load that changes its phase: sizes, live set and habits of a crew of
 * threads, drawn again each time. Under every profile contents stay intact,
 * all memory comes free again, the heap does not grow with the phases, and
 * what is learned stays in its bounds. HAKMEM_TEST_SECONDS=3600 makes an hour
 * of it. With an argument it does what tests/learning.sh asks for:
 *
 *	phases run		the load under the settings of the environment
 *	phases steady		one habit for long; capacities and refills
 *	phases crowd		many threads that share a budget
 *	phases save		the file of HAKMEM_LEARN_SAVE, on demand
 */
#include "heap.h"

#include <hakmem/hakmem.h>
#include <pthread.h>
#include <stdatomic.h>

enum { CREW = 4, SLOTS = 4096, SHARED = 256, STEPS = 20000, CLASSES = 40 };

struct slot {
	void *block;
	size_t size;
	uint64_t key;
};

static struct worker {
	struct slot slot[SLOTS];
	uint64_t random;
	size_t damaged;
} crew[CREW];

static struct {
	size_t least, most, live;
	unsigned pass;		/* in 16 steps, so many free what another made */
	bool bursts;		/* all allocated, then all freed */
} phase;

static struct {
	pthread_mutex_t lock;
	struct slot slot;
} shared[SHARED];

static void drop(struct worker *w, struct slot *s)
{
	w->damaged += s->block && !filled(s->block, s->size, s->key);
	free(s->block);
	s->block = NULL;
}

static void make(struct worker *w, struct slot *s)
{
	s->size = phase.least + random_below(&w->random, phase.most - phase.least + 1);
	s->key = random_next(&w->random);
	s->block = malloc(s->size);
	if (!s->block)
		bail("out of memory");
	fill(s->block, s->size, s->key);
}

static void swap(struct worker *w, struct slot *mine)
{
	unsigned at = (unsigned)random_below(&w->random, SHARED);
	struct slot other;

	pthread_mutex_lock(&shared[at].lock);
	other = shared[at].slot;
	shared[at].slot = *mine;
	pthread_mutex_unlock(&shared[at].lock);
	*mine = other;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	size_t i, at;

	for (i = 0; i < STEPS; i++) {
		at = phase.bursts ? i % phase.live : random_below(&w->random, phase.live);
		if (random_below(&w->random, 16) < phase.pass)
			swap(w, &w->slot[at]);
		if (phase.bursts && i / phase.live % 2) {
			drop(w, &w->slot[at]);
		} else {
			drop(w, &w->slot[at]);
			make(w, &w->slot[at]);
		}
	}
	return NULL;
}

static void choose(uint64_t *random)
{
	static const size_t most[] = { 32, 128, 256, 1024, 2048, 8192, 32768 };

	phase.most = most[random_below(random, sizeof most / sizeof *most)];
	phase.least = random_below(random, 2) ? 1 : phase.most / 2;
	phase.live = 1 + random_below(random, phase.most > 2048 ? SLOTS / 16 : SLOTS);
	phase.pass = random_below(random, 2) ? 0 : (unsigned)random_below(random, 16);
	phase.bursts = random_below(random, 2);
}

static void start_all(pthread_t *id)
{
	unsigned i;

	for (i = 0; i < CREW; i++)
		if (pthread_create(&id[i], NULL, work, &crew[i]))
			bail("cannot start a thread");
	for (i = 0; i < CREW; i++)
		pthread_join(id[i], NULL);
}

static void free_all(void)
{
	unsigned i, j;

	for (i = 0; i < CREW; i++)
		for (j = 0; j < SLOTS; j++)
			drop(&crew[i], &crew[i].slot[j]);
	for (i = 0; i < SHARED; i++)
		drop(&crew[0], &shared[i].slot);
}

static struct hak_stats now(void)
{
	struct hak_stats s;

	malloc_trim(0);
	hak_stats_get(&s, sizeof s);
	return s;
}

/* libc keeps a block for each thread there is: let the library's own be there
 * before anything is counted. */
static void await_scavenger(void)
{
	char on[8];
	unsigned tries;

	hak_setting("HAKMEM_SCAVENGER", on, sizeof on);
	for (tries = 0; !strcmp(on, "always") && !now().scavenger; tries++) {
		if (tries == 300)
			bail("there is no scavenger");
		usleep(100000);
		free(memset(malloc(8 * MB), 1, 8 * MB));
	}
}

static size_t raise_to(size_t most, size_t value)
{
	return value > most ? value : most;
}

static bool within_bounds(void)
{
	static struct hak_class_stats class[CLASSES];
	struct hak_stats s = now();
	bool good = true;
	unsigned i;

	hak_class_stats_get(class, sizeof *class, CLASSES);
	for (i = 0; i < CLASSES; i++)
		good &= class[i].capacity <= 4096 && class[i].batch >= 1 &&
			(class[i].batch <= class[i].capacity || !class[i].capacity) &&
			class[i].grants + class[i].cuts <= s.learn_windows;
	diag("  %lu windows of learning", (unsigned long)s.learn_windows);
	return good;
}

/* The load; what it is judged by. */
static int run(void)
{
	const char *seconds = getenv("HAKMEM_TEST_SECONDS"), *seed = getenv("HAKMEM_TEST_SEED");
	uint64_t random = seed ? strtoull(seed, NULL, 0) : 1;
	time_t end = time(NULL) + (seconds ? atol(seconds) : 0);
	unsigned long phases = tap_rounds(45), done, i;
	size_t first = 0, last = 0, in_use, damaged = 0;
	pthread_t id[CREW];

	for (i = 0; i < SHARED; i++)
		pthread_mutex_init(&shared[i].lock, NULL);
	for (i = 0; i < CREW; i++)
		crew[i].random = random_next(&random);
	choose(&random);
	start_all(id);
	free_all();
	await_scavenger();
	in_use = now().in_use;
	for (done = 0; seconds ? time(NULL) < end : done < phases; done++) {
		choose(&random);
		start_all(id);
		if (random_below(&random, 4))
			continue;
		free_all();
		if (done < 30)
			first = raise_to(first, now().mapped);
		else
			last = raise_to(last, now().mapped);
	}
	free_all();
	for (i = 0; i < CREW; i++)
		damaged += crew[i].damaged;
	diag("  %lu phases, mapped when empty at most %lu KB, later %lu KB", done,
	     (unsigned long)(first / KB), (unsigned long)(last / KB));
	if (damaged)
		diag("  %lu blocks were damaged", (unsigned long)damaged);
	if (now().in_use > in_use)
		diag("  %lu bytes are not free again", (unsigned long)(now().in_use - in_use));
	return damaged || now().in_use > in_use || last > first + 8 * MB || !within_bounds();
}

static void show_capacities(const char *what)
{
	static struct hak_class_stats class[CLASSES];
	char text[256];
	size_t n = 0, i, refills = 0;

	hak_class_stats_get(class, sizeof *class, CLASSES);
	for (i = 0; i < 12; i++) {
		n += (size_t)snprintf(text + n, sizeof text - n, " %lu", (unsigned long)class[i].capacity);
		refills += class[i].refills;
	}
	n = (size_t)snprintf(text + n, sizeof text - n, " refills %lu\n", (unsigned long)refills) + n;
	tap_write(what, strlen(what));
	tap_write(text, n);
}

/* Batches of 100 blocks of each class to 256 bytes, for long. */
static int steady(void)
{
	static void *block[1200];
	unsigned round, i;

	free(malloc(16));
	show_capacities("start");
	for (round = 0; round < 2000; round++) {
		for (i = 0; i < 1200; i++)
			block[i] = malloc(i % 16 * 16 + 16);
		for (i = 0; i < 1200; i++)
			free(block[i]);
	}
	show_capacities("end");
	return 0;
}

/* Threads that all learn, and more of them than the budget of the process has
 * room for. What they hold together once each had many windows. */
enum { ROUNDS = 40 };
static pthread_barrier_t everyone;

static void *one_of_many(void *arg)
{
	static _Thread_local void *block[8000];
	unsigned round, i;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < 8000; i++)
			block[i] = malloc(16 + i % 8 * 16);
		for (i = 0; i < 8000; i++)
			free(block[i]);
		pthread_barrier_wait(&everyone);
	}
	pthread_barrier_wait(&everyone);
	return arg;
}

static int crowd(void)
{
	enum { MANY = 64 };
	pthread_t id[MANY];
	struct hak_stats s;
	unsigned i;

	pthread_barrier_init(&everyone, NULL, MANY + 1);
	for (i = 0; i < MANY; i++)
		if (pthread_create(&id[i], NULL, one_of_many, NULL))
			bail("cannot start a thread");
	for (i = 0; i < ROUNDS; i++)
		pthread_barrier_wait(&everyone);
	s = now();
	pthread_barrier_wait(&everyone);
	for (i = 0; i < MANY; i++)
		pthread_join(id[i], NULL);
	diag("%lu windows, %lu KB held, and %lu KB after", (unsigned long)s.learn_windows,
	     (unsigned long)(s.learn_budget / KB), (unsigned long)(now().learn_budget / KB));
	return s.learn_budget < 32 * MB || s.learn_budget > 65 * MB || now().learn_budget > 8 * MB;
}

static int under(const char *program, const char *profile)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("HAKMEM_PROFILE", profile, 1);
		exec_self(program, "run", NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bail("cannot run a child");
	return status;
}

int main(int argc, char **argv)
{
	static const char *const profiles[] = { "default", "balanced", "adaptive", "tight", "hardened" };
	char seed[32];
	unsigned i;

	if (argc > 1)
		return !strcmp(argv[1], "run") ? run() : !strcmp(argv[1], "steady") ? steady() :
		       !strcmp(argv[1], "crowd") ? crowd() :
		       hak_learn_save() ? 4 : 0;
	tap_start();
	snprintf(seed, sizeof seed, "%llu", (unsigned long long)tap_seed());
	setenv("HAKMEM_TEST_SEED", seed, 1);
	for (i = 0; i < sizeof profiles / sizeof *profiles; i++) {
		if (tap_other) {
			skip(profiles[i], "this is about HAKMEM's own functions");
			continue;
		}
		ok(under(argv[0], profiles[i]) == 0, "changing phases under profile %s", profiles[i]);
	}
	return tap_end();
}
