#!/bin/sh
# fuzz.sh [NAME ...]: runs all fuzz targets of tests/fuzz, or only these, in parallel for
# FUZZ_SECONDS (600), in the build directory. It prints TAP on standard output; the output
# of libFuzzer, and the input that made a target fail, are in fuzz/NAME/. The comment at the
# start of a target NAME.c says what it is linked with, and how it is run:
#
#	sources: FILE ...	of this package
#	options: OPTION ...	of libFuzzer
#
# tests/fuzz/corpus/NAME is the seed corpus. A FILE.hex there is an input that is not text, as
# od -An -v -tx1 prints it. New interesting inputs are written to fuzz/NAME/new.
set -u
source=$(cd "$(dirname "$0")/.." && pwd)
seconds=${FUZZ_SECONDS:-600}
clang=${FUZZ_CC:-clang}
HAKMEM_TEST_SOURCE=$source
. "$source/tests/tap.sh"

# The words behind "what:" in the target's comment.
said() {	# name what
	sed -n "1,20s/^[ *]*$2: *//p" "$source/tests/fuzz/$1.c" | tr '\n' ' '
}

build() {	# name
	files=$(said "$1" sources | tr ' ' '\n' | sed "/./s,^,$source/,")
	[ -n "$files" ] && "$clang" -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -Wall -Wextra -Wno-unused-function -D_GNU_SOURCE -DHAVE_CONFIG_H -DLIBDIR='"/usr/lib"' \
		-I . -I "$source/src" -I "$source/include" $(pkg-config --cflags jansson 2>/dev/null) \
		-o "fuzz/$1/target" "$source/tests/fuzz/$1.c" $files $(pkg-config --libs jansson 2>/dev/null) -lm
}

seeds() {	# name
	for file in "$source/tests/fuzz/corpus/$1"/*; do
		seed=fuzz/$1/seeds/$(basename "$file" .hex)
		case $file in
		*.hex) python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))' <"$file" >"$seed" ;;
		*) cp "$file" "$seed" ;;
		esac || return
	done
}

# Leaks are not reported: the command ends soon.
run() {	# name
	ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=32 "fuzz/$1/target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 \
		-close_fd_mask=3 -print_final_stats=1 -artifact_prefix="fuzz/$1/" $(said "$1" options) \
		"fuzz/$1/new" "fuzz/$1/seeds"
}

[ $# -gt 0 ] || set -- $(cd "$source/tests/fuzz" && ls ./*.c | sed 's,^\./,,; s,\.c$,,')
echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }' >"$work/try.c"
if ! "$clang" -fsanitize=fuzzer,address,undefined -o "$work/try" "$work/try.c" 2>"$work/why"; then
	for name; do
		skip "fuzzing $name" "no clang with libFuzzer (libclang-rt-dev)"
	done
	finish
	exit
fi
for name; do
	rm -rf "fuzz/$name" && mkdir -p "fuzz/$name/new" "fuzz/$name/seeds"
	{ build "$name" && seeds "$name" && run "$name"; echo $? >"fuzz/$name/status"; } >"fuzz/$name/log" 2>&1 &
done
wait
for name; do
	grep -v '^#[0-9]' "fuzz/$name/log" >"$work/why"
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "fuzz/$name/log")
	[ "$(cat "fuzz/$name/status")" = 0 ] && [ "${runs:-0}" -gt 0 ]
	check $? "fuzzing $name for $seconds seconds: ${runs:-no} inputs"
done
finish
