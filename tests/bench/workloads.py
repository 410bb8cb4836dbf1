"""The workloads: one entry each. The options after the bar make a run of --quick shorter."""
import os


class Workload:
    kind = 'workload'

    def __init__(self, name, command, process=None, environment=None, times=1,
                 before=None, client=None, prepare=None):
        self.name, self.environment, self.times = name, environment or {}, times
        self.prepare, self.before, self.client = prepare, before, client
        self.line, _, self.shorter = (part.strip() for part in command.partition('|'))
        self.process = process or self.line.split()[0]

    own = True      # prints its own figures as JSON, the seconds of its work among them

    def quick(self):
        self.line += ' ' + self.shorter

    def command(self, runner):
        program, *options = self.line.split()
        return [os.path.join(runner.programs, program), '--json', *options]


WORKLOADS = [
    Workload('random_mixed', 'random_mixed --operations 60m | --operations 15m'),
    Workload('random_mixed-2', 'random_mixed --threads 2 --operations 40m | --operations 10m'),
    Workload('live', 'random_mixed --working-set 2m --operations 8m | --operations 2m'),
    Workload('larson-1', 'larson --threads 1 --operations 30m | --operations 10m'),
    Workload('larson-8', 'larson --threads 8 --operations 6m | --operations 2m'),
    Workload('mid_large', 'mid_large --operations 10m | --operations 3m'),
    Workload('mid_large-2', 'mid_large --threads 2 --operations 6m | --operations 2m'),
    Workload('large', 'mid_large --smallest 32k --largest 8m --working-set 32 --operations 10k'
             ' | --operations 3k'),
    Workload('rss', 'rss --idle 1000 | --size 256m --idle 300'),
]
