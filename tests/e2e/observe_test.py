"""What a monitoring system and a script see: provctl watch, and provd's metrics over HTTP."""

import json
import os
import re
import signal
import subprocess
import urllib.request

import case
from case import DOMAIN, StackError, wait_until


class Observe(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] == "store1"]

    def head(self):
        return int(self.stack.provctl_json("status")["head_revision"])

    # provctl watch -----------------------------------------------------------------------------------------------

    def watch(self, after):
        """A running `provctl watch`, and a function that reads the changes that it has told so far."""
        case.StackCase.counter += 1
        path = self.stack.path(f"watched-{case.StackCase.counter}")
        with open(path, "wb") as out:
            process = subprocess.Popen([self.stack.path("provctl"), "watch", "--after", str(after), "-o", "json"],
                                       stdout=out, stderr=subprocess.DEVNULL)

        def told():
            with open(path, encoding="utf-8") as file:
                text = file.read()
            changes, decoder = [], json.JSONDecoder()
            while text := text.lstrip():
                try:
                    change, end = decoder.raw_decode(text)
                except json.JSONDecodeError:
                    break  # half written
                changes.append((int(change["revision"]), change["resource"], change.get("removed", False)))
                text = text[end:]
            return changes
        return process, told

    def test_WatchTellsEachChangeOnceAndGoesOnWhenProvdComesBack(self):
        start = self.head()
        process, told = self.watch(start)
        try:
            self.stack.provctl("add-domain", "watched.example")
            self.stack.provctl("delete-domain", "watched.example")
            wait_until(lambda: len(told()) >= 2, "two changes")
            self.assertEqual(told(), [(start + 1, "domains/watched.example", False),
                                      (start + 2, "domains/watched.example", True)])
            self.stack.processes.kill("provd")
            self.stack.start_provd()
            self.stack.slapd.start()  # as its supervisor does; see Slapd.start
            name = self.stack.provctl_json("add-user", self.new_login(), "--no-password")["name"]
            wait_until(lambda: any(resource == name for _, resource, _ in told()), "the change after the restart")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
        # The revision that was told last may come again, for it may have had more changes; nothing else does.
        revisions = [revision for revision, _, _ in told()]
        self.assertEqual(revisions, sorted(revisions))
        self.assertEqual(sorted(set(revisions)), list(range(start + 1, self.head() + 1)))
        self.assertLessEqual(len(told()) - len(set(told())), 1)
        # A script that comes back later goes on where it was.
        process, again = self.watch(start + 1)
        wait_until(lambda: again()[-1:] == told()[-1:], "the same changes from the log")
        process.kill()
        process.wait()
        self.assertEqual(again(), [change for change in dict.fromkeys(told()) if change[0] > start + 1])

    def test_WatchEndsWithItsReader(self):
        start = self.head()
        self.stack.provctl("add-user", self.new_login(), "--no-password")
        watch = subprocess.Popen([self.stack.path("provctl"), "watch", "--after", str(start)], stdout=subprocess.PIPE)
        self.assertIn(b"subscribers/", watch.stdout.readline())
        watch.stdout.close()
        self.stack.provctl("add-user", self.new_login(), "--no-password")
        watch.wait(timeout=30)

    def test_WatchFromTheFutureIsRefused(self):
        with self.assertRaises(StackError) as refused:
            self.stack.provctl("watch", "--after", str(self.head() + 1000))
        self.assertIn("is not written yet", str(refused.exception))

    # Metrics -----------------------------------------------------------------------------------------------------

    def metrics(self):
        """All that is served, by name and labels as they stand there."""
        with urllib.request.urlopen(f"http://{self.stack.address('metrics')}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def metric(self, name, **labels):
        """The one that has these labels; 0 if there is none, as a counter that has not counted."""
        found = [value for key, value in self.metrics().items() if re.split("[{ ]", key)[0] == name and
                 all(f'{label}="{text}"' in key for label, text in labels.items())]
        self.assertLessEqual(len(found), 1, (name, labels))
        return found[0] if found else 0

    def test_CallsAreCountedAndTimedByMethod(self):
        method = "/prov.v1.Subscribers/CreateSubscriber"

        def numbers():
            return (self.metric("prov_api_calls_total", method=method, code="OK"),
                    self.metric("prov_api_calls_total", method=method, code="INVALID_ARGUMENT"),
                    self.metric("prov_api_seconds_count", method=method))
        before = numbers()
        for _ in range(3):
            self.stack.provctl("add-user", self.new_login(), "--no-password")
        self.stack.provctl("add-user", f"a b@{DOMAIN}", "--no-password", allow=(5,))
        self.assertEqual(tuple(b - a for a, b in zip(before, numbers())), (3, 1, 4))
        slowest = self.metric("prov_api_seconds_bucket", method=method, le="10")
        self.assertEqual(slowest, self.metric("prov_api_seconds_count", method=method))
        self.assertGreater(self.metric("prov_api_seconds_sum", method=method), 0)
        self.assertLessEqual(self.metric("prov_api_seconds_bucket", method=method, le="0.001"), slowest)

    def test_FollowersTellHowFarTheyAre(self):
        self.add_user()  # and waits for it
        head = self.head()
        for follower in ("directory", "hosts/store1"):
            self.assertEqual(self.metric("prov_applied_revision", follower=follower), head)
            self.assertEqual(self.metric("prov_lag_revisions", follower=follower), 0)
            self.assertEqual(self.metric("prov_follower_state", follower=follower, state="current"), 1)
        self.assertEqual(self.metric("prov_head_revision"), head)
        os.kill(self.stack.processes.pid("store1"), signal.SIGSTOP)
        try:
            for _ in range(3):
                self.stack.provctl("add-user", self.new_login(), "--no-password")
            self.assertEqual(self.metric("prov_head_revision"), head + 3)
            self.assertEqual(self.metric("prov_lag_revisions", follower="hosts/store1"), 3)
            self.assertEqual(self.metric("prov_applied_revision", follower="hosts/store1", role="store"), head)
            wait_until(lambda: self.metric("prov_lag_revisions", follower="directory") == 0, "the directory to have them")
            self.assertEqual(sum(self.metric("prov_follower_state", follower="hosts/store1", state=state)
                                 for state in ("behind", "stuck")), 1)  # stuck after some seconds
        finally:
            os.kill(self.stack.processes.pid("store1"), signal.SIGCONT)
        wait_until(lambda: self.metric("prov_lag_revisions", follower="hosts/store1") == 0, "the host to catch up")

    def test_FailingItemsAreCountedUntilTheyAreMended(self):
        slapd, login = self.stack.slapd, self.new_login()

        def ldap(tool, *arguments, ldif=""):
            subprocess.run([tool, "-x", "-H", slapd.ldapi, "-D", slapd.publisher_dn, "-y", slapd.publisher_password_file,
                            *arguments], input=ldif.encode(), stdout=subprocess.DEVNULL, check=True, timeout=60)
        # In the way, and no subscriber: the directory will not make a person of it.
        dn = f"uid={login},ou=people,{slapd.base}"
        ldap("ldapadd", ldif=f"dn: {dn}\nobjectClass: account\nuid: {login}\n")
        self.stack.provctl("add-user", login, "--no-password")
        wait_until(lambda: self.metric("prov_failing_items", follower="directory") == 1, "the item to fail")
        self.assertEqual(self.metric("prov_failing_items", follower="hosts/store1"), 0)
        ldap("ldapdelete", dn)
        wait_until(lambda: self.metric("prov_failing_items", follower="directory") == 0, "the item to be mended")
        self.stack.provctl("directory", "verify")


if __name__ == "__main__":
    case.main()
