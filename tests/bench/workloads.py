"""The workloads: one entry each. The options after the bar make a run of --quick shorter."""
import os


class Workload:
    kind = 'workload'
    own = True                      # prints figures as JSON, the seconds of its work among them
    times, environment, links_allocator = 1, {}, False
    prepare = before = client = None    # functions of the runner: once, before each run, beside it

    def __init__(self, name, command):
        self.name = name
        self.line, _, self.shorter = (part.strip() for part in command.partition('|'))
        self.process = self.line.split()[0]

    def quick(self):
        self.line += ' ' + self.shorter

    @property
    def waits(self):
        """A wait in quiet is a part of the workload, and none needs to be added."""
        return '--quiet' in self.line.split()

    def command(self, runner):
        program, *options = self.line.split()
        if runner.quiet_ms:
            options += ['--quiet', str(runner.quiet_ms)]
        return [os.path.join(runner.programs, program), '--json', *options]


WORKLOADS = [
    Workload('random_mixed', 'random_mixed --operations 200m | --operations 30m'),
    Workload('random_mixed-2', 'random_mixed --threads 2 --operations 120m | --operations 20m'),
    Workload('live', 'random_mixed --working-set 2m --operations 16m | --operations 4m'),
    Workload('larson-1', 'larson --threads 1 --operations 100m | --operations 20m'),
    Workload('larson-8', 'larson --threads 8 --operations 12m | --operations 3m'),
    Workload('mid_large', 'mid_large --operations 120m | --operations 10m'),
    Workload('mid_large-2', 'mid_large --threads 2 --operations 80m | --operations 6m'),
    Workload('large', 'mid_large --smallest 32k --largest 8m --working-set 32 --operations 6k'
             ' | --operations 2k'),
    Workload('large-random', 'large_random | --operations 2k'),
    Workload('rss', 'rss --quiet 2000 | --size 256m --quiet 300'),
    Workload('burst', 'burst --quiet 10000 | --blocks 30k --quiet 500'),
    Workload('lifo', 'batch --batch 8 --order reverse --operations 100m | --operations 25m'),
    Workload('fifo', 'batch --order ring --operations 200m | --operations 25m'),
    Workload('batch-same', 'batch --order same --operations 200m | --operations 15m'),
    Workload('batch-reverse', 'batch --order reverse --operations 200m | --operations 15m'),
    Workload('batch-random', 'batch --order random --operations 200m | --operations 15m'),
    Workload('batch-large', 'batch --batch 100k --order random --operations 16m | --operations 5m'),
    Workload('trees', 'trees --trees 1500 | --trees 200'),
    Workload('trees-2', 'trees --threads 2 --trees 1000 | --trees 150'),
    Workload('grow-strings', 'grow --growths 20m | --growths 4m'),
    Workload('grow-vectors', 'grow --buffers 500 --limit 1m --step 512 --factor 150 --growths 3m'
             ' | --growths 1m'),
    Workload('grow-huge', 'grow --buffers 2 --limit 300m --step 256k --factor 110 --growths 6000'
             ' | --growths 2500'),
    Workload('calloc', 'calls --call calloc --operations 8m | --operations 2m'),
    Workload('aligned', 'calls --call aligned_alloc --largest 4k --operations 40m'
             ' | --operations 4m'),
    Workload('pass', 'pass --operations 30m | --operations 6m'),
    Workload('pass-many', 'pass --threads 4 --operations 24m | --operations 5m'),
    Workload('pass-slow-take', 'pass --consume-work 20 --operations 15m | --operations 4m'),
    Workload('pass-slow-make', 'pass --produce-work 20 --consumers 3 --operations 15m'
             ' | --operations 4m'),
    Workload('pass-batches', 'pass --threads 4 --parcel 4k --queue 100 --smallest 64 --largest 64'
             ' --operations 24m | --operations 5m'),
    Workload('handover', 'handover | --rounds 8'),
    Workload('sharing-active', 'sharing --operations 4m | --operations 1m'),
    Workload('sharing-passive', 'sharing --passive 1 --operations 4m | --operations 1m'),
    Workload('churn', 'churn --started 20000 | --started 5000'),
    Workload('idle-threads', 'idle_threads --quiet 2000 | --threads 50'),
    Workload('fragmented', 'fragmented --quiet 2000 | --ages 12 --size 32m --operations 2m'),
    Workload('sparse', 'sparse | --size 16m'),
    Workload('server', 'server --requests 250k | --requests 60k'),
    Workload('server-1', 'server --threads 1 --requests 1m | --requests 250k'),
]
