"""Two clones of a store over one mail root, and a partition between the first of them and its storage."""

import os
import poplib
import shutil
import smtplib
import sys

sys.path.insert(0, os.path.join(os.getcwd(), "tests", "e2e"))

import case  # noqa: E402
from case import PASSWORD, wait_until  # noqa: E402

SHIM = os.path.abspath("tests/faults/fault_shim.so")
# The clone that is cut off, and the other one: the names of their POP3 and LMTP ports.
CUT_OFF, OTHER = ("pop3", "smtp_store"), ("pop3_store2", "smtp_store_store2")


class PartitionCase(case.StackCase):
    HOW = None  # what becomes of calls in the partition: FAULT_HOW

    @classmethod
    def configure(cls, stack):
        stack.hosts = [("relay1", "relay", "relay"), ("store1", "store", "main")]
        stack.add_store("store2", "main")
        stack.mail_tls = False
        # A relay draws one clone for each attempt: it shall draw often.
        stack.queue_keys = 'longest_retry = "1s"\n'
        shim, cls.log, cls.switch = (stack.path(name) for name in ("fault_shim.so", "stopped-calls", "cut-off"))
        shutil.copyfile(SHIM, shim)  # for the service user
        os.chmod(shim, 0o755)
        with open(cls.log, "wb"):
            stack.processes.give(cls.log)
        stack.agent_environment["store1"] = {"LD_PRELOAD": shim, "FAULT_BELOW": stack.mail_root(), "FAULT_HOW": cls.HOW,
                                             "FAULT_WHILE": cls.switch, "FAULT_LOG": cls.log}

    def begin(self):
        """The first clone is cut off, until the partition is healed or the test is over."""
        os.truncate(self.log, 0)
        self.addCleanup(self.heal)
        with open(self.switch, "wb"):
            pass

    def heal(self):
        if os.path.exists(self.switch):
            os.unlink(self.switch)

    def stopped(self, call=""):
        """Lines of calls, of that name, that the partition has stopped."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return [line for line in file if line.startswith(call)]

    def wait_for_stopped(self, call="", count=1):
        wait_until(lambda: len(self.stopped(call)) >= count, f"{count} calls {call} in the partition")

    def logged(self, *words, host="store1"):
        with open(self.stack.processes.log_path(host), encoding="utf-8", errors="replace") as log:
            return [line for line in log if all(word in line for word in words)]

    def filled(self, *subjects):
        """A login whose mailbox has these messages."""
        login = self.add_user()
        maildir = self.maildir(login)
        for number, subject in enumerate(subjects, 1):
            self.put_message(maildir, f"new/{number}.M1P1.host", case.subject_message(subject).replace(b"\r\n", b"\n"))
        return login

    def open(self, login, clone=OTHER):
        """A session on a clone, once the mailbox is free there."""
        def opened():
            try:
                return self.pop3(login, PASSWORD, clone[0])
            except poplib.error_proto as error:
                self.assertIn(b"[IN-USE]", error.args[0])
                return None
        return wait_until(opened, f"the mailbox of {login} to be free")

    def subjects(self, login, clone=OTHER):
        """Of the messages that a new session has."""
        client = self.open(login, clone)
        subjects = subjects_of(client)
        client.quit()
        return subjects

    def lmtp(self, clone):
        return smtplib.LMTP("127.0.0.1", self.stack.ports[clone[1]], timeout=60)


def subjects_of(client):
    """Of all messages that a session has not deleted, read whole."""
    numbers = [int(line.split()[0]) for line in client.list()[1]]
    return [next(line[9:].decode() for line in client.retr(number)[1] if line.startswith(b"Subject: "))
            for number in numbers]


def begin_quit(client):
    """QUIT, whose answer is awaited later."""
    client.sock.sendall(b"QUIT\r\n")


def answer(client):
    """The next answer, and the end of the session."""
    try:
        return client.file.readline()
    finally:
        client.close()
