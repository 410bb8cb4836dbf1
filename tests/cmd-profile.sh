#!/bin/sh
# hakmem profile: leaks that were planted in C, C++ and Python are found, in a running process
# and in a file; the formats are what their readers expect; hostile processes mislead nobody.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/cmd/tap.sh"

command="timeout 120 $hakmem"
sampling() {	# distance command...: starts it
	distance=$1
	shift
	start env HAKMEM_SAMPLE="$distance" LD_PRELOAD="$library" "$@"
}
# MB that the first stack with this text among its frames has in $work/out.
row() {	# text least most
	need python3 && python3 - "$work/out" "$@" 2>"$work/why" <<-'END'
	import json, sys
	path, text, least, most = sys.argv[1:]
	stacks = json.load(open(path))["stacks"]
	found = [s for s in stacks if any(text in (f["function"] or "") for f in s["frames"])]
	mb = sum(s["bytes"] for s in found) / 1e6
	if not float(least) <= mb <= float(most):
	    sys.exit(f"{text}: {mb} MB")
	END
}

sampling 32768 ./tests/sampled wait
gives "a process" 0 "sampled): " $command profile $pid
names "the leak in C, with its line" "keep_much  [./]*tests/sampled\.c:"
sed -n '/ WHERE/,$p' "$work/out" | sed -n '2p' | grep -q '^ *[34][0-9]\.[0-9] MiB .*%  *[0-9]*  *[0-9]*  ' 2>"$work/why"
check $? "comes first, with its bytes"
! grep -q 'keep_nothing' "$work/out"
check $? "what was freed is not shown"
gives "all that was allocated" 0 "MiB allocated, in " $command profile --allocated $pid
names "has it" "keep_nothing"
$command profile --json $pid >"$work/out" 2>"$work/why"
if has_names; then
	row keep_much 30 50
	check $? "JSON: the leak"
	row keep_little 5 16
	check $? "JSON: the caller of a function of libc"
else
	skip "JSON: the leak" "built without libdw"
	skip "JSON: the caller of a function of libc" "built without libdw"
fi
gives "blocks of some age" 0 "in use for at least 0.05 s" $command profile --leak 0.05 $pid
gives "no block is so old" 0 "0 B in use for at least 86400 s, in 0 call stacks" $command profile --leak 86400 $pid
gives "few rows" 0 " more call stack" $command profile --allocated --rows 1 $pid
$command profile --format folded $pid >"$work/out" 2>"$work/why" && ! grep -Evq '^[ -~]+ [1-9][0-9]*$' "$work/out"
check $? "folded stacks"
names "have the outermost function first" ";main;run;keep_much "

$command profile --format flame -o "$work/flame.svg" $pid 2>"$work/why" &&
	need python3 && python3 - "$work/flame.svg" 2>"$work/why" <<'END'
import sys, xml.etree.ElementTree as xml
root = xml.parse(sys.argv[1]).getroot()
svg = "{http://www.w3.org/2000/svg}"
boxes = [(g.find(svg + "title").text.split("\n")[0], g.find(svg + "rect")) for g in root.iter(svg + "g")]
if len(boxes) < 5 or boxes[0][0] != "all" or boxes[0][1].get("width") != "1180.00":
    sys.exit(f"{len(boxes)} boxes, first {boxes[:1]}")
for name, box in boxes:
    x, width = float(box.get("x")), float(box.get("width"))
    if x < 10 or x + width > 1190.1:
        sys.exit(f"{name}: {x} {width}")
END
check $? "a flame graph"
cp "$work/flame.svg" "$work/out"
names "has names" "keep_much"
$command profile --format pprof -o "$work/profile.pb.gz" $pid 2>"$work/why" &&
	need python3 && python3 - "$work/profile.pb.gz" 2>"$work/why" <<'END'
import gzip, sys
data = open(sys.argv[1], "rb").read()
data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
def fields(data):
    at = 0
    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
        else:
            assert key & 7 == 2
            size = number()
            yield key >> 3, data[at:at + size]
            at += size
top = list(fields(data))
strings = [value.decode() for field, value in top if field == 6]
types = [strings[dict(fields(value))[1]] for field, value in top if field == 1]
sums = [0] * 4
for field, value in top:
    if field == 2:
        values = [v for f, v in fields(value) if f == 2]
        sums = [a + b for a, b in zip(sums, values)]
locations = sum(field == 4 for field, _ in top)
if strings[0] != "" or types != ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]:
    sys.exit(f"{strings[:3]} {types}")
if not 35e6 < sums[3] < 70e6 or not 100e6 < sums[1] < 220e6 or locations < 5:
    sys.exit(f"{sums} {locations}")
END
check $? "pprof's format"
need go && HOME=$work go tool pprof -top "$work/profile.pb.gz" >"$work/out" 2>"$work/why" && grep -q keep_much "$work/out"
check $? "go tool pprof reads it"

# Through a file, and back.
$command profile --format text -o "$work/heap" $pid >"$work/why" 2>&1 && [ ! -s "$work/why" ] &&
	head -n 1 "$work/heap" | grep -qx 'heap profile: [1-9][0-9]*: [1-9][0-9]* \[[1-9][0-9]*: [1-9][0-9]*\] @ heap_v2/32768'
check $? "the text format"
need google-pprof && google-pprof --text --inuse_space ./tests/sampled "$work/heap" 2>"$work/pprof" |
	awk '$NF == "keep_much" && $1 >= 30 && $1 <= 50 { n++ } END { exit n != 1 }'
check $? "google-pprof reads it"
gives "a file" 0 "heap: " $command profile "$work/heap"
names "has the same names" "keep_much  [./]*tests/sampled\.c:"
$command profile --format folded $pid 2>/dev/null | sed 's/ [0-9]*$//' | sort >"$work/one"
$command profile --format folded "$work/heap" 2>/dev/null | sed 's/ [0-9]*$//' | sort >"$work/two"
diff "$work/one" "$work/two" >"$work/why"
check $? "and the same stacks as the process"
gives "no growth since a file" 0 "0 B more in use than before, in 0 call stacks" $command profile --base "$work/heap" $pid
awk '/^[0-9]/ { sub(/^[0-9]+: [0-9]+/, "0: 0") } { print }' "$work/heap" >"$work/before"
gives "growth since a file" 0 "MiB more in use than before" $command profile --base "$work/before" $pid
# The same program elsewhere in memory.
cp "$work/heap" "$work/first"
stop
sampling 32768 ./tests/sampled wait
$command profile --base "$work/first" --json $pid >"$work/out" 2>"$work/why"
if has_names; then
	row keep_much -10 10
	check $? "another process of the same program is compared by function"
else
	skip "another process of the same program is compared by function" "built without libdw"
fi
stop

HAKMEM_SAMPLE=32768 HAKMEM_SAMPLE_DUMP="$work/dump" LD_PRELOAD=$library ./tests/sampled
gives "a dump of an ended program" 0 "dump: " $command profile "$work/dump"
names "has names" "keep_much  [./]*tests/sampled\.c:"

HAKMEM_SAMPLE=1 HAKMEM_SAMPLE_DUMP="$work/dump" LD_PRELOAD=$library ./tests/sampled all
$command profile --allocated --format folded "$work/dump" >"$work/out" 2>"$work/why"
[ -s "$work/out" ] && ! grep -E '(hak_[a-z_]*|hk_[a-z_]*|libhakmem[^;]*) [0-9]+$' "$work/out" >"$work/why"
check $? "no function of the library is a call site"

sampling 32768 ./tests/cmd/leaking
$command profile $pid >"$work/out" 2>"$work/why"
names "a leak in C++, demangled" "shop::Cache<Blob>::insert(Blob const&)  "
# libstdc++'s functions below it are more in each release.
names "and a function that was inlined into others" "^  *shop::keep_order("
names "and the caller of many functions of containers" "^  *shop::copy_shelf("
names "strings have their usual name" "std::vector<std::string, std::allocator<std::string *> *>::"
$command profile --format folded $pid >"$work/out" 2>"$work/why"
names "and the functions that were inlined into others" ";main;shop::keep_order("
$command profile --allocated --format folded $pid >"$work/out" 2>"$work/why"
! grep -E '(operator new[^;]*|libhakmem[^;]*) [0-9]+$' "$work/out" >"$work/why"
check $? "operator new with an alignment is no call site"
stop

sampling 1 ./tests/cmd/many
$command profile --rows 0 $pid >"$work/out" 2>"$work/why"
stop
if has_names; then
	[ "$(grep -o ' site_[0-9]*  [^ ]*many\.c:' "$work/out" | sort -u | wc -l)" = 8192 ]
	check $? "all functions of a large source file have names"
else
	skip "all functions of a large source file have names" "built without libdw"
fi

sampling 4096 ./tests/cmd/many "$hakmem"
[ "$(json '[f for s in j["stacks"] for f in s["frames"] if not f["file"]]' $command profile --json $pid)" = "[]" ]
check $? "the files of all frames are found among many mappings"
stop

cat >"$work/leak.py" <<'END'
import ctypes, time
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def leak():
    return [libc.malloc(5000) for i in range(8000)]
kept = leak()
print("ready", flush=True)
time.sleep(600)
END
if command -v python3 >/dev/null && python3 -c 'import ctypes' 2>/dev/null; then
	sampling 32768 python3 "$work/leak.py"
	$command profile --json $pid >"$work/out" 2>"$work/why"
	python3 -c '
import json, sys
first = json.load(open(sys.argv[1]))["stacks"][0]
files = [f["file"] or "" for f in first["frames"]]
if not 30e6 < first["bytes"] < 50e6 or not any("ffi" in f or "_ctypes" in f for f in files):
    sys.exit(f"{first}")' "$work/out" 2>"$work/why"
	check $? "a leak in Python"
	stop
else
	skip "a leak in Python" "no python3 with ctypes"
fi

# Processes that take no samples.
samples() {	# how many the process has taken so far
	json 'j["samples"]' $command stats --json $pid
}
is_off() {
	before=$(samples)
	sleep 0.5
	[ -n "$before" ] && [ "$before" = "$(samples)" ]
}
more_than() {	# samples
	[ "$(samples)" -gt "$1" ]
}
goes_on() {
	until_so more_than "$(samples)"
}
start env LD_PRELOAD="$library" ./tests/cmd/calls busy
gives "a process that takes no samples" 0 "B allocated, in " $command profile --allocated --rate 4096 --seconds 1 $pid
grep -q 'while sampling was off are not included' "$work/out"
check $? "a note says what is not included"
is_off
check $? "takes none afterwards"
before=$(samples)
"$hakmem" profile --allocated --rate 4096 --seconds 600 $pid >"$work/out" 2>"$work/why" &
observing=$!
until_so more_than "$before" && kill -INT $observing && until_so has_ended $observing && grep -q ' WHERE$' "$work/out"
check $? "Ctrl-C ends the wait, and the profile is shown"
is_off
check $? "and turns sampling off"
$command set $pid SAMPLE=4096 >"$work/why" 2>&1
gives "a process in which sampling was turned on" 0 " in use, in " $command profile $pid
goes_on
check $? "goes on"
gives "what it allocates in a second" 0 " newly allocated, in " $command profile --allocated --seconds 1 $pid
goes_on
check $? "goes on after that too"
stop
whole() {
	$command profile --allocated $pid >"$work/out" 2>"$work/why" && ! grep -q 'while sampling was off' "$work/out"
}
sampling 4096 ./tests/cmd/calls busy
whole
check $? "a process that has been sampled since its start is whole"
$command set $pid SAMPLE=0 && $command set $pid SAMPLE=4096 && ! whole
check $? "but not after a time without samples"
stop
sampling 4096 ./tests/cmd/calls title
whole
check $? "it is, too, if the process has overwritten its environment"
stop
start env LD_PRELOAD="$library" ./tests/cmd/calls waits
timeout -k 120 -s INT 1 "$hakmem" profile --seconds 86400 $pid >"$work/out" 2>"$work/why"
[ $? != 137 ]
check $? "Ctrl-C is heard while a process makes no call"
kill -USR1 $pid
sleep 0.2
[ "$(samples)" = 0 ]
check $? "which takes no samples afterwards"
stop
start env LD_PRELOAD="$library" ./tests/cmd/calls waits
gives "a process that calls nothing" 0 "no samples were taken" $command profile --seconds 0.1 $pid
[ "$(grep -c 'estimated from 0 samples$' "$work/out")" = 1 ]
check $? "has no mean distance"
stop
gives "a bad rate" 2 "--rate takes bytes" $command profile --rate 0 1
gives "a file is not observed" 2 "need a process" $command profile --seconds 1 "$work/heap"

# What it cannot do.
start ./tests/sampled wait
gives "a process without the library" 1 "is not on HAKMEM" $command profile $pid
stop
gives "no process" 2 "there is no process 2147483646" $command profile 2147483646
gives "no file" 1 "No such file" $command profile "$work/none"
mkfifo "$work/pipe"
gives "not a file" 1 "not a regular file" $command profile "$work/pipe"
gives "not a profile" 1 "is not a heap profile" $command profile "$hakmem"
printf 'heap profile: 1: 1 [1: 1] @ heap_v2/18446744073709551615\n1: 1 [1: 1] @ 0x1\n' >"$work/bad"
gives "a profile of an impossible distance" 1 "is not a heap profile" $command profile "$work/bad"
{
	echo 'heap profile: 1: 1 [1: 1] @ heap_v2/1000'
	echo '18446744073709551615: 18446744073709551615 [0: 0] @ 0x1 0x2'
	printf '\033[31m\n1: 1 [1: 1] @\n99999999999999999999: 1 [1: 1] @ 0x1\n'
	printf 'MAPPED_LIBRARIES:\n0-ffffffffffffffff r-xp 0 00:00 0 /dev/zero\n'
} >"$work/bad"
gives "a hostile profile" 0 "Not included: 3 incomplete or damaged call stacks." $command profile "$work/bad"
printf 'heap profile: 1: 1 [1: 1] @ heap_v2/1000\n1: 1 [1: 1] @\n1: 1 [1: 1] @ 0x1\n' >"$work/one"
gives "a sample" 0 "estimated from 1 sample, " $command profile "$work/one"
gives "a damaged stack" 0 "note: Not included: 1 incomplete or damaged call stack." $command profile "$work/one"
gives "no such format" 2 'did you mean "folded"?' $command profile --format fold 1
gives "a file has no ages" 2 "--leak needs a process" $command profile --leak 5 "$work/heap"
gives "two views" 2 "exclude each other" $command profile --live --allocated 1
gives "text has no differences" 2 "cannot contain differences" $command profile --base "$work/heap" --format text 1
gives "two processes" 2 "one process id or file" $command profile 1 2

# hostile MODE STATUS TEXT: what is printed about it.
cat >"$work/ascii.py" <<'END'
import sys
bad = sorted(set(open(sys.argv[1], "rb").read()) - set(range(32, 127)) - {10})
if bad:
    sys.exit(f"bytes {bad}")
END
hostile() {
	rm -rf "$work/place"
	mkdir "$work/place"
	start ./tests/cmd/hostile "$1" "$work/place"
	gives "$1" "$2" "$3" $command profile $pid
	need python3 && python3 "$work/ascii.py" "$work/out" 2>"$work/why"
	check $? "$1: nothing but printable characters"
	$command profile --json $pid >"$work/out" 2>"$work/why"
	[ $? = "$2" ] && need python3 && { [ "$2" != 0 ] || python3 -m json.tool "$work/out" >/dev/null 2>"$work/why"; }
	check $? "$1: JSON"
	cp "$work/out" "$work/json"
	$command profile --format flame $pid >"$work/out" 2>"$work/why"
	[ $? = "$2" ] && need python3 && { [ "$2" != 0 ] || python3 -c 'import sys, xml.etree.ElementTree as xml
xml.parse(sys.argv[1])' "$work/out" 2>"$work/why"; }
	check $? "$1: a flame graph"
	{ kill -9 $pid && wait $pid; } 2>/dev/null
}
hostile samples-ones 0 "Not included: 16384 incomplete or damaged call stacks."
hostile samples-random 0 " incomplete or damaged call stack"
hostile samples-huge 0 "0 B in use"
hostile samples-circle 0 "hostile): "
hostile samples-nowhere 1 "memory that is not there"
hostile samples-version 1 "of another version"
hostile samples-deep 0 "8.0 EiB in use"
{
	echo 'heap profile: 1: 1 [1: 1] @ heap_v2/1000'
	for address in 0x1 0x2 0x3; do
		echo "1: 18446744073709551615 [1: 1] @ $address"
	done
} >"$work/bad"
$command profile --format text -o "$work/copy" "$work/bad"
gives "sums above 64 bits are written so that they can be read" 0 "8.0 EiB in use" $command profile "$work/copy"
start ./tests/cmd/hostile samples-huge "$work/place"
$command profile --format text -o "$work/copy" $pid 2>/dev/null
stop
gives "and so is a distance above 63 bits" 0 "0 B in use" $command profile "$work/copy"
for mode in symbols lines cut fifo; do
	hostile samples-$mode 0 "64.0 KiB in use, in 1 call stack"
	cp "$work/json" "$work/why"
	grep -q -i -F 'u001b[31m' "$work/json"
	check $? "samples-$mode: its name is escaped"
done

# The name of a mapped file contains markup, a separator and codes of terminals.
{
	echo 'heap profile: 1: 9000 [1: 9000] @ heap_v2/524288'
	printf '1: 9000 [1: 9000] @ 0x401001\nMAPPED_LIBRARIES:\n'
	printf '400000-600000 r-xp 00000000 08:01 1 /<b>"]]>;\033[31m\377%%n\n'
} >"$work/bad"
for format in table:'<b>' json:'<b>' folded:'<b>' flame:'&lt;b&gt;'; do
	$command profile --format ${format%%:*} "$work/bad" 2>"$work/why" | tr -d '\t' >"$work/out"
	grep -q -F -e "${format#*:}" "$work/out" && need python3 && python3 "$work/ascii.py" "$work/out" 2>"$work/why"
	check $? "${format%%:*}: a hostile name of a file is escaped"
done
! grep -q '<b>' "$work/out"
check $? "also in XML"
names_missing() {
	$command profile "$work/bad" 2>"$work/why" | grep -q 'names: 1 mapped file could not be read'
}
if has_names; then
	names_missing
	check $? "a note says that the file cannot be read"
else
	skip "a note says that the file cannot be read" "built without libdw"
fi

# Files with as many stacks, frames and mappings as are read.
stacks() {	# stacks frames maps
	awk -v stacks="$1" -v frames="$2" -v maps="$3" 'BEGIN {
		print "heap profile: 1: 1 [1: 1] @ heap_v2/524288"
		for (i = 0; i < stacks; i++) {
			printf "1: 9000 [1: 9000] @"
			for (j = 0; j < frames; j++)
				printf " 0x%x", 16777224 + (i * frames + j) * 200
			print ""
		}
		print "\nMAPPED_LIBRARIES:"
		for (i = 0; i < maps; i++)
			printf "%x-%x r-xp 00000000 08:01 1 /none/%d\n", (256 + i) * 65536, (257 + i) * 65536, i
	}' >"$work/many"
}
# within SECONDS COMMAND...: limits the processor time, which is the same on a busy machine.
within() {
	(ulimit -t "$1" && shift && exec timeout 600 "$@")
}
stacks 262144 1 0
within 30 "$hakmem" profile --format flame "$work/many" >"$work/out" 2>"$work/why" && grep -q '<svg' "$work/out"
check $? "a flame graph of very many stacks"
stacks 4096 1000 16000
within 60 "$hakmem" profile --base "$work/many" "$work/many" >"$work/out" 2>"$work/why" &&
	grep -q '0 B more in use than before, in 0 call stacks' "$work/out"
check $? "the difference of very many frames and mappings"
finish
