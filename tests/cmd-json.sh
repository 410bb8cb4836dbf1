#!/bin/sh
# Every JSON output has exactly the members that hakmem-json(5) lists, with their types.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"
page=$source/man/hakmem-json.5

cat >"$work/schema.py" <<'END'
"""schema.py PAGE SECTION FILE: does the JSON in the file have the members that the page lists?"""
import json
import re
import sys

KINDS = {'integer': int, 'number': float, 'string': str, 'boolean': bool, 'array': list, 'object': dict}
page, section, path = sys.argv[1:]


def members():
    """The rows of the section: path, type, what follows the type."""
    inside = False
    for line in open(page, encoding='ascii'):
        if re.match(r'\.S[sh] ', line):
            inside = line.rstrip() == f'.Ss Cm {section}'
        row = re.fullmatch(r'\.It Va (\S+) Pq (\w+)(.*)\n', line)
        if inside and row:
            yield row[1], (row[2], row[3])


table = dict(members())
assert table, f'no section for {section}'


def is_a(value, kind):
    if kind == 'number' and type(value) is int:
        return True
    return type(value) is KINDS[kind]


def check_members(value, at):
    known = {p[len(at):]: row for p, row in table.items() if re.fullmatch(re.escape(at) + r'[^.\[]+', p)}
    for name, (_, more) in known.items():
        assert name == '*' or name in value or 'optional' in more, f'{at}{name} is missing'
    for name, member in value.items():
        assert name in known or '*' in known, f'{at}{name} is not in the page'
        check(member, at + (name if name in known else '*'))


def check(value, at):
    kind, more = table[at]
    if value is None:
        assert 'or null' in more, f'{at} is null'
        return
    assert is_a(value, kind), f'{at} is {value!r}, not {kind}'
    if kind == 'object':
        check_members(value, at + '.')
    for one in value if kind == 'array' else ():
        if at + '[]' in table:
            check(one, at + '[]')
        else:
            check_members(one, at + '[].')


check_members(json.load(open(path, encoding='ascii')), '')
END
# fits NAME SECTION FILE
fits() {
	need python3 && python3 "$work/schema.py" "$page" "$2" "$3" 2>"$work/why"
	check $? "$1"
}
# writes NAME SECTION COMMAND...: so does what the command writes.
writes() {
	name=$1 section=$2
	shift 2
	"$@" >"$work/out" 2>/dev/null </dev/null
	fits "$name" "$section" "$work/out"
}
# refuses NAME TEXT: the check of these tests finds a mistake.
refuses() {
	echo "$2" >"$work/out"
	need python3 && ! python3 "$work/schema.py" "$page" check "$work/out" >"$work/why" 2>&1
	check $? "$1 would be found"
}

refuses "another member" '{"schema": 1, "present": true, "advice": null, "more": 1}'
refuses "a missing one" '{"schema": 1, "present": true}'
refuses "another type" '{"schema": 1, "present": "true", "advice": null}'
refuses "null for what is never null" '{"schema": null, "present": true, "advice": null}'

for command in $("$hakmem" --help | awk '/^  / { print $1 }'); do
	"$hakmem" $command --help | grep -q -e ' --json ' || continue
	grep -q -x "\.Ss Cm $command" "$page"
	check $? "there is a section for $command"
done

writes "profiles" profiles "$hakmem" profiles --json
writes "show" show "$hakmem" show --json default
writes "diff" diff "$hakmem" diff --json default tight
writes "config" config "$hakmem" config --json
printf 'A=\n' >"$work/bad.env"
writes "lint" lint "$hakmem" lint --json "$work/bad.env"
writes "doctor" doctor "$hakmem" doctor --json
mkdir -p "$work/root/proc/sys/vm"
echo 2 >"$work/root/proc/sys/vm/overcommit_memory"
HAKMEM_TEST_ROOT=$work/root writes "doctor with advice" doctor "$hakmem" doctor --json
start env HAKMEM_SAMPLE=65536 LD_PRELOAD="$library" ./tests/sampled wait
writes "profile" profile "$hakmem" profile --json $pid
"$hakmem" profile --format text $pid >"$work/heap"
stop
writes "profile of a file" profile "$hakmem" profile --json "$work/heap"
writes "compare" compare "$hakmem" compare --library "$library" -q -n 2 -p default --json -- true

HAKMEM_STATS=1 HAKMEM_STATS_DUMP=$work/dump.json HAKMEM_ALLOC_LEARN=1
export HAKMEM_STATS HAKMEM_STATS_DUMP HAKMEM_ALLOC_LEARN
start ./tests/cmd/heap "$work"
writes "check" check "$hakmem" check --json $pid
writes "check of a program" check "$hakmem" check --json --library "$library" -- sort
writes "config of a process" config "$hakmem" config --json $pid
writes "stats" stats "$hakmem" stats --json $pid
stop
LD_PRELOAD=$library python3 -c '[[bytes(i % 3000) for i in range(30000)] for j in range(20)]' 2>/dev/null
fits "the report at exit" stats "$work/dump.json"
unset HAKMEM_STATS HAKMEM_STATS_DUMP HAKMEM_ALLOC_LEARN
start sh -c 'echo ready; read -r x <"$0"' "$work/never"
writes "check of a process that is not on HAKMEM" check "$hakmem" check --json $pid
stop
finish
