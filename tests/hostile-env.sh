#!/bin/sh
# Settings and surroundings that mean harm: the program runs on, and ends.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}

# runs NAME VARIABLE=VALUE...: the program's output and status are its own.
runs() {
	name=$1
	shift
	timeout -k 1 60 env -i PATH="$PATH" LD_PRELOAD="$library" "$@" awk 'BEGIN { print "it runs"; exit 7 }' \
		>"$work/out" 2>"$work/why"
	[ $? = 7 ] && [ "$(cat "$work/out")" = "it runs" ]
	check $? "$name"
}

mkfifo "$work/fifo" && mkdir "$work/folder" && ln -s "$work/target" "$work/link" || exit 99
for name in PROFILE ALLOC_LEARN ALLOC_LEARN_WINDOW ALLOC_LEARN_RATE MEM_LEARN MEM_LEARN_WINDOW \
	MEM_LEARN_THRESHOLD LEARN_ADVANCED LEARN_SAVE SCAVENGER TINY_PRESET TINY_TLS_CLASS_OVERRIDE SUPERSLAB_REUSE SUPERSLAB_PREWARM HARDEN DEBUG_LEVEL STATS; do
	runs "HAKMEM_$name is empty" "HAKMEM_$name="
	runs "HAKMEM_$name is negative and too long for any number" "HAKMEM_$name=-99999999999999999999999999"
	runs "HAKMEM_$name is not text" "HAKMEM_$name=$(printf '\377\033[2J\001%%n%%s')"
	runs "HAKMEM_$name has two values" "HAKMEM_$name=1" "HAKMEM_$name=0"
done
for path in "$work/fifo" "$work/folder" "$work/link" "$work/none/file" /dev/full /dev/null "$work/%n%s%" ""; do
	runs "HAKMEM_STATS_DUMP=$path" "HAKMEM_STATS_DUMP=$path"
done
[ ! -e "$work/target" ]
check $? "no symbolic link is followed to the dump"

# All that is written must reach a reader that is there.
timeout 60 cat "$work/fifo" >"$work/read" &
sleep 1
runs "a dump to a reader" "HAKMEM_STATS_DUMP=$work/fifo"
wait $!
grep -q '^ superslabs ' "$work/read"
check $? "and it comes whole"

(sleep 1; HAKMEM_STATS=bad LD_PRELOAD="$library" /bin/sh -c 'exit 0' 2>&1; echo $? >"$work/status") | :
[ "$(cat "$work/status")" = 0 ]
check $? "a message to a pipe without a reader"
finish
