"""Starts a workload under one allocator, measures it, and proves whose malloc it ran on."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

# name: SONAME and the package that holds it.
PEERS = {
    'jemalloc': ('libjemalloc.so.2', 'libjemalloc2'),
    'mimalloc': ('libmimalloc.so.2', 'libmimalloc2.0'),
    'tcmalloc': ('libtcmalloc_minimal.so.4', 'libtcmalloc-minimal4'),
    'glibc': ('libc.so.6', 'libc6'),
}

# Contenders that are HAKMEM under a profile.
PROFILES = ('default', 'balanced', 'adaptive', 'tight', 'hardened')


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
    found = {name: os.path.realpath(paths[soname])
             for name, (soname, _) in PEERS.items() if soname in paths}
    return found, [package for name, (_, package) in PEERS.items() if name not in found]


def versions(names):
    return {name: output('dpkg-query', '-Wf', '${Version}', PEERS[name][1]).strip() or None
            for name in names if name in PEERS}


def machine():
    cpu = re.search(r'model name\s*: (.*)', pathlib.Path('/proc/cpuinfo').read_text())
    thp = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')
    return {'cpu': cpu.group(1) if cpu else os.uname().machine, 'cpus': os.cpu_count(),
            'memory_mb': os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20,
            'kernel': os.uname().release,
            'thp': re.search(r'\[(\w+)\]', thp.read_text()).group(1) if thp.exists() else None}


class Runner:
    """measure and the programs lie in `programs`; what a workload writes, in `work`."""

    def __init__(self, programs, work, libraries, timeout):
        self.programs, self.work, self.timeout = programs, work, timeout
        self.libraries = libraries
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

    def run(self, workload, allocator):
        """One run: a dictionary of figures, or Failed."""
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
            return {**own, **figures, 'time': own.get('seconds', figures['wall'])}

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
        wanted = self.libraries[allocator]
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
