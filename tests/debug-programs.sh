#!/bin/sh
# Programs at each debug level: the same output, and not a word about it.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/env/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}

# same LEVEL NAME COMMAND...
same() {
	level=$1 name=$2
	shift 2
	need "$1"
	"$@" >"$work/plain" 2>/dev/null
	HAKMEM_DEBUG_LEVEL=$level LD_PRELOAD=$library "$@" >"$work/ours" 2>"$work/err"
	status=$?
	cat "$work/err" >>"$work/ours"
	diff "$work/plain" "$work/ours" >"$work/why" && [ "$status" = 0 ] && [ -s "$work/plain" ]
	check $? "$name at level $level"
}

for level in 1 2 3; do
	same $level "python3 with threads" python3 -c '
import threading
out = [None] * 4
def work(k):
    out[k] = sum(len(str([i] * 9)) for i in range(k, 20000))
t = [threading.Thread(target=work, args=(k,)) for k in range(4)]
[x.start() for x in t]; [x.join() for x in t]
print(out)'
	same $level "perl with a forked child" perl -e '
my %h; $h{$_ * 7919 % 10007} = "x" x ($_ % 200) for 1 .. 20000;
my $n = 0; $n += length $h{$_} for sort keys %h;
print `echo child`; print "$n\n"'
done
finish
