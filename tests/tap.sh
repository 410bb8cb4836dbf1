# Sourced by shell tests. A case is the exit status of a command: `check $? name`. The
# explanation of a failure is written to $work/why.
set -u
LC_ALL=C
export LC_ALL
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
n=0 failures=0
: >"$work/why"

check() {	# status name
	if [ -e "$work/lacks" ]; then
		skip "$2" "no $(cat "$work/lacks")"
		rm "$work/lacks"
		: >"$work/why"
		return
	fi
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

# Used in a case, also in a subshell: skips the case if this program is not installed.
need() {	# program
	command -v "$1" >/dev/null || { echo "$1" >"$work/lacks"; false; }
}

skip() {	# name reason
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# until_so COMMAND...: waits until it succeeds; fails after 600 tries, about a minute.
until_so() {
	tries=600
	until "$@"; do
		[ $((tries -= 1)) -gt 0 ] || return 1
		sleep 0.1
	done
}

finish() {
	echo "1..$n"
	[ "$failures" = 0 ]
}
