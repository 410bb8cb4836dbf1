"""RSS over time and throughput, drawn by gnuplot as SVG and PNG."""
import os
import shutil
import subprocess

from runner import OURS

TERMINALS = {'svg': "svg size {x},{y} dynamic background rgb 'white' noenhanced",
             'png': 'pngcairo size {x},{y} noenhanced'}


def draw(folder, name, size, script):
    for ending, terminal in TERMINALS.items():
        head = (f'set terminal {terminal.format(x=size[0], y=size[1])}\n'
                f'set output "{name}.{ending}"\n')
        try:
            subprocess.run(['gnuplot'], input=head + script, text=True, check=True, cwd=folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f'no picture {name}: {error}')
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


def over_time(folder, result, names):
    """RSS of each contender in the last round."""
    data, titles = [], []
    for name in names:
        samples = next((run['samples'] for run in result['runs'][name] if run.get('samples')), None)
        if samples:
            titles.append(name)
            data.append(f'# {name}: seconds, MB\n' + '\n'.join(
                f'{at - samples[0][0]:.3f} {kb / 1024:.2f}' for at, kb in samples))
    if not data:
        return
    file = f'rss-{result["name"]}'
    with open(os.path.join(folder, file + '.dat'), 'w', encoding='ascii') as out:
        out.write('\n\n\n'.join(data) + '\n')
    lines = ', '.join(f'"{file}.dat" index {n} with lines '
                      f'{"lw 2" if name in OURS else "lw 1.5 dt 2"} title "{name}"'
                      for n, name in enumerate(titles))
    draw(folder, file, (900, 500), f'''set xlabel "{result["name"]}: seconds"
set ylabel "RSS, MB"
set yrange [0:]
set grid
set key outside
plot {lines}
''')


def main(folder, results, libraries):
    if not shutil.which('gnuplot'):
        print('no pictures: apt-get install gnuplot-nox')
        return
    os.makedirs(folder, exist_ok=True)
    names = list(libraries)
    bars(folder, results, 'glibc' if 'glibc' in names else names[0])
    for result in results:
        over_time(folder, result, names)
    print(f'Pictures: {folder}')
