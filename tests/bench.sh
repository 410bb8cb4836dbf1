#!/bin/sh
# What make bench computes, prints and accepts, without a run of it.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
folder=$HAKMEM_TEST_SOURCE/tests/bench

# The explanations of all failures go with the first one.
if command -v python3 >/dev/null; then
	python3 "$folder/cases.py" >"$work/cases" 2>"$work/errors"
	while read -r status name; do
		[ "$status" = 0 ] || mv "$work/errors" "$work/why" 2>/dev/null
		check "$status" "$name"
	done <"$work/cases"
	[ "$n" -gt 0 ] || cp "$work/errors" "$work/why"
	[ "$n" -gt 0 ]
	check $? "the cases of bench/cases.py ran"
else
	skip "the cases of bench/cases.py" "no python3"
fi
finish
