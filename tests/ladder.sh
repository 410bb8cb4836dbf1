#!/bin/sh
# What is released for which reason is one table, in the code and in the documentation.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
table=$HAKMEM_TEST_SOURCE/src/cache/ladder.def
page=$HAKMEM_TEST_SOURCE/docs/memory-return.md

# One row a line: the reason, and the words of its cells.
rows_of_code() {
	sed -n 's/^RECLAIM(\(.*\))$/\1/p' "$1" | tr -d ' \t' | tr ',' ' ' | awk '
	{
		row = $1
		for (i = 2; i <= NF; i++) row = row " " ($i == "NONE" ? "-" : tolower($i))
		print row
	}'
}

# The table whose first column is "reason".
rows_of_page() {
	awk '/^\| reason /{ on = 1; next } on && /^\|---/{ next } on && /^\|/{ print; next } { on = 0 }' "$1" |
		tr -d '|' | tr -s ' ' | sed 's/^ //; s/ $//'
}

columns_of_code() {
	sed -n 's/^\/\*  *\(reason .*\) \*\/$/\1/p' "$1" | tr -s ' '
}

columns_of_page() {
	sed -n 's/^| \(reason .*\) |$/\1/p' "$1" | tr -d '|' | tr -s ' '
}

[ -n "$(columns_of_code "$table")" ] && [ "$(columns_of_code "$table")" = "$(columns_of_page "$page")" ]
check $? "the columns of the page are those of the code"

rows_of_code "$table" >"$work/code"
rows_of_page "$page" >"$work/page"
while read -r reason cells; do
	grep -x "$reason .*" "$work/page" >"$work/why"
	grep -qx "$reason $cells" "$work/page"
	check $? "the row of $reason is the same"
done <"$work/code"
[ "$(wc -l <"$work/page")" = "$(wc -l <"$work/code")" ]
check $? "the page has no other rows"

# What each row must satisfy, whatever the amounts are.
awk '$1 == "TRIM" { for (i = 3; i <= NF; i++) if ($i != "all") exit 1; found = 1 } END { exit !found }' "$work/code"
check $? "malloc_trim releases everything"
awk '$1 == "GROWTH" || $1 == "STARVED" { if ($9 $10 $11 != "---") exit 1 }' "$work/code"
check $? "a class that needs memory releases none to the system"

awk '$1 == "FREED" { exit $3 $4 $5 $6 $7 $8 $9 != "-------" }' "$work/code"
check $? "FREED empties no rung of a cache, because no lock is held then"

# The check can fail.
sed 's/ all / few /' "$work/code" | cmp -s - "$work/page"
[ $? = 1 ]
check $? "a different row would be seen"
finish
