#!/bin/sh
# For maintainers, after a change of the ladder: changes one cell of src/cache/ladder.def at a time,
# and checks that a case of tests/reclaim fails. Takes a few minutes.
# Run in a build directory after `make && make tests/reclaim`: sh ../tests/ladder-mutations.sh
source=$(cd "$(dirname "$0")/.." && pwd)
library=src/.libs/libhakmem.a
test=tests/reclaim.o
if [ ! -f $library ] || [ ! -f $test ]; then
	echo "usage: sh $0 in a build directory with $library and $test" >&2
	exit 2
fi
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/cache"

# The amounts that a column can have, by its position; the first one is the column of caches.
amounts() {
	case $1 in
	2) echo OWN EVERY ;;
	3 | 8) echo NONE ALL ;;
	4) echo NONE OTHERS ALL ;;
	5) echo NONE SOME IDLE ALL ;;
	6 | 7) echo NONE IDLE ALL ;;
	*) echo NONE FEW DUE ALL ;;
	esac
}

# Changes without an effect:
#	A slow path works on its own cache, whatever the column of caches says.
#	FREED is given when no lock is held, so it empties no rung of a cache. tests/ladder.sh
#	checks that its row says so.
#	If stage 1 is emptied, the lists of the shared cache are too, whether they are idle or
#	not. The rungs of the thread's own cache are emptied twice; the second
#	time, all its classes are idle.
no_effect() {
	case $1,$2,$3 in
	TICK,2,* | FREED,[2-8],* | FREED,9,ALL | STARVED,2,* | GROWTH,2,*) ;;
	QUIET,6,* | PRESSURE,6,* | NO_MEMORY,6,IDLE | TRIM,6,IDLE) ;;
	*) return 1 ;;
	esac
}

# mutate REASON COLUMN AMOUNT: writes the changed table.
mutate() {
	awk -v reason="$1" -v column="$2" -v amount="$3" '
	$0 ~ "^RECLAIM\\(" reason "," {
		gsub(/[(),]/, " ")
		$(column + 1) = amount
		line = "RECLAIM(" $2
		for (i = 3; i <= NF; i++) line = line ", " $i
		print line ")"
		next
	}
	{ print }' "$source/src/cache/ladder.def" >"$work/cache/ladder.def"
}

# True if a case fails.
is_noticed() {
	${CC:-gcc} -O1 -w -DHAVE_CONFIG_H -I"$work" -I. -I"$source/src" -I"$source/include" \
		-c "$source/src/cache/reclaim.c" -o "$work/reclaim.o" &&
		${CC:-gcc} -Wl,--export-dynamic -o "$work/reclaim" $test "$work/reclaim.o" $library \
			-lpthread -ldl 2>"$work/link" || { cat "$work/link" >&2; exit 2; }
	! "$work/reclaim" "$1" >"$work/tap" || ! grep -q '^1\.\.' "$work/tap"
}

reasons=$(sed -n 's/^RECLAIM(\([A-Z_]*\),.*/\1/p' "$source/src/cache/ladder.def")
tr -d " " <"$source/src/cache/ladder.def" >"$work/original"
changes=0 missed=0
for reason in $reasons; do
	for column in 2 3 4 5 6 7 8 9 10 11; do
		for amount in $(amounts $column); do
			mutate "$reason" $column "$amount"
			tr -d " " <"$work/cache/ladder.def" | cmp -s - "$work/original" && continue
			no_effect "$reason" $column "$amount" && continue
			changes=$((changes + 1))
			if ! is_noticed "$reason"; then
				missed=$((missed + 1))
				echo "no case fails if column $column of $reason is $amount"
			fi
		done
	done
done
echo "$changes changes, $missed of them not noticed"
[ "$missed" = 0 ]
