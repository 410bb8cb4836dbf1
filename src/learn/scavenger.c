/*
 * The scavenger: a thread of the library that does for a program which does not
 * call what refills and flushes do for one that does. It begins when some free
 * memory waits, looks after it in short turns, and sleeps without a time when
 * all is back, until another free finds that some waits.
 *
 * A program that has no threads of its own has none of ours: unshare() and
 * setns() fail where there is a second one, and others warn of a fork. It is
 * started when two threads use the heap, and the thread that leaves one alone
 * waits, at its end, until it has gone.
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
#include "pool/eager.h"
#include "pool/pool.h"
#include "range/range.h"

/*
 * NONE -> BUSY by the thread that starts it, BUSY -> ASLEEP by itself, ASLEEP ->
 * BUSY by a thread that wakes it; BUSY, ASLEEP -> ENDING by a thread that wants it
 * to end, and NONE, or OFF for good, by itself. OFF where it cannot be started.
 */
enum { NONE, BUSY, ASLEEP, ENDING, OFF };
static _Atomic uint32_t state;
static _Atomic uint32_t ends;		/* so far: others wait for the next */
static _Atomic long task;		/* of the last one, 0: known to have gone */
static _Atomic uint64_t began;		/* ms; before main, or when it ended */
static _Atomic size_t released_before;	/* bytes, when it last ended */
static _Atomic long process;
static _Atomic uintptr_t main_thread;
static _Atomic bool main_ended;
_Atomic size_t hk_scavenger_runs, hk_scavenger_turns;

/* The last thread of a process ends it and runs its exit handlers, which is not
 * for ours: it leaves with the main thread at the latest. */
static bool wanted(void)
{
	return !atomic_load(&main_ended) &&
	       (hk_settings.scavenger == HK_SCAVENGER_ALWAYS || hk_program_threads() > 1);
}

static size_t waiting(void)
{
	return hk_pool_waiting() + (atomic_load(&hk_sparse_waits) ? HK_SPARSE_WAITING : 0) +
	       hk_range_waiting();
}

/* before: what waited when it last looked, and found that it cannot go (mlock).
 * Who freed more since then may have seen it awake. */
static void to_sleep(size_t before)
{
	uint32_t busy = BUSY, asleep = ASLEEP;

	if (!atomic_compare_exchange_strong(&state, &busy, ASLEEP))
		return;
	if (waiting() > before && atomic_compare_exchange_strong(&state, &asleep, BUSY))
		return;
	while (atomic_load(&state) == ASLEEP)
		hk_os_wait(&state, ASLEEP, 0);
}

/* Twice in the time that memory waits. */
static unsigned turn_ms(void)
{
	unsigned half = (unsigned)atomic_load_explicit(&hk_purge_delay, memory_order_relaxed) / 2;

	return half > HK_SCAVENGER_TURN_MOST ? HK_SCAVENGER_TURN_MOST : half < HK_SCAVENGER_TURN_LEAST ? HK_SCAVENGER_TURN_LEAST : half;
}

/* False: it is to end. */
static bool sleep_for(unsigned ms)
{
	hk_os_wait(&state, BUSY, ms);
	return atomic_load(&state) == BUSY && wanted();
}

static void work(void)
{
	unsigned calm = 0, turn;	/* ms */
	size_t before = 0, now;
	bool more, quiet;

	for (turn = turn_ms(); sleep_for(turn); turn = turn_ms()) {
		now = waiting();
		more = now > before;
		before = now;
		atomic_fetch_add_explicit(&hk_scavenger_turns, 1, memory_order_relaxed);
		if (hk_settings.mem_learn)
			hk_mem_look();
		quiet = calm < HK_SCAVENGER_CALM_MS / 2 && calm + turn >= HK_SCAVENGER_CALM_MS / 2;
		calm = hk_reclaim(quiet ? HK_FOR_QUIET : HK_FOR_IDLE) || more ? 0 : calm + turn;
		if (calm >= HK_SCAVENGER_CALM_MS) {
			to_sleep(before);
			calm = 0;
		}
	}
}

/* Without it the program's own frees release memory. */
static void note_runs(bool runs)
{
	atomic_store_explicit(&hk_scavenger_runs, runs, memory_order_relaxed);
	atomic_store_explicit(&released_before, hk_eager_released(), memory_order_relaxed);
	atomic_store_explicit(&hk_eager, !runs, memory_order_relaxed);
}

/* There is no such thread, or it has nothing left to do but to end. */
static void over(uint32_t then)
{
	note_runs(false);
	atomic_store(&state, then);
	atomic_fetch_add(&ends, 1);
	hk_os_wake_all(&ends);
}

static void scavenge(void)
{
	atomic_store(&task, hk_os_thread_id());
	hk_thread_apart();
	work();
	/* Programs that start a thread again and again do not start ours each time. */
	atomic_store(&began, hk_os_now());
	over(atomic_load(&main_ended) ? OFF : NONE);
}

/* False: the kernel still has the last one, though it has said that it ends. */
static bool forget_gone(void)
{
	long id = atomic_load(&task), it = id;

	if (id && hk_os_thread_exists(id))
		return false;
	atomic_compare_exchange_strong(&task, &it, 0);
	return true;
}

/* Not where the program shut itself into a sandbox, which may end it for any of
 * this; nor in the child of a vfork, which borrows this memory. */
static void start(const void *caller)
{
	uint32_t none = NONE;

	if (!wanted() || hk_os_in_libc(caller) ||
	    !hk_elapsed(hk_os_now(), atomic_load(&began), HK_SCAVENGER_FIRST_MS) ||
	    !atomic_compare_exchange_strong(&state, &none, BUSY))
		return;
	if (hk_os_sandboxed()) {
		over(OFF);
	} else if (hk_os_process_id() != process || !wanted() || !forget_gone()) {
		over(NONE);
	} else {
		hk_os_watch_forks();
		note_runs(true);
		if (!hk_os_guest(scavenge, "hakmem-scav"))
			over(OFF);
	}
}

/* As long as the program's frees release memory, little waits. */
static bool is_worth_it(void)
{
	size_t bytes = waiting();

	if (hk_is_eager())
		bytes += hk_eager_released() - atomic_load_explicit(&released_before, memory_order_relaxed);
	return bytes >= HK_SPARSE_WAITING;
}

static void freed(const void *caller)
{
	uint32_t now = atomic_load(&state);

	if (now == BUSY || now == ENDING || now == OFF || hk_all_locked || !is_worth_it())
		return;
	if (now == NONE)
		start(caller);
	else if (atomic_compare_exchange_strong(&state, &now, BUSY))
		hk_os_wake(&state);
}

/* False: it has said, or will, that it ends. */
static bool tell_to_end(void)
{
	uint32_t now = atomic_load(&state);

	while (now == BUSY || now == ASLEEP)
		if (atomic_compare_exchange_weak(&state, &now, ENDING)) {
			hk_os_wake(&state);
			return true;
		}
	return now == ENDING;
}

/*
 * By one or more ending threads at once. It holds no lock that they have, and
 * waits for none but the heap's. Each wait is short: it may be a fork's child
 * that wakes up, where there is nothing to wait for.
 */
static void await_end(void)
{
	static _Atomic uint32_t never;
	uint32_t before = atomic_load(&ends);
	long id;
	unsigned n;

	if (tell_to_end())
		for (n = 0; n < HK_SCAVENGER_END_MS / HK_SCAVENGER_SLEEP_MS && atomic_load(&state) == ENDING &&
		     atomic_load(&ends) == before; n++)
			hk_os_wait(&ends, before, HK_SCAVENGER_SLEEP_MS);
	id = atomic_load(&task);
	for (n = 0; atomic_load(&task) == id && !forget_gone() && n < HK_SCAVENGER_SPINS + HK_SCAVENGER_END_MS; n++)
		if (n >= HK_SCAVENGER_SPINS)
			hk_os_wait(&never, 0, 1);
}

/* Before its libc counts the thread as ended: what a thread that joins it, or the
 * kernel, finds then is a process without ours. */
static void thread_ended(void)
{
	if (hk_self() == main_thread)
		atomic_store(&main_ended, true);
	if (!wanted())
		await_end();
}

/* The thread is the parent's, and the first moments begin anew: children are
 * made to exec, or to enter namespaces, which some only can while alone. */
static void forked(void)
{
	hk_mem_forked();
	process = hk_os_process_id();
	main_thread = hk_self();
	atomic_store(&began, hk_os_now());
	atomic_store(&main_ended, false);
	atomic_store(&task, 0);
	over(atomic_load(&state) == OFF ? OFF : NONE);
}

/* After the settings are known: hk_constructor. */
__attribute__((constructor(102))) static void start_scavenger(void)
{
	if (!hk_settings.scavenger)
		return;
	note_runs(false);
	process = hk_os_process_id();
	/* The library was opened late, by another thread: main's end would not be seen. */
	if (hk_os_thread_id() != process)
		return;
	began = hk_os_now();
	main_thread = hk_self();
	hk_os_code_start();
	hk_os_sandbox_start();
	hk_os_guest_start();
	hk_hooks.thread_ended = thread_ended;
	hk_hooks.forked = forked;
	hk_hooks.freed = freed;
}
