/* Memory on its way to the OS: claimed under a lock, released without one. */
#include "cache/internal.h"

#include "large/large.h"
#include "os/os.h"
#include "pool/eager.h"
#include "pool/meta.h"

static bool release_superslab(uint64_t now, bool all, size_t *bytes)
{
	struct hk_cache *cache = hk_enter_own();
	struct hk_pool_release r;
	bool found;

	if (!cache)
		return false;
	found = all ? hk_pool_trim(&r) : hk_pool_due(now, &r);
	hk_leave(cache);
	*bytes += found ? hk_pool_release(&r) : 0;
	return found;
}

/* One that the kernel refuses to release (mlock) is found again. */
size_t hk_release_superslabs(uint64_t now, bool all)
{
	uint32_t most = hk_pool_directory_end();
	size_t bytes = 0;

	while (most-- && release_superslab(now, all, &bytes))
		;
	return bytes;
}

/* As inside, for it may need the lock of the ranges. */
size_t hk_unmap_ranges(struct hk_large *ranges)
{
	struct hk_before before = hk_find_nothing();
	size_t bytes = hk_large_unmap(ranges);

	hk_find_again(before);
	return bytes;
}

size_t hk_release_ranges(uint64_t now, bool all)
{
	struct hk_cache *cache = hk_enter_own();
	struct hk_large *ranges;

	if (!cache)
		return 0;
	ranges = all ? hk_large_trim() : hk_large_due(now);
	hk_leave(cache);
	return hk_unmap_ranges(ranges);
}

size_t hk_release_sparse(struct hk_cache *cache, uint64_t now, unsigned most)
{
	struct hk_slab_purge purge;
	size_t bytes = 0;
	bool found = true;

	while (found && most-- && hk_enter_cache(cache)) {
		found = hk_sparse_begin(cache, now, &purge);
		hk_leave(cache);
		bytes += found ? hk_sparse_purge(&purge) : 0;
	}
	return bytes;
}

void hk_release(bool tick)
{
	uint64_t now = hk_os_now();
	size_t bytes = 0;
	unsigned n;

	for (n = 0; n < HK_RELEASE_SUPERSLABS && hk_pool_is_due(now) && release_superslab(now, false, &bytes); n++)
		;
	if (hk_large_is_due(now))
		hk_release_ranges(now, false);
	if (!tick)
		return;
	hk_meta_fill();
	if (hk_has_lists(hk_tls))
		hk_release_sparse(hk_tls, now, hk_is_eager() ? UINT_MAX : HK_SPARSE_TICK);
}
