"""Mail through TLS: STARTTLS, STLS and POP3S by the clients that people use, and certificates that are renewed."""

import os
import poplib
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile

import case
from case import PASSWORD, SENDER, log_in, subject_message, wait_until


class MailThroughTls(case.StackCase):
    def setUp(self):
        self.trust = ssl.create_default_context(cafile=self.stack.path("tls", "ca.pem"))

    def trusting(self, port):
        """The names and ports of clients that check our certificate."""
        return "localhost", self.stack.ports[port]

    def shown_serial(self, port):
        with socket.create_connection(self.trusting(port), timeout=60) as plain, \
                self.trust.wrap_socket(plain, server_hostname="localhost") as secure:
            return secure.getpeercert()["serialNumber"]

    def test_StarttlsThenDelivery(self):
        login = self.add_user()
        with smtplib.SMTP(*self.trusting("smtp_relay"), timeout=60) as client:
            client.ehlo()
            self.assertTrue(client.has_extn("starttls"))
            client.starttls(context=self.trust)
            client.ehlo()
            self.assertFalse(client.has_extn("starttls"))
            client.sendmail(SENDER, [login], subject_message("through tls"))
        message = self.wait_for_text(login, b"Subject: through tls")
        # RFC 3848 and RFC 8314: from the client to the relay, and from the relay to the store.
        self.assertIn(b"with ESMTPS id ", message)
        self.assertIn(b"with LMTPS id ", message)
        self.assertIn(b"tls TLS_", message)

    def test_StlsAndPop3sAtTheStoreAndAtTheProxy(self):
        login = self.add_user()
        self.send(login, subject_message("read through tls"))
        self.wait_for_text(login, b"read through tls")
        for port in ("pop3", "pop3_proxy"):
            with self.subTest(port):
                client = poplib.POP3(*self.trusting(port), timeout=60)
                self.assertIn("STLS", client.capa())
                client.stls(context=self.trust)
                self.assertNotIn("STLS", client.capa())
                self.assertEqual(log_in(client, login).stat()[0], 1)
                client.quit()
        for port in ("pop3s", "pop3s_proxy"):
            with self.subTest(port):
                client = log_in(poplib.POP3_SSL(*self.trusting(port), timeout=60, context=self.trust), login)
                self.assertIn(b"Subject: read through tls", client.retr(1)[1])
                client.quit()

    def test_SwaksCurlAndMpop(self):
        login = self.add_user()
        authority = self.stack.path("tls", "ca.pem")
        with tempfile.TemporaryDirectory(prefix="prov-client-", dir="/tmp") as directory:
            mbox, rc, netrc = (os.path.join(directory, name) for name in ("mbox", "mpoprc", "netrc"))
            self.run_client("swaks", "--server", "localhost", "--port", str(self.stack.ports["smtp_relay"]), "--tls",
                            "--tls-verify", "--tls-ca-path", authority, "--to", login, "--from", SENDER, "--header",
                            "Subject: by swaks", "--helo", "client.example.org")
            self.wait_for_text(login, b"Subject: by swaks")
            with open(os.open(netrc, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write(f"machine localhost login {login} password {PASSWORD}\n")
            for url in (f"pop3s://localhost:{self.stack.ports['pop3s']}/1", f"pop3://localhost:{self.stack.ports['pop3']}/1"):
                got = self.run_client("curl", "-sS", "--ssl-reqd", "--cacert", authority, "--netrc-file", netrc, url)
                self.assertIn(b"Subject: by swaks", got)
            with open(os.open(rc, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write(f"account default\nhost localhost\nport {self.stack.ports['pop3_proxy']}\nuser {login}\n"
                           f"password {PASSWORD}\ntls on\ntls_starttls on\ntls_trust_file {authority}\nauth user\n"
                           f"uidls_file {directory}/uidls\ndelivery mbox {mbox}\n")
            self.run_client("mpop", f"--file={rc}")
            with open(mbox, "rb") as file:
                self.assertIn(b"Subject: by swaks", file.read())

    def run_client(self, *arguments):
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, f"{arguments[0]}: {done.stdout.decode(errors='replace')}")
        return done.stdout

    def test_WhatIsForgedBehindStarttlsEndsTheSession(self):
        for port, hello, start in (("smtp_relay", b"EHLO x\r\n", b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n"),
                                   ("pop3", b"", b"STLS\r\nUSER mallory\r\n")):
            with self.subTest(port), socket.create_connection(self.trusting(port), timeout=60) as plain:
                plain.recv(4096)
                if hello:
                    plain.sendall(hello)
                    plain.recv(4096)
                plain.sendall(start)
                said = b""
                while piece := plain.recv(4096):
                    said += piece
                self.assertIn(b"more", said)

    def test_ARenewedCertificateIsShownAndSessionsGoOn(self):
        login = self.add_user()
        session = log_in(poplib.POP3_SSL(*self.trusting("pop3s"), timeout=60, context=self.trust), login)
        before = self.shown_serial("pop3s")
        certificate, key = self.stack.certificate("directory/renewed", "renewed")
        # The key first: until the certificate is there too the pair does not fit, and the old one stays.
        for source, name in ((key, "mail.key"), (certificate, "mail.pem")):
            target = self.stack.path("tls", name)
            shutil.copy2(source, target + ".new")
            self.stack.processes.give(target + ".new")
            os.replace(target + ".new", target)
            self.assertEqual(session.noop()[:3], b"+OK")
        wait_until(lambda: self.shown_serial("pop3s") != before, "the renewed certificate to be shown")
        self.assertEqual(session.noop()[:3], b"+OK")
        session.quit()


if __name__ == "__main__":
    case.main()
