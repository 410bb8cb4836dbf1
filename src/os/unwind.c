/*
 * The call stack of this thread, by the unwinder of the compiler's runtime library. It is used
 * only with a glibc that finds unwind information without a lock (_dl_find_object, 2.35).
 * Otherwise the stack consists of the caller only.
 *
 * The library is not linked with the runtime library: a constructor loads it if stacks are
 * wanted. Later, when the dynamic linker must not be called, it is used only if the program has
 * loaded it at its start, as C++ programs do.
 */
#include "os/os.h"

#include <dlfcn.h>
#include <link.h>
#include <unwind.h>

/* Weak, because a statically linked program has no dynamic linker, but may have the unwinder
 * itself. */
#pragma weak dlopen
#pragma weak dlsym
#pragma weak _Unwind_Backtrace
#pragma weak _Unwind_GetIP

/* On 32-bit Arm, _Unwind_GetIP is inline and unwinding takes a lock. */
#if defined(DLFO_STRUCT_HAS_EH_DBASE) && !defined(__arm__)
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

typedef _Unwind_Reason_Code backtrace(_Unwind_Trace_Fn each, void *argument);

/* start and end: of the library that contains the unwinder, or 0. */
static struct {
	_Unwind_Ptr (*ip)(struct _Unwind_Context *context);
	uintptr_t start, end;
	_Atomic(backtrace *) walk;	/* set last (release) */
} unwinder;

struct walk {
	uintptr_t *frame;
	unsigned depth, most, left;	/* left: frames that may still be visited */
	uintptr_t caller;
};

/* Frames of this library come before that of the caller. */
static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument)
{
	struct walk *w = argument;
	uintptr_t ip = (uintptr_t)unwinder.ip(context);

	if (!ip || !w->left--)
		return _URC_END_OF_STACK;
	if (w->depth || ip == w->caller)
		w->frame[w->depth++] = ip;
	return w->depth == w->most ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static backtrace *find_unwinder(void)
{
	void *library = dlopen && dlsym ? dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL) : NULL;
	struct dl_find_object found;
	backtrace *walk = _Unwind_GetIP ? _Unwind_Backtrace : NULL;
	void *symbol;

	unwinder.ip = _Unwind_GetIP;
	if (!library)
		return walk;
	symbol = dlsym(library, "_Unwind_Backtrace");
	*(void **)&walk = symbol;
	*(void **)&unwinder.ip = dlsym(library, "_Unwind_GetIP");
	if (!symbol || !unwinder.ip || _dl_find_object(symbol, &found) != 0)
		return NULL;
	unwinder.start = (uintptr_t)found.dlfo_map_start;
	unwinder.end = (uintptr_t)found.dlfo_map_end;
	return walk;
}

static _Unwind_Reason_Code stop(struct _Unwind_Context *context, void *argument)
{
	(void)context;
	(void)argument;
	return _URC_END_OF_STACK;
}

void hk_os_unwinder_start(void)
{
	backtrace *walk;

	if (!_dl_find_object || atomic_load(&unwinder.walk))
		return;
	walk = find_unwinder();
	/* Its first use initialises it. */
	if (walk)
		walk(stop, NULL);
	atomic_store_explicit(&unwinder.walk, walk, memory_order_release);
}

/* The weak references were bound before the program started. The unwinder initialises itself
 * at its first use, without a lock. */
void hk_os_unwinder_find(void)
{
	struct dl_find_object found;

	if (!_dl_find_object || atomic_load(&unwinder.walk) || !_Unwind_Backtrace || !_Unwind_GetIP)
		return;
	unwinder.ip = _Unwind_GetIP;
	if (_dl_find_object((void *)_Unwind_Backtrace, &found) == 0) {
		unwinder.start = (uintptr_t)found.dlfo_map_start;
		unwinder.end = (uintptr_t)found.dlfo_map_end;
	}
	atomic_store_explicit(&unwinder.walk, _Unwind_Backtrace, memory_order_release);
}

bool hk_os_unwinds(void)
{
	return atomic_load_explicit(&unwinder.walk, memory_order_relaxed) != NULL;
}

/* The unwinder itself may allocate with its lock held, if the program registers unwind
 * information for code that it generates. */
unsigned hk_os_stack(uintptr_t *frame, unsigned most, const void *caller)
{
	backtrace *walk = atomic_load_explicit(&unwinder.walk, memory_order_acquire);
	struct walk w = { frame, 0, most, 2 * most, (uintptr_t)caller };

	if (walk && !(w.caller >= unwinder.start && w.caller < unwinder.end))
		walk(visit, &w);
	if (!w.depth)
		frame[w.depth++] = w.caller;
	return w.depth;
}
#else
void hk_os_unwinder_start(void)
{
}

void hk_os_unwinder_find(void)
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
