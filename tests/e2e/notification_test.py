"""What a sender is told of his mail: as he asked for it (RFC 3461), in the form of RFC 3464."""

import email

import case
from case import subject_message
from processes import free_port


class Notifications(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.smarthost = f"127.0.0.1:{free_port()}"  # nobody is there
        stack.queue_keys = 'delay_notice = "1s"'

    def ask(self, sender, recipient, message, mail_options=(), rcpt_options=()):
        with self.relay() as client:
            client.ehlo()
            self.assertTrue(client.has_extn("dsn"))
            client.sendmail(sender, [recipient], message, mail_options, rcpt_options)

    def report(self, login):
        """Fields of the one notification in a mailbox: those of the message, those of the recipient, and its last part."""
        text, = self.wait_for_messages(login, 1)
        message = email.message_from_bytes(text)
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message["Return-Path"], "<>")
        _, status, returned = message.get_payload()
        return *status.get_payload(), returned

    def test_SuccessIsToldToWhoAskedForIt(self):
        sender, recipient = self.add_user(), self.add_user()
        self.ask(sender, recipient, subject_message("tell me"), ["RET=HDRS", "ENVID=QQ+2B314"],
                 ["NOTIFY=SUCCESS", f"ORCPT=rfc822;{recipient}"])
        envelope, fields, returned = self.report(sender)
        self.assertEqual(envelope["Original-Envelope-Id"], "QQ+314")
        self.assertEqual(fields["Action"], "delivered")
        self.assertEqual(fields["Original-Recipient"], f"rfc822; {recipient}")
        self.assertTrue(fields["Status"].startswith("2."))
        self.assertEqual(returned.get_content_type(), "text/rfc822-headers")
        self.wait_for_text(recipient, b"Subject: tell me")

    def test_DelayIsToldOnceAndOnlyOnce(self):
        sender, quiet = self.add_user(), self.add_user()
        self.ask(quiet, "friend@elsewhere.org", subject_message("do not tell"), [], ["NOTIFY=FAILURE"])
        self.ask(sender, "friend@elsewhere.org", subject_message("late"))
        _, fields, _ = self.report(sender)
        self.assertEqual(fields["Action"], "delayed")
        self.assertIn("Will-Retry-Until", fields)
        # A later mail of the same sender is told of while the first is tried again and again, and is told of no more.
        self.ask(sender, "other@elsewhere.org", subject_message("later"))
        second = self.wait_for_messages(sender, 2)[1]
        self.assertIn(b"other@elsewhere.org", second)
        self.assertEqual(len(self.messages(sender)), 2)
        self.assertEqual(self.messages(quiet), [])

    def test_FailureComesBackWholeIfAskedForAndNotAtAllIfNot(self):
        # A mailbox that is full refuses for good, after the relay took the mail.
        sender, quiet, gone = self.add_user(), self.add_user(), self.add_user("--quota", "1K")
        body = subject_message("too much") + b"x" * 70 + b"\r\n" + b"y" * 900 + b"\r\n" + b"z" * 900 + b"\r\n"
        self.ask(quiet, gone, body, [], ["NOTIFY=NEVER"])
        self.ask(sender, gone, body, ["RET=FULL"])
        _, fields, returned = self.report(sender)
        self.assertEqual(fields["Action"], "failed")
        self.assertEqual(returned.get_content_type(), "message/rfc822")
        self.assertIn("z" * 900, returned.as_string())
        self.assertEqual(self.messages(quiet), [])

    def test_WishesThatAreNoneAreRefused(self):
        with self.relay() as client:
            client.ehlo()
            self.assertEqual(client.mail("a@elsewhere.org", ["RET=SOME"])[0], 555)
            self.assertEqual(client.mail("a@elsewhere.org", ["ENVID=" + "x" * 101])[0], 555)
            self.assertEqual(client.mail("a@elsewhere.org")[0], 250)
            self.assertEqual(client.rcpt("b@elsewhere.org", ["NOTIFY=NEVER,SUCCESS"])[0], 555)


class BeyondAscii(case.StackCase):
    """SMTPUTF8, RFC 6531."""

    def test_ADomainInItsOwnScriptIsTheSameDomain(self):
        self.stack.provctl("add-domain", "bücher.example", "--wait")
        login = self.add_user(login="leser@xn--bcher-kva.example")
        with self.relay() as client:
            client.ehlo()
            self.assertTrue(client.has_extn("smtputf8"))
            client.sendmail("sénder@example.org", ["leser@bücher.example"],
                            "Subject: grüße\r\n\r\nx\r\n".encode(), ["SMTPUTF8", "BODY=8BITMIME"])
        message = self.wait_for_text(login, "Subject: grüße".encode())
        self.assertIn(b"with UTF8SMTP id ", message)
        self.assertIn("Return-Path: <sénder@example.org>".encode(), message)

    def test_WithoutSmtputf8SuchAddressesAreRefused(self):
        with self.relay() as client:
            client.ehlo()
            client.command_encoding = "utf-8"
            self.assertEqual(client.docmd("MAIL", "FROM:<sénder@example.org>")[0], 553)
            self.assertEqual(client.docmd("MAIL", "FROM:<sender@example.org>")[0], 250)
            self.assertEqual(client.docmd("RCPT", "TO:<jürgen@example.net>")[0], 553)

    def test_NobodyHasSuchANameHere(self):
        with self.relay() as client:
            client.ehlo()
            self.assertEqual(client.docmd("MAIL", "FROM:<sender@example.org> SMTPUTF8")[0], 250)
            client.command_encoding = "utf-8"
            code, text = client.docmd("RCPT", "TO:<jürgen@example.net>")
            self.assertEqual(code, 550, text)


if __name__ == "__main__":
    case.main()
