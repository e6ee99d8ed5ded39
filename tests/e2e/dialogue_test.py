"""The same dialogues with our relay and with the real Postfix: the same answers, or the reason why not."""

import os
import socket
import sys

import case

sys.path.insert(0, os.path.join(os.getcwd(), "bench", "peers"))
from postfix_relay import PostfixRelay  # noqa: E402

HELLO = "EHLO client.example.org"
MAIL = "MAIL FROM:<sender@example.org>"
RCPT = "RCPT TO:<box1@example.net>"
TEXT = "Subject: x\r\n\r\nhi\r\n."

# A name, what is sent line by line, and why the answers may differ (nothing: they may not). Each line is answered before
# the next one is sent; a string with line ends inside goes out in one piece, and has as many answers as AMOUNT says.
DIALOGUES = (
    ("a mail", [HELLO, MAIL, RCPT, "DATA", TEXT, "QUIT"], None),
    ("by HELO", ["HELO client.example.org", MAIL, RCPT, "DATA", TEXT, "QUIT"], None),
    ("lower case", ["ehlo client.example.org", "mail from:<a@example.org>", "rcpt to:<BOX1@Example.NET>", "data", TEXT, "quit"],
     None),
    ("null sender", [HELLO, "MAIL FROM:<>", RCPT, "DATA", TEXT], None),
    ("two mails", [HELLO, MAIL, RCPT, "DATA", TEXT, MAIL, RCPT, "DATA", TEXT], None),
    ("a blank behind the colon", [HELLO, "MAIL FROM: <a@example.org>", "RCPT TO: <box1@example.net>"], None),
    ("without brackets", [HELLO, "MAIL FROM:a@example.org"], "Postfix forgives missing brackets unless strict_rfc821_envelopes"),
    ("no hello", [MAIL], "Postfix asks for a HELO only with smtpd_helo_required"),
    ("RCPT before MAIL", [HELLO, RCPT], None),
    ("DATA before RCPT", [HELLO, MAIL, "DATA"], None),
    ("DATA after refused recipients", [HELLO, MAIL, "RCPT TO:<nobody@example.net>", "DATA"], None),
    ("two MAILs", [HELLO, MAIL, MAIL], None),
    ("MAIL after RSET", [HELLO, MAIL, RCPT, "RSET", "DATA", MAIL], None),
    ("EHLO ends a transaction", [HELLO, MAIL, RCPT, HELLO, "DATA"], None),
    ("HELO without a name", ["HELO", "EHLO"], None),
    ("unknown recipient", [HELLO, MAIL, "RCPT TO:<nobody@example.net>"], None),
    ("known behind unknown", [HELLO, MAIL, "RCPT TO:<nobody@example.net>", RCPT, "DATA", TEXT], None),
    ("empty recipient", [HELLO, MAIL, "RCPT TO:<>"], None),
    ("a recipient without a domain", [HELLO, MAIL, "RCPT TO:<box1>"],
     "Postfix completes it with its own domain; a sender that names no domain means another host's"),
    ("postmaster", [HELLO, MAIL, "RCPT TO:<postmaster>"], "the peer here has no local domain; ours has no such mailbox either, yet "
     "says so for good"),
    ("percent", [HELLO, MAIL, "RCPT TO:<user%elsewhere.org@example.net>"],
     "refused by both; Postfix by 454 (defer_unauth_destination), for its configuration might be at fault"),
    ("bang", [HELLO, MAIL, "RCPT TO:<elsewhere.org!user@example.net>"], "the same"),
    ("source route", [HELLO, MAIL, "RCPT TO:<@elsewhere.org:box1@example.net>"],
     "Postfix drops the route and takes the mail; who sends one today has something else in mind"),
    ("quoted", [HELLO, MAIL, 'RCPT TO:<"box1"@example.net>'], "Postfix unquotes; no address of ours needs quotes"),
    ("control characters", [HELLO, "MAIL FROM:<a\x01b@example.org>"], "Postfix passes on what RFC 5321 section 4.1.2 forbids"),
    ("a label that begins with a hyphen", [HELLO, "MAIL FROM:<a@-b.example>"], None),
    ("two dots", [HELLO, "MAIL FROM:<a..b@example.org>"], "Postfix takes what RFC 5321 section 4.1.2 forbids"),
    ("SIZE", [HELLO, MAIL + " SIZE=1000", RCPT], None),
    ("SIZE too large", [HELLO, MAIL + " SIZE=99999999999"], None),
    ("SIZE that is none", [HELLO, MAIL + " SIZE=x"], None),
    ("BODY", [HELLO, MAIL + " BODY=8BITMIME", "RSET", MAIL + " BODY=7BIT", "RSET", MAIL + " BODY=9BIT"], None),
    ("unknown parameter", [HELLO, MAIL + " FOO=BAR"], None),
    ("DSN", [HELLO, MAIL + " RET=HDRS ENVID=QQ", RCPT + " NOTIFY=SUCCESS ORCPT=rfc822;box1@example.net"], None),
    ("DSN that is none", [HELLO, MAIL + " RET=SOME"], None),
    ("NOTIFY that is none", [HELLO, MAIL, RCPT + " NOTIFY=NEVER,SUCCESS"], None),
    ("SMTPUTF8", [HELLO, "MAIL FROM:<a@example.org> SMTPUTF8", RCPT], None),
    ("VRFY", [HELLO, "VRFY box1@example.net"], None),
    ("EXPN", [HELLO, "EXPN staff"], None),
    ("NOOP", [HELLO, "NOOP", "NOOP anything"], None),
    ("QUIT with an argument", [HELLO, "QUIT now"], "RFC 5321 section 4.1.1.10 gives it none; Postfix closes all the same"),
    ("RSET with an argument", [HELLO, "RSET now"], None),
    ("DATA with an argument", [HELLO, MAIL, RCPT, "DATA now"], None),
    ("unknown command", [HELLO, "FOO"], None),
    ("an empty line", [HELLO, ""], None),
    ("AUTH where there is none", [HELLO, "AUTH PLAIN AGEAYg=="], None),
    ("STARTTLS where there is none", [HELLO, "STARTTLS"], None),
    ("a browser", ["GET / HTTP/1.1"], "refused by both, and closed; Postfix calls it 221"),
    ("BDAT", [HELLO, MAIL, RCPT, "BDAT 16 LAST\r\nSubject: x\r\n\r\nhi"], None),
    ("BDAT in two chunks", [HELLO, MAIL, RCPT, "BDAT 12\r\nSubject: x\r", "BDAT 6 LAST\r\n\n\r\nhi\r"], "Postfix repairs a CR and LF "
     "that chunks divide as we do; the count here is ours"),
    ("BDAT before RCPT", [HELLO, MAIL, "BDAT 2 LAST\r\nx"], None),
    ("BDAT without a number", [HELLO, MAIL, RCPT, "BDAT x"], None),
    ("a NUL in the text", [HELLO, MAIL, RCPT, "DATA", "Subject: x\r\n\r\na\0b\r\n."], "Postfix passes NUL on unless told to strip it"),
    ("a bare LF in the text", [HELLO, MAIL, RCPT, "DATA", "Subject: x\r\n\r\na\nb\r\n."],
     "Debian's Postfix 3.7 takes a bare LF for a line end by default, which is what smuggling needs"),
    ("pipelined", [HELLO, f"{MAIL}\r\n{RCPT}\r\nDATA", TEXT], None),
)
# Answers to what is sent in one piece, where it is not one.
AMOUNT = {f"{MAIL}\r\n{RCPT}\r\nDATA": 3}


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.reply()

    def reply(self):
        """The first digit of a reply; "-" when the server has closed."""
        while True:
            line = self.file.readline()
            if not line:
                return "-"
            if line[3:4] != b"-":
                return line[:1].decode()

    def ask(self, text):
        try:
            self.socket.sendall(text.encode("utf-8") + b"\r\n")
        except OSError:
            return "-"
        try:
            return "".join(self.reply() for _ in range(AMOUNT.get(text, 1)))
        except OSError:
            return "-"

    def close(self):
        self.file.close()
        self.socket.close()


def play(port, lines):
    client = Client(port)
    try:
        return [client.ask(line) for line in lines]
    finally:
        client.close()


class Dialogues(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [("relay1", "relay", "relay"), ("store1", "store", "main")]
        stack.mail_tls = False
        stack.trusted_networks = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.postfix = PostfixRelay(cls.stack.processes, cls.stack.path("postfix"), 1, "127.0.0.1:1")
        cls.postfix.settings += "mynetworks = 192.0.2.1\nsmtpd_error_sleep_time = 0\n"
        cls.postfix.settings = cls.postfix.settings.replace("mynetworks = 127.0.0.0/8\n", "")
        cls.postfix.start()

    @classmethod
    def tearDownClass(cls):
        cls.postfix.stop()
        super().tearDownClass()

    def test_TheSameAnswersAsPostfixOrAReason(self):
        self.add_user(login="box1@example.net")
        stale = []
        for name, lines, reason in DIALOGUES:
            ours, theirs = play(self.stack.ports["smtp_relay"], lines), play(self.postfix.port, lines)
            with self.subTest(name):
                if reason is None:
                    self.assertEqual(ours, theirs, lines)
                elif ours == theirs:
                    stale.append(name)
        self.assertEqual(stale, [], "these agree: their reasons are to go")


if __name__ == "__main__":
    case.main()
