#!/bin/sh
# Beside preloaded libraries that wrap what a malloc calls, before it and after
# it: ours under tests/wrappers, which use the heap in each call, and those of
# packages. Each must first work with libc's malloc. HAKMEM_TEST_PATIENCE is
# how many seconds a program may take.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}
wrappers=$(dirname "$library")/../../tests/wrappers
patience=${HAKMEM_TEST_PATIENCE:-120}
launcher=
# heaptrack leaves files in the current directory when a program forks.
cd "$work" || exit 99

# run VARIABLE=VALUE... PROGRAM: nothing is preloaded into timeout itself.
run() {
	timeout -k 5 "$patience" $launcher env HAKMEM_STATS_DUMP="$work/dump.%p" "$@" </dev/null 2>>"$work/why"
}

# program NAME VARIABLE=VALUE...: what each does, and what it says.
program() {
	what=$1
	shift
	case $what in
	busy) run "$@" "$wrappers/busy" ;;
	ls) run "$@" ls -R "$HAKMEM_TEST_SOURCE/src" ;;
	python3) run "$@" python3 -c 'import json, threading
kept = [json.loads(json.dumps({str(i): ["x" * i] * 9 for i in range(200)})) for _ in range(20)]
threads = [threading.Thread(target=lambda: [bytearray(3 << 20) for _ in range(9)]) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]; del kept; print("it worked")' ;;
	git) run "$@" git hash-object --no-filters "$HAKMEM_TEST_SOURCE/src/cache/thread.c" ;;
	esac
}

# same NAME VARIABLE=VALUE...: it does what it did with libc's malloc.
same() {
	program "$@" >"$work/out" && cmp -s "$work/out" "$work/$1.wants"
}

# in_order NAME LD_PRELOAD VARIABLE=VALUE...: after a failure no more is tried.
in_order() {
	title=$1 preload=$2
	shift 2
	for what in busy ls python3 git; do
		[ -s "$work/$what.wants" ] || continue
		for profile in default balanced adaptive tight hardened; do
			case $what.$profile in ls.[at]* | python3.[at]* | git.[at]*) continue ;; esac
			same "$what" LD_PRELOAD="$preload" HAKMEM_PROFILE="$profile" "$@" && continue
			echo "$what under $profile: status $?" >>"$work/why"
			false
			check $? "$title"
			return
		done
	done
	rm -f "$work"/dump.*
	check 0 "$title"
}

# beside NAME WRAPPER VARIABLE=VALUE...
beside() {
	name=$1 wrapper=$2
	shift 2
	for object in $wrapper; do
		[ -e "$object" ] && continue
		echo "no $object" >"$work/why"
		check 1 "beside $name"
		return
	done
	for what in busy ls python3 git; do
		rm -f "$work/$what.wants"
		case $what in busy) ;; *) command -v "$what" >/dev/null || continue ;; esac
		program "$what" LD_PRELOAD="$wrapper" "$@" >"$work/out" && mv "$work/out" "$work/$what.wants"
	done
	if [ ! -s "$work/busy.wants" ]; then
		skip "beside $name" "it does not work with libc's malloc either"
		: >"$work/why"
		return
	fi
	: >"$work/why"
	in_order "before $name" "$library $wrapper" "$@"
	in_order "after $name" "$wrapper $library" "$@"
}

# installed NAME PATH VARIABLE=VALUE...: a library of a package.
installed() {
	name=$1 path=$2
	shift 2
	for found in /usr/lib/*/$path /usr/lib/$path /usr/local/lib/$path; do
		[ ! -f "$found" ] || break
	done
	if [ ! -f "$found" ]; then
		skip "beside $name" "$name is not installed"
		return
	fi
	beside "$name" "$found" "$@"
}

for wrapper in memory clock syscall locks threads files linker copies; do
	beside "a wrapper of ${wrapper}" "$wrappers/.libs/$wrapper.so"
done
beside "all of these" "$wrappers/.libs/memory.so $wrappers/.libs/clock.so $wrappers/.libs/syscall.so \
$wrappers/.libs/locks.so $wrappers/.libs/threads.so $wrappers/.libs/files.so $wrappers/.libs/linker.so \
$wrappers/.libs/copies.so"

installed faketime faketime/libfaketime.so.1 FAKETIME=-3d
installed "faketime for threads" faketime/libfaketimeMT.so.1 FAKETIME="+2h x2"
installed torsocks torsocks/libtorsocks.so
installed uid-wrapper libuid_wrapper.so UID_WRAPPER=1 UID_WRAPPER_ROOT=1
echo "root:x:0:0:root:/root:/bin/sh" >"$work/passwd"
echo "root:x:0:" >"$work/group"
installed nss-wrapper libnss_wrapper.so NSS_WRAPPER_PASSWD="$work/passwd" NSS_WRAPPER_GROUP="$work/group"
installed eatmydata libeatmydata.so
installed fakechroot fakechroot/libfakechroot.so
printf "strict_chain\n[ProxyList]\nsocks4 127.0.0.1 9050\n" >"$work/proxychains"
installed proxychains4 libproxychains.so.4 PROXYCHAINS_CONF_FILE="$work/proxychains" PROXYCHAINS_QUIET_MODE=1
installed heaptrack heaptrack/libheaptrack_preload.so DUMP_HEAPTRACK_OUTPUT=/dev/null
# This one talks to a server, which its own command starts.
if command -v fakeroot >/dev/null; then
	launcher=fakeroot
	installed fakeroot "libfakeroot/$(fakeroot sh -c 'echo "${LD_PRELOAD##*/}"' 2>/dev/null)"
	launcher=
else
	skip "beside fakeroot" "fakeroot is not installed"
fi
finish
