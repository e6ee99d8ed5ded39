"""Two provd on one database: one is frozen in the middle of its work, the other takes over, and the first comes back."""

import json
import os
import random
import signal
import threading
import urllib.request

import case
from case import DOMAIN, StackError, wait_until
from processes import free_port

FREEZES = int(os.environ.get("PROV_KILLS", "1"))
WRITERS = 4
ROWS = 10_000
OTHER = "provd-b"
ENDPOINTS = ("provd", "metrics", "enrolment")


class TwoProvd(case.StackCase):
    @classmethod
    def configure(cls, stack):
        # One that follows everybody, and makes no maildirs.
        stack.hosts = [host for host in stack.hosts if host[0] == "relay1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = cls.stack
        stack.provctl("add-pool", "main", "--role", "store")
        with open(stack.path("provd", "provd.toml"), encoding="utf-8") as file:
            text = file.read()
        cls.ports = {name: {"provd": stack.ports[name]} for name in ENDPOINTS}
        for name in ENDPOINTS:
            cls.ports[name][OTHER] = free_port(besides=stack.ports.values())
            text = text.replace(stack.address(name), f"127.0.0.1:{cls.ports[name][OTHER]}")
        path = stack.path("provd", OTHER + ".toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        stack.processes.start(OTHER, [os.path.join(stack.bin, "provd"), "--config", path], ready_line=" ready")

    @classmethod
    def tearDownClass(cls):
        for name in ("provd", OTHER):
            if pid := cls.stack.processes.pid(name):
                os.kill(pid, signal.SIGCONT)
        cls.stack.processes.stop(OTHER)
        super().tearDownClass()

    def setUp(self):
        self.random = random.Random(20261124)

    def through(self, name, *arguments, **options):
        """provctl, talking to this provd."""
        return self.stack.provctl("--server", f"127.0.0.1:{self.ports['provd'][name]}", *arguments, **options)

    def applied(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics'][name]}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines
                    if line.startswith('prov_applied_revision{follower="directory"'))

    def turn_holder(self):
        """The provd whose turn it is to publish: who has the advisory lock. Exactly one at any time."""
        rows = self.stack.postgres.psql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted").split()
        self.assertLessEqual(len(rows), 1)
        return rows[0] if rows else None

    def write_until_stopped(self, prefix, writer, stop, acknowledged):
        number = 0
        while not stop.is_set():
            login = f"{prefix}{writer}-{number}@{DOMAIN}"
            number += 1
            attempt = 0
            while True:
                # As a client with both addresses does: the same request id, now here, now there.
                server = ("provd", OTHER)[(writer + attempt) % 2]
                attempt += 1
                try:
                    self.through(server, "add-user", login, "--no-password", "--request-id", login, "--timeout", "3s")
                    acknowledged.append(login)
                    break
                except StackError:
                    if stop.is_set():
                        return

    # Where a host is asked is in the database, not on the stream that one of them has.
    def test_EitherAsksAHostForItsQueueAndItsTrace(self):
        for name in ("provd", OTHER):
            with self.subTest(name):
                self.assertIn("nothing of that kind", self.through(name, "queue", "show", "relay1"))
                self.assertIn("no host knows", self.through(name, "trace", f"nobody@{DOMAIN}"))

    def test_FrozenProvdIsReplacedAndComesBackWithoutHarm(self):
        stop, acknowledged = threading.Event(), []
        writers = [threading.Thread(target=self.write_until_stopped, args=("frozen-", writer, stop, acknowledged))
                   for writer in range(WRITERS)]
        for writer in writers:
            writer.start()
        frozen_turn = 0
        try:
            for _ in range(FREEZES):
                goal = len(acknowledged) + self.random.randint(2, 3 * WRITERS)
                wait_until(lambda goal=goal: len(acknowledged) >= goal, "more writes")
                os.kill(self.stack.processes.pid("provd"), signal.SIGSTOP)
                try:
                    # Writes go on through the other one, whatever the first one held, and reach the directory.
                    goal = len(acknowledged) + 2 * WRITERS
                    wait_until(lambda goal=goal: len(acknowledged) >= goal, "writes through the other provd")
                    head = int(self.stack.postgres.psql("SELECT value FROM prov.revision"))
                    wait_until(lambda head=head: self.applied(OTHER) >= head, "the other provd to publish")
                    frozen_turn += 1
                finally:
                    os.kill(self.stack.processes.pid("provd"), signal.SIGCONT)
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        self.assertEqual(frozen_turn, FREEZES)
        self.stack.provctl("wait", "--timeout", "60s")  # the host follows that one
        self.assertIsNotNone(self.turn_holder())
        self.assert_clean("frozen-", acknowledged)

    def frozen_in_a_write(self):
        """Freezes the first provd; whether that was in the middle of a transaction that has the revision locked."""
        os.kill(self.stack.processes.pid("provd"), signal.SIGSTOP)
        holders = self.stack.postgres.psql(
            "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE state = 'idle in transaction' AND "
            "relation = 'prov.revision'::regclass AND mode = 'RowShareLock' AND granted")
        if int(holders) > 0:
            return True
        os.kill(self.stack.processes.pid("provd"), signal.SIGCONT)
        return False

    def test_ProvdFrozenInTheMiddleOfAWriteHoldsNobodyUp(self):
        path, ended = self.stack.path("rows.ndjson"), []
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"login": f"row-{n}@{DOMAIN}"}) + "\n" for n in range(ROWS))
        importer = threading.Thread(target=lambda: ended.append(self.through("provd", "import", path, "--timeout", "1m")))
        importer.start()
        try:
            wait_until(self.frozen_in_a_write, "provd to be frozen in the middle of a write")
            self.through(OTHER, "add-user", self.new_login(), "--no-password", "--timeout", "20s")
        finally:
            os.kill(self.stack.processes.pid("provd"), signal.SIGCONT)
            importer.join()
        self.assertTrue(ended)
        self.stack.provctl("wait", "--timeout", "60s")
        self.assert_clean("row-", [f"row-{n}@{DOMAIN}" for n in range(ROWS)])

    def assert_clean(self, prefix, acknowledged):
        listed = [json.loads(line)["login"] for line in
                  self.through(OTHER, "export", "--filter", f'login = "{prefix}*"').splitlines()]
        self.assertEqual(len(set(listed)), len(listed))
        self.assertLessEqual(set(acknowledged), set(listed))
        self.assertEqual(sorted(self.stack.slapd.logins(prefix)), sorted(listed))
        made, head, compacted, revisions = self.stack.postgres.psql(
            f"SELECT (SELECT count(*) FROM prov.audit WHERE code = 0 AND before = '' AND after LIKE '%\"{prefix}%'), value, "
            "compacted, (SELECT count(DISTINCT revision) FROM prov.change) FROM prov.revision").split("|")
        self.assertEqual(int(made), len(listed))
        self.assertEqual(int(revisions), int(head) - int(compacted))
        self.stack.provctl("audit", "verify")
        for name in ("provd", OTHER):
            self.through(name, "directory", "verify")

    def test_PublishingProvdThatDiesIsReplacedAtOnce(self):
        self.stack.processes.kill("provd")
        self.stack.slapd.start()  # as its supervisor does; see Slapd.start
        try:
            login = self.new_login()
            self.through(OTHER, "add-user", login, "--no-password", "--timeout", "30s")
            head = int(self.stack.postgres.psql("SELECT value FROM prov.revision"))
            wait_until(lambda: self.applied(OTHER) >= head, "the other provd to publish")
            self.assertEqual(self.stack.slapd.logins(login), [login])
        finally:
            self.stack.start_provd()
        self.stack.provctl("wait", "--timeout", "60s")
        self.assertIsNotNone(self.turn_holder())


if __name__ == "__main__":
    case.main()
