#!/bin/sh
# How many of the attacks in attacks.cc the library stops, by profile. The table is
# printed because SECURITY.md quotes it.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"

attack() {	# profile
	LD_PRELOAD=$HAKMEM_TEST_LIBRARY HAKMEM_PROFILE=$1 ./tests/attacks >"$work/$1" 2>"$work/why"
	check $? "all attacks under $1 are made"
	sed 's/^/# /' "$work/$1"
}

# The kinds that the library stops by design have a minimum each.
least() {	# profile kind count
	found=$(sed -n "s/^sum	$2	\([0-9]*\)	.*/\1/p" "$work/$1")
	grep "NOT STOPPED	$2" "$work/$1" >"$work/why"
	[ "${found:-0}" -ge "$3" ]
	check $? "$1: at least $3 stopped, $2"
}

attack default
least default "double free" 15
least default "invalid free" 17
least default "invalid realloc" 5

# By design, all except writes before a block above the slabs.
attack hardened
stopped=$(sed -n "s/^sum	all	\([0-9]*\)	.*/\1/p" "$work/hardened")
grep "NOT STOPPED" "$work/hardened" >"$work/why"
[ "${stopped:-0}" -ge 145 ]
check $? "hardened: at least 145 of 154 stopped (${stopped:-none})"
least hardened overflow 36
least hardened underflow 8
least hardened "after free" 28
least hardened "uninitialised read" 10
least hardened "wrong delete" 15
least hardened "zero size" 6
least hardened "double free" 19
least hardened "invalid free" 17
finish
