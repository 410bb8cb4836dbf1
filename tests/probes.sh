#!/bin/sh
# The probe points of the library: those of the manual, and what gdb sees there.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}
command -v readelf >/dev/null || { echo "1..0 # SKIP no readelf"; exit 0; }

# Name and number of arguments.
readelf -n "$library" 2>"$work/why" | awk '
	/Provider:/ { provider = $2 }
	/Name:/ { name = $2 }
	/Arguments:/ && provider == "hakmem" { print name, NF - 1 }' | sort -u >"$work/probes"
[ -s "$work/probes" ] || { echo "1..0 # SKIP built without sys/sdt.h"; exit 0; }

sed -n '/^\.Sh PROBE POINTS/,/^\.Sh TROUBLE/p' "$HAKMEM_TEST_SOURCE/man/hakmem.7" | sed -n '/^\.It/s/Cm\|,\|\.It//gp' |
	tr -s ' ' '\n' | sed '/^$/d; /^learn$/!s/$/ 3/; s/^learn$/learn 5/' | sort | diff - "$work/probes" >"$work/why"
check $? "the manual has the names and numbers of arguments"

# What a program that allocates a block of 8 MiB passes, once each.
seen() {	# probe condition
	printf 'tbreak -probe-stap hakmem:%s%s\ncommands\n' "$1" "${2:+ if $2}"
	printf 'printf "%s %%lu %%lu %%lu\\n", $_probe_arg0, $_probe_arg1, $_probe_arg2\ncontinue\nend\n' "$1"
}
{
	printf 'set pagination off\nset breakpoint pending on\nset environment LD_PRELOAD %s\n' "$library"
	seen map
	seen refill
	seen large_map '$_probe_arg2 >= 8 << 20'
	echo run
} >"$work/script"
need gdb && need perl && gdb -q -nx -batch -x "$work/script" --args "$(command -v perl)" -e '$x="a"x8388608' >"$work/said" 2>&1
grep -q 'ptrace: Operation not permitted\|Could not trace\|Cannot insert breakpoint' "$work/said" 2>/dev/null &&
	echo "permission to trace" >"$work/lacks"
saw() {	# name pattern
	[ ! -s "$work/lacks" ] || { lacks=$(cat "$work/lacks"); skip "$1" "no $lacks"; return; }
	cp "$work/said" "$work/why"
	grep -Eq "$2" "$work/said"
	check $? "$1"
}
saw "map: a SuperSlab of 2 MiB" '^map 0 [1-9][0-9]* 2097152$'
saw "refill: size, first block and number" '^refill [1-9][0-9]* [1-9][0-9]* [1-9][0-9]*$'
saw "large_map: a mapping that is large enough" '^large_map 0 [1-9][0-9]* (8[4-9]|9|1)[0-9]*$'
finish
