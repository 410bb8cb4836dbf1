#!/bin/sh
# hakmem stats: figures of a process that does nothing for it, equal to
# those that its library gives.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

cat >"$work/same.py" <<'END'
import json, re, sys
import xml.etree.ElementTree as xml
inside = json.load(open(sys.argv[1] + "/json"))
outside = json.load(open(sys.argv[1] + "/outside"))
if not outside.pop("exact"):
    sys.exit("not exact")
process, resident, threads, shared = (
    outside.pop(name) for name in ("process", "resident", "thread_caches", "shared_cached"))
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
    labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    if name.startswith("class_"):
        of = next(c for c in outside["classes"] if c["size"] == int(labels["size"]))
        name = name[6:]
    else:
        of = outside
    name, scale = name.removesuffix("_total"), 1
    for unit, of_unit in (("_bytes", 1), ("_blocks", 1), ("_seconds", 1000)):
        if name.endswith(unit) and name not in of:
            name, scale = name.removesuffix(unit), of_unit
    if name in of:
        found += 1
        if of[name] != float(value) * scale:
            sys.exit(f"Prometheus: {line}: {value} is not {of[name]}")
if process["command"] != labels["command"] or (process["cgroup"] or "") != labels["cgroup"]:
    sys.exit(f"labels {labels}, process {process}")
if sum(resident.values()) - resident["heap_absent"] != process["rss"]:
    sys.exit(f"the shares {resident} are not {process}")
if len(threads) != outside["threads"] or sum(t["cached"] for t in threads) + shared != outside["cached"]:
    sys.exit(f"the lists of threads: {threads}")
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
! "$hakmem" stats $pid | grep -q "estimated from samples"
check $? "without samples, nothing is estimated"
"$hakmem" stats $pid >"$work/out" 2>"$work/why" && grep -q ' [KM]iB RSS, .* [KM]iB PSS, ' "$work/out" &&
	grep -q '^ *of RSS: [0-9]*% in use, [0-9]*% cached, up to [0-9]*% free, [0-9]*% metadata, [0-9]*% not of the heap$' "$work/out"
check $? "RSS, PSS and what RSS is made of"
root="$work/root/proc/$pid"
mkdir -p "$root"
echo heap >"$root/comm"
echo '3000 2000 500 1 0 1 0' >"$root/statm"
printf '%s\n' '00000000-ffffffff ---p 0 00:00 0 [rollup]' 'Rss: 200000 kB' 'Pss: 150000 kB' 'Anonymous: 120000 kB' \
	'SwapPss: 7 kB' 'Swap: 11 kB' >"$root/smaps_rollup"
printf '%s\n' '9:memory:/x' '1:name=systemd:/a.slice/b.service/c' '0::/' >"$root/cgroup"
there() {	# name EXPRESSION
	[ "$(HAKMEM_TEST_ROOT="$work/root" json "$2" "$hakmem" stats --json $pid)" = True ]
	check $? "$1"
}
there "RSS, PSS and swap are the kernel's" \
	'[j["process"][n] for n in ("rss", "pss", "swap")] == [200000 << 10, 150000 << 10, 11 << 10]'
there "pages of files are not of the heap" 'j["resident"]["other"] >= 80000 << 10'
there "the unit of systemd's hierarchy" \
	'(j["process"]["cgroup"], j["process"]["unit"]) == ("/a.slice/b.service/c", "b.service")'
echo '0::/user.slice/user@1.service/app.slice/redis.scope' >"$root/cgroup"
there "the innermost one of a unified hierarchy" 'j["process"]["unit"] == "redis.scope"'
echo '0::/system.slice/a\x2db.service' >"$root/cgroup"
HAKMEM_TEST_ROOT="$work/root" "$hakmem" stats --prometheus $pid >"$work/out" 2>"$work/why" &&
	grep -q -F 'unit="a\\x2db.service",cgroup="/system.slice/a\\x2db.service"' "$work/out"
check $? "in a label, the unit has the name that systemd gives it"
rm "$root/smaps_rollup"
there "without smaps_rollup, PSS is not known" \
	'j["process"]["rss"] % 2000 == 0 and j["process"]["pss"] is None and j["process"]["swap"] is None'
rm "$root/statm" "$root/cgroup"
there "without any of it, nothing is" \
	'list(j["process"].values())[1:] == [None] * 5 and j["resident"] is None'
rm -r "$work/root"
"$hakmem" stats --prometheus >"$work/all" 2>"$work/why" && need promtool &&
	promtool check metrics <"$work/all" >"$work/why" 2>&1 && [ ! -s "$work/why" ]
check $? "promtool takes it and has no advice"
hidden=$(sed -n 's/^hakmem_processes{state="hidden"} //p' "$work/all")
[ "$hidden" -ge 0 ] && [ "$(sed -n 's/^hakmem_processes{state="read"} //p' "$work/all")" -ge 1 ]
check $? "it counts the processes that were read, and those that may not be looked at"
"$hakmem" stats --prometheus --output "$work/all.prom" && grep -q "^hakmem_mapped_bytes{pid=\"$pid\"" "$work/all.prom" &&
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
cat >"$work/name.py" <<'END'
import ctypes, sys, time
ctypes.CDLL(None).prctl(15, b'a"b\\c\t\xff{}', 0, 0, 0)
print("ready", flush=True)
time.sleep(1000)
END
"$hakmem" stats --prometheus --output /dev/stdout $pid | grep '^hakmem_mapped_bytes{' >/dev/null
check $? "/dev/stdout"
gives "a textfile that cannot be written" 1 "cannot write /nowhere/x.prom: there is no such directory" \
	"$hakmem" stats --prometheus --output /nowhere/x.prom $pid
stop
start env HAKMEM_SAMPLE=4096 LD_PRELOAD="$library" ./tests/sampled wait
gives "waste, if there are samples" 0 "iB not requested, estimated from samples" "$hakmem" stats $pid
[ "$(json '0 < j["waste_estimate"] < j["in_use"]' "$hakmem" stats --json $pid)" = True ]
check $? "it is a part of what is in use"
stop
if command -v python3 >/dev/null; then
	start env LD_PRELOAD="$library" python3 "$work/name.py"
	"$hakmem" stats --prometheus $pid >"$work/out" 2>"$work/why"
	grep -q -F 'hakmem_threads{pid="'$pid'",command="a\"b\\\\c\\x09\\xff{}",' "$work/out" &&
		need promtool && promtool check metrics <"$work/out" >"$work/why" 2>&1
	check $? "a hostile name in a label"
	stop
fi
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

start ./tests/cmd/heap "$work" ended
until_so is_zombie $pid
gives "a process whose main thread has ended" 0 "MiB mapped, at most" "$hakmem" stats $pid
gives "it is checked" 0 "yes: " "$hakmem" check $pid
"$hakmem" top -c 1 >"$work/out" 2>"$work/why" && cat "$work/out" >>"$work/why" &&
	grep -q "^ *$(ls "/proc/$pid/task" | grep -v "^$pid\$" | head -n 1) " "$work/out"
check $? "it is among all processes"
stop

start ./tests/cmd/heap "$work" busy
"$hakmem" stats --watch --delay 0.05 --frames 3 $pid >"$work/out" 2>"$work/why" && cat "$work/out" >>"$work/why" &&
	[ "$(grep -c '^time .*RSS' "$work/out")" = 1 ] && [ "$(grep -c '^[0-9:]* .*[KMG] ' "$work/out")" = 3 ] &&
	[ "$(wc -L <"$work/out")" -le 80 ]
check $? "stats --watch: a line each time, of 80 columns"
"$hakmem" stats --watch --json -d 0.05 -c 2 $pid >"$work/out" 2>"$work/why" && need python3 && python3 -c '
import json, sys
first, second = map(json.loads, open(sys.argv[1]))
assert second["classes"] and second["pid"] == int(sys.argv[2]) and second["time"] >= first["time"]' "$work/out" $pid 2>>"$work/why"
check $? "with --json an object to a line"
: >"$work/out"
"$hakmem" stats --watch -d 0.05 $pid >"$work/out" 2>"$work/why" &
watching=$!
until_so test -s "$work/out"
stop
wait $watching && grep -q "process $pid has ended" "$work/why"
check $? "it ends with the process"
start env LD_PRELOAD="$library" sh -c 'echo ready; until [ -e "$0" ]; do sleep 0.1; done; exec env -u LD_PRELOAD sleep 1000' "$work/go"
: >"$work/out"
timeout 60 "$hakmem" stats --watch -d 0.05 $pid >"$work/out" 2>"$work/why" &
watching=$!
until_so test -s "$work/out"
: >"$work/go"
wait $watching && grep -q "process $pid has ended, or runs another program" "$work/why"
check $? "and when another program takes its place"
stop

start ./tests/cmd/other
gives "a page of another version: why not" 1 "version 9.9.9 with a statistics page of version 99" "$hakmem" stats $pid
gives "check knows that it is there" 0 "other (linked in)" "$hakmem" check $pid
stop
start sh -c 'echo ready; read -r x <"$0"' "$work/never"
gives "a process without HAKMEM" 1 "is not on HAKMEM; why not: hakmem check $pid" "$hakmem" stats $pid
stop
gives "no such process" 2 "there is no process 999999999" "$hakmem" stats 999999999
gives "no process id" 2 "is no process id" "$hakmem" stats nonsense
gives "none at all" 2 "takes one process id" "$hakmem" stats
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then
	start ./tests/cmd/heap "$work"
	as_other="setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs"
	gives "a process of another user" 1 "may not be looked at: ask again as root" \
		$as_other "$hakmem" stats $pid
	$as_other "$hakmem" stats --prometheus >"$work/out" 2>"$work/why" &&
		[ "$(sed -n 's/^hakmem_processes{state="hidden"} //p' "$work/out")" -ge 1 ]
	check $? "is counted as hidden"
	mkdir "$work/nothing"
	chmod 755 "$work" "$work/nothing"
	HAKMEM_TEST_ROOT="$work/nothing" $as_other "$hakmem" stats --prometheus >"$work/out" 2>"$work/why" &&
		[ "$(sed -n 's/^hakmem_processes{state="hidden"} //p' "$work/out")" = 0 ]
	check $? "kernel threads, which have no memory, are not"
	stop
fi

finish
