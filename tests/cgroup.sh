#!/bin/sh
# The memory limit of a control group: near it nothing is kept and there are no
# further huge pages. Files of version 2, and of version 1, are put where the
# library looks, in a mount namespace of the case; and a real group, where one
# can be made.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
unset HAKMEM_PROFILE MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE
program=$PWD/tests/cgroup

# Runs the program where /sys/fs/cgroup and /proc/self/cgroup are these.
in_group() {	# line-of-proc file text [program's arguments]
	mkdir -p "$work/sys$(dirname "$2")" && echo "$1" >"$work/line" && printf '%s\n' "$3" >"$work/sys$2"
	shift 3
	unshare -m sh -c 'mount --bind "$1/sys" /sys/fs/cgroup &&
		mount --bind "$1/line" /proc/$$/cgroup && shift && exec "$@"' - "$work" "$program" "$@" 2>"$work/why"
	rm -rf "$work/sys"
}

# The run whose output this is keeps little of the 40 MiB.
keeps_little() {	# name
	read -r near_huge near_stays <"$work/out" && [ "$near_stays" -lt 16000 ]
	check $? "$1"
}

keeps_much() {	# name
	read -r near_huge near_stays <"$work/out" && [ "$near_stays" -gt 20000 ]
	check $? "$1"
}

# Makes the turns of the scavenger short.
quick="HAKMEM_LEARN_ADVANCED=1 HAKMEM_MEM_LEARN_DELAY=20"

# A file of the kernel with this share of the last ten seconds, in percent.
psi() {
	echo "some avg10=$1 avg60=0.00 avg300=0.00 total=1"
}

# The program that counts how often the library finds pressure, in a group with this file.
pressure() {	# text [VARIABLE=VALUE...]
	text=$1
	shift
	program=env
	in_group 0::/a /a/memory.pressure "$text" "$@" $quick "$PWD/tests/pressure" any >"$work/out"
	program=$PWD/tests/cgroup
}

found() {	# name
	[ "$(cat "$work/out")" -ge 1 ] 2>>"$work/why"
	check $? "$1"
}

found_none() {	# name
	[ "$(cat "$work/out")" = 0 ]
	check $? "$1"
}

"$program" >"$work/free"
read -r huge stays <"$work/free"
[ "$stays" -gt 20000 ]
check $? "without a limit 40 MiB are kept for a while"

if unshare -m sh -c "mount --bind '$work' /sys/fs/cgroup" 2>/dev/null; then
	in_group 0::/a/b /a/b/memory.max 293601280 >"$work/out"
	keeps_little "version 2: near the limit they are not"
	in_group 0::/a/b /a/b/memory.max 67108864 >"$work/out"
	read -r near_huge near_stays <"$work/out"
	if grep -q '\[always\]' /sys/kernel/mm/transparent_hugepage/enabled; then
		skip "three quarters of the limit is the most in huge pages" "the kernel decides: mode always"
	elif [ "$huge" -gt 60000 ]; then
		[ "$near_huge" -lt 50000 ]
		check $? "three quarters of the limit is the most in huge pages"
	else
		skip "three quarters of the limit is the most in huge pages" "none are to be had"
	fi
	in_group 0::/a/b /a/memory.max 293601280 >"$work/out"
	keeps_little "the limit of a group above counts"
	in_group 7:memory:/a/b /memory/a/b/memory.limit_in_bytes 293601280 >"$work/out"
	keeps_little "version 1"
	in_group 7:memory:/gone /memory/memory.limit_in_bytes 293601280 >"$work/out"
	keeps_little "a path of the host, in a container"

	# The scavenger reads it again.
	export HAKMEM_SCAVENGER=always
	in_group 0::/a/b /a/b/memory.max max /sys/fs/cgroup/a/b/memory.max 293601280 >"$work/out"
	keeps_little "a limit that is set while the program runs"
	in_group 0::/a/b /a/b/memory.high max /sys/fs/cgroup/a/b/memory.high 293601280 >"$work/out"
	keeps_little "memory.high counts too"
	in_group 0::/a/b /a/memory.max 293601280 /sys/fs/cgroup/a/memory.max max >"$work/out"
	keeps_much "a limit above that is removed while it runs"
	unset HAKMEM_SCAVENGER
	in_group 0::/a/b /a/b/memory.max max /sys/fs/cgroup/a/b/memory.max 293601280 >"$work/out"
	keeps_much "without a scavenger it is read at start only"
	for value in max 9223372036854771712 99999999999999999999999 0 '' nonsense; do
		in_group 0::/a /a/memory.max "$value" >"$work/out"
		keeps_much "\"$value\" is no limit"
	done

	# Memory pressure: of the group, or of what systemd names in the environment.
	export HAKMEM_SCAVENGER=always
	program=$PWD/tests/pressure
	in_group 0::/a /a/memory.pressure "$(psi 0.00)" set /sys/fs/cgroup/a/memory.pressure "$(psi 50.00)" >"$work/out"
	found "processes of the group wait for memory"
	in_group 0::/a /a/memory.pressure "$(psi 0.00)" grow /sys/fs/cgroup/a/memory.pressure >"$work/out"
	found "the time that they waited grows"
	program=$PWD/tests/cgroup
	pressure "$(psi 9.99)"
	found_none "they wait too little"
	pressure "$(psi 10.00)"
	found "they wait a tenth of the time"
	for text in "" some "some avg10=" "some avg10=99999999999999999999 total=1" "full avg10=50.00 avg60=50.00 avg300=50.00 total=1"; do
		pressure "$text"
		found_none "\"$text\" is no pressure"
	done
	pressure "$(psi 50.00)" "MEMORY_PRESSURE_WATCH=/dev/null"
	found_none "MEMORY_PRESSURE_WATCH=/dev/null"
	pressure "$(psi 50.00)" MEMORY_PRESSURE_WATCH=
	found "an empty MEMORY_PRESSURE_WATCH"
	other=/sys/fs/cgroup/b/memory.pressure
	mkdir -p "$work/sys/b" && psi 50.00 >"$work/sys/b/memory.pressure"
	pressure "$(psi 0.00)" "MEMORY_PRESSURE_WATCH=$other"
	found "another group that MEMORY_PRESSURE_WATCH names"
	mkdir -p "$work/sys/b" && psi 0.00 >"$work/sys/b/memory.pressure"
	pressure "$(psi 50.00)" "MEMORY_PRESSURE_WATCH=$other"
	found_none "and not the own one"
	pressure "$(psi 50.00)" "MEMORY_PRESSURE_WATCH=$other"
	found "the own one if that file is not there"
	mkfifo "$work/fifo" && exec 7<>"$work/fifo" && echo x >&7
	pressure "$(psi 50.00)" "MEMORY_PRESSURE_WATCH=$work/fifo"
	found "the own one if it names a FIFO"
	read -r line <&7 && [ "$line" = x ]
	check $? "what is in the FIFO is for the program"
	exec 7<&-
	psi 50.00 >"$work/memory.pressure"
	for watch in "$work/memory.pressure" "/sys/fs/cgroup/../../..$work/memory.pressure"; do
		pressure "$(psi 0.00)" "MEMORY_PRESSURE_WATCH=$watch"
		found_none "no file from elsewhere"
	done
	both=$(psi 4.00; psi 4.00 | sed 's/some/full/')
	for trigger in "some 30000 1000000" "full 30000 1000000"; do
		pressure "$both" "MEMORY_PRESSURE_WRITE=$(printf '%s\0' "$trigger" | base64)"
		found "MEMORY_PRESSURE_WRITE: $trigger"
		pressure "$(echo "$both" | sed "/${trigger%% *}/s/4.00/2.99/")" "MEMORY_PRESSURE_WRITE=$(printf %s "$trigger" | base64)"
		found_none "$trigger: less is not enough"
	done
	for trigger in x "some 0 1000000" "some 2000000 1000000" "some 1" "some 99999999999999999999 1" "$(seq 1000)"; do
		pressure "$(psi 10.00)" "MEMORY_PRESSURE_WRITE=$(printf %s "$trigger" | base64 -w0)"
		found "a trigger that is none: the usual one"
	done
	in_group 0::/a /a/memory.pressure "$(psi 0.00)" /sys/fs/cgroup/a/memory.pressure "$(psi 50.00)" >"$work/out"
	keeps_little "under pressure nothing is kept"
	unset HAKMEM_SCAVENGER
	pressure "$(psi 50.00)"
	found_none "without a scavenger it is not read"
else
	skip "files of control groups" "no mounts here"
fi

group=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)/hakmem-test-$$
if mkdir "$group" 2>/dev/null && echo 293601280 >"$group/memory.limit_in_bytes" 2>/dev/null; then
	sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2"' - "$group" "$program" >"$work/out" 2>"$work/why"
	keeps_little "a real group"
	echo -1 >"$group/memory.limit_in_bytes"
	HAKMEM_SCAVENGER=always sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2" "$1/memory.limit_in_bytes" 293601280' \
		- "$group" "$program" >"$work/out" 2>"$work/why"
	keeps_little "its limit is set while the program runs"
	rmdir "$group"
else
	skip "a real group" "none can be made here"
fi

# In version 2, with the processes of this test in it only.
group=/sys/fs/cgroup/hakmem-test-$$
in_real_group() {	# program [arguments]
	HAKMEM_SCAVENGER=always sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' - "$group" "$@" >"$work/out" 2>"$work/why"
	for file in memory.max memory.high; do
		echo max >"$group/$file"
	done
}
if mkdir "$group" 2>/dev/null && [ -f "$group/memory.high" ]; then
	echo 293601280 >"$group/memory.max"
	in_real_group "$program"
	keeps_little "a real group of version 2"
	for file in memory.max memory.high; do
		in_real_group "$program" "$group/$file" 293601280
		keeps_little "its $file is set while the program runs"
		echo 293601280 >"$group/$file"
		in_real_group "$program" "$group/$file" max
		keeps_much "its $file is removed while the program runs"
	done
	if [ -f "$group/memory.pressure" ]; then
		in_real_group "$PWD/tests/pressure" set "$group/memory.high" 2M
		found "real pressure, by memory.high"
	else
		skip "real pressure, by memory.high" "this kernel does not measure it"
	fi
else
	skip "a real group of version 2" "none can be made here"
fi
rmdir "$group" 2>/dev/null
finish
