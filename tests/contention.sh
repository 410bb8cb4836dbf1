#!/bin/sh
# How often threads may wait for each other, by the counts of a debug build:
# at most 5 times in 1,000 calls, and for no lock of the process more than once.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"

grep -q '"contention"' "$HAKMEM_TEST_LIBRARY" || { echo "1..0 # SKIP a debug build counts"; exit 0; }
command -v python3 >/dev/null || { echo "1..0 # SKIP no python3"; exit 0; }
"$HAKMEM_TEST_SOURCE/tests/bench/bench" --contention --programs tests/bench \
	--library "$HAKMEM_TEST_LIBRARY" >"$work/table" 2>"$work/why"
check $? "the loads run and are counted"
bounds() {	# load
	cp "$work/table" "$work/why"
	awk -v load="$1" '/ contended$/ { for (i = 1; i <= NF; i++) title[i] = $i }
		$1 == load { found = 1; for (i = 2; i <= NF; i++) at[title[i - 1]] = $i }
		END { exit !found || at["contended"] > 5 || at["pool"] > 1 || at["registry"] > 1 ||
			at["orphan"] > 1 || at["large"] > 1 || at["meta"] > 1 || at["pagemap"] > 1 }' "$work/table"
}

for load in larson-2 larson-8 larson-64; do
	bounds $load
	check $? $load
done
# Slabs that empty go to the pool and come back one by one: PERFORMANCE.md.
for load in pass-2 pass-8 pass-64; do
	n=$((n + 1))
	if bounds $load; then echo "ok $n - $load # TODO"; else echo "not ok $n - $load # TODO"; fi
done
finish
