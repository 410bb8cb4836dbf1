# Sourced after tap.sh, with $here_cmake the folder of this file: tries the
# project there with the installed package files.

# Configures the project in $work/project.
project() {	# folder-of-package-files version
	rm -rf "$work/project"
	cmake -S "$here_cmake" -B "$work/project" -Dhakmem_DIR="$1" -DWANTED="$2" >"$work/why" 2>&1
}

# Programs in C and C++ with both targets print the version of the library.
project_programs() {	# folder-of-package-files version defines
	CFLAGS="${CFLAGS-} $3" CXXFLAGS="${CXXFLAGS-} $3" project "$1" "$2"
	check $? "find_package(hakmem $2)"
	cmake --build "$work/project" >"$work/why" 2>&1
	check $? "the CMake project builds"
	for target in hakmem hakmem_static; do
		[ -e "$work/project/with_$target" ] || { skip "hakmem::$target" "not installed"; continue; }
		[ "$("$work/project/with_$target" 2>"$work/why")" = "$2" ] &&
			[ "$("$work/project/with_${target}_cxx" 2>"$work/why")" = "$2" ]
		check $? "hakmem::$target in C and in C++"
	done
	if [ -e "$work/project/empty" ]; then
		HAKMEM_PROFILE=nonsense "$work/project/empty" 2>"$work/why" && grep -q nonsense "$work/why"
		check $? "hakmem::hakmem_static replaces malloc in a program that never calls it"
	fi
}
