"""Starts a workload under one allocator, measures it, and proves whose malloc it ran on."""
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

# name: SONAMEs, the newest first, and the packages that contain them.
PEERS = {
    'jemalloc': (('libjemalloc.so.2', 'libjemalloc2'),),
    'mimalloc': (('libmimalloc.so.3', 'libmimalloc3'), ('libmimalloc.so.2', 'libmimalloc2.0')),
    'tcmalloc': (('libtcmalloc_minimal.so.4', 'libtcmalloc-minimal4t64'),
                 ('libtcmalloc_minimal.so.4', 'libtcmalloc-minimal4')),
    'glibc': (('libc.so.6', 'libc6'),),
}

# Contenders that are HAKMEM under a profile.
PROFILES = ('default', 'balanced', 'adaptive', 'tight', 'hardened')
OURS = ('hakmem', *PROFILES)


class Failed(Exception):
    pass


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ''


def find_peers():
    """The paths of the installed peers by name, and the packages that are missing."""
    paths = dict(re.findall(r'^\s*(\S+) .*=> (\S+)$', '\n'.join(reversed(
        output('/sbin/ldconfig', '-p').splitlines())), re.M))
    found = {name: os.path.realpath(paths[soname]) for name, all_names in PEERS.items()
             for soname, _ in reversed(all_names) if soname in paths}
    return found, [' or '.join(package for _, package in all_names)
                   for name, all_names in PEERS.items() if name not in found]


def say_missing(packages):
    if packages:
        print('missing peers; to measure them, install', ', '.join(packages), file=sys.stderr)


def version(library, names):
    """That of the package which contains the library, one of these names; or None."""
    for soname, package in names:
        if os.path.basename(library).startswith(soname):
            found = output('dpkg-query', '-Wf', '${Version}', package).strip()
            if found:
                return found
    return None


def versions(libraries):
    return {name: version(path, PEERS[name]) for name, path in libraries.items() if name in PEERS}


def system():
    """The name of the distribution, as it says."""
    try:
        text = pathlib.Path('/etc/os-release').read_text(encoding='utf-8')
    except OSError:
        text = ''
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.M)
    return name.group(1) if name else os.uname().sysname


def mean_kb(samples, until=math.inf):
    """The mean over time of [seconds, KB]: each sample stands for the time since the one before."""
    samples = [(at, kb) for at, kb in samples if at <= until]
    spans = [(at - before, kb) for (before, _), (at, kb) in zip(samples, samples[1:])]
    whole = sum(span for span, _ in spans)
    if whole > 0:
        return sum(span * kb for span, kb in spans) / whole
    return samples[-1][1] if samples else None


def resident(own, figures, quiet_ms):
    """
    What the samples tell of memory. A wait of quiet_ms that was added to the workload, beginning
    at the time that the workload reports, does not count in the mean.
    """
    samples, begin = figures['samples'], own.get('quiet_from_ms', math.inf) / 1000
    idle = [kb for at, kb in samples if begin < at <= begin + quiet_ms / 1000]
    mean = mean_kb(samples, begin if quiet_ms else math.inf)
    return {'mean_rss_kb': mean or figures['peak_rss_kb'],
            'idle_rss_kb': own.get('idle_rss_kb', idle[-1] if idle else None)}


def machine():
    cpu = re.search(r'model name\s*: (.*)', pathlib.Path('/proc/cpuinfo').read_text())
    thp = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')
    return {'cpu': cpu.group(1) if cpu else os.uname().machine, 'cpus': os.cpu_count(),
            'memory_mb': os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20,
            'kernel': os.uname().release,
            'thp': re.search(r'\[(\w+)\]', thp.read_text()).group(1) if thp.exists() else None}


def heading(libraries, label):
    """What was measured, where and when: the first lines of a table."""
    here, known = machine(), versions(libraries)
    ours = f'HAKMEM {label}'.strip()
    settings = [f'{k}={v}' for k, v in sorted(os.environ.items()) if k.startswith('HAKMEM_')]
    peers = [f'{name} {known.get(name) or os.path.basename(path)}'
             for name, path in libraries.items() if name in known or name not in OURS]
    return '\n'.join([
        f'{time.strftime("%Y-%m-%d")}: {", ".join([" ".join([ours, *settings]), *peers])}',
        f'{system()}, Linux {here["kernel"]}, {here["cpus"]} CPUs ({here["cpu"]}), '
        f'{here["memory_mb"]} MB, transparent huge pages: {here["thp"]}'])


class Runner:
    """measure and the programs lie in `programs`; what a workload writes, in `work`."""

    def __init__(self, programs, work, libraries, timeout):
        self.programs, self.work, self.timeout = programs, work, timeout
        self.libraries = libraries
        self.quiet_ms = 0           # that a workload waits before its end, in the run that goes on
        # The peers as they come; HAKMEM's variables stay: its profiles are measured so.
        others = ('LD_', 'GLIBC_TUNABLES', 'MALLOC_', 'MIMALLOC_', 'PYTHONMALLOC', 'TCMALLOC_')
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(others)}

    def environment_of(self, allocator):
        profile = {'HAKMEM_PROFILE': allocator} if allocator in PROFILES else {}
        return {**self.environment, **profile}

    def start(self, workload, allocator, times, report, log, debug=None):
        # glibc is there anyway; named first it goes before an allocator that is linked in.
        preload = allocator != 'glibc' or workload.links_allocator
        command = [os.path.join(self.programs, 'measure'), report.name, str(times),
                   'LD_PRELOAD=' + (self.libraries[allocator] if preload else ''),
                   *workload.command(self)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                cwd=self.work, start_new_session=True,
                                env={**self.environment_of(allocator), **workload.environment,
                                     **(debug or {})})

    def run(self, workload, allocator, quiet_ms=0):
        """One run: a dictionary of figures, or Failed."""
        self.quiet_ms = 0 if workload.waits else quiet_ms
        with tempfile.NamedTemporaryFile('w+') as report, tempfile.TemporaryFile('w+') as log:
            if workload.before:
                workload.before(self)
            process = self.start(workload, allocator, workload.times, report, log)
            try:
                own = workload.client(self) if workload.client else {}
                process.wait(self.timeout)
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError, OSError) as error:
                raise Failed(f'{error}'[:300] + self.tail(log)) from None
            finally:
                self.kill(process)
            report.seek(0)
            line = report.read()
            if not line:
                raise Failed('no report' + self.tail(log))
            figures = json.loads(line)
            if figures['status'] or figures['signal']:
                raise Failed(f"exit status {figures['status']}, signal {figures['signal']}" +
                             self.tail(log))
            if workload.own:
                log.seek(0)
                own = json.loads(log.read())
            return {**own, **figures, **resident(own, figures, self.quiet_ms),
                    'time': own.get('seconds', figures['wall'])}

    @staticmethod
    def tail(log):
        log.seek(0)
        return ': ' + log.read()[-500:].strip()

    @staticmethod
    def kill(process):
        # Once it has been waited for, its number may be that of another.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def check(self, workload, allocator):
        """
        A run that is ended as soon as the library is seen in the map of the workload's process,
        and the dynamic linker says that malloc is found there.
        """
        wanted, self.quiet_ms = self.libraries[allocator], 0
        with tempfile.NamedTemporaryFile('w+') as report, tempfile.TemporaryFile('w+') as log, \
                tempfile.TemporaryDirectory() as bindings:
            if workload.before:
                workload.before(self)
            process = self.start(workload, allocator, workload.times * 20, report, log,
                                 {'LD_DEBUG': 'bindings', 'LD_DEBUG_OUTPUT': bindings + '/pid'})
            end = time.monotonic() + self.timeout
            try:
                while process.poll() is None and time.monotonic() < end:
                    for pid, maps in self.maps(process.pid, workload.process):
                        # A program may name its own stub of malloc as malloc's address.
                        used = {path for path in self.mallocs(f'{bindings}/pid.{pid}')
                                if not os.path.basename(path).startswith(workload.process)}
                        if used and used != {wanted}:
                            raise Failed(f'its malloc is that of {", ".join(used)}')
                        if used and wanted in maps:
                            return
                    time.sleep(0.0005)
                raise Failed(f'{wanted} was never seen in {workload.process}' + self.tail(log))
            finally:
                self.kill(process)

    @staticmethod
    def mallocs(path):
        """Where the linker found malloc, for all who asked so far in a process."""
        try:
            text = pathlib.Path(path).read_text(errors='replace')
        except OSError:
            return set()
        return {os.path.realpath(to) for to in
                re.findall(r" to (\S+) \[\d+\]: normal symbol `malloc'", text)}

    @staticmethod
    def maps(session, name):
        """PID and /proc/PID/maps of the processes of the session that execute the named file."""
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                if (os.getsid(int(pid)) == session and
                        os.path.basename(os.readlink(f'/proc/{pid}/exe')).startswith(name)):
                    yield pid, pathlib.Path(f'/proc/{pid}/maps').read_text()
            except OSError:
                continue
