"""Forwarded mail comes from an address of ours, and answers to that go back to its sender (SRS)."""

import os

import case
from case import subject_message
from processes import free_port
from smtp_sink import SmtpSink

SENDER = "outside@example.org"
FRIEND = "friend@elsewhere.org"


class Rewriting(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [("relay1", "relay", "relay"), ("store1", "store", "main")]
        cls.sink_port = free_port()
        stack.smarthost = f"127.0.0.1:{cls.sink_port}"
        secret = os.path.join(stack.state, "srs.secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("the newest secret\nan older one\n")
        os.chmod(secret, 0o644)
        table = f'\n[engine.srs]\ndomain = "srs.example.net"\nsecret_file = "{secret}"\n'
        stack.agent_tables = {"relay1": table, "store1": table}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sink = SmtpSink(cls.sink_port)

    @classmethod
    def tearDownClass(cls):
        cls.sink.stop()
        super().tearDownClass()

    def sunk(self, text):
        return case.wait_until(lambda: next((m for m in self.sink.messages if text in m.text), None),
                               "the mail at the smarthost")

    def forwarded(self, sender, subject, target=FRIEND):
        """What the other domain's host gets of a mail to a subscriber who forwards."""
        login = self.add_user()
        self.stack.provctl("set-forward", login, target, "--wait")
        self.send(login, subject_message(subject), sender)
        return self.sunk(f"Subject: {subject}".encode())

    def test_AnAnswerToForwardedMailReachesItsSender(self):
        message = self.forwarded(SENDER, "forwarded")
        self.assertEqual(message.recipients, [FRIEND])
        self.assertRegex(message.sender, r"^SRS0=....=..=example\.org=outside@srs\.example\.net$")
        self.send(message.sender, subject_message("it bounced"), "")
        answer = self.sunk(b"Subject: it bounced")
        self.assertEqual((answer.sender, answer.recipients), ("", [SENDER]))
        # Hosts on the way may fold it.
        self.send(message.sender.lower(), subject_message("it bounced again"), "")
        self.assertEqual(self.sunk(b"Subject: it bounced again").recipients, [SENDER])

    def test_WhatIsRewrittenAlreadyLeadsToItsFirstForwarder(self):
        message = self.forwarded("SRS0=abcd=G3=example.org=outside@first.example", "twice")
        self.assertRegex(message.sender, r"^SRS1=....=first\.example==abcd=G3=example\.org=outside@srs\.example\.net$")
        self.send(message.sender, subject_message("back to the first"), "")
        self.assertEqual(self.sunk(b"Subject: back to the first").recipients, ["SRS0=abcd=G3=example.org=outside@first.example"])

    def test_OurOwnAndTheNullSenderStay(self):
        own = self.add_user()
        self.assertEqual(self.forwarded(own, "from one of ours").sender, own)
        self.assertEqual(self.forwarded("", "from nobody").sender, "")

    def test_AForgedAddressLeadsNowhere(self):
        sender = self.forwarded(SENDER, "to be forged").sender
        with self.relay() as client:
            client.ehlo()
            client.mail("")
            for address in (sender.replace("outside", "victim"), sender.replace("example.org", "victim.example"),
                            "SRS0=abcd=G3=example.org=outside@srs.example.net", "SRS0=@srs.example.net"):
                self.assertEqual(client.rcpt(address)[0], 550, address)


if __name__ == "__main__":
    case.main()
