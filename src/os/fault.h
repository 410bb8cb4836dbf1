/* Faults: accesses to inaccessible memory. */
#ifndef HK_OS_FAULT_H
#define HK_OS_FAULT_H

#include <stddef.h>
#include <stdint.h>

enum hk_access { HK_ACCESS_UNKNOWN, HK_ACCESS_READ, HK_ACCESS_WRITE };

/*
 *	code	the address of the instruction, or 0 if it is not known
 *	stack	bytes of stack that the function may use, SIZE_MAX for the usual stack
 */
struct hk_fault {
	uintptr_t address, code;
	enum hk_access access;
	size_t stack;
};

/* Calls the function in a signal handler at each fault of the program, unless the program
 * handles SIGSEGV itself. Then the default action follows. */
void hk_os_watch_faults(void (*call)(const struct hk_fault *fault));

#endif
