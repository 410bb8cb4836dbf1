#!/bin/sh
# Whole programs, with HAKMEM and without: the same output, and the library
# really used, as the statistics tell that it leaves at exit.
set -u
library=${HAKMEM_TEST_LIBRARY:?run by make check}
source=${HAKMEM_TEST_SOURCE:?run by make check}
here=$source/tests/real
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
build=$PWD
LC_ALL=C TMPDIR=$work HOME=$work
export LC_ALL TMPDIR HOME source build library
n=0
# Limits below are for what hangs: several times what a busy machine takes.

result() {	# status name
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

# with "PROGRAM..." CASE NAME...: skipped where one of them is not installed.
with() {
	for program in $1; do
		command -v "$program" >/dev/null && continue
		n=$((n + 1))
		echo "ok $n - $3 # SKIP no $program"
		return
	done
	shift
	"$@"
}

log() {		# file
	tail -n 30 "$1" | sed 's/^/# /'
}

# The rest of the words is a command, run under the library in an empty folder.
ours() {
	rm -rf "$work/cd" "$work/used" && mkdir "$work/cd" "$work/used" && cd "$work/cd" &&
		HAKMEM_STATS_DUMP="$work/used/%p" LD_PRELOAD=$library "$@"
}

plain() {
	rm -rf "$work/cd" && mkdir "$work/cd" && cd "$work/cd" && "$@"
}

used() {
	[ -n "$(ls "$work/used")" ] || { echo "# no process used the library"; false; }
}

# same NAME COMMAND...: standard input is the same file both times.
same() {
	name=$1
	shift
	for run in plain ours; do
		($run timeout 1200 "$@") <"$work/in" >"$work/$run" 2>&1
		status=$?
		[ $status = 0 ] && continue
		log "$work/$run"
		result 1 "$name: exit status $status of the run called $run"
		return
	done
	cmp "$work/plain" "$work/ours" >"$work/cmp" 2>&1 && used || {
		log "$work/cmp"
		diff "$work/plain" "$work/ours" | head -n 20 | sed 's/^/# /'
		false
	}
	result $? "$name"
}

: >"$work/in"
LD_PRELOAD=$library grep -q "libhakmem.so.1" /proc/self/maps
result $? "the library is mapped in a preloaded process"

# 64 MiB of address space.
small() {	# name command...
	name=$1
	shift
	same "$name in 64 MiB of address space" sh -c 'ulimit -v 65536 && exec "$@"' sh "$@"
}
with python3 small python3 /usr/bin/python3 -c '
import json
d = {str(i): [i] * 3 for i in range(30000)}
print(len(json.dumps(d)), sum(len(json.loads(json.dumps(d))) for i in range(3)))
try:
    x = bytearray(100 << 20)
except MemoryError:
    print("no memory")
print(len(bytearray(16 << 20)))'
with perl small perl perl -e '
my %h; $h{$_} = "x" x ($_ % 90) for 1 .. 60000;
my $n = 0; $n += length $h{$_} for sort keys %h; print "$n\n"'
with bash small bash bash -c 'for ((i = 0; i < 20000; i++)); do a[i]=$((i * 7 % 1000))xyz; done
s=${a[*]}; echo ${#s} $(printf "%s\n" "${a[@]}" | sort -u | wc -l)'

with python3 same "python3 sorts, hashes, and starts threads" /usr/bin/python3 "$here/threads.py"
with perl same "perl fills and sorts a hash" perl -e '
my %h; $h{$_ * 7919 % 100003} = "x" x ($_ % 200) for 1 .. 200000;
my $n = 0; $n += length $h{$_} for sort keys %h; print "$n\n"'

# Its own test suite, with every object from malloc. Left out are what needs a
# network, a terminal or minutes, and the tests of tracemalloc and of running
# out of memory, which count the calls of python3's own allocator. What fails
# is tried without the library, to tell whose fault it is.
python_tests() {	# name
	if ! python3 -c 'import test.test_list' 2>/dev/null; then
		n=$((n + 1))
		echo "ok $n - $1 # SKIP python3 is installed without them"
		return
	fi
	python_suite
	result $? "$1"
}
python_suite() {
	names=$(grep -v '^#' "$here/python3.tests")
	(ours env PYTHONMALLOC=malloc timeout 1200 /usr/bin/python3 -m test -j2 --timeout 600 \
		$names) >"$work/log" 2>&1 && used && return
	failed=$(sed -n '/tests\{0,1\} failed:$/,/^$/ s/^    //p' "$work/log")
	log "$work/log"
	[ -n "$failed" ] || return 1
	for name in $failed; do
		(plain env PYTHONMALLOC=malloc timeout 600 /usr/bin/python3 -m test "$name") \
			>"$work/log" 2>&1 && return 1
		echo "# $name fails without the library, too"
	done
}
with python3 python_tests "python3's own tests"

with gcc same "gcc compiles these sources to the same objects" sh -c '
gcc -DHAVE_CONFIG_H -D_GNU_SOURCE -I"$build" -I"$source/src" -I"$source/include" -O2 -g \
	-c $(find "$source/src" -name "*.c" ! -path "*/src/cmd/*" | sort) && cat *.o | sha256sum'
with gcc same "gcc compiles one large file" sh -c '
awk "BEGIN { for (i = 0; i < 700; i++)
	printf \"int f%d(int x) { switch (x %% 7) { case 0: return x * %d; case 1: return f%d(x - 1);\"\
		\" case 2: x ^= %d; } for (int i = 0; i < x; i++) x += i * %d; return x; }\\n\",
		i, i, i ? i - 1 : 0, i * 7919, i }" >large.c &&
gcc -w -O2 -S large.c && sha256sum large.s'
with g++ same "g++ compiles templates to the same assembly" sh -c '
g++ -O2 -std=c++17 -S "$source/tests/real/templates.cc" -o t.s && sha256sum t.s'
with g++ same "g++ links it and it runs" sh -c '
g++ -O1 -std=c++17 "$source/tests/real/templates.cc" -o t && ./t'

with git same "git clones, packs and checks a repository" sh "$here/git.sh"
with sqlite3 same "sqlite3 inserts, indexes and packs" sqlite3 test.db '
create table t(a, b);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 200000)
	insert into t select x, hex(x * 7919) from c;
create index i on t(b);
select count(*), sum(length(b)), min(b), max(b) from t;
select b, count(*) from t group by substr(b, 1, 3) order by 2 desc, 1 limit 20;
delete from t where a % 3 = 0; vacuum; pragma integrity_check;'
with node same "node with worker threads" node "$here/workers.js"
# Redis 8 takes Lua's memory from mallocx of jemalloc, which it is linked with, and
# asks our malloc_usable_size about it: no other malloc can be preloaded there.
redis=$(redis-server --version 2>/dev/null)
case $redis in
*v=[1-7].* | '') with "redis-server redis-cli redis-benchmark" \
	same "redis-server under load, with a forked save" sh "$here/redis.sh" ;;
*) n=$((n + 1)); echo "ok $n - redis-server # SKIP it needs jemalloc's own functions:${redis#Redis server}" ;;
esac

# Its figures differ from run to run; it checks what it reads itself.
stress() {	# name options...
	name=$1
	shift
	(ours timeout 600 stress-ng --verify --timeout 60 "$@") >"$work/log" 2>&1 && used ||
		{ log "$work/log"; false; }
	result $? "stress-ng: $name"
}
with stress-ng stress "malloc" --malloc 2 --malloc-ops 40000 --malloc-touch
with stress-ng stress "malloc in threads" --malloc 2 --malloc-ops 40000 --malloc-pthreads 4
with stress-ng stress "a heap that grows by realloc" --bigheap 1 --bigheap-ops 3000 --bigheap-growth 65536
echo "1..$n"
