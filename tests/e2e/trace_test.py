"""One id leads from the relay to the mailbox, and provctl trace tells what became of each message."""

import os
import re
import subprocess
import urllib.request

import case
from case import wait_until
from processes import free_port
from smtp_sink import SmtpSink


class Trace(case.StackCase):
    @classmethod
    def configure(cls, stack):
        cls.smarthost_port = free_port(besides=stack.ports.values())
        stack.smarthost = f"127.0.0.1:{cls.smarthost_port}"
        cls.metrics_port = free_port(besides=[*stack.ports.values(), cls.smarthost_port])
        stack.engine_keys["relay1"] = f'metrics = "127.0.0.1:{cls.metrics_port}"\n'

    def trace(self, what, *options):
        return self.stack.provctl_json("trace", what, *options)

    def events(self, what, *options):
        """Of each event: host and name."""
        return [(event["host"], event["event"]) for event in self.trace(what, *options)["events"]]

    def delivered(self, subject):
        """A message for a new mailbox, there; its login and its text there."""
        login = self.add_user()
        self.send(login, case.subject_message(subject))
        return login, self.wait_for_messages(login, 1)[0]

    def test_OneIdLeadsFromTheRelayToTheMailbox(self):
        login, message = self.delivered("one id")
        expected = {("relay1", "mail_accepted"), ("store1", "mail_delivered"), ("relay1", "mail_delivered")}
        wait_until(lambda: set(self.events(login)) == expected, "both hosts to tell")
        answer = self.trace(login)
        self.assertEqual(answer["unanswered"], [])
        ids = {event["trace"] for event in answer["events"]}
        self.assertEqual(len(ids), 1)
        trace_id = ids.pop()
        # In each Received field, and in both hosts' logs.
        self.assertEqual(re.findall(rb"\bid ([0-9a-z]{20,})", message), [trace_id.encode()] * 2)
        for host in ("relay1", "store1"):
            self.assertIn(trace_id, self.stack.processes.log_tail(host, 1000))
        # By the id, by the sender, and of one host.
        self.assertEqual(set(self.events(trace_id)), expected)
        self.assertIn(("store1", "mail_delivered"), self.events(case.SENDER))
        self.assertEqual({host for host, _ in self.events(login, "--host", "store1")}, {"store1"})
        stored = next(event for event in answer["events"] if event["host"] == "store1")
        found = subprocess.run(["find", self.stack.mail_root(), "-name", stored["details"]["file"] + "*"],
                               capture_output=True, text=True, check=True)
        self.assertEqual(len(found.stdout.splitlines()), 1, found.stdout)

    def test_AForwardIsFollowedToItsMailbox(self):
        login, target = self.add_user(), self.add_user()
        self.stack.provctl("set-forward", login, target, "--wait")
        self.send(login, case.subject_message("forwarded"))
        self.wait_for_text(target, b"Subject: forwarded")

        def ends():
            events = self.trace(login)["events"]
            return any(target in event.get("recipients", []) and event["event"] == "mail_delivered" and event["host"] == "store1"
                       for event in events)
        wait_until(ends, "the trace of the forwarded mail to end in the other mailbox")

    def metric(self, name):
        """Of the relay's engine; 0 where it is not told yet."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
        return float(lines.get(name, 0))

    def test_MonitoringSeesWhatHappensToMailAndWhatWaits(self):
        accepted = self.metric('prov_mail_events_total{event="mail_accepted"}')
        waiting = self.metric('prov_queue_messages{queue="relay"}')
        self.delivered("counted")
        self.assertEqual(self.metric('prov_mail_events_total{event="mail_accepted"}'), accepted + 1)
        domain = f"metrics{self.metrics_port}.example"
        self.send(f"someone@{domain}", case.subject_message("waits"))
        wait_until(lambda: self.metric('prov_queue_messages{queue="relay"}') > waiting, "the queue to be told of")
        self.stack.provctl("queue", "drop", "relay1", "--recipient-domain", domain, "--yes")
        wait_until(lambda: self.metric('prov_queue_messages{queue="relay"}') == waiting, "its end to be told of")

    def test_PeopleReadAHistory(self):
        login, _ = self.delivered("a history")
        wait_until(lambda: len(self.events(login)) == 3, "all to be told")
        text = self.stack.provctl("trace", login.upper(), "--since", "10m")
        lines = text.splitlines()
        self.assertIn(case.SENDER, lines[0])
        self.assertEqual(len(lines), 4, text)
        self.assertIn("accepted", lines[1])
        self.assertEqual(len([line for line in lines if " store1 " in line and " stored " in line]), 1)
        self.assertEqual(len([line for line in lines if " delivered " in line and "250 2.0.0" in line]), 1)
        self.assertIn("no host knows", self.stack.provctl("trace", f"nobody@{case.DOMAIN}"))

    def test_RefusedDeferredAndReturnedMailIsToldOf(self):
        with self.assertRaises(case.smtplib.SMTPRecipientsRefused):
            self.send(f"nobody-here@{case.DOMAIN}", case.subject_message("refused"))
        refused = wait_until(lambda: self.trace(f"nobody-here@{case.DOMAIN}")["events"], "the refusal")
        self.assertEqual([event["event"] for event in refused], ["mail_refused"])
        self.assertIn("550 5.1.1", refused[0]["reply"])
        recipient = "ann@elsewhere.example"
        self.send(recipient, case.subject_message("deferred"))
        wait_until(lambda: ("relay1", "mail_deferred") in self.events(recipient), "the deferral")
        sink = SmtpSink(self.smarthost_port)
        self.addCleanup(sink.stop)
        self.stack.provctl("queue", "flush", "relay1", "--all")
        wait_until(lambda: ("relay1", "mail_delivered") in self.events(recipient), "the delivery")
        self.assertIn("250 2.0.0 taken", self.trace(recipient)["events"][-1]["reply"])

    def test_AHostThatDoesNotAnswerIsNamed(self):
        login, _ = self.delivered("incomplete")
        wait_until(lambda: len(self.events(login)) == 3, "all to be told")
        self.stack.processes.stop("store1")
        try:
            done = subprocess.run([self.stack.path("provctl"), "trace", login], capture_output=True, text=True, timeout=60,
                                  check=False)
        finally:
            self.stack.start_agent("store1")
            self.stack.wait_for_engines()
        self.assertEqual(done.returncode, 9)
        self.assertIn("store1 did not answer", done.stderr)
        self.assertIn(" relay1 ", done.stdout)
        # What was told before it was stopped is known still.
        wait_until(lambda: len(self.events(login)) == 3, "the host to be asked again")

    def test_WhoIsNotAskedWhereMailIsMayNotAsk(self):
        for role, allowed in (("helpdesk", True), ("billing", False), ("auditor", False)):
            certificate, key = self.stack.certificate(f"{role}/mary", give=False)
            done = subprocess.run([self.stack.path("provctl"), "--certificate", certificate, "--key", key, "trace",
                                   case.SENDER], capture_output=True, text=True, timeout=60, check=False)
            with self.subTest(role):
                self.assertEqual(done.returncode, 0 if allowed else 6, done.stderr)

    def test_TheTraceOnDiskIsReadableByPeopleAndMailGoesOnWithoutIt(self):
        login, _ = self.delivered("on disk")
        directory = self.stack.path("hosts", "store1", "queue", "trace")

        def told():
            for name in os.listdir(directory):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    if any(login in line and '"event":"mail_delivered"' in line for line in file):
                        return True
            return False
        wait_until(told, "the line on disk")


if __name__ == "__main__":
    case.main()
