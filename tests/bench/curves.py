"""Nanoseconds of a call, in the fastest run, against what should not matter: data and plots."""
import os
import subprocess
import tempfile

from runner import Failed, Runner
from workloads import Workload

LIVE = [10 ** e * f for e in range(6) for f in (1, 3)] + [10 ** 6]
# Small blocks by the caches, larger ones through slabs and runs all the time.
CALLS = 'random_mixed --operations 4m --largest 256 --working-set 4k'
RUNS = 'random_mixed --operations 1m --largest 16k --working-set 2k'

# name, what stands on the x axis, the command, the values (the last few left out by --quick)
CURVES = [
    ('live-random', 'live blocks of 64 bytes, replaced at random',
     'random_mixed --smallest 64 --largest 64 --operations 4m --working-set {}', LIVE),
    ('live-fifo', 'live blocks of 64 bytes, first in, first out',
     'batch --order ring --smallest 64 --largest 64 --operations 6m --batch {}', LIVE),
    ('heap', 'MB of heap beside the working set', CALLS + ' --standing {}m',
     [1, 16, 64, 256, 1024, 4096, 16384]),
    ('heap-runs', 'MB of heap beside a working set of blocks up to 16 KB',
     RUNS + ' --standing {}m', [1, 16, 64, 256, 1024, 4096, 16384]),
    ('idle', 'idle threads', CALLS + ' --idle {}', [1, 10, 30, 100, 300, 1000]),
    ('idle-runs', 'idle threads, blocks up to 16 KB', RUNS + ' --idle {}',
     [1, 10, 30, 100, 300, 1000]),
]


def plot(path, name, axis, allocators):
    lines = ', '.join(f'"{name}.dat" using 1:{n} with linespoints title "{a}"'
                      for n, a in enumerate(allocators, 2))
    script = f'''set terminal pngcairo size 800,500 noenhanced
set output "{name}.png"
set logscale x
set xlabel "{axis}"
set ylabel "ns for one call"
set yrange [0:]
set grid
set key outside
set datafile missing "-"
plot {lines}
'''
    try:
        subprocess.run(['gnuplot'], input=script, text=True, check=True, cwd=path)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f'no plot of {name}: {error} (apt-get install gnuplot-nox)')


def main(args, libraries):
    os.makedirs(args.curves, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='hakmem-bench-') as work:
        run = Runner(args.programs, work, libraries, args.timeout)
        for name, axis, command, values in CURVES:
            rows = [f'# {axis}: ns for one call\n# x ' + ' '.join(libraries)]
            for value in values[:-2] if args.quick else values:
                ns = {a: [] for a in libraries}
                for _ in range(args.rounds):
                    for a, all_runs in ns.items():
                        try:
                            figures = run.run(Workload(name, command.format(value)), a)
                        except Failed as error:
                            print(f'{name} {value}, {a}: {error}', flush=True)
                            continue
                        all_runs.append(1e9 * figures['time'] / figures['ops'])
                rows.append(f'{value} ' + ' '.join(
                    f'{min(r):.2f}' if r else '-' for r in ns.values()))
                print(f'{name} {rows[-1]}', flush=True)
            with open(os.path.join(args.curves, name + '.dat'), 'w', encoding='ascii') as out:
                out.write('\n'.join(rows) + '\n')
            plot(args.curves, name, axis, libraries)
    return 0
