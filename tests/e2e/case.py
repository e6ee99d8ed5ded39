"""What end-to-end tests share: a stack of their own in a temporary directory, clients, and a JUnit report."""

import os
import poplib
import re
import shutil
import smtplib
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "stack"))

from processes import StackError, wait_until  # noqa: E402,F401
from stack import Stack, built_programs  # noqa: E402

DOMAIN = "example.net"
SENDER = "sender@example.org"
PASSWORD = "vioBn4Aw-plinth-Rook"
# poplib's default would refuse the long lines that some of our messages have.
poplib._MAXLINE = 1 << 20


def start_stack(configure=None):
    """A running stack with the domain example.net. The caller ends it with end_stack."""
    # Directly below /tmp, for unix sockets have short names.
    state = tempfile.mkdtemp(prefix="prov-e2e-", dir="/tmp")
    stack = Stack(state, built_programs(os.getcwd()), os.getcwd())
    if configure:
        configure(stack)
    try:
        stack.start()
        stack.provctl("add-domain", DOMAIN, "--wait")
    except BaseException:
        show_logs(stack)
        end_stack(stack)
        raise
    return stack


def show_logs(stack):
    for name in stack.processes.names():
        print(f"--- {name}\n{stack.processes.log_tail(name, 15)}", file=sys.stderr)


def end_stack(stack):
    stack.stop()
    shutil.rmtree(stack.state, ignore_errors=True)


def log_in(client, login, password=PASSWORD):
    """The POP3 client, logged in; closed, and poplib.error_proto, if it is refused."""
    try:
        client.user(login)
        client.pass_(password)
    except poplib.error_proto:
        client.close()
        raise
    return client


class StackCase(unittest.TestCase):
    """One stack for all tests of a class."""

    stack = None
    counter = 0

    @classmethod
    def configure(cls, stack):
        """Subclasses set what the stack is started with."""

    @classmethod
    def setUpClass(cls):
        cls.stack = start_stack(cls.configure)

    @classmethod
    def tearDownClass(cls):
        end_stack(cls.stack)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            show_logs(self.stack)
        return result

    def new_login(self):
        StackCase.counter += 1
        return f"user{StackCase.counter}@{DOMAIN}"

    def add_user(self, *options, login=None, password=PASSWORD):
        login = login or self.new_login()
        self.stack.provctl("add-user", login, *options, "--password-stdin", "--wait", stdin=password + "\n")
        return login

    def relay(self):
        return smtplib.SMTP("127.0.0.1", self.stack.ports["smtp_relay"], timeout=60)

    def send(self, recipient, message, sender=SENDER):
        """Hands `message` (octets) to the relay; SMTPException if it is refused."""
        with self.relay() as client:
            client.sendmail(sender, [recipient] if isinstance(recipient, str) else recipient, message)

    def pop3(self, login, password=PASSWORD, port="pop3"):
        """A POP3 session that has logged in."""
        return log_in(poplib.POP3("127.0.0.1", self.stack.ports[port], timeout=60), login, password)

    def can_log_in(self, login, password=PASSWORD, port="pop3"):
        try:
            self.pop3(login, password, port).quit()
        except poplib.error_proto:
            return False
        return True

    def messages(self, login, password=PASSWORD, port="pop3"):
        """All messages of a mailbox, as octets."""
        client = self.pop3(login, password, port)
        try:
            return [b"".join(line + b"\r\n" for line in client.retr(number)[1])
                    for number in range(1, client.stat()[0] + 1)]
        finally:
            client.quit()

    def maildir(self, login, pool="main"):
        """The directory of a subscriber's mailbox, once it is there."""
        found = self.stack.slapd.search("mail", f"(uid={login})", "provMailboxPath")
        path = os.path.join(self.stack.mail_root(pool), re.search(r"^provMailboxPath: (\S+)$", found, re.M).group(1))
        return wait_until(lambda: path if os.path.isdir(os.path.join(path, "cur")) else None, f"the mailbox of {login}")

    def put_message(self, maildir, name, content):
        """A file of the mailbox, as another program would leave it."""
        path = os.path.join(maildir, name)
        with open(path, "wb") as file:
            file.write(content)
        self.stack.processes.give(path)

    def wait_for_messages(self, login, count, seconds=60, password=PASSWORD):
        """Waits until the mailbox has `count` messages and returns them."""
        def arrived():
            found = self.messages(login, password)
            return found if len(found) >= count else None
        return wait_until(arrived, f"{count} messages for {login}", seconds)

    def wait_for_text(self, login, text, seconds=60, password=PASSWORD):
        """Waits for a message that holds `text` and returns it."""
        def arrived():
            return next((message for message in self.messages(login, password) if text in message), None)
        return wait_until(arrived, f"a message with {text!r} for {login}", seconds)


def subject_message(subject):
    """A small message with a subject to know it by."""
    return f"From: {SENDER}\r\nSubject: {subject}\r\n\r\nbody of {subject}\r\n".encode()


class _ReportingResult(unittest.TextTestResult):
    """Also keeps what a JUnit report needs."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cases = []
        self._started = {}

    def startTest(self, test):
        self._started[test.id()] = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        self.cases.append((test.id(), time.monotonic() - self._started[test.id()]))
        super().stopTest(test)


def _write_report(result, path):
    suite = xml.etree.ElementTree.Element("testsuite", name="e2e")
    problems = {test.id(): ("failure", text) for test, text in result.failures}
    problems.update({test.id(): ("error", text) for test, text in result.errors})
    problems.update({test.id(): ("skipped", text) for test, text in result.skipped})
    names = [(name, seconds) for name, seconds in result.cases]
    # setUpClass failures have no case of their own.
    names += [(name, 0.0) for name in problems if name not in {name for name, _ in names}]
    for name, seconds in names:
        case = xml.etree.ElementTree.SubElement(suite, "testcase", name=name, time=f"{seconds:.3f}")
        if name in problems:
            kind, text = problems[name]
            xml.etree.ElementTree.SubElement(case, kind).text = text
    root = xml.etree.ElementTree.Element("testsuites")
    root.append(suite)
    xml.etree.ElementTree.ElementTree(root).write(path)


def main():
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_ReportingResult)
    result = runner.run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    if os.environ.get("XML_OUTPUT_FILE"):
        _write_report(result, os.environ["XML_OUTPUT_FILE"])
    sys.exit(0 if result.wasSuccessful() else 1)
