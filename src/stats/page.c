#include "stats/page.h"

#include "cache/cache.h"
#include "config/control.h"
#include "config/settings.h"
#include "large/large.h"
#include "learn/learn.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/range.h"
#include "sample/table.h"
#include "slab/meta.h"
#include "slab/pagemap.h"

_Static_assert(sizeof PACKAGE_VERSION <= sizeof hakmem_stats_page.library, "it fits");

#define IN_CACHE(member) offsetof(struct hk_cache, member)
#define IN_BIN(member) offsetof(struct hk_bin, member)
#define IN_SUPERSLAB(member) offsetof(struct hk_superslab, member)
#define IN_SLAB(member) offsetof(struct hk_slab, member)

HK_API const struct hk_stats_page hakmem_stats_page = {
	.magic = HK_STATS_PAGE_MAGIC,
	.version = HK_STATS_PAGE_VERSION,
	.word = sizeof(size_t),
	.library = PACKAGE_VERSION,
	.size = sizeof hakmem_stats_page,
	.classes = HK_CLASSES,
	.total = {
		[HK_FIGURE_mapped] = &hk_os_mapped,
		[HK_FIGURE_mapped_peak] = &hk_os_mapped_peak,
		[HK_FIGURE_mid_blocks] = &hk_large_counters.mid_live,
		[HK_FIGURE_mid_bytes] = &hk_large_counters.mid_bytes,
		[HK_FIGURE_large_blocks] = &hk_large_counters.live,
		[HK_FIGURE_large_bytes] = &hk_large_counters.bytes,
		[HK_FIGURE_kept_blocks] = &hk_range_counters.free,
		[HK_FIGURE_kept_bytes] = &hk_range_counters.bytes,
		[HK_FIGURE_superslabs] = &hk_pool_counters.superslabs,
		[HK_FIGURE_superslabs_peak] = &hk_pool_counters.superslabs_peak,
		[HK_FIGURE_superslabs_mapped] = &hk_pool_counters.mapped,
		[HK_FIGURE_superslabs_unmapped] = &hk_pool_counters.unmapped,
		[HK_FIGURE_purged_bytes] = &hk_pool_counters.purged_bytes,
		[HK_FIGURE_learn_windows] = &hk_learn_counters.windows,
		[HK_FIGURE_learn_budget] = &hk_budget_held,
		[HK_FIGURE_hole_bytes] = &hk_hole_bytes,
		[HK_FIGURE_hole_purged_bytes] = &hk_hole_purged_bytes,
		[HK_FIGURE_scavenger] = &hk_scavenger_runs,
		[HK_FIGURE_scavenger_turns] = &hk_scavenger_turns,
		[HK_FIGURE_superslabs_huge] = &hk_thp_superslabs,
		[HK_FIGURE_promoted] = &hk_mem_counters.promoted,
		[HK_FIGURE_demoted] = &hk_mem_counters.demoted,
		[HK_FIGURE_reverted] = &hk_mem_counters.reverted,
		[HK_FIGURE_purge_delay] = &hk_purge_delay,
		[HK_FIGURE_samples] = &hk_sample_counters.taken,
		[HK_FIGURE_samples_lost] = &hk_sample_counters.lost,
		[HK_FIGURE_sample_sites] = &hk_sample_counters.sites,
		[HK_FIGURE_pressure] = &hk_pressure_releases,
		[HK_FIGURE_waste_estimate] = &hk_sample_counters.waste,
		[HK_FIGURE_samples_guarded] = &hk_sample_counters.guarded,
		[HK_FIGURE_samples_unguarded] = &hk_sample_counters.unguarded,
	},
	.metadata = { &hk_meta_bytes, &hk_pagemap_bytes },
	.by_class = {
		[HK_CLASS_FIGURE_reuse] = hk_pool_counters.reuse,
		[HK_CLASS_FIGURE_claim] = hk_pool_counters.claim,
		[HK_CLASS_FIGURE_grow] = hk_pool_counters.grow,
		[HK_CLASS_FIGURE_grants] = hk_learn_counters.grants,
		[HK_CLASS_FIGURE_cuts] = hk_learn_counters.cuts,
		[HK_CLASS_FIGURE_slabs_peak] = hk_pool_counters.slabs_peak,
	},
	.history = &hk_settings.stats,
	.limits = hk_start_limits,
	.caches = &hk_caches,
	.cache = {
		.size = sizeof(struct hk_cache), .next = IN_CACHE(next_registered),
		.live = IN_CACHE(front.live), .sent = IN_CACHE(remote_sent),
		.received = IN_CACHE(remote_received), .filled = IN_CACHE(filled),
		.flushed = IN_CACHE(flushed), .bin = IN_CACHE(bin),
		.bin_size = sizeof(struct hk_bin), .room = IN_BIN(room),
		.capacity = IN_BIN(capacity), .refills = IN_BIN(refills),
		.flushes = IN_BIN(flushes), .spilled = IN_CACHE(spilled[0].blocks),
		.spilled_size = sizeof(struct hk_spilled), .shown = IN_CACHE(shown[0].bin),
		.shown_size = sizeof(struct hk_shown), .shown_lists = HK_TINY_CLASSES,
	},
	.directory = hk_directory,
	.directory_end = &hk_directory_end,
	.chunk = HK_DIRECTORY_CHUNK,
	.superslab = {
		.base = IN_SUPERSLAB(base), .slab = IN_SUPERSLAB(slab),
		.slab_size = sizeof(struct hk_slab), .slabs = HK_SLOTS,
		.kind = IN_SLAB(kind), .class = IN_SLAB(class), .used = IN_SLAB(used),
		.blocks = IN_SLAB(blocks), .is_slab = HK_RUN_SLAB,
	},
	.samples = &hk_sample_table,
	.control = &hk_control,
};
