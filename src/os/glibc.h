/*
 * Declarations of glibc's heap functions for C libraries without them (musl): the library
 * defines these functions everywhere, and its tests call them.
 */
#ifndef HK_OS_GLIBC_H
#define HK_OS_GLIBC_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <malloc.h>
#include <stdio.h>

#if defined(HAVE_CONFIG_H) && !defined(HAVE_STRUCT_MALLINFO)
struct mallinfo {
	int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

#define M_MXFAST 1
#define M_TRIM_THRESHOLD -1
#define M_PERTURB -6
#define M_ARENA_TEST -7
#define M_ARENA_MAX -8

struct mallinfo mallinfo(void);
int mallopt(int, int);
int malloc_info(int, FILE *);
int malloc_trim(size_t);
void malloc_stats(void);
void *pvalloc(size_t);
#endif

/* glibc before 2.33 declares only mallinfo. */
#if defined(HAVE_CONFIG_H) && !defined(HAVE_STRUCT_MALLINFO2)
struct mallinfo2 {
	size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

struct mallinfo2 mallinfo2(void);
#endif

#endif
