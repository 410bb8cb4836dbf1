#!/bin/sh
# Run by make installcheck, in the build directory: uses the library from where
# it was installed, as its users would. Prints TAP.
here=$(dirname "$0")
. "$here/../tests/tap.sh"
lib=$DESTDIR$libdir

pc() {
	PKG_CONFIG_LIBDIR=$DESTDIR$pkgconfigdir PKG_CONFIG_SYSROOT_DIR=$DESTDIR \
		${PKG_CONFIG:-pkg-config} "$@" hakmem
}

build() {	# program options...
	out=$1
	shift
	$CC $CFLAGS $defines $(pc --cflags) "$here/installcheck.c" -o "$work/$out" "$@" 2>"$work/why"
}

# The same source as C++, which calls the operators as well.
build_cxx() {	# program options...
	out=$1
	shift
	$CXX $CXXFLAGS $defines $(pc --cflags) -x c++ "$here/installcheck.c" -x none -o "$work/$out" "$@" 2>"$work/why"
}

says_version() {	# program
	[ "$("$work/$1")" = "$(pc --modversion)" ]
}

defines=
[ -z "$prefixed" ] || defines=-DPREFIXED

if [ -e "$lib/libhakmem.so" ]; then
	export LD_LIBRARY_PATH="$lib"
	build shared $(pc --libs) && says_version shared
	check $? "a program linked with the shared library"

	build_cxx shared_cxx $(pc --libs) && says_version shared_cxx
	check $? "the same in C++"

	LC_ALL=C ldd "$work/shared" | grep -qF "libhakmem.so.1 => $lib/libhakmem.so.1"
	check $? "it is found by its SONAME, libhakmem.so.1"

	$NM -D --defined-only "$lib/libhakmem.so" | sed 's/.* //' >"$work/names"
	grep -q '^hak_malloc@@HAKMEM_1$' "$work/names" && ! grep '^hak' "$work/names" | grep -v '@@HAKMEM_1$'
	check $? "hak_ names have the version HAKMEM_1"

	if [ -n "$defines" ]; then
		! grep -v '^hak\|^HAKMEM_1' "$work/names"
		check $? "there are no other names"
	else
		grep -qx malloc "$work/names" && ! grep -v '^hak\|^HAKMEM_1' "$work/names" | grep '@'
		check $? "libc's names have no version"
		LD_PRELOAD=libhakmem.so.1 grep -qF "$lib/libhakmem.so.1" /proc/self/maps
		check $? "a program runs with the library preloaded"
		(set -a && . "$DESTDIR$sysconfdir/hakmem/default.env" &&
			grep -qF "$lib/libhakmem.so.1" /proc/self/maps)
		check $? "the default profile's file alone preloads it"
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
	check $? "a program linked statically"
	build_cxx static_cxx -static $(pc --static --libs) && says_version static_cxx
	check $? "the same in C++"
	echo 'int main(void) { return 0; }' | $CC $CFLAGS -static -x c - -x none -Wl,-u,${defines:+hak_}malloc \
		$(pc --static --libs) -o "$work/plain" 2>"$work/why" &&
		HAKMEM_STATS_DUMP=$work/dump HAKMEM_LEARN_SAVE=$work/learned "$work/plain" 2>"$work/why" &&
		[ -s "$work/dump" ] && [ -s "$work/learned" ]
	check $? "a static program that only allocates writes its reports at exit"
fi

here_cmake=$here/cmake
. "$here_cmake/project.sh"
if command -v cmake >/dev/null; then
	project_programs "$lib/cmake/hakmem" "$(pc --modversion)" "$defines"
else
	skip "find_package(hakmem)" "no cmake"
fi

finish
