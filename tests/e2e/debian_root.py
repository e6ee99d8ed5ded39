"""A Debian of its own in a folder, made from the machine's package sources, and booted: its systemd runs as process 1 of
a container without a network but its own loopback."""

import glob
import os
import shutil
import signal
import subprocess

from processes import StackError, wait_until

CREATE_SECONDS = 1200
COMMAND_SECONDS = 300
BOOT_SECONDS = 120
STOP_SECONDS = 60
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DebianRoot:
    def __init__(self, directory):
        """directory: does not exist yet; directly below a folder that others may enter."""
        self.directory = directory
        self.name = f"prov-{os.getpid()}"
        self._container = None
        self._init = None

    def path(self, inside):
        return os.path.join(self.directory, inside.lstrip("/"))

    def read(self, inside):
        with open(self.path(inside), encoding="utf-8") as file:
            return file.read()

    def write(self, inside, text, mode=0o644):
        with open(os.open(self.path(inside), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)

    def create(self, packages, answers, debs):
        """The smallest Debian 12 with `packages` (debconf told `answers`), and then, by its own apt, the files `debs` with
        what they depend on."""
        sources = [name for name in ("/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*.list")),
                                     *sorted(glob.glob("/etc/apt/sources.list.d/*.sources"))) if os.path.exists(name)]
        inside = [f"/debs/{os.path.basename(deb)}" for deb in debs]
        # mmdebstrap does debootstrap's work with apt, and so from the sources and proxies that this machine uses.
        done = subprocess.run(
            ["mmdebstrap", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io",
             "--include=" + ",".join(packages),
             f"--essential-hook=printf '%s\\n' '{answers}' | chroot \"$1\" debconf-set-selections",
             "--customize-hook=mkdir \"$1\"/debs",
             f"--customize-hook=copy-in {' '.join(debs)} /debs",
             "--customize-hook=chroot \"$1\" apt-get install -y --no-install-recommends " + " ".join(inside),
             "bookworm", self.directory, *sources],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=CREATE_SECONDS, check=False)
        if done.returncode != 0:
            raise StackError(f"mmdebstrap:\n{done.stdout.decode(errors='replace')[-8000:]}")
        return done.stdout.decode(errors="replace")

    def boot(self):
        self._container = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
             f"--machine={self.name}", f"--directory={self.directory}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._init = wait_until(self._child, "the container's process 1", BOOT_SECONDS)
        wait_until(self._booted, "the container to boot", BOOT_SECONDS)

    def _child(self):
        if self._container.poll() is not None:
            raise StackError(f"systemd-nspawn ended with {self._container.returncode}")
        with open(f"/proc/{self._container.pid}/task/{self._container.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        # Until nspawn has made the namespaces its child is itself.
        for child in children:
            with open(f"/proc/{child}/comm", encoding="ascii") as file:
                if file.read().strip() == "systemd":
                    return child
        return None

    def _booted(self):
        done = self._enter(["systemctl", "is-system-running"])
        return done.stdout.decode().strip() in ("running", "degraded")

    def _enter(self, arguments, stdin="", namespaces=("--all",)):
        return subprocess.run(["nsenter", "-t", self._init, *namespaces, "--", *arguments], input=stdin.encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=COMMAND_SECONDS, check=False,
                              env={"PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"})

    def run(self, *arguments, stdin="", allow=(0,), user=None):
        """Runs a program inside, as root or `user`; what it wrote. Raises unless it ends with one of `allow`."""
        words = [*(["runuser", "-u", user, "--"] if user else []), *arguments]
        done = self._enter(words, stdin)
        text = done.stdout.decode(errors="replace")
        if done.returncode not in allow:
            raise StackError(f"{' '.join(words)} ended with {done.returncode}:\n{text}")
        return text

    def python(self, text):
        """Runs Python of this machine on the network of the container; what it wrote."""
        done = self._enter(["/usr/bin/python3", "-c", text], namespaces=("--net",))
        if done.returncode != 0:
            raise StackError(done.stdout.decode(errors="replace"))
        return done.stdout.decode()

    def remove(self):
        if self._container and self._container.poll() is None:
            self._container.send_signal(signal.SIGTERM)  # nspawn has it shut down
            try:
                self._container.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._container.kill()
                self._container.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{self.name}", ignore_errors=True)
