#!/bin/sh
# The memory limit of a control group: near it nothing is kept and there are no
# further huge pages. Files of version 2, and of version 1, are put where the
# library looks, in a mount namespace of the case; and a real group, where one
# can be made.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
unset HAKMEM_PROFILE
program=$PWD/tests/cgroup

# Runs the program where /sys/fs/cgroup and /proc/self/cgroup are these.
in_group() {	# line-of-proc file bytes [program's arguments]
	mkdir -p "$work/sys$(dirname "$2")" && echo "$1" >"$work/line" && echo "$3" >"$work/sys$2" &&
		unshare -m sh -c 'mount --bind "$1/sys" /sys/fs/cgroup &&
			mount --bind "$1/line" /proc/$$/cgroup && shift && exec "$@"' - "$work" "$program" ${4+"$4"} ${5+"$5"} 2>"$work/why"
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

"$program" >"$work/free"
read -r huge stays <"$work/free"
[ "$stays" -gt 20000 ]
check $? "without a limit 40 MiB are kept for a while"

if unshare -m sh -c "mount --bind '$work' /sys/fs/cgroup" 2>/dev/null; then
	in_group 0::/a/b /a/b/memory.max 293601280 >"$work/out"
	keeps_little "version 2: near the limit they are not"
	in_group 0::/a/b /a/b/memory.max 67108864 >"$work/out"
	read -r near_huge near_stays <"$work/out"
	if [ "$huge" -gt 60000 ]; then
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
finish
