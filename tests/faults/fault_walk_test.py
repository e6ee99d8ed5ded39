"""A host whose agent dies, or whose disk fails, at any step: it comes to the same end, and loses nothing (I3, I4).

The fault points are found by running: fault_shim.cc counts the calls that touch the host's files, and then each of them
in turn is the last one, or fails. The host is the agent's own state and drivers (host_process.cc), given what provd
would send."""

import ctypes
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tests", "e2e"))

import case  # noqa: E402
from shim import DONE, ERRORS, FAILING, MUST_END, NOT_STARTED, STRIDE, hashed, run_shimmed  # noqa: E402
from views import STEPS, UID, VIEWS, login  # noqa: E402

HOST = os.path.abspath("tests/faults/host_process")


# A host ----------------------------------------------------------------------------------------------------------

class Outcome:
    """Of one run: how it ended, what it printed, and what the shim noted."""

    def __init__(self, code, report, errors, calls):
        self.code, self.report, self.errors, self.calls = code, report, errors, calls

    def struck(self):
        """The call that met the fault."""
        return next((call for call in self.calls if "! " in call), "none")


class Host:
    """Everything of one host below one directory."""

    def __init__(self, directory):
        self.directory = directory

    def path(self, *parts):
        return os.path.join(self.directory, "host", *parts)

    def make(self):
        for part in ("mail", "homes", "root"):
            os.makedirs(self.path(part))

    def copy_to(self, directory):
        """Another host that is just like this one."""
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.directory, directory, symlinks=True)
        for base, folders, files in os.walk(self.directory):
            for name in (*folders, *files):
                path = os.path.join(base, name)
                copied = os.path.join(directory, os.path.relpath(path, self.directory))
                if os.path.islink(path):  # a site shows a home by its whole path
                    home = os.path.relpath(os.readlink(path), self.directory)
                    os.remove(copied)
                    os.symlink(os.path.join(directory, home), copied)
                if os.geteuid() == 0:
                    info = os.lstat(path)
                    os.chown(copied, info.st_uid, info.st_gid, follow_symlinks=False)
        return Host(directory)

    def run(self, step, at=0, how="kill", lasting=False, looks=False):
        configuration, views = (os.path.join(self.directory, name) for name in ("agent.toml", "views.json"))
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f'host = "h"\nprovd = ["127.0.0.1:1"]\nroles = ["relay", "store", "ftp", "web"]\n'
                       f'state_directory = "{self.path("state")}"\n[accounts]\nroot = "{self.path("root")}"\n'
                       f'home_prefix = "/srv/homes"\n[store]\nmaildir_root = "{self.path("mail")}"\n'
                       f'[ftp]\nhome_root = "{self.path("homes")}"\n[web]\nhome_root = "{self.path("homes")}"\nsites_root = "{self.path("sites")}"\n')
        with open(views, "w", encoding="utf-8") as file:
            json.dump(VIEWS[step], file)
        done, calls = run_shimmed([HOST, configuration, views], self.directory, self.path(), at, how, lasting, looks)
        # The report is the last line; the log comes before it.
        report = json.loads(done.stdout.splitlines()[-1]) if done.returncode in (DONE, FAILING) else None
        return Outcome(done.returncode, report, done.stdout + done.stderr, calls)

    def tree(self):
        """All that is on the host but the state's own files: kind, mode, owner, content.

        A sum that was being written lies in a Maildir's tmp/ until its readers sweep it, after 36 hours."""
        found = {}
        for base, folders, files in os.walk(self.path()):
            if base == self.path():
                folders.remove("state")
            if os.path.basename(base) == "tmp" and base.startswith(self.path("mail")):
                files = [name for name in files if not name.startswith("maildirsize.")]
            for name in (*folders, *files):
                path = os.path.join(base, name)
                info = os.lstat(path)
                content = b""
                if name in files:
                    with open(path, "rb") as file:
                        content = file.read()
                found[os.path.relpath(path, self.path())] = (oct(info.st_mode), info.st_uid, info.st_gid, content)
        return found

    def files_of_state(self):
        return set(os.listdir(self.path("state")))

    def use(self):
        """As subscribers do: mail comes in, files are uploaded. And a mailbox is on its way here."""
        for top, place in (("mail", "new"), ("homes", "files")):
            for base, folders, files in list(os.walk(self.path(top))):
                if os.path.basename(base) == place and not files:
                    fill(base)
        if not os.path.exists(self.staged()):
            os.makedirs(self.staged())
            fill(self.staged())

    def staged(self):
        return self.path("mail", *hashed("box-9.arriving", of="box-9"))


def fill(directory):
    os.makedirs(os.path.join(directory, "deep", "deeper"))
    for name in ("1", "deep/2", "deep/deeper/3"):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write("kept")


# Look-ups, as the host's programs do them ---------------------------------------------------------------------------

class Passwd(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("password", ctypes.c_char_p), ("uid", ctypes.c_uint),
                ("gid", ctypes.c_uint), ("gecos", ctypes.c_char_p), ("home", ctypes.c_char_p),
                ("shell", ctypes.c_char_p)]


class Names:
    """Debian's libnss-cache, the real module, told to look elsewhere than in /etc."""

    NOT_FOUND, SUCCESS = 0, 1

    def __init__(self):
        self.module = ctypes.CDLL("libnss_cache.so.2")

    def look_at(self, host):
        self.module._nss_cache_setpwent_path(os.path.join(host.path("root"), "etc", "passwd.cache").encode())

    def _find(self, function, key):
        entry, buffer, error = Passwd(), ctypes.create_string_buffer(4096), ctypes.c_int()
        status = function(key, ctypes.byref(entry), buffer, ctypes.c_size_t(len(buffer)), ctypes.byref(error))
        return (entry.name, entry.uid, entry.gecos, entry.home) if status == self.SUCCESS else None

    def everybody(self, host):
        """What is found for each of the scenario's accounts, by name and by number."""
        self.look_at(host)
        return {number: (self._find(self.module._nss_cache_getpwnam_r, login(number).encode()),
                         self._find(self.module._nss_cache_getpwuid_r, ctypes.c_uint(UID + number)))
                for number in range(1, 5)}


# The walk ----------------------------------------------------------------------------------------------------------

class Walk:
    """One step of the scenario, over and over, from the same beginning."""

    def __init__(self, step, before, directory):
        self.step, self.before, self.directory = step, before, directory
        self.after = before.copy_to(os.path.join(directory, "after"))
        outcome = self.after.run(step)
        assert outcome.code == DONE, (outcome.code, outcome.errors, outcome.report)
        self.report, self.tree = outcome.report, self.after.tree()
        self.names = Names()
        self.names_before, self.names_after = self.names.everybody(before), self.names.everybody(self.after)

    def points(self, how, looks):
        host = self.before.copy_to(os.path.join(self.directory, "count"))
        return len(host.run(self.step, how=how, looks=looks).calls)

    def problems_of_kill(self, at):
        host = self.before.copy_to(os.path.join(self.directory, f"kill-{at}"))
        outcome = host.run(self.step, at)
        where = f"{self.step}: killed at {outcome.struck()}: "
        if outcome.code != -9:
            return [f"{where}it ended with {outcome.code}"]
        problems = [where + problem for problem in [*self.torn_names(host), *self.wrong_end(host)]]
        shutil.rmtree(host.directory)
        return problems

    def problems_of_error(self, at, how, lasting):
        host = self.before.copy_to(os.path.join(self.directory, f"{how}-{at}-{lasting}"))
        outcome = host.run(self.step, at, how, lasting, looks=True)
        where = f"{self.step}: {how}{' from then on' if lasting else ''} at {outcome.struck()}: "
        if outcome.code not in (DONE, NOT_STARTED, MUST_END, FAILING):
            return [f"{where}it ended with {outcome.code}"]
        problems = [*self.torn_names(host)]
        if outcome.code == FAILING and not lasting:
            problems.append(f"one error and it does not get over it: {outcome.errors} {outcome.report}")
        if outcome.code == DONE:
            problems += self.differs_from_wanted(host, outcome)
        told = outcome.errors + json.dumps(outcome.report)
        if outcome.code in (NOT_STARTED, FAILING) and ERRORS[how] not in told:
            problems.append(f"the error is not told: {told}")
        problems = [where + problem for problem in [*problems, *self.wrong_end(host)]]
        shutil.rmtree(host.directory)
        return problems

    def torn_names(self, host):
        """Who looks a name up at this moment finds what was before or what comes after, never something else."""
        for number, found in self.names.everybody(host).items():
            for before, after, now in zip(self.names_before[number], self.names_after[number], found):
                if now not in (before, after):
                    yield f"user {number} is found as {now}, not as {before} or {after}"

    def wrong_end(self, host):
        """The next start, without faults, comes to the end that was wanted."""
        outcome = host.run(self.step)
        if outcome.code != DONE:
            return [f"the next start ended with {outcome.code}: {outcome.errors} {outcome.report}"]
        return self.differs_from_wanted(host, outcome)

    def differs_from_wanted(self, host, outcome):
        problems = [f"drift: {difference}" for difference in outcome.report["differences"]]
        if outcome.report != self.report:
            problems.append(f"the state is {outcome.report}, not {self.report}")
        tree = host.tree()
        for path in sorted(tree.keys() | self.tree.keys()):
            if tree.get(path) != self.tree.get(path):
                problems.append(f"{path} is {tree.get(path)}, not {self.tree.get(path)}")
        left_over = host.files_of_state() - self.after.files_of_state()
        if left_over:
            problems.append(f"left over in the state directory: {left_over}")
        return problems


def problems_at(point):
    """For a worker process: the walk is the parent's, by fork."""
    kind, *arguments = point
    return WALK.problems_of_kill(*arguments) if kind == "kill" else WALK.problems_of_error(*arguments)


WALK = None


class FaultWalk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="prov-faults-", dir="/tmp")
        cls.befores = {}
        host = Host(os.path.join(cls.directory, "first"))
        host.make()
        for step, following in itertools.zip_longest(STEPS, STEPS[1:]):
            cls.befores[step] = host
            if following:
                host = host.copy_to(os.path.join(cls.directory, following))
                outcome = host.run(step)
                assert outcome.code == DONE, (step, outcome.code, outcome.errors, outcome.report)
                host.use()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def walk(self, step, points_of):
        global WALK
        WALK = Walk(step, self.befores[step], os.path.join(self.directory, "walk"))
        points = list(points_of(WALK))
        with multiprocessing.get_context("fork").Pool(2) as workers:
            problems = [problem for found in workers.imap_unordered(problems_at, points) for problem in found]
        print(f"{step}: {len(points)} faults", flush=True)
        self.assertGreater(len(points), 20)
        self.assertEqual(problems, [], f"{len(problems)} problems:\n" + "\n".join(problems[:20]))

    def kills(self, walk):
        return (("kill", at) for at in range(1, walk.points("kill", looks=False) + 1))

    def errors(self, walk):
        for turn, (how, lasting) in enumerate(itertools.product(ERRORS, (False, True))):
            for at in range(1 + 4 * turn % STRIDE, walk.points(how, looks=True) + 1, STRIDE):
                yield "error", at, how, lasting

    def test_KilledAtAnyCallTheNextStartComesToTheSameEnd(self):
        for step in STEPS:
            with self.subTest(step):
                self.walk(step, self.kills)

    def test_ErrorsAtAnyCallAreToldAndOutlived(self):
        for step in STEPS:
            with self.subTest(step):
                self.walk(step, self.errors)


if __name__ == "__main__":
    case.main()
