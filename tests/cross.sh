#!/bin/sh
# Other architectures, C libraries and compilers: builds the library and the
# tests written in C for each, and runs them, foreign ones under qemu's user
# emulation. See --help. Prints TAP.
set -u
usage() {
	cat <<-END
	usage: tests/cross.sh [--table] [ARCH...]
	  ARCH     arm64 armhf i386 ppc64el s390x riscv64, or clang, musl, pages64k,
	           which are this machine's architecture (default: all)
	  --table  print what configure answers for each, build nothing
	Run in any folder; builds in cross/ARCH there. Needed for the first six:
	qemu-user, and gcc-TRIPLET g++-TRIPLET of each, with what these recommend.
	END
}
everything="arm64 armhf i386 ppc64el s390x riscv64 clang musl pages64k"
table=
case ${1-} in
--table) table=yes; shift ;;
--help | -h) usage; exit ;;
-*) usage >&2; exit 2 ;;
esac
source=$(cd "$(dirname "$0")/.." && pwd)
. "$source/tests/tap.sh"
say() { echo "# $(date +%T) $*"; }

# Sets the compilers, the emulator and configure's words for one of them.
target() {	# arch
	emulator= triplet= cc=gcc cxx=g++
	case $1 in
	arm64) triplet=aarch64-linux-gnu emulator=qemu-aarch64 ;;
	armhf) triplet=arm-linux-gnueabihf emulator=qemu-arm ;;
	i386) triplet=i686-linux-gnu emulator=qemu-i386 ;;
	ppc64el) triplet=powerpc64le-linux-gnu emulator=qemu-ppc64le ;;
	s390x) triplet=s390x-linux-gnu emulator=qemu-s390x ;;
	riscv64) triplet=riscv64-linux-gnu emulator=qemu-riscv64 ;;
	clang) cc=clang cxx=clang++ ;;
	musl) cc=musl-gcc ;;
	pages64k) emulator="qemu-$(uname -m) -p 65536" ;;
	*) echo "$0: no such architecture: $1" >&2; usage >&2; exit 2 ;;
	esac
	unset QEMU_LD_PREFIX HAKMEM_TEST_EMULATED HAKMEM_TEST_QUICK
	# Emulation is 20 to 50 times slower, and says itself how a program ended.
	[ -z "$emulator" ] || export HAKMEM_TEST_EMULATED="$emulator" HAKMEM_TEST_QUICK=20
	options="CC=$cc CXX=$cxx"
	[ -n "$triplet" ] || return
	options=--host=$triplet cc=$triplet-gcc
	export QEMU_LD_PREFIX=/usr/$triplet
}

# One line of the table, from the words in which configure sums up.
row() {	# arch
	sed -n 's/^  hakmem .* for //p; s/^    cache line *//p; s/^    TLS model *//p; s/^    huge pages *//p' \
		configure.log | paste -s -d '|' | sed "s/^/| $1 | /; s/|\([^ ]\)/ | \1/g; s/\$/ |/"
}

tests='abuse alignment calloc churn containers early fork hostile model realloc settings sizes teardown threads
	debug dlopen fork_static limits mappings metadata return stats surface cxx_ops operators replaced replaced_static learn
	phases teardown_cxx env/limits'
programs=
for test in $tests; do programs="$programs tests/$test"; done

if [ -n "$table" ]; then
	echo "| architecture | target | cache line | TLS model | huge pages |"
	echo "|---|---|---|---|---|"
fi
top=$PWD
for arch in ${*:-$everything}; do
	target "$arch"
	for tool in $cc ${emulator%% *}; do
		command -v "$tool" >/dev/null || { skip "$arch" "no $tool"; continue 2; }
	done
	mkdir -p "$top/cross/$arch" && cd "$top/cross/$arch" || exit 99
	[ -n "$table" ] || say "$arch: configuring, building"
	"$source/configure" --enable-werror --disable-command $options >configure.log 2>&1 || cp configure.log "$work/why"
	[ -z "$table" ] || { row "$arch"; continue; }
	[ ! -s "$work/why" ] && make -s -j2 check_PROGRAMS="$programs" check TESTS= >build.log 2>&1
	status=$?
	[ $status = 0 ] || grep -E 'error|warning' build.log >"$work/why"
	check $status "$arch: builds without a warning"
	[ $status = 0 ] || continue
	say "$arch: running the tests"
	for test in $tests; do rm -f "tests/$test.trs"; done
	# Most tests have one thread.
	make -s -j2 check check_PROGRAMS= TESTS="$programs" LOG_COMPILER="timeout -k 10 1500 $emulator" >/dev/null 2>&1
	for test in $tests; do
		grep -q '^:global-test-result: \(PASS\|SKIP\)' "tests/$test.trs"
		status=$?
		count=$(grep -c '^:test-result: PASS' "tests/$test.trs")
		[ $status = 0 ] || grep -v '^\(ok\|PASS\)' "tests/$test.log" >"$work/why"
		check $status "$arch: $test ($count cases)"
	done
done
[ -n "$table" ] || finish
