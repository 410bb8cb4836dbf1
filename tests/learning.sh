#!/bin/sh
# What is learned: in the reports, in a file, and at the next start.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
phases=./tests/phases

export HAKMEM_ALLOC_LEARN=1 HAKMEM_ALLOC_LEARN_WINDOW=1000 HAKMEM_TINY_PRESET=ultra-tight
number() {	# of a line: word-number
	awk -v line="$1" -v at="$2" '$1 == line { print $at }' "$3"
}

HAKMEM_LEARN_SAVE="$work/learned.env" HAKMEM_STATS_DUMP="$work/report" $phases steady >"$work/cold" 2>"$work/why"
[ $? = 0 ] && [ ! -s "$work/why" ] && [ "$(number start 2 "$work/cold")" = 32 ] &&
	[ "$(number end 2 "$work/cold")" -gt 64 ] && [ "$(number end 13 "$work/cold")" -gt 64 ]
check $? "lists that are too short for their program grow"
cp "$work/report" "$work/why"
grep -q '^decision capacity size [0-9]* from [0-9]* to [0-9]* reason round-trips' "$work/report" &&
	grep -q '^class C0 .* capacity [0-9]* batch [0-9]* grants [1-9]' "$work/report" &&
	grep -q '^ learn_windows [1-9]' "$work/report"
check $? "the report has the decisions and their reasons"

cp "$work/learned.env" "$work/why"
! LC_ALL=C grep -v -E '^$|^#|^[A-Z][A-Z0-9_]*=[A-Za-z0-9_./,:+=@%-]+$' "$work/learned.env" >"$work/bad" &&
	[ ! -s "$work/bad" ] && grep -q '^HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:[0-9]*:[0-9]*,C1:.*,C4:[0-9:]*$' "$work/learned.env"
check $? "what was learned is a file in the syntax of profiles"
grep '^HAKMEM_' "$work/learned.env" >"$work/given"
env -i $(cat "$work/given") "$settings" values >"$work/out" 2>"$work/why"
check $? "that the library takes"
grep -q '^HAKMEM_TINY_TLS_CLASS_OVERRIDE=.*C7' "$work/learned.env"
[ $? = 1 ]
check $? "groups that were not used are not in it"

env $(cat "$work/given") $phases steady >"$work/warm"
cat "$work/cold" "$work/warm" >"$work/why"
[ "$(number start 2 "$work/warm")" = "$(sed -n 's/.*=C0:\([0-9]*\):.*/\1/p' "$work/learned.env")" ] &&
	[ "$(number start 2 "$work/warm")" -ge $(($(number end 2 "$work/cold") - 1)) ]
check $? "a start with it begins where the first one ended"
[ $(($(number end 15 "$work/warm") * 2)) -lt "$(number end 15 "$work/cold")" ]
check $? "and needs less than half of the refills"

HAKMEM_TINY_TLS_CLASS_OVERRIDE=C7:77:7 HAKMEM_LEARN_SAVE="$work/kept.env" $phases save 2>"$work/why"
grep -q '^HAKMEM_TINY_TLS_CLASS_OVERRIDE=C7:77:7$' "$work/kept.env"
check $? "what was set and not used stays in the file"
HAKMEM_LEARN_SAVE="$work/p%p.env" $phases save 2>"$work/why" && set -- "$work"/p[0-9]*.env && [ -s "$1" ]
check $? "the file on demand, with the process id in its name"
$phases save 2>"$work/err"
[ $? = 4 ] && [ ! -s "$work/err" ]
check $? "no file, nothing saved"
HAKMEM_LEARN_SAVE="$work/none/x.env" $phases save 2>"$work/err"
status=$?
line="hakmem: cannot write what was learned, of HAKMEM_LEARN_SAVE, to $work/none/x.env: there is no such directory"
printf '%s\n%s\n' "$line" "$line" | diff - "$work/err" >"$work/why" && [ $status = 4 ]
check $? "no such directory: a line each time"

HAKMEM_LEARN_SAVE="$work/mem.env" HAKMEM_MEM_LEARN=1 HAKMEM_LEARN_ADVANCED=1 HAKMEM_ALLOC_LEARN=0 \
	HAKMEM_SCAVENGER=always HAKMEM_STATS_DUMP="$work/mem" ./tests/memlearn not 2>"$work/why"
cat "$work/mem.env" >>"$work/why"
delay=$(sed -n 's/^HAKMEM_MEM_LEARN_DELAY=//p' "$work/mem.env")
[ "${delay:-500}" -lt 500 ] && grep -q '^HAKMEM_LEARN_ADVANCED=1$' "$work/mem.env" &&
	grep -q "^decision purge_delay from 500 to 250 reason not-needed" "$work/mem"
check $? "the purge delay that was learned is in the file, and why in the report"

HAKMEM_ALLOC_LEARN=0 $phases steady >"$work/off"
[ "$(number end 2 "$work/off")" = 32 ]
check $? "with HAKMEM_ALLOC_LEARN=0 nothing moves"
HAKMEM_ALLOC_LEARN_WINDOW=1 HAKMEM_ALLOC_LEARN_RATE=1 $phases steady >"$work/wild" && $phases run 2>&1 >/dev/null
check $? "the shortest window and the highest rate"
HAKMEM_TINY_PRESET=default $phases crowd >"$work/why"
check $? "many threads share a budget, and leave it when they end"
HAKMEM_DEBUG_LEVEL=3 HAKMEM_TEST_QUICK=20 $phases run >"$work/why"
check $? "beside the trace"
finish
