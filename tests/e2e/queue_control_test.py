"""Operators see what waits in a host's queue, hold it, let it go, drop it and hurry it; nobody else may."""

import os
import re
import subprocess

import case
from case import wait_until
from processes import free_port
from smtp_sink import SmtpSink

ELSEWHERE = "elsewhere.example"


class QueueControl(case.StackCase):
    @classmethod
    def configure(cls, stack):
        cls.smarthost_port = free_port(besides=stack.ports.values())
        stack.smarthost = f"127.0.0.1:{cls.smarthost_port}"
        # Nothing is tried again by itself while a test looks.
        stack.queue_first_retry = "1h"
        stack.add_clone("relay2", "relay", "relay")

    def setUp(self):
        self.sink = None

    def tearDown(self):
        if self.sink:
            self.sink.stop()
        self.stack.provctl("queue", "drop", "relay1", "--all", "--yes", "-q")

    def smarthost(self):
        self.sink = SmtpSink(self.smarthost_port)
        return self.sink

    def queue(self, *options, host="relay1"):
        return self.stack.provctl_json("queue", "show", host, *options)["messages"]

    def mail_in_queue(self, name, sender=case.SENDER):
        """Mail for somebody elsewhere, tried once in vain; its id."""
        recipient = f"{name}@{ELSEWHERE}"
        self.send(recipient, case.subject_message(name), sender)

        def tried():
            found = self.queue("--recipient", recipient)
            if not found:
                return None
            # The smarthost may be at rest since another message.
            self.stack.provctl("queue", "flush", "relay1", found[0]["id"], "-q", allow=(0, 3))
            return found[0]["recipients"][0]["attempts"] > 0 and found[0]["id"]
        return wait_until(tried, f"{name} to be tried")

    def refused(self, *arguments):
        """provctl's words and status for what it refuses."""
        done = subprocess.run([self.stack.path("provctl"), *arguments], capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.returncode, done.stderr

    def test_ShowTellsWhoWaitsAndWhy(self):
        message_id = self.mail_in_queue("ann")
        self.mail_in_queue("ben", sender="")
        message = self.queue("--recipient", f"ann@{ELSEWHERE}")[0]
        self.assertEqual(message["id"], message_id)
        self.assertEqual(message["sender"], case.SENDER)
        self.assertEqual(message["queue"], "relay")
        self.assertGreater(int(message["octets"]), 20)
        self.assertFalse(message["held"])
        self.assertIn("4.4.1", message["recipients"][0]["reason"])
        self.assertEqual(len(self.queue("--recipient-domain", ELSEWHERE.upper())), 2)
        self.assertEqual(len(self.queue("--sender", "<>")), 1)
        self.assertEqual(len(self.queue(message_id)), 1)
        self.assertEqual(len(self.queue("--limit", "1")), 1)
        self.assertEqual(self.queue("--recipient-domain", "other.example"), [])
        text = self.stack.provctl("queue", "show", "relay1")
        for expected in (message_id, f"ann@{ELSEWHERE}", case.SENDER, "4.4.1", "<>"):
            self.assertIn(expected, text)
        # The other relay of the pool has none of it.
        self.assertEqual(self.queue(host="relay2"), [])

    def test_HeldMailWaitsForItsRelease(self):
        held, free = self.mail_in_queue("carl"), self.mail_in_queue("dora")
        self.assertIn("held 1", self.stack.provctl("queue", "hold", "relay1", held))
        self.assertIn("held 0 of 1", self.stack.provctl("queue", "hold", "relay1", held))
        smarthost = self.smarthost()
        self.stack.provctl("queue", "flush", "relay1", "--recipient-domain", ELSEWHERE)
        wait_until(lambda: not self.queue(free), "the other message to be delivered")
        self.assertEqual([message.recipients for message in smarthost.messages], [[f"dora@{ELSEWHERE}"]])
        # Neither does a new engine try it.
        self.stack.processes.stop("relay1")
        self.stack.start_agent("relay1")
        self.stack.wait_for_engines()
        wait_until(lambda: self.queue(held), "the queue to be read")
        self.assertTrue(self.queue(held)[0]["held"])
        self.assertEqual(len(smarthost.messages), 1)
        self.stack.provctl("queue", "release", "relay1", "--all")
        wait_until(lambda: len(smarthost.messages) == 2, "the released message")
        wait_until(lambda: not self.queue(), "the queue to be empty")

    def test_DroppedMailIsGoneAndNobodyIsTold(self):
        dropped, kept = self.mail_in_queue("emil"), self.mail_in_queue("fay", sender="other@example.org")
        status, words = self.refused("queue", "drop", "relay1", dropped)
        self.assertEqual(status, 5)
        self.assertIn("--yes", words)
        self.assertIn("would have dropped 1", self.stack.provctl("queue", "drop", "relay1", "--sender", case.SENDER,
                                                                 "--dry-run"))
        self.assertEqual(len(self.queue(dropped)), 1)
        self.stack.provctl("queue", "drop", "relay1", "--sender", case.SENDER, "--yes")
        self.assertEqual([message["id"] for message in self.queue()], [kept])
        self.assertEqual(self.refused("queue", "drop", "relay1", dropped, "--yes")[0], 3)
        active = self.stack.path("hosts", "relay1", "queue", "relay", "active")
        self.assertEqual(os.listdir(active), [kept])
        trace = self.stack.provctl("trace", dropped)
        self.assertIn("dropped", trace)
        self.assertIn("operator/admin", trace)
        audit = self.stack.provctl("audit", "list", "--resource", "hosts/relay1")
        self.assertIn("DropQueuedMessages", audit)
        self.assertIn("operator/admin", audit)

    def test_NothingNamedIsNothingDone(self):
        self.mail_in_queue("gus")
        for command in ("hold", "release", "flush"):
            self.assertEqual(self.refused("queue", command, "relay1")[0], 5)
        self.assertEqual(self.refused("queue", "drop", "relay1", "--yes")[0], 5)
        self.assertEqual(len(self.queue()), 1)

    def test_WhoCannotBeAskedIsToldWhatToDo(self):
        status, words = self.refused("queue", "show", "nosuch")
        self.assertEqual((status, "list-hosts" in words), (3, True))
        status, words = self.refused("queue", "show", "ftp1")
        self.assertEqual((status, "neither a relay nor a store" in words), (9, True))
        self.stack.processes.stop("relay2")
        status, words = self.refused("queue", "show", "relay2")
        self.assertEqual((status, "prov-agent" in words), (9, True))
        self.stack.start_agent("relay2")

    # The port is open to the network; only provd's certificate is answered there.
    def test_AStrangerIsRefusedByTheAgent(self):
        self.mail_in_queue("hal")
        everything = b"\x0a\x02\x28\x01"  # ListQueueRequest{selection{all: true}}
        for name, grpc_status in (("operator", 7), ("relay1", 7), ("store1", 7), ("provd", 0)):
            with self.subTest(name):
                self.assertEqual(self.call_agent("relay1", name, "ListQueue", everything), grpc_status)
        without = subprocess.run(["curl", "-sS", "--http2", "--cacert", self.stack.path("tls", "ca.pem"), "--insecure",
                                  f"https://{self.stack.control_address('relay1')}/"], capture_output=True, timeout=60,
                                 check=False)
        self.assertNotEqual(without.returncode, 0)

    def call_agent(self, host, certificate, method, request):
        """The gRPC status of a call of HostControl with this certificate."""
        frame = b"\0" + len(request).to_bytes(4, "big") + request
        done = subprocess.run(
            ["curl", "-sS", "--http2", "--insecure", "-X", "POST", "--data-binary", "@-", "-D", "-", "-o", "/dev/null",
             "-H", "content-type: application/grpc", "-H", "te: trailers",
             "--cert", self.stack.path("tls", certificate + ".pem"), "--key", self.stack.path("tls", certificate + ".key"),
             f"https://{self.stack.control_address(host)}/prov.v1.HostControl/{method}"],
            input=frame, capture_output=True, timeout=60, check=False)
        found = re.search(rb"^grpc-status: (\d+)", done.stdout, re.M)
        self.assertIsNotNone(found, done.stdout + done.stderr)
        return int(found[1])


if __name__ == "__main__":
    case.main()
