#include "os/secret.h"

#include "os/os.h"
#include "os/syscall.h"

#include <string.h>
#include <sys/mman.h>

struct hk_secret_page hk_secret_page HK_BEHIND;
_Static_assert(sizeof hk_secret_page == HK_PAGE_MOST, "whole pages are made read-only");

/* The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): each bit of the result
 * depends on each bit of x. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/*
 * The kernel provides 16 random bytes to each process. libc derives its stack guard and
 * pointer guard from them. They are mixed here, so that the secret does not disclose the
 * guards, and a guard does not disclose the secret.
 */
void hk_secret_start(const void *random)
{
	uint64_t word[2] = { 0, 0 };
	long got;

	if (random) {
		memcpy(word, random, sizeof word);
	} else {
		got = HK_SYS(getrandom, word, sizeof word, 0, 0, 0);
		word[0] += got == sizeof word ? 0 : hk_os_clock() ^ (uintptr_t)&got;
	}
	hk_secret_page.seal[0] = mix(mix(word[1] + 0x9e3779b97f4a7c15) ^ word[0]);
	hk_secret_page.seal[1] = mix(hk_secret_page.seal[0] ^ mix(word[0])) | 1;
	hk_secret_page.place = mix(hk_secret_page.seal[1] ^ mix(word[1]));
	atomic_store_explicit(&hk_secret_page.number, mix(mix(word[0] + 0x9e3779b97f4a7c15) ^ word[1]) | 1,
			      memory_order_relaxed);
}

/* Best effort: a sandbox may refuse it. */
void hk_secret_seal(void)
{
	if (hk_page_size <= HK_PAGE_MOST)
		HK_SYS(mprotect, &hk_secret_page, sizeof hk_secret_page, PROT_READ, 0, 0);
}
