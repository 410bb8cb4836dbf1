#!/bin/sh
# Heap profiles of a program on the preloaded library, as google-pprof reads them.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}
heap=$work/heap

# sampled DISTANCE FILE ARGUMENT...
sampled() {
	distance=$1 file=$2
	shift 2
	env HAKMEM_SAMPLE="$distance" HAKMEM_SAMPLE_DUMP="$file" LD_PRELOAD="$library" ./tests/sampled "$@" 2>"$work/err"
}

# profile FIGURE: the lines of the functions, with MB and name.
profile() {
	need google-pprof && google-pprof --text "--$1" ./tests/sampled "$heap" 2>"$work/pprof" |
		sed -n 's/^ *\([0-9.]*\) .* \(keep_[a-z]*\)$/\1 \2/p' >"$work/why"
}

# within NAME LEAST MOST: MB.
within() {
	awk -v name="$1" -v least="$2" -v most="$3" \
		'$2 == name { n++; good = $1 >= least && $1 <= most } END { exit !(n == 1 && good) }' "$work/why"
}

sampled 32768 "$heap" && [ ! -s "$work/err" ] && head -n 1 "$heap" >"$work/why" &&
	grep -qx 'heap profile: [1-9][0-9]*: [1-9][0-9]* \[[1-9][0-9]*: [1-9][0-9]*\] @ heap_v2/32768' "$work/why" &&
	grep -q '^MAPPED_LIBRARIES:$' "$heap"
check $? "a profile at exit"
# About eight standard deviations: there are 1200 and 350 samples. Blocks count as of their class.
profile inuse_space && within keep_much 30 50
check $? "google-pprof names the function that holds most, with its bytes"
profile alloc_space && within keep_nothing 75 125
check $? "and the function that allocates most"
profile inuse_space && ! grep -q keep_nothing "$work/why"
check $? "which holds nothing"
# Through strdup of libc.
need google-pprof && google-pprof --text --cum --inuse_space ./tests/sampled "$heap" 2>"$work/pprof" |
	awk '$NF == "keep_little" { print $4, $NF }' >"$work/why" && within keep_little 5 16
check $? "and the caller of a function of libc"

sampled 65536 "$work/%p.heap" fork
set -- "$work"/*.heap
[ $# = 2 ] && [ ! -s "$work/err" ]
check $? "a process and its child write a file each"
ln -s "$heap.target" "$work/link"
sampled 65536 "$work/link" && [ ! -e "$heap.target" ] &&
	grep -q '^hakmem: cannot write the heap profile to .*: a symbolic link is not followed$' "$work/err"
check $? "a symbolic link is not followed"
sampled 0 "$work/off" && [ ! -e "$work/off" ] && [ ! -s "$work/err" ]
check $? "without samples there is no file"

# A program in C has no unwinder of its own.
HAKMEM_SAMPLE=4096 LD_PRELOAD=$library cat /proc/self/maps >"$work/why"
! grep -q libgcc_s "$work/why"
check $? "the unwinder is a part of the library"
for profile in default balanced adaptive tight hardened; do
	HAKMEM_PROFILE=$profile sampled 10000 "$heap" && head -n 1 "$heap" | grep -q 'heap profile: [1-9]'
	check $? "with profile $profile"
done
for setting in HARDEN=1 HARDEN=2 DEBUG_LEVEL=2; do
	export "HAKMEM_$setting"
	sampled 10000 "$heap" && head -n 1 "$heap" | grep -q 'heap profile: [1-9]'
	check $? "with HAKMEM_$setting"
	unset "HAKMEM_${setting%=*}"
done
finish
