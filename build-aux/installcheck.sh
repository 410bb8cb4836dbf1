#!/bin/sh
# Run by make installcheck, in the build directory: uses the library from where
# it was installed, as its users would. Prints TAP.
set -u
here=$(dirname "$0")
lib=$DESTDIR$libdir
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0 failures=0

result() {	# status name
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		failures=$((failures + 1))
		echo "not ok $n - $2"
	fi
}

skip() {	# name reason
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

pc() {
	PKG_CONFIG_LIBDIR=$DESTDIR$pkgconfigdir PKG_CONFIG_SYSROOT_DIR=$DESTDIR \
		${PKG_CONFIG:-pkg-config} "$@" hakmem
}

build() {	# program options...
	out=$1
	shift
	$CC $CFLAGS $defines $(pc --cflags) "$here/installcheck.c" -o "$work/$out" "$@"
}

says_version() {	# program
	[ "$("$work/$1")" = "$(pc --modversion)" ]
}

defines=
grep -q '^#define HK_PREFIXED' config.h && defines=-DPREFIXED

if [ -e "$lib/libhakmem.so" ]; then
	export LD_LIBRARY_PATH="$lib"
	build shared $(pc --libs) && says_version shared
	result $? "a program linked with the shared library"

	LC_ALL=C ldd "$work/shared" | grep -qF "libhakmem.so.1 => $lib/libhakmem.so.1"
	result $? "it is found by its SONAME, libhakmem.so.1"

	$NM -D --defined-only "$lib/libhakmem.so" | sed 's/.* //' >"$work/names"
	grep -q '^hak_malloc@@HAKMEM_1$' "$work/names" && ! grep '^hak_' "$work/names" | grep -v '@@HAKMEM_1$'
	result $? "hak_ names have the version HAKMEM_1"

	if [ -n "$defines" ]; then
		! grep -v '^hak_\|^HAKMEM_1' "$work/names"
		result $? "there are no other names"
	else
		grep -qx malloc "$work/names" && ! grep -v '^hak_\|^HAKMEM_1' "$work/names" | grep '@'
		result $? "libc's names have no version"
		LD_PRELOAD=libhakmem.so.1 grep -qF "$lib/libhakmem.so.1" /proc/self/maps
		result $? "a program runs with the library preloaded"
		(set -a && . "$DESTDIR$sysconfdir/hakmem/default.env" &&
			grep -qF "$lib/libhakmem.so.1" /proc/self/maps)
		result $? "the default profile's file alone preloads it"
	fi
else
	skip "the shared library" "not built"
fi

if [ ! -e "$lib/libhakmem.a" ]; then
	skip "the static library" "not built"
elif ! echo 'int main(void) { return 0; }' | $CC $CFLAGS -static -x c - -o "$work/empty" 2>/dev/null; then
	skip "the static library" "no static C library"
else
	build static -static $(pc --static --libs) && says_version static
	result $? "a program linked statically"
fi

echo "1..$n"
[ "$failures" = 0 ]
