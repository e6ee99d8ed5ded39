"""Hours without provd change nothing for users; what comes back brings only what differs."""

import os
import urllib.request

import case
from case import subject_message, wait_until
from processes import free_port

MAILBOX_PARTS = ("", "cur", "new", "tmp")


class Offline(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1", "pop1")]
        cls.metrics = f"127.0.0.1:{free_port(besides=stack.ports.values())}"
        stack.agent_keys["store1"] = f'metrics = "{cls.metrics}"\n'

    def applied_items(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=30) as answer:
            line = next(line for line in answer.read().decode().splitlines()
                        if line.startswith("prov_agent_applied_items{"))
        return float(line.split()[-1])

    def mailbox(self, login):
        uid = self.stack.provctl_json("show-user", login)["uid"]
        return next((os.path.join(directory, uid) for directory, names, _ in os.walk(self.stack.mail_root("main"))
                     if uid in names), None)

    def identity(self, mailbox):
        """Changes when anybody makes, removes, renames or gives away any of its directories."""
        stats = [os.stat(os.path.join(mailbox, part)) for part in MAILBOX_PARTS]
        return [(stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns, stat.st_uid) for stat in stats]

    def provd_log(self, since):
        with open(self.stack.processes.log_path("provd"), encoding="utf-8") as log:
            return log.read()[since:]

    def provd_log_size(self):
        return os.path.getsize(self.stack.processes.log_path("provd"))

    def test_UsersNoticeNothingAndHostsStartAgainWithoutProvd(self):
        login = self.add_user()
        self.assertTrue(self.can_log_in(login, port="pop3_proxy"))
        self.stack.processes.kill("provd")
        try:
            self.send(login, subject_message("while provd is away"))
            wait_until(lambda: len(self.messages(login, port="pop3_proxy")) == 1, "the mail to be read")
            for host in ("relay1", "store1", "pop1"):
                self.stack.processes.stop(host)
                self.stack.start_agent(host)  # ends when it is ready
            self.stack.wait_for_engines()
            self.send(login, subject_message("and after all have started again"))
            wait_until(lambda: len(self.messages(login, port="pop3_proxy")) == 2, "the mail to be read")
        finally:
            self.stack.start_provd()
        self.stack.provctl("wait", "--timeout", "60s")

    def change_while_store_is_away(self):
        """Ten mailboxes that stay as they are, one that goes, one that comes; what they were before."""
        users = [self.add_user() for _ in range(10)]
        gone = self.add_user()
        self.send(users[0], subject_message("kept"))
        self.wait_for_messages(users[0], 1)
        gone_mailbox = self.mailbox(gone)
        before = {login: self.identity(self.mailbox(login)) for login in users}
        self.stack.processes.stop("store1")
        self.stack.provctl("delete-user", gone)
        self.stack.provctl("purge-user", gone, "--yes")
        new = self.new_login()
        self.stack.provctl("add-user", new, "--no-password")
        return users, before, new, gone_mailbox

    def come_back(self):
        """Starts the store, and waits until it has caught up; what provd says meanwhile."""
        size = self.provd_log_size()
        self.stack.start_agent("store1")
        self.stack.wait_for_engines()
        self.stack.provctl("wait", "--timeout", "60s")
        return self.provd_log(size)

    def assert_only_the_difference(self, users, before, new, gone_mailbox):
        self.assertTrue(os.path.isdir(self.mailbox(new)))
        self.assertFalse(os.path.exists(gone_mailbox))
        self.assertEqual({login: self.identity(self.mailbox(login)) for login in users}, before)
        wait_until(lambda: self.applied_items() >= 2, "the metric")
        self.assertLessEqual(self.applied_items(), 2, "one came, one went")
        self.assertEqual(len(self.messages(users[0])), 1)

    def test_ADeltaBringsWhatHasChangedAndNothingElse(self):
        changed = self.change_while_store_is_away()
        self.assertNotIn("feed_snapshot", self.come_back())
        self.assert_only_the_difference(*changed)

    def test_ASnapshotOverAFullHostTouchesOnlyWhatDiffers(self):
        changed = self.change_while_store_is_away()
        # After a month the log no longer reaches back to where the store was.
        self.stack.provctl("wait", "--timeout", "5s", allow=(0, 8))
        self.stack.processes.stop("provd")
        self.stack.postgres.psql("UPDATE prov.change SET time = time - interval '31 days'")
        self.stack.start_provd()
        self.stack.slapd.start()
        wait_until(lambda: self.stack.postgres.psql("SELECT value - compacted FROM prov.revision") == "0",
                   "the log to be compacted")
        told = self.come_back()
        self.assertRegex(told, "feed_snapshot host=store1 .*because=compacted")
        self.assert_only_the_difference(*changed)


if __name__ == "__main__":
    case.main()
