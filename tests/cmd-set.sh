#!/bin/sh
# hakmem set and hakmem trim: settings of a running process.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

# Longer than any command takes on a busy machine; a command that hangs is ended.
source=$HAKMEM_TEST_SOURCE
set="timeout 60 $hakmem set"

figure() {	# name: of $pid
	"$hakmem" stats --json $pid 2>>"$work/why" | sed -n "s/^ *\"$1\": \([0-9]*\),/\1/p"
}
samples() {
	[ "$(figure samples)" -gt 0 ]
}
scavenger() {
	[ "$(figure scavenger)" = "$1" ]
}
learns() {
	[ "$(figure learn_windows)" -gt 0 ]
}
same_samples() {
	before=$(figure samples)
	sleep 0.3
	[ "$before" = "$(figure samples)" ]
}

start env LD_PRELOAD="$library" ./tests/cmd/calls busy
[ "$(figure samples)" = 0 ] && gives "the sampler is turned on" 0 "" $set $pid SAMPLE=4096
until_so samples
check $? "and the process is sampled"
gives "it is turned off, by another spelling" 0 "" $set $pid HAKMEM_SAMPLE=0
same_samples
check $? "and the process is not sampled any more"
gives "several changes at a time" 0 "" $set $pid sample=8192 sample=0
same_samples
check $? "of which the last one counts"
gives "the limit, the delay and the history" 0 "" $set $pid limit=1T mem_learn_delay=100 stats=1
[ "$(figure purge_delay)" = 100 ]
check $? "are in force"
gives "learning is turned on" 0 "" $set $pid ALLOC_LEARN_WINDOW=100 alloc_learn=1 MEM_LEARN=1 MEM_LEARN_THRESHOLD=0.7
until_so learns
check $? "and the process learns"
gives "learning is turned off" 0 "" $set $pid ALLOC_LEARN=0 MEM_LEARN=0
gives "a profile" 0 "they can be set only at its start: SUPERSLAB_REUSE TINY_PRESET" $set $pid profile=tight
gives "a setting takes precedence over it" 0 "" $set $pid MEM_LEARN_DELAY=333 PROFILE=balanced MEM_LEARN=0
[ "$(figure purge_delay)" = 333 ]
check $? "in any order"
gives "the profile that it had" 0 "" $set $pid profile=default
gives "the scavenger" 0 "" $set $pid SCAVENGER=always
until_so scavenger 1
check $? "is started"
gives "it is turned off" 0 "" $set $pid SCAVENGER=0
until_so scavenger 0
check $? "and ends"
gives "free memory is released" 0 "process $pid released" timeout 60 "$hakmem" trim $pid
gives "a bad value" 2 'SAMPLE: bad value "x", accepted: 0 to' $set $pid SAMPLE=x
gives "a setting that cannot change" 2 "DEBUG_LEVEL cannot change in a running process" $set $pid SAMPLE=4096 DEBUG_LEVEL=1
same_samples
check $? "then nothing is changed"
gives "no such setting" 2 "there is no setting" $set $pid NO_SUCH=1
gives "no setting at all" 2 "is not NAME=VALUE" $set $pid SAMPLE
gives "no process id" 2 "is no process id" $set nonsense SAMPLE=0
gives "no such process" 2 "there is no process 999999999" $set 999999999 SAMPLE=0
gives "none at all" 2 "takes a process id" $set
gives "trim without one" 2 "takes one process id" timeout 60 "$hakmem" trim
stop

start env HAKMEM_SCAVENGER=0 LD_PRELOAD="$library" ./tests/cmd/calls busy
gives "what the environment gives stays" 0 "its environment sets them: SCAVENGER" $set $pid PROFILE=balanced
stop

start env LD_PRELOAD="$library" ./tests/cmd/calls waits
gives "a process that sleeps" 3 "nothing has been changed yet" $set --wait 0.1 $pid SAMPLE=4096
gives "the request stays" 3 "earlier requests have not been carried out yet" $set --wait 0.1 $pid
gives "and is said to wait" 3 "waiting for process" $set --wait 3 $pid
kill -USR1 $pid
gives "it is carried out once the process wakes up" 0 "" $set $pid
gives "the sleeper again" 3 "nothing has been changed yet" $set --wait 0.1 $pid SAMPLE=0
gives "and a second request" 3 "nothing has been released yet" timeout 60 "$hakmem" trim --wait 0.1 $pid
kill -USR1 $pid
gives "both are carried out" 0 "" $set $pid
kill -USR1 $pid
same_samples
check $? "the first one too"
stop

start env LD_PRELOAD="$library" ./tests/cmd/calls busy
kill -STOP $pid
gives "a process that is stopped" 3 "process $pid is stopped. Requests take effect when it runs again" $set --wait 0.1 $pid SAMPLE=4096
kill -CONT $pid
gives "has the request carried out when it runs again" 0 "" $set $pid
stop

start env LD_PRELOAD="$library" ./tests/cmd/calls one
gives "a process that only frees and takes one block" 3 "that leaves the fast path" $set --wait 0.1 $pid SAMPLE=4096
stop
start env LD_PRELOAD="$library" ./tests/cmd/calls mid
gives "a process that only frees and takes one block above 2 KiB" 0 "" $set $pid SAMPLE=4096
until_so samples
check $? "is sampled"
stop

start sh -c 'echo ready; read -r x <"$0"' "$work/never"
gives "a process without HAKMEM" 1 "hakmem: process $pid is not on HAKMEM; why not: hakmem check $pid" $set $pid SAMPLE=0
stop

if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then
	start env LD_PRELOAD="$library" ./tests/cmd/calls busy
	gives "a process of another user" 1 "may not be looked at: ask again as root" \
		timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$hakmem" set $pid SAMPLE=4096
	same_samples
	check $? "is not changed"
	stop
else
	skip "a process of another user" "needs root and setpriv"
fi

# hostile MODE STATUS TEXT: what the command prints about it; printable ASCII only.
hostile() {
	start "$PWD/tests/cmd/hostile" "$1" "$work"
	if [ "$line" = cannot ]; then
		skip "$1" "this machine does not let it"
		return
	fi
	gives "$1" "$2" "$3" $set --wait 0.2 $pid SAMPLE=4096
	LC_ALL=C grep -q '[^ -~]' "$work/out"
	[ $? = 1 ]
	check $? "$1: the message is plain"
	{ kill -9 $pid && wait $pid; } 2>/dev/null
}
# The manual has the settings that can change.
sed -n 's/^SETTING(\([A-Z_]*\), [A-Z]*, ANY_TIME.*/HAKMEM_\1/p' "$source/src/config/settings.def" | sort >"$work/wanted"
sed -n '/^These settings can change/,/\.$/p' "$source/man/hakmem.7" | grep -o 'HAKMEM_[A-Z_]*' | grep -v LEARN_ADVANCED |
	sort | diff "$work/wanted" - >"$work/why"
check $? "hakmem.7 tells which settings can change"
$set --names | sort | diff "$work/wanted" - >"$work/why"
check $? "and --names"
hostile circle 1 "leads to no control block"
hostile version 1 "statistics page of version 77"
hostile control-silent 3 "nothing has been changed yet"
hostile control-size 1 "leads to no control block"
hostile control-nowhere 1 "leads to no control block"
hostile control-constant 1 "Bad address"
hostile control-full 1 "too many changes at a time"
hostile control-lies 1 "no known reason"
hostile control-userfault 1 "takes too long"
finish
