"""What cannot be applied is set aside with its error, told, tried again, and forgotten once it is mended (I4)."""

import os
import re

import case
from case import SENDER, subject_message, wait_until


class FailingItems(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1")]

    def failing(self):
        return self.stack.provctl_json("show-host", "store1")["progress"][0].get("failing", [])

    def hash_directory(self, login):
        """Where the login's mailbox will be, once it is made: the directory tells where below the root."""
        def told():
            entry = self.stack.slapd.search("mail", f"(uid={login})", "provMailboxPath")
            return re.search(r"^provMailboxPath: (\S+)$", entry, re.M)
        found = wait_until(told, "the directory to tell where the mailbox will be")
        return os.path.dirname(os.path.join(self.stack.mail_root("main"), found[1]))

    def block(self):
        """A subscriber whose maildir cannot be made, for a file is where its hash directory should be; that file."""
        self.stack.processes.stop("store1")
        while True:
            login = self.new_login()
            self.stack.provctl("add-user", login, "--no-password")
            path = self.hash_directory(login)
            if not os.path.exists(path):
                break
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.stack.processes.give(os.path.dirname(path))
        with open(path, "w", encoding="ascii") as file:
            file.write("somebody's notes\n")
        return login, path

    def test_OneThatCannotBeMadeStopsNobodyAndIsMadeOnceTheWayIsClear(self):
        login, path = self.block()
        self.stack.start_agent("store1")
        self.stack.wait_for_engines()
        pid = self.stack.processes.pid("store1")
        # It is set aside, and all others go on.
        other = self.add_user()
        self.send(other, subject_message("to the other"))
        self.wait_for_messages(other, 1)
        key = "subscribers/" + self.stack.provctl_json("show-user", login)["name"].split("/")[1]
        item = wait_until(lambda: next(iter(self.failing()), None), "the item to be told")
        self.assertEqual(item["key"], key)
        self.assertIn("maildirs: ", item["error"])
        shown = self.stack.provctl("show-host", "store1")
        self.assertIn(key, shown)
        self.assertRegex(shown, r"\(tried \d+ times?, again in \d+ s\)")
        status = self.stack.provctl("status")
        self.assertIn("NOT HEALTHY", status)
        self.assertIn("1 failing", status)
        # It is tried again and again, more and more seldom.
        wait_until(lambda: int(self.failing()[0]["attempts"]) >= 3, "the third attempt")
        self.assertIn(key, self.stack.provctl("show-host", "store1"))
        # Its mail is not lost, nor sent back.
        with self.relay() as client:
            client.sendmail(SENDER, [login], subject_message("to the failing one"))
        os.unlink(path)
        wait_until(lambda: not self.failing(), "it to be mended", 90)
        wait_until(lambda: self.stack.provctl_json("status")["healthy"], "all to be well")
        self.assertEqual(self.stack.processes.pid("store1"), pid, "without a restart")
        self.stack.provctl("set-password", login, "--password-stdin", "--wait", stdin=case.PASSWORD + "\n")
        self.wait_for_text(login, b"Subject: to the failing one")


if __name__ == "__main__":
    case.main()
