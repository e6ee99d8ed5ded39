"""Mail to other domains goes to their mail exchangers: RFC 5321 section 5.1, RFC 7505; with a real DNS server, and real
SMTP servers at port 25 of loopback addresses of their own."""

import os
import socket
import unittest

import case
from case import subject_message, wait_until
from nsd import Nsd

FIRST, SECOND, BUSY, GREY, NOBODY = "127.88.0.1", "127.88.0.2", "127.88.0.3", "127.88.0.4", "127.88.0.9"
SIX = "::1"
ZONE = [
    f"first A {FIRST}", f"second A {SECOND}", f"busy A {BUSY}", f"grey A {GREY}", f"nobody A {NOBODY}", f"six AAAA {SIX}",
    "order MX 20 second", "order MX 10 first", "order MX 5 nobody",
    "greeting MX 5 busy", "greeting MX 10 second",
    "later MX 5 grey", "later MX 10 second",
    f"implicit A {FIRST}",
    "none MX 0 .",
    "loop MX 10 relay1.example.net.", "loop MX 20 first",
    "backup MX 10 first", "backup MX 20 relay1.example.net.", "backup MX 30 second",
    "v6 MX 10 six",
    "homeless MX 10 nothere",
    "bare TXT nothing",
    "late MX 10 first",
]


def can_serve(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, 25))
        except OSError:
            return False
    return True


@unittest.skipIf(not can_serve(FIRST), "mail exchangers listen at port 25, which another has or which needs root")
class Mx(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[1] in ("relay", "store")]
        cls.dns = Nsd(stack.processes, stack.path("nsd"))
        stack.resolvers = [cls.dns.address()]

    @classmethod
    def setUpClass(cls):
        cls.sinks = {}
        super().setUpClass()
        try:
            cls.dns.write({"test": ZONE})
            cls.dns.start()
            for address, options in ((FIRST, ()), (SECOND, ()), (BUSY, ("-r", "connect")), (GREY, ("-r", "rcpt")), (SIX, ())):
                if can_serve(address):
                    cls.start_sink(address, options)
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        for name in cls.sinks:
            cls.stack.processes.stop(name)
        cls.dns.stop()
        super().tearDownClass()

    @classmethod
    def start_sink(cls, address, options):
        name = f"smtp-sink-{len(cls.sinks)}"
        directory = cls.stack.path(name)
        os.makedirs(directory)
        cls.stack.processes.give(directory)
        cls.sinks[name] = address
        listen = f"[{address}]:25" if ":" in address else f"{address}:25"
        cls.stack.processes.start(name, ["/usr/sbin/smtp-sink", "-u", cls.stack.processes.user.pw_name, *options, "-d",
                                         f"{directory}/mail.", listen, "100"],
                                  ready=lambda: not can_serve(address), as_root=True)

    def received(self, address):
        """All that the exchanger at this address took, as one text."""
        directory = self.stack.path(next(name for name, place in self.sinks.items() if place == address))
        texts = []
        for file_name in sorted(os.listdir(directory)):
            with open(os.path.join(directory, file_name), encoding="latin-1") as file:
                texts.append(file.read())
        return "\n".join(texts)

    def assert_arrives(self, domain, address):
        subject = f"mail for {domain} {self.id()}"
        self.send(f"someone@{domain}", subject_message(subject))
        wait_until(lambda: f"body of {subject}" in self.received(address), f"mail for {domain} at {address}")

    def assert_returned(self, domain, status):
        sender = self.add_user()
        self.send(f"someone@{domain}", subject_message("does not arrive"), sender=sender)
        notification = self.wait_for_text(sender, b"Action: failed")
        self.assertIn(b"Status: " + status, notification)
        self.assertIn(f"someone@{domain}".encode(), notification)

    def waiting(self):
        return len(os.listdir(self.stack.path("hosts", "relay1", "queue", "relay", "active")))

    def test_ExchangersAreTriedInOrderUntilOneAnswers(self):
        self.assert_arrives("order.test", FIRST)
        self.assertNotIn("mail for order.test", self.received(SECOND))

    def test_AnExchangerThatGreetsWithNotNowIsPassedOver(self):
        self.assert_arrives("greeting.test", SECOND)

    def test_WhatOneExchangerPutsOffTheNextMayTake(self):
        self.assert_arrives("later.test", SECOND)

    def test_ADomainWithoutExchangersTakesItsMailItself(self):
        self.assert_arrives("implicit.test", FIRST)

    def test_ABackupOfADomainSendsToBetterOnesOnly(self):
        self.assert_arrives("backup.test", FIRST)

    def test_ExchangersAreReachedByIPv6(self):
        if SIX not in self.sinks.values():
            self.skipTest("there is no IPv6, or another listens at port 25")
        self.assert_arrives("v6.test", SIX)

    def test_ANullExchangerReturnsMail(self):
        self.assert_returned("none.test", b"5.1.10")

    def test_ADomainThatDoesNotExistReturnsMail(self):
        self.assert_returned("nothere.test", b"5.1.2")

    def test_ExchangersWithoutAddressesReturnMail(self):
        self.assert_returned("homeless.test", b"5.4.4")
        self.assert_returned("bare.test", b"5.4.4")

    def test_MailThatWouldComeBackToUsIsReturned(self):
        self.assert_returned("loop.test", b"5.4.6")

    def test_MailWaitsWhileDnsIsDownAndArrivesAfterwards(self):
        self.dns.stop()
        try:
            self.send("someone@late.test", subject_message("patient"))
            wait_until(lambda: "4.4.3" in self.stack.processes.log_tail("relay1", 1000), "the delivery to be deferred")
            self.assertEqual(self.waiting(), 1)
        finally:
            self.dns.start()
        wait_until(lambda: "body of patient" in self.received(FIRST), "the mail to arrive")
        wait_until(lambda: self.waiting() == 0, "the queue to be empty")


if __name__ == "__main__":
    case.main()
