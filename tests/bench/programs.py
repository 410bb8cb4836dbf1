"""The real programs: one entry each, and what makes their input."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

from runner import Failed
from workloads import Workload


class Program(Workload):
    """{n} in the command is the first size, with --quick the second."""
    kind, own = 'program', False

    def __init__(self, name, sizes, argv, package, process=None, source=None, **more):
        self.name, (self.n, self.quick_n), self.argv = name, sizes, argv
        self.package, self.source = package, source
        self.process = process or os.path.basename(argv[0])
        vars(self).update(more)

    def quick(self):
        self.n = self.quick_n

    @property
    def line(self):
        return ' '.join(self.argv).format(n=self.n)

    def command(self, _runner):
        return [part.replace('{n}', str(self.n)) for part in self.argv]

    def prepare(self, runner):
        if not shutil.which(self.argv[0]):
            raise Failed(f'{self.argv[0]} is missing: apt-get install {self.package}')
        if self.source:
            file, make = self.source
            pathlib.Path(runner.work, file).write_text(
                make(self.n) if callable(make) else make, encoding='utf-8')


class Start(Program):
    """Runs so often that starting is what is measured."""
    @property
    def times(self):
        return self.n


class Git(Program):
    def prepare(self, runner):
        super().prepare(runner)
        home = pathlib.Path(runner.work, 'origin')

        def git(*args):
            # Without the maintenance that a commit starts, which goes on in the background.
            subprocess.run(['git', '-c', 'user.name=x', '-c', 'user.email=x@y',
                            '-c', 'gc.auto=0', '-c', 'maintenance.auto=false', '-C', home, *args],
                           check=True, capture_output=True)
        home.mkdir()
        git('init', '-q')
        rng = random.Random(1)
        for turn in range(self.n):
            for name in range(60):
                lines = '\n'.join(f'{name} {rng.randrange(1000 + turn)} line' for _ in range(1000))
                home.joinpath(f'f{name}').write_text(lines, encoding='ascii')
            git('add', '.')
            git('commit', '-qm', str(turn))

    def before(self, runner):
        copy = os.path.join(runner.work, 'copy')
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(os.path.join(runner.work, 'origin'), copy)


class Redis(Program):
    links_allocator = True      # Debian links it with jemalloc

    def prepare(self, runner):
        super().prepare(runner)
        # Since version 8 it frees by jemalloc's own functions what malloc returned.
        if b'\0mallocx\0' in pathlib.Path(shutil.which(self.argv[0])).read_bytes():
            raise Failed('it calls mallocx, so that no other malloc than jemalloc works in it')

    def before(self, runner):
        pathlib.Path(runner.work, 'socket').unlink(missing_ok=True)

    def client(self, runner):
        """The time is that of the benchmark that talks to the measured server."""
        socket = os.path.join(runner.work, 'socket')
        end = time.monotonic() + 20
        while not os.path.exists(socket) and time.monotonic() < end:
            time.sleep(0.01)
        start = time.monotonic()
        for extra in (['-t', 'set,get,lpush,rpop,sadd,hset,zadd,lrange_100', '-d', '100'],
                      ['-t', 'set', '-d', '3000'], ['-t', 'set,get', '-d', '20']):
            subprocess.run(['redis-benchmark', '-s', socket, '-q', '-P', '32', '-c', '20', '-r',
                            '50000', '-n', str(self.n), *extra], check=True, timeout=runner.timeout,
                           capture_output=True, env=runner.environment)
        own = {'seconds': time.monotonic() - start}
        if runner.quiet_ms:
            own['quiet_from_ms'] = time.monotonic() * 1000
            time.sleep(runner.quiet_ms / 1000)
        subprocess.run(['redis-cli', '-s', socket, 'shutdown', 'nosave'], check=True,
                       capture_output=True, env=runner.environment, timeout=runner.timeout)
        return own


def json_text(n):
    rng = random.Random(1)
    return json.dumps([{'id': i, 'name': f'item {i}', 'price': rng.random(),
                        'tags': [f't{rng.randrange(500)}' for _ in range(rng.randrange(8))],
                        'nested': {'a': [i] * 4, 'text': 'x' * rng.randrange(120)}}
                       for i in range(n)])


def c_text(n):
    lines = ['struct s { int a[16]; double d; struct s *next; };']
    for i in range(n):
        lines.append(f'''
static int f{i}(struct s *p, int n)
{{
	int sum = {i};
	for (; p; p = p->next) {{
		for (int j = 0; j < 16; j++)
			switch ((p->a[j] + n) % 7) {{
			case 0: sum += p->a[j] * {i % 13 + 2}; break;
			case 3: sum ^= n << (j & 7); break;
			case 5: p->d += sum * {i}.5 / (n + 1); break;
			default: sum -= p->a[(j + {i}) & 15];
			}}
		if (sum > {i * 97})
			n = {f"f{i - 1}(p->next, n - 1)" if i else "0"};
	}}
	return sum + n;
}}
int g{i}(struct s *p) {{ return f{i}(p, {i}) + f{i}(p->next, {i + 1}); }}''')
    return '\n'.join(lines)


def cxx_text(n):
    lines = ['#include <algorithm>', '#include <functional>', '#include <iostream>',
             '#include <map>', '#include <memory>', '#include <regex>', '#include <string>',
             '#include <unordered_map>', '#include <vector>']
    for i in range(n):
        lines.append(f'''
struct t{i} {{ std::string name; std::vector<int> v; int key = {i}; }};
int h{i}(std::map<std::string, t{i}> &m, std::vector<t{i}> &all)
{{
	std::unordered_map<int, std::shared_ptr<t{i}>> index;
	for (auto &t : all)
		index[t.key] = std::make_shared<t{i}>(t), m[t.name].v.push_back({i});
	std::sort(all.begin(), all.end(), [](const t{i} &a, const t{i} &b) {{ return a.name < b.name; }});
	std::function<int(int)> f = [&](int k) {{ return index.count(k) ? index[k]->key : {i}; }};
	return f({i}) + std::accumulate(all.begin(), all.end(), 0,
		[](int s, const t{i} &t) {{ return s + (int)t.v.size(); }});
}}''')
    lines.insert(0, '#include <numeric>')
    return '\n'.join(lines)


OBJECTS = '''
import sys
class Node:
    def __init__(self, key, parent):
        self.key, self.parent, self.children = key, parent, []
        self.data = {"key": key, "text": "value %d" % key}
def grow(n):
    nodes = [Node(0, None)]
    for i in range(1, n):
        parent = nodes[i * 7919 % len(nodes)]
        node = Node(i, parent)
        parent.children.append(node)
        nodes.append(node)
    return nodes
total = 0
for turn in range(4):
    nodes = grow(int(sys.argv[1]))
    words = " ".join(n.data["text"] for n in nodes).split()
    count = {}
    for w in words:
        count[w] = count.get(w, 0) + 1
    total += sum(len(n.children) for n in nodes) + len(count)
    total += len(sorted(count, key=lambda w: (count[w], w)))
print(total)
'''

NODE = '''
const n = +process.argv[2];
let sum = 0;
for (let turn = 0; turn < 4; turn++) {
	const all = [];
	for (let i = 0; i < n; i++)
		all.push({ i, name: "name " + i, list: [i, i + 1], buffer: Buffer.alloc(16 + i % 200) });
	const text = JSON.stringify(all.map(o => ({ i: o.i, name: o.name, list: o.list })));
	sum += JSON.parse(text).length + new Map(all.map(o => [o.name, o])).size;
	sum += Buffer.concat(all.slice(0, 1000).map(o => o.buffer)).length;
}
console.log(sum);
'''

PERL = '''
my $n = shift; my %h; my @list;
for my $i (1 .. $n) {
	my $k = "key" . ($i * 7919 % 100003);
	$h{$k} .= chr(65 + $i % 26) x ($i % 40);
	push @list, { id => $i, name => $k, parts => [split /1/, "$i-$k"] };
	shift @list if @list > 50000;
}
my $total = 0;
$total += length $h{$_} for sort keys %h;
$total += scalar @{$_->{parts}} for @list;
my $text = join ",", map { $_->{name} } @list;
$total += () = $text =~ /key(\\d)\\1/g;
print "$total\\n";
'''

SQL = '''create table t(id integer primary key, a int, b text, c real);
create table u(a int, d text);
begin;
with recursive n(x) as (select 1 union all select x + 1 from n where x < {n})
insert into t select x, x * 7919 % 100003, hex(x * 104729), x / 7.0 from n;
insert into u select a, b || id from t where id % 3 = 0;
commit;
create index ta on t(a); create index tb on t(b); create index ua on u(a);
select count(*), sum(length(b)), max(c) from t where a between 1000 and 50000;
select count(*), min(d) from t join u using (a) where t.id % 7 = 1;
select substr(b, 1, 3) as k, count(*), group_concat(a) from t group by k order by 2 desc limit 3;
update t set b = b || 'x' where id % 5 = 0;
delete from t where id % 4 = 0;
'''

PYTHON = os.path.realpath(sys.executable)
MALLOC = {'PYTHONMALLOC': 'malloc'}

PROGRAMS = [
    Start('python-start', (200, 30), [PYTHON, '-c', 'import json'], 'python3'),
    Program('python-json', (120000, 30000),
            [PYTHON, '-c', 'import json; print(len(json.load(open("in.json"))))'], 'python3',
            source=('in.json', json_text)),
    Program('python-json-malloc', (120000, 30000),
            [PYTHON, '-c', 'import json; print(len(json.load(open("in.json"))))'], 'python3',
            source=('in.json', json_text), environment=MALLOC),
    Program('python-objects', (60000, 15000), [PYTHON, 'objects.py', '{n}'], 'python3',
            source=('objects.py', OBJECTS)),
    Program('python-objects-malloc', (60000, 15000), [PYTHON, 'objects.py', '{n}'], 'python3',
            source=('objects.py', OBJECTS), environment=MALLOC),
    Program('gcc', (300, 80), ['gcc', '-O2', '-S', '-o', 'out.s', 'in.c'], 'gcc', 'cc1',
            source=('in.c', c_text)),
    Program('g++', (6, 1), ['g++', '-O2', '-S', '-o', 'out.s', 'in.cc'], 'g++', 'cc1plus',
            source=('in.cc', cxx_text)),
    Redis('redis', (120000, 30000),
          ['redis-server', '--port', '0', '--unixsocket', 'socket', '--save', '', '--dir', '.'],
          'redis-server', 'redis-'),
    Program('sqlite3', (300000, 60000), ['sqlite3', ':memory:', '.read in.sql'], 'sqlite3',
            source=('in.sql', lambda n: SQL.replace('{n}', str(n)))),
    Program('node', (100000, 30000), ['node', 'in.js', '{n}'], 'nodejs', source=('in.js', NODE)),
    Git('git-gc', (40, 12), ['git', '-C', 'copy', 'gc', '-q'], 'git'),
    Program('perl', (400000, 100000), ['perl', 'in.pl', '{n}'], 'perl', source=('in.pl', PERL)),
]
