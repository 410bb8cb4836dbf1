#!/bin/sh
# hakmem run --leaks: what is left at a program's exit is shown, and decides the exit status.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

leaves=$PWD/tests/cmd/leaves
run="timeout 120 $hakmem run --library $library"
leaks="$run --leaks"
mkdir "$work/tmp"
TMPDIR=$work/tmp
export TMPDIR
# named NAME STATUS TEXT COMMAND...: as gives, if functions have names.
named() {
	if has_names; then
		gives "$@"
	else
		skip "$1" "built without libdw"
	fi
}
# says NAME PATTERN: a line of the last output.
says() {
	cp "$work/out" "$work/why"
	grep -q -e "$2" "$work/out"
	check $? "$1"
}
lacks() {
	cp "$work/out" "$work/why"
	! grep -q -e "$2" "$work/out"
	check $? "$1"
}

gives "a block that is left is found" 23 "leaves at its exit: 976.6 KiB in use, in 1 call stack" $leaks -- "$leaves" leaks
says "and is called an estimate" '^estimated from 1 sample, one every 4.0 KiB on average$'
named "the function that allocated it is named" 23 "keep_block  " $leaks -- "$leaves" leaks
named "and so is that of many small blocks" 23 "keep_much  " $leaks --rate 32768 -- ./tests/sampled
gives "of a program that frees its blocks nothing is left" 0 "no sampled block is left" $leaks -- "$leaves" frees
says "with the distance of the samples" 'one every 4.0 KiB on average$'
gives "the distance can be chosen" 0 "one every 1 B on average" $leaks --rate 1 -- "$leaves" frees
gives "only the main program counts" 0 "no sampled block is left" $leaks -- "$leaves" fork
gives "without --leaks the status stays" 0 "" $run -- "$leaves" leaks

# Exit statuses.
gives "a status of the program stays, with a block left" 5 "976.6 KiB in use" $leaks -- "$leaves" leaks 5
gives "and without" 4 "no sampled block is left" $leaks -- "$leaves" frees 4
gives "another status for blocks that are left" 77 "976.6 KiB in use" $leaks --leak-status 77 -- "$leaves" leaks
gives "or none" 0 "976.6 KiB in use" $leaks --leak-status 0 -- "$leaves" leaks
gives "a program that does not exist" 127 "cannot run nonsense-program: No such file" $leaks -- nonsense-program
lacks "and nothing else is said of it" "heap profile"
gives "a program that cannot be run" 126 "Permission denied" $leaks -- "$work"
[ "$(echo in | $leaks --leak-status 0 -- cat 2>/dev/null)" = in ]
check $? "standard input and output are the program's"

# Programs that write no profile.
gives "_exit with 0 is not a success" 125 "wrote no heap profile: leaks are not known" $leaks -- "$leaves" _exit
gives "_exit with another status keeps it" 3 "wrote no heap profile" $leaks -- "$leaves" _exit 3
$leaks -- "$leaves" signal 9 >"$work/out" 2>&1
[ $? = 137 ]
check $? "a signal ends the command as well"
says "and it says why nothing is known" 'was ended by signal 9, so that it wrote no heap profile'

# Signals.
command="$hakmem run --library $library --leaks"
start $command -- "$leaves" waits
kill -USR1 $pid
wait $pid
[ $? = 7 ]
check $? "a signal reaches the program"
start $command -- "$leaves" waits
kill -TERM $pid
wait $pid 2>/dev/null
[ $? = 143 ]
check $? "and may end it"
start $command -- "$leaves" waits
kill -9 $pid
wait $pid 2>/dev/null
until_so has_ended "$line"
check $? "a program does not outlive the command"
rm -rf "$TMPDIR"/hakmem-leaks-*

# Suppressions.
printf '# comment\n\nleak:other_function\nleak:^keep_*ock$\n' >"$work/some"
named "a function is suppressed" 0 "no sampled block is left" $leaks --suppressions "$work/some" -- "$leaves" leaks
if has_names; then
	says "which is said" '^hakmem: suppressed: 976.6 KiB, in 1 call stack, by leak:^keep_\*ock\$$'
else
	skip "which is said" "built without libdw"
fi
echo 'leak:tests/*/leaves$' >"$work/some"
gives "a module is suppressed" 0 "by leak:tests/*/leaves" $leaks --suppressions "$work/some" -- "$leaves" leaks
for pattern in '^keep$' '^eep_block' 'keep_bloc$' 'ck*keep' '^block*' 'keep**blockk' '^keep_block*keep_block$'; do
	echo "leak:$pattern" >"$work/some"
	gives "$pattern suppresses nothing" 23 "976.6 KiB in use" $leaks --suppressions "$work/some" -- "$leaves" leaks
done
for pattern in 'p_b' '^keep' 'block$' '^*block' 'k*e*k$' 'keep_block*' '^keep_block$' '*k$'; do
	echo "leak:$pattern" >"$work/some"
	named "$pattern suppresses" 0 "by leak:$pattern" $leaks --suppressions "$work/some" -- "$leaves" leaks
done
named "the buffer of standard output is not a leak" 0 "by leak:_IO_file_doallocate (built in)" $leaks --rate 1 -- "$leaves" prints
if ldd "$leaves" 2>/dev/null | grep -q /ld-musl; then
	skip "a thread leaves nothing" "the dynamic linker is the C library"
	skip "nor does a library that is loaded at run time" "the dynamic linker is the C library"
else
	named "a thread leaves nothing" 0 "by the dynamic linker (built in)" $leaks --rate 1 -- ./tests/cmd/sites none
	gives "nor does a library that is loaded at run time" 0 "by the dynamic linker (built in)" $leaks --rate 1 -- "$leaves" \
		opens "$(ldd "$hakmem" | sed -n 's/.* => \(.*libjansson[^ ]*\).*/\1/p')"
fi
for name in ld-leaves ld.solver ld64.sort; do
	cp "$leaves" "$work/$name"
	gives "$name is not the dynamic linker" 23 "976.6 KiB in use" $leaks -- "$work/$name" leaks
done
gives "-q prints what is left" 23 "976.6 KiB in use" $leaks -q -- "$leaves" leaks
gives "and no note" 0 "" $leaks -q -- "$leaves" frees
[ ! -s "$work/out" ]
check $? "at all"
gives "no such file" 125 "cannot read $work/none" $leaks --suppressions "$work/none" -- "$leaves" leaks
gives "a file without an end" 125 "longer than" $leaks --suppressions /dev/zero -- "$leaves" leaks
printf 'leak:a\nrace:b\n' >"$work/some"
gives "a line of another kind" 125 "some:2: neither a comment nor leak:PATTERN" $leaks --suppressions "$work/some" -- "$leaves" leaks
printf 'leak:*\n' >"$work/some"
gives "a pattern that matches everything" 125 "would suppress everything" $leaks --suppressions "$work/some" -- "$leaves" leaks
yes 'leak:a' | head -n 2000 >"$work/some"
gives "too many patterns" 125 "some:1001: there are too many patterns" $leaks --suppressions "$work/some" -- "$leaves" leaks

# LeakSanitizer and heaptrack find leaks in the same functions as run --leaks. Sizes and numbers of blocks are not
# compared.
lost() {	# file
	grep -o '\<\(lose\|free\)_[a-z_]*' "$1" | sort -u
}
$leaks --rate 1 --rows 0 -- ./tests/cmd/sites >"$work/ours" 2>&1
same() {	# name file
	lost "$work/ours" >"$work/one"
	lost "$2" >"$work/two"
	diff "$work/one" "$work/two" >"$work/why" && [ "$(wc -l <"$work/one")" = 8 ]
	check $? "$1"
}
if ! has_names; then
	skip "LeakSanitizer finds the same functions" "built without libdw"
	skip "heaptrack finds the same functions" "built without libdw"
else
	if g++ -g -fno-builtin -fsanitize=leak -o "$work/sites" "$source/tests/cmd/sites.cc" -lpthread 2>/dev/null &&
		"$work/sites" none 2>/dev/null; then
		LSAN_OPTIONS=fast_unwind_on_malloc=0 "$work/sites" 2>"$work/lsan"
		same "LeakSanitizer finds the same functions" "$work/lsan"
	else
		skip "LeakSanitizer finds the same functions" "no g++ with it, or it cannot run here"
	fi
	need heaptrack && heaptrack -o "$work/track" ./tests/cmd/sites >/dev/null 2>&1 &&
		heaptrack_print -p 0 -a 0 -T 0 -l 1 -f "$work"/track.* >"$work/tracked" 2>/dev/null
	same "heaptrack finds the same functions" "$work/tracked"
fi

# Options, and the directory.
gives "options that need --leaks" 125 "need --leaks" $run --leak-status 3 -- "$leaves" leaks
gives "a status that no process has" 125 "does not take" $leaks --leak-status 256 -- "$leaves" leaks
gives "a bad rate" 125 "--rate takes bytes" $leaks --rate 0 -- "$leaves" leaks
gives "the directory is private" 3 "mode 700" $leaks -- sh -c 'echo mode $(stat -c %a "${HAKMEM_SAMPLE_DUMP%/*}"); exit 3'
gives "a TMPDIR that the setting cannot hold" 23 "976.6 KiB in use" env TMPDIR="$work/%d" $leaks -- "$leaves" leaks
[ -z "$(ls -A "$TMPDIR")" ]
check $? "no directory stays"
finish
