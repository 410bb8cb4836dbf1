#!/bin/sh
# <hakmem/hakmem.hpp> and its test under each compiler and standard.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
source=$HAKMEM_TEST_SOURCE
built=$(dirname "${HAKMEM_TEST_LIBRARY:?run by make check}")
cp "$HAKMEM_TEST_LIBRARY" "$work/libhakmem.so.1"
strict='-Wall -Wextra -Wpedantic -Wconversion -Wold-style-cast -Wnon-virtual-dtor -Werror'
cat >"$work/uses.cc" <<'END'
#include <hakmem/hakmem.hpp>
#include <vector>
std::vector<int, hakmem::allocator<int>> numbers;
#ifdef __cpp_lib_memory_resource
std::pmr::vector<int> more(hakmem::resource());
#endif
END

for compiler in g++ clang++; do
	for options in '' '-fno-exceptions -fno-rtti'; do
		for standard in 17 20 2b; do
			need $compiler && $compiler -fsyntax-only -std=c++$standard $strict $options -I "$source/include" \
				"$work/uses.cc" 2>"$work/why"
			check $? "$compiler -std=c++$standard $options: no warning"
		done
	done
	need $compiler && $compiler -std=c++17 -D_GNU_SOURCE -O2 -I "$source/include" -I "$source/src" -iquote "$source/tests" \
		"$source/tests/containers.cc" -o "$work/containers" "$built/libhakmem.so" -pthread 2>"$work/why" &&
		LD_LIBRARY_PATH=$work "$work/containers" >"$work/why" 2>&1
	check $? "$compiler: tests/containers passes"
done
finish
