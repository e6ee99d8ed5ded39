"""A host's copy of the truth is spoilt, or doubled: it is said, and nothing is lost or bounced (I1, I5, I6)."""

import os
import shutil
import smtplib

import case
from case import SENDER, subject_message, wait_until
from processes import free_port

PAGE = 4096
RECIPIENT_REFUSED_FOR_GOOD = 500


class SpoiltState(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1", "ftp1")]

    def data(self, host):
        return self.stack.path("hosts", host, "state", "data.mdb")

    def spoil(self, host, first=2):
        """Overwrites all but the first pages, in place: a running program sees it too."""
        with open(self.data(host), "r+b") as file:
            file.seek(first * PAGE)
            file.write(b"\x5a" * (os.path.getsize(self.data(host)) - first * PAGE))

    def reply_of_relay(self, recipient):
        """What the relay says of a recipient; 421 when it is not there at all."""
        try:
            with self.relay() as client:
                client.helo("client.example.org")
                client.mail(SENDER)
                return client.rcpt(recipient)[0]
        except (OSError, smtplib.SMTPException):
            return 421

    def supervise(self, host):
        """As systemd does: starts the agent if it has ended."""
        if not self.stack.processes.pid(host):
            self.stack.start_agent(host, until="started")

    def test_SpoiltWhileStoppedItIsMadeAnewAndMeanwhileMailIsDeferred(self):
        login = self.add_user()
        for host in ("relay1", "store1"):
            self.stack.processes.stop(host)
            self.spoil(host)
        self.stack.processes.stop("provd")
        for host in ("relay1", "store1"):
            self.stack.start_agent(host, until="started")
            self.assertIn("state_broken", self.stack.processes.log_tail(host, 50))
            self.assertIn("provd sends everything again", self.stack.processes.log_tail(host, 50))
            self.assertTrue(os.path.exists(self.stack.path("hosts", host, "state", "broken.mdb")))
        self.stack.wait_for_engines()
        for recipient in (login, "nobody@example.net"):
            self.assertEqual(self.reply_of_relay(recipient) // 100, 4, recipient)
        self.assertFalse(self.can_log_in("nobody@example.net"))
        self.stack.start_provd()
        self.stack.slapd.start()
        self.stack.provctl("wait", "--timeout", "90s")
        self.send(login, subject_message("after"))
        self.wait_for_text(login, b"Subject: after")
        self.assertEqual(self.reply_of_relay("nobody@example.net") // 100, 5)

    def test_SpoiltWhileRunningItIsNoticedAndMadeAnew(self):
        login = self.add_user()
        broken = self.stack.path("hosts", "relay1", "state", "broken.mdb")
        if os.path.exists(broken):
            os.unlink(broken)
        self.spoil("relay1")
        replies = []

        def is_made_anew():
            self.supervise("relay1")
            replies.append(self.reply_of_relay(login))
            return os.path.exists(broken) and replies[-1] == 250
        wait_until(is_made_anew, "the copy to be made anew", 120)
        self.assertLess(max(replies), RECIPIENT_REFUSED_FOR_GOOD, replies)
        self.stack.provctl("wait", "--timeout", "90s")
        self.send(login, subject_message("spoilt"))
        self.wait_for_text(login, b"Subject: spoilt")

    def test_AccountsStayWhileTheCopyIsMadeAnew(self):
        login = self.add_user("--ftp")
        accounts = self.stack.path("hosts", "ftp1", "root", "etc", "passwd.cache")
        self.stack.processes.stop("ftp1")
        with open(accounts, encoding="utf-8") as file:
            before = file.read()
        self.assertIn(login, before)
        self.spoil("ftp1", first=0)
        with open(self.stack.path("hosts", "ftp1", "state", "lock.mdb"), "r+b") as file:
            file.write(b"\x5a" * PAGE)
        self.stack.processes.stop("provd")
        self.stack.start_agent("ftp1", until="started")
        self.assertIn("state_broken", self.stack.processes.log_tail("ftp1", 50))
        inode = os.stat(accounts).st_ino
        self.stack.start_provd()
        self.stack.slapd.start()
        self.stack.provctl("wait", "--timeout", "90s")
        with open(accounts, encoding="utf-8") as file:
            self.assertEqual(file.read(), before)
        self.assertEqual(os.stat(accounts).st_ino, inode, "what is so already is not written again")


class Clone(case.StackCase):
    """A machine was cloned with all that is on it, certificate and state too."""

    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] == "relay1"]

    def start_clone(self):
        """Another agent of the same configuration, with a copy of the state."""
        directory = self.stack.path("hosts", "clone")
        if not os.path.isdir(directory):
            shutil.copytree(self.stack.path("hosts", "relay1"), directory,
                            ignore=shutil.ignore_patterns("engine.status", "control"))
            with open(os.path.join(directory, "agent.toml"), encoding="utf-8") as file:
                text = file.read().replace("hosts/relay1", "hosts/clone")
            taken = set(self.stack.ports.values())
            for name in ("smtp_relay", "submission", "submissions", "control_relay1"):
                port = free_port(besides=taken)
                taken.add(port)
                text = text.replace(self.stack.address(name), f"127.0.0.1:{port}")
            with open(os.path.join(directory, "agent.toml"), "w", encoding="utf-8") as file:
                file.write(text)
            for base, folders, files in os.walk(directory):
                for name in (*folders, *files):
                    self.stack.processes.give(os.path.join(base, name))
            self.stack.processes.give(directory)
        self.stack.processes.start("clone", [os.path.join(self.stack.bin, "prov-agent"), "--config",
                                             os.path.join(directory, "agent.toml")], ready_line=" started ")

    def connections(self, name):
        with open(self.stack.processes.log_path(name), encoding="utf-8") as file:
            return file.read().count("sync_connected")

    def failing(self):
        progress = next(iter(self.stack.provctl_json("show-host", "relay1").get("progress", [])), {})
        return [item["key"] for item in progress.get("failing", [])]

    def test_SecondAgentIsRefusedAndTheFirstGoesOnUndisturbed(self):
        before = self.connections("relay1")
        self.start_clone()
        try:
            wait_until(lambda: "refused_as_a_second_agent" in self.stack.processes.log_tail("clone", 200),
                       "the second one to be refused")
            self.assertIn("another agent is relay1 already", self.stack.processes.log_tail("clone", 200))
            self.stack.provctl("add-pool", "main", "--role", "store", allow=(0, 4))
            self.add_user()
            wait_until(lambda: "identity" in self.failing(), "show-host to tell of it")
            self.assertIn("another agent", self.stack.provctl("show-host", "relay1"))
            self.assertIn("NOT HEALTHY", self.stack.provctl("status"))
            # One that is killed and started again is the same one.
            self.stack.processes.kill("relay1")
            self.stack.start_agent("relay1")
            self.add_user()
            self.assertEqual(self.connections("relay1"), before + 1)
            self.assertEqual(self.connections("clone"), 0)
            # One that is gone for good is replaced.
            self.stack.processes.stop("relay1")
            wait_until(lambda: self.connections("clone") == 1, "the second one to be let in", 90)
        finally:
            self.stack.processes.stop("clone")


if __name__ == "__main__":
    case.main()
