#!/bin/sh
# hakmem top: in a pipe, on a terminal without a cursor, and on one with it, which is
# tmux's.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

start ./tests/cmd/heap "$work"
gives "top in a pipe: one picture" 0 "$pid" "$hakmem" top
"$hakmem" top -c 2 -d 0.05 >"$work/out" && ! grep -q "$(printf '\033')" "$work/out" && [ "$(grep -c PID "$work/out")" = 2 ]
check $? "pictures into a file, without codes"
gives "--filter leaves the matching commands" 0 " HEAP" sh -c '"$1" top --filter HEA | tr a-z A-Z' sh "$hakmem"
gives "or tells that there is none" 0 "no command contains this text" "$hakmem" top --filter 'no such command'
first=$pid name=$(printf '%s/h\303\251' "$work")
cp tests/cmd/heap_static "$name"
start "$name" "$work"
gives "a name that is not ASCII" 0 'h\xc3\xa9' "$hakmem" top --filter "$(printf 'h\303\251')"
stop
pid=$first
gives "an unknown order" 2 'not by "colour"' "$hakmem" top --sort colour
# Rows of other programs may have a reason, which is longer.
"$hakmem" top --filter heap >"$work/out" && [ "$(awk 'length > 80 && $3 !~ /:$/' "$work/out" | wc -l)" = 0 ]
check $? "80 columns"
larger=$pid
start sh -c 'LD_PRELOAD=$0 exec python3 -c "
import time
print(1, flush=True)
some = []
while len(some) < 2000:
    some.append(bytearray(b\"x\" * 100000))
    time.sleep(0.02)
time.sleep(1000)"' "$library"
if need python3; then
	place() {	# pid
		awk -v pid="$1" '$1 == pid { print NR }' "$work/out"
	}
	second --sort growth
	[ "$(place $pid)" -lt "$(place $larger)" ] && grew $pid
	check $? "growth, and the order by it"
	second --sort pid
	if [ $larger -lt $pid ]; then
		[ "$(place $larger)" -lt "$(place $pid)" ]
	else
		[ "$(place $pid)" -lt "$(place $larger)" ]
	fi
	check $? "the order by process id"
	stop
else
	rm "$work/lacks"
	skip "growth, and the order by it" "no python3"
	skip "the order by process id" "no python3"
fi
pid=$larger

if ! command -v tmux >/dev/null; then
	skip "top in a terminal" "no tmux"
	stop
	finish
	exit
fi

in_tmux() {
	tmux -S "$work/tmux" -f /dev/null "$@" 2>>"$work/why"
}
type_in() {	# key...
	in_tmux send-keys -t top "$@"
}
has_line() {	# regular expression
	in_tmux capture-pane -p -t top >"$work/picture" && grep -q -e "$1" "$work/picture"
}
# Waits until the picture has a line that matches; it is in $work/picture.
sees() {	# regular expression
	until_so has_line "$1" || { echo "not seen: $1, but:"; cat "$work/picture"; false; } >>"$work/why"
}
# A line that an earlier command left there must not be taken for one of the next.
is_clear() {
	in_tmux capture-pane -p -t top >"$work/picture" && [ "$(grep -c . "$work/picture")" = 1 ] &&
		grep -q '^\$ *$' "$work/picture"
}
clear_screen() {
	type_in clear Enter
	until_so is_clear || { echo "not clear:"; cat "$work/picture"; } >>"$work/why"
}
in_tmux new-session -d -s top -x 80 -y 12 "PS1='\$ ' ENV= sh -i"
sees '^\$' && type_in "echo be''fore" Enter && sees 'before'
check $? "a terminal with a shell"

type_in "TERM=dumb $hakmem top -d 0.1 --filter heap" Enter
# The first picture may have left the screen already.
follow_each_other() {
	in_tmux capture-pane -p -S - -t top >"$work/picture" && grep -q '^before' "$work/picture" &&
		grep -q "$pid .* heap" "$work/picture" && [ "$(grep -c 'PID.*COMMAND' "$work/picture")" -ge 2 ]
}
until_so follow_each_other || { cat "$work/picture" >>"$work/why"; false; }
check $? "on a terminal without a cursor, pictures follow each other"
type_in C-c
type_in "echo status''=\$?" Enter
sees 'status=0'
check $? "Control-C ends that"
clear_screen
type_in "$hakmem top -c 1 --filter heap; echo status''=\$?" Enter
sees 'status=0' && grep -q "$pid .* heap" "$work/picture" && grep -q -F "top -c 1" "$work/picture"
check $? "-c 1 leaves its picture on the terminal"

if ! has_screen; then
	skip "the full screen" "built without ncurses"
	in_tmux kill-server
	stop
	finish
	exit
fi
clear_screen
type_in "echo be''fore; stty -g >$work/stty.before" Enter
sees 'before'
type_in "$hakmem top -d 0.2" Enter
sees '^sorted by memory' && ! grep -q before "$work/picture"
check $? "a full screen"
type_in h && sees '^/ .*filter\|^/  show only' && type_in x && sees '^sorted by memory'
check $? "h shows help, any key leaves it"
type_in s && sees '^sorted by slow' && type_in r && sees '^sorted by rss' && type_in m && sees '^sorted by memory'
check $? "keys choose the order"
type_in / h e a && sees 'contain: hea_$' && type_in p Enter && sees 'only commands that contain heap;' &&
	sees "$pid .* heap" && [ "$(awk 'NR > 3 && NF' "$work/picture" | grep -c -v heap)" = 0 ]
check $? "/ filters"
type_in / q q && sees 'no command contains this text' && type_in Escape && sees 'sorted by memory; h helps'
check $? "Escape clears the filter"
in_tmux resize-window -t top -x 50 -y 6
sees 'sorted by memory' && [ "$(awk 'length > 50' "$work/picture" | wc -l)" = 0 ] && [ "$(wc -l <"$work/picture")" = 6 ] &&
	sees '^ *[0-9]* '
check $? "a smaller terminal"
in_tmux resize-window -t top -x 80 -y 12
sees ' COMMAND$'
check $? "a larger one"
type_in C-z && sees 'Stopped' && sees before && type_in fg Enter && sees '^sorted by memory'
check $? "Control-Z and fg"
type_in q && sees 'before' && type_in "s=\$?; stty -g >$work/stty.after; echo status''=\$s" Enter && sees 'status=0' &&
	! grep -q 'sorted by' "$work/picture" && cmp "$work/stty.before" "$work/stty.after" 2>"$work/why"
check $? "q: the terminal is as it was"
clear_screen
type_in "$hakmem top; echo status''=\$?" Enter
sees '^sorted by memory' && type_in C-c && sees 'status=0'
check $? "Control-C ends it too"
clear_screen
rm "$work/stty.after"
type_in "$hakmem top; s=\$?; stty -g >$work/stty.after; echo status''=\$s" Enter
sees '^sorted by memory' && type_in 'C-\' && sees 'status=0' && ! grep -q 'sorted by' "$work/picture" &&
	cmp "$work/stty.before" "$work/stty.after" 2>"$work/why"
check $? "and Control-\\, with the terminal as it was"
clear_screen
type_in "$hakmem top -c 2 -d 0.1 --filter heap; echo status''=\$?" Enter
sees 'status=0' && grep -q "$pid .* heap" "$work/picture"
check $? "-c 2 leaves the last picture on the terminal"
in_tmux kill-server
stop
finish
