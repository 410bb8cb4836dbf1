#!/bin/sh
# Libraries opened with RTLD_DEEPBIND see libc's malloc before the preloaded
# one. What keeps to one heap works; the ways out that
# hakmem(7) names make all work.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}
deep=$(dirname "$library")/../../tests/deepbind

run() {	# givers-and-takers module
	LD_PRELOAD="$library ${shallow-}" "$deep/host" "$1" "$deep/.libs/$2.so" >"$work/line" 2>"$work/why"
}

all_ways() {	# module what
	for way in module-module module-host host-module strdup-module strdup-host; do
		run $way "$1" && [ ! -s "$work/why" ]
		check $? "$2: $way"
	done
}

if ! run module-module libc || run module-host libc; then
	skip "RTLD_DEEPBIND" "this libc has none"
	finish
	exit
fi
run module-module libc && [ ! -s "$work/why" ]
check $? "a module that frees what it allocates"
run strdup-host libc && [ ! -s "$work/why" ]
check $? "the program frees what libc allocated for a module"
run module-host libc
# The shell has its word on the signal too.
[ $? = 134 ] && grep -vx Aborted "$work/why" | cmp -s "$work/line"
check $? "the program frees a module's block: one line, then abort"
all_ways hakmem "a module linked with the library"

shallow=$work/shallow.so
if ! command -v cc >/dev/null; then
	skip "opened without the flag" "no compiler here"
	finish
	exit
fi
cc -O2 -shared -fPIC -o "$shallow" "$HAKMEM_TEST_SOURCE/examples/shallow.c" 2>"$work/why"
check $? "examples/shallow.c is built as it says"
all_ways libc "opened without the flag"
php() {
	env "$@" php -r 'echo extension_loaded("pdo"), preg_replace("/a+/", "b", "xaax");' >"$work/line" 2>"$work/why" &&
		grep -qx 1xbx "$work/line" && [ ! -s "$work/why" ]
}
if php; then
	php LD_PRELOAD="$library $shallow"
	check $? "php opens its extensions"
else
	skip "php opens its extensions" "no php here that does"
fi
finish
