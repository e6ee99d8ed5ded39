"""One command, one mailbox: a subscriber is added, and a mail to it is routed, delivered and read."""

import base64
import os
import random
import unittest

import case
from case import DOMAIN, SENDER, subject_message


class MainPath(case.StackCase):
    def test_MailToANewSubscriberIsDeliveredAndRead(self):
        login = self.add_user()
        self.send(login, subject_message("first"))
        message = self.wait_for_text(login, b"Subject: first")
        self.assertTrue(message.endswith(subject_message("first")))
        self.assertIn(b"Received: ", message)

    def test_ProxyServesAnySubscriberFromItsStore(self):
        login = self.add_user()
        self.send(login, subject_message("through the proxy"))
        self.wait_for_text(login, b"Subject: through the proxy")
        messages = self.messages(login, port="pop3_proxy")
        self.assertEqual(len(messages), 1)
        self.assertFalse(self.can_log_in(login, "wrong-Passw0rd-x", port="pop3_proxy"))

    def test_OneMailToSeveralRecipientsReachesEach(self):
        logins = [self.add_user() for _ in range(3)]
        self.send(logins, subject_message("for three"))
        for login in logins:
            self.wait_for_text(login, b"Subject: for three")

    def test_MessagesOfManyShapesComeBackOctetForOctet(self):
        head = b"From: a@example.org\r\nSubject: shape\r\n"
        noise = random.Random(7)
        attachment = base64.encodebytes(noise.randbytes(5_000_000)).replace(b"\n", b"\r\n")
        shapes = {
            "8-bit": head + b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n" + bytes(range(0x80, 0x100)) + b"\r\n",
            "8-bit header": head + "X-Näme: Grüße\r\n\r\nbody\r\n".encode(),
            "long lines": head + b"\r\n" + b"x" * 998 + b"\r\n" + b"y" * 60_000 + b"\r\n",
            "dot lines": head + b"\r\n.\r\n..\r\n...\r\n.leading\r\n..leading\r\nend.\r\n.\r\n",
            "no final newline": head + b"\r\nlast words",
            "empty body": head + b"\r\n",
            "header only": head,
            "many blank lines": head + b"\r\n" * 500,
            "trailing white space": head + b"\r\n \r\n\t\r\nend  \t\r\n \r\n",
            "ten thousand headers": head + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\nbody\r\n",
            "attachment of 5 MB": head + b"Content-Transfer-Encoding: base64\r\n\r\n" + attachment,
            "From lines": head + b"\r\nFrom me to you\r\n>From here\r\nFrom: not a header\r\n",
        }
        for name, message in shapes.items():
            with self.subTest(name):
                login = self.add_user()
                self.send(login, message)
                got, = self.wait_for_messages(login, 1)
                expected = message if message.endswith(b"\r\n") else message + b"\r\n"
                self.assertEqual(len(got[-len(expected):]), len(expected))
                self.assertTrue(got.endswith(expected), f"{name}: {got[-200:]!r}")
                trace = got[:-len(expected)]
                for line in trace.split(b"\r\n"):
                    self.assertRegex(line, rb"^(Return-Path|Delivered-To|Received|X-Original-To): |^[ \t]|^$")

    def test_SizesAreExact(self):
        login = self.add_user()
        self.send(login, subject_message("sized") + b".\r\n..\r\n")
        self.wait_for_messages(login, 1)
        client = self.pop3(login)
        try:
            _, octets = client.stat()
            got = b"".join(line + b"\r\n" for line in client.retr(1)[1])
            self.assertEqual(octets, len(got))
            self.assertEqual(int(client.list(1).split()[2]), len(got))
        finally:
            client.quit()

    def test_UidlStaysAndDeletedMailIsGoneOnlyAfterQuit(self):
        login = self.add_user()
        for subject in ("one", "two"):
            self.send(login, subject_message(subject))
        self.wait_for_messages(login, 2)
        client = self.pop3(login)
        before = client.uidl()[1]
        client.dele(1)
        client.close()  # without QUIT
        client = self.pop3(login)
        self.assertEqual(client.uidl()[1], before)
        client.dele(1)
        client.quit()
        client = self.pop3(login)
        after = client.uidl()[1]
        client.quit()
        self.assertEqual([line.split()[1] for line in after], [before[1].split()[1]])

    def test_AliasReachesTheMailbox(self):
        login = self.add_user()
        self.stack.provctl("add-alias", login, f"sales.{login}", "--wait")
        self.send(f"Sales.{login.upper()}", subject_message("by alias"))
        self.wait_for_text(login, b"Subject: by alias")

    def test_ForwardReachesTheOtherMailboxAndKeepsACopyIfAsked(self):
        target, mover, keeper = (self.add_user() for _ in range(3))
        self.stack.provctl("set-forward", mover, target)
        self.stack.provctl("set-forward", keeper, target, "--keep-copy", "--wait")
        self.send(mover, subject_message("moved"))
        self.send(keeper, subject_message("copied"))
        self.wait_for_text(target, b"Subject: moved")
        self.wait_for_text(target, b"Subject: copied")
        self.wait_for_text(keeper, b"Subject: copied")
        self.assertEqual(self.messages(mover), [])

    def test_HostsHaveAccountsAndHomesOfTheirEntitlementsOnly(self):
        login = self.add_user("--ftp")
        other = self.add_user()
        user = self.stack.provctl_json("show-user", login)
        passwd = self.stack.path("hosts", "ftp1", "root", "etc", "passwd.cache")

        def listed():
            with open(passwd, encoding="utf-8") as file:
                return next((line for line in file if line.startswith(login + ":")), None)
        fields = case.wait_until(listed, "the account").strip().split(":")
        self.assertEqual(fields[2], str(user["uid_number"]))
        self.assertEqual(fields[6], "/usr/sbin/nologin")
        self.assertTrue(os.path.isdir(fields[5]))
        with open(passwd, encoding="utf-8") as file:
            self.assertNotIn(other, file.read())

    def test_UnknownRecipientAndForeignDomainAreRefusedAtRcpt(self):
        with self.relay() as client:
            client.ehlo("client.example.org")
            client.mail(SENDER)
            self.assertEqual(client.rcpt(f"nobody-here@{DOMAIN}")[0], 550)
            for address in (f"user%elsewhere.org@{DOMAIN}", f"@{DOMAIN}:user@elsewhere.org", f"elsewhere.org!user@{DOMAIN}"):
                self.assertGreaterEqual(client.rcpt(address)[0], 500, address)


class OpenRelay(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.trusted_networks = []

    def test_StrangersCannotRelay(self):
        with self.relay() as client:
            client.ehlo("client.example.org")
            client.mail(SENDER)
            self.assertGreaterEqual(client.rcpt("user@elsewhere.org")[0], 500)


if __name__ == "__main__":
    case.main()
