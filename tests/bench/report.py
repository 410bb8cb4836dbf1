"""Ratios, tables and plots of what the runs measured."""
import math
import statistics
import subprocess

from runner import PROFILES

FIGURES = ('time', 'cpu', 'peak_rss_kb', 'mean_rss_kb', 'idle_rss_kb', 'minor_faults', 'sys')
# Those that are compared: what they are called, their unit and its scale.
COMPARED = {
    'time': ('Time', 'seconds', 1, 'faster'),
    'peak_rss_kb': ('Peak RSS', 'MB', 1 / 1024, 'smaller'),
    'mean_rss_kb': ('Mean RSS over time', 'MB', 1 / 1024, 'smaller'),
    'idle_rss_kb': ('RSS after a wait without a call', 'MB', 1 / 1024, 'smaller'),
}
OURS = 'hakmem'


def geometric(values):
    values = [value for value in values if value and value > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def peers_of(allocators):
    """A profile of ours that is measured beside the default one is no peer."""
    return [a for a in allocators if a != OURS and a not in PROFILES]


def median(runs, figure):
    """Of the runs that have the figure; None if no run has it."""
    values = [run[figure] for run in runs if run.get(figure) is not None]
    return statistics.median(values) if values else None


def ratios(ours, theirs, figure):
    """Of each round, so that what disturbed a whole round falls out."""
    return [a[figure] / b[figure] for a, b in zip(ours, theirs)
            if a.get(figure) is not None and b.get(figure)]


def spread(values):
    if not values:
        return None
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values)}


def summary(runs):
    """Of one workload: medians, and the ratios of ours to each peer and to the best."""
    out = {'median': {a: {f: median(r, f) for f in FIGURES} for a, r in runs.items() if r}}
    peers = peers_of(out['median'])
    if OURS in out['median'] and peers:
        for figure in FIGURES:
            known = [a for a in peers if out['median'][a][figure] is not None]
            if not known or out['median'][OURS][figure] is None:
                continue
            best = min(known, key=lambda a: out['median'][a][figure])
            versus = {a: spread(ratios(runs[OURS], runs[a], figure)) for a in known}
            out[figure] = {'best': best, 'versus_best': versus[best], 'versus': versus}
    return out


def means(results):
    """Of each kind of workload, and of all rows if there are several kinds."""
    out, kinds = {}, list(dict.fromkeys(r['kind'] for r in results))
    for kind in kinds + ['row'] * (len(kinds) > 1):
        out[kind] = {}
        for figure in COMPARED:
            rows = [r['summary'][figure] for r in results
                    if kind in (r['kind'], 'row') and r['summary'].get(figure)]
            peers = dict.fromkeys(a for row in rows for a in row['versus'])
            out[kind][figure] = {'count': len(rows), 'versus_best': geometric(
                row['versus_best']['median'] for row in rows if row['versus_best'])}
            out[kind][figure]['versus'] = {a: geometric(
                row['versus'][a]['median'] for row in rows if row['versus'].get(a)) for a in peers}
    return out


def number(value, form='{:.2f}'):
    return '-' if value is None else form.format(value)


def scaled(value, scale):
    return number(None if value is None else value * scale, '{:.3f}')


def table(figure, results, allocators, mean):
    """A row per workload: our median, our ratio to the best peer with its spread, to each."""
    name, unit, scale, better = COMPARED[figure]
    title = f'{name}: ratio of hakmem to the peers (below 1: hakmem is {better})'
    results = [r for r in results if figure == 'time' or any(
        m[figure] is not None for m in r['summary']['median'].values())]
    if not results:
        return ''
    peers = peers_of(allocators)
    width = max([len(r['name']) for r in results] + [14])
    lines = [title, f'{"":{width}} {unit:>8}  {"best peer":>9} {"ratio":>5} {"min..max":>11}  ' +
             ' '.join(f'{a:>8}' for a in peers)]
    for r in results:
        row, medians = r['summary'].get(figure), r['summary']['median']
        ours = scaled(medians[OURS][figure], scale) if OURS in medians else 'FAILED'
        cells = f'{r["name"]:{width}} {ours:>8}'
        if row and row['versus_best']:
            best = row['versus_best']
            cells += (f'  {row["best"]:>9} {best["median"]:5.2f} '
                      f'{best["min"]:5.2f}..{best["max"]:4.2f}  ' +
                      ' '.join(f'{number((row["versus"].get(a) or {}).get("median")):>8}'
                               for a in peers))
        lines.append(cells.rstrip())
    for kind, figures in mean.items():
        if figure in figures and figures[figure]['versus_best']:
            m = figures[figure]
            label = f'geometric mean, {m["count"]} {kind}' + 's' * (m['count'] != 1)
            lines.append(f'{label:{width + 20}} {m["versus_best"]:5.2f} {"":11}  ' + ' '.join(
                f'{number(m["versus"].get(a)):>8}' for a in peers))
    return '\n'.join(lines)


def tables(results, allocators, mean):
    args = results, allocators
    return '\n\n'.join([*over_time(*args),
        *filter(None, (table(figure, *args, mean) for figure in COMPARED)),
        absolute('Minor page faults', 'minor_faults', '{:.0f}', *args),
        absolute('Seconds of system time', 'sys', '{:.3f}', *args),
        absolute('Seconds of user and system time', 'cpu', '{:.3f}', *args)])


def over_time(results, allocators):
    """What a workload itself reports of its resident memory, as it does beside the peak."""
    for r in results:
        first = next((run for runs in r['runs'].values() for run in runs), {})
        figures = [f for f in first if f.endswith('_rss_kb') and f not in FIGURES]
        if figures:
            lines = [f'Resident memory of {r["name"]}, MB',
                     ' ' * 14 + ''.join(f' {a:>9}' for a in allocators)]
            lines += [f'{f[:-7]:14}' + ''.join(
                f' {median(runs, f) / 1024:9.1f}' if runs else f' {"FAILED":>9}'
                for runs in (r['runs'][a] for a in allocators)) for f in figures]
            yield '\n'.join(lines)


def absolute(title, figure, form, results, allocators):
    width = max([len(r['name']) for r in results] + [14])
    lines = [title, ' ' * width + ''.join(f' {a:>9}' for a in allocators)]
    for r in results:
        medians = r['summary']['median']
        lines.append(f'{r["name"]:{width}}' + ''.join(
            f' {number(medians[a][figure], form) if a in medians else "FAILED":>9}'
            for a in allocators))
    return '\n'.join(lines)


def plot(path, results):
    """Bars: the ratio to the best peer in time and in peak RSS."""
    rows = [r for r in results if r['summary'].get('time') and r['summary']['peak_rss_kb']]
    data = '\n'.join(f'"{r["name"]}" ' + ' '.join(
        str(r['summary'][f]['versus_best']['median']) for f in ('time', 'peak_rss_kb'))
        for r in rows)
    script = f'''set terminal pngcairo size {max(800, 28 * len(rows))},600 noenhanced
set output "{path}"
set style data histogram
set style fill solid
set boxwidth 0.9
set xtics rotate by -60
set ylabel "hakmem / best peer of the workload"
set grid ytics
set yrange [0:]
$rows << END
{data}
END
plot $rows using 2:xtic(1) title "time", $rows using 3 title "peak RSS", 1 notitle lc "black"
'''
    try:
        subprocess.run(['gnuplot'], input=script, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f'no plot: {error} (apt-get install gnuplot-nox)')
