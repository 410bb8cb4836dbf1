#!/bin/sh
# A set-user-ID program takes no settings from whoever starts it.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
name="a set-user-ID program ignores the environment"
program=$work/plain

cp tests/env/plain "$program" && chmod 755 "$work" "$program" || exit 99
HAKMEM_STATS=yes "$program" >"$work/out" 2>"$work/err"
grep '^hakmem: HAKMEM_STATS: ' "$work/err" >"$work/said"
cat "$work/out" "$work/err" >"$work/why"
if [ "$(cat "$work/out")" = normal ] && ! [ -s "$work/err" ] && ldd "$program" 2>&1 | grep -q hakmem; then
	skip "$name" "the library is not inside the program: no static build"
	finish
	exit
fi
[ "$(cat "$work/out")" = normal ] && [ -s "$work/said" ]
check $? "an ordinary program does not"

if chown 65534 "$program" 2>/dev/null && chmod 4755 "$program" &&
	[ "$("$program" 2>/dev/null)" = secure ]; then
	HAKMEM_STATS=yes HAKMEM_NONSENSE=1 "$program" >"$work/out" 2>"$work/err"
	status=$?
	cat "$work/out" "$work/err" >"$work/why"
	[ "$status" = 0 ] && [ ! -s "$work/err" ]
	check $? "$name"
else
	skip "$name" "cannot make one here"
fi
finish
