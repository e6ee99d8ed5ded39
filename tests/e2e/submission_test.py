"""Submission: a subscriber's mail program logs in inside TLS, and sends as the subscriber, to whom he likes."""

import base64
import email
import email.utils
import os
import smtplib
import ssl
import subprocess
import tempfile

import case
from case import PASSWORD, subject_message
from processes import free_port
from smtp_sink import SmtpSink


class Submission(case.StackCase):
    """Mail for other domains goes to a smarthost."""

    @classmethod
    def configure(cls, stack):
        stack.trusted_networks = []  # a login is what counts
        cls.sink_port = free_port()
        stack.smarthost = f"127.0.0.1:{cls.sink_port}"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sink = SmtpSink(cls.sink_port)

    @classmethod
    def tearDownClass(cls):
        cls.sink.stop()
        super().tearDownClass()

    def setUp(self):
        self.trust = ssl.create_default_context(cafile=self.stack.path("tls", "ca.pem"))

    def submission(self):
        """On port 587's place, inside TLS."""
        client = smtplib.SMTP("localhost", self.stack.ports["submission"], timeout=60)
        client.starttls(context=self.trust)
        client.ehlo()
        return client

    def refusal(self, client, login, password):
        with self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
            client.login(login, password)
        return caught.exception.smtp_code, caught.exception.smtp_error

    def sunk(self, text):
        """The message that reached the smarthost with `text` in it."""
        return case.wait_until(lambda: next((m for m in self.sink.messages if text in m.text), None),
                               "the mail at the smarthost")

    def test_ALoginSendsAnywhereByEitherPort(self):
        login = self.add_user()
        with self.submission() as client:
            client.login(login, PASSWORD)
            client.sendmail(login, ["friend@elsewhere.org"], subject_message("by 587"))
        message = self.sunk(b"Subject: by 587")
        self.assertEqual(message.sender, login)
        self.assertIn(b"with ESMTPSA id ", message.text)
        with smtplib.SMTP_SSL("localhost", self.stack.ports["submissions"], timeout=60, context=self.trust) as client:
            client.login(login, PASSWORD)
            client.sendmail(login, [login, "friend@elsewhere.org"], subject_message("by 465"))
        self.sunk(b"Subject: by 465")
        self.wait_for_text(login, b"Subject: by 465")

    def test_WhatTheMailProgramLeftOutOfTheHeaderIsAdded(self):
        login = self.add_user()
        with self.submission() as client:
            client.login(login, PASSWORD)
            client.sendmail(login, ["friend@elsewhere.org"], b"Subject: without\r\n\r\nbody\r\n")
            client.sendmail(login, ["friend@elsewhere.org"], b"no header at all\r\n")
            client.sendmail(login, ["friend@elsewhere.org"],
                            b"Subject: with\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <own@client.example>\r\n\r\nbody\r\n")
        added = email.message_from_bytes(self.sunk(b"Subject: without").text)
        self.assertIsNotNone(email.utils.parsedate_to_datetime(added["Date"]))
        self.assertRegex(added["Message-ID"], r"^<[0-9a-z]+@[^>]+>$")
        bare = email.message_from_bytes(self.sunk(b"no header at all").text)
        self.assertIsNotNone(bare["Message-ID"])
        self.assertEqual(bare.get_payload().strip(), "no header at all")
        kept = email.message_from_bytes(self.sunk(b"Subject: with\r\n").text)
        self.assertEqual(kept.get_all("Message-ID"), ["<own@client.example>"])
        self.assertEqual(len(kept.get_all("Date")), 1)

    def test_WhatIsAsciiGoesWhereNobodyKnowsSmtpUtf8AndTheRestComesBack(self):
        login = self.add_user()
        with self.submission() as client:
            client.login(login, PASSWORD)
            # Some programs ask for it always.
            client.sendmail(login, ["friend@elsewhere.org"], subject_message("plain enough"), mail_options=["SMTPUTF8"])
            client.sendmail(login, ["friend@elsewhere.org"], "Subject: größer\r\n\r\nbody\r\n".encode(),
                            mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        self.sunk(b"Subject: plain enough")
        notice = self.wait_for_messages(login, 1)[0]
        self.assertIn(b"5.6.7", notice)
        self.assertFalse([m for m in self.sink.messages if "größer".encode() in m.text])

    def test_WithoutALoginNothingIsTaken(self):
        login = self.add_user()
        with smtplib.SMTP("localhost", self.stack.ports["submission"], timeout=60) as client:
            client.ehlo()
            self.assertFalse(client.has_extn("auth"))
            self.assertEqual(client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode())[0],
                             538)
            self.assertEqual(client.mail(login)[0], 530)
            client.starttls(context=self.trust)
            client.ehlo()
            self.assertTrue(client.has_extn("auth"))
            self.assertEqual(client.mail(login)[0], 530)
        # And the port for mail from outside knows no login.
        with self.relay() as client:
            client.starttls(context=self.trust)
            client.ehlo()
            self.assertFalse(client.has_extn("auth"))
            self.assertEqual(client.docmd("AUTH", "PLAIN")[0], 502)

    def test_SenderIsBoundToTheLoginsAddresses(self):
        login, other = self.add_user(), self.add_user()
        self.stack.provctl("add-alias", login, f"alias.{login}", "--wait")
        with self.submission() as client:
            client.login(login, PASSWORD)
            for sender in (login, login.upper(), f"alias.{login}", ""):
                self.assertEqual(client.mail(sender)[0], 250, sender)
                client.rset()
            for sender in (other, "nobody@example.net", "ceo@elsewhere.org", f'"{login.partition("@")[0]}"@example.net'):
                code, text = client.mail(sender)
                self.assertEqual(code, 553, sender)
                self.assertIn(b"5.7.1", text)
                client.rset()

    def test_ASessionThatIsOpenEndsWithTheRightToSend(self):
        suspended, changed = self.add_user(), self.add_user()
        with self.submission() as first, self.submission() as second:
            first.login(suspended, PASSWORD)
            second.login(changed, PASSWORD)
            self.stack.provctl("suspend-user", suspended, "--reason", "test", "--wait")
            self.stack.provctl("set-password", changed, "--password-stdin", "--wait", stdin="another-Rook-4-plinth\n")
            for client, login in ((first, suspended), (second, changed)):
                self.assertEqual(client.mail(login)[0], 530)
                with self.assertRaises(smtplib.SMTPServerDisconnected):
                    client.noop()
            first.close()
            second.close()

    def test_RefusalsSayNoMoreThanThatTheyAreOne(self):
        login = self.add_user()
        with self.submission() as client:
            wrong = self.refusal(client, login, "wrong-Passw0rd-x")
        with self.submission() as client:
            unknown = self.refusal(client, "nobody-here@example.net", PASSWORD)
        self.stack.provctl("suspend-user", login, "--reason", "test", "--wait")
        with self.submission() as client:
            suspended = self.refusal(client, login, PASSWORD)
        self.assertEqual(wrong[0], 535)
        self.assertEqual(wrong, unknown)
        self.assertEqual(wrong, suspended)

    def test_AnAliasIsNoLogin(self):
        login = self.add_user()
        self.stack.provctl("add-alias", login, f"alias.{login}", "--wait")
        with self.submission() as client:
            self.assertEqual(self.refusal(client, f"alias.{login}", PASSWORD)[0], 535)

    def test_SwaksAndMsmtpLogIn(self):
        login = self.add_user()
        authority = self.stack.path("tls", "ca.pem")
        for mechanism in ("PLAIN", "LOGIN"):
            done = subprocess.run(["swaks", "--server", "localhost", "--port", str(self.stack.ports["submission"]), "--tls",
                                   "--auth", mechanism, "--auth-user", login, "--auth-password", PASSWORD, "--to", login,
                                   "--from", login, "--header", f"Subject: swaks {mechanism}", "--helo", "client.example.org"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))
            self.wait_for_text(login, f"Subject: swaks {mechanism}".encode())
        with tempfile.TemporaryDirectory(prefix="prov-client-", dir="/tmp") as directory:
            rc = os.path.join(directory, "msmtprc")
            with open(os.open(rc, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write(f"account default\nhost localhost\nport {self.stack.ports['submissions']}\ntls on\n"
                           f"tls_starttls off\ntls_trust_file {authority}\nauth on\nuser {login}\npassword {PASSWORD}\n"
                           f"from {login}\ndomain client.example.org\n")
            done = subprocess.run(["msmtp", f"--file={rc}", login], input=subject_message("msmtp").replace(b"\r\n", b"\n"),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))
        self.wait_for_text(login, b"Subject: msmtp")

    def test_LoginsGoOnWhileTheDirectoryIsAway(self):
        login, other = self.add_user(), self.add_user()
        with self.submission() as client:
            client.login(login, PASSWORD)
        self.stack.processes.stop("slapd")
        try:
            with self.submission() as client:
                self.assertEqual(client.login(login, PASSWORD)[0], 235)
            with self.submission() as client:
                self.assertEqual(self.refusal(client, other, PASSWORD)[0], 454)
        finally:
            self.stack.start_servers()


if __name__ == "__main__":
    case.main()
