"""A subscriber changes their own password: pamtester and ldappasswd ask the directory, provd does it."""

import functools
import os
import subprocess
import threading
import unittest

import case
from case import PASSWORD

NEW = "kelp-Drum7-ostrich"
MOUNT_PAM = 'mount --bind "$1" /etc/pam.d; shift; exec pamtester "$@"'


class Password(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] == "store1"]

    def pamtester(self, login, *typed):
        """pamtester reads /etc/pam.d only: it sees ours there. Exit status and what it says."""
        done = subprocess.run(["unshare", "--mount", "sh", "-c", MOUNT_PAM, "sh", self.stack.path("pam.d"), "prov-pop3",
                               login, "chauthtok"], input="".join(line + "\n" for line in typed).encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        return done.returncode, done.stdout.decode(errors="replace")

    def secret(self, name, text):
        path = self.stack.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def ldappasswd(self, login, old, new, *arguments, bind=None):
        slapd = self.stack.slapd
        done = subprocess.run(["ldappasswd", "-x", "-H", slapd.ldapi, "-D", f"uid={login},ou=people,{slapd.base}", "-y",
                               self.secret(f"bind-{login}", bind or old or PASSWORD), "-T", self.secret(f"new-{login}", new),
                               *(["-t", self.secret(f"old-{login}", old)] if old else []), *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        return done.returncode, done.stdout.decode(errors="replace")

    def audit_of(self, login):
        return self.stack.provctl("audit", "list", "--resource", self.stack.provctl_json("show-user", login)["name"])

    @unittest.skipIf(os.geteuid() != 0, "PAM's files are put in place by root")
    def test_PamtesterChangesItAndTheOldOneEndsEverywhere(self):
        login = self.add_user()
        self.assertTrue(self.can_log_in(login))  # and is cached by the engine from now on
        status, text = self.pamtester(login, PASSWORD, NEW, NEW)
        self.assertEqual(status, 0, text)
        # The very next login at the directory knows it.
        self.assertTrue(self.stack.slapd.can_bind(login, NEW))
        self.assertFalse(self.stack.slapd.can_bind(login, PASSWORD))
        self.stack.provctl("wait", "--timeout", "60s")
        self.assertTrue(self.can_log_in(login, NEW))
        self.assertFalse(self.can_log_in(login, PASSWORD))
        # The truth has it, so that the directory can be compared and made anew.
        self.stack.provctl("directory", "verify")

    @unittest.skipIf(os.geteuid() != 0, "PAM's files are put in place by root")
    def test_AWeakPasswordIsRefusedInWords(self):
        login = self.add_user()
        status, text = self.pamtester(login, PASSWORD, "password", "password")
        self.assertNotEqual(status, 0)
        self.assertIn("weak", text)
        self.assertTrue(self.stack.slapd.can_bind(login, PASSWORD))

    def test_ItIsTheSubscribersOwnChangeInTheAuditLog(self):
        login = self.add_user()
        status, text = self.ldappasswd(login, PASSWORD, NEW)
        self.assertEqual(status, 0, text)
        self.assertIn(f"subscriber/{login}", self.audit_of(login))
        with open(self.stack.processes.log_path("provd"), encoding="utf-8") as log:
            told = log.read()
        self.assertIn("password_changed", told)
        for secret in (PASSWORD, NEW):
            self.assertNotIn(secret, told)
            self.assertNotIn(secret, self.audit_of(login))

    def test_NobodyChangesAnothersAndTheCurrentPasswordIsNeeded(self):
        login, other = self.add_user(), self.add_user()
        target = f"uid={other},ou=people,{self.stack.slapd.base}"
        for arguments, old, bind in (((target,), PASSWORD, None), ((), None, PASSWORD), ((), "wrong", PASSWORD)):
            status, text = self.ldappasswd(login, old, NEW, *arguments, bind=bind)
            self.assertNotEqual(status, 0, text)
        for one in (login, other):
            self.assertTrue(self.stack.slapd.can_bind(one, PASSWORD))

    def test_NobodyChangesItAgainAndAgain(self):
        login = self.add_user()
        for _ in range(5):
            status, text = self.ldappasswd(login, "wrong", NEW, bind=PASSWORD)
            self.assertNotEqual(status, 0)
            self.assertNotIn("too many changes", text)
        self.assertIn("too many changes", self.ldappasswd(login, PASSWORD, NEW)[1])
        self.assertTrue(self.stack.slapd.can_bind(login, PASSWORD))

    def test_WithoutProvdNothingIsChangedAndLoginsGoOn(self):
        login = self.add_user()
        self.stack.processes.kill("provd")
        try:
            self.assertNotEqual(self.ldappasswd(login, PASSWORD, NEW)[0], 0)
            self.assertTrue(self.stack.slapd.can_bind(login, PASSWORD))
        finally:
            self.stack.start_provd()
        self.stack.slapd.start()
        case.wait_until(lambda: self.ldappasswd(login, PASSWORD, NEW)[0] == 0, "the change")

    def test_ManyAtOnceLeaveRoomForLogins(self):
        logins = [self.add_user() for _ in range(6)]
        results = {}

        def change(login):
            results[login] = self.ldappasswd(login, PASSWORD, NEW)

        threads = [threading.Thread(target=change, args=(login,)) for login in logins]
        for thread in threads:
            thread.start()
        self.assertTrue(self.stack.slapd.can_bind(self.add_user(), PASSWORD))
        for thread in threads:
            thread.join()
        self.assertEqual(results.keys(), set(logins))
        for login, (status, text) in results.items():
            self.assertTrue(status == 0 or "busy" in text.lower(), text)
            password = NEW if status == 0 else PASSWORD
            case.wait_until(functools.partial(self.stack.slapd.can_bind, login, password), "the directory")


if __name__ == "__main__":
    case.main()
