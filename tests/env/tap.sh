# Sourced by the scripts about settings, which make check runs in the top build
# directory.
source=${HAKMEM_TEST_SOURCE:?run by make check}
. "$source/tests/tap.sh"
settings=./tests/settings
tab=$(printf '\t')

"$settings" table >"$work/table" && [ -s "$work/table" ] || exit 99
