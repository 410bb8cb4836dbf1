#!/bin/sh
# hakmem run and check: the program is as it would be without the command, and
# the library is in it or it is said why not; doctor.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"
run="$hakmem run --library $library"

[ "$(echo in | $run -- sh -c 'cat; echo err >&2; exit 7' 2>"$work/err"; echo $?)" = "in
7" ] && [ "$(cat "$work/err")" = err ]
check $? "input, output, errors and status are the program's"
$run -- sh -c 'kill -TERM $$' 2>/dev/null
[ $? = 143 ]
check $? "and the signal that ends it"
[ "$($run -- grep -c libhakmem /proc/self/maps)" -gt 0 ]
check $? "the library is in it"
[ "$($run -p default -s debug_level=1 -s HAKMEM_STATS=1 -- env | grep ^HAKMEM_ | grep -v TEST | sort | tr '\n' ' ')" = \
	"HAKMEM_DEBUG_LEVEL=1 HAKMEM_PROFILE=default HAKMEM_STATS=1 " ]
check $? "profile and settings are in its environment"
[ "$(LD_PRELOAD=libm.so.6 $run -- sh -c 'echo $LD_PRELOAD')" = "$library:libm.so.6" ]
check $? "what was preloaded already stays so"
# A directory of another user, with a file named like each profile.
mkdir "$work/trap"
printf 'LD_AUDIT=/nowhere/audit.so\nHAKMEM_STATS=1\n' | tee "$work/trap/tight" >"$work/trap/default"
(cd "$work/trap" && $run -p tight -- env) >"$work/out" 2>"$work/why" && grep -q '^HAKMEM_PROFILE=tight$' "$work/out" &&
	! grep -q -e LD_AUDIT -e HAKMEM_STATS "$work/out"
check $? "-p is a profile, whatever file has its name"
(cd "$work/trap" && "$hakmem" config -p default && "$hakmem" show tight && "$hakmem" diff default default) >"$work/out" 2>"$work/why" &&
	! grep -q '^HAKMEM_STATS *=* *1' "$work/out" && [ ! -s "$work/why" ]
check $? "config, show and diff likewise"
gives "-f is a file" 125 "cannot read tight" $run -f tight -- true
(cd "$work/trap" && $run -f tight -- env) >"$work/out" 2>"$work/why" && grep -q '^HAKMEM_STATS=1$' "$work/out" &&
	! grep -q LD_AUDIT "$work/out" && grep -q 'tight:1: LD_AUDIT is left out: no setting of HAKMEM$' "$work/why" &&
	[ "$(grep -c . "$work/why")" = 1 ]
check $? "of a file the settings are taken, and what is left out is said"
# of LINE: the environment that the program gets with such a file; words in $work/why.
of() {
	printf '%b\n' "$1" >"$work/of.env"
	$run -f "$work/of.env" -- env 2>"$work/why"
}
# thp_of COMMAND...: what a program of it gets from prctl(PR_GET_THP_DISABLE).
thp_of() {
	"$@" python3 -c 'import ctypes; print(ctypes.CDLL(None).prctl(42, 0, 0, 0, 0))' 2>"$work/why"
}
wanted=0
! "$hakmem" doctor | grep -q "huge pages by advice only  *yes" || wanted=3
need python3 && [ "$(thp_of $run --)" = $wanted ] && [ "$(thp_of env)" = 0 ]
check $? "the kernel makes huge pages by advice only, if it can"
disable='import ctypes, os, sys; ctypes.CDLL(None).prctl(41, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])'
need python3 && [ "$(thp_of python3 -c "$disable" $run --)" = 1 ]
check $? "or none, if that was so before"
of 'LD_PRELOAD=libhakmem.so.1\nHAKMEM_STATS=1' | grep -q "^LD_PRELOAD=$library$" && [ ! -s "$work/why" ]
check $? "our own LD_PRELOAD goes without a word"
of 'LD_PRELOAD=libhakmem.so.1:/tmp/libx.so' | grep -q "^LD_PRELOAD=$library$" && grep -q "of.env:1: LD_PRELOAD is left out" "$work/why"
check $? "another is left out"
[ -z "$(of 'PATH=/nowhere\nHAKMEM_TEST_ROOT=/tmp\nhakmem_stats=1\nnonsense' | grep -e =/nowhere -e HAKMEM_TEST_ROOT -e hakmem_)" ] &&
	[ "$(grep -c 'of.env:[1-4]: .*left out' "$work/why")" = 4 ]
check $? "all that is no setting is"
of "$(printf 'X\033[31m=1\nA_\303\274=1')" >/dev/null; ! grep -q "$(printf '\033')" "$work/why" && grep -q 'X.x1b.31m is left out' "$work/why"
check $? "what is said of it is plain text"
yes 'A=1' | head -n 10000 >"$work/long.env"
gives "and not ten thousand times" 0 "and 9992 more" $run -f "$work/long.env" -- true
[ "$(wc -l <"$work/out")" = 9 ]
check $? "indeed"
gives "a file without an end" 125 "cannot read /dev/zero: longer than" $run -f /dev/zero -- true
printf 'HAKMEM_STATS=1\n' >"$work/a.env"
printf 'HAKMEM_STATS=0\nHAKMEM_PROFILE=tight\n' >"$work/b.env"
[ "$($run -p default -f "$work/a.env" -f "$work/b.env" -s debug_level=1 -s debug_level=2 -- env | grep ^HAKMEM_ | grep -v TEST | sort | tr '\n' ' ')" = \
	"HAKMEM_DEBUG_LEVEL=2 HAKMEM_PROFILE=default HAKMEM_STATS=0 " ]
check $? "a later file wins over an earlier one, and options over files"
printf 'HAKMEM_STATS=9\nHAKMEM_STATS=0\n' >"$work/a.env"
gives "a bad value that another one covers" 0 "" $run -f "$work/a.env" -- true
printf 'HAKMEM_STATS=0\nHAKMEM_STATS=9\n' >"$work/a.env"
gives "and one that covers another" 125 "a.env:2: HAKMEM_STATS: bad value \"9\"" $run -f "$work/a.env" -- true
printf '\n\nHAKMEM_STATSS=1\n' >"$work/a.env"
gives "an unknown setting, with file and line" 125 "a.env:3: HAKMEM_STATSS: no such setting" $run -f "$work/a.env" -- true
gives "a binary file" 125 "cannot read /bin/sh: it is a binary file" $run -f /bin/sh -- true

gives "no such program" 127 "cannot run nonsense-program" $run -- nonsense-program
mkdir -p "$work/dirs/nonsense-program" "$work/files" && : >"$work/files/nonsense-file"
gives "a folder of that name is none" 127 "cannot run nonsense-program: No such file" env PATH="$work/dirs:$PATH" $run -- nonsense-program
gives "a file of that name that is no program" 126 "cannot run nonsense-file: Permission denied" \
	env PATH="$work/files:$PATH" $run -- nonsense-file
# Root may search all directories.
mkdir -m 0 "$work/closed" && chmod 755 "$work"
[ "$(id -u)" = 0 ] && as="setpriv --reuid=65534 --regid=65534 --clear-groups" || as=
if $as test -x "$hakmem" -a -r "$library" 2>/dev/null; then
	gives "a folder that may not be searched" 127 "cannot run nonsense-program: No such file" \
		$as env PATH="$work/closed:$PATH" $run -- nonsense-program
else
	skip "a folder that may not be searched" "may not run the command as another user"
fi
gives "a program that cannot be run" 126 "cannot run /etc" $run -- /etc
gives "no program" 125 "run needs a program" $run
gives "a bad value starts nothing" 125 'HAKMEM_DEBUG_LEVEL: bad value "9"' $run -s debug_level=9 -- touch "$work/there"
[ ! -e "$work/there" ]
check $? "indeed"
gives "an unknown setting" 125 "the nearest is HAKMEM_STATS" $run -s statss=1 -- true
gives "an unknown profile" 125 'there is no profile "nonsense"' $run -p nonsense -- true
gives "no such library" 125 "cannot use the library /nowhere" "$hakmem" run --library /nowhere -- true
"$hakmem" check -- true >/dev/null 2>"$work/err" || grep -q "apt install libhakmem1" "$work/err"
check $? "without an installed library, how to install it"

start $run -- sh -c 'echo ready; read -r x <"$0"' "$work/never"
gives "check PID: yes" 0 "yes: " "$hakmem" check $pid
[ "$(json 'j["present"]' "$hakmem" check --json $pid)" = True ]
check $? "and as JSON"
stop
start sh -c 'echo ready; read -r x <"$0"' "$work/never"
gives "no, and why: not preloaded" 1 "without libhakmem in LD_PRELOAD" "$hakmem" check $pid
stop
start env LD_PRELOAD=/nowhere/libhakmem.so.1 sh -c 'echo ready; read -r x <"$0"' "$work/never"
gives "a library that is not there" 1 "did not find that" "$hakmem" check $pid
stop
start ./tests/cmd/heap_static "$work"
gives "linked in" 0 "(linked in)" "$hakmem" check $pid
stop
$run -- ./tests/cmd/heap_static "$work" >"$work/out" 2>"$work/why" &
pid=$!
until_so test -s "$work/out" && [ ! -s "$work/why" ]
status=$?
stop
[ $status = 0 ]
check $? "run has no note about such a program"
# own NAME CODE: starts a program on the library that takes 44 MiB from the kernel itself.
own() {
	{ printf '#include <string.h>\n#include <sys/mman.h>\n#include <unistd.h>\n%s\n' "$2" && cat <<-'END'; } >"$work/$1.c"
		int main(void)
		{
			memset(mmap(0, 44 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 44 << 20);
			if (write(1, "ready\n", 6) == 6)
				pause();
			return 1;
		}
	END
	need cc && cc -o "$work/$1" "$work/$1.c" 2>"$work/why"
	check $? "$1: a program with an allocator of its own"
	start $run -q -- "$work/$1"
}
go_note='__asm__(".pushsection .note.go.buildid,\"a\",@note; .long 4, 4, 4; .byte 71, 111, 0, 0; .long 0; .popsection");'
if command -v cc >/dev/null; then
	own few ""
	gives "few blocks in a large process" 1 "0 blocks in use in a process of 44 MiB" "$hakmem" check $pid
	stop
	own go "$go_note"
	gives "a process in Go" 1 "the program is written in Go" "$hakmem" check $pid
	[ "$(json 'j["present"], j["reason"][:25]' "$hakmem" check --json $pid)" = "(False, 'the program is written in')" ]
	check $? "and as JSON"
	stop
	strip "$work/go" 2>/dev/null
	gives "a program in Go" 1 "the program is written in Go" "$hakmem" check --library "$library" -- "$work/go"
	own named 'void *mi_malloc(size_t size) { return (void *)size; }'
	gives "another allocator under its own names" 1 "has mimalloc inside" "$hakmem" check $pid
	stop
	start $run -- python3 -c 'x = [bytes(1000) for i in range(20000)]; print("ready", flush=True)
import time
time.sleep(1000)'
	gives "a large process on malloc" 0 "yes: " "$hakmem" check $pid
	{ kill $pid && wait $pid; } 2>/dev/null
fi
# unknown NAME TEXT PID [COMMAND...]: check cannot tell, and JSON says null; started by the command.
unknown() {
	name=$1 part=$2 id=$3
	shift 3
	gives "$name: unknown" 2 "unknown: $part" "$@" "$hakmem" check $id
	[ "$(json 'j["present"], list(j)' "$@" "$hakmem" check --json $id)" = "(None, ['schema', 'present', 'reason', 'advice'])" ]
	check $? "$name: null"
}
# The child ends only once its parent is a program that waits for none.
start sh -c 'sleep 1000 & echo $!; exec sleep 1000'
until_so grep -q sleep "/proc/$pid/comm" && kill "$line" && until_so is_zombie "$line"
unknown "a zombie" "process $line has ended" "$line"
stop
if [ -n "$as" ] && $as test -x "$hakmem"; then
	start sh -c 'echo ready; read -r x <"$0"' "$work/never"
	unknown "another user's process" "process $pid may not be looked at" $pid $as
	stop
fi
if unshare -m sh -c 'umount -l /proc' 2>/dev/null; then
	unknown "no /proc" "process $$ may not be looked at" $$ unshare -m sh -c 'umount -l /proc; exec "$@"' sh
else
	skip "no /proc" "may not unmount it"
fi
gives "no such process" 2 "there is no process 999999999" "$hakmem" check 999999999
gives "no process id" 2 "takes a process id" "$hakmem" check
gives "check -- program: yes" 0 "yes: $library" "$hakmem" check --library "$library" -- sort
gives "it is not run for that" 0 "yes: " "$hakmem" check --library "$library" -- touch "$work/there"
[ ! -e "$work/there" ]
check $? "indeed"
# check runs neither the interpreter that a file names nor other code of the file.
# The name takes the place of the system's linker in a program, so it is short however long TMPDIR is.
short=$(mktemp -d /tmp/XXXXXX)
printf '#!/bin/sh\n: >"$0.ran"\n' >"$short/l" && chmod 755 "$short/l"
need python3 && python3 - "$short/l" "$(command -v sort)" "$work/own" <<'END' 2>"$work/why"
import re, sys
linker, program, to = (s.encode() for s in sys.argv[1:])
data = open(program, "rb").read()
old = re.search(rb"/lib[\w/.-]*/ld[\w.-]*\0", data).group()
if len(linker) >= len(old):
    sys.exit(f"{linker} is longer than {old}")
open(to, "wb").write(data.replace(old, linker.ljust(len(old), b"\0"), 1))
END
made=$?
chmod 755 "$work/own" 2>/dev/null
if [ $made = 0 ]; then
	gives "a dynamic linker that the program brings" 0 "yes: $library" "$hakmem" check --library "$library" -- "$work/own"
	[ ! -e "$short/l.ran" ]
	check $? "is not run"
else
	check $made "a dynamic linker that the program brings"
fi
rm -rf "$short"
cat >"$work/audit.c" <<'END'
#include <fcntl.h>
unsigned la_version(unsigned version)
{
	open(RAN, O_CREAT | O_WRONLY, 0600);
	return version;
}
END
echo 'int main(void) { return 0; }' >"$work/main.c"
need cc && cc -shared -fPIC -DRAN="\"$work/audit.ran\"" -o "$work/audit.so" "$work/audit.c" 2>"$work/why" &&
	cc -o "$work/audited" "$work/main.c" -Wl,--audit="$work/audit.so" 2>>"$work/why" &&
	"$hakmem" check --library "$library" -- "$work/audited" >>"$work/why" 2>&1 && [ ! -e "$work/audit.ran" ]
check $? "nor what it has the system's load"
mkfifo "$work/pipe" && chmod 755 "$work/pipe"
gives "a FIFO is not waited for" 1 "" timeout 60 "$hakmem" check --library "$library" -- "$work/pipe"
printf '#!/usr/bin/env sh\n' >"$work/script" && chmod 755 "$work/script"
gives "a script: what runs it counts" 0 "is a script, run by" "$hakmem" check --library "$library" -- "$work/script"
printf '#!%s\n' "$work/script" >"$work/shim" && printf ': nothing\n' >"$work/plain" && chmod 755 "$work/shim" "$work/plain"
gives "a script that a script runs" 0 "yes: $library" "$hakmem" check --library "$library" -- "$work/shim"
gives "one that execvp has the shell run" 0 "is a script, run by /bin/sh" "$hakmem" check --library "$library" -- "$work/plain"
# Set-user-ID matters only if the program has another owner than its caller.
if [ "$(id -u)" = 0 ]; then
	cp /bin/true "$work/setuid" && chown 65534 "$work/setuid" && chmod 4755 "$work/setuid"
else
	ln -s "$(command -v su)" "$work/setuid"
fi
gives "a set-user-ID program" 1 "cannot be preloaded" "$hakmem" check --library "$library" -- "$work/setuid"
grep -q -x "next: nothing to do" "$work/out"
check $? "has no advice"
gives "run says so" 0 "setuid will run without HAKMEM: the program is set-user-ID" $run -- "$work/setuid" --version
(mkdir "$work/lib" && cp "$library" "$work/lib/libhakmem.so.1" && cd "$work/lib" &&
	LD_LIBRARY_PATH=$work/lib "$hakmem" run -q -- "$work/setuid" --version) >"$work/out" 2>"$work/why" && [ ! -s "$work/why" ]
check $? "and the dynamic linker says nothing"
cp /bin/true "$work/own-setuid" && chmod 4755 "$work/own-setuid"
gives "a set-user-ID program of the caller" 0 "yes: " "$hakmem" check --library "$library" -- "$work/own-setuid"
cp "$(command -v sort)" "$work/foreign" && printf '\376\376' | dd of="$work/foreign" bs=1 seek=18 conv=notrunc 2>/dev/null
gives "a program for another architecture" 2 "unknown: the program is for another architecture" "$hakmem" check --library "$library" -- "$work/foreign"
gives "no such program either" 1 'there is no program "nonsense"' "$hakmem" check --library "$library" -- nonsense
peer=$(ls /usr/lib/*/libjemalloc.so.2 2>/dev/null | head -n 1)
if [ -n "$peer" ]; then
	# Behind ours in the list it would not count.
	cp "$library" "$work/libhakmem.so.1"
	start env LD_PRELOAD="$peer:$library" sh -c 'echo ready; read -r x <"$0"' "$work/never"
	gives "another malloc before it" 1 "comes before it in LD_PRELOAD" "$hakmem" check $pid
	stop
fi
static=/sbin/ldconfig
if [ -x $static ] && ! readelf -l $static 2>/dev/null | grep -q INTERP; then
	gives "a static program" 1 "statically linked" "$hakmem" check --library "$library" -- $static
	gives "run says so too" 0 "will run without HAKMEM: the program is statically" $run -- $static --version
fi

# machine FILE VALUE...: doctor on a machine with these.
machine() {
	rm -rf "$work/root"
	while [ $# -gt 0 ]; do
		mkdir -p "$work/root$(dirname "$1")"
		echo "$2" >"$work/root$1"
		shift 2
	done
}
thp=/sys/kernel/mm/transparent_hugepage
advice_only=$(json '[f["value"][:3] for f in j["findings"] if "advice only" in f["what"]][0]' "$hakmem" doctor --json)
HAKMEM_TEST_ROOT=$work/root
export HAKMEM_TEST_ROOT
# advises NAME COMMAND LASTING OTHERS: doctor has this advice.
advises() {
	gives "doctor: $1" 1 "now:     $2" "$hakmem" doctor
	grep -q -F -e "lasting: $3" "$work/out"
	check $? "$1: what lasts"
	tr -s '\n ' ' ' <"$work/out" | grep -q -F -e "others: $4"
	check $? "$1: what it changes for others"
}
machine $thp/enabled 'always madvise [never]'
advises "huge pages off" "echo madvise | sudo tee $thp/enabled" \
	"echo 'w $thp/enabled - - - - madvise' | sudo tee /etc/tmpfiles.d/hakmem-thp-enabled.conf" "other programs that ask"
machine $thp/enabled '[always] madvise never' $thp/khugepaged/max_ptes_none 511 \
	/proc/meminfo "$(printf 'AnonPages: 2097152 kB\nAnonHugePages: 1048576 kB')"
if [ "$advice_only" = yes ]; then
	advises "huge pages everywhere" "hakmem run -- PROGRAM" "in the unit, from systemd 260 on: MemoryTHP=madvise" "nothing changes"
else
	advises "huge pages everywhere" "echo madvise | sudo tee $thp/enabled" "echo 'w $thp/enabled" "programs that do not ask"
fi
tr -s '\n ' ' ' <"$work/out" | grep -q "up to 511 of 512 pages unused; here 1024 of 2048 MiB" && ! grep -v lasting: "$work/out" | grep '.\{81\}'
check $? "explained for this machine"
machine $thp/enabled 'always [madvise] never' $thp/defrag '[always] defer never'
advises "faults that wait" "echo defer+madvise" "echo 'w $thp/defrag - - - - defer+madvise'" "other programs get fewer"
machine /proc/sys/vm/overcommit_memory 2
advises "strict overcommit" "sudo sysctl vm.overcommit_memory=0" \
	"echo 'vm.overcommit_memory = 0' | sudo tee /etc/sysctl.d/90-hakmem-vm.overcommit_memory.conf" "no allocation is refused early"
machine /proc/sys/vm/max_map_count 1000
advises "few mappings" "sudo sysctl vm.max_map_count=262144" "echo 'vm.max_map_count = 262144' | sudo tee" "a process may have more"
[ "$(json '[sorted(f) for f in j["findings"] if f["advice"]][0]' "$hakmem" doctor --json)" = \
	"['advice', 'command', 'lasting', 'others', 'value', 'what']" ]
check $? "and as JSON"
machine /proc/self/cgroup 0::/a/b /sys/fs/cgroup/a/memory.max 268435456 /sys/fs/cgroup/a/b/memory.max max
gives "the limit of a group above (version 2)" 1 "256 MiB" "$hakmem" doctor
machine /proc/self/cgroup 4:memory:/a /sys/fs/cgroup/memory/a/memory.limit_in_bytes 134217728
gives "the limit of version 1" 1 "128 MiB" "$hakmem" doctor
[ "$(json '[f["value"] for f in j["findings"] if "cgroup" in f["what"]]' "$hakmem" doctor --json)" = "['128 MiB']" ]
check $? "and as JSON"
machine /proc/self/cgroup 4:memory:/a /sys/fs/cgroup/memory/a/memory.limit_in_bytes 9223372036854771712 \
	$thp/enabled 'always [madvise] never'
"$hakmem" doctor >"$work/why"
grep -q '^+ memory limit (cgroup) *none' "$work/why" && grep -q '^+ huge pages *madvise' "$work/why"
check $? "nothing to say of a good machine"
finish
