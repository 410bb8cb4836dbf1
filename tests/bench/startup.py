"""What starting and ending a program that does nothing costs, over the same under glibc."""
import json
import statistics
import tempfile

from runner import Runner
from workloads import Workload

TIMES = 100
FIGURES = (('minor_faults', 'faults', TIMES, '{:.1f}'),
           ('peak_rss_kb', 'peak RSS, KB', 1, '{:.0f}'), ('wall', 'ms', TIMES / 1000, '{:.3f}'))


class Nothing(Workload):
    own, times = False, TIMES

    def command(self, runner):
        return super().command(runner)[:1]


def main(args, libraries):
    workload, order = Nothing('startup', 'nothing'), list(libraries)
    runs = {name: [] for name in libraries}
    with tempfile.TemporaryDirectory(prefix='hakmem-bench-') as work:
        run = Runner(args.programs, work, libraries, args.timeout)
        for name in order:
            run.check(workload, name)
        for _ in range(args.rounds * 4):
            for name in order:
                runs[name].append(run.run(workload, name))
            order = order[1:] + order[:1]
    print(f'A program that does nothing, started {args.rounds * 4 * TIMES} times; in brackets '
          'what it takes more than under glibc')
    print(f'{"":10}' + ''.join(f'{title:>24}' for _, title, _, _ in FIGURES))
    for name, all_runs in runs.items():
        cells = ''
        for figure, _, divisor, form in FIGURES:
            value = statistics.median(r[figure] for r in all_runs) / divisor
            more = [(a[figure] - b[figure]) / divisor
                    for a, b in zip(all_runs, runs.get('glibc', []))]
            extra = f'({form.format(statistics.median(more))})' if more else ''
            cells += f'{form.format(value):>12} {extra:>11}'
        print(f'{name:10}{cells}')
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as out:
            json.dump({'schema': 1, 'times': TIMES, 'runs': runs}, out, indent=1)
    return 0
