#!/bin/sh
# hakmem profiles, show, diff, lint, config: the table, through the command.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

gives "no command: the list of them" 2 "usage: hakmem COMMAND" "$hakmem"
gives "an unknown command" 2 'there is no command "nonsense"' "$hakmem" nonsense
for meant in "comprae compare" "chekc check" "stat stats" "confg config" "profile profiles"; do
	gives "${meant% *}: did you mean" 2 "did you mean \"${meant#* }\"?" "$hakmem" ${meant% *}
	[ "$(wc -l <"$work/out")" = 1 ]
	check $? "in one line"
done
gives "an option that is misspelt" 2 "did you mean --json?" "$hakmem" doctor --jsno
gives "--help" 0 "compare" "$hakmem" --help
gives "--version" 0 "hakmem 1." "$hakmem" --version
gives "version" 0 "hakmem 1." "$hakmem" version
for command in run profiles show diff lint config check doctor stats top compare version; do
	gives "$command --help" 0 "usage: hakmem $command" "$hakmem" $command --help
	case $command in run) bad=125 ;; *) bad=2 ;; esac
	gives "$command with an option that it has not" $bad "try 'hakmem $command --help'" "$hakmem" $command --nonsense
done

profiles=$("$hakmem" profiles --names)
sed -n "s/^HAKMEM_PROFILE$tab.*$tab//p" "$work/table" | tr -d ' ' | tr , '\n' >"$work/wants"
echo "$profiles" | diff "$work/wants" - >"$work/why"
check $? "profiles: those of the table"
[ "$(json '" ".join(p["name"] for p in j["profiles"])' "$hakmem" profiles --json)" = "$(echo $profiles)" ]
check $? "and as JSON"

for profile in $profiles; do
	"$hakmem" show "$profile" >"$work/$profile.env" && "$hakmem" lint "$work/$profile.env" >"$work/why"
	check $? "show $profile: a file that lint finds good"
	gives "$profile: the packaged file says the same" 0 "" "$hakmem" diff "$profile" "$source/etc/hakmem/$profile.env"
	json '[print(n + "=" + v) for n, v in j["settings"].items()]' "$hakmem" show --json "$profile" |
		grep = >"$work/has"
	grep -v -e '^#' -e '^$' -e LD_PRELOAD "$work/$profile.env" | diff - "$work/has" >"$work/why"
	check $? "show $profile as JSON"
done
gives "show of a profile that is none" 2 'those that are: default' "$hakmem" show nonsense
gives "show of a file that is none" 2 "cannot read ./none.env" "$hakmem" show ./none.env

sed 's/^HAKMEM_DEBUG_LEVEL=.*/HAKMEM_DEBUG_LEVEL=3/' "$work/default.env" >"$work/mine.env"
gives "diff of two that differ" 1 "HAKMEM_DEBUG_LEVEL" "$hakmem" diff default "$work/mine.env"
[ "$(wc -l <"$work/out")" = 2 ]
check $? "and in nothing else"
[ "$(json 'j["differences"]' "$hakmem" diff --json default "$work/mine.env")" = \
	"[{'name': 'HAKMEM_DEBUG_LEVEL', 'left': '0', 'right': '3'}]" ]
check $? "diff as JSON"

# finds TEXT LINES: one finding, in the last line.
finds() {
	printf "$2\n" >"$work/bad.env"
	gives "lint: $1" 1 "$1" "$hakmem" lint "$work/bad.env"
	[ "$(wc -l <"$work/out")" = 1 ] && grep -q "bad.env:$(grep -c '' "$work/bad.env"):" "$work/out"
	check $? "and nothing else, at its line"
}
finds 'HAKMEM_STATS: bad value "2", accepted: 0, 1' '# a comment\n\nHAKMEM_STATS=2'
finds "HAKMEM_STATSS: no such setting, the nearest is HAKMEM_STATS" 'HAKMEM_STATSS=1'
finds "export: only a shell knows it" 'A=1\nexport B=b'
finds "an empty value" 'A='
finds "'\"' in a value" 'A="b"'
finds "' ' in a value" 'A=b '
finds "a carriage return" 'A=b\r'
finds "neither a comment" ' # c'
finds "a backslash in a comment" '# c \\\\'
finds "not printable ASCII" '# \303\274'
finds "for the second time" 'A=1\nB=2\nA=1'
finds "LD_PRELOAD with a path" 'LD_PRELOAD=/usr/lib/libhakmem.so.1'
finds "only libhakmem-dev has: write libhakmem.so.1" 'LD_PRELOAD=libhakmem.so'
finds "only libhakmem-dev has" 'LD_PRELOAD=libm.so.6:libhakmem.so'
printf 'LD_PRELOAD=libm.so.6:libhakmem.so.1\n' >"$work/good.env"
gives "lint: another library before ours" 0 "good" "$hakmem" lint "$work/good.env"
gives "lint of a binary file" 2 "cannot read /bin/sh: it is a binary file" "$hakmem" lint /bin/sh
[ "$(wc -l <"$work/out")" = 1 ]
check $? "says so once"
gives "lint of a directory" 2 "cannot read $work: Is a directory" "$hakmem" lint "$work"
[ "$(wc -l <"$work/out")" = 1 ]
check $? "and nothing else"
printf 'A=b' >"$work/bad.env"
gives "lint: no line feed at the end" 1 "no line feed" "$hakmem" lint "$work/bad.env"
gives "lint of a file that is none" 2 "cannot read" "$hakmem" lint "$work/none.env"
[ "$(json 'j["problems"][0]["line"]' "$hakmem" lint --json "$work/bad.env")" = 1 ]
check $? "lint as JSON"

# origin NAME OPTIONS...: where config says that it comes from.
origin() {
	name=$1
	shift
	json "[s['value'] + ' ' + s['source'] for s in j['settings'] if s['name'] == '$name'][0]" "$hakmem" config --json "$@"
}
is() {	# name wanted got
	echo "\"$3\", not \"$2\"" >"$work/why"
	[ "$2" = "$3" ]
	check $? "$1"
}
is "config: a default" "0 default" "$(origin HAKMEM_DEBUG_LEVEL)"
is "the environment" "1 environment" "$(HAKMEM_DEBUG_LEVEL=1 origin HAKMEM_DEBUG_LEVEL)"
is "an older spelling" "1 environment" "$(HAKMEM_STATS_ENABLE=1 origin HAKMEM_STATS)"
is "a file wins over it, with its line" "3 $work/mine.env:$(grep -n LEVEL= "$work/mine.env" | cut -d : -f 1)" \
	"$(HAKMEM_DEBUG_LEVEL=1 origin HAKMEM_DEBUG_LEVEL -f "$work/mine.env")"
is "an option over all, in short" "2 option" \
	"$(HAKMEM_DEBUG_LEVEL=1 origin HAKMEM_DEBUG_LEVEL -f "$work/mine.env" -s debug_level=2)"
start env HAKMEM_DEBUG_LEVEL=1 sh -c 'echo ready; read -r x <"$0"' "$work/never"
is "config PID: the environment of a process" "1 environment" "$(origin HAKMEM_DEBUG_LEVEL $pid)"
gives "config of a process that is not on HAKMEM says so" 1 "process $pid is not on HAKMEM" "$hakmem" config $pid
is "and as JSON" False "$(json 'j["present"]' "$hakmem" config --json $pid)"
stop
start env LD_PRELOAD="$library" HAKMEM_DEBUG_LEVEL=1 sh -c 'echo ready; read -r x <"$0"' "$work/never"
gives "config of a process on HAKMEM" 0 "HAKMEM_DEBUG_LEVEL               1 " "$hakmem" config $pid
! grep -q "not on HAKMEM" "$work/out"
check $? "has no note"
is "and as JSON" True "$(json 'j["present"]' "$hakmem" config --json $pid)"
stop
gives "config of a process that is none" 2 "there is no process 999999999" "$hakmem" config 999999999
"$hakmem" config | grep -q "$(printf '\033')"
[ $? = 1 ]
check $? "no colour in a pipe"

# completes LINE WORD: bash offers the word.
completes() {
	PATH=$PWD/src/cmd:$PATH bash -c '. "$1"; read -ra COMP_WORDS <<<"$2"; [[ $2 == *" " ]] && COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); compopt() { :; }; _hakmem; printf "%s\n" "${COMPREPLY[@]}"' \
		bash "$source/src/cmd/completion.bash" "$1" >"$work/why" 2>&1
	grep -q -x -F -e "$2" "$work/why"
	check $? "bash completes \"$1\" by $2"
}
if command -v bash >/dev/null; then
	completes "hakmem comp" compare
	completes "hakmem run -p " default
	completes "hakmem run -s HAKMEM_DEB" HAKMEM_DEBUG_LEVEL=
	completes "hakmem stats --pro" --prometheus
	completes "hakmem diff def" default
else
	skip "bash completes" "no bash"
fi

# The page has every command and every option of it.
for command in $("$hakmem" --help | awk '/^  / { print $1 }'); do
	"$hakmem" $command --help | grep -o -e ' --[a-z]*' | grep -v -e --help -e --profile -e --set -e --file \
		-e --rounds -e --delay -e --frames -e --quiet | while read -r option; do
		grep -q -e "Fl -${option#--}" "$source/man/hakmem.1" || echo "$command $option"
	done >"$work/why"
	grep -q "^\.It Cm.*\<$command\>" "$source/man/hakmem.1" && [ ! -s "$work/why" ]
	check $? "hakmem.1 tells of $command and its options"
done
finish
