/*
 * The scavenger: a thread of the library that does for a program which does not
 * call what refills and flushes do for one that does. It begins when some free
 * memory waits, looks after it in short turns, and sleeps without a time when
 * all is back, until another free finds that some waits.
 *
 * pthread_create takes locks of libc, which calls free with some of them held:
 * so the thread is started where the program itself, and not libc, frees a
 * block. Nor is it started in the first moments of a process, which belong to
 * constructors and to programs that end at once.
 */
#include "learn/learn.h"

#include "cache/cache.h"
#include "config/settings.h"
#include "large/large.h"
#include "os/os.h"
#include "pool/pool.h"

#include <pthread.h>

enum {
	TURN_MOST = 250, TURN_LEAST = 50,	/* ms */
	FIRST_MS = 100,			/* of the process, without the thread */
	WAITING = HK_SPARSE_WAITING,	/* bytes worth a turn */
	VAIN_MS = 2000,			/* longer than anything has to wait */
};

/* NONE -> BUSY by who starts it, BUSY -> ASLEEP by the thread itself, ASLEEP ->
 * BUSY by who wakes it; OFF for good where it cannot be started. */
enum { NONE, BUSY, ASLEEP, OFF };
static _Atomic uint32_t state;
static uint64_t began;			/* ms; before main */
static _Atomic long process;
static _Atomic pthread_t main_thread;
static _Atomic uint32_t main_ended;
_Atomic size_t hk_scavenger_runs, hk_scavenger_turns;

static size_t waiting(void)
{
	return hk_pool_waiting() + (atomic_load(&hk_sparse_waits) ? WAITING : 0) +
	       atomic_load_explicit(&hk_large_counters.cached_bytes, memory_order_relaxed);
}

/* before: what waited when it last looked, and found that it cannot go (mlock).
 * Who freed more since then may have seen it awake. */
static void to_sleep(size_t before)
{
	uint32_t asleep = ASLEEP;

	atomic_store(&state, ASLEEP);
	if (waiting() > before && atomic_compare_exchange_strong(&state, &asleep, BUSY))
		return;
	while (atomic_load(&state) == ASLEEP)
		hk_os_wait(&state, ASLEEP, 0);
}

/* Twice in the time that memory waits. */
static unsigned turn_ms(void)
{
	unsigned half = (unsigned)atomic_load_explicit(&hk_purge_delay, memory_order_relaxed) / 2;

	return half > TURN_MOST ? TURN_MOST : half < TURN_LEAST ? TURN_LEAST : half;
}

/* The last thread of a process ends it and runs its exit handlers, which is
 * not for this one: it leaves when the main thread does. */
static void scavenge(void)
{
	unsigned vain = 0, turn;	/* ms */
	size_t before = 0, now;
	bool more;

	for (;;) {
		turn = turn_ms();
		hk_os_wait(&main_ended, 0, turn);
		if (atomic_load(&main_ended))
			break;
		now = waiting();
		more = now > before;
		before = now;
		atomic_fetch_add_explicit(&hk_scavenger_turns, 1, memory_order_relaxed);
		if (hk_settings.mem_learn)
			hk_mem_look();
		vain = hk_cache_scavenge(vain < VAIN_MS / 2 && vain + turn >= VAIN_MS / 2) || more ?
		       0 : vain + turn;
		if (vain >= VAIN_MS) {
			to_sleep(before);
			vain = 0;
		}
	}
	atomic_store(&state, OFF);
	atomic_store_explicit(&hk_scavenger_runs, 0, memory_order_relaxed);
}

/* Not where the program shut itself into a sandbox, which may end it for any of
 * this; nor in the child of a vfork, which borrows this memory. */
static void start(const void *caller)
{
	uint32_t none = NONE;

	if (hk_os_in_libc(caller) || hk_os_now() - began < FIRST_MS ||
	    !atomic_compare_exchange_strong(&state, &none, BUSY))
		return;
	if (hk_os_sandboxed()) {
		atomic_store(&state, OFF);
	} else if (hk_os_process_id() != process) {
		atomic_store(&state, NONE);
	} else {
		atomic_store_explicit(&hk_scavenger_runs, 1, memory_order_relaxed);
		if (hk_os_thread(scavenge, "hakmem-scav"))
			return;
		atomic_store_explicit(&hk_scavenger_runs, 0, memory_order_relaxed);
		atomic_store(&state, OFF);
	}
}

static void freed(const void *caller)
{
	uint32_t now = atomic_load(&state);

	if (now == BUSY || now == OFF || hk_all_locked || waiting() < WAITING)
		return;
	if (now == NONE)
		start(caller);
	else if (atomic_compare_exchange_strong(&state, &now, BUSY))
		hk_os_wake(&state);
}

static void thread_ended(void)
{
	uint32_t asleep = ASLEEP;

	if (!pthread_equal(pthread_self(), main_thread))
		return;
	atomic_store(&main_ended, 1);
	hk_os_wake(&main_ended);
	if (atomic_compare_exchange_strong(&state, &asleep, BUSY))
		hk_os_wake(&state);
}

/* The thread is the parent's, and the first moments begin anew: children are
 * made to exec, or to enter namespaces, which some only can while alone. */
static void forked(void)
{
	process = hk_os_process_id();
	main_thread = pthread_self();
	began = hk_os_now();
	main_ended = 0;
	if (atomic_load(&state) != OFF)
		atomic_store(&state, NONE);
	atomic_store_explicit(&hk_scavenger_runs, 0, memory_order_relaxed);
}

/* After the settings are known: hk_constructor. */
__attribute__((constructor(102))) static void start_scavenger(void)
{
	if (!hk_settings.scavenger)
		return;
	process = hk_os_process_id();
	/* The library was opened late, by another thread: main's end would not be seen. */
	if (hk_os_thread_id() != process)
		return;
	began = hk_os_now();
	main_thread = pthread_self();
	hk_os_code_start();
	hk_os_sandbox_start();
	hk_hooks.thread_ended = thread_ended;
	hk_hooks.forked = forked;
	hk_hooks.freed = freed;
}
