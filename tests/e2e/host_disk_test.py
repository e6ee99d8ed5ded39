"""The disk below a store's maildirs can only be read: it is told, the agent goes on, and catches up (I4, I6).

It is a small file system in a mount namespace of the test's own, which takes root."""

import os
import subprocess
import sys
import unittest

import case
from case import PASSWORD, subject_message, wait_until
from directory_full_test import OWN_MOUNTS, may_mount

LARGE = 256 << 20


class HostDisk(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1")]
        stack.agent_tables["store1"] = '\n[inspection]\nevery = "1h"\n'
        cls.mounts = {"mail": stack.mail_root("main")}
        for path in cls.mounts.values():
            os.makedirs(path)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={LARGE}", "tmpfs", path], check=True)

    @classmethod
    def setUpClass(cls):
        if OWN_MOUNTS not in os.environ:
            raise unittest.SkipTest("only root can make a small file system")
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        cls.stack.stop()
        for path in cls.mounts.values():
            subprocess.run(["umount", "--lazy", path], check=True)
        super().tearDownClass()

    def remount(self, name, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.mounts[name]], check=True)

    def add_unwaited(self):
        login = self.new_login()
        self.stack.provctl("add-user", login, "--password-stdin", stdin=PASSWORD + "\n")
        return login

    def store1(self):
        return next(iter(self.stack.provctl_json("show-host", "store1").get("progress", [])), {})

    def wait_for_failing(self, text):
        """show-host tells it, and the agent has stayed up."""
        pid = self.stack.processes.pid("store1")
        wait_until(lambda: any(text in item["error"] for item in self.store1().get("failing", [])),
                   f"{text} to be told of store1")
        self.assertEqual(self.stack.processes.pid("store1"), pid)
        self.assertIn("NOT HEALTHY", self.stack.provctl("status"))

    def assert_mended(self, login):
        self.stack.provctl("wait", "--timeout", "100s")
        wait_until(lambda: int(self.store1().get("failing_items", 0)) == 0, "nothing to fail any more", 100)
        self.send(login, subject_message(login))
        self.wait_for_text(login, f"Subject: {login}".encode())

    def test_MaildirsCanOnlyBeRead(self):
        early = self.add_user()
        self.send(early, subject_message("before"))
        self.wait_for_text(early, b"Subject: before")
        self.remount("mail", "ro")
        self.addCleanup(self.remount, "mail", "rw")
        login = self.add_unwaited()
        self.wait_for_failing("Read-only file system")
        self.send(early, subject_message("meanwhile"))
        self.remount("mail", "rw")
        self.wait_for_text(early, b"Subject: meanwhile")
        self.assert_mended(login)


if __name__ == "__main__":
    if OWN_MOUNTS not in os.environ and may_mount():
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv], {**os.environ, OWN_MOUNTS: "1"})
    case.main()
