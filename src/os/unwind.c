/*
 * The call stack of this thread, by the unwinder of the compiler's runtime library, which is
 * linked statically and hidden. So it is there at any time without a call of the dynamic
 * linker, and it cannot meet a lock that the program's own copy holds: it knows no unwind
 * information that the program registers for code that it generates, and stops there. It is
 * used only with a glibc that finds unwind information without a lock (_dl_find_object, 2.35).
 * Otherwise the stack consists of the caller only.
 */
#include "os/os.h"

#ifdef HK_UNWINDER
#include <string.h>
#include <unwind.h>

/* The number of the register. Defined only where a return address is always directly below the
 * frame to which it leads. */
#if defined __x86_64__ && defined __LP64__
#define FRAME_POINTER 6
#endif

static _Atomic bool ready;
static uintptr_t own_start, own_end;	/* constant once it is ready */

/* True: the frame comes before those of the program, and is left out. Frames of this library come
 * before that of the caller, which may be of this library too: posix_memalign calls memalign. Sets
 * *caller to 0 when it is found. */
static bool leave_out(uintptr_t ip, uintptr_t *caller)
{
	if (ip == *caller)
		*caller = 0;
	return *caller || (ip >= own_start && ip < own_end);
}

struct walk {
	uintptr_t *frame;
	unsigned depth, most, left;	/* left: frames that may still be visited */
	uintptr_t caller;
};

/*
 * While a stack is unwound, it is compared with the last one. If ip and sp of a frame are those of
 * a frame of the last stack, and the size of the frame is a constant of the code at ip, then the
 * return address into its caller is where it was. If that is the same, ip and sp of the caller are
 * the same too, and the comparison goes on with the caller. The size is constant if the frame does
 * not need a frame pointer. So only addresses are read that the unwinder would read, too.
 */
struct again {
	struct hk_walked now;
	const struct hk_walked *last;
	unsigned at;			/* index in last: the frames before it are inside this one */
	unsigned left;
	uintptr_t caller;
#ifdef FRAME_POINTER
	uintptr_t pointer;		/* the frame pointer in the frame that was visited last */
#endif
};

#ifdef FRAME_POINTER
static void note_size(struct again *w, struct _Unwind_Context *context)
{
	unsigned i = w->now.depth;
	uintptr_t sp = w->now.sp[i];
	int interrupted = 0;

	/* A frame pointer points into its frame. Code that a signal interrupted may be on another
	 * stack. */
	_Unwind_GetIPInfo(context, &interrupted);
	if (i)
		w->now.fixed[i - 1] = !interrupted && w->pointer - w->now.sp[i - 1] >= sp - w->now.sp[i - 1];
	w->now.fixed[i] = false;
	w->pointer = (uintptr_t)_Unwind_GetGR(context, FRAME_POINTER);
}

/* Compares the return addresses of the last stack from w->at on with those in memory. False: one
 * has changed or cannot be compared, and w->at is its index. */
static bool compare_rest(struct again *w)
{
	const struct hk_walked *last = w->last;

	for (; w->at + 1 < last->depth; w->at++)
		if (!last->fixed[w->at] ||
		    ((const uintptr_t *)last->sp[w->at + 1])[-1] != last->ip[w->at + 1]) {
			w->at++;
			return false;
		}
	return true;
}

static bool copy_rest(struct again *w, unsigned from)
{
	const struct hk_walked *last = w->last;
	unsigned to = w->now.depth, n = last->depth - from;

	if (n > HK_WALKED - to)
		n = HK_WALKED - to;
	else if (!last->whole && to + n < HK_WALKED)
		return false;
	memcpy(w->now.ip + to, last->ip + from, n * sizeof *last->ip);
	memcpy(w->now.sp + to, last->sp + from, n * sizeof *last->sp);
	memcpy(w->now.fixed + to, last->fixed + from, n * sizeof *last->fixed);
	w->now.depth += n;
	w->now.whole = last->whole && from + n == last->depth;
	return true;
}

/* Looks for the frame that was visited last, with the index depth - 1, in the last stack. True: its
 * callers were copied from there. */
static bool use_last(struct again *w)
{
	const struct hk_walked *last = w->last;
	uintptr_t ip = w->now.ip[w->now.depth - 1], sp = w->now.sp[w->now.depth - 1];
	unsigned from;

	while (w->at < last->depth && last->sp[w->at] < sp)
		w->at++;
	if (w->at >= last->depth || last->sp[w->at] != sp || last->ip[w->at] != ip)
		return false;
	from = w->at + 1;
	return compare_rest(w) && copy_rest(w, from);
}
#else
static void note_size(struct again *w, struct _Unwind_Context *context)
{
	(void)w;
	(void)context;
}

static bool use_last(struct again *w)
{
	(void)w;
	return false;
}
#endif

static _Unwind_Reason_Code visit_again(struct _Unwind_Context *context, void *argument)
{
	struct again *w = argument;
	uintptr_t ip = (uintptr_t)_Unwind_GetIP(context);

	if (!ip || !w->left--)
		return _URC_END_OF_STACK;
	if (!w->now.depth && leave_out(ip, &w->caller))
		return _URC_NO_REASON;
	w->now.ip[w->now.depth] = ip;
	w->now.sp[w->now.depth] = (uintptr_t)_Unwind_GetCFA(context);
	note_size(w, context);
	w->now.depth++;
	if (use_last(w))
		return _URC_END_OF_STACK;
	w->now.whole = w->now.depth < HK_WALKED;
	return w->now.whole ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument)
{
	struct walk *w = argument;
	uintptr_t ip = (uintptr_t)_Unwind_GetIP(context);

	if (!ip || !w->left--)
		return _URC_END_OF_STACK;
	if (w->depth || !leave_out(ip, &w->caller))
		w->frame[w->depth++] = ip;
	return w->depth == w->most ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static _Unwind_Reason_Code stop(struct _Unwind_Context *context, void *argument)
{
	(void)context;
	(void)argument;
	return _URC_END_OF_STACK;
}

/* The first use initialises the unwinder by pthread_once, which a handler must not interrupt
 * and enter. */
void hk_os_unwinder_start(void)
{
	if (atomic_load_explicit(&ready, memory_order_relaxed))
		return;
	_Unwind_Backtrace(stop, NULL);
	hk_os_own_code(&own_start, &own_end);
	atomic_store_explicit(&ready, true, memory_order_release);
}

bool hk_os_unwinds(void)
{
	return atomic_load_explicit(&ready, memory_order_relaxed);
}

unsigned hk_os_stack(uintptr_t *frame, unsigned most, const void *caller)
{
	struct walk w = { frame, 0, most, 2 * most, (uintptr_t)caller };

	if (atomic_load_explicit(&ready, memory_order_acquire))
		_Unwind_Backtrace(visit, &w);
	if (!w.depth)
		frame[w.depth++] = (uintptr_t)caller;
	return w.depth;
}

/* A signal handler may interrupt this and never return, so depth is 0 meanwhile. */
static void keep(struct hk_walked *last, struct hk_walked *now)
{
	unsigned depth = now->depth;

	now->depth = last->depth = 0;
	atomic_signal_fence(memory_order_seq_cst);
	*last = *now;
	atomic_signal_fence(memory_order_seq_cst);
	last->depth = depth;
}

void hk_os_stack_again(struct hk_walked *last, const void *caller)
{
	struct again w = { .last = last, .left = 2 * HK_WALKED, .caller = (uintptr_t)caller };

	if (atomic_load_explicit(&ready, memory_order_acquire))
		_Unwind_Backtrace(visit_again, &w);
	if (!w.now.depth)
		w.now.ip[w.now.depth++] = (uintptr_t)caller;
	keep(last, &w.now);
}
#else
void hk_os_unwinder_start(void)
{
}

bool hk_os_unwinds(void)
{
	return false;
}

unsigned hk_os_stack(uintptr_t *frame, unsigned most, const void *caller)
{
	(void)most;
	*frame = (uintptr_t)caller;
	return 1;
}

void hk_os_stack_again(struct hk_walked *last, const void *caller)
{
	last->depth = hk_os_stack(last->ip, HK_WALKED, caller);
}
#endif
