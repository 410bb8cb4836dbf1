/* Messages about blocks between guard pages, and the report of a fault at such a block. */
#include "sample/fence.h"

#include "os/fault.h"
#include "os/os.h"
#include "sample/table.h"

static void finish_line(struct hk_line *line)
{
	if (line->length)
		hk_line_write(line);
	line->length = 0;
}

static void next_line(struct hk_line *line)
{
	finish_line(line);
	hk_line_start(line);
}

static void put_bytes(struct hk_line *line, size_t bytes, const char *where)
{
	hk_line_bytes(line, bytes);
	hk_line_str(line, where);
}

void hk_fence_put_where(struct hk_line *line, const struct hk_fence *fence, uintptr_t address)
{
	uintptr_t end = fence->start + fence->size;

	if (address >= end) {
		put_bytes(line, address - end, " past the end");
	} else if (address < fence->start) {
		put_bytes(line, fence->start - address, " before the start");
	} else {
		hk_line_str(line, "at byte ");
		hk_line_dec(line, address - fence->start);
	}
	hk_line_str(line, " of the ");
	hk_line_dec(line, fence->size);
	hk_line_str(line, "-byte block at ");
	hk_line_hex(line, fence->start);
}

/* Stops after a while if nobody reads standard error. */
void hk_fence_put_stack(struct hk_line *line, const char *what, const uintptr_t *frame, uint32_t depth)
{
	uint64_t begun = hk_os_now();
	uint32_t i;

	for (i = 0; i < depth && i < HK_FENCE_DEPTH && !hk_elapsed(hk_os_now(), begun, HK_FENCE_REPORT_MS); i++) {
		next_line(line);
		hk_line_str(line, what);
		hk_line_str(line, " #");
		hk_line_dec(line, i);
		hk_line_char(line, ' ');
		hk_line_code(line, (const void *)frame[i]);
	}
}

void hk_fence_put_stacks(struct hk_line *line, const struct hk_fence *fence)
{
	const struct hk_sample_table *t = atomic_load_explicit(&hk_sample_table, memory_order_acquire);

	if (fence->site && t) {
		struct hk_sample_site *site = &t->site[fence->site - 1];

		hk_fence_put_stack(line, "allocated", t->frame + site->first,
				   atomic_load_explicit(&site->depth, memory_order_acquire));
	}
	hk_fence_put_stack(line, "freed", fence->freed, fence->depth);
}

/* The unwinder comes last, because the stack itself may be damaged. */
static void put_access(struct hk_line *line, const struct hk_fault *fault)
{
	uintptr_t frame[HK_FENCE_DEPTH];
	uint32_t depth = 1;

	if (!fault->code)
		return;
	frame[0] = fault->code;
	if (fault->stack >= HK_FENCE_STACK)
		depth = hk_os_stack(frame, HK_FENCE_DEPTH, (const void *)fault->code);
	hk_fence_put_stack(line, "accessed", frame, depth);
	finish_line(line);
}

static void report(const struct hk_fault *fault)
{
	static const char *const what[] = { "access to ", "read from ", "write to " };
	struct hk_fence *fence = hk_fence_near(fault->address);
	struct hk_line line;

	hk_line_start(&line);
	hk_line_str(&line, what[fault->access]);
	hk_line_hex(&line, fault->address);
	if (fence) {
		hk_line_str(&line, ", ");
		hk_fence_put_where(&line, fence, fault->address);
		hk_line_str(&line, hk_fence_live(fence) ? "" : ", which is free");
		hk_fence_put_stacks(&line, fence);
	} else {
		hk_line_str(&line, ", in the guard pages of HAKMEM_SAMPLE_GUARD");
	}
	finish_line(&line);
	put_access(&line, fault);
}

/* One thread reports. A second one would end the process before that is complete, so it waits, but
 * only for a while. */
static void faulted(const struct hk_fault *fault)
{
	enum { NONE, BEGUN, DONE };
	static _Atomic uint32_t state;
	uint32_t none = NONE;

	if (!hk_fenced((const void *)fault->address) || fault->stack < HK_FENCE_STACK_LEAST)
		return;
	if (!atomic_compare_exchange_strong(&state, &none, BEGUN)) {
		hk_os_wait(&state, BEGUN, HK_FENCE_REPORT_MS);
		return;
	}
	report(fault);
	atomic_store(&state, DONE);
	hk_os_wake_all(&state);
}

void hk_fence_watch(void)
{
	if (hk_fences_exist())
		hk_os_watch_faults(faulted);
}
