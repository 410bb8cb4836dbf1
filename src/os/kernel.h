/*
 * Definitions from the kernel's headers, for a C library that does not include these headers
 * (musl-gcc): futexes, seccomp filters, capabilities and file status.
 */
#ifndef HK_OS_KERNEL_H
#define HK_OS_KERNEL_H

#include <stdint.h>

/* linux/futex.h */
enum { HK_FUTEX_WAIT = 0 | 128, HK_FUTEX_WAKE = 1 | 128 };	/* private futexes */

/* linux/filter.h, linux/seccomp.h */
struct hk_filter_step {
	uint16_t code;
	uint8_t yes, no;	/* steps to skip */
	uint32_t value;
};
struct hk_filter {
	unsigned short length;
	const struct hk_filter_step *step;
};
enum {
	HK_FILTER_LOAD = 0x20,		/* loads the word at this offset */
	HK_FILTER_EQUAL = 0x15,
	HK_FILTER_ANSWER = 0x06,
	HK_FILTER_NUMBER = 0, HK_FILTER_ARCHITECTURE = 4,	/* offsets in struct seccomp_data */
	/* The lower half of the third argument. */
	HK_FILTER_THIRD = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 32 : 36,
	HK_FILTER_ERROR = 0x00050000, HK_FILTER_ALLOW = 0x7fff0000,
	HK_SECCOMP_MODE_FILTER = 2,
};

/* linux/audit.h: these bits, for the word size and the byte order, are added to the ELF
 * machine number. */
#define HK_AUDIT_64BIT 0x80000000u
#define HK_AUDIT_LITTLE 0x40000000u

/* linux/capability.h */
enum { HK_CAP_SETGID = 6, HK_CAP_SETUID = 7, HK_CAPABILITIES_3 = 0x20080522 };
struct hk_capability_header {
	uint32_t version;
	int thread;
};
struct hk_capabilities {
	uint32_t effective, permitted, inheritable;
};

/* linux/stat.h: struct statx (Linux 4.11), the only file status whose layout is the same on
 * all architectures. */
struct hk_file_status {
	uint32_t mask, block;
	uint64_t attributes;
	uint32_t links, user, group;
	uint16_t mode, spare;
	uint64_t inode, size, rest[26];
};
enum { HK_STATX_BASIC = 0x7ff };

/* linux/random.h */
enum { HK_RANDOM_NONBLOCK = 1 };

#endif
