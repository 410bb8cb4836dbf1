#!/bin/sh
# What the documents name exists: the names of the glossary in the library, and files. Their
# lines, among them the rows of tables, are not too long.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
source=$HAKMEM_TEST_SOURCE

# names FILE: the names in the last column of each table, one a line.
names() {
	awk -F '|' '/^\|/ && NF > 5 { print $(NF - 1) }' "$1" | grep -o '`[A-Za-z_0-9]*`' | tr -d '`' | sort -u
}

# Of the names in standard input, those that are not in the library.
unknown_names() {
	while read -r name; do
		cat "$source"/src/*/*.[ch] | grep -qw "$name" || echo "$name"
	done
}

names "$source/docs/glossary.md" >"$work/names"
unknown_names <"$work/names" >"$work/why"
[ -s "$work/names" ] && [ ! -s "$work/why" ]
check $? "each name of docs/glossary.md is in the library"

# unknown_files FILE...: paths, from the top or from src/, that do not exist. NAME stands for
# any name; paths into other folders are those of the system.
unknown_files() {
	for page; do
		grep -oE '`[a-z/_]+/[a-zA-Z0-9_/.-]+\.(c|h|cc|def|sh|py|md)`' "$page" | tr -d '`' | grep -v NAME | sort -u |
		while read -r file; do
			[ -d "$source/src/${file%%/*}" ] || [ -d "$source/${file%%/*}" ] || continue
			[ -e "$source/src/$file" ] || [ -e "$source/$file" ] || echo "${page##*/}: $file"
		done
	done
}

unknown_files "$source"/*.md "$source"/docs/*.md >"$work/why"
[ ! -s "$work/why" ]
check $? "each file that a document names exists"

awk 'length > 512 { print FILENAME ":" FNR ": " length }' "$source"/*.md "$source"/docs/*.md >"$work/why"
[ ! -s "$work/why" ]
check $? "no line is longer than lintian accepts"

# The checks can fail.
echo hk_gone | unknown_names | grep -q hk_gone
check $? "a name that is gone would be seen"
# shellcheck disable=SC2016	# the backquotes belong to the document
echo 'see `cache/gone.c`' >"$work/page.md"
unknown_files "$work/page.md" | grep -q 'page.md: cache/gone.c'
check $? "a file that is gone would be seen"
finish
