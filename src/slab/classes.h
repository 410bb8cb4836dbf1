/*
 * Size groups and size classes. A group is one doubling (C0 tops at 16 bytes,
 * C7 at 2048); from C2 on it is cut into even steps, four from C3, so that a
 * request wastes less than a fifth of its block:
 *
 *	class   0   1   2  3   4  5   6   7    8   9  10  11  ...  39
 *	group  C0  C1  C2 C2  C3 C3  C3  C3   C4  C4  C4  C4  ... C11
 *	size   16  32  48 64  80 96 112 128  160 192 224 256  ... 32768
 *
 * Tiny is C0..C7. C8..C11 are the small half of Mid: the same scheme, slabs
 * of several slots. Everything above is a run of its own (large/).
 */
#ifndef HK_SLAB_CLASSES_H
#define HK_SLAB_CLASSES_H

#include "os/platform.h"

#include <stddef.h>

enum {
	HK_GRAIN = 16,			/* alignment of every block */
	HK_TINY_MAX = 2048,		/* top of C7 */
	HK_SLAB_MAX = 32768,		/* top of C11 */
	HK_CLASSES = 40,
};

/* The class whose blocks fit size bytes best; size at most HK_SLAB_MAX. */
HK_INLINE unsigned hk_class_of(size_t size)
{
	unsigned top;

	if (size <= 64)
		return size ? (unsigned)(size - 1) / 16 : 0;
	top = (unsigned)(sizeof(long) * 8 - 1) - (unsigned)__builtin_clzl(size - 1);
	return (top - 5) * 4 + ((size - 1) >> (top - 2) & 3);
}

HK_INLINE size_t hk_class_size(unsigned class)
{
	unsigned top = 5 + class / 4;

	if (class < 4)
		return (class + 1) * 16;
	return ((size_t)1 << top) + ((size_t)(class % 4 + 1) << (top - 2));
}

HK_INLINE unsigned hk_class_group(unsigned class)
{
	if (class < 4)
		return class < 2 ? class : 2;
	return 2 + class / 4;
}

/*
 * Slots in one slab of this class: enough for some blocks and with little
 * left over, few enough that a last survivor pins little and that what other
 * classes gave back suffices.
 */
HK_INLINE unsigned hk_class_slots(unsigned class)
{
	/* From C9 on: 5 6 7 8, 10 12 14 16, 20 24 28 32 KiB. */
	static const unsigned char slots[] = { 2, 3, 2, 2, 4, 3, 4, 4, 5, 3, 7, 4 };

	return class < 28 ? 1 : slots[class - 28];
}

#endif
