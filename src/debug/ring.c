#include "debug/ring.h"

#include "config/policy.h"
#include "os/os.h"

#include <stdatomic.h>

/*
 * A writer takes a ticket and writes the entry of that number modulo HK_RING_EVENTS. ticket
 * is 0 meanwhile, and the ticket + 1 afterwards (release). A reader knows which ticket it
 * expects, so it recognises an entry that is incomplete or was overwritten. A writer that is
 * suspended while the ring wraps around may corrupt one entry. All fields but ticket:
 * relaxed.
 */
struct entry {
	_Atomic size_t ticket;
	_Atomic uint64_t time;
	_Atomic(const void *) at;
	_Atomic size_t amount;
	_Atomic(const void *) caller;
	_Atomic uint32_t thread;
	_Atomic uint32_t size;
	_Atomic uint8_t event;
} HK_ALIGNED(64);

/* An entry that was read completely. */
struct seen {
	uint64_t time;
	uintptr_t at;
	size_t amount;
	const void *caller;
	uint32_t thread, size;
	uint8_t event;
};

/* next: the number of tickets handed out (fetch-add). entry: set once, by hk_ring_start. */
static struct {
	_Atomic size_t next HK_ALIGNED(HK_CACHE_LINE);
	_Atomic(struct entry *) entry HK_ALIGNED(HK_CACHE_LINE);
	_Atomic(const void *) subject;	/* the pointer that the abort message is about */
} ring;

static const struct {
	const char *name;
	enum hk_amount amount;
} kind[HK_EVENT_COUNT] = {
#define KIND(id, name, amount, ...) { name, HK_AMOUNT_##amount },
	HK_BLOCK_EVENTS(KIND)
	HK_SLOW_EVENTS(KIND)
};

#define SET(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

void hk_ring_put(enum hk_event event, size_t size, const void *at, size_t amount,
		 const void *caller)
{
	struct entry *e = atomic_load_explicit(&ring.entry, memory_order_acquire);
	size_t ticket;

	if (!e)
		return;
	ticket = atomic_fetch_add_explicit(&ring.next, 1, memory_order_relaxed);
	e += ticket % HK_RING_EVENTS;
	SET(e->ticket, 0);
	atomic_thread_fence(memory_order_release);
	SET(e->time, hk_os_clock());
	SET(e->thread, (uint32_t)hk_os_thread_id());
	SET(e->event, (uint8_t)event);
	SET(e->size, (uint32_t)size);
	SET(e->at, at);
	SET(e->amount, amount);
	SET(e->caller, caller);
	atomic_store_explicit(&e->ticket, ticket + 1, memory_order_release);
}

static bool get(size_t ticket, struct seen *seen)
{
	struct entry *e = &GET(ring.entry)[ticket % HK_RING_EVENTS];

	if (atomic_load_explicit(&e->ticket, memory_order_acquire) != ticket + 1)
		return false;
	*seen = (struct seen){
		.time = GET(e->time), .at = (uintptr_t)GET(e->at),
		.amount = GET(e->amount), .caller = GET(e->caller),
		.thread = GET(e->thread), .size = GET(e->size), .event = GET(e->event),
	};
	atomic_thread_fence(memory_order_acquire);
	return GET(e->ticket) == ticket + 1;
}

static void put_caller(struct hk_line *line, const void *caller)
{
	hk_line_str(line, ", called from ");
	hk_line_code(line, caller);
}

static void show(const struct seen *seen)
{
	enum hk_amount amount = kind[seen->event].amount;
	unsigned long micros = (unsigned long)(seen->time / 1000 % 1000000), digit;
	struct hk_line line;

	hk_line_start(&line);
	hk_line_str(&line, "  ");
	hk_line_dec(&line, seen->time / 1000000000);
	hk_line_char(&line, '.');
	for (digit = 100000; digit; digit /= 10)
		hk_line_char(&line, (char)('0' + micros / digit % 10));
	hk_line_str(&line, " thread ");
	hk_line_dec(&line, seen->thread);
	hk_line_str(&line, ": ");
	hk_line_str(&line, kind[seen->event].name);
	if (seen->at) {
		hk_line_char(&line, ' ');
		hk_line_hex(&line, seen->at);
	}
	if (amount != HK_AMOUNT_NONE) {
		hk_line_str(&line, ", ");
		hk_line_dec(&line, seen->amount);
		hk_line_str(&line, amount == HK_AMOUNT_BYTES ? " byte" : " block");
		if (seen->amount != 1)
			hk_line_char(&line, 's');
	}
	if (seen->size) {
		hk_line_str(&line, amount == HK_AMOUNT_BLOCKS ? " of " : " for blocks of ");
		hk_line_dec(&line, seen->size);
	}
	if (seen->caller)
		put_caller(&line, seen->caller);
	hk_line_write(&line);
}

static bool concerns(const struct seen *seen, const void *p)
{
	size_t extent = kind[seen->event].amount == HK_AMOUNT_BYTES ? seen->amount : 0;

	return (uintptr_t)p - seen->at < extent + !extent;
}

/* The last events that concern p, or all if it is NULL; oldest first. */
static void show_last(const void *p, const char *title)
{
	size_t end = GET(ring.next), first = end > HK_RING_EVENTS ? end - HK_RING_EVENTS : 0;
	size_t at = end, found = 0;
	struct hk_line line;
	struct seen seen;

	while (at > first && found < HK_RING_SHOWN) {
		at--;
		found += get(at, &seen) && (!p || concerns(&seen, p));
	}
	hk_line_start(&line);
	hk_line_str(&line, title);
	if (p)
		hk_line_hex(&line, (uintptr_t)p);
	hk_line_str(&line, found ? ", oldest first:" : ": none");
	hk_line_write(&line);
	for (; at < end; at++)
		if (get(at, &seen) && (!p || concerns(&seen, p)))
			show(&seen);
}

/* If another thread aborts at the same time, its lines are mixed with these. */
static void show_all(void)
{
	const void *p = GET(ring.subject);

	if (hk_trace_on() && p)
		show_last(p, "history of ");
	show_last(NULL, "recent events");
}

void hk_ring_start(void)
{
	struct entry *entry;

	if (!hk_ring_on() || GET(ring.entry))
		return;
	entry = hk_os_map_apart(HK_RING_EVENTS * sizeof *entry);
	if (!entry)
		return;
	atomic_store_explicit(&ring.entry, entry, memory_order_release);
	hk_line_abort_hook = show_all;
}

_Noreturn void hk_trace_abort(struct hk_line *line, const void *p)
{
	SET(ring.subject, p);
	hk_line_abort(line);
}

_Noreturn void hk_broken(const char *invariant, const void *at)
{
	struct hk_line line;

	hk_line_start(&line);
	hk_line_str(&line, "invariant broken: ");
	hk_line_str(&line, invariant);
	hk_line_str(&line, ", at ");
	hk_line_hex(&line, (uintptr_t)at);
	hk_trace_abort(&line, at);
}
