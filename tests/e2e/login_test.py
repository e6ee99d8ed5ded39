"""Logins at the real engine through pam_prov, while the directory is stopped, hangs, or is something else."""

import base64
import contextlib
import os
import poplib
import re
import signal
import socket
import ssl
import threading
import urllib.request

import case
from case import PASSWORD, wait_until
from processes import free_port

TEMPORARY = "[SYS/TEMP]"
REFUSED = "[AUTH]"
# What no login can be, and would mean something to LDAP, a path, a log or a protocol.
ODD_NAMES = ("*", ")(uid=*", "alice@example.net)(uid=*", "*)(objectClass=*", "\\", "\\2a", "a\\00b@example.net", "(|(uid=*))",
             "../../etc/passwd", "uid=a,ou=people,o=prov", "a%s@example.net", "\u00e9@example.net", "a" * 200 + "@example.net")


class Client(poplib.POP3):
    """Each from a network of its own, so that none is held back for the failures of those before it."""

    number = 0

    def __init__(self, port):
        super().__init__("127.0.0.1", port, timeout=60)

    def _create_socket(self, timeout):
        return connect(self.port, timeout)


def connect(port, timeout=60):
    Client.number += 1
    own = f"127.1.{Client.number // 250}.{1 + Client.number % 250}"
    return socket.create_connection(("127.0.0.1", port), timeout, source_address=(own, 0))


class Login(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] == "store1"]
        cls.metrics = f"127.0.0.1:{free_port(besides=stack.ports.values())}"
        stack.engine_keys["store1"] = f'metrics = "{cls.metrics}"\n'

    def setUp(self):
        self.stack.slapd.start()

    def answer(self, login, password=PASSWORD):
        """What PASS is answered with."""
        client = Client(self.stack.ports["pop3"])
        try:
            client.user(login)
            return client.pass_(password).decode()
        except poplib.error_proto as error:
            return error.args[0].decode()
        finally:
            client.close()

    def logins(self):
        """Of the metric, by cause."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r'^prov_engine_logins_total\{cause="(\w+)",outcome="\w+",service="prov-pop3"\} (\S+)$', text, re.M)
        return {cause: float(value) for cause, value in found}

    def assert_cached_goes_on_and_others_wait(self, cached, other):
        before = self.logins()
        self.assertTrue(self.answer(cached).startswith("+OK"))
        self.assertIn(TEMPORARY, self.answer(other))
        self.assertIn(TEMPORARY, self.answer(cached, "wrong-Passw0rd"))
        after = self.logins()
        self.assertEqual(after["cached"], before.get("cached", 0) + 1)
        told = sum(after.get(cause, 0) - before.get(cause, 0) for cause in ("directory_unreachable", "worker_failed"))
        self.assertEqual(told, 2)

    def two_logins(self):
        """One that is cached, and one that is not."""
        cached, other = self.add_user(), self.add_user()
        self.assertTrue(self.answer(cached).startswith("+OK"))
        return cached, other

    def test_DirectoryStopped(self):
        cached, other = self.two_logins()
        self.stack.processes.stop("slapd")
        self.assert_cached_goes_on_and_others_wait(cached, other)
        self.stack.slapd.start()
        wait_until(lambda: self.answer(other).startswith("+OK"), "logins to go on")

    def test_DirectoryHangs(self):
        cached, other = self.two_logins()
        pid = self.stack.processes.pid("slapd")
        os.kill(pid, signal.SIGSTOP)
        try:
            self.assert_cached_goes_on_and_others_wait(cached, other)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: self.answer(other).startswith("+OK"), "logins to go on")

    @contextlib.contextmanager
    def something_else(self, octets):
        """In slapd's place: answers everything with `octets`."""
        path = os.path.join(self.stack.slapd.directory, "run", "ldapi")
        self.stack.processes.stop("slapd")
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen()
        clients = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    clients.append(client)
                    threading.Thread(target=talk, args=(client,), daemon=True).start()

        def talk(client):
            with contextlib.suppress(OSError):
                while client.recv(4096):
                    client.sendall(octets)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for client in clients:
                client.close()
            os.unlink(path)

    def test_DirectoryTalksNonsense(self):
        cached, other = self.two_logins()
        # A success of nobody's question, a message that never ends, and another protocol.
        for octets in (b"0\x0c\x02\x01\x63a\x07\n\x01\x00\x04\x00\x04\x00", b"0\x84\x7f\xff\xff\xff", b"220 mail.example.net\r\n"):
            with self.subTest(octets), self.something_else(octets):
                self.assert_cached_goes_on_and_others_wait(cached, other)
        self.stack.slapd.start()
        wait_until(lambda: self.answer(other).startswith("+OK"), "logins to go on")

    def test_EveryRefusalSoundsTheSame(self):
        login, suspended, passwordless = self.add_user(), self.add_user(), self.new_login()
        self.stack.provctl("suspend-user", suspended, "--wait")
        self.stack.provctl("add-user", passwordless, "--no-password", "--wait")
        answers = {self.answer(login, "wrong-Passw0rd"), self.answer("nobody@example.net"), self.answer(suspended),
                   self.answer(passwordless), self.answer("nobody@elsewhere.example")}
        self.assertEqual(len(answers), 1, answers)
        self.assertIn(REFUSED, answers.pop())
        counted = self.logins()
        for cause in ("wrong", "unknown", "suspended"):
            self.assertGreaterEqual(counted.get(cause, 0), 1, cause)

    def test_NamesThatMeanSomethingToLdapAreRefused(self):
        login = self.add_user()
        for name in ODD_NAMES:
            with self.subTest(name):
                self.assertFalse(self.raw_login(name).startswith("+OK"))
        self.assertTrue(self.answer(login).startswith("+OK"))

    def raw_login(self, name, password=PASSWORD):
        with connect(self.stack.ports["pop3"]) as client:
            answers = client.makefile("rb")
            answers.readline()
            client.sendall(b"USER " + name.encode() + b"\r\n")
            first = answers.readline().decode()
            if not first.startswith("+OK"):
                return first
            client.sendall(b"PASS " + password.encode() + b"\r\n")
            return answers.readline().decode()

    def test_SaslVectors(self):
        """Within TLS: bad base64, a star, 12 KiB, and CR, LF and NUL inside what it decodes to."""
        login = self.add_user()

        def plain(name, password):
            return base64.b64encode(b"\0" + name + b"\0" + password)

        right = PASSWORD.encode()
        vectors = [b"!!!!", b"AGE", b"=", b"A" * 12 * 1024, b"A" * 2052, plain(b"a\rb@example.net", right),
                   plain(b"a\nb@example.net", right), plain(login.encode(), right + b"\0x"), plain(login.encode(), b"a\r\nb"),
                   plain(login.encode(), b""), plain(b"", right), plain(b"*", right), plain(b")(uid=*", right),
                   base64.b64encode(b"bob@example.net\0" + login.encode() + b"\0" + right), b"*"]
        for response in vectors:
            with self.subTest(response[:40]):
                self.assertFalse(self.auth_plain(response).startswith(b"+OK"))
        self.assertTrue(self.auth_plain(plain(login.encode(), right)).startswith(b"+OK"))

    def auth_plain(self, response):
        client = Client(self.stack.ports["pop3"])
        try:
            client.stls(ssl.create_default_context(cafile=self.stack.path("tls", "ca.pem")))
            client.sock.sendall(b"AUTH PLAIN\r\n")
            self.assertTrue(client.file.readline().startswith(b"+ "))
            client.sock.sendall(response + b"\r\n")
            return client.file.readline()
        finally:
            client.close()


if __name__ == "__main__":
    case.main()
