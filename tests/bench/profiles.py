"""HAKMEM's profiles beside each other, the peers and glibc: ratios to the default profile."""
import report
from runner import PROFILES

BASE = 'default'
# What the specification's table asks for, the programs besides.
WORKLOADS = ('random_mixed', 'live', 'larson-1', 'larson-8', 'mid_large', 'rss', 'program')


def contenders(found):
    """The library once for each profile, and the peers."""
    return {**{name: found[report.OURS] for name in PROFILES},
            **{name: path for name, path in found.items() if name != report.OURS}}


def summary(runs):
    out = {'median': {a: {f: report.median(r, f) for f in figures(r)}
                      for a, r in runs.items() if r}, 'to_default': {}}
    if runs.get(BASE):
        for figure in figures(runs[BASE]):
            out['to_default'][figure] = {
                a: report.spread(report.ratios(r, runs[BASE], figure)) for a, r in runs.items() if r}
    return out


def figures(runs):
    """Those of every run, and memory that a workload itself reports."""
    return [*report.FIGURES, *(f for f in runs[0] if f.endswith('_rss_kb') and
                               f not in report.FIGURES)]


def cell(ratio):
    return f'{ratio["median"]:.2f} {ratio["min"]:.2f}..{ratio["max"]:.2f}' if ratio else 'FAILED'


def table(title, rows, unit, scale, names):
    """rows: a name, the summary and the figure."""
    others = [name for name in names if name != BASE]
    width = max([len(name) for name, _, _ in rows] + [14])
    lines = [title, f'{"":{width}} {unit:>9} ' + ' '.join(f'{name:>16}' for name in others)]
    for name, s, figure in rows:
        base = s['median'].get(BASE)
        lines.append(f'{name:{width}} ' + (f'{base[figure] * scale:9.3f} ' if base else f'{"FAILED":>9} ') +
                     ' '.join(f'{cell(s["to_default"].get(figure, {}).get(name)):>16}' for name in others))
    for kind in dict.fromkeys(s['kind'] for _, s, _ in rows):
        cells = ''
        for name in others:
            mean = report.geometric((s['to_default'].get(f, {}).get(name) or {}).get('median')
                                    for _, s, f in rows if s['kind'] == kind)
            cells += f' {report.number(mean):>16}'
        lines.append(f'{"geometric mean, " + kind + "s":{width + 10}}' + cells)
    return '\n'.join(lines)


def tables(results, names):
    for r in results:
        r['summary']['kind'] = r['kind']
    other = [(f'{r["name"]} {f[:-7].replace("_", " ")}', r['summary'], f) for r in results
             for f, value in (r['summary']['median'].get(BASE) or {}).items()
             if f.endswith('_rss_kb') and f != 'peak_rss_kb' and value is not None]
    parts = [table(title, [(r['name'], r['summary'], figure) for r in results], unit, scale, names)
             for title, figure, unit, scale in (
                 ('Time: ratio to the default profile (below 1: faster)', 'time', 'seconds', 1),
                 ('User and system time, the same', 'cpu', 'seconds', 1),
                 ('Peak RSS: ratio to the default profile (below 1: smaller)',
                  'peak_rss_kb', 'MB', 1 / 1024))]
    if other:
        parts.append(table('RSS at other times, the same', other, 'MB', 1 / 1024, names))
    parts += [report.absolute('Minor page faults', 'minor_faults', '{:.0f}', results, names),
              report.absolute('Seconds of system time', 'sys', '{:.3f}', results, names)]
    return '\n\n'.join(parts)
