"""How far the figures are from what is wanted, the default profile against the peers."""
from report import OURS, geometric, number

SAVING = 'balanced'         # the profile whose mean RSS has a target
SLOW, LARGE, SMALL_KB = 1.10, 1.25, 2048


def versus(results, figure, ours=OURS):
    """The ratios of the medians of each row by peer, and that to the best peer of each row."""
    rows = []
    for r in results:
        known = {a: m[figure] for a, m in r['summary']['median'].items() if m.get(figure)}
        peers = {a: value for a, value in known.items() if a in r['summary'].get(figure, {}).get('versus', {})}
        if ours in known and peers:
            rows.append(({a: known[ours] / value for a, value in peers.items()},
                         known[ours] / min(peers.values())))
    return rows


def single(rows):
    """The peer that is the best over all rows, and the geometric mean of the ratios to it."""
    means = {a: geometric(row.get(a) for row, _ in rows) for a in dict.fromkeys(a for row, _ in rows for a in row)}
    best = max(means, key=lambda a: means[a] or 0, default=None)
    return best, means.get(best)


def above(results, figure, limit, least=0):
    """Rows whose ratio to the best peer is above the limit in each round, the worst first."""
    found = [(r['summary'][figure]['versus_best']['median'], r['name']) for r in results
             if (r['summary'].get(figure) or {}).get('versus_best') and
             r['summary'][figure]['versus_best']['min'] > limit and r['summary']['median'][OURS][figure] >= least]
    return [f'{name} {ratio:.2f}' for ratio, name in sorted(found, reverse=True)]


def lines(results):
    """What, the value, its target, and whatever explains it."""
    programs = [r for r in results if r['kind'] == 'program']

    def mean(what, rows, target, to_single):
        peer, value = single(rows) if to_single else (None, geometric(best for _, best in rows))
        to = f'the best single peer, {peer}' if to_single else 'the best peer of each row'
        return (f'{what}, {len(rows)} rows, to {to}', value, target, []) if rows else None

    def rows_above(what, names, limit):
        return f'{what} of a row above {limit:.2f} in each round', len(names), 0, names

    time, peak = versus(results, 'time'), versus(results, 'peak_rss_kb')
    saving = versus(results, 'mean_rss_kb', SAVING)
    return list(filter(None, (
        mean('time', time, 0.95, True), mean('time', time, 1.00, False),
        mean('time of programs', versus(programs, 'time'), 0.97, True),
        rows_above('time', above(results, 'time', SLOW), SLOW),
        mean('peak RSS', peak, 1.05, False),
        rows_above('peak RSS from 2 MB on', above(results, 'peak_rss_kb', LARGE, SMALL_KB), LARGE),
        mean(f'mean RSS under {SAVING}', saving, 0.80, True),
        mean(f'mean RSS under {SAVING}', saving, None, False))))


def table(results):
    out = [f'{"Targets":70} {"now":>6} {"at most":>7}']
    for what, value, target, names in lines(results):
        whole = isinstance(value, int)
        form = '{:d}' if whole else '{:.2f}'
        verdict = '' if target is None else 'reached' if round(value, 2) <= target else 'missed'
        out.append(f'{what:70} {number(value, form):>6} {number(target, form):>7}  {verdict}'.rstrip())
        out += ['    ' + name for name in names]
    return '\n'.join(out)
