"""Pools and hosts come, change and go: placement by weight, drain, and a host that is gone."""

import os
import subprocess

import case
from case import StackError, subject_message, wait_until


class Fleet(case.StackCase):
    def host(self, name):
        return self.stack.provctl_json("show-host", name)

    def assert_refused(self, reason, *command):
        with self.assertRaises(StackError) as refused:
            self.stack.provctl(*command)
        self.assertIn(reason, str(refused.exception))

    def test_NewMailboxesGoWhereTheWeightIs(self):
        self.stack.provctl("add-pool", "second", "--role", "store", "--weight", "0")
        self.assertEqual(self.stack.provctl_json("show-user", self.add_user())["store_pool"], "pools/main")
        self.stack.provctl("update-pool", "second", "--weight", "5")
        self.stack.provctl("update-pool", "main", "--weight", "0")
        try:
            login = self.new_login()
            self.stack.provctl("add-user", login, "--no-password")
            self.assertEqual(self.stack.provctl_json("show-user", login)["store_pool"], "pools/second")
            self.assert_refused("mailboxes", "delete-pool", "second")
        finally:
            self.stack.provctl("update-pool", "main", "--weight", "1")
            self.stack.provctl("update-pool", "second", "--weight", "0")

    def test_OnlyAnEmptyPoolIsDeleted(self):
        self.stack.provctl("add-pool", "empty", "--role", "web")
        self.stack.provctl("delete-pool", "empty", "--dry-run")
        self.stack.provctl("delete-pool", "empty")
        self.assertNotIn("empty", self.stack.provctl("list-pools"))
        self.assert_refused("hosts", "delete-pool", "main")
        self.assert_refused("no pool", "delete-pool", "empty")

    def test_DrainedHostKeepsItsSessionsAndIsTakenBack(self):
        login = self.add_user()
        self.send(login, subject_message("kept"))
        self.wait_for_text(login, b"Subject: kept")
        session = self.pop3(login, port="pop3_proxy")
        self.stack.provctl("drain-host", "store1")
        self.stack.provctl("wait", "--timeout", "60s")
        self.assertEqual(self.host("store1")["state"], "DRAINED")
        self.assertEqual(session.stat()[0], 1)
        session.quit()
        # It goes on following: nothing is lost while it is drained, and the only host of a pool still serves.
        late = self.add_user()
        self.assertTrue(self.can_log_in(late))
        self.stack.provctl("undrain-host", "store1", "--wait")
        self.stack.provctl("undrain-host", "store1")  # already so
        self.assertEqual(self.host("store1")["state"], "SERVING")

    def test_HostInServiceIsNotDeletedAndAGoneOneIs(self):
        self.stack.provctl("add-host", "store9", "--pool", "main")
        self.assert_refused("drain-host", "delete-host", "store9")
        self.stack.provctl("update-host", "store9", "--weight", "7")
        self.assertEqual(self.host("store9")["weight"], 7)
        self.assert_refused("same role", "update-host", "store9", "--pool", "main", "--pool", "second-store")
        self.stack.provctl("drain-host", "store9")
        self.stack.provctl("delete-host", "store9")
        self.assert_refused("no host", "show-host", "store9")
        # Nobody waits for it any more.
        self.add_user()

    def test_DeletedHostsAgentFollowsNoLongerUntilItIsEnrolledAnew(self):
        self.stack.provctl("drain-host", "web1", "--wait")
        self.stack.provctl("delete-host", "web1")
        wait_until(lambda: "sync_lost" in self.stack.processes.log_tail("web1"), "web1 to be refused")
        self.assertNotIn("web1", self.stack.provctl("status", allow=(0, 1, 7)))
        token = self.stack.provctl_json("enrol-host", "web1", "--pool", "web")["token"]
        subprocess.run([os.path.join(self.stack.bin, "prov-agent"), "enrol", "--config",
                        self.stack.path("hosts", "web1", "agent.toml"), "--provd", self.stack.address("enrolment")],
                       input=token.encode() + b"\n", check=True, timeout=150)
        self.stack.processes.give(self.stack.path("tls", "web1.key"))
        wait_until(lambda: any(role.get("connected") for role in self.host("web1").get("progress", [])),
                   "web1 to follow again")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.provctl("add-pool", "second-store", "--role", "store", "--weight", "0")


if __name__ == "__main__":
    case.main()
