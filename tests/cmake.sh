#!/bin/sh
# A CMake project finds the installed library after its tree was moved, and
# builds programs with both targets.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
here_cmake=$HAKMEM_TEST_SOURCE/build-aux/cmake
. "$here_cmake/project.sh"
build=$(dirname "${HAKMEM_TEST_LIBRARY:?run by make check}")/../..
unset MAKEFLAGS MFLAGS MAKELEVEL
if ! need cmake; then
	skip "a CMake project" "no cmake"
	finish
	exit
fi

make -s -C "$build" install DESTDIR="$work/stage" >"$work/why" 2>&1
check $? "make install"
mv "$work/stage" "$work/moved"
folder=$(dirname "$(find "$work/moved" -name hakmemConfig.cmake)")
libdir=$folder/../..
LD_LIBRARY_PATH=$libdir
export LD_LIBRARY_PATH

version=$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)").*/\1/p' "$folder/hakmemConfigVersion.cmake")
project_programs "$folder" "$version" ''
# As where /lib leads to /usr/lib.
ln -s "$libdir" "$work/link"
project "$work/link/cmake/hakmem" 1 && cmake --build "$work/project" >"$work/why" 2>&1
check $? "found through a link to the folder of libraries"
for wrong in 99.0 0.9 1.99; do
	! project "$folder" $wrong && grep -q 'Could not find a configuration file' "$work/why"
	check $? "find_package(hakmem $wrong) fails"
done
sed -i.kept 's/EQUAL [0-9]*)/EQUAL 2)/' "$folder/hakmemConfigVersion.cmake"
! project "$folder" 1.0 && grep -q -e '-byte pointers' "$work/why"
check $? "a library for another word size is refused"
mv "$folder/hakmemConfigVersion.cmake.kept" "$folder/hakmemConfigVersion.cmake"

rm "$libdir/libhakmem.a"
project "$folder" 1 && cmake --build "$work/project" >"$work/why" 2>&1 &&
	[ ! -e "$work/project/with_hakmem_static" ] && [ -e "$work/project/with_hakmem" ]
check $? "without the archive there is only the shared target"
rm "$libdir"/libhakmem.so*
! project "$folder" 1 && grep -q 'there is neither libhakmem.so' "$work/why"
check $? "without both libraries the message says so"
finish
