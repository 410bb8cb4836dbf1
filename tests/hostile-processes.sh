#!/bin/sh
# hakmem stats, top and check on processes that try to block, crash or mislead their
# reader: each costs a second and one line, and the others are shown.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

# Longer than any command takes on a busy machine; a command that hangs is ended.
command="timeout 60 $hakmem"

cat >"$work/ascii.py" <<'END'
import sys
for name in sys.argv[1:]:
    bad = sorted(set(open(name, "rb").read()) - set(range(32, 127)) - {10})
    if bad:
        sys.exit(f"{name} has bytes {bad}")
END
cat >"$work/q.py" <<'END'
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[1], ["hakmem", "top", "-d", "0.05"])
seen = b""
while b"1049h" not in seen:
    seen += os.read(terminal, 65536)
os.write(terminal, b"q")
try:
    while os.read(terminal, 65536):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
END
plain_text() {	# file...: printable ASCII alone
	python3 "$work/ascii.py" "$@" 2>>"$work/why"
}

# others NAME FAULT: all processes together. The healthy one is shown, and the
# hostile one has FAULT in its one line, or is shown too if there is none.
others() {
	timeout 60 "$hakmem" stats --prometheus >"$work/out" 2>"$work/why" </dev/null &&
		grep -q "^hakmem_mapped_bytes{pid=\"$healthy\"" "$work/out" &&
		if [ -n "$2" ]; then
			[ "$(grep -c "process $pid (" "$work/why")" = 1 ] && grep "process $pid (" "$work/why" | grep -q -F -e "$2"
		else
			! grep -q "process $pid (" "$work/why"
		fi && need python3 && plain_text "$work/out" "$work/why"
	check $? "$1: the metrics of the others are whole"
	timeout 60 "$hakmem" top >"$work/out" 2>"$work/why" </dev/null
	status=$?
	cat "$work/out" >>"$work/why"
	[ $status = 0 ] && grep -q "^ *$healthy .* heap$" "$work/out" &&
		{ [ -z "$2" ] || [ "$(grep "^ *$pid " "$work/out" | grep -c -F -e "$2")" = 1 ]; } &&
		need python3 && plain_text "$work/out"
	check $? "$1: top shows the others"
}

# hostile MODE STATUS TEXT [FAULT]: checks what the commands print about it.
hostile() {
	mode=$1
	rm -rf "$work/place"
	mkdir "$work/place"
	start "$PWD/tests/cmd/hostile" "$mode" "$work/place"
	if [ "$line" = cannot ]; then
		skip "$mode" "this machine does not let it"
		return
	fi
	gives "$mode: stats" "$2" "$3" $command stats $pid
	others "$mode" "${4-}"
	timeout 60 "$hakmem" check $pid >"$work/why" 2>&1 </dev/null
	status=$?
	[ $status -le 2 ] && [ "$(wc -l <"$work/why")" -ge 1 ] && need python3 && plain_text "$work/why"
	check $? "$mode: check ends and says something"
	for words in "stats --json" "check --json"; do
		timeout 60 "$hakmem" $words $pid >"$work/json" 2>"$work/why" </dev/null
		status=$?
		[ $status -le 2 ] && need python3 && { [ $status != 0 ] && [ ! -s "$work/json" ] ||
			python3 -m json.tool "$work/json" >/dev/null 2>>"$work/why"; }
		check $? "$mode: $words is whole or nothing"
	done
	{ kill -9 $pid && wait $pid; } 2>/dev/null
}

# says NAME TEXT COMMAND...: checks that the output has TEXT and is printable.
says() {
	name=$1 part=$2
	shift 2
	timeout 60 "$@" >"$work/why" 2>&1 </dev/null
	grep -q -F -e "$part" "$work/why" && need python3 && plain_text "$work/why"
	check $? "$name"
}

readers() {	# of the process: how many there are. Those that have ended may stay in the table.
	cat /proc/[0-9]*/stat 2>/dev/null | grep -c "^[0-9]* (hakmem:$pid) [^Z]"
}

is_held() {
	timeout 60 "$hakmem" stats $pid >"$work/why" 2>&1 </dev/null
	grep -q "an earlier reader of it cannot be ended" "$work/why"
}

start ./tests/cmd/heap "$work"
healthy=$pid

hostile circle 1 "leads back into itself" "leads back into itself"
hostile endless 1 "too long to be read" "too long to be read"
hostile sizes 1 "make no sense" "make no sense"
hostile offsets 1 "memory that is not there" "memory that is not there"
hostile nowhere 1 "memory that is not there" "memory that is not there"
hostile escape 0 'on HAKMEM \x1b]0;owned\x07\x0a\xff\x9b31m,'
hostile quotes 0 'on HAKMEM ","pid":1,"x":",'
hostile version 1 'library is version \x1b]0;owned\x07\x1b[31m with a statistics page of version 77' "of version 77"
hostile history 0 "on HAKMEM 1.0.0"
hostile userfault 1 "reading it takes too long" "reading it takes too long"
hostile fuse 1 "" ": "
for mode in tables sparse cut fifo link device; do
	hostile file-$mode 1 "is not on HAKMEM"
done

odd=$(printf '/nowhere/\033]0;owned\007\nlibhakmem.so\377')
start env LD_PRELOAD="$odd" HAKMEM_STATS_DUMP="$odd" HAKMEM_PROFILE="$odd" sh -c 'echo ready; read -r x <"$0"' "$work/never"
says "a hostile LD_PRELOAD" 'LD_PRELOAD is /nowhere/\x1b]0;owned\x07\x0alibhakmem.so\xff, but' "$hakmem" check $pid
says "hostile settings" 'HAKMEM_STATS_DUMP: bad value "/nowhere/?]0;owned??libhakmem.so?"' "$hakmem" config $pid
for words in check config; do
	timeout 60 "$hakmem" $words --json $pid >"$work/json" 2>"$work/why" </dev/null
	need python3 && python3 -m json.tool "$work/json" >/dev/null 2>>"$work/why"
	check $? "$words writes them as JSON"
done
stop

# A reader in a call to a FUSE server ignores even SIGKILL.
rm -rf "$work/place"
mkdir "$work/place"
start "$PWD/tests/cmd/hostile" fuse "$work/place"
if [ "$line" = cannot ]; then
	skip "a reader that cannot be ended" "this machine does not let it"
else
	until_so is_held
	check $? "a process whose reader cannot be ended is not read again"
	before=$(readers)
	is_held
	is_held
	[ "$before" -ge 1 ] && [ "$(readers)" -le "$before" ]
	check $? "no more readers stay behind"
	$command stats --prometheus 2>"$work/why" | grep -q "^hakmem_mapped_bytes{pid=\"$healthy\""
	check $? "no pipe waits for them"
	{ kill -9 $pid && wait $pid; } 2>/dev/null
	no_readers() { [ "$(readers)" = 0 ]; }
	until_so no_readers
	check $? "they end with the process"
fi

# Each of many hostile processes has its line, and processes that cost no time are shown.
crowd=
for i in 1 2 3 4 5 6 7 8; do
	start "$PWD/tests/cmd/hostile" userfault
	crowd="$crowd $pid"
done
if [ "$line" = cannot ]; then
	skip "a crowd of slow processes" "this machine does not let it"
	skip "SIGTERM ends top meanwhile" "this machine does not let it"
	skip "q ends it meanwhile" "this machine does not let it"
else
	$command stats --prometheus >"$work/out" 2>"$work/why" </dev/null
	named=0
	for one in $crowd; do
		named=$((named + $(grep -c "process $one (hostile): reading it takes too long" "$work/why")))
	done
	[ $named = 8 ] && grep -q "^hakmem_mapped_bytes{pid=\"$healthy\"" "$work/out"
	check $? "a crowd of slow processes"
	"$hakmem" top -c 1000 -d 0.05 >"$work/pictures" 2>"$work/why" &
	top=$!
	until_so test -s "$work/pictures"
	kill $top
	wait $top
	status=$?
	echo "status $status" >>"$work/why"
	[ $status = 0 ]
	check $? "SIGTERM ends top meanwhile"
	if has_screen; then
		need python3 && timeout 60 python3 "$work/q.py" "$hakmem" 2>"$work/why"
		check $? "q ends it meanwhile"
	else
		skip "q ends it meanwhile" "built without ncurses"
	fi
	{ kill -9 $crowd && wait $crowd; } 2>/dev/null
fi
{ kill $healthy && wait $healthy; } 2>/dev/null
finish
