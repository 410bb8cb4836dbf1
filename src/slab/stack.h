/*
 * An intrusive lock-free stack (Treiber 1986), to which any thread pushes. Only one thread at
 * a time may pop, so it needs no tag against ABA.
 */
#ifndef HK_SLAB_STACK_H
#define HK_SLAB_STACK_H

#include "os/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct hk_stack_link {
	struct hk_stack_link *below;
};

struct hk_stack {
	_Atomic(struct hk_stack_link *) top;
};

HK_INLINE void hk_stack_push(struct hk_stack *stack, struct hk_stack_link *link)
{
	struct hk_stack_link *top = atomic_load_explicit(&stack->top, memory_order_relaxed);

	do
		link->below = top;
	while (!hk_swapped(atomic_compare_exchange_weak_explicit(&stack->top, &top, link,
			memory_order_release, memory_order_relaxed)));
}

/* NULL: it is empty. */
HK_INLINE struct hk_stack_link *hk_stack_pop(struct hk_stack *stack)
{
	struct hk_stack_link *top = atomic_load_explicit(&stack->top, memory_order_acquire);

	while (top && !hk_swapped(atomic_compare_exchange_weak_explicit(&stack->top, &top, top->below,
			memory_order_acquire, memory_order_acquire)))
		;
	return top;
}

/* Takes all links, the one that was pushed last first. Any thread may do that. */
HK_INLINE struct hk_stack_link *hk_stack_take(struct hk_stack *stack)
{
	return atomic_exchange_explicit(&stack->top, NULL, memory_order_acquire);
}

HK_INLINE bool hk_stack_empty(struct hk_stack *stack)
{
	return !atomic_load_explicit(&stack->top, memory_order_relaxed);
}

#endif
