#!/bin/sh
# hakmem stats and top: figures of a process that does nothing for it, equal to
# those that its library gives.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

cat >"$work/same.py" <<'END'
import json, re, sys
import xml.etree.ElementTree as xml
inside = json.load(open(sys.argv[1] + "/json"))
outside = json.load(open(sys.argv[1] + "/outside"))
if not outside.pop("exact"):
    sys.exit("not exact")
if inside != outside:
    sys.exit(f"JSON: {inside}\nis not {outside}")
root = xml.parse(sys.argv[1] + "/xml").getroot()
size = lambda path: int(root.find(path).get("size"))
for what, a, b in (("mapped", size("system[@type='current']"), outside["mapped"]),
                   ("peak", size("system[@type='max']"), outside["mapped_peak"]),
                   ("live", size("total[@type='live']"), outside["slab_bytes"] + outside["mid_bytes"]),
                   ("fast", size("total[@type='fast']"), outside["cached"]),
                   ("rest", size("total[@type='rest']"), outside["free_bytes"]),
                   ("mmap", size("total[@type='mmap']"), outside["large_bytes"]),
                   ("metadata", size("total[@type='metadata']"), outside["metadata"])):
    if a != b:
        sys.exit(f"XML: {what}: {a} is not {b}")
lines = dict(line.rsplit(" ", 1) for line in open(sys.argv[1] + "/prom") if line[0] != "#")
found = 0
for line, value in lines.items():
    name, labels = re.fullmatch(r"hakmem_(\w+)\{(.*)\}", line).groups()
    name = name.removesuffix("_total")
    labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    if name.startswith("class_"):
        of = next(c for c in outside["classes"] if c["size"] == int(labels["size"]))
        name = name[6:]
    else:
        of = outside
    if name in of:
        found += 1
        if of[name] != int(value):
            sys.exit(f"Prometheus: {line}: {value} is not {of[name]}")
wanted = len(outside) - 5 + sum(len(c) - 2 for c in outside["classes"])
if found != wanted:
    sys.exit(f"Prometheus has {found} figures, not {wanted}")
END
same() {	# name
	"$hakmem" stats --json $pid >"$work/outside" 2>"$work/why" &&
		"$hakmem" stats --prometheus $pid >"$work/prom" 2>>"$work/why" &&
		need python3 && python3 "$work/same.py" "$work" 2>>"$work/why"
	check $? "$1"
}

start ./tests/cmd/heap "$work"
same "malloc_info, the JSON of the API, hakmem stats and Prometheus: the same figures"
gives "stats for people" 0 "MiB mapped, at most" "$hakmem" stats $pid
gives "top in a pipe: one picture" 0 "$pid" "$hakmem" top
"$hakmem" stats --prometheus --output "$work/all.prom" && grep -q "^hakmem_mapped{pid=\"$pid\"" "$work/all.prom" &&
	[ "$(ls "$work" | grep -c '^all.prom')" = 1 ]
check $? "a Prometheus textfile of all processes, and no other file beside it"
[ "$(stat -c %a "$work/all.prom")" = 600 ] && chmod 644 "$work/all.prom" &&
	"$hakmem" stats --prometheus --output "$work/all.prom" && [ "$(stat -c %a "$work/all.prom")" = 644 ]
check $? "for its owner alone, or as the old one was"
cp "$work/all.prom" "$work/kept"
(ulimit -f 1; exec "$hakmem" stats --prometheus --output "$work/all.prom" $pid 2>"$work/why")
[ $? = 1 ] && grep -q "all.prom: over the limit" "$work/why" && cmp "$work/all.prom" "$work/kept" &&
	[ "$(ls -A "$work" | grep -c -e all.prom -e '^[.]hakmem')" = 1 ]
check $? "a limit leaves the old one, and nothing beside it"
"$hakmem" stats --prometheus --output /dev/stdout $pid | grep -q '^hakmem_mapped{'
check $? "/dev/stdout"
gives "a textfile that cannot be written" 1 "cannot write /nowhere/x.prom: there is no such directory" \
	"$hakmem" stats --prometheus --output /nowhere/x.prom $pid
stop
start env HAKMEM_STATS=1 ./tests/cmd/heap "$work"
same "the same with the history of classes"
stop
start ./tests/cmd/heap_static "$work"
same "the same of a library linked in"
stop
if command -v strip >/dev/null; then
	cp tests/cmd/heap_static "$work/stripped" && strip -s "$work/stripped"
	start "$work/stripped" "$work"
	same "the same of a stripped program"
	gives "check finds it there too" 0 "stripped (linked in)" "$hakmem" check $pid
	rm "$work/stripped"
	same "the same when its file is gone"
	stop
fi
if unshare -rm true 2>/dev/null; then
	mkdir "$work/inside"
	start unshare -rm sh -c 'mount -t tmpfs none "$1/inside" && cp tests/cmd/heap_static "$1/inside/heap" &&
		exec "$1/inside/heap" "$1"' sh "$work"
	[ ! -e "$work/inside/heap" ]
	check $? "a program in another mount namespace"
	same "the same there"
	stop
else
	skip "a program in another mount namespace" "may not make one"
fi

start ./tests/cmd/heap "$work" busy
json 'sorted(j)' "$hakmem" stats --json $pid >"$work/keys"
[ "$(json 'j["mapped"] == j["in_use"] + j["cached"] + j["free_bytes"] + j["metadata"] and type(j["exact"]) is bool' \
	"$hakmem" stats --json $pid)" = True ]
check $? "a busy process is read, and whether the figures are exact is said"
stop

start ./tests/cmd/other
gives "a page of another version: why not" 1 "version 9.9.9 with a statistics page of version 99" "$hakmem" stats $pid
stop
start sh -c 'echo ready; read -r x <"$0"' "$work/never"
gives "a process without HAKMEM" 1 "is not on HAKMEM; why not: hakmem check $pid" "$hakmem" stats $pid
stop
gives "no such process" 2 "there is no process 999999999" "$hakmem" stats 999999999
gives "no process id" 2 "is no process id" "$hakmem" stats nonsense
gives "none at all" 2 "takes one process id" "$hakmem" stats
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then
	start ./tests/cmd/heap "$work"
	gives "a process of another user" 1 "may not be looked at: ask again as root" \
		setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$hakmem" stats $pid
	stop
fi

cat >"$work/top.py" <<'END'
import fcntl, os, pty, re, select, struct, sys, termios, time
hakmem, pid = sys.argv[1:3]
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "xterm"
    time.sleep(0.2)
    os.execv(hakmem, ["hakmem", "top", "-d", "0.1"])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 76, 0, 0))
before, seen, end = termios.tcgetattr(terminal), "", time.time() + 60
def until(what):
    global seen
    while not what(seen):
        if time.time() > end or not select.select([terminal], [], [], 60)[0]:
            sys.exit("not seen: " + repr(seen[-600:]))
        seen += os.read(terminal, 65536).decode(errors="replace")
until(lambda s: s.count("\033[H") >= 3 and re.search(r"\b" + pid + r"\b.*heap", s))
if not seen.startswith("\033[?1049h"):
    sys.exit("not on the other screen")
rows = [re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", row) for row in seen.split("\r\n")]
if max(map(len, rows)) > 76:
    sys.exit("wider than the terminal: " + repr(rows))
if termios.tcgetattr(terminal)[3] & termios.ECHO:
    sys.exit("keys are echoed")
if sys.argv[3] == "q":
    os.write(terminal, b"q")
else:
    os.write(terminal, b"\003")
until(lambda s: s.endswith("\033[?25h\033[?1049l"))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if status != 0 or termios.tcgetattr(terminal) != before:
    sys.exit(f"status {status}, or the terminal is not as it was")
END
start ./tests/cmd/heap "$work"
need python3 && python3 "$work/top.py" "$hakmem" $pid q 2>"$work/why"
check $? "top in a terminal, ended by q"
need python3 && python3 "$work/top.py" "$hakmem" $pid c 2>"$work/why"
check $? "and by Control-C"
"$hakmem" top -c 2 -d 0.05 >"$work/out" && ! grep -q "$(printf '\033')" "$work/out" && [ "$(grep -c PID "$work/out")" = 2 ]
check $? "pictures into a file, without codes"
stop
finish
