#!/bin/sh
# hakmem compare: what it runs, what it measures, and that it judges by that.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"
compare="$hakmem compare --library $library -q -n 3"
profiles=$("$hakmem" profiles --names)
count=$(echo "$profiles" | wc -l)

# script NAME: an executable of standard input.
script() {
	{ echo '#!/bin/sh'; cat; } >"$work/$1"
	chmod 755 "$work/$1"
}

script note <<'END'
echo "${HAKMEM_PROFILE-none} $(cat) ${LD_PRELOAD-none}" >>"$1"
END
echo input | $compare --json -- "$work/note" "$work/ran" >"$work/json" 2>"$work/why"
check $? "a comparison as JSON"
is() {	# name wanted expression
	got=$(need python3 && python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$work/json" "$3" 2>&1)
	echo "$got, not $2" >"$work/why"
	[ "$got" = "$2" ]
	check $? "$1"
}
is "the program as it is, twice, and each profile" "glibc, the same again, $(echo $profiles | sed 's/ /, /g')" \
	'", ".join(c["name"] for c in j["contenders"])'
is "every figure of every run" True 'all(len(c[f]["runs"]) == 3 and min(c[f]["runs"]) > 0 for c in j["contenders"]
	for f in ("wall_seconds", "peak_pss_bytes", "average_pss_bytes", "page_faults"))'
is "medians of the runs" True 'all(sorted(c["wall_seconds"]["runs"])[1] == c["wall_seconds"]["median"] for c in j["contenders"])'
is "schema and program" "2 $work/ran" 'str(j["schema"]) + " " + j["program"][1]'
for profile in $profiles; do echo "$profile input $library"; done >"$work/once"
{ cat "$work/once" "$work/once" "$work/once"; for i in 1 2 3 4 5 6 7; do echo "none input none"; done; } | sort >"$work/wants"
sort "$work/ran" | diff "$work/wants" - >"$work/why"
check $? "the same input for each; profile and preload for its own runs alone; one run to warm up"
sed -n "4,$((count + 3))p" "$work/ran" | cut -d ' ' -f 1 >"$work/first"
echo "$profiles" | diff - "$work/first" >"$work/why" && sed -n "$((2 * count + 5))p" "$work/ran" | grep -q '^none'
check $? "interleaved, in another order each time"

# Judged by what was measured: programs that make a profile better or worse.
script slow <<'END'
[ "${HAKMEM_PROFILE-glibc}" = "$1" ] || sleep 0.4
END
gives "a clear winner, and its line" 0 "EnvironmentFile=/etc/hakmem/default.env" $compare -n 5 -p default -- "$work/slow" default
awk 'length > 80 { print; wide = 1 } END { exit wide }' "$work/out" >"$work/why"
check $? "in 80 columns"
script slower <<'END'
[ "${HAKMEM_PROFILE-glibc}" = glibc ] || sleep 0.3
sleep 0.3
END
gives "no clear winner" 0 "no clear winner" $compare -n 5 -p default -- "$work/slower"
! grep -q EnvironmentFile "$work/out"
check $? "and no line then"
# The runs of the three contenders are in turn 0 1 2, 1 2 0, 2 0 1, ... after the first.
script noisy <<'END'
run=$(($(cat "$1") + 1))
echo $run >"$1"
case $((((run - 2) / 3 + (run - 2) % 3) % 3)) in
0) sleep 0.5 ;;
1) sleep 1 ;;
2) sleep 0.3 ;;
esac
END
echo 0 >"$work/runs"
gives "what is less than the noise is no win" 0 "no clear winner" $compare -n 5 -p default -- "$work/noisy" "$work/runs"
gives "fewer than five rounds are not enough" 0 "at least 5 rounds" $compare -n 4 -p default -- "$work/slow" default
gives "a program too short to tell" 0 "no recommendation" $compare -p default -- true
! grep % "$work/out" >"$work/why"
check $? "has no percentages"
gives "closed streams stay closed for the command only" 0 "median" sh -c '"$@" <&-' sh $compare -n 1 -p default -- sh -c 'echo written'
mkfifo "$work/endless-input"
"$hakmem" compare --library "$library" -p default -- true <>"$work/endless-input" >"$work/out" 2>"$work/why" &
pid=$!
until_so grep -q "waiting for the end of standard input" "$work/why"
check $? "a pipe that does not end: a note"
stop
gives "progress, off a terminal by lines, and the time left" 0 "round 2 of 2, about " "$hakmem" compare --library "$library" -n 2 -p default -- true

# Programs that fail.
script fails <<'END'
[ "${HAKMEM_PROFILE-none}" = none ] || { echo of this >&2; exit 3; }
END
gives "a program that fails on it" 1 "default: $work/fails ended with status 3" $compare -p default -- "$work/fails"
grep -q "no profile ran this program to its end" "$work/out"
check $? "recommends nothing"
grep -q "^  of this" "$work/out"
check $? "its last words"
[ "$(json '[c["wall_seconds"] for c in j["contenders"] if c["failed"]]' $compare --json -p default -- "$work/fails")" = "[None]" ]
check $? "it has no figures"
gives "a program that is killed under all of them" 1 "sh killed by SIGSEGV under all of them" $compare -p default -- sh -c 'kill -SEGV $$'
gives "a program that fails under all of them" 1 "false ended with status 1 under all of them" $compare -p default -- false
gives "a library that does not get into the process" 1 "glibc is in the process instead" $compare -p default -- \
	env -u LD_PRELOAD sleep 0.2

# Wrong calls.
gives "no program" 2 "needs a program" $compare
gives "no such program" 2 'there is no program "nonsense"' $compare -- nonsense
gives "an unknown profile" 2 'there is no profile "nonsense"' $compare -p nonsense -- true
gives "a bad setting" 2 "HAKMEM_DEBUG_LEVEL: bad value" $compare -s debug_level=9 -- true
gives "a picture of an unknown kind" 2 "has to end in .svg" $compare --plot x.jpg -- true
for option in --plot --export-markdown; do
	gives "$option where it cannot be written" 2 "there is no such directory" $compare $option "$work/none/x.svg" -- touch "$work/touched"
	[ ! -e "$work/touched" ]
	check $? "is found before the program is run"
done

# What is in the process.
gives "a script is named" 0 "$work/slow is a script, run by /bin/sh" "$hakmem" compare --library "$library" -n 1 -p default -- \
	"$work/slow" default
script shim <<'END'
exec sleep 0.3
END
gives "and what it becomes" 0 "its largest process is $(readlink -f "$(command -v sleep)")" "$hakmem" compare --library "$library" -n 1 -p default -- \
	"$work/shim"
script onit <<END
LD_PRELOAD=$library exec sleep 0.3
END
gives "a script that preloads HAKMEM" 1 "it is on HAKMEM without a profile too" $compare -p default -- "$work/onit"
# The linker would run the code that the program names, as the user of the command.
cat >"$work/audit.c" <<'END'
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
unsigned la_version(unsigned version)
{
	char own[256] = "";
	if (readlink("/proc/self/exe", own, sizeof own - 1) > 0 && strcmp(own, PROGRAM) != 0)
		open(PROGRAM ".ran", O_CREAT | O_WRONLY, 0600);
	return version;
}
END
printf '#include <unistd.h>\nint main(void) { return usleep(300000); }\n' >"$work/main.c"
script becomes <<'END'
exec "$1"
END
program=$(readlink -f "$work")/audited
need cc && cc -shared -fPIC -DPROGRAM="\"$program\"" -o "$work/audit.so" "$work/audit.c" 2>"$work/why" &&
	cc -o "$program" "$work/main.c" -Wl,--audit="$work/audit.so" 2>>"$work/why" &&
	$compare -n 1 -p default -- "$work/becomes" "$program" >>"$work/why" 2>&1 && [ ! -e "$program.ran" ]
check $? "the linker is not run on what a script becomes"
redis=$(command -v redis-server)
if [ -n "$redis" ] && ldd "$redis" | grep -q libjemalloc; then
	gives "a program that brings an allocator" 0 "as it is: jemalloc" $compare -n 1 -p default --peers -- redis-server --version
	[ "$(grep -c '^glibc ' "$work/out") $(grep -c '^jemalloc ' "$work/out")" = "1 0" ]
	check $? "is compared with glibc too, and not with itself"
else
	skip "a program that brings an allocator" "no redis-server with jemalloc"
fi
cat >"$work/sleepers.py" <<'END'
import os, time
block = b'x' * (100 << 20)
for i in range(3):
    if os.fork() == 0:
        time.sleep(1)
        os._exit(0)
for i in range(3):
    os.wait()
END
python=$(need python3 && python3 -c 'import sys; print(sys.executable)')
peak=$(json 'int(j["contenders"][0]["peak_pss_bytes"]["median"]) >> 20' \
	$compare --json -n 1 -p default -- "$python" "$work/sleepers.py")
echo "$peak" >"$work/why"
need python3 && [ "$peak" -ge 100 ] && [ "$peak" -lt 160 ]
check $? "memory that processes share counts once"

# Before and after the runs.
gives "rounds to warm up, and a command before each run" 0 "median of 1 round" $compare -n 1 --warmup 2 -p default \
	--prepare "echo prepared >>'$work/prepared'" -- "$work/note" "$work/warm"
[ "$(wc -l <"$work/warm") $(wc -l <"$work/prepared")" = "10 10" ]
check $? "as often as they should"
gives "a command before the run that fails" 1 "--prepare command ended with status 4" $compare -n 1 -p default --prepare 'exit 4' -- \
	touch "$work/touched"
[ ! -e "$work/touched" ]
check $? "ends it all"
script leaves <<'END'
sleep 1000 >/dev/null 2>&1 &
echo $! >>"$1"
END
$compare -n 1 -p default -- "$work/leaves" "$work/left" >/dev/null 2>"$work/why"
[ "$(wc -l <"$work/left")" = 4 ] && for pid in $(cat "$work/left"); do ! kill -0 "$pid" 2>/dev/null || echo "$pid"; done >"$work/why"
[ ! -s "$work/why" ]
check $? "what a program leaves running is ended"

script endless <<'END'
echo >>"$1"
sleep 0.2
END
$compare -n 1000 -p default -- "$work/endless" "$work/turns" >"$work/out" 2>"$work/why" </dev/null &
pid=$!
eight_turns() {
	[ "$(cat "$work/turns" 2>/dev/null | wc -l)" -ge 8 ]
}
until_so eight_turns
kill $pid
wait $pid
[ $? = 130 ] && grep -q "complete rounds: [0-9]* of 1000" "$work/why" && grep -q '^the same again .*[0-9]' "$work/out"
check $? "interrupted, it shows the rounds that are complete"

gives "a picture and a table as Markdown" 0 "median" $compare -n 1 -p default --plot "$work/x.svg" --export-markdown "$work/x.md" -- \
	sh -c 'sleep 0.1; : "<&>"'
grep -q '^| default | [0-9]' "$work/x.md"
check $? "Markdown has the rows"
cat >"$work/texts.py" <<'END'
import sys, xml.etree.ElementTree as tree
picture = tree.parse(sys.argv[1])
print("\n".join(t.text or "" for t in picture.iter("{http://www.w3.org/2000/svg}text")))
END
need python3 && python3 "$work/texts.py" "$work/x.svg" >"$work/texts" 2>"$work/why" &&
	grep -q 'sh -c .*<&>' "$work/texts" && grep -q "$(date +%Y-)" "$work/texts" && grep -q "^default$" "$work/texts"
check $? "the picture has command, date, and a curve for each"

# A server: it listens, is driven, and ended by SIGTERM.
cat >"$work/server.py" <<'END'
import os, signal, socket, sys
s = socket.socket(socket.AF_UNIX)
with open(sys.argv[2], "a") as log:
    log.write("started\n")
how = sys.argv[3] if len(sys.argv) > 3 else ""
if how == "daemon" and os.fork():
    os._exit(0)
if how == "fails":
    sys.exit("cannot listen here")
if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
s.bind(sys.argv[1])
s.listen()
if how == "crashes":
    signal.signal(signal.SIGTERM, lambda *_: os.abort())
if how == "falls":
    s.accept()
    sys.exit("fell over")
s.accept()
s.accept()
END
serve() {	# name status text load how
	gives "$1" "$2" "$3" $compare -p default --load "$4" -- "$python" "$work/server.py" "$work/s" "$work/log" ${5-}
}
connect="'$python' -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"$work/s\")'"
serve "a server is driven" 0 "median of 3 rounds" "$connect"
need python3 && [ "$(wc -l <"$work/log")" = 10 ]
check $? "one start for each run"
# The second run is prevented: the first one tells.
gives "a load that does not reach the server" 1 "does the load reach it?" "$hakmem" compare --library "$library" -n 1 -p default \
	--prepare "mkdir '$work/once only'" --load 'sleep 8' -- "$python" "$work/server.py" "$work/s" "$work/log"
serve "a server that ends" 1 "ended with status 1 before the load began" "touch '$work/touched'" fails
grep -q "^  cannot listen here" "$work/out" && [ ! -e "$work/touched" ]
check $? "its last words, and no load"
serve "a server that ends during the load" 1 "during the load" "$connect; sleep 60" falls
serve "a server that crashes when it is to end" 1 "killed by SIGABRT on SIGTERM" "$connect" crashes
serve "a server that becomes a daemon" 1 "became a daemon" true daemon
serve "a load that fails" 1 "its --load failed" "echo because >&2; exit 5"
grep -q "the --load command ended with status 5" "$work/out" && grep -q "^  because" "$work/out"
check $? "its own error"
gives "a server that never listens" 1 "did not listen on a socket" $compare -p default --load "touch '$work/touched'" -- sleep 1000
[ ! -e "$work/touched" ]
check $? "is not driven"
finish
