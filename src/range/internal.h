/* Declarations shared by the files of range/. */
#ifndef HK_RANGE_INTERNAL_H
#define HK_RANGE_INTERNAL_H

#include "range/range.h"

/* guards.c. Turn the guard at the end of the range into one of a former block, and back. */
void hk_guard_to_old(struct hk_range *r);
void hk_guard_from_old(struct hk_range *r);

/* Join a range with the adjacent one after it, or cut off the part that starts at an offset.
 * Old guards are stored for the first 128 MiB only; can_join is false if the joined range
 * would have old guards after that. */
bool hk_guard_can_join(const struct hk_range *r, const struct hk_range *behind);
void hk_guard_join(struct hk_range *r, const struct hk_range *behind);
void hk_guard_cut(struct hk_range *r, size_t at, struct hk_range *behind);

#endif
