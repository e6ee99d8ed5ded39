"""Postfix as the relay and Dovecot as the store, in place of ours, as integrations/ sets them up."""

import os
import poplib
import smtplib
import ssl
import unittest

import case
from case import DOMAIN, PASSWORD, SENDER, log_in, subject_message, wait_until
from dovecot import Dovecot
from postfix import Postfix


@unittest.skipIf(os.geteuid() != 0, "Postfix and Dovecot are started by root")
class PostfixAndDovecot(case.StackCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dovecot = Dovecot(cls.stack)
        cls.postfix = Postfix(cls.stack, store=f"127.0.0.1:{cls.dovecot.lmtp_port}",
                              list_host=f"[127.0.0.1]:{cls.stack.ports['smtp_relay']}", auth_socket=cls.dovecot.auth_socket)
        try:
            cls.dovecot.start()
            cls.postfix.start()
        except BaseException:
            case.show_logs(cls.stack)
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.postfix.stop()
        cls.dovecot.stop()
        super().tearDownClass()

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            print(self.postfix.log()[-4000:])
        return result

    def relay(self):
        return smtplib.SMTP("127.0.0.1", self.postfix.port, timeout=60)

    def context(self):
        return ssl.create_default_context(cafile=self.stack.path("tls", "ca.pem"))

    def pop3(self, login, password=PASSWORD, port="pop3"):
        if port != "pop3":
            return super().pop3(login, password, port)
        client = poplib.POP3_SSL("127.0.0.1", self.dovecot.pop3s_port, timeout=60, context=self.context())
        return log_in(client, login, password)

    def refused(self, recipient):
        """Status of the refusal of RCPT; 0: it was not refused."""
        with self.relay() as client:
            client.helo("client.example.org")
            client.mail(SENDER)
            status, text = client.rcpt(recipient)
            return 0 if status == 250 else status

    def test_MailIsDeliveredAndRead(self):
        login = self.add_user()
        self.stack.provctl("add-alias", login, f"alias-of-first@{DOMAIN}", "--wait")
        self.send(login, subject_message("by postfix"))
        self.send(f"alias-of-first@{DOMAIN}", subject_message("to the alias"))
        self.wait_for_text(login, b"Subject: by postfix")
        self.wait_for_text(login, b"Subject: to the alias")

    def test_OurEngineAndDovecotServeTheSameMailbox(self):
        login = self.add_user()
        self.send(login, subject_message("seen by both"))
        self.wait_for_text(login, b"Subject: seen by both")
        theirs, ours = self.pop3(login), super().pop3(login)
        self.addCleanup(ours.close)
        self.assertEqual(theirs.uidl()[1], ours.uidl()[1], "a change of the program makes nobody fetch mail twice")
        theirs.quit()

    def test_UnknownIsRefusedAndElsewhereIsNotRelayed(self):
        self.assertEqual(self.refused(f"nobody@{DOMAIN}"), 550)
        self.assertEqual(self.refused("somebody@elsewhere.example.org"), 554)

    def test_WhoWasAddedAMomentAgoHasMailAtOnce(self):
        login = self.new_login()
        self.assertEqual(self.refused(login), 550)
        self.add_user(login=login)
        self.send(login, subject_message("at once"))
        self.wait_for_text(login, b"Subject: at once")

    def test_ForwardsWithAndWithoutCopy(self):
        target = self.add_user()
        keeps, hands_on = self.add_user(), self.add_user()
        self.stack.provctl("set-forward", keeps, target, "--keep-copy", "--wait")
        self.stack.provctl("set-forward", hands_on, target, "--wait")
        self.send(keeps, subject_message("kept and forwarded"))
        self.send(hands_on, subject_message("only forwarded"))
        self.wait_for_text(keeps, b"Subject: kept and forwarded")
        self.wait_for_text(target, b"Subject: kept and forwarded")
        self.wait_for_text(target, b"Subject: only forwarded")
        self.assertEqual(self.messages(hands_on), [])

    def test_AliasDomainsAndCatchAll(self):
        login = self.add_user()
        local_part = login.split("@")[0]
        self.stack.provctl("add-domain", "other.example.net", "--alias-of", DOMAIN, "--wait")
        self.send(f"{local_part}@other.example.net", subject_message("by the other name"))
        self.wait_for_text(login, b"Subject: by the other name")
        self.assertEqual(self.refused("nobody@other.example.net"), 550)
        self.stack.provctl("add-domain", "all.example.net", "--wait")
        self.stack.provctl("update-domain", "all.example.net", "--catch-all", login, "--wait")
        taken = self.add_user(login="taken@all.example.net")
        self.send("whoever@all.example.net", subject_message("caught"))
        self.wait_for_text(login, b"Subject: caught")
        self.send(taken, subject_message("not caught"))
        self.wait_for_text(taken, b"Subject: not caught")
        self.assertFalse(any(b"not caught" in message for message in self.messages(login)))

    def test_SuspendedMayNotLogInAndStillGetsMail(self):
        login = self.add_user()
        self.assertTrue(self.can_log_in(login))
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertFalse(self.can_log_in(login))
        self.send(login, subject_message("meanwhile"))
        self.stack.provctl("resume-user", login, "--wait")
        self.wait_for_text(login, b"Subject: meanwhile")

    def test_SuspendedMailIsDeferredWhereTheDomainSaysSo(self):
        self.stack.provctl("add-domain", "later.example.net", "--suspended-mail", "defer", "--wait")
        login = self.add_user(login="a@later.example.net")
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertEqual(self.refused(login), 450)

    def test_SuspendedMailIsRefusedWhereTheDomainSaysSo(self):
        self.stack.provctl("add-domain", "never.example.net", "--suspended-mail", "reject", "--wait")
        login = self.add_user(login="a@never.example.net")
        self.assertEqual(self.refused(login), 0)
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertEqual(self.refused(login), 550)

    def test_MailForAListGoesToItsPool(self):
        address = f"staff@{DOMAIN}"
        self.stack.provctl("add-list", address, "--owner", "owner@example.org", "--wait")
        self.assertEqual(self.refused(address), 0)
        self.assertEqual(self.postfix.look_up("list-pools", address), f"smtp:{self.postfix.words['LIST_HOST']}")
        self.assertEqual(self.postfix.look_up("store-pools", address), "")

    def test_WrongPasswordAndNoEntitlementAreRefused(self):
        login = self.add_user()
        self.assertFalse(self.can_log_in(login, "wrong"))
        without_mail = self.add_user("--no-mail", "--ftp")
        self.assertFalse(self.can_log_in(without_mail))

    def test_SubmissionIsForWhoLogsInAndUnderOwnAddressesOnly(self):
        login, other = self.add_user(), self.add_user()
        client = smtplib.SMTP("127.0.0.1", self.postfix.submission_port, timeout=60)
        self.addCleanup(client.close)
        client.starttls(context=self.context())
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            client.sendmail(login, [other], subject_message("without login"))
        client.login(login, PASSWORD)
        client.sendmail(login, [other], subject_message("submitted"))
        self.wait_for_text(other, b"Subject: submitted")
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            client.sendmail(other, [login], subject_message("in another's name"))

    def test_WithoutTheDirectoryMailIsDeferredNotBounced(self):
        login = self.add_user()
        self.stack.slapd.processes.stop("slapd")
        try:
            self.assertEqual(self.refused(login) // 100, 4)
            self.assertEqual(self.refused(f"nobody@{DOMAIN}") // 100, 4)
        finally:
            self.stack.slapd.start()
        wait_until(lambda: self.refused(login) == 0, "Postfix to ask the directory again")

    def test_FullMailboxIsToldForAWhile(self):
        login = self.add_user("--quota", "20K")
        self.send(login, subject_message("fits"))
        self.wait_for_text(login, b"Subject: fits")
        self.send(login, subject_message("too large") + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 600)
        told = wait_until(lambda: next((line for line in self.postfix.log().splitlines() if "Quota exceeded" in line), None),
                          "the store to refuse it")
        self.assertIn("status=deferred", told)


@unittest.skipIf(os.geteuid() != 0, "Dovecot is started by root")
class DovecotThroughPam(case.StackCase):
    def test_PamProvLetsInWhoMayRead(self):
        dovecot = Dovecot(self.stack, passdb="pam")
        dovecot.start()
        self.addCleanup(dovecot.stop)
        login = self.add_user()


        def attempt(password):
            log_in(poplib.POP3("127.0.0.1", dovecot.pop3_port, timeout=60), login, password).quit()
        attempt(PASSWORD)
        with self.assertRaises(poplib.error_proto):
            attempt("wrong")
        self.stack.provctl("suspend-user", login, "--wait")
        with self.assertRaises(poplib.error_proto):
            attempt(PASSWORD)


@unittest.skipIf(os.geteuid() != 0, "Dovecot takes on the uids of subscribers")
class DovecotWithMaildirsOfAccounts(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.root_hosts.add("store1")
        stack.foreign_stores.add("store1")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dovecot = Dovecot(cls.stack, owner="account")
        cls.dovecot.start()

    @classmethod
    def tearDownClass(cls):
        cls.dovecot.stop()
        super().tearDownClass()

    def deliver(self, login, message):
        with smtplib.LMTP("127.0.0.1", self.dovecot.lmtp_port, local_hostname="relay.example.net") as client:
            client.sendmail(SENDER, [login], message)

    def pop3(self, login, password=PASSWORD, port="pop3"):
        return log_in(poplib.POP3("127.0.0.1", self.dovecot.pop3_port, timeout=60), login, password)

    def mailbox(self, login):
        uid = self.stack.provctl_json("show-user", login)["uid"]
        return next(os.path.join(directory, uid) for directory, names, _ in os.walk(self.stack.mail_root())
                    if uid in names)

    def test_MailIsDeliveredAndReadAsTheSubscriberItself(self):
        login, other = self.add_user(), self.add_user()
        for one in (login, other):
            self.deliver(one, subject_message(f"for {one}"))
            self.assertIn(f"Subject: for {one}".encode(), self.messages(one)[0])
        owners = [os.stat(self.mailbox(one)).st_uid for one in (login, other)]
        self.assertNotEqual(owners[0], owners[1])
        self.assertTrue(all(owner >= 10000 for owner in owners))
        message = next(os.path.join(directory, name) for directory, _, names in os.walk(self.mailbox(login))
                       for name in names if os.path.basename(directory) in ("new", "cur"))
        self.assertEqual(os.stat(message).st_uid, owners[0])

    def test_OwnersHaveAccounts(self):
        login = self.add_user()
        uid = os.stat(self.mailbox(login)).st_uid
        with open(self.stack.path("hosts", "store1", "root", "etc", "passwd.cache"), encoding="utf-8") as file:
            self.assertTrue(any(line.startswith(f"{login}:*:{uid}:") for line in file))

    def test_FullMailboxIsPutOffAndItsLimitIsInTheMaildir(self):
        login = self.add_user("--quota", "20K")
        with open(os.path.join(self.mailbox(login), "maildirsize"), encoding="utf-8") as file:
            self.assertEqual(file.readline(), "20480S\n")
        self.deliver(login, subject_message("fits"))
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.deliver(login, subject_message("too large") + (b"y" * 70 + b"\r\n") * 600)
        self.assertEqual(refused.exception.smtp_code, 452)
        with open(os.path.join(self.mailbox(login), "maildirsize"), encoding="utf-8") as file:
            self.assertEqual(file.readline(), "20480S\n", "Dovecot keeps the limit that the agent wrote")


if __name__ == "__main__":
    case.main()
