#!/bin/sh
# The manual against the table of settings: an entry for each with its values
# and its default, none that is stale, no name that does not exist.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
page=$source/man/hakmem.7

# The text of each entry on one line, behind its name.
awk '
	/^\.It Ev HAKMEM_/ { if (name) print name "\t" text; name = $3; text = ""; next }
	/^\.(It|El|Sh|Ss)/ { if (name && !/^\.It (Ta|[a-z-]+ Ta)/) { print name "\t" text; name = "" } next }
	name { text = text " " $0 }
' "$page" >"$work/entries"

while IFS=$tab read -r name older kind initial accepted; do
	# What a failure shows is the entry as it is.
	sed -n "s/^$name$tab//p" "$work/entries" >"$work/why"
	grep -q -F " Accepted: $accepted. Default: $initial. " "$work/why"
	check $? "$name: accepted values and default"
	[ "$older" = - ] && continue
	sed -n "s/^$name$tab//p" "$work/entries" >"$work/why"
	grep -q -w "$older" "$work/why"
	check $? "$name: the older spelling $older"
done <"$work/table"

cut -f 1 "$work/table" | sort >"$work/wants"
cut -f 1 "$work/entries" | sort | diff "$work/wants" - >"$work/why"
check $? "every entry is a setting, and is there once"

for preset in $(sed -n "s/^HAKMEM_TINY_PRESET$tab.*$tab//p" "$work/table" | tr -d ,); do
	row=$(env -i HAKMEM_TINY_PRESET="$preset" "$settings" capacities | sed 's/ / Ta /g')
	echo "wanted: .It $row" >"$work/why"
	grep -q -x -F ".It $row" "$page"
	check $? "the capacities of preset $preset"
done

cut -f 1,2 "$work/table" | tr "$tab" '\n' | grep HAKMEM_ >"$work/known"
printf '%s\n' HAKMEM_ HAKMEM_TEST_ >>"$work/known"
# Not those that a build in the source tree has made: they are a line that leads to one of these.
pages=$(cd "$source" && grep -L '^\.so ' man/*.[1-9])
for file in $pages README.md INSTALL.md; do
	grep -o 'HAKMEM_[A-Z0-9_]*' "$source/$file" | sort -u | grep -v -x -F -f "$work/known" >"$work/why"
	[ ! -s "$work/why" ]
	check $? "$file names no setting that does not exist"
done

version=$(sed -n 's/^AC_INIT(\[hakmem\], \[\(.*\)\])/\1/p' "$source/configure.ac")
for file in $pages; do
	grep '^\.Os' "$source/$file" >"$work/why"
	[ "$(cat "$work/why")" = ".Os HAKMEM $version" ]
	check $? "$file has the version at its foot"
	if command -v mandoc >/dev/null; then
		# Pages of this package are not installed yet, others perhaps not here.
		mandoc -T lint "$source/$file" 2>&1 |
			grep -v -e 'referenced manual not found' -e 'outdated mandoc.db' -e 'operating system explicitly specified' >"$work/why"
		[ ! -s "$work/why" ]
		check $? "$file passes mandoc's lint"
	else
		skip "$file passes mandoc's lint" "no mandoc"
	fi
	if man --version 2>/dev/null | grep -q '^man 2'; then
		LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z \
			"$source/$file" 2>"$work/said" >"$work/page"
		status=$?
		# groff 1.23 says so of a declaration that is one word to it.
		grep -v 'cannot adjust line$' "$work/said" >"$work/why"
		[ $status = 0 ] && [ -s "$work/page" ] && [ ! -s "$work/why" ]
		check $? "$file is shown without a warning"
	else
		skip "$file is shown without a warning" "no man-db"
	fi
done

# Functions: the page of each, under its own name. tests/symbols.sh has the rest.
built=$(dirname "${HAKMEM_TEST_LIBRARY:?}")/../../man
sed -n 's/^[a-z].*[ *]\(hak_[a-z_]*\)(.*/\1/p' "$source/include/hakmem/hakmem.h" | sort >"$work/functions"
while read -r name; do
	page=$source/man/$name.3
	if [ ! -e "$page" ] || grep -q '^\.so ' "$page"; then
		page=$source/man/$(sed -n 's|^\.so man3/||p' "$built/$name.3")
	fi
	grep -q "^\.Nm $name\( ,\)*$" "$page" 2>"$work/why"
	check $? "man $name shows the page that names it"
done <"$work/functions"
ls "$built" "$source/man" | sed -n 's/^\(hak_.*\)\.3$/\1/p' | sort -u | diff "$work/functions" - >"$work/why"
check $? "no page is left of a function that is gone"
finish
