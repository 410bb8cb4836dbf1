#!/bin/sh
# Which files of the kernel set the mode of huge pages of 2 MiB. Each case mounts
# its own files where the library reads them, in a mount namespace.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
unset HAKMEM_PROFILE
thp=/sys/kernel/mm/transparent_hugepage

# Sets huge to the KiB of huge pages that a growing program gets with these files.
huge_with() {	# [file text]...
	rm -rf "$work/thp"
	mkdir -p "$work/thp/hugepages-2048kB"
	while [ $# -gt 0 ]; do
		printf '%s\n' "$2" >"$work/thp/$1"
		shift 2
	done
	unshare -m sh -c 'mount --bind "$1" "$2" && exec "$3"' - "$work/thp" $thp "$PWD/tests/cgroup" >"$work/out" 2>"$work/why"
	read -r huge stays <"$work/out" && [ "$stays" -ge 0 ]
}

uses() {	# name [file text]...
	name=$1
	shift
	huge_with "$@" && [ "$huge" -gt 20000 ]
	check $? "$name"
}

uses_none() {	# name [file text]...
	name=$1
	shift
	huge_with "$@" && [ "$huge" = 0 ]
	check $? "$name"
}

size=hugepages-2048kB/enabled
unshare -m sh -c "mount --bind '$work' $thp" 2>/dev/null || { echo "1..0 # SKIP mounts are not allowed"; exit 0; }
"$PWD/tests/cgroup" >"$work/out"
read -r huge stays <"$work/out"
[ "$huge" -gt 20000 ] || { echo "1..0 # SKIP the kernel gives no huge pages"; exit 0; }

uses_none "no files: none"
uses "an older kernel: one mode for all" hpage_pmd_size 2097152 enabled 'always [madvise] never'
uses_none "an older kernel whose huge pages have another size" hpage_pmd_size 536870912 enabled 'always [madvise] never'
uses "the mode of 2 MiB, where the largest page is larger" hpage_pmd_size 536870912 enabled 'always madvise [never]' \
	$size 'always inherit [madvise] never'
uses "it inherits" hpage_pmd_size 536870912 enabled 'always [madvise] never' $size 'always [inherit] madvise never'
uses_none "it inherits never" hpage_pmd_size 2097152 enabled 'always madvise [never]' $size 'always [inherit] madvise never'
uses_none "2 MiB are turned off" hpage_pmd_size 2097152 enabled 'always [madvise] never' $size 'always inherit madvise [never]'
uses_none "anything else counts as never" hpage_pmd_size 2097152 enabled 'always [madvise] never' \
	$size "$(head -c 100000 /dev/zero | tr '\0' a)[madvise]"
finish
