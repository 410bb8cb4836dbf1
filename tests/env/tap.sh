# Sourced by the scripts about settings, which make check runs in the top build
# directory. A case is the status of a command: `check $? name`.
set -u
LC_ALL=C
export LC_ALL
source=${HAKMEM_TEST_SOURCE:?run by make check}
settings=./tests/settings
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
tab=$(printf '\t')
n=0

check() {	# status name
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		[ ! -s "$work/why" ] || sed 's/^/#   /' "$work/why"
	fi
	: >"$work/why"
}

skip() {	# name reason
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

finish() {
	echo "1..$n"
}

"$settings" table >"$work/table" && [ -s "$work/table" ] || exit 99
: >"$work/why"
