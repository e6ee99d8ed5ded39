"""The POP3 proxy in front of what it does not know from the inside: a real Dovecot, by TLS and XCLIENT."""

import base64
import os
import poplib
import re
import socket
import ssl
import unittest

import case
from case import PASSWORD, subject_message, wait_until
from dovecot import Dovecot


class Session:
    """A client from an address of its own."""

    def __init__(self, port, address):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))
        self.file = self.socket.makefile("rb")
        self.file.readline()

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.file.readline()

    def close(self):
        self.file.close()
        self.socket.close()


@unittest.skipIf(os.geteuid() != 0, "Dovecot is started by root")
class ProxyInFrontOfDovecot(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1", "pop1")]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dovecot = Dovecot(cls.stack, settings="login_trusted_networks = 127.0.0.1\n")
        try:
            cls.dovecot.start()
            cls.serve_by(cls.dovecot)
        except BaseException:
            case.show_logs(cls.stack)
            cls.tearDownClass()
            raise

    @classmethod
    def serve_by(cls, dovecot):
        """The store tells that Dovecot serves its mailboxes."""
        cls.stack.served_at["store1"] = {"pop3": f"127.0.0.1:{dovecot.pop3_port}", "pop3s": f"127.0.0.1:{dovecot.pop3s_port}"}
        cls.stack.processes.stop("store1")
        cls.stack.start_agent("store1")
        cls.stack.provctl("wait", "--timeout", "60s")

    @classmethod
    def tearDownClass(cls):
        cls.dovecot.stop()
        super().tearDownClass()

    def log_line(self, process, pattern):
        """The first line of a log that matches."""
        def found():
            with open(self.stack.processes.log_path(process), encoding="utf-8", errors="replace") as file:
                return next((match for match in map(re.compile(pattern).search, file) if match), None)
        return wait_until(found, f"{pattern} in the log of {process}")

    def proxied(self, login, password=PASSWORD):
        return self.pop3(login, password, port="pop3_proxy")

    def test_MailIsReadThroughItWithTheUidlsOfOurEngine(self):
        login = self.add_user()
        self.send(login, subject_message("through the proxy"))
        self.wait_for_text(login, b"Subject: through the proxy")
        ours = self.pop3(login)
        uidls = ours.uidl()[1]
        ours.quit()
        theirs = self.proxied(login)
        self.assertEqual(theirs.uidl()[1], uidls)
        self.assertIn(b"Subject: through the proxy", theirs.retr(1)[1])
        theirs.dele(1)
        theirs.quit()
        self.assertEqual(self.messages(login), [], "and removed through it")

    def test_DovecotHearsOfTheClientAndBothLogsNameTheSessionAlike(self):
        login = self.add_user()
        client = Session(self.stack.ports["pop3_proxy"], "127.0.0.77")
        self.addCleanup(client.close)
        client.ask(f"USER {login}")
        self.assertTrue(client.ask(f"PASS {PASSWORD}").startswith(b"+OK"))
        told = self.log_line("dovecot", f"Login: user=<{login}>.* rip=127.0.0.77,.* session=<([^>]+)>")
        self.assertIn("TLS", told.string)
        self.log_line("pop1", f"pop3_proxy_session login={login} remote=127.0.0.77 session={told[1]} host=store1 ")

    def test_ARefusalKeepsItsCode(self):
        login = self.add_user()
        client = Session(self.stack.ports["pop3_proxy"], "127.0.0.78")
        self.addCleanup(client.close)
        client.ask(f"USER {login}")
        self.assertTrue(client.ask("PASS wrong").startswith(b"-ERR [AUTH] "))
        self.assertTrue(client.ask("QUIT").startswith(b"+OK"))

    def test_AClientMayUseTlsAndAuthPlain(self):
        login = self.add_user()
        context = ssl.create_default_context(cafile=self.stack.path("tls", "ca.pem"))
        client = poplib.POP3("localhost", self.stack.ports["pop3_proxy"], timeout=60)
        self.assertNotIn("SASL", client.capa())
        client.stls(context)
        self.assertEqual(client.capa()["SASL"], ["PLAIN"])
        response = base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
        self.assertTrue(client._shortcmd(f"AUTH PLAIN {response}").startswith(b"+OK"))
        self.assertEqual(client.stat(), (0, 0))
        client.quit()

    def test_WithoutDovecotLoginsArePutOff(self):
        login = self.add_user()
        self.dovecot.stop()
        try:
            with self.assertRaisesRegex(poplib.error_proto, r"\[SYS/TEMP\]"):
                self.proxied(login)
        finally:
            self.dovecot.start()
        self.proxied(login).quit()


if __name__ == "__main__":
    case.main()
