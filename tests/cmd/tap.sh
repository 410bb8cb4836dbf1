# Sourced by the scripts about the command, after which they have $hakmem,
# $library and these. Colour and preloads of whoever runs them stay outside.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}
hakmem=$PWD/src/cmd/hakmem
unset LD_PRELOAD HAKMEM_PROFILE

# Was the command built with ncurses?
has_screen() {
	ldd "$hakmem" 2>/dev/null | grep -q ncurses
}

# Was the command built with libdw, so that it knows the names of functions?
has_names() {
	ldd "$hakmem" 2>/dev/null | grep -q libdw
}

# gives NAME STATUS TEXT COMMAND...: its status, and TEXT in what it writes.
gives() {
	name=$1 wanted=$2 part=$3
	shift 3
	"$@" >"$work/out" 2>&1 </dev/null
	status=$?
	{ echo "status $status, not $wanted, or no \"$part\" in:"; cat "$work/out"; } >"$work/why"
	[ $status = "$wanted" ] && { [ -z "$part" ] || grep -q -F -e "$part" "$work/out"; }
	check $? "$name"
}

# names NAME PATTERN: the output in $work/out has this name of a function.
names() {
	if ! has_names; then
		skip "$1" "built without libdw"
		return
	fi
	cp "$work/out" "$work/why"
	grep -q -e "$2" "$work/out"
	check $? "$1"
}

# The second picture of top, which has growth, in $work/out.
second() {	# top's options
	"$hakmem" top -c 2 -d 0.5 "$@" 2>>"$work/why" | awk '/^ *PID/ { picture++ } picture == 2' >"$work/out"
	cat "$work/out" >>"$work/why"
}

# Did the process grow between the two pictures?
grew() {	# pid
	awk -v pid="$1" '$1 == pid && $5 ~ /^[+].*[KM]$/ { found = 1 } END { exit !found }' "$work/out"
}

# The text of a Python expression over the JSON that a command writes.
json() {	# expression command...
	expression=$1
	shift
	"$@" >"$work/out" 2>"$work/why" </dev/null
	need python3 && python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' \
		"$work/out" "$expression" 2>>"$work/why"
}

# start COMMAND...: in the background until it writes a line, for five minutes at most; its id
# in $pid.
start() {
	rm -f "$work/fifo"
	mkfifo "$work/fifo"
	[ -e "$work/never" ] || mkfifo "$work/never"
	"$@" >"$work/fifo" 2>/dev/null &
	pid=$!
	line=$(timeout 300 head -n 1 "$work/fifo")
}

# Has it ended, and its parent has not waited for it?
is_zombie() {	# pid
	grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

has_ended() {	# pid
	! kill -0 "$1" 2>/dev/null || is_zombie "$1"
}

stop() {
	kill "$pid"
	wait "$pid" 2>/dev/null
}
