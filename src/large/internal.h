/* What the files of large/ share among themselves. */
#ifndef HK_LARGE_INTERNAL_H
#define HK_LARGE_INTERNAL_H

#include "large/large.h"
#include "pool/pool.h"

void *hk_mid_alloc(size_t size, size_t align, bool *zero);
bool hk_mid_free(void *p);
size_t hk_mid_size(const void *p);
bool hk_mid_resize(void *p, size_t size);

#endif
