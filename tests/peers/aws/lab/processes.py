"""The processes that stand for containers and instances: bounded in number, without the lab's environment, and ended with the lab."""

import collections
import os
import shutil
import signal
import subprocess
import tempfile
import threading

MAX_PROCESSES = 120
_live = set()
_keeper = None


class TooManyProcesses(Exception):
    pass


def start_keeper():
    """Forks a process that outlives the lab: it kills what the lab runs, and removes the folder of its temporary files.

    Call it before any thread starts.
    """
    global _keeper
    folder = tempfile.mkdtemp(prefix="awslab-")
    reading, writing = os.pipe()
    if os.fork():
        os.close(reading)
        _keeper, tempfile.tempdir = writing, folder
        return
    os.close(writing)
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    groups = set()
    with os.fdopen(reading) as lines:
        for line in lines:
            (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        _kill(group, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _tell_keeper(sign, group):
    if _keeper is not None:
        os.write(_keeper, f"{sign}{group}\n".encode())


def _kill(group, number):
    try:
        os.killpg(group, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False


class Process:
    """One process group in a session of its own, with its last lines of output."""

    def __init__(self, command, env, cwd=None, on_line=None):
        for p in [p for p in _live if not p.alive()]:
            _live.discard(p)
            _tell_keeper("-", p.popen.pid)
        if len(_live) >= MAX_PROCESSES:
            raise TooManyProcesses(f"the lab runs {MAX_PROCESSES} processes already")
        clean = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}
        self.popen = subprocess.Popen(
            command,
            env={**clean, **env},
            cwd=cwd,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        _tell_keeper("+", self.popen.pid)
        self.lines = collections.deque(maxlen=200)
        self.on_line = on_line
        self.output_ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        _live.add(self)

    def _read(self):
        with self.popen.stdout as out:
            for raw in iter(lambda: out.readline(4096), b""):
                line = raw.decode("utf-8", "replace").rstrip("\n")
                self.lines.append(line)
                if self.on_line:
                    self.on_line(line)
        self.output_ended.set()

    def exit_code(self):
        """None while it runs; 128 + n after signal n, as container runtimes report it."""
        code = self.popen.poll()
        return 128 - code if code is not None and code < 0 else code

    def alive(self):
        """Whether any process of the group runs: a script may have ended before its children."""
        return self.popen.poll() is None or _kill(self.popen.pid, 0)

    def signal(self, number):
        _kill(self.popen.pid, number)


def kill_all():
    for p in list(_live):
        p.signal(signal.SIGKILL)
        try:
            p.popen.wait(2)
        except subprocess.TimeoutExpired:
            pass
        _tell_keeper("-", p.popen.pid)
    _live.clear()
