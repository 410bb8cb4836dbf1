/*
 * A server. Sessions live for a random number of requests and hold some
 * objects; they are served by any thread, so that they are often freed by
 * another than made them. A request allocates its small objects, lets its
 * answer grow by realloc, and frees them all at its end, in reverse order.
 * What was computed goes to a cache, from which the oldest entry falls out.
 */
#include "common.h"

#include <string.h>

static uint64_t requests = 300000, sessions = 10000, life = 40, entries = 20000;

static const struct bench_option options[] = {
	{ "requests", BENCH_COUNT, &requests, 0, UINT64_MAX, "served by each thread", NULL },
	{ "sessions", BENCH_COUNT, &sessions, 1, 10000000, "open at a time", NULL },
	{ "life", BENCH_COUNT, &life, 1, 1000000, "most requests to a session", NULL },
	{ "entries", BENCH_COUNT, &entries, 1, 10000000, "in the cache", NULL },
	{ 0 },
};

enum { OBJECTS = 12, MOST_LOCAL = 48, LOCKS = 64, FIRST_ANSWER = 256 };

/* All fields under the lock of its place in the table. */
struct session {
	uint64_t left;
	void *objects[OBJECTS];
};

static pthread_mutex_t locks[LOCKS], cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct session **table;
static void **cache;
static uint64_t newest;

static struct session *open_session(struct bench_worker *w, uint64_t at)
{
	struct session *s = (struct session *)bench_got(calloc(1, sizeof *s), sizeof *s);
	unsigned i;

	s->left = 1 + bench_scale(bench_random(&w->random), life);
	for (i = 0; i < OBJECTS; i++)
		s->objects[i] = bench_block(bench_log_between(bench_random(&w->random), 4, 9), at);
	w->ops += OBJECTS + 1;
	return s;
}

static void close_session(struct bench_worker *w, struct session *s, uint64_t at)
{
	unsigned i;

	for (i = 0; i < OBJECTS; i++)
		bench_drop(s->objects[i], at);
	free(s);
	w->ops += OBJECTS + 1;
}

/* Opens it, serves one request in it, or closes it. */
static void use_session(struct bench_worker *w)
{
	uint64_t r = bench_random(&w->random), at = bench_scale(r, sessions), i;
	struct session *s;

	pthread_mutex_lock(&locks[at % LOCKS]);
	s = table[at];
	if (!s) {
		table[at] = open_session(w, at);
	} else if (!s->left--) {
		close_session(w, s, at);
		table[at] = NULL;
	} else {
		i = (r >> 40) % OBJECTS;
		bench_drop(s->objects[i], at);
		s->objects[i] = bench_block(bench_log_between(bench_random(&w->random), 4, 9), at);
		w->ops += 2;
	}
	pthread_mutex_unlock(&locks[at % LOCKS]);
}

/* Made outside the lock, and what falls out is freed outside. */
static void remember(struct bench_worker *w)
{
	void *made = bench_block(bench_log_between(bench_random(&w->random), 6, 13), 1), *old;

	pthread_mutex_lock(&cache_lock);
	old = cache[newest % entries];
	cache[newest++ % entries] = made;
	pthread_mutex_unlock(&cache_lock);
	if (old)
		bench_drop(old, 1);
	w->ops += 2;
}

static void serve(struct bench_worker *w)
{
	uint64_t r = bench_random(&w->random), count = 4 + bench_scale(r, MOST_LOCAL - 4), i;
	size_t used = 0, room = FIRST_ANSWER, whole = bench_log_between(r >> 20, 8, 14);
	char *answer = (char *)bench_block(room, 0);
	void *local[MOST_LOCAL];

	for (i = 0; i < count; i++)
		local[i] = bench_block(bench_log_between(bench_random(&w->random), 3, 8), i);
	use_session(w);
	for (; used < whole; used += FIRST_ANSWER) {
		if (used == room) {
			room *= 2;
			answer = (char *)bench_got(realloc(answer, room), room);
			w->ops++;
		}
		memset(answer + used, (int)r, FIRST_ANSWER);
	}
	if (!(r >> 61))
		remember(w);
	free(answer);
	while (i--)
		bench_drop(local[i], i);
	w->ops += 2 * count + 2;
}

static void work(struct bench_worker *w)
{
	uint64_t left;

	for (left = requests; left--;)
		serve(w);
}

int main(int argc, char **argv)
{
	uint64_t i;

	bench_threads = 4;
	bench_start(argc, argv, "Serves requests: sessions, request-local objects, a cache.", options);
	for (i = 0; i < LOCKS; i++)
		pthread_mutex_init(&locks[i], NULL);
	table = (struct session **)bench_map(sessions * sizeof(struct session *));
	cache = (void **)bench_map(entries * sizeof *cache);
	bench_all(NULL, work, NULL);
	return 0;
}
