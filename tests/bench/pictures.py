"""RSS over time and throughput, drawn by gnuplot as SVG and PNG."""
import os
import subprocess
import tempfile
import time

import report
from runner import PROFILES, Failed, Runner

TERMINALS = {'svg': "svg size {x},{y} dynamic background rgb 'white' noenhanced",
             'png': 'pngcairo size {x},{y} noenhanced'}
RSS = ['rss', '--idle', '4000']
EVERY = 0.02


def draw(folder, name, size, script):
    for ending, terminal in TERMINALS.items():
        head = (f'set terminal {terminal.format(x=size[0], y=size[1])}\n'
                f'set output "{name}.{ending}"\n')
        try:
            subprocess.run(['gnuplot'], input=head + script, text=True, check=True, cwd=folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f'no picture {name}: {error} (apt-get install gnuplot-nox)')
            return


def bars(folder, results, base):
    """The throughput of each contender, that of the base being 1."""
    for kind in dict.fromkeys(r['kind'] for r in results):
        medians = {r['name']: r['summary']['median'] for r in results if r['kind'] == kind}
        medians = {name: m for name, m in medians.items() if base in m}
        names = [a for a in dict.fromkeys(a for m in medians.values() for a in m) if a != base]
        if not names:
            continue
        rows = '\n'.join(f'"{name}" ' + ' '.join(
            f'{m[base]["time"] / m[a]["time"]:.4f}' if a in m and m[a]['time'] else '-'
            for a in names) for name, m in medians.items())
        columns = ', '.join(f'$rows using {n}:xtic(1) title "{a}"' for n, a in enumerate(names, 2))
        draw(folder, f'throughput-{kind}s', (max(700, 26 * len(medians) * len(names) // 2 + 200), 500),
             f'''$rows << END
{rows}
END
set datafile missing "-"
set style data histogram
set style histogram cluster gap 1
set style fill solid
set xtics rotate by -50
set ylabel "throughput, {base} = 1"
set yrange [0:]
set grid ytics
set key outside
plot {columns}, 1 notitle lc "black"
''')


def sample(run, name, quick):
    """Seconds and MB of one run of the rss workload."""
    command = [os.path.join(run.programs, RSS[0]), *RSS[1:], *(['--size', '128m'] if quick else [])]
    preload = {} if name == 'glibc' else {'LD_PRELOAD': run.libraries[name]}
    page, points, start = os.sysconf('SC_PAGE_SIZE'), [], time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL,
                          env={**run.environment_of(name), **preload}) as process:
        with open(f'/proc/{process.pid}/statm', encoding='ascii') as statm:
            while process.poll() is None:
                statm.seek(0)
                try:
                    points.append((time.monotonic() - start, int(statm.read().split()[1]) * page / 1e6))
                except (OSError, IndexError):
                    break
                time.sleep(EVERY)
    if process.returncode:
        raise Failed(f'exit status {process.returncode}')
    # Of a process that ends, statm has zeros.
    return [(t, mb) for t, mb in points if mb]


def curves(folder, libraries, args):
    data, titles = [], []
    with tempfile.TemporaryDirectory(prefix='hakmem-bench-') as work:
        run = Runner(args.programs, work, libraries, args.timeout)
        for name in libraries:
            try:
                points = sample(run, name, args.quick)
            except (OSError, Failed) as error:
                print(f'no curve of {name}: {error}')
                continue
            titles.append(name)
            data.append(f'# {name}: seconds, MB\n' + '\n'.join(f'{t:.3f} {mb:.2f}' for t, mb in points))
    with open(os.path.join(folder, 'rss.dat'), 'w', encoding='ascii') as out:
        out.write('\n\n\n'.join(data) + '\n')
    style = {True: 'lw 2', False: 'lw 1.5 dt 2'}
    lines = ', '.join(f'"rss.dat" index {n} with lines {style[name in PROFILES]} title "{name}"'
                      for n, name in enumerate(titles))
    draw(folder, 'rss', (900, 500), f'''set xlabel "seconds: grow, replace, free 90 %, idle"
set ylabel "RSS, MB"
set yrange [0:]
set grid
set key outside
plot {lines}
''')


def main(args, results, libraries, contenders):
    """results: of the bars; contenders: of the curves."""
    os.makedirs(args.pictures, exist_ok=True)
    names = list(libraries)
    bars(args.pictures, results, 'glibc' if 'glibc' in names else names[0])
    curves(args.pictures, contenders, args)
    print(f'Pictures: {args.pictures}')
