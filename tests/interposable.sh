#!/bin/sh
# What the library calls of others. A function that another library may put its
# own before (a wrapper of munmap, of the clock, of locks) may call malloc, so
# none is called with a lock held: system calls, locks and all that knows
# threads are in src/os alone. Each name allowed here has its reason.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
build=$(dirname "${HAKMEM_TEST_LIBRARY:?run by make check}")/..

command -v nm >/dev/null || { echo "1..0 # SKIP no nm"; exit 0; }

# Anywhere: what the compiler may call for itself.
compiler='
	# its own library: arithmetic, atomics, calls without a frame
	__popcount[ds]i2 __clz[ds]i2 __ctz[ds]i2 __udivdi3 __umoddi3 __divdi3 __moddi3 __udivmoddi4 __aeabi_* __aarch64_*
	__atomic_* __sync_* __mulodi4 __gnu_thumb1_case_* __riscv_* _savegpr* _restgpr*
	# addresses and thread-local data
	_GLOBAL_OFFSET_TABLE_ __tls_get_addr ___tls_get_addr __tls_get_offset .TOC.
	# exceptions pass through
	_Unwind_Resume __gcc_personality_v0 __aeabi_unwind_cpp_pr*
	# hardening, coverage, sanitizers, profilers
	__stack_chk_fail __stack_chk_fail_local __stack_chk_guard __x86_* __gcov_* __llvm_*
	__asan_* __tsan_* __ubsan_* __sanitizer_* __lsan_* __cyg_profile_* mcount _mcount __fentry__
'
# Anywhere: what reads and writes only its arguments. memset, strlen and similar functions are the
# library's own (os/bytes.h).
pure='
	__errno_location ___errno
'
allowed_in() {	# folder/file
	case $1 in
	# malloc_info writes to a stream, as it must: no lock is held then.
	api/info) echo "fprintf __fprintf_chk fwrite fputs fputc putc ferror pthread_setcancelstate" ;;
	# What operator new calls of C++, weak here.
	api/cxx) echo "_ZSt15get_new_handlerv _ZSt17__throw_bad_allocv _Zn[wa]* _Zd[la]*" ;;
	api/nothrow) echo "__cxa_begin_catch __cxa_end_catch __gxx_personality_v0 _Zn[wa]* _Zd[la]*" ;;
	# The program's other names for the statistics, versioned.
	api/alloc) echo hakmem_stats_page ;;
	# The start, before there is a lock; the end, after.
	os/map) echo "getauxval __getauxval environ __environ program_invocation_name _dl_find_object" ;;
	os/limit) ;;
	os/file) ;;
	# The start, and the end of the process by a fault.
	os/fault) echo "sigaction" ;;
	os/huge) ;;
	os/line) echo "abort" ;;
	os/lock) ;;
	# For blocks of the program, without a lock.
	os/block) echo "memset memcpy" ;;
	# Asked once, at start.
	os/apart | os/clock) echo "getauxval __getauxval" ;;
	# The scavenger's start, without a lock.
	os/guest)
		echo "clone getauxval __getauxval pthread_create pthread_attr_* pthread_sigmask sigfillset" ;;
	# Of the library itself, linked statically.
	os/unwind) echo "_Unwind_Backtrace _Unwind_GetIP" ;;
	# A constructor asks the dynamic linker.
	os/symbol) echo "dlsym dl_iterate_phdr" ;;
	# A thread's start and end, and fork, all without a lock.
	os/thread)
		echo "pthread_self pthread_getcpuclockid"
		echo "pthread_key_create pthread_setspecific pthread_getspecific pthread_create"
		echo "pthread_atfork __register_atfork dl_iterate_phdr getauxval __getauxval strtol __isoc23_strtol"
		# glibc's own, which fork takes after its handlers
		echo "_IO_list_lock _IO_list_unlock _IO_list_resetlock __libc_single_threaded" ;;
	esac
}

# Names without comments, one a line.
words() {
	sed 's/#.*//' | tr -s ' \t' '\n\n' | sed '/^$/d'
}

# foreign OBJECT: what it needs that no object of the library has.
foreign() {
	nm -u "$1" 2>/dev/null | awk '{ print $NF }' | sed 's/@.*//' | sort -u | grep -vxF -f "$work/own"
}

# As patterns of grep: * is any rest.
patterns() {
	words | sed 's/\./\\./g; s/\*/.*/g; s/^\(.*\)$/^\1$/'
}

objects() {
	for object in "$build"/*/.libs/libhakmem_la-*.o; do
		[ ! -f "$object" ] || echo "$object"
	done
}

objects >"$work/objects"
if [ ! -s "$work/objects" ]; then
	echo "1..0 # SKIP no objects of a shared library here"
	exit 0
fi
xargs nm --defined-only <"$work/objects" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u >"$work/own"
if ! grep -qx hk_pool_acquire "$work/own"; then
	echo "1..0 # SKIP nm reads no objects of this compiler"
	exit 0
fi

while read -r object; do
	name=${object#"$build"/}
	file=$(dirname "$(dirname "$name")")/$(basename "$name" .o | sed 's/^libhakmem_la-//')
	[ -f "$HAKMEM_TEST_SOURCE/src/$file.c" ] || [ -f "$HAKMEM_TEST_SOURCE/src/$file.cc" ] || continue
	{ echo "$compiler"; echo "$pure"; allowed_in "$file"; } | patterns >"$work/allowed"
	foreign "$object" | grep -v -f "$work/allowed" >"$work/why"
	[ ! -s "$work/why" ]
	check $? "src/$file calls nothing that can be interposed"
done <"$work/objects"

# The check can fail: a name that is not allowed is found.
for name in munmap memset; do
	echo "$name" | grep -v -f "$work/allowed" | grep -qx "$name"
	check $? "$name would be seen"
done
finish
