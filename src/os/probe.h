/*
 * Static probe points (USDT) of the provider "hakmem", for bpftrace, perf, gdb and SystemTap.
 * Each is a nop, and an ELF note that records the address of the nop and the location of the
 * arguments. Only for slow paths: the arguments are evaluated even without a tracer.
 * hakmem(7) lists the probes.
 */
#ifndef HK_OS_PROBE_H
#define HK_OS_PROBE_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef HK_USDT
#include <sys/sdt.h>
#define HK_PROBE3(name, a, b, c) DTRACE_PROBE3(hakmem, name, a, b, c)
#define HK_PROBE5(name, a, b, c, d, e) DTRACE_PROBE5(hakmem, name, a, b, c, d, e)
#else
#define HK_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define HK_PROBE5(name, a, b, c, d, e) \
	((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))
#endif

#endif
