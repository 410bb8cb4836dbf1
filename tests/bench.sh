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

# plan OPTION...: what make bench-sid would do with these.
plan() { "$folder/elsewhere" --systems "$work/systems" --plan "$@" >"$work/plan" 2>"$work/why"; }

plan && grep -qx 'make sid' "$work/plan" && grep -qx "results: .*/docs/results/[0-9-]*-sid.txt" "$work/plan"
check $? "bench-sid makes a system and writes the results of a whole run"
plan --suite trixie -- --rounds 2 && grep -qx 'make trixie' "$work/plan" && grep -qx 'options: --targets --rounds 2' "$work/plan" &&
	grep -qx "results: .*-trixie.txt" "$work/plan"
check $? "--suite is another release, and options after -- are those of make bench"
plan -- --rounds 2 --only=rss && grep -qx 'results: none' "$work/plan" &&
	grep -qx 'options: --rounds 2 --only=rss' "$work/plan"
check $? "the tables of some workloads are not written, and have no targets"
plan --results "$work/mine" -- --quick && grep -qx "results: $work/mine" "$work/plan"
check $? "except with --results"
for words in --suite '--suite nothing' --unknown 'word'; do
	# shellcheck disable=SC2086	# several words
	plan $words
	[ $? = 2 ] && grep -q 'elsewhere: .*--help' "$work/why"
	check $? "refuses $words"
done

mkdir -p "$work/other/etc"
! plan --chroot "$work/other" && grep -q 'is no system of this script' "$work/why" && [ -d "$work/other/etc" ]
check $? "a folder with other files is refused"
echo 'sid gcc' >"$work/other/etc/hakmem-bench"
plan --chroot "$work/other" && grep -qx 'make sid' "$work/plan"
check $? "a system with other packages is made again"
sed -n 's/^system: //p' "$work/plan" >"$work/other/etc/hakmem-bench"
plan --chroot "$work/other" && grep -qx 'reuse sid' "$work/plan"
check $? "a system with the same packages is used again"
plan --chroot "$work/other" --renew && grep -qx 'make sid' "$work/plan"
check $? "except with --renew"
finish
