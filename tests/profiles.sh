#!/bin/sh
# The suites that load the heap most, under each profile that learns; shortened,
# since they run in full under the default one.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
export HAKMEM_TEST_QUICK=20

for profile in balanced adaptive tight hardened; do
	for suite in fork limits model return teardown threads; do
		HAKMEM_PROFILE=$profile ./tests/$suite >"$work/log" 2>&1
		status=$?
		grep -v '^ok' "$work/log" >"$work/why"
		[ $status = 0 ]
		check $? "$suite under $profile"
	done
done
finish
