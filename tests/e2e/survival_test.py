"""Long work while its servers die: nothing acknowledged is lost, nothing is doubled, no revision is left out (I2, I3)."""

import json
import os
import random
import re
import threading

import case
from case import DOMAIN, StackError, wait_until

KILLS = int(os.environ.get("PROV_KILLS", "8"))  # of provd
SERVER_KILLS = max(3, KILLS // 4)  # of PostgreSQL and slapd
ROWS = min(500 * KILLS, 20_000)
LOST_CHANGES = 4000  # those of an hour or so
WRITERS = 4


class Survival(case.StackCase):
    @classmethod
    def configure(cls, stack):
        # One that follows everybody, and makes no maildirs.
        stack.hosts = [host for host in stack.hosts if host[0] == "relay1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.provctl("add-pool", "main", "--role", "store")

    def setUp(self):
        self.random = random.Random(20261124)

    # What is there -----------------------------------------------------------------------------------------------

    def head(self):
        return int(self.stack.postgres.psql("SELECT value FROM prov.revision"))

    def cursor(self):
        """The revision that the directory says it stands at; 0 while it is away."""
        try:
            found = self.stack.slapd.search("publisher", "(objectClass=provCursor)", "provRevision")
        except StackError:
            return 0
        return int(re.search(r"^provRevision: (\d+)", found, re.M)[1])

    def directory(self):
        """How `provctl status` shows the directory."""
        return next(follower for follower in self.stack.provctl_json("status")["followers"]
                    if follower["name"] == "directory")

    def assert_clean(self, prefix, number):
        """Each row of the file is there once, was made once, and is in the directory; no revision is missing."""
        self.stack.provctl("wait", "--timeout", "100s")
        listed = [json.loads(line)["login"] for line in
                  self.stack.provctl("export", "--filter", f'login = "{prefix}*"').splitlines()]
        self.assertEqual(sorted(listed), sorted(f"{prefix}{n}@{DOMAIN}" for n in range(number)))
        self.assert_made_once(prefix, number)
        self.assert_gapless()
        self.stack.provctl("directory", "verify")

    def assert_made_once(self, prefix, number):
        self.assertEqual(
            int(self.stack.postgres.psql("SELECT count(*) FROM prov.audit WHERE code = 0 AND before = '' AND after "
                                         f"LIKE '%\"{prefix}%'")), number)

    def assert_gapless(self):
        head, compacted, revisions = self.stack.postgres.psql(
            "SELECT value, compacted, (SELECT count(DISTINCT revision) FROM prov.change) FROM prov.revision").split("|")
        self.assertEqual(int(revisions), int(head) - int(compacted))
        self.stack.provctl("audit", "verify")

    # What is done ------------------------------------------------------------------------------------------------

    def write_rows(self, prefix, number, **fields):
        path = self.stack.path(prefix + "-".join(fields.values()) + ".ndjson")
        with open(path, "w", encoding="utf-8") as file:
            for n in range(number):
                file.write(json.dumps({"login": f"{prefix}{n}@{DOMAIN}", **fields}) + "\n")
        return path

    def import_while(self, prefix, disturb, *options):
        """Imports as a user does whose import is cut off now and then, one of two files after the other so that there is
        always something to write, until disturb() is done and one import has come to its end after it."""
        paths = [self.write_rows(prefix, ROWS, plan=plan) for plan in ("one", "two")]
        ended, cut_off, disturbed = [], [], threading.Event()

        def import_again():
            while True:
                last_one = disturbed.is_set()
                try:
                    # Some are given up by provctl when provd is away, others go on with the one that comes back.
                    self.stack.provctl("import", paths[len(ended) % 2], *options, "--timeout",
                                       self.random.choice(["200ms", "1m"]))
                    ended.append(1)
                    if last_one:
                        return
                except StackError as error:
                    cut_off.append(str(error))
        user = threading.Thread(target=import_again)
        user.start()
        try:
            disturb()
        finally:
            disturbed.set()
            user.join()
            print(f"imports: {len(ended)} ended, {len(cut_off)} cut off", flush=True)

    # -------------------------------------------------------------------------------------------------------------

    def test_ImportWhoseProvdIsKilledManyTimesIsDoneOnce(self):
        def kill_many_times():
            for _ in range(KILLS):
                # Some requests later, none included: then provd dies as it begins.
                goal = self.head() + self.random.randint(0, 3)
                wait_until(lambda goal=goal: self.head() >= goal, "more rows")
                self.stack.processes.kill("provd")
                self.stack.start_provd()
                self.stack.slapd.start()  # as its supervisor does; see Slapd.start
        self.import_while("imported-", kill_many_times)
        self.stack.slapd.start()
        self.assert_clean("imported-", ROWS)

    def test_ImportGoesOnWhileTheDirectoryIsKilledInTheMiddleOfItsBatches(self):
        def kill_many_times():
            for _ in range(SERVER_KILLS):
                # It has moved, and the import goes on: the next batch is under way.
                before = self.cursor()
                wait_until(lambda before=before: self.cursor() > before, "the directory to follow")
                self.stack.processes.kill("slapd")
                self.stack.slapd.start()
        self.import_while("batched-", kill_many_times, "--wait")  # else it would run far ahead
        self.assert_clean("batched-", ROWS)

    def test_DatabaseRestartedUnderConcurrentWritesLosesAndDoublesNothing(self):
        stop, acknowledged = threading.Event(), []

        def write(writer):
            number = 0
            while not stop.is_set():
                login = f"written-{writer}-{number}@{DOMAIN}"
                number += 1
                while True:  # the same request id until it is answered
                    try:
                        self.stack.provctl("add-user", login, "--no-password", "--request-id", login, "--timeout", "5s")
                        acknowledged.append(login)
                        break
                    except StackError:
                        if stop.is_set():
                            return
        writers = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
        for writer in writers:
            writer.start()
        try:
            for _ in range(SERVER_KILLS):
                goal = len(acknowledged) + self.random.randint(1, 3 * WRITERS)
                wait_until(lambda goal=goal: len(acknowledged) >= goal, "more writes")
                self.stack.processes.stop("postgres", with_signal=3)  # immediate: as a crash, in mid-transaction
                self.stack.postgres.start()
            goal = len(acknowledged) + WRITERS
            wait_until(lambda: len(acknowledged) >= goal, "writes to go on")
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        listed = [json.loads(line)["login"] for line in
                  self.stack.provctl("export", "--filter", 'login = "written-*"').splitlines()]
        self.assertLessEqual(set(acknowledged), set(listed))
        self.assertEqual(len(set(listed)), len(listed))
        self.assert_made_once("written-", len(listed))
        self.assert_gapless()
        self.stack.provctl("wait", "--timeout", "100s")
        self.stack.provctl("directory", "verify")

    def test_DirectoryThatWasAwayForManyChangesCatchesUpByItself(self):
        provd = self.stack.processes.pid("provd")
        self.stack.provctl("import", self.write_rows("away-", 100, plan="before"), "--wait")
        self.stack.processes.kill("slapd")
        self.stack.provctl("import", self.write_rows("away-", LOST_CHANGES, plan="during"))
        for n in range(0, 40, 2):
            self.stack.provctl("suspend-user", f"away-{n}@{DOMAIN}", "--reason", "unpaid")
        status = self.directory()
        self.assertEqual(status["state"], "ABSENT")
        self.assertIn("slapd/run/ldapi: Connection refused", status["cause"])
        self.assertIn("NOT HEALTHY", self.stack.provctl("status"))
        self.stack.slapd.start()
        seen = set()

        def caught_up():
            state = self.directory()["state"]
            seen.add(state)
            return state == "CURRENT"
        wait_until(caught_up, "the directory to catch up")
        self.assertIn("BEHIND", seen)
        self.assertEqual(self.stack.processes.pid("provd"), provd)
        self.assert_clean("away-", LOST_CHANGES)
        self.assertIn("provState: suspended",
                      self.stack.slapd.search("publisher", f"(uid=away-0@{DOMAIN})", "provState"))


if __name__ == "__main__":
    case.main()
