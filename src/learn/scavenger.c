/*
 * The scavenger: a background thread that releases memory while the program is idle; in a
 * busy program refills and flushes do the same work. It is started when free memory waits,
 * reclaims it in short turns, and sleeps without a timeout once everything has been
 * released, until another free leaves memory waiting.
 *
 * A program without threads of its own gets no scavenger: unshare() and setns() fail in a
 * process with several threads, and some programs warn about a fork in one. The scavenger is
 * started when two threads use the heap. When only one thread of the program remains, the
 * ending thread waits until the scavenger has ended.
 *
 * pthread_create takes locks of libc, and libc calls free with some of these locks held. So
 * the scavenger is started in a free that the program itself calls, not libc. It is not
 * started in the first moments of a process, when constructors run and short-lived programs
 * end.
 */
#include "learn/learn.h"

#include "cache/cache.h"
#include "config/control.h"
#include "config/settings.h"
#include "large/large.h"
#include "os/os.h"
#include "pool/eager.h"
#include "pool/pool.h"
#include "range/range.h"

/*
 *	NONE -> BUSY		by the thread that starts the scavenger, which sets NONE or
 *				OFF if it fails
 *	BUSY -> ASLEEP		by the scavenger
 *	ASLEEP -> BUSY		by a thread that wakes it
 *	BUSY, ASLEEP -> ENDING	by a thread that requests its end
 *	BUSY, ENDING -> NONE, OFF	by the scavenger at its end; OFF is final
 */
enum { NONE, BUSY, ASLEEP, ENDING, OFF };
static _Atomic uint32_t state;
static _Atomic uint32_t ends;		/* count of ends; threads wait for a change */
static _Atomic long task;		/* id of the last scavenger; 0: it does not exist */
static _Atomic uint64_t began;		/* ms; start of the process, or last end of it */
static _Atomic size_t released_before;	/* bytes, when it last started or ended */
static _Atomic bool main_ended;
static _Atomic uintptr_t starter;	/* hk_self() of the thread in start; 0: none */
_Atomic size_t hk_scavenger_runs, hk_scavenger_turns, hk_pressure_releases;

/* The last thread of a process runs its exit handlers, so that must not be the scavenger: it
 * ends with the main thread at the latest. */
static bool wanted(void)
{
	unsigned setting = hk_settings.scavenger;

	return setting != HK_SCAVENGER_OFF && !atomic_load(&main_ended) &&
	       (setting == HK_SCAVENGER_ALWAYS || hk_program_threads() > 1);
}

static size_t waiting(void)
{
	return hk_pool_waiting() + (atomic_load(&hk_sparse_waits) ? HK_SPARSE_WAITING : 0) +
	       hk_range_waiting();
}

/* before: the bytes that waited at the last turn and could not be released (mlock). A thread
 * that has freed more since then may have seen the scavenger awake and not woken it, so it
 * does not sleep if more waits now. */
static void to_sleep(size_t before)
{
	uint32_t busy = BUSY, asleep = ASLEEP;

	hk_os_end_pressure();
	if (!atomic_compare_exchange_strong(&state, &busy, ASLEEP))
		return;
	if (waiting() > before && atomic_compare_exchange_strong(&state, &asleep, BUSY))
		return;
	while (atomic_load(&state) == ASLEEP)
		hk_os_wait(&state, ASLEEP, 0);
}

/* Two turns in each purge delay. */
static unsigned turn_ms(void)
{
	unsigned half = (unsigned)atomic_load_explicit(&hk_purge_delay, memory_order_relaxed) / 2;

	return half > HK_SCAVENGER_TURN_MOST ? HK_SCAVENGER_TURN_MOST : half < HK_SCAVENGER_TURN_LEAST ? HK_SCAVENGER_TURN_LEAST : half;
}

/* False: the scavenger must end. */
static bool sleep_for(unsigned ms)
{
	hk_os_wait(&state, BUSY, ms);
	return atomic_load(&state) == BUSY && wanted();
}

/* quiet: nothing could be released for a while. */
static enum hk_reclaim_reason reason_of_turn(bool quiet)
{
	uint64_t now = hk_os_now();

	hk_os_follow_limit(now);
	if (!hk_os_follow_pressure(now))
		return quiet ? HK_FOR_QUIET : HK_FOR_IDLE;
	atomic_fetch_add_explicit(&hk_pressure_releases, 1, memory_order_relaxed);
	return HK_FOR_PRESSURE;
}

static void work(void)
{
	unsigned quiet_ms = 0, turn;	/* ms */
	size_t before = 0, now;
	bool more, now_quiet;

	for (turn = turn_ms(); sleep_for(turn); turn = turn_ms()) {
		if (hk_control_waits() && hk_hooks.asked)
			hk_hooks.asked();
		now = waiting();
		more = now > before;
		before = now;
		atomic_fetch_add_explicit(&hk_scavenger_turns, 1, memory_order_relaxed);
		if (hk_settings.mem_learn)
			hk_mem_look();
		now_quiet = quiet_ms < HK_SCAVENGER_QUIET_MS / 2 && quiet_ms + turn >= HK_SCAVENGER_QUIET_MS / 2;
		quiet_ms = hk_reclaim(reason_of_turn(now_quiet)) || more ? 0 : quiet_ms + turn;
		if (quiet_ms >= HK_SCAVENGER_QUIET_MS) {
			to_sleep(before);
			quiet_ms = 0;
		}
	}
}

static bool has_to_be_eager(void)
{
	return hk_settings.scavenger != HK_SCAVENGER_OFF && !atomic_load(&hk_scavenger_runs);
}

/* Without a scavenger the frees of the program release memory (eager mode). Threads that call
 * this at the same time end with the same mode. */
static void find_mode(void)
{
	bool eager;

	do {
		eager = has_to_be_eager();
		atomic_store(&hk_eager, eager);
	} while (eager != has_to_be_eager());
}

static void note_runs(bool runs)
{
	hk_os_end_pressure();
	atomic_store(&hk_scavenger_runs, runs);
	atomic_store_explicit(&released_before, hk_eager_released(), memory_order_relaxed);
	find_mode();
}

/* Called if the scavenger could not be started, or as its last step. */
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
	/* Delays the next start, for programs that repeatedly start a short-lived thread. */
	atomic_store(&began, hk_os_now());
	over(atomic_load(&main_ended) ? OFF : NONE);
}

/* False: the last scavenger is ending but still exists in the kernel. */
static bool forget_gone(void)
{
	long id = atomic_load(&task), it = id;

	if (id && hk_os_thread_exists(id))
		return false;
	atomic_compare_exchange_strong(&task, &it, 0);
	return true;
}

/* At the start of the process, or when the first scavenger is started. */
static void know_main_thread(void)
{
	static bool known;

	if (!known)
		hk_os_guest_start(hk_os_main_thread_id());
	known = true;
}

/* Not in a sandbox, which may kill the program for one of these system calls, and not in the
 * child of a vfork, which shares the memory of its parent. Such a child may have entered a sandbox
 * that its parent is not in, so its id is compared first. */
static void start(const void *caller)
{
	uint32_t none = NONE;

	if (!wanted() || hk_os_in_libc(caller) ||
	    !hk_elapsed(hk_os_now(), atomic_load(&began), HK_SCAVENGER_FIRST_MS) ||
	    !atomic_compare_exchange_strong(&state, &none, BUSY))
		return;
	atomic_store(&starter, hk_self());
	if (hk_os_has_libseccomp()) {
		over(OFF);
	} else if (hk_os_process_id() != hk_os_main_thread_id() || !wanted() || !forget_gone()) {
		over(NONE);
	} else if (hk_os_sandboxed()) {
		over(OFF);
	} else {
		know_main_thread();
		hk_os_watch_forks();
		note_runs(true);
		if (!hk_os_guest(scavenge, "hakmem-scav"))
			over(OFF);
	}
	atomic_store(&starter, 0);
}

/* Does enough memory wait? In eager mode little waits, so the bytes that were released since
 * the last end count too. */
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

	if (now == BUSY || now == ENDING || now == OFF || hk_forks.all_locked || !is_worth_it())
		return;
	if (now == NONE)
		start(caller);
	else if (atomic_compare_exchange_strong(&state, &now, BUSY))
		hk_os_wake(&state);
}

/* Requests the end; false: there is no scavenger, or it has announced its end. */
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
 * Called by one or more ending threads at once. The scavenger waits for locks of the heap
 * only, and these threads hold none, so there is no deadlock. Each wait is short, because a
 * signal handler may fork here, and the child has no scavenger that could end the wait. A
 * handler that interrupted the start does not wait, because the start continues only after it.
 */
static void await_end(void)
{
	static _Atomic uint32_t never;
	uint32_t before = atomic_load(&ends);
	long id;
	unsigned n;

	if (tell_to_end() && atomic_load(&starter) != hk_self())
		for (n = 0; n < HK_SCAVENGER_END_MS / HK_SCAVENGER_SLEEP_MS && atomic_load(&state) == ENDING &&
		     atomic_load(&ends) == before; n++)
			hk_os_wait(&ends, before, HK_SCAVENGER_SLEEP_MS);
	id = atomic_load(&task);
	for (n = 0; atomic_load(&task) == id && !forget_gone() && n < HK_SCAVENGER_SPINS + HK_SCAVENGER_END_MS; n++)
		if (n >= HK_SCAVENGER_SPINS)
			hk_os_wait(&never, 0, 1);
}

void hk_scavenger_settle(void)
{
	if (!wanted())
		await_end();
}

/* Runs before libc counts the thread as ended, so that a thread that joins it finds a process
 * without the scavenger. */
static void thread_ended(void)
{
	if (hk_os_is_known_main_thread())
		atomic_store(&main_ended, true);
	hk_scavenger_settle();
}

/* After a change to another value than 0, the next free that may start the scavenger does so. */
void hk_scavenger_follow(void)
{
	atomic_store_explicit(&released_before, hk_eager_released(), memory_order_relaxed);
	atomic_store_explicit(&hk_hooks.freed, hk_settings.scavenger ? freed : NULL, memory_order_relaxed);
	if (!wanted())
		tell_to_end();
	find_mode();
}

/* The child has no scavenger. The delay of the first moments starts again, because many
 * children only exec, or enter namespaces, which may require a process with one thread. */
static void forked(void)
{
	hk_mem_forked();
	hk_os_know_main_thread();
	if (hk_settings.scavenger)
		atomic_store(&began, hk_os_now());
	HK_STORE_CHANGE(&main_ended, false);
	HK_STORE_CHANGE(&task, 0);
	if (atomic_load(&state) != NONE)
		over(atomic_load(&state) == OFF ? OFF : NONE);
}

/*
 * Runs after hk_constructor, which completes the settings. Seccomp filters are counted only if
 * HAKMEM_SCAVENGER is on, because that takes 40 us. If it is turned on later, no scavenger is
 * started in a process that has a filter.
 */
__attribute__((constructor(102))) static void start_scavenger(void)
{
	began = hk_os_now();
	/* Another thread has loaded the library with dlopen, so the end of the main thread
	 * would not be noticed. */
	if (!hk_os_is_main_thread()) {
		state = OFF;
	} else {
		hk_os_code_start();
		hk_os_pressure_start();
		hk_os_know_main_thread();
		if (hk_settings.scavenger) {
			hk_os_sandbox_start();
			know_main_thread();
		}
		hk_hooks.thread_ended = thread_ended;
		hk_hooks.forked = forked;
	}
	hk_scavenger_follow();
}
