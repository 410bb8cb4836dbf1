/* malloc and free of sampled blocks between guard pages (sample/fence.h). */
#include "cache/internal.h"

#include "debug/ring.h"
#include "os/line.h"
#include "sample/fence.h"

void *hk_fenced_malloc(size_t size, size_t counted, bool *zero, const void *caller)
{
	struct hk_fence *fence = hk_inside() || !hk_table_has_room() ? NULL : hk_fence_take(size);
	void *p;

	if (!fence)
		return NULL;
	p = (void *)fence->start;
	hk_fence_begin(fence, hk_sample_take(p, counted, counted - size, caller));
	if (zero)
		*zero = true;
	hk_trace(HK_EVENT_MALLOC, p, size, caller);
	return p;
}

static void start(struct hk_line *line, enum hk_call call, const void *p)
{
	hk_line_start(line);
	hk_line_str(line, hk_call_name(call));
	hk_line_str(line, "(): ");
	hk_line_hex(line, (uintptr_t)p);
}

static _Noreturn void stop(struct hk_line *line, const struct hk_fence *fence, const void *p)
{
	hk_fence_put_stacks(line, fence);
	hk_stop(line, p);
}

static _Noreturn void not_live(enum hk_call call, const void *p, const struct hk_fence *fence)
{
	struct hk_line line;

	start(&line, call, p);
	hk_line_str(&line, " is already free (sampled block of ");
	hk_line_bytes(&line, fence->size);
	hk_line_char(&line, ')');
	stop(&line, fence, p);
}

static _Noreturn void not_a_block(enum hk_call call, const void *p)
{
	const struct hk_fence *fence = hk_fence_near((uintptr_t)p);
	struct hk_line line;

	start(&line, call, p);
	if (fence) {
		hk_line_str(&line, " is ");
		hk_fence_put_where(&line, fence, (uintptr_t)p);
		hk_fence_put_stacks(&line, fence);
	} else {
		hk_line_str(&line, " is not a hakmem block");
	}
	hk_stop(&line, p);
}

static _Noreturn void damaged(enum hk_call call, const void *p, const struct hk_fence *fence, uintptr_t at)
{
	struct hk_line line;

	start(&line, call, p);
	hk_line_str(&line, " was written to ");
	hk_fence_put_where(&line, fence, at);
	stop(&line, fence, p);
}

static struct hk_fence *find(const void *p, enum hk_call call)
{
	struct hk_fence *fence = hk_fence_find(p);

	if (!fence)
		not_a_block(call, p);
	return fence;
}

size_t hk_fenced_size(const void *p, enum hk_call call)
{
	struct hk_fence *fence = find(p, call);

	if (!hk_fence_live(fence))
		not_live(call, p, fence);
	return fence->size;
}

void hk_fenced_free(const void *p, enum hk_call call, const void *caller)
{
	struct hk_fence *fence = find(p, call);
	uintptr_t at;

	if (!hk_fence_retire(fence, caller))
		not_live(call, p, fence);
	if (!hk_fence_intact(fence, &at))
		damaged(call, p, fence, at);
	hk_fence_end(fence);
}
