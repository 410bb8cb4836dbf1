/*
 * While the sampler is on, malloc and free use different lists, and the list of malloc holds only
 * blocks that were already counted. When it is empty, malloc takes the slow path. This counts
 * blocks of the list of free, as many as there are before the next sample of the class but not
 * many more than HK_SHOWN_MOST, and moves them to the list of malloc. So each block is counted
 * each time it is allocated, and many calls share the cost of one slow path.
 *
 * Each class has a countdown of its own, so its blocks are counted in the order in which the
 * program gets them, and its samples are the same as if each malloc counted one block. With one
 * countdown for all classes, counting in advance would stop before the next sample, and another
 * class would get that sample. Blocks that malloc did not take are returned to the countdown.
 */
#include "cache/internal.h"

static int32_t most_shown(unsigned class)
{
	int32_t most = (int32_t)(HK_SHOWN_BYTES / hk_class_size(class));

	return most < HK_SHOWN_MOST ? most : HK_SHOWN_MOST;
}

/* The number of blocks that can move before the next sample of the class, at most `most`. */
static int32_t unsampled(const struct hk_sampler *s, unsigned class, int32_t most)
{
	int64_t left = hk_sample_left(s) / (int64_t)hk_class_size(class);

	return left < most ? (int32_t)left : most;
}

/* A program that frees each block before it takes the next one has a short list, and would take
 * the slow path every few calls. */
bool hk_shows_few(struct hk_cache *cache, unsigned class)
{
	struct hk_shown *shown = &cache->shown[class];
	struct hk_bin *bin = &cache->bin[class];
	int32_t most = most_shown(class);
	int32_t least = (bin->capacity_max < most ? bin->capacity_max : most) / HK_SHOWN_LEAST_SHARE;

	return shown->bin.head == HK_LIST_END && bin->capacity - bin->room < least &&
	       unsampled(&shown->sampler, class, least) == least;
}

/* Removes the first n blocks of a list that has more. */
static struct hk_block *cut(struct hk_bin *bin, int32_t n)
{
	struct hk_block *first = bin->head;

	bin->head = hk_list_cut(bin, n);
	return first;
}

/* This thread is inside the heap. Cutting a list costs a few instructions for each block, so a list
 * that is up to HK_SHOWN_WHOLE times too long is moved whole. */
static bool move(struct hk_bin *bin, struct hk_shown *shown, unsigned class)
{
	int32_t has = bin->capacity - bin->room, most = most_shown(class);
	int32_t n = unsampled(&shown->sampler, class, has <= HK_SHOWN_WHOLE * most ? HK_SHOWN_WHOLE * most : most);

	if (has <= n) {
		n = has;
		shown->bin.head = bin->head;
		bin->head = HK_LIST_END;
	} else if (n > 0) {
		shown->bin.head = cut(bin, n);
	}
	if (n <= 0)
		return false;
	bin->room += n;
	shown->bin.capacity = n;
	shown->bin.room = 0;
	hk_sample_count(&shown->sampler, (size_t)n * hk_class_size(class));
	return true;
}

/* A signal handler may take blocks, and so fill the list, until this thread is inside the heap. */
bool hk_show(struct hk_cache *cache, unsigned class)
{
	struct hk_shown *shown = &cache->shown[class];
	struct hk_before before = hk_find_nothing();
	bool has = shown->bin.head != NULL;

	/* The hot path also refuses a list whose first block was overwritten. */
	if (shown->bin.head == HK_LIST_END)
		has = move(&cache->bin[class], shown, class);
	hk_find_again(before);
	return has;
}

/* The order of the blocks is reversed. */
void hk_hide(struct hk_cache *cache, unsigned class)
{
	struct hk_shown *shown = class < HK_TINY_CLASSES ? &cache->shown[class] : NULL;
	struct hk_block *block;
	size_t bytes = 0;

	if (!shown || !shown->bin.head)
		return;
	while ((block = hk_bin_take(&shown->bin)) != NULL) {
		hk_bin_push(&cache->bin[class], block, hk_mark(block, hk_secret()));
		bytes += hk_class_size(class);
	}
	hk_sample_return(&shown->sampler, bytes);
}

/* The blocks have no owner any more. */
void hk_shown_forget(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_TINY_CLASSES; class++) {
		struct hk_bin *bin = &cache->shown[class].bin;

		if (!bin->head)
			continue;
		bin->head = HK_LIST_END;
		bin->room = bin->capacity;
	}
}

/* A thread finds these lists by the offsets in its cache, so the lists are written first. */
void hk_shown_start(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_TINY_CLASSES; class++) {
		struct hk_shown *shown = &cache->shown[class];

		if (!shown->bin.head)
			shown->bin.head = HK_LIST_END;
		hk_sample_restart(&shown->sampler);
	}
	atomic_thread_fence(memory_order_release);
}
