#!/usr/bin/env python3
"""Cases for what make bench computes and prints. A line for each: 0 or 1, and its name."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import traceback
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import profiles
import report
import runner
import targets
from workloads import WORKLOADS, Workload

# Python does not import a file without an ending by itself.
LOADER = importlib.machinery.SourceFileLoader('bench', os.path.join(HERE, 'bench'))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader('bench', LOADER))
LOADER.exec_module(bench)


def run(time, peak=2048, mean=1024, idle=None):
    return {'time': time, 'cpu': time, 'peak_rss_kb': peak, 'mean_rss_kb': mean,
            'idle_rss_kb': idle, 'minor_faults': 5, 'sys': 0}


def result(runs, name='churn', kind='workload'):
    return {'name': name, 'kind': kind, 'runs': runs, 'summary': report.summary(runs)}


TWO = result({'hakmem': [run(1), run(2, idle=512)], 'a': [run(2), run(8, idle=2048)],
              'b': [run(4, 1024), run(4, 1024)]})
FAILED = result({'hakmem': [], 'a': [run(2)]}, 'broken')
PROGRAM = result({'hakmem': [run(3)], 'a': [run(1)]}, 'perl', 'program')


class Arithmetic(unittest.TestCase):
    def test_mean(self):
        """each sample counts for the time since the one before"""
        self.assertEqual(runner.mean_kb([[10, 7], [11, 100], [14, 200]]), 175)

    def test_mean_until(self):
        """samples after a wait began do not count"""
        self.assertEqual(runner.mean_kb([[10, 7], [11, 100], [14, 200]], 12), 100)

    def test_mean_of_few(self):
        """one sample is its own mean, and no sample has none"""
        self.assertEqual((runner.mean_kb([[10, 7]]), runner.mean_kb([])), (7, None))

    def test_added_wait(self):
        """a wait that was added ends the mean, and its last sample is idle RSS"""
        figures = {'samples': [[1, 9], [2, 8], [3, 4], [4, 2], [9, 1]], 'peak_rss_kb': 9}
        self.assertEqual(runner.resident({'quiet_from_ms': 2500}, figures, 2000),
                         {'mean_rss_kb': 8, 'idle_rss_kb': 2})

    def test_own_wait(self):
        """a wait of the workload itself counts in the mean, and its figure is idle RSS"""
        figures = {'samples': [[1, 9], [2, 8], [3, 4]], 'peak_rss_kb': 9}
        self.assertEqual(runner.resident({'quiet_from_ms': 2500, 'idle_rss_kb': 3}, figures, 0),
                         {'mean_rss_kb': 6, 'idle_rss_kb': 3})

    def test_no_sample(self):
        """a process that ended before the first sample has its peak as mean"""
        self.assertEqual(runner.resident({}, {'samples': [], 'peak_rss_kb': 9}, 0),
                         {'mean_rss_kb': 9, 'idle_rss_kb': None})

    def test_ratios(self):
        """ratios are those of each round, and their median is reported"""
        self.assertEqual(TWO['summary']['time']['versus']['a'],
                         {'median': 0.375, 'min': 0.25, 'max': 0.5})

    def test_best(self):
        """the best peer is that with the smallest median"""
        self.assertEqual([TWO['summary'][f]['best'] for f in ('time', 'peak_rss_kb')], ['b', 'b'])

    def test_some_runs(self):
        """a figure of one run only is compared with the peers that have it"""
        self.assertEqual(TWO['summary']['idle_rss_kb']['versus'],
                         {'a': {'median': 0.25, 'min': 0.25, 'max': 0.25}})

    def test_means(self):
        """means are geometric, of each kind and of all rows"""
        means = report.means([TWO, PROGRAM, FAILED])
        self.assertEqual({kind: round(m['time']['versus']['a'], 6) for kind, m in means.items()},
                         {'workload': 0.375, 'program': 3, 'row': round(1.125 ** 0.5, 6)})
        self.assertEqual(means['row']['time']['count'], 2)


class Tables(unittest.TestCase):
    def test_columns(self):
        """time, peak, mean and idle RSS have a table each"""
        text = report.tables([TWO, PROGRAM], ['hakmem', 'a', 'b'], report.means([TWO, PROGRAM]))
        for name, *_ in report.COMPARED.values():
            self.assertIn(f'{name}: ratio of hakmem', text)
        idle = text.partition('RSS after a wait')[2].partition('\n\n')[0]
        self.assertRegex(idle, r'churn +0\.500 +a +0\.25 +0\.25\.\.0\.25 +0\.25 +-')
        self.assertNotIn('perl', idle)

    def test_failed(self):
        """a workload that failed has a row that says so"""
        text = report.tables([TWO, FAILED], ['hakmem', 'a', 'b'], report.means([TWO, FAILED]))
        self.assertRegex(text, r'(?m)^broken +FAILED$')

    def test_alone(self):
        """figures without a peer are printed too"""
        lonely = result({'hakmem': [run(1)]})
        self.assertRegex(report.tables([lonely], ['hakmem'], report.means([lonely])),
                         r'(?s)Peak RSS.*churn +2\.000')

    def test_profiles(self):
        """ratios to the default profile, those of idle RSS too"""
        runs = {'default': [run(2, idle=100)], 'tight': [run(3, idle=50)]}
        row = {'name': 'rss', 'kind': 'workload', 'runs': runs, 'summary': profiles.summary(runs)}
        text = profiles.tables([row], ['default', 'tight'])
        self.assertRegex(text, r'rss +2\.000 +1\.50 1\.50\.\.1\.50')
        self.assertRegex(text, r'rss idle +0\.098 +0\.50')

    def test_heading(self):
        """the heading has the version, the date and a library of no package by its file name"""
        text = runner.heading({'hakmem': '/x/libhakmem.so.1', 'mine': '/x/libmine.so'}, '1.2.3')
        self.assertRegex(text, r'^\d{4}-\d\d-\d\d: HAKMEM 1\.2\.3.*, mine libmine\.so\n')
        self.assertNotIn('/x/', text)


class Targets(unittest.TestCase):
    """b is the best in one row and a in the other; the profile beside them is no peer."""
    ROWS = [result({'hakmem': [run(1, 4096), run(1, 4096)], 'a': [run(1), run(1)],
                    'b': [run(0.5), run(2)], 'balanced': [run(9, mean=512)]}),
            result({'hakmem': [run(3, 1000)], 'a': [run(2, 500)], 'b': [run(4, 500)],
                    'balanced': [run(9, mean=2048)]}, 'perl', 'program')]

    def values(self):
        return [(round(value, 3), names) for _, value, _, names in targets.lines(self.ROWS)]

    def test_profile(self):
        """a profile that is measured beside the default one is no peer"""
        self.assertEqual(list(self.ROWS[0]['summary']['time']['versus']), ['a', 'b'])

    def test_values(self):
        """means to the best single peer and to that of each row, and the profile's mean RSS"""
        values = [value for value, _ in self.values()]
        self.assertEqual(values, [round(1.5 ** 0.5, 3), round(1.5 ** 0.5, 3), 1.5, 1, 2, 1, 1, 1])

    def test_rows(self):
        """rows above a limit in each round are named, small memory is none"""
        names = [names for _, names in self.values() if names]
        self.assertEqual(names, [['perl 1.50'], ['churn 2.00']])

    def test_table(self):
        """what is wanted and what is reached stand in each line"""
        text = targets.table(self.ROWS)
        self.assertRegex(text, r'(?m)^time, 2 rows, to the best single peer, a +1\.22 +0\.95  missed$')
        self.assertRegex(text, r'(?m)^    churn 2\.00$')

    def test_nothing(self):
        """without a peer there is nothing to reach"""
        self.assertIn('Targets', targets.table([result({'hakmem': [run(1)]})]))

    def test_estimate(self):
        """what is left is the time of the steps and the waits that are still to come"""
        bar = bench.Progress(4, 10)
        bar.from_time -= 5
        bar.done = 1
        with contextlib.redirect_stderr(io.StringIO()):
            bar.step('x', 4)
            self.assertEqual((bar.done, bar.waited, round(bar.left())), (2, 4, 7))


class Options(unittest.TestCase):
    @staticmethod
    def parse(*words):
        return bench.options(list(words))[0]

    def refuses(self, *words):
        with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as end:
            self.parse(*words)
        self.assertEqual(end.exception.code, 2)

    def test_defaults(self):
        """five rounds and a wait of two seconds, or less with --quick"""
        args, quick = self.parse(), self.parse('--quick')
        self.assertEqual((args.rounds, args.quiet, quick.rounds, quick.quiet), (5, 2000, 2, 300))

    def test_no_wait(self):
        """--quiet 0 is no wait, also with --quick"""
        self.assertEqual(self.parse('--quick', '--quiet', '0').quiet, 0)

    def test_peer(self):
        """--peer takes names and libraries, and may be repeated"""
        args = self.parse('--peer', 'a=/x/a.so', '--peer', 'b=/x=y/b.so')
        self.assertEqual(args.peer, [('a', '/x/a.so'), ('b', '/x=y/b.so')])

    def test_bad_peer(self):
        """--peer without a name or a library is refused"""
        for word in ('a', 'a=', '=/x/a.so'):
            self.refuses('--peer', word)

    def test_bad_number(self):
        """a number that is none is refused"""
        self.refuses('--rounds', 'many')
        self.refuses('--quiet', '2s')

    def test_only(self):
        """--only takes names and kinds, and refuses what is neither"""
        args, parser = bench.options(['--only', 'rss,program'])
        names = [w.name for w in bench.chosen(args, parser)]
        self.assertIn('sqlite3', names)
        self.assertIn('rss', names)
        self.assertNotIn('fifo', names)
        with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
            bench.chosen(*bench.options(['--only', 'nothing-of-the-kind']))


class Rows(unittest.TestCase):
    def test_names(self):
        """no two workloads have the same name"""
        names = [w.name for w in bench.ALL]
        self.assertEqual(sorted(set(names)), sorted(names))

    def test_sources(self):
        """each workload's program has a source, and make bench builds it"""
        with open(os.path.join(HERE, 'Makefile.inc'), encoding='ascii') as makefile:
            built = makefile.read().partition('bench_programs =')[2].partition('\nEXTRA')[0].split()
        for w in WORKLOADS:
            self.assertTrue(os.path.exists(os.path.join(HERE, w.process + '.c')), w.process)
            self.assertIn(f'tests/bench/{w.process}', built)

    def test_quick(self):
        """--quick adds what makes a workload shorter"""
        w = Workload('x', 'rss --quiet 2000 | --size 16m')
        w.quick()
        self.assertEqual(w.line, 'rss --quiet 2000 --size 16m')

    def test_wait(self):
        """a wait is added to a workload only if it has none of its own"""
        run_of = runner.Runner('/programs', '/work', {}, 1)
        run_of.quiet_ms = 100
        self.assertEqual(Workload('x', 'batch').command(run_of),
                         ['/programs/batch', '--json', '--quiet', '100'])
        self.assertTrue(Workload('x', 'rss --quiet 2000').waits)


class Lines(unittest.TestResult):
    """The explanations go to the standard error output."""
    def say(self, status, test, error=None):
        print(status, test.shortDescription())
        if error:
            print(''.join(traceback.format_exception(*error)), file=sys.stderr)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(0, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say(1, test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.say(1, test, err)


if __name__ == '__main__':
    done = Lines()
    unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__']).run(done)
    sys.exit(0 if done.wasSuccessful() and done.testsRun else 1)
