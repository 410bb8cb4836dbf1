#!/bin/sh
# The other ways to build and look at the library: compilers, sanitizers,
# checkers, the archive. Run by ./bootstrap --check in the build folder, not by
# make check. Prints TAP; what failed is in builds/*.log.
set -u
source=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p builds
n=0 failures=0

# Runs a tool or a function. Its output and status are in files.
run() {	# log command...
	log=builds/$1
	shift
	rm -f "$log.status"
	("$@") >"$log.log" 2>&1
	echo $? >"$log.status"
}

report() {	# name log
	n=$((n + 1))
	if [ "$(cat "builds/$2.status")" = 0 ]; then
		echo "ok $n - $1"
	else
		failures=$((failures + 1))
		echo "not ok $n - $1"
		grep -E -A 3 '^(FAIL|ERROR)|error:|warning:|ERROR: |runtime error' "builds/$2.log" | head -n 30 | sed 's/^/# /'
	fi
}

check() {	# name log command...
	name=$1
	shift
	run "$@"
	report "$name" "$1"
}

build() {	# folder tests configure-options...
	folder=builds/$1 tests=$2
	shift 2
	rm -rf "$folder"
	mkdir "$folder"
	(cd "$folder" && "$source/configure" -q "$@" && make -s -j2 && make -s -j2 check ${programs:+"check_PROGRAMS=$programs"} TESTS="$tests")
}
programs=

# Builds only the programs that it runs.
sanitized() {	# sanitizers tests
	programs=$(echo $2)
	build "${1%%,*}" "$2" --enable-prefixed --enable-debug --disable-shared --disable-command \
		CFLAGS="-O1 -g -fsanitize=$1 -fno-sanitize-recover=all" CXXFLAGS="-O1 -g -fsanitize=$1"
}

everything='tests/abuse tests/alignment tests/calloc tests/churn tests/containers tests/early tests/fork tests/model
	tests/realloc tests/sizes tests/teardown tests/threads'

# Sanitizers hold freed memory and shadows of their own: no cases on memory.
no_memory='tests/abuse tests/alignment tests/calloc tests/containers tests/early tests/fork tests/model
	tests/sizes tests/threads'

# One run is enough of a program that is 50 times slower.
memory_checked() {
	cd builds/clang && make -s check TESTS= && for test in alignment calloc early; do
		timeout -k 10 1500 ./libtool --mode=execute valgrind -q --error-exitcode=9 "tests/$test" || return 1
	done
}

counts() {
	HAKMEM_STATS_DUMP=$PWD/builds/counted LD_PRELOAD=$PWD/builds/debug/src/.libs/libhakmem.so.1 \
		python3 -c 'print(1)' && grep '^lock pool taken [1-9]' builds/counted
}

# ThreadSanitizer finds races by the order of accesses, not by their timing, and slows down loops
# twentyfold. A tenth of each loop contains the same orders.
shortened() {	# function arguments...
	export HAKMEM_TEST_QUICK=10
	"$@"
}

# At the end of each window, and with the scavenger.
learning() {
	cd builds/thread && HAKMEM_PROFILE=tight HAKMEM_SCAVENGER=always HAKMEM_ALLOC_LEARN_WINDOW=100 \
		HAKMEM_MEM_LEARN_WINDOW=1 HAKMEM_LEARN_ADVANCED=1 HAKMEM_MEM_LEARN_STABLE=0 \
		HAKMEM_MEM_LEARN_DELAY=20 HAKMEM_MEM_LEARN_THRESHOLD=0.01 HAKMEM_MEM_LEARN_SPARSE=1 \
		make -s -j2 check check_PROGRAMS= TESTS="tests/model tests/threads"
}

no_screen() {
	rm -rf builds/plain && mkdir builds/plain && cd builds/plain &&
		"$source/configure" -q --enable-werror --without-ncurses --without-libdw && make -s -j2 src/cmd/hakmem &&
		! ldd src/cmd/hakmem | grep -E 'ncurses|libdw' && [ "$(src/cmd/hakmem top -c 2 -d 0.05 | grep -c PID)" = 2 ]
}

check "clang, prefixed, without a warning" clang build clang "$everything" \
	--enable-werror --enable-prefixed CC=clang CXX=clang++ CFLAGS='-O2 -gdwarf-4'
check "a debug build" debug build debug "$everything tests/dlopen tests/teardown_cxx" \
	--enable-werror --enable-debug
check "a debug build counts contention" counts counts
check "without ncurses and libdw" plain no_screen
check "AddressSanitizer and UndefinedBehaviorSanitizer" address sanitized address,undefined "$no_memory"
# It cannot follow threads started in a child, nor run after its own thread's end.
check "ThreadSanitizer" thread shortened sanitized thread "tests/abuse tests/model tests/threads"
check "ThreadSanitizer while it learns" learning shortened learning
# From here on two at a time, because each uses one processor.
run valgrind memory_checked &
run cppcheck timeout -k 10 1500 cppcheck --quiet --error-exitcode=9 --inline-suppr --std=c11 \
	--enable=warning,performance,portability -D_GNU_SOURCE -DHK_CACHE_LINE=64 -DHK_TLS_IE=1 \
	-I "$source/src" -I "$source/include" "$source/src" &
wait
report "valgrind" valgrind
report "cppcheck" cppcheck
targets=$(cd "$source/tests/fuzz" && ls *.c | sed 's/\.c$//')
started=0
for target in $targets; do
	run "fuzz-$target" env FUZZ_SECONDS=5 "$source/tests/fuzz.sh" "$target" &
	started=$((started + 1))
	[ $((started % 2)) = 1 ] || wait
done
wait
for target in $targets; do
	report "fuzzing $target for some seconds" "fuzz-$target"
done
check "make distcheck" distcheck make -s -j2 distcheck TESTS="tests/sizes tests/env-files.sh tests/env-man.sh"

echo "1..$n"
[ "$failures" = 0 ]
