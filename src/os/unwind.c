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
#include <unwind.h>

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
#endif
