# Sourced by shell tests. A case is the status of a command: `check $? name`;
# what explains a failure goes to $work/why.
set -u
LC_ALL=C
export LC_ALL
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
n=0 failures=0
: >"$work/why"

check() {	# status name
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		failures=$((failures + 1))
		echo "not ok $n - $2"
		[ ! -s "$work/why" ] || tail -n 40 "$work/why" | sed 's/^/#   /'
	fi
	: >"$work/why"
}

skip() {	# name reason
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

finish() {
	echo "1..$n"
	[ "$failures" = 0 ]
}
