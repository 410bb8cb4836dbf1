#include "os/lock.h"

HK_TLS bool hk_all_locked;

#ifdef HK_DEBUG
HK_TLS unsigned hk_ranks_held;
#endif

struct hk_contention hk_contention;
const char *const hk_rank_name[HK_RANK_COUNT] = {
	[HK_RANK_REGISTRY] = "registry", [HK_RANK_ORPHAN] = "orphan", [HK_RANK_CACHE] = "cache",
	[HK_RANK_POOL] = "pool", [HK_RANK_LARGE] = "large", [HK_RANK_META] = "meta",
	[HK_RANK_PAGEMAP] = "pagemap",
};
