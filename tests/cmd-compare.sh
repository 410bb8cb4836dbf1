#!/bin/sh
# hakmem compare: what it runs, what it measures, and that it judges by that.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"
compare="$hakmem compare --library $library -q -n 3"
profiles=$("$hakmem" profiles --names)

printf '#!/bin/sh\necho "${HAKMEM_PROFILE-none} $(cat) ${LD_PRELOAD-none}" >>"$1"\n' >"$work/note" && chmod 755 "$work/note"
echo input | $compare --json -- "$work/note" "$work/ran" >"$work/json" 2>"$work/why"
check $? "a comparison as JSON"
is() {	# name wanted expression
	got=$(need python3 && python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$work/json" "$3" 2>&1)
	echo "$got, not $2" >"$work/why"
	[ "$got" = "$2" ]
	check $? "$1"
}
is "glibc and each profile" "$(echo glibc $profiles)" '" ".join(c["name"] for c in j["contenders"])'
is "every figure of every run" True 'all(len(c[f]["runs"]) == 3 and min(c[f]["runs"]) > 0 for c in j["contenders"]
	for f in ("wall_seconds", "peak_rss_bytes", "average_rss_bytes", "page_faults"))'
is "medians of the runs" True 'all(sorted(c["wall_seconds"]["runs"])[1] == c["wall_seconds"]["median"] for c in j["contenders"])'
is "schema and program" "1 $work/ran" 'str(j["schema"]) + " " + j["program"][1]'
for profile in $profiles; do echo "$profile input $library"; done >"$work/once"
{ cat "$work/once" "$work/once" "$work/once"; for i in 1 2 3 4; do echo "none input none"; done; } | sort >"$work/wants"
sort "$work/ran" | diff "$work/wants" - >"$work/why"
check $? "the same input for each; profile and preload for its own runs alone; one run to warm up"
sed -n 2,3p "$work/ran" >"$work/first" && sed -n "$(($(echo "$profiles" | wc -l) + 3))p" "$work/ran" | grep -q -v '^none' &&
	grep -q '^none' "$work/first"
check $? "interleaved, not one after the other"

# Judged by what was measured: programs that make a profile better or worse.
cat >"$work/slow" <<END
#!/bin/sh
[ "\${HAKMEM_PROFILE-glibc}" = "\$1" ] || sleep 0.3
END
chmod 755 "$work/slow"
gives "a clear winner, and its line" 0 "EnvironmentFile=/etc/hakmem/default.env" $compare -n 5 -p default -- "$work/slow" default
gives "no clear winner" 0 "no clear winner" $compare -n 5 -p default -- "$work/slow" glibc
! grep -q EnvironmentFile "$work/out"
check $? "and no line then"
cat >"$work/fails" <<END
#!/bin/sh
[ "\${HAKMEM_PROFILE-none}" = none ] || exit 3
END
chmod 755 "$work/fails"
gives "a program that fails on it" 1 "default: $work/fails ended with status 3, not 0" $compare -p default -- "$work/fails"
grep -q "no profile ran this program to its end" "$work/out"
check $? "recommends nothing"
gives "fewer than five rounds are not enough" 0 "at least 5 rounds" $compare -n 4 -p default -- "$work/slow" default
gives "a program too short to tell" 0 "give it more work" $compare -p default -- true
gives "progress, off a terminal by lines" 0 "round 2 of 2" "$hakmem" compare --library "$library" -n 2 -p default -- true
gives "no program" 2 "needs a program" $compare
gives "no such program" 2 'there is no program "nonsense"' $compare -- nonsense
gives "an unknown profile" 2 'there is no profile "nonsense"' $compare -p nonsense -- true
gives "a bad setting" 2 "HAKMEM_DEBUG_LEVEL: bad value" $compare -s debug_level=9 -- true
gives "a picture of an unknown kind" 2 "ends in .svg or .png" $compare --plot x.jpg -- true

# A server: ready when it sleeps, driven, ended by SIGTERM.
cat >"$work/server.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
with open(sys.argv[2], "a") as log:
    log.write("started\n")
s.bind(sys.argv[1])
s.listen()
s.accept()
END
need python3
gives "a server is driven" 0 "median of 3 rounds" $compare -p default --load "until mv '$work/s' '$work/served'; do sleep 0.1; done 2>/dev/null" -- \
	python3 "$work/server.py" "$work/s" "$work/log"
need python3 && [ "$(wc -l <"$work/log")" = 7 ]
check $? "one start for each run"

if command -v gnuplot >/dev/null; then
	gives "a plot" 0 "median" $compare -p default --plot "$work/x.svg" -- sleep 0.1
	grep -q '</svg>' "$work/x.svg" && grep -q default "$work/x.svg"
	check $? "is a picture with a curve for each"
else
	gives "without gnuplot, how to install it" 2 "apt install gnuplot-nox" $compare --plot x.svg -- true
fi
finish
