#!/bin/sh
# The library reads the settings of real programs, says what is wrong, and
# never stands in their way.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}

# expect NAME WANTED-LINE VARIABLE=VALUE...: one program, its output and status
# intact, and this on standard error.
expect() {
	name=$1 wanted=$2
	shift 2
	env -i PATH="$PATH" LD_PRELOAD="$library" "$@" sh -c 'echo "it runs"; exit 7' >"$work/out" 2>"$work/err"
	status=$?
	[ -z "$wanted" ] || echo "$wanted" >"$work/wanted"
	[ -n "$wanted" ] || : >"$work/wanted"
	diff "$work/wanted" "$work/err" >"$work/why" && [ "$status" = 7 ] && [ "$(cat "$work/out")" = "it runs" ]
	check $? "$name"
}

expect "no settings, no words" ""
expect "good values, no words" "" HAKMEM_PROFILE=default HAKMEM_SUPERSLAB_REUSE=0 HAKMEM_TINY_PRESET=ultra-tight \
	HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:1:1,C7:4096:4096 HAKMEM_STATS_ENABLE=0 HAKMEM_TEST_ANYTHING=1
expect "the smallest caches" "" \
	HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:1:1,C1:1:1,C2:1:1,C3:1:1,C4:1:1,C5:1:1,C6:1:1,C7:1:1
expect "prewarming" "" HAKMEM_SUPERSLAB_PREWARM=2
expect "a bad value" 'hakmem: HAKMEM_STATS: bad value "yes", accepted: 0, 1; keeping 0 (default)' HAKMEM_STATS=yes
expect "an unknown name" "hakmem: HAKMEM_STATS_DUPM: no such setting, the nearest is HAKMEM_STATS_DUMP" \
	HAKMEM_STATS_DUPM=/nowhere
expect "a name with a line feed" "hakmem: HAKMEM_STATS?h: no such setting, the nearest is HAKMEM_STATS" \
	"HAKMEM_STATS
h=1"
long=$(awk 'BEGIN { for (i = 0; i < 100000; i++) printf "C" }')
expect "a value of 100000 bytes" 'hakmem: HAKMEM_TINY_PRESET: bad value "CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC...", accepted: default, ultra-tight; keeping default (default)' \
	HAKMEM_TINY_PRESET="$long"

env -i PATH="$PATH" LD_PRELOAD="$library" HAKMEM_NONSENSE=1 sh -c 'exit 7' 2>&-
[ $? = 7 ]
check $? "nowhere to write to"

env -i HAKMEM_STATS=x HAKMEM_NONSENSE=y LD_PRELOAD="$library" env 2>/dev/null | sort >"$work/after"
printf '%s\n' HAKMEM_NONSENSE=y HAKMEM_STATS=x "LD_PRELOAD=$library" | diff - "$work/after" >"$work/why"
check $? "the environment itself is left as it is"
finish
