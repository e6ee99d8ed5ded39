"""The directory is full: provd goes on, says so in words, and catches up when there is room (I1, I4).

Full is its disk, a small file system of the test's own in a mount namespace of its own: what is left behind by a test that
was killed is gone with its last process. That takes root; for others this one is skipped. Or full is its database."""

import json
import os
import subprocess
import sys
import unittest

import case
from case import DOMAIN, PASSWORD, wait_until

ROWS = 2500
SMALL, LARGE = 2 << 20, 256 << 20
OWN_MOUNTS = "PROV_TEST_OWN_MOUNTS"


class Full:
    """What holds for either. Subclasses resize() the directory."""

    @classmethod
    def configure(cls, stack):
        # One that follows everybody, and makes no maildirs.
        stack.hosts = [host for host in stack.hosts if host[0] == "relay1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.provctl("add-pool", "main", "--role", "store")

    def directory(self):
        return next(follower for follower in self.stack.provctl_json("status")["followers"]
                    if follower["name"] == "directory")

    def import_rows(self, prefix, number):
        path = self.stack.path("rows.ndjson")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"login": f"{prefix}{n}@{DOMAIN}", "display_name": "x" * 200}) + "\n"
                            for n in range(number))
        self.stack.provctl("import", path)

    def test_FullDirectoryIsToldAndOutlived(self):
        provd = self.stack.processes.pid("provd")
        early = self.add_user()
        self.import_rows("full-", ROWS)
        stuck = wait_until(lambda: next((f for f in [self.directory()] if f["state"] == "STUCK"), None),
                           "the directory to be stuck")
        self.assertIn("is its disk full, or olcDbMaxSize reached?", stuck["cause"])
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

        self.resize(LARGE)
        self.stack.provctl("wait", "--timeout", "60s")
        self.assertTrue(self.stack.slapd.can_bind(late, PASSWORD))
        self.stack.provctl("directory", "verify")
        self.assertEqual(self.stack.processes.pid("provd"), provd)


class DiskFull(Full, case.StackCase):
    @classmethod
    def configure(cls, stack):
        super().configure(stack)
        cls.database = os.path.join(stack.slapd.directory, "db")
        os.makedirs(cls.database)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", cls.database], check=True)

    @classmethod
    def setUpClass(cls):
        if OWN_MOUNTS not in os.environ:
            raise unittest.SkipTest("only root can make a small file system")
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        cls.stack.stop()
        subprocess.run(["umount", cls.database], check=True)
        super().tearDownClass()

    def resize(self, octets):
        subprocess.run(["mount", "-o", f"remount,size={octets}", self.database], check=True)


class DatabaseFull(Full, case.StackCase):
    def setUp(self):
        self.resize(SMALL)

    def resize(self, octets):
        """As an operator does: slapd takes its configuration while it is stopped."""
        stack = self.stack
        path = stack.slapd.directory + "/size.ldif"
        with open(path, "w", encoding="ascii") as file:
            file.write("dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcDbMaxSize\n"
                       f"olcDbMaxSize: {octets}\n")
        stack.processes.stop("slapd")
        stack.processes.run(["slapmodify", "-n", "0", "-F", stack.slapd.directory + "/slapd.d", "-l", path])
        stack.slapd.start()


def may_mount():
    """Whether we may have mounts of our own, and a small file system in them."""
    tried = f"mount -t tmpfs -o size={SMALL} tmpfs /mnt && umount /mnt"
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "sh", "-c", tried], capture_output=True,
                                                check=False).returncode == 0


if __name__ == "__main__":
    if OWN_MOUNTS not in os.environ and may_mount():
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv], {**os.environ, OWN_MOUNTS: "1"})
    case.main()
