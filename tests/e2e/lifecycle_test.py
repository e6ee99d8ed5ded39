"""Suspend, resume, close, undelete, new password: what each does to login and to mail."""

import smtplib
import time

import case
from case import PASSWORD, SENDER, subject_message

NEW_PASSWORD = "Quartz7-helmet-sway"


class Lifecycle(case.StackCase):
    def rcpt_code(self, address):
        with self.relay() as client:
            client.ehlo("client.example.org")
            client.mail(SENDER)
            return client.rcpt(address)[0]

    def test_SuspendedIsRefusedAtOnceEvenWhenCachedAndStillGetsMail(self):
        login = self.add_user()
        for _ in range(3):  # the credential is cached now
            self.assertTrue(self.can_log_in(login))
        self.stack.provctl("suspend-user", login, "--reason", "unpaid", "--wait")
        start = time.monotonic()
        self.assertFalse(self.can_log_in(login))
        self.assertLess(time.monotonic() - start, 30)
        self.send(login, subject_message("while suspended"))
        self.stack.provctl("resume-user", login, "--wait")
        self.wait_for_text(login, b"Subject: while suspended")

    def test_DirectoryItselfRefusesTheSuspended(self):
        login = self.add_user()
        self.assertTrue(self.stack.slapd.can_bind(login, PASSWORD))
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertFalse(self.stack.slapd.can_bind(login, PASSWORD))
        self.stack.provctl("resume-user", login, "--wait")
        self.assertTrue(self.stack.slapd.can_bind(login, PASSWORD))

    def test_DeletedIsRefusedAtRcptAndUndeletedLosesNothing(self):
        login = self.add_user("--label", "billing=4711")
        self.stack.provctl("add-alias", login, f"alias.{login}", "--wait")
        self.send(login, subject_message("before"))
        self.wait_for_text(login, b"Subject: before")
        self.stack.provctl("delete-user", login, "--wait")
        self.assertEqual(self.rcpt_code(login), 550)
        self.assertEqual(self.rcpt_code(f"alias.{login}"), 550)
        self.assertFalse(self.can_log_in(login))
        self.assertEqual(self.stack.provctl_json("show-user", login)["state"], "CLOSED")
        self.stack.provctl("undelete-user", login, "--wait")
        self.assertEqual(self.rcpt_code(f"alias.{login}"), 250)
        self.wait_for_text(login, b"Subject: before")
        self.assertEqual(self.stack.provctl_json("show-user", login)["labels"], {"billing": "4711"})

    def test_LoginOfAClosedSubscriberIsNotGivenToAnother(self):
        login = self.add_user()
        self.stack.provctl("delete-user", login, "--wait")
        self.stack.provctl("add-user", login, "--password-stdin", stdin=PASSWORD + "\n", allow=(4,))

    def test_NewPasswordEndsTheOldOneEvenWhenCached(self):
        login = self.add_user()
        self.assertTrue(self.can_log_in(login))
        self.stack.provctl("set-password", login, "--password-stdin", "--wait", stdin=NEW_PASSWORD + "\n")
        self.assertFalse(self.can_log_in(login))
        self.assertTrue(self.can_log_in(login, NEW_PASSWORD))

    def test_SubscriberWithoutMailHasNoMailbox(self):
        login = self.add_user("--no-mail", "--ftp")
        self.assertEqual(self.rcpt_code(login), 550)
        self.assertFalse(self.can_log_in(login))

    def test_DataPlanesStandAloneWithoutProvdPostgresAndDirectory(self):
        login = self.add_user()
        self.assertTrue(self.can_log_in(login))  # cached from now on
        processes = self.stack.processes
        for name in ("provd", "slapd"):
            processes.kill(name)
        processes.stop("postgres", with_signal=3)
        try:
            self.send(login, subject_message("all alone"))
            self.wait_for_text(login, b"Subject: all alone")
            uncached = "someone-else@" + case.DOMAIN
            with self.relay() as client:
                client.ehlo("client.example.org")
                client.mail(SENDER)
                # Known for sure only while provd was heard a moment ago; never accepted, either way.
                self.assertIn(client.rcpt(uncached)[0], (450, 451, 550))
        finally:
            self.stack.start_servers()
            self.stack.start_provd()
            self.stack.provctl("wait", "--timeout", "60s")


if __name__ == "__main__":
    case.main()
