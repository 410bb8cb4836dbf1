#!/bin/sh
# The profile files: a syntax that every reader takes in the same way, and the
# same settings as the profile built in under that name.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"

# Reasons go to why; none is good.
lint() {	# file
	{
		LC_ALL=C grep -n -v -E '^$|^#|^[A-Z][A-Z0-9_]*=[A-Za-z0-9_./,:+=@%-]+$' "$1"
		grep -n '^#.*\\' "$1"
		grep -n '[^ -~]' "$1"
		[ -z "$(tail -c 1 "$1")" ] || echo "no line feed at the end"
		sed -n 's/=.*//; /^[A-Z]/p' "$1" | sort | uniq -d | sed 's/^/twice: /'
	} >"$work/why"
	[ ! -s "$work/why" ]
}

# As docker reads it: no quoting, no expansion.
assignments() {	# file
	grep '^[A-Z]' "$1"
}

found=0
for file in "$source"/etc/hakmem/*.env; do
	[ -e "$file" ] || continue
	found=$((found + 1))
	profile=$(basename "$file" .env)

	lint "$file"
	check $? "$profile: the common syntax"

	assignments "$file" | sed 's/=.*//' | sort >"$work/has"
	{ echo LD_PRELOAD; cut -f 1 "$work/table"; } | sort >"$work/wants"
	diff "$work/wants" "$work/has" >"$work/why"
	check $? "$profile: every setting once, and the preload"

	[ "$(sed -n 's/^LD_PRELOAD=//p' "$file")" = libhakmem.so.1 ]
	check $? "$profile: the library by its SONAME"

	assignments "$file" | grep -v '^LD_PRELOAD=' >"$work/given"
	# The syntax has neither blanks nor patterns: word splitting is safe.
	env -i $(cat "$work/given") "$settings" values >"$work/out" 2>"$work/why"
	check $? "$profile: the library takes every line"

	env -i HAKMEM_PROFILE="$profile" "$settings" values 2>&1 | cut -f 1,2 >"$work/profile"
	cut -f 1,2 "$work/out" | diff "$work/profile" - >"$work/why"
	check $? "$profile: the same values as the profile of this name"

	env -i sh -c 'set -a; . "$1"; env' sh "$file" 2>&1 | grep -E '^(HAKMEM_|LD_PRELOAD=)' | sort >"$work/sh"
	assignments "$file" | sort | diff - "$work/sh" >"$work/why"
	check $? "$profile: sh sees what docker sees"
done

sed -n "s/^HAKMEM_PROFILE$tab.*$tab//p" "$work/table" | tr -d ' ' | tr , '\n' | sort >"$work/wants"
for file in "$source"/etc/hakmem/*.env; do basename "$file" .env; done | sort >"$work/has"
diff "$work/wants" "$work/has" >"$work/why"
check $? "one file for each profile ($found)"

# The lint itself: each of these has to be caught.
spoil() {	# name text
	cp "$source/etc/hakmem/default.env" "$work/spoilt"
	printf "$2" >>"$work/spoilt"
	if lint "$work/spoilt"; then bad=1; else bad=0; fi
	: >"$work/why"
	check $bad "caught: $1"
}
spoil "quotes" 'A="b"\n'
spoil "a blank" 'A=b c\n'
spoil "a blank at the end" 'A=b \n'
spoil "an empty value" 'A=\n'
spoil "export" 'export A=b\n'
spoil "expansion" 'A=$B\n'
spoil "a comment after a value" 'A=b # c\n'
spoil "an indented comment" ' # c\n'
spoil "a backslash in a comment" '# c \\\n'
spoil "a carriage return" 'A=b\r\n'
spoil "a byte order mark" '\357\273\277A=b\n'
spoil "text that is not ASCII" '# \303\274\n'
spoil "a missing line feed" 'A=b'
spoil "a name twice" 'HAKMEM_STATS=1\n'
finish
