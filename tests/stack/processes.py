"""Servers started in the background: by name, with a log and a process id file, stopped by that id alone."""

import os
import pwd
import random
import signal
import socket
import subprocess
import time

START_SECONDS = 60
STOP_SECONDS = 20
POLL_SECONDS = 0.02


class StackError(Exception):
    """A part of the stack did not do what it should; the text says which, and shows its last log lines."""


def wait_until(condition, what, seconds=START_SECONDS):
    """Polls until condition() is true; its value is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise StackError(f"waited {seconds} s in vain for {what}")
        time.sleep(POLL_SECONDS)


def service_user():
    """The unprivileged user that servers run as when we are root, else None. ./dev creates it."""
    if os.geteuid() != 0:
        return None
    for name in ("prov", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StackError("there is no user to run servers as; run ./dev up once")


def can_listen(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(besides=()):
    """A port that was free a moment ago, below those that the kernel gives to outgoing connections: between now and the
    server's start, none of the many clients of a test can be given it."""
    for _ in range(1000):
        port = random.randrange(10_000, 32_000)
        if port not in besides and can_listen(port):
            return port
    raise StackError("no free port between 10000 and 32000")


def _start_time(pid):
    """Kernel start time of a process, so that a reused process id is not taken for ours. None: not running."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Processes:
    """All servers of one stack."""

    def __init__(self, state):
        self.log_directory = os.path.join(state, "log")
        self.pid_directory = os.path.join(state, "pid")
        self.user = service_user()
        self._children = {}

    def prepare(self):
        for directory in (self.log_directory, self.pid_directory):
            os.makedirs(directory, exist_ok=True)

    def give(self, path):
        """Hands a path to the service user."""
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def run(self, arguments, **options):
        """A short command as the service user; raises with its output if it fails."""
        done = subprocess.run(arguments, stdin=options.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, **self._identity(), **options)
        if done.returncode != 0:
            raise StackError(f"{arguments[0]} failed with {done.returncode}:\n{done.stdout.decode(errors='replace')}")
        return done.stdout

    def _identity(self, as_root=False):
        if not self.user or as_root:
            return {"cwd": "/"}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": [], "cwd": "/"}

    def log_path(self, name):
        return os.path.join(self.log_directory, name + ".log")

    def log_tail(self, name, lines=20):
        try:
            with open(self.log_path(name), encoding="utf-8", errors="replace") as log:
                return "".join(log.readlines()[-lines:])
        except OSError:
            return ""

    def start(self, name, arguments, ready_line=None, ready=None, environment=None, as_root=False):
        """Starts a server and waits for `ready_line` in its log, or for ready() to be true. as_root: we are root, and so
        shall it be."""
        if self.pid(name):
            return False
        log = open(self.log_path(name), "ab")
        offset = log.seek(0, os.SEEK_END)
        child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                 env=environment, **self._identity(as_root))
        log.close()
        self._children[name] = child
        with open(os.path.join(self.pid_directory, name), "w", encoding="ascii") as pid_file:
            pid_file.write(f"{child.pid} {_start_time(child.pid)}\n")

        def is_ready():
            if child.poll() is not None:
                raise StackError(f"{name} ended with {child.returncode}:\n{self.log_tail(name)}")
            return ready() if ready else self._logged(name, offset, ready_line)

        try:
            wait_until(is_ready, f"{name} to be ready")
        except StackError as error:
            raise StackError(f"{error}\nlast lines of {self.log_path(name)}:\n{self.log_tail(name)}") from None
        return True

    def _logged(self, name, offset, line):
        with open(self.log_path(name), "rb") as log:
            log.seek(offset)
            return line.encode() in log.read()

    def pid(self, name):
        """Process id if the server runs, else None."""
        try:
            with open(os.path.join(self.pid_directory, name), encoding="ascii") as pid_file:
                pid, started = pid_file.read().split()
        except (OSError, ValueError):
            return None
        child = self._children.get(name)
        if child:
            child.poll()
        return int(pid) if _start_time(int(pid)) == started else None

    def names(self):
        try:
            return sorted(os.listdir(self.pid_directory))
        except OSError:
            return []

    def stop(self, name, with_signal=signal.SIGTERM, then_kill=True):
        """Stops one server and waits until it is gone."""
        pid = self.pid(name)
        if pid:
            os.kill(pid, with_signal)
            try:
                wait_until(lambda: not self.pid(name), f"{name} to stop", STOP_SECONDS)
            except StackError:
                if not then_kill:
                    raise
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda: not self.pid(name), f"{name} to die", STOP_SECONDS)
        try:
            os.unlink(os.path.join(self.pid_directory, name))
        except FileNotFoundError:
            pass
        child = self._children.pop(name, None)
        if child:
            child.wait()

    def kill(self, name):
        """kill -9."""
        self.stop(name, signal.SIGKILL)
