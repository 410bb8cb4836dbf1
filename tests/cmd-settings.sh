#!/bin/sh
# hakmem profiles, show, diff, lint, config: the table, through the command.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

gives "no command: the list of them" 2 "usage: hakmem COMMAND" "$hakmem"
gives "an unknown command" 2 'there is no command "nonsense"' "$hakmem" nonsense
for meant in "comprae compare" "chekc check" "stat stats" "confg config" "profils profiles"; do
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
odd=$(printf '%s/\033[1m\377.env' "$work")
printf 'export A=1\n' >"$odd"
gives "lint: a hostile name" 1 '/\x1b[1m\xff.env:1: export' "$hakmem" lint "$odd"
[ "$(json 'j["problems"][0]["file"].endswith(r"/\x1b[1m\xff.env")' "$hakmem" lint --json "$odd")" = True ]
check $? "and as JSON"
rm "$odd"
gives "in a message too" 2 'cannot read '"$work"'/\x1b[1m' "$hakmem" lint "$odd"
gives "an option that takes no zero" 2 "--warmup does not take" "$hakmem" compare --warmup 0 -- true
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

PATH=$PWD/src/cmd:$PATH
# shell_words SHELL LINE: what the shell offers at the end of the line, a word in each line.
cat >"$work/bash" <<'END'
. "$1/completion.bash"
read -ra COMP_WORDS <<<"$2"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }
_hakmem
printf "%s\n" "${COMPREPLY[@]}"
END
# The functions of zsh that talk to its editor are replaced.
cat >"$work/zsh" <<'END'
_call_program() { shift; eval "$*" }
_describe() { print -l -- ${(P)@[-1]} | sed 's/:.*//' }
_arguments() { print -l -- $@ | sed 's/^[*]//; s/[=+:[].*//' }
_hakmem_words() { source $1/completion.zsh }
words=(${(z)2})
[[ $2 == *" " ]] && words+=("")
CURRENT=$#words
_hakmem_words $1
END
cat >"$work/fish" <<'END'
source $argv[1]/completion.fish
complete -C $argv[2] | string replace -r '\t.*' ''
END
shell_words() {
	case $1 in
	fish) set -- fish --no-config "$2" ;;
	zsh) set -- zsh "-f" "$2" ;;
	*) set -- bash --norc "$2" ;;
	esac
	HOME=$work $1 $2 "$work/$1" "$source/src/cmd" "$3" 2>"$work/err"
}
completes() {	# shell line word
	shell_words "$1" "$2" >"$work/out"
	cat "$work/out" "$work/err" >"$work/why"
	grep -q -x -F -e "$3" "$work/out"
	check $? "$1 completes \"$2\" by $3"
}
for shell in bash zsh fish; do
	if ! command -v $shell >/dev/null; then
		skip "$shell completes" "no $shell"
		continue
	fi
	case $shell in fish) only=--no-execute ;; *) only=-n ;; esac
	$shell $only "$source/src/cmd/completion.$shell" 2>"$work/why" && [ ! -s "$work/why" ]
	check $? "$shell reads its completion"
	# All commands, and all options of each.
	"$hakmem" --help | sed -n 's/^  \([a-z]*\) .*/\1/p' | sort >"$work/wants"
	shell_words $shell "hakmem " | grep -v ^- | sort | diff "$work/wants" - >"$work/why"
	check $? "$shell knows all commands"
	while read -r command; do
		"$hakmem" $command --help | sed -n 's/^  ... \(--[a-z-]*\) .*/\1/p' | sort >"$work/options"
		shell_words $shell "hakmem $command --" | grep -e ^-- | sort | diff "$work/options" -
	done <"$work/wants" >"$work/why"
	[ ! -s "$work/why" ]
	check $? "$shell knows all options"
done
# After a process id, only settings that can change.
for shell in bash fish; do
	command -v $shell >/dev/null || continue
	shell_words $shell "hakmem set 1 " >"$work/out"
	cat "$work/out" "$work/err" >"$work/why"
	grep -q HAKMEM_SAMPLE "$work/out" && ! grep -q HAKMEM_HARDEN "$work/out"
	check $? "$shell offers the settings that hakmem set changes"
done
# What is typed, and what files are named, is not run.
touch "$work/two words" "$work/\$(touch ran)"
for shell in bash zsh fish; do
	command -v $shell >/dev/null || continue
	(cd "$work" && for line in 'hakmem $(touch ran) --' 'hakmem $(touch ran) ' 'hakmem lint '; do
		shell_words $shell "$line"
	done) >"$work/why"
	[ ! -e "$work/ran" ]
	check $? "$shell runs nothing that is typed"
done
if command -v bash >/dev/null; then
	completes bash "hakmem lint $work/two" "$work/two words"
	completes bash "hakmem lint $work/\$" "$work/\$(touch ran)"
fi
for shell in bash fish; do
	command -v $shell >/dev/null || continue
	completes $shell "hakmem comp" compare
	completes $shell "hakmem run -p " default
	completes $shell "hakmem run -s HAKMEM_DEB" HAKMEM_DEBUG_LEVEL=
	completes $shell "hakmem stats --pro" --prometheus
	completes $shell "hakmem diff def" default
done

# libhakmem1 is the library, libhakmem the profiles, for which units and containers have a use.
(cd "$source" && grep -n -E 'apt(-get)? install[^"]*libhakmem' src/cmd/*.c examples/* man/*.[1-9] README.md INSTALL.md) |
	grep -v -e libhakmem1 -e 'for units: apt install libhakmem"' >"$work/why"
[ ! -s "$work/why" ]
check $? "the advice how to install the library is the same everywhere"

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
