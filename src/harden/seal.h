/*
 * The seal of a block of a slab, its last eight bytes:
 *
 *	p            p + size      p + whole - 8     p + whole
 *	| the program's | pad bytes | seal            |
 *
 * The seal stores how many bytes are the program's, and is masked by a keyed
 * function of the address: contents that a peer chooses do not make a valid seal, and a
 * copied seal is not valid at another address. The pad bytes are such a function too;
 * only the first few of them are checked.
 *
 * The thread that allocates the block writes the seal, and the thread that frees it marks
 * the seal as free. The holder of the next block may read it meanwhile; it accepts both
 * states.
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
	HK_USED_IF_FREE = 24,	/* what caches store in a free block: struct hk_block, and
				 * the prefetch hint of cache/remote.c */
	HK_SEAL_LEAST = HK_USED_IF_FREE + HK_SEAL,
	HK_PAD_CHECKED = 32,
};

/* The contents of a seal. */
struct hk_seal {
	unsigned pad;		/* bytes between the program's bytes and the seal */
	uint8_t form;		/* enum hk_form */
	uint8_t align;		/* 1 + log2 of the requested alignment; 0: none */
	bool freed;
};

/* No byte of a mask is 0, because the most common overflow is the terminating zero of a
 * string, written one byte past the end. */
#define HK_ODD_BYTES 0x0101010101010101u

/* Multiplies by a secret odd number and folds the product. The pad bytes use another number,
 * because a read past the end of a block may disclose them. */
HK_INLINE uint64_t hk_seal_mask(uintptr_t p)
{
	uint64_t x = (p ^ hk_secret_page.seal[0]) * hk_secret_page.seal[1];

	return (x ^ x >> 32) | HK_ODD_BYTES;
}

HK_INLINE uint64_t hk_pad_mask(uintptr_t p)
{
	uint64_t x = (p ^ hk_secret_page.seal[1]) * (hk_secret_page.seal[0] | 1);

	return (x ^ x >> 31) | HK_ODD_BYTES;
}

/* The fields are in the middle of the word. The bytes at its ends, which an overflow of
 * the block or an underflow of the next one reaches first, must be 0. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HK_SEAL_SHIFT 32
#else
#define HK_SEAL_SHIFT 8
#endif

HK_INLINE uint64_t hk_seal_pack(const struct hk_seal *s)
{
	uint64_t info = s->pad | (uint64_t)s->freed << 15 | (uint64_t)s->form << 16 |
			(uint64_t)s->align << 18;

	return info << HK_SEAL_SHIFT;
}

/* False: the seal is not valid. */
HK_INLINE bool hk_seal_unpack(uint64_t word, struct hk_seal *s)
{
	word = word >> HK_SEAL_SHIFT | word << (64 - HK_SEAL_SHIFT);
	if (hk_unlikely(word >> 24))
		return false;
	s->pad = (unsigned)word & 0x7fff;
	s->freed = word >> 15 & 1;
	s->form = word >> 16 & 3;
	s->align = word >> 18 & 63;
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

/* Each pad byte is the byte at the same position of an aligned word of the mask. */
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

/*
 * In a block of a slab the first eight pad bytes are checked. If there are fewer, they
 * are in the last word before the seal, which also holds bytes of the program. The seal
 * is not written together with them, because another thread may be reading it.
 */
HK_INLINE char *hk_pad_word(const void *p, size_t whole, size_t pad)
{
	return (char *)(uintptr_t)p + whole - HK_SEAL - (pad > 8 ? pad : 8);
}

HK_INLINE uint64_t hk_pad_bits(size_t pad)
{
	unsigned given = pad < 8 ? 64 - 8 * (unsigned)pad : 0;

	/* In two steps, because a shift by 64 is undefined. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return UINT64_MAX << given / 2 << (given - given / 2);
#else
	return UINT64_MAX >> given / 2 >> (given - given / 2);
#endif
}

HK_INLINE void hk_pad_put(void *p, size_t whole, size_t pad)
{
	uint64_t word, bits = hk_pad_bits(pad);
	char *at = hk_pad_word(p, whole, pad);

	memcpy(&word, at, sizeof word);
	word = (word & ~bits) | (hk_pad_mask((uintptr_t)p) & bits);
	memcpy(at, &word, sizeof word);
}

HK_INLINE bool hk_pad_right(const void *p, size_t whole, size_t pad)
{
	uint64_t word;

	memcpy(&word, hk_pad_word(p, whole, pad), sizeof word);
	return ((word ^ hk_pad_mask((uintptr_t)p)) & hk_pad_bits(pad)) == 0;
}

#endif
