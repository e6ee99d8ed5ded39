"""What a person changes on a host is told of, and then mended, or left if the host was told so."""

import os
import shutil

import case
from case import subject_message, wait_until

DRIFT = 9


class Drift(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.agent_tables["ftp1"] = '\n[inspection]\nevery = "1s"\n'
        stack.agent_tables["web1"] = '\n[inspection]\nevery = "1s"\nrepair = false\n'

    def mailbox(self, login):
        uid = self.stack.provctl_json("show-user", login)["uid"]
        return next(os.path.join(directory, uid) for directory, names, _ in os.walk(self.stack.mail_root("main"))
                    if uid in names)

    def accounts(self, host):
        return self.stack.path("hosts", host, "root", "etc", "passwd.cache")

    def edit_accounts(self, host):
        """As a person with an editor does: another file under the name."""
        path = self.accounts(host)
        with open(path, encoding="utf-8") as file:
            content = file.read()
        with open(path + ".edited", "w", encoding="utf-8") as file:
            file.write(content + "mallory:x:0:0::/root:/bin/sh\n")
        os.rename(path + ".edited", path)

    def inspection(self, host):
        return self.stack.provctl_json("show-host", host)["progress"][0].get("inspection", {})

    def drifts(self, host):
        return [drift["difference"] for drift in self.inspection(host).get("drifts", [])]

    def test_AskingTellsWhatDiffersAndRepairMendsIt(self):
        login = self.add_user()
        self.stack.provctl("inspect-host", "store1")
        shutil.rmtree(os.path.join(self.mailbox(login), "new"))
        told = self.stack.provctl("inspect-host", "store1", allow=(DRIFT,))
        self.assertIn("has no new", told)
        self.assertFalse(os.path.exists(os.path.join(self.mailbox(login), "new")), "it was asked to look only")
        self.assertIn("1 drifting", self.stack.provctl("list-hosts"))
        told = self.stack.provctl("inspect-host", "store1", "--repair")
        self.assertIn("has no new", told)
        self.assertIn("store1 has what its view says", told)
        self.send(login, subject_message("after"))
        wait_until(lambda: len(self.messages(login)) == 1, "the mail to be read")

    def test_AMailboxThatItsOwnerMayNotUseIsTold(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a mailbox to somebody else")
        login = self.add_user()
        place = os.path.join(self.mailbox(login), "cur")
        owner = os.stat(place)
        os.chown(place, 0, 0)
        try:
            self.assertIn("cur cannot be used by its owner", self.stack.provctl("inspect-host", "store1", allow=(DRIFT,)))
        finally:
            os.chown(place, owner.st_uid, owner.st_gid)
        self.stack.provctl("inspect-host", "store1")

    def test_WhatTheScheduleFindsIsToldAndThenMended(self):
        self.add_user("--ftp")
        wait_until(lambda: self.inspection("ftp1").get("end_time"), "an inspection by schedule")
        self.edit_accounts("ftp1")

        def is_mended():
            with open(self.accounts("ftp1"), encoding="utf-8") as file:
                return "mallory" not in file.read()
        wait_until(is_mended, "the accounts to be mended")
        self.assertIn("1 added (mallory)", self.stack.processes.log_tail("ftp1", 200))

    def test_WhatAHostIsToldToLeaveIsToldAndLeft(self):
        self.add_user("--web")
        self.edit_accounts("web1")
        wait_until(lambda: any("1 added (mallory)" in text for text in self.drifts("web1")), "the drift to be told")
        seen = self.inspection("web1")["begin_time"]
        wait_until(lambda: self.inspection("web1")["begin_time"] > seen, "another inspection")
        with open(self.accounts("web1"), encoding="utf-8") as file:
            self.assertIn("mallory", file.read())
        self.assertIn("drifting", self.stack.provctl("list-hosts"))
        self.stack.provctl("inspect-host", "web1", "--repair")
        with open(self.accounts("web1"), encoding="utf-8") as file:
            self.assertNotIn("mallory", file.read())

    def test_AHostThatIsAwayIsSaidSo(self):
        self.stack.processes.stop("list1")
        told = self.stack.provctl("inspect-host", "list1", allow=(7,))
        self.assertEqual(told, "")
        self.stack.start_agent("list1")
        wait_until(lambda: self.inspection("list1").get("number") == "1", "the inspection that was asked for")


if __name__ == "__main__":
    case.main()
