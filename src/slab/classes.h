/*
 * Size groups and size classes. Each group doubles the largest size of the previous one (C0
 * ends at 16 bytes, C7 at 2048). From C2 on a group is divided into equal steps, from C3 on
 * into four, so that a request wastes less than a fifth of its block. Many programs request
 * a power of two and a header: from C7 on, a fifth class is an eighth above the start of the
 * group. One more class, of 1040 bytes, is for 1024 bytes and one or two pointers; a slab
 * holds 31 of its blocks. The table is classes.def.
 *
 * Tiny is C0 to C7. C8 to C11 are the smaller Mid sizes: the same scheme with slabs of
 * several slots. A larger block is a run or range of its own (large/).
 */
#ifndef HK_SLAB_CLASSES_H
#define HK_SLAB_CLASSES_H

#include "config/settings.h"
#include "os/platform.h"

#include <stddef.h>
#include <stdint.h>

enum {
	HK_GRAIN = 16,			/* alignment of every block */
	HK_TINY_MAX = 2048,		/* largest size in the groups of an override */
	HK_SLAB_MAX = 32768,		/* largest size in the groups */
};

enum {
#define CLASS(size, group, slots, dense) HK_CLASS_##size,
#include "slab/classes.def"
	HK_CLASSES,
	HK_TINY_CLASSES = HK_CLASS_2048 + 1,
};

static const struct hk_class {
	uint16_t size;
	uint8_t group, slots;
} hk_class_table[HK_CLASSES] = {
#define CLASS(size, group, slots, dense) { size, group, slots },
#include "slab/classes.def"
};

/*
 * The smallest class for size bytes; size is at least 1 and at most HK_SLAB_MAX. Above 64
 * bytes a group has four classes, selected by the two bits below the highest one, and above
 * 1024 bytes a fifth, selected if the three bits below the highest one are zero. The last
 * term counts the class of 1040 bytes, which is outside these steps.
 */
#define HK_TOP_BIT(size) ((unsigned)(sizeof(long) * 8 - 1) - (unsigned)__builtin_clzl((size) - 1))
#define HK_EIGHTH(size) ((unsigned)(((size) - 1) >> (HK_TOP_BIT(size) - 3)) & 7)
#define HK_CLASS_OF(size) ((size) <= 64 ? (unsigned)((size) - 1) / HK_GRAIN : \
	(size) <= 1024 ? (HK_TOP_BIT(size) - 5) * 4 + HK_EIGHTH(size) / 2 : \
	(HK_TOP_BIT(size) - 6) * 5 + HK_EIGHTH(size) / 2 + (HK_EIGHTH(size) > 0) + ((size) > 1040))

/* Each class starts one byte above the previous one. */
#define CLASS(size, group, slots, dense) \
	_Static_assert(HK_CLASS_OF(size##ul) == HK_CLASS_##size && \
		       (size == HK_SLAB_MAX || HK_CLASS_OF(size + 1ul) == HK_CLASS_##size + 1), \
		       "HK_CLASS_OF is the inverse of classes.def"); \
	_Static_assert((size <= HK_TINY_MAX) == (group < HK_OVERRIDE_GROUPS) && \
		       (size != HK_SLAB_MAX || group == HK_GROUPS - 1), \
		       "classes.def has the groups of the settings");
#include "slab/classes.def"

/* The class of the largest size of each eighth of a doubling, from 64 bytes on: a load takes
 * fewer instructions than the computation. */
static const uint8_t hk_class_by_eighth[] = {
#define EIGHTH(bit, n) (uint8_t)HK_CLASS_OF((1ul << (bit)) + ((unsigned long)(n) << ((bit) - 3)))
#define EIGHTHS(bit) EIGHTH(bit, 1), EIGHTH(bit, 2), EIGHTH(bit, 3), EIGHTH(bit, 4), \
	EIGHTH(bit, 5), EIGHTH(bit, 6), EIGHTH(bit, 7), EIGHTH(bit, 8)
	EIGHTHS(6), EIGHTHS(7), EIGHTHS(8), EIGHTHS(9), EIGHTHS(10), EIGHTHS(11), EIGHTHS(12),
	EIGHTHS(13), EIGHTHS(14)
#undef EIGHTHS
#undef EIGHTH
};

/* size is at most HK_SLAB_MAX. Above 64 bytes, the four highest bits of size - 1 are 8 plus
 * the number of the eighth. If an eighth has two classes, the smaller one may be enough. */
HK_INLINE unsigned hk_class_of(size_t size)
{
	unsigned bit, class;

	if (size <= 64)
		return size ? HK_CLASS_OF(size) : 0;
	bit = HK_TOP_BIT(size);
	class = hk_class_by_eighth[(bit - 7) * 8 + (unsigned)((size - 1) >> (bit - 3))];
	return class - (size <= hk_class_table[class - 1].size);
}

HK_INLINE size_t hk_class_size(unsigned class)
{
	return hk_class_table[class].size;
}

HK_INLINE unsigned hk_class_group(unsigned class)
{
	return hk_class_table[class].group;
}

HK_INLINE unsigned hk_class_slots(unsigned class)
{
	return hk_class_table[class].slots;
}

/* Not in hk_class_table, because that is read in the hot path. */
HK_INLINE unsigned hk_class_dense_slots(unsigned class)
{
	static const uint8_t slots_of[HK_CLASSES] = {
#define CLASS(size, group, slots, dense) dense,
#include "slab/classes.def"
	};

	return slots_of[class];
}

#endif
