/*
 * The seal of a block of a slab, its last eight bytes:
 *
 *	p            p + size      p + whole - 8     p + whole
 *	| the program's | pad bytes | seal            |
 *
 * The seal says how many bytes are the program's, and is masked by a keyed
 * function of the address: no content that a peer chooses makes one, and one that is
 * copied is none elsewhere. What an overflow reaches first of it bears no
 * information and must be right. The pad bytes are such a function too; behind
 * the first few of them nobody looks.
 *
 * The block's owner writes the seal, but the thread that frees it marks it as
 * free; the holder of the next block reads it meanwhile, and either will do.
 */
#ifndef HK_HARDEN_SEAL_H
#define HK_HARDEN_SEAL_H

#include "config/settings.h"
#include "os/platform.h"
#include "os/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	HK_SEAL = 8,
	HK_USED_IF_FREE = 24,	/* what caches keep in a free block: struct hk_block, and
				 * the way ahead of cache/remote.c */
	HK_SEAL_LEAST = HK_USED_IF_FREE + HK_SEAL,
	HK_PAD_CHECKED = 32,
};

/* What a seal says. */
struct hk_seal {
	unsigned pad;		/* bytes between the program's and the seal */
	uint8_t form;		/* enum hk_form */
	uint8_t align;		/* 1 + its logarithm, where one was asked for; or 0 */
	bool freed;
};

/* A multiplication by an odd number that nobody knows, folded; of the pad bytes
 * another one, for reading beyond the end may show them. */
HK_INLINE uint64_t hk_seal_mask(uintptr_t p)
{
	uint64_t x = (p ^ hk_secret_page.seal[0]) * hk_secret_page.seal[1];

	return x ^ x >> 32;
}

HK_INLINE uint64_t hk_pad_mask(uintptr_t p)
{
	uint64_t x = (p ^ hk_secret_page.seal[1]) * (hk_secret_page.seal[0] | 1);

	return x ^ x >> 31;
}

/* The half that lies first in memory is to be 0. */
HK_INLINE uint64_t hk_seal_pack(const struct hk_seal *s)
{
	uint64_t info = s->pad | (uint64_t)s->form << 16 | (uint64_t)s->align << 18 |
			(uint64_t)s->freed << 24;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	info <<= 32;
#endif
	return info;
}

/* False: it is none. */
HK_INLINE bool hk_seal_unpack(uint64_t word, struct hk_seal *s)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	word = word >> 32 | word << 32;
#endif
	if (hk_unlikely(word >> 25))
		return false;
	s->pad = (unsigned)word & 0xffff;
	s->form = word >> 16 & 3;
	s->align = word >> 18 & 63;
	s->freed = word >> 24 & 1;
	return true;
}

HK_INLINE uint64_t *hk_seal_place(const void *p, size_t whole)
{
	return (uint64_t *)((uintptr_t)p + whole - HK_SEAL);
}

HK_INLINE void hk_seal_put(void *p, size_t whole, const struct hk_seal *s)
{
	HK_FOLDED_STORE(*hk_seal_place(p, whole), hk_seal_pack(s) ^ hk_seal_mask((uintptr_t)p));
}

HK_INLINE bool hk_seal_get(const void *p, size_t whole, struct hk_seal *s)
{
	return hk_seal_unpack(HK_FOLDED_LOAD(*hk_seal_place(p, whole)) ^ hk_seal_mask((uintptr_t)p), s);
}

/* Pad bytes, by their place in a word of the mask. */
HK_INLINE size_t hk_pad_checked(size_t pad)
{
	return pad < HK_PAD_CHECKED ? pad : HK_PAD_CHECKED;
}

static inline void hk_pad_fill(char *at, size_t pad, uint64_t mask)
{
	char *end = at + hk_pad_checked(pad);
	char pattern[8];

	memcpy(pattern, &mask, sizeof pattern);
	for (; at < end && (uintptr_t)at % sizeof pattern; at++)
		*at = pattern[(uintptr_t)at % sizeof pattern];
	for (; end - at >= (ptrdiff_t)sizeof pattern; at += sizeof pattern)
		memcpy(at, pattern, sizeof pattern);
	for (; at < end; at++)
		*at = pattern[(uintptr_t)at % sizeof pattern];
}

static inline bool hk_pad_whole(const char *at, size_t pad, uint64_t mask)
{
	const char *end = at + hk_pad_checked(pad);
	char pattern[8], wrong = 0;

	memcpy(pattern, &mask, sizeof pattern);
	for (; at < end && (uintptr_t)at % sizeof pattern; at++)
		wrong |= *at ^ pattern[(uintptr_t)at % sizeof pattern];
	for (; end - at >= (ptrdiff_t)sizeof pattern; at += sizeof pattern)
		wrong |= memcmp(at, pattern, sizeof pattern) != 0;
	for (; at < end; at++)
		wrong |= *at ^ pattern[(uintptr_t)at % sizeof pattern];
	return wrong == 0;
}

/* In a block of a slab eight bytes are enough: they are never more than what is left of
 * it, for the seal, which is checked as well, comes in where there are fewer. */
HK_INLINE void hk_pad_put(void *at, uintptr_t p)
{
	uint64_t mask = hk_pad_mask(p);

	memcpy(at, &mask, sizeof mask);
}

HK_INLINE bool hk_pad_right(const void *at, size_t pad, uintptr_t p)
{
	uint64_t seen, bits = pad < sizeof seen ? ((uint64_t)1 << 8 * pad) - 1 : UINT64_MAX;

	memcpy(&seen, at, sizeof seen);
	seen ^= hk_pad_mask(p);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	seen = __builtin_bswap64(seen);
#endif
	return (seen & bits) == 0;
}

#endif
