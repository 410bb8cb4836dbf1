# Our own checks. All of them compile or link; none runs a program or looks at
# the machine that builds, so a cross build decides the same.

# HK_ENABLE(NAME, HELP): --enable-NAME, off by default; enable_NAME is yes or no.
AC_DEFUN([HK_ENABLE], [
AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])],
	[AS_CASE([$enableval], [yes|no], [],
		[AC_MSG_ERROR([--enable-$1 takes yes or no, not $enableval])])],
	[enable_$1=no])
])

# HK_TARGET_LINE: the target's cache line. Where models of one architecture
# differ, the larger costs a few bytes and the smaller costs false sharing.
AC_DEFUN([HK_TARGET_LINE], [
AC_ARG_WITH([cache-line], [AS_HELP_STRING([--with-cache-line=N],
	[bytes in a cache line of the target (default: by architecture)])],
	[AS_CASE([$withval], [32|64|128|256], [],
		[AC_MSG_ERROR([--with-cache-line takes 32, 64, 128 or 256, not $withval])])],
	[AS_CASE([$host_cpu],
		[powerpc64*], [with_cache_line=128],
		[s390x], [with_cache_line=256],
		[with_cache_line=64])])
AC_DEFINE_UNQUOTED([HK_CACHE_LINE], [$with_cache_line], [Bytes in a cache line of the target])
])

# HK_MADVISE(ADVICE): HAVE_ADVICE if the headers know it. Whether the running
# kernel does is for the library to find out.
AC_DEFUN([HK_MADVISE], [
AC_CHECK_DECL([$1],
	[AC_DEFINE([HAVE_$1], [1], [The headers know $1])], [],
	[[#include <sys/mman.h>
	#ifdef HAVE_LINUX_MMAN_H
	#include <linux/mman.h>
	#endif]])
])

# HK_TRY_FLAG(VARIABLE, FLAG): appends FLAG if the compiler takes it silently.
AC_DEFUN([HK_TRY_FLAG], [
AS_VAR_PUSHDEF([hk_known], [hk_cv_flag_$2])
AC_CACHE_CHECK([whether $CC takes $2], [hk_known], [
	hk_saved=$CFLAGS
	CFLAGS="$CFLAGS -Werror $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM()],
		[AS_VAR_SET([hk_known], [yes])], [AS_VAR_SET([hk_known], [no])])
	CFLAGS=$hk_saved])
AS_VAR_IF([hk_known], [yes], [AS_VAR_APPEND([$1], [" $2"])])
AS_VAR_POPDEF([hk_known])
])

# HK_START_FUNCTIONS: lets the linker place the functions of small programs next
# to each other, see src/start.ld. Linkers other than GNU ld and lld refuse the
# script; the library is the same without it.
AC_DEFUN([HK_START_FUNCTIONS], [
AC_CACHE_CHECK([whether the linker takes src/start.ld], [hk_cv_start_functions], [
	hk_saved_CFLAGS=$CFLAGS hk_saved_LDFLAGS=$LDFLAGS
	CFLAGS="$CFLAGS -fPIC -Werror -ffunction-sections"
	LDFLAGS="$LDFLAGS -shared -Wl,--fatal-warnings -Wl,-T,$srcdir/src/start.ld"
	AC_LINK_IFELSE([AC_LANG_SOURCE([[int hak_malloc(void) { return 1; }]])],
		[hk_cv_start_functions=yes], [hk_cv_start_functions=no])
	CFLAGS=$hk_saved_CFLAGS LDFLAGS=$hk_saved_LDFLAGS])
AS_IF([test $hk_cv_start_functions = yes],
	[START_CFLAGS=-ffunction-sections
	START_LDFLAGS='-Wl,-T,$(top_srcdir)/src/start.ld'])
])

# HK_TLS_MODEL: a malloc needs TLS that is there before it is: the dynamic
# models may allocate at a thread's first access. Best is the attribute on our
# one variable; next a flag for the whole library; failing both, the compiler's
# default, which is safe for a library that is preloaded or linked (its TLS is
# laid out at start) and may recurse in one that is opened with dlopen.
AC_DEFUN([HK_TLS_MODEL], [
AC_CACHE_CHECK([for the initial-exec TLS model], [hk_cv_tls_model], [
	hk_saved=$CFLAGS
	hk_cv_tls_model="compiler default"
	CFLAGS="$hk_saved -fPIC -Werror -ftls-model=initial-exec"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[static _Thread_local int x;]], [[return x;]])],
		[hk_cv_tls_model="initial-exec by flag"])
	CFLAGS="$hk_saved -fPIC -Werror"
	AC_LINK_IFELSE([AC_LANG_PROGRAM(
		[[static __attribute__((tls_model("initial-exec"))) _Thread_local int x;]],
		[[return x;]])],
		[hk_cv_tls_model="initial-exec"])
	CFLAGS=$hk_saved])
AS_CASE([$hk_cv_tls_model],
	[initial-exec], [AC_DEFINE([HK_TLS_IE], [1], [The tls_model attribute works])],
	["initial-exec by flag"], [TLS_CFLAGS=-ftls-model=initial-exec],
	[AC_MSG_WARN([no initial-exec TLS: preload or link the library, do not dlopen it])])
])

# HK_FIND_UNWINDER: can a copy of the compiler's unwinder become a part of the library, and does it
# find unwind information without a lock (_dl_find_object of glibc 2.35)? On 32-bit Arm it takes
# one. The names of a version script are the only ones that other libraries see.
AC_DEFUN([HK_FIND_UNWINDER], [
AC_CACHE_CHECK([for an unwinder that takes no lock], [hk_cv_unwinder], [
	hk_saved=$CFLAGS
	CFLAGS="$hk_saved -Werror -shared -fPIC -static-libgcc"
	AC_LINK_IFELSE([AC_LANG_SOURCE([[
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <unwind.h>
		#if !defined DLFO_STRUCT_HAS_EH_DBASE || defined __arm__
		#error "unwinding takes a lock"
		#endif
		_Unwind_Reason_Code walk(_Unwind_Trace_Fn each);
		_Unwind_Reason_Code walk(_Unwind_Trace_Fn each)
		{
			return _Unwind_Backtrace(each, 0);
		}
	]])], [hk_cv_unwinder=yes], [hk_cv_unwinder=no])
	CFLAGS=$hk_saved])
AS_IF([test $hk_cv_unwinder = yes],
	[AC_DEFINE([HK_UNWINDER], [1], [A static unwinder finds its tables without a lock])
	UNWINDER_LDFLAGS=-Wc,-static-libgcc])
])
