#!/bin/sh
# Which files of the kernel set the mode of huge pages of 2 MiB. Each case mounts
# its own files where the library reads them, in a mount namespace.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
unset HAKMEM_PROFILE
thp=/sys/kernel/mm/transparent_hugepage

# Sets huge to the KiB of huge pages that a growing program gets with these files, and asked to those
# for which it requests pages larger than small ones. expensive: not empty if huge pages take long.
expensive=
huge_with() {	# [file text]...
	rm -rf "$work/thp"
	mkdir -p "$work/thp/hugepages-2048kB" "$work/thp/hugepages-64kB"
	while [ $# -gt 0 ]; do
		printf '%s\n' "$2" >"$work/thp/$1"
		shift 2
	done
	unshare -m sh -c 'mount --bind "$1" "$2" && exec "$3" $4' - "$work/thp" $thp "$PWD/tests/hugeheap" "$expensive" >"$work/out" 2>"$work/why"
	read -r huge asked <"$work/out" && [ "$asked" -ge 0 ]
}

# Tried again, because huge pages may really be expensive for a while.
uses() {	# name [file text]...
	name=$1
	shift
	tries=5
	while ! { huge_with "$@" && [ "$huge" -gt 20000 ]; } && [ $tries -gt 0 ]; do
		tries=$((tries - 1))
	done
	[ "$tries" -gt 0 ]
	check $? "$name"
}

uses_none() {	# name [file text]...
	name=$1
	shift
	huge_with "$@" && [ "$huge" = 0 ] && [ "$asked" = 0 ]
	check $? "$name"
}

# Whether the kernel has such pages is not tested, but that no larger ones come of it.
asks_for_64k() {	# name [file text]...
	name=$1
	shift
	huge_with "$@" && [ "$huge" = 0 ] && [ "$asked" -gt 20000 ]
	check $? "$name"
}

size=hugepages-2048kB/enabled
unshare -m sh -c "mount --bind '$work' $thp" 2>/dev/null || { echo "1..0 # SKIP mounts are not allowed"; exit 0; }
"$PWD/tests/hugeheap" >"$work/out"
read -r huge asked <"$work/out"
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

small=hugepages-64kB/enabled
asks_for_64k "pages of 64 KiB, where those of 2 MiB are turned off" enabled 'always [madvise] never' \
	$size 'always inherit madvise [never]' $small 'always inherit [madvise] never'
asks_for_64k "the same if they inherit the mode" enabled 'always [madvise] never' \
	$size 'always inherit madvise [never]' $small 'always [inherit] madvise never'
uses_none "they inherit never" enabled 'always madvise [never]' \
	$size 'always [inherit] madvise never' $small 'always [inherit] madvise never'
uses "2 MiB if both are turned on" enabled 'always [madvise] never' \
	$size 'always [inherit] madvise never' $small 'always inherit [madvise] never'
expensive=yes
asks_for_64k "64 KiB while 2 MiB are expensive" enabled 'always [madvise] never' \
	$size 'always [inherit] madvise never' $small 'always inherit [madvise] never'
uses_none "neither, if there are no pages of 64 KiB then" enabled 'always [madvise] never' \
	$size 'always [inherit] madvise never'
finish
