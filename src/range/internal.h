/* What the files of range/ share among themselves. */
#ifndef HK_RANGE_INTERNAL_H
#define HK_RANGE_INTERNAL_H

#include "range/range.h"

/* guards.c. The guard at the end becomes one of a former block, or the other way round. */
void hk_guard_to_old(struct hk_range *r);
void hk_guard_from_old(struct hk_range *r);

/* Joins a range with the adjacent one behind it, or cuts off the part from an offset on.
 * Old guards are stored for the first 128 MiB only; can_join is false if there were some
 * beyond. */
bool hk_guard_can_join(const struct hk_range *r, const struct hk_range *behind);
void hk_guard_join(struct hk_range *r, const struct hk_range *behind);
void hk_guard_cut(struct hk_range *r, size_t at, struct hk_range *behind);

#endif
