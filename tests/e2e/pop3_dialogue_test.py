"""The same POP3 dialogues with our store, the real Dovecot and popa3d: the same outcome, or the reason why not."""

import os
import socket
import tempfile
import unittest

import case
from pop3_peers import PASSWORD, USER, DovecotPop3, Popa3d, popa3d_program

LOGIN = "alice@example.net"
MESSAGES = [b"Subject: one\n\nfirst\n", b"Subject: two\n\n.dot\n..\n\xff\xfe\n", b"Subject: three\n\n" + b"x" * 2000 + b"\n"]
IN = [f"USER {USER}", f"PASS {PASSWORD}"]

# A name, what is sent line by line, and why Dovecot's or popa3d's outcome may differ (nothing: it may not).
# An outcome is "+", "-", or "." for a connection that was closed; "+" with what follows up to the dot is "+…".
DIALOGUES = (
    ("a session", IN + ["STAT", "LIST", "RETR 1", "QUIT"], None, None),
    ("lower case", [f"user {USER}", f"pass {PASSWORD}", "stat", "list 1", "noop", "quit"], None, None),
    ("one message", IN + ["LIST 1", "UIDL 1", "LIST 3", "UIDL 3"], None, None),
    ("numbers that are none", IN + ["LIST 0", "LIST 4", "LIST -1", "LIST x", "LIST 4294967297", "RETR 0", "RETR 4",
                                    "RETR -1", "RETR x", "RETR", "DELE 0", "DELE 4", "DELE"], None, None),
    ("UIDL of what is not there", IN + ["UIDL 0", "UIDL 9", "UIDL x"], None, None),
    ("TOP", IN + ["TOP 1 0", "TOP 1 1", "TOP 2 99999"], None, None),
    ("TOP that is none", IN + ["TOP 1", "TOP", "TOP 1 -1", "TOP 0 1", "TOP 9 1"], None, None),
    ("deleted is gone", IN + ["DELE 2", "LIST 2", "RETR 2", "UIDL 2", "TOP 2 0", "DELE 2", "STAT", "RSET", "LIST 2"], None, None),
    ("RSET", IN + ["DELE 1", "DELE 2", "DELE 3", "STAT", "RSET", "STAT"], None, None),
    ("before the login", ["STAT", "LIST"], None, None),
    ("RETR before the login", ["RETR 1"], None, None),
    ("NOOP before the login", ["NOOP"], None, None),
    ("PASS first", ["PASS x"], None, None),
    ("USER twice", [f"USER {USER}", f"USER {USER}", f"PASS {PASSWORD}"], None, "popa3d takes USER once"),
    ("USER without a name", ["USER"], "Dovecot takes the empty name, and refuses its password", None),
    ("a wrong password", [f"USER {USER}", "PASS wrong"], None, None),
    ("unknown is as wrong", ["USER nobody-here", "PASS wrong"], None, None),
    ("USER after the login", IN + [f"USER {USER}"], None, None),
    ("PASS after the login", IN + [f"PASS {PASSWORD}"], None, None),
    ("an unknown command", IN + ["XYZZY"], None, None),
    ("an empty line", IN + [""], None, None),
    ("QUIT before the login", ["QUIT"], None, None),
    ("NOOP with an argument", IN + ["NOOP x"], "RFC 1939 gives it none; Dovecot passes over it", None),
    ("STAT with an argument", IN + ["STAT x"], "likewise", None),
    ("trailing blanks", IN + ["STAT  ", "LIST 1 ", "RETR 1  "], "Dovecot refuses a number with a blank behind it, which some programs send",
     "popa3d takes a blank for an argument"),
    ("two blanks", IN + ["LIST  1"], "a client that pads: Dovecot skips blanks, RFC 1939 section 3 has one", None),
    ("a browser", ["GET / HTTP/1.1"], None, None),
    ("CAPA", ["CAPA"] + IN + ["CAPA"], None, "popa3d has none of RFC 2449"),
    ("STLS where there is none", ["STLS"], None, None),
    ("APOP", ["APOP alice 0123456789abcdef0123456789abcdef"], None, None),
    ("an AUTH mechanism that there is not", ["AUTH X-NONE"], None, None),
    ("UTF8 and LANG", ["LANG", "UTF8"], "Dovecot 2.3 has no RFC 6856", "popa3d neither"),
    ("XCLIENT from anybody", ["XCLIENT ADDR=192.0.2.1 PORT=1 SESSION=x"], "Dovecot says +OK and passes over it; a proxy that is not trusted should learn it", None),
)
MULTILINE = ("CAPA", "LANG", "LIST", "UIDL")


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.file.readline()

    def ask(self, line):
        try:
            self.socket.sendall(line.encode() + b"\r\n")
            answer = self.file.readline()
        except OSError:
            return "."
        if not answer:
            return "."
        verb, *arguments = line.upper().split() or [""]
        if answer.startswith(b"+") and (verb in ("RETR", "TOP") or verb in MULTILINE and not arguments):
            return "+" + "".join(self.lines(verb))
        return answer[:1].decode()

    def lines(self, verb):
        """What of a multi-line answer must be the same."""
        lines = iter(self.file.readline, b".\r\n")
        if verb in ("RETR", "TOP", "LIST"):
            # popa3d and Dovecot may add headers of their own; none does to these.
            return [line.decode("latin-1") for line in lines]
        return ["…" for _ in lines][:1]

    def close(self):
        self.file.close()
        self.socket.close()


def play(port, lines, name=USER):
    client = Client(port)
    try:
        return [client.ask(line.replace(USER, name)) for line in lines]
    finally:
        client.close()


class Dialogues(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [("store1", "store", "main")]
        stack.mail_tls = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls("compare").add_user(login=LOGIN, password=PASSWORD)

    def compare(self, peer, reason_at):
        differ, stale = [], []
        for dialogue in DIALOGUES:
            name, lines, reason = dialogue[0], dialogue[1], dialogue[reason_at]
            # Each begins with the same mail.
            self.fill_ours()
            ours, theirs = play(self.stack.ports["pop3"], lines, LOGIN), play(peer.port, lines)
            if reason is None and ours != theirs:
                differ.append(f"{name}: {lines}\n  ours   {ours}\n  theirs {theirs}")
            elif reason is not None and ours == theirs:
                stale.append(name)
        self.assertEqual("\n".join(differ), "")
        self.assertEqual(stale, [], "these agree: their reasons are to go")

    def fill_ours(self):
        """LMTP would add Received: the files are put there."""
        maildir = self.maildir(LOGIN)
        for index, message in enumerate(MESSAGES):
            self.put_message(maildir, f"new/17000000{index:02}.M1P1.host", message)
        self.assertEqual(len(os.listdir(os.path.join(maildir, "new"))), len(MESSAGES))

    def test_TheSameOutcomeAsDovecotOrAReason(self):
        peer = DovecotPop3(self.stack.processes, self.stack.path("dovecot-pop3"))
        os.makedirs(peer.directory)
        peer.put({f"new/17000000{index:02}.M1P1.host": message for index, message in enumerate(MESSAGES)})
        peer.start()
        self.addCleanup(peer.stop)
        self.compare(peer, 2)

    @unittest.skipUnless(popa3d_program() and os.geteuid() == 0, "popa3d is not here, or we are not root")
    def test_TheSameOutcomeAsPopa3dOrAReason(self):
        with tempfile.TemporaryDirectory(prefix="prov-popa3d-", dir="/tmp") as directory:
            peer = Popa3d(directory)
            peer.start()
            self.addCleanup(peer.stop)
            peer.put(MESSAGES)
            self.compare(peer, 3)


if __name__ == "__main__":
    case.main()
