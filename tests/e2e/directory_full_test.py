"""The directory's disk is full: provd goes on, says so in words, and catches up when there is room (I1, I4).

A small file system of the test's own, in a mount namespace of its own: what is left behind by a test that was killed is
gone with its last process. That takes root; for others the test is skipped."""

import json
import os
import subprocess
import sys
import unittest

import case
from case import DOMAIN, PASSWORD, wait_until

ROWS = 6000
SMALL, LARGE = "size=4m", "size=256m"
OWN_MOUNTS = "PROV_TEST_OWN_MOUNTS"


class DirectoryFull(case.StackCase):
    @classmethod
    def configure(cls, stack):
        # One that follows everybody, and makes no maildirs.
        stack.hosts = [host for host in stack.hosts if host[0] == "relay1"]
        cls.database = os.path.join(stack.slapd.directory, "db")
        os.makedirs(cls.database)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL, "tmpfs", cls.database], capture_output=True, check=False)
        if mounted.returncode != 0:
            raise unittest.SkipTest(f"no file system of our own: {mounted.stderr.decode().strip()}")

    @classmethod
    def setUpClass(cls):
        if OWN_MOUNTS not in os.environ:
            raise unittest.SkipTest("only root can make a small file system")
        super().setUpClass()
        cls.stack.provctl("add-pool", "main", "--role", "store")

    @classmethod
    def tearDownClass(cls):
        cls.stack.stop()
        subprocess.run(["umount", cls.database], check=True)
        super().tearDownClass()

    def directory(self):
        return next(follower for follower in self.stack.provctl_json("status")["followers"]
                    if follower["name"] == "directory")

    def import_rows(self, prefix, number):
        path = self.stack.path("rows.ndjson")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"login": f"{prefix}{n}@{DOMAIN}", "display_name": "x" * 200}) + "\n"
                            for n in range(number))
        self.stack.provctl("import", path)

    def test_FullDiskIsToldAndOutlived(self):
        provd, slapd = self.stack.processes.pid("provd"), self.stack.processes.pid("slapd")
        early = self.add_user()
        self.import_rows("full-", ROWS)
        stuck = wait_until(lambda: next((f for f in [self.directory()] if f["state"] == "STUCK"), None),
                           "the directory to be stuck")
        self.assertIn("disk full", stuck["cause"])
        self.assertLess(int(stuck["applied_revision"]), int(self.stack.provctl_json("status")["head_revision"]))
        # No record is at fault, so none is set aside, to be tried again in minutes.
        self.assertEqual(int(stuck.get("failing_items", 0)), 0)
        # The API goes on, and so does who is in the directory.
        late = self.new_login()
        self.stack.provctl("add-user", late, "--password-stdin", stdin=PASSWORD + "\n")
        self.stack.provctl("suspend-user", f"full-1@{DOMAIN}", "--reason", "unpaid")
        self.assertEqual(self.stack.provctl_json("show-user", late)["login"], late)
        self.assertTrue(self.stack.slapd.can_bind(early, PASSWORD))
        self.assertFalse(self.stack.slapd.can_bind(late, PASSWORD))

        subprocess.run(["mount", "-o", "remount," + LARGE, self.database], check=True)
        self.stack.provctl("wait", "--timeout", "60s")
        self.assertTrue(self.stack.slapd.can_bind(late, PASSWORD))
        self.stack.provctl("directory", "verify")
        self.assertEqual(self.stack.processes.pid("provd"), provd)
        self.assertEqual(self.stack.processes.pid("slapd"), slapd)


if __name__ == "__main__":
    if os.geteuid() == 0 and OWN_MOUNTS not in os.environ:
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0:
            os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv], {**os.environ, OWN_MOUNTS: "1"})
    case.main()
