"""What threads may wait for each other for, counted by a debug build, per 1,000 calls."""
import collections
import json
import os
import subprocess
import tempfile

from runner import Runner
from workloads import Workload

HERE = os.path.dirname(os.path.abspath(__file__))
LOCKS = ('registry', 'orphan', 'pool', 'large', 'meta', 'pagemap')    # of the process
THREADS = (2, 8, 64)
LOADS = ([(f'larson-{n}', f'larson --threads {n} --operations {32 // n + 1}m') for n in THREADS] +
         [(f'pass-{n}', f'pass --threads {n // 2} --operations {6 + n // 4}m') for n in THREADS])


def counts(run, workload):
    """Of a run: calls, and what the library says of each lock and place."""
    with tempfile.NamedTemporaryFile('r', suffix='.json') as dump:
        workload.environment = {'HAKMEM_STATS_DUMP': dump.name}
        calls = run.run(workload, 'hakmem')['ops']
        return calls, json.load(dump).get('contention', [])[1:]


def debug_library(library, build):
    """The library itself if it counts, or else a debug build beside it."""
    with open(library, 'rb') as file:
        if b'"contention"' in file.read():
            return library
    os.makedirs(build, exist_ok=True)
    configure = os.path.abspath(os.path.join(HERE, '..', '..', 'configure'))
    if not os.path.exists(os.path.join(build, 'Makefile')):
        subprocess.run([configure, '-q', '--enable-debug', '--disable-command'], cwd=build, check=True)
    subprocess.run(['make', '-s', 'src/libhakmem.la'], cwd=build, check=True)
    return os.path.join(build, 'src', '.libs', 'libhakmem.so.1')


def row(calls, entries):
    done, waited = collections.Counter(), collections.Counter()
    for e in entries:
        done[e['of']] += 1000 * e['done'] / calls
        waited[e['of']] += 1000 * e['waited'] / calls
    places = [name for name in done if ':' in name]
    figures = {'atomics': sum(done[p] for p in places), 'retried': sum(waited[p] for p in places),
               'cache': done['cache'], 'cache-waited': waited['cache'],
               **{lock: done[lock] for lock in LOCKS}}
    figures['contended'] = (figures['atomics'] + figures['cache-waited'] +
                            sum(done[lock] for lock in LOCKS))
    return {'calls': calls, 'per_1000': figures, 'waited': dict(waited),
            'places': {p: done[p] for p in sorted(places, key=lambda p: -done[p])}}


def main(args, libraries):
    library = debug_library(libraries['hakmem'], os.path.abspath('debug-build'))
    rows = {}
    with tempfile.TemporaryDirectory(prefix='hakmem-bench-') as work:
        run = Runner(args.programs, work, {'hakmem': os.path.realpath(library)}, args.timeout)
        for name, command in LOADS:
            rows[name] = row(*counts(run, Workload(name, command)))
    print('Per 1,000 calls of malloc and free. Contended: atomic read-modify-writes, locks of the\n'
          'process, and waits for the lock of a thread, which is otherwise its own.')
    titles = list(next(iter(rows.values()))['per_1000'])
    print(f'{"":10}' + ''.join(f'{title:>13}' for title in titles))
    for name, r in rows.items():
        print(f'{name:10}' + ''.join(f'{r["per_1000"][title]:13.3f}' for title in titles))
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as out:
            json.dump({'schema': 1, 'rows': rows}, out, indent=1)
    return 0
