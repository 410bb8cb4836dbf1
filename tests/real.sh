#!/bin/sh
# Whole programs, with HAKMEM and without: the same output, and the library
# seen in the process.
set -u
library=${HAKMEM_TEST_LIBRARY:?run by make check}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

result() {	# status name
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

# same NAME COMMAND...: standard input is the same file both times.
same() {
	name=$1
	shift
	"$@" <"$work/in" >"$work/plain" 2>&1
	plain=$?
	LD_PRELOAD=$library "$@" <"$work/in" >"$work/ours" 2>&1
	ours=$?
	good=1
	[ "$plain" = 0 ] && [ "$ours" = 0 ] && cmp -s "$work/plain" "$work/ours" && good=0
	[ "$good" = 0 ] || sed 's/^/# /' "$work/ours" | tail -n 20
	result "$good" "$name"
}

: >"$work/in"
LD_PRELOAD=$library grep -q "libhakmem.so.1" /proc/self/maps
result $? "the library is mapped in a preloaded process"

same "python3 sorts, hashes, and starts threads" python3 -c '
import hashlib, json, threading
d = {str(i): [i, str(i) * 3] for i in range(200000)}
h = hashlib.sha256(json.dumps(d, sort_keys=True).encode())
out = [None] * 8
def work(k):
    out[k] = sum(len(str(i)) for i in range(k * 1000, k * 1000 + 50000))
t = [threading.Thread(target=work, args=(k,)) for k in range(8)]
[x.start() for x in t]; [x.join() for x in t]
print(h.hexdigest(), out)'

# Some distributions strip the tests from python3; what is there is run.
if python3 -c 'import test.libregrtest' 2>/dev/null; then
	LD_PRELOAD=$library python3 -m test -j2 test_json test_list test_dict test_bytes \
		test_unicode test_io test_gc test_weakref test_queue >"$work/log" 2>&1
	status=$?
	[ "$status" = 0 ] || tail -n 30 "$work/log" | sed 's/^/# /'
	result "$status" "python3's own tests"
fi

cat >"$work/in" <<'END'
#include <iostream>
#include <map>
#include <regex>
#include <string>
int main() {
	std::map<std::string, int> m;
	for (int i = 0; i < 1000; i++)
		m[std::to_string(i * 7919 % 1000)] += i;
	std::regex r("([0-9])\\1");
	int n = 0;
	for (auto &p : m)
		n += std::regex_search(p.first, r);
	std::cout << n << "\n";
}
END
same "g++ writes the same assembly" g++ -O2 -std=c++17 -S -x c++ - -o -
same "perl fills and sorts a hash" perl -e '
my %h; $h{$_ * 7919 % 100003} = "x" x ($_ % 200) for 1 .. 200000;
my $n = 0; $n += length $h{$_} for sort keys %h; print "$n\n"'
same "sqlite3 inserts and indexes" sqlite3 :memory: '
create table t(a, b);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 200000)
	insert into t select x, hex(x * 7919) from c;
create index i on t(b);
select count(*), sum(length(b)), min(b), max(b) from t;'
same "git builds and checks a repository" sh -c "
rm -rf '$work/repo' && git init -q '$work/repo' && cd '$work/repo' &&
for i in 1 2 3 4 5 6 7 8; do seq \$i 20000 >f\$i; git add . &&
git -c user.name=x -c user.email=x@y commit -qm \$i --date=@0; done &&
git gc -q && git fsck --strict 2>&1 | grep -c error; git log --format=%s --stat"
cat >"$work/worker.js" <<'END'
const { Worker, isMainThread, parentPort } = require("worker_threads");
if (isMainThread) {
	let left = 6, sum = 0;
	for (let i = 0; i < 6; i++)
		new Worker(__filename).on("message", m => { sum += m; }).on("exit", code => {
			if (code) process.exit(1);
			if (--left === 0) console.log(sum);
		});
} else {
	const a = [];
	for (let i = 0; i < 200000; i++) a.push({ i, s: "x" + i });
	parentPort.postMessage(JSON.parse(JSON.stringify(a)).length);
}
END
same "node with worker threads" node "$work/worker.js"

port=$((20000 + $$ % 20000))
LD_PRELOAD=$library redis-server --port $port --bind 127.0.0.1 --save '' --dir "$work" >"$work/redis" 2>&1 &
redis=$!
for i in 1 2 3 4 5 6 7 8 9 10; do
	redis-cli -p $port ping >/dev/null 2>&1 && break
	sleep 0.3
done
grep -q libhakmem.so.1 /proc/$redis/maps && redis-benchmark -p $port -P 16 -n 100000 -q \
	-t set,get,lpush,hset,lrange_100 >"$work/log" 2>&1 &&
	redis-cli -p $port bgsave >/dev/null && redis-cli -p $port dbsize >/dev/null
result $? "redis-server under redis-benchmark, with a forked save"
redis-cli -p $port shutdown nosave >/dev/null 2>&1
wait $redis
result $? "redis-server ends in good order"

LD_PRELOAD=$library stress-ng --malloc 2 --malloc-ops 50000 --timeout 30 >"$work/log" 2>&1
result $? "stress-ng's malloc stressor"
echo "1..$n"
