#!/bin/sh
# The files of cache/, of pool/ and of slab/ call each other in one direction: those that call
# in a circle can only be understood together. The ends of a thread and of a fork are such
# a pair.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
build=$(dirname "${HAKMEM_TEST_LIBRARY:?run by make check}")/..

for tool in nm tsort; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP no $tool"; exit 0; }
done

# calls FOLDER: pairs of files, the caller first, without those that may be a circle.
calls() {
	: >"$work/defined"
	: >"$work/wanted"
	for object in "$build/$1"/.libs/libhakmem_la-*.o; do
		[ -f "$object" ] || continue
		file=$(basename "$object" .o | sed 's/^libhakmem_la-//')
		nm --defined-only "$object" | awk -v file="$file" 'NF == 3 && $2 == "T" { print $3, file }' >>"$work/defined"
		nm -u "$object" | awk -v file="$file" '{ print $NF, file }' >>"$work/wanted"
	done
	sort "$work/defined" >"$work/defined.sorted"
	sort "$work/wanted" | join - "$work/defined.sorted" | awk '{ print $2, $3 }' | sort -u |
		grep -vxE 'thread fork|fork thread'
}

for folder in slab pool cache; do
	calls $folder >"$work/pairs"
	if [ ! -s "$work/defined" ]; then
		echo "1..0 # SKIP nm reads no objects of this compiler"
		exit 0
	fi
	tsort "$work/pairs" >/dev/null 2>"$work/why"
	check $? "no circle of calls in src/$folder"
done

# The check can fail.
calls cache >"$work/pairs"
sed 's/\(.*\) \(.*\)/\2 \1/' "$work/pairs" | head -n 1 | cat "$work/pairs" - | tsort >/dev/null 2>&1
[ $? != 0 ] && [ -s "$work/pairs" ]
check $? "a circle would be seen"
finish
