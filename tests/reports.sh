#!/bin/sh
# Reports as other programs read them: JSON, malloc_info's XML, dumps.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}
stats=./tests/stats

# dump VARIABLE=VALUE... -- COMMAND...: preloaded, output kept. Not every shell
# is a command for this: some end by _exit.
dump() {
	vars=
	while [ "$1" != -- ]; do
		vars="$vars $1"
		shift
	done
	shift
	env LD_PRELOAD="$library" $vars "$@" >"$work/out" 2>"$work/why"
}

cat >"$work/check.py" <<'END'
import json, sys
import xml.etree.ElementTree as xml

def same(what, a, b):
    if a != b:
        sys.exit(f"{what}: {a} is not {b}")

def check_json(s):
    same("mapped", s["mapped"], s["in_use"] + s["cached"] + s["free_bytes"] + s["metadata"])
    same("in_use", s["in_use"], s["slab_bytes"] + s["mid_bytes"] + s["large_bytes"])
    same("slab_bytes", s["slab_bytes"], sum(c["used"] * c["size"] for c in s["classes"]))
    same("cached", s["cached"], sum(c["cached"] * c["size"] for c in s["classes"]))
    same("reuse", s["reuse"], sum(c["reuse"] for c in s["classes"]))
    same("schema", s["schema"], 1)
    return s

def check_xml(root):
    def size(of, kind, *types):
        return sum(int(e.get("size")) for t in types for e in of.findall(f"{kind}[@type='{t}']"))
    heap = root.find("heap")
    totals = "live", "fast", "rest"
    same("heap", size(heap, "total", *totals), size(heap, "system", "current"))
    same("all", size(root, "total", *totals, "mmap", "metadata"), size(root, "system", "current"))
    same("aspace", size(root, "aspace", "total"), size(root, "system", "current"))
    if size(root, "system", "max") < size(root, "system", "current"):
        sys.exit("the peak is too low")
    for s in heap.find("sizes"):
        same("total", int(s.get("total")), int(s.get("count")) * int(s.get("to")))
    same("version", root.get("version"), "hakmem-1")

text = open(sys.argv[2]).read()
if sys.argv[1] == "xml":
    parts = text.split("</malloc>")[:-1]
    for part in parts:
        check_xml(xml.fromstring(part + "</malloc>"))
else:
    decoder, parts = json.JSONDecoder(), []
    while text.strip():
        value, end = decoder.raw_decode(text.lstrip())
        parts.append(check_json(value))
        text = text.lstrip()[end:]
    if "used_by" in sys.argv:
        same("pid", parts[0]["pid"], int(sys.argv[-1]))
if len(parts) != int(sys.argv[3]):
    sys.exit(f"{len(parts)} reports")
END
# The checks run without the library, so that they stand apart from it.
check_report() {	# json|xml file number
	need python3 && python3 "$work/check.py" "$@" 2>"$work/why"
}

$stats json >"$work/json" && check_report json "$work/json" 100
check $? "hak_stats_json while threads allocate: JSON whose sums hold"
$stats xml >"$work/xml" && check_report xml "$work/xml" 100
check $? "malloc_info while threads allocate: XML whose sums hold"

dump HAKMEM_STATS_DUMP="$work/a.json" -- sort /dev/null && need python3 && python3 -m json.tool "$work/a.json" >"$work/tool" 2>"$work/why" &&
	check_report json "$work/a.json" 1
check $? "a JSON dump at exit"
! grep -q -e '"filled"' -e '"slabs_peak"' "$work/a.json"
check $? "without the history that was not kept"
dump HAKMEM_STATS_DUMP="$work/a.json" HAKMEM_STATS=1 -- sort /dev/null && grep -q '"filled":' "$work/a.json" &&
	check_report json "$work/a.json" 1
check $? "with HAKMEM_STATS=1, over the old file, with it"
dump HAKMEM_STATS_DUMP="$work/a.txt" -- sort /dev/null && grep -q '^hakmem .* statistics' "$work/a.txt" &&
	grep -q '^ mapped [0-9]' "$work/a.txt" && grep -q '^class C[0-9]* size [0-9]* used' "$work/a.txt"
check $? "a text dump at exit"
dump HAKMEM_STATS=1 -- sort /dev/null && [ ! -s "$work/out" ] && [ ! -s "$work/why" ]
check $? "HAKMEM_STATS=1 alone writes nothing"

need python3 && dump HAKMEM_STATS_DUMP="$work/p%p-%%.json" -- python3 -c 'import os; print(os.getpid())' && pid=$(cat "$work/out") &&
	check_report json "$work/p$pid-%.json" 1 used_by "$pid"
check $? "%p is the process id, %% a percent sign"
HAKMEM_STATS_DUMP="$work/fork-%p.json" $stats fork && set -- "$work"/fork-*.json && [ $# = 2 ] &&
	check_report json "$1" 1 used_by "$(basename "$1" | tr -dc 0-9)" &&
	check_report json "$2" 1 used_by "$(basename "$2" | tr -dc 0-9)"
check $? "a forked child dumps too, with its own process id"

# The program reads the file before it ends.
HAKMEM_STATS_DUMP="$work/demand.json" $stats dump >"$work/demand" && check_report json "$work/demand" 1
check $? "a dump on demand"

# A signal handler that calls exit may have a stack of 8 KiB. LD_BIND_NOW: the dynamic linker needs
# some KiB when it looks up a function.
HAKMEM_STATS_DUMP=$work/dump HAKMEM_LEARN_SAVE=$work/learned HAKMEM_SAMPLE=4096 LD_BIND_NOW=1 \
	$stats stacks >"$work/stacks" 2>/dev/null &&
	awk '{ print } $2 > 2560 { bad = 1 } END { exit bad || NR != 7 }' "$work/stacks" >"$work/why"
check $? "reports need little of the stack"

HAKMEM_STATS_DUMP="$work/none/x.json" $stats dump 2>"$work/err"
status=$?
line="hakmem: cannot write the statistics of HAKMEM_STATS_DUMP to $work/none/x.json: there is no such directory"
printf '%s\n%s\n' "$line" "$line" | diff - "$work/err" >"$work/why" && [ $status = 4 ]
check $? "no such directory: -1 on demand, a line each time, and the program goes on"
HAKMEM_STATS_DUMP=/dev/full $stats dump 2>"$work/err"
[ $? = 4 ] && grep -q 'HAKMEM_STATS_DUMP to /dev/full: no space left$' "$work/err"
check $? "a full device"

# full COMMAND...: where $work/full/old is an old file, on a disk that is full.
full() {
	mkdir -p "$work/full"
	unshare -rm sh -c 'mount -t tmpfs -o size=8k none "$work/full" && cd "$work/full" && echo old >old &&
		{ cat /dev/zero >filler 2>/dev/null; true; } && cd "$OLDPWD" && "$@"
		status=$?; [ "$(cat "$work/full/old")" = old ] && [ "$(ls -A "$work/full" | tr "\n" " ")" = "filler old " ] &&
		exit $status' sh "$@" 2>"$work/why"
}
export work
if unshare -rm mount -t tmpfs none "$work" 2>/dev/null; then
	HAKMEM_STATS_DUMP=$work/full/old full $stats dump
	[ $? = 4 ] && grep -q "to $work/full/old: no space left$" "$work/why"
	check $? "a full disk leaves the old report, and nothing beside it"
	HAKMEM_LEARN_SAVE=$work/full/old full ./tests/phases save
	[ $? = 4 ] && grep -q "HAKMEM_LEARN_SAVE, to $work/full/old: no space left$" "$work/why"
	check $? "and what was learned before"
	: >"$work/alone.json" && : >"$work/new"
	unshare -rm sh -c 'mount --bind "$1/new" "$1/alone.json" && HAKMEM_STATS_DUMP=$1/alone.json "$2" dump' \
		sh "$work" "$stats" 2>"$work/err"
	[ $? = 4 ] && grep -q "the directory does not let a new file take its place$" "$work/err"
	check $? "a file that is a mount point is not replaced, and why is said"
else
	skip "a full disk" "may not mount one"
fi
(ulimit -f 0; HAKMEM_STATS_DUMP=$work/limited HAKMEM_LEARN_SAVE=$work/limited LD_PRELOAD=$library sort </dev/null 2>/dev/null) &&
	[ ! -e "$work/limited" ]
check $? "a limit of the size of files does not end the program"

# Programs of coreutils close theirs before they end.
HAKMEM_STATS_DUMP=/dev/fd/2 $stats fork 2>&1 | grep -q '^ mapped [0-9]'
check $? "/dev/fd/2 is what the program has open there"
cat >"$work/by_socket.py" <<'END'
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
env = dict(os.environ, HAKMEM_STATS_DUMP="/dev/stderr")
if subprocess.run([sys.argv[1], "fork"], env=env, stderr=theirs).returncode != 0:
    sys.exit("its status")
theirs.close()
text = ours.makefile().read()
if "\n mapped " not in text:
    sys.exit(f"not the report: {text}")
END
need python3 && python3 "$work/by_socket.py" "$stats" 2>"$work/why"
check $? "/dev/stderr as a socket"
echo before >"$work/log"
HAKMEM_STATS_DUMP=/dev/stdout $stats fork >>"$work/log" 2>"$work/why" &&
	HAKMEM_STATS_DUMP=/dev/stderr $stats fork 2>>"$work/log" &&
	grep -q '^before' "$work/log" && [ "$(grep -c '^ mapped [0-9]' "$work/log")" = 4 ]
check $? "and as a log, which is added to"
# The end to read is closed before the program starts.
mkfifo "$work/unread" && exec 4<>"$work/unread" 3>"$work/unread" 4<&-
HAKMEM_STATS_DUMP=/dev/fd/3 $stats dump 2>"$work/err"
[ $? = 4 ] && exec 3>&- && grep -q "to /dev/fd/3: it has no reader$" "$work/err"
check $? "a pipe without a reader does not end the program"
dump HAKMEM_STATS_DUMP=/dev/null -- sort /dev/null && [ ! -s "$work/why" ] && [ -c /dev/null ]
check $? "/dev/null"

need python3 && LD_PRELOAD=$library python3 -c '
import ctypes
ctypes.CDLL(None).malloc_stats()' 2>"$work/err" && grep -q '^ mapped [0-9]' "$work/err"
check $? "malloc_stats writes to standard error"
finish
