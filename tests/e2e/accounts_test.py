"""Unix accounts as the host's own programs see them: getent and id, in a mount namespace with the agent's files."""

import os
import subprocess
import unittest

import case
from host_etc import make_etc, within

NOT_FOUND = 2  # getent(1)


@unittest.skipIf(os.geteuid() != 0, "only root may make a mount namespace")
class Accounts(case.StackCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.etc = make_etc(cls.stack, "ftp1")

    def within(self, *command):
        done = subprocess.run(within(self.etc, "/etc", *command), check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
        return done.returncode, done.stdout.strip()

    def test_GetentAndIdFindTheAccount(self):
        login = self.add_user("--ftp", "--name", "Alice: the first")
        user = self.stack.provctl_json("show-user", login)
        uid = str(user["uid_number"])
        status, line = self.within("getent", "passwd", login)
        self.assertEqual(status, 0)
        name, password, number, group, gecos, home, shell = line.split(":")
        self.assertEqual((name, password, number, group, gecos, shell),
                         (login, "*", uid, uid, "Alice  the first", "/usr/sbin/nologin"))
        self.assertTrue(os.path.isdir(os.path.join(home, "files")), "the home is where the account says")
        self.assertEqual(self.within("getent", "passwd", uid), (0, line))
        self.assertEqual(self.within("getent", "group", login), (0, f"{login}:*:{uid}:"))
        self.assertEqual(self.within("getent", "group", uid), (0, f"{login}:*:{uid}:"))
        self.assertEqual(self.within("id", login), (0, f"uid={uid}({login}) gid={uid}({login}) groups={uid}({login})"))

    def test_SuspendedKeepsItsNameAndPurgedIsGone(self):
        login = self.add_user("--ftp")
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertEqual(self.within("id", "-un", login), (0, login))
        self.stack.provctl("delete-user", login, "--wait")
        self.assertEqual(self.within("id", "-un", login), (0, login))
        self.stack.provctl("purge-user", login, "--yes", "--wait")
        self.assertEqual(self.within("getent", "passwd", login), (NOT_FOUND, ""))

    def test_WhoMayNotUseFtpHasNoAccountThere(self):
        login = self.add_user()
        self.assertEqual(self.within("getent", "passwd", login), (NOT_FOUND, ""))

    def test_TheSystemsOwnAccountsComeFirst(self):
        self.assertEqual(self.within("id", "-u", "root"), (0, "0"))


if __name__ == "__main__":
    case.main()
