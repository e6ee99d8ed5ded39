"""Maintenance without a lost session: who is drained ends what it began, newcomers go to its clones."""

import poplib
import re
import smtplib
import subprocess

import case
from case import PASSWORD, SENDER, log_in, subject_message, wait_until

NOT_CONVERGED = 8


class Drain(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1", "pop1")]
        stack.add_store("store2", "main")
        stack.add_clone("relay2", "relay", "relay")

    def in_progress(self, host):
        """Sessions and deliveries, as provd knows them: none, before an agent's first word is written down."""
        return sum(int(role.get("sessions", 0)) for role in self.stack.provctl_json("show-host", host)["progress"])

    def drain(self, host):
        """provctl drain-host --wait, under way."""
        return subprocess.Popen([self.stack.path("provctl"), "drain-host", host, "--wait", "--timeout", "2m"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def assert_waits(self, draining):
        """It has said that something is in progress, and goes on."""
        for line in draining.stdout:
            if "in progress" in line:
                break
        else:
            self.fail(f"drain-host ended with {draining.wait()} and did not wait")
        self.assertIsNone(draining.poll())

    def assert_idle(self, draining, host):
        told = draining.communicate(timeout=120)[0]
        self.assertEqual(draining.returncode, 0, told)
        self.assertIn(f"{host} is idle and may be stopped", told)

    def store_of_latest_session(self, login):
        """Where the proxy took it; what provd knows of sessions is a second old."""
        with open(self.stack.processes.log_path("pop1"), encoding="utf-8", errors="replace") as log:
            return [re.search(r" host=(\S+)", line)[1] for line in log if f" pop3_proxy_session login={login} " in line][-1]

    def stores_of(self, login):
        """Which stores the login's messages came through, newest last."""
        return [next(host for host in ("store1", "store2") if f"by {host}.example.net".encode() in message)
                for message in self.messages(login, port="pop3_proxy")]

    def test_SessionsOfADrainedStoreGoOnAndItsCloneTakesTheRest(self):
        login = self.add_user()
        self.send(login, subject_message("before"))
        wait_until(lambda: len(self.messages(login, port="pop3_proxy")) == 1, "the mail")
        session = self.pop3(login, port="pop3_proxy")
        drained = self.store_of_latest_session(login)
        other = "store1" if drained == "store2" else "store2"
        wait_until(lambda: self.in_progress(drained) == 1, "the session to be counted")
        draining = self.drain(drained)
        try:
            self.assert_waits(draining)
            self.assertEqual(session.stat()[0], 1)
            for number in range(3):
                self.send(login, subject_message(f"meanwhile {number}"))
            # The session holds the mailbox: others are told to come again, by the clone.
            self.stack.provctl("add-user", "second@example.net", "--password-stdin", "--wait", stdin=PASSWORD + "\n")
            second = self.pop3("second@example.net", port="pop3_proxy")
            wait_until(lambda: self.in_progress(other) >= 1, "the clone's session to be counted")
            self.assertEqual(self.in_progress(drained), 1)
            second.quit()
            self.assertEqual(session.retr(1)[0][:3], b"+OK")
            session.quit()
            self.assert_idle(draining, drained)
        finally:
            draining.kill()
            draining.wait()
        # As it said, it may be stopped.
        self.stack.processes.stop(drained)
        self.send(login, subject_message("while it is stopped"))
        wait_until(lambda: len(self.messages(login, port="pop3_proxy")) == 5, "all mail")
        self.assertEqual(self.stores_of(login)[1:], [other] * 4)
        self.stack.start_agent(drained)
        self.stack.provctl("undrain-host", drained, "--wait")
        with_it = self.pop3(login, port="pop3_proxy")
        wait_until(lambda: self.in_progress(drained) == 1, "its sessions to come back to it")
        with_it.quit()

    def test_ADrainedRelayEndsItsSessionAndSendsNewcomersToTheOther(self):
        login = self.add_user()
        port = self.stack.ports["smtp_relay"]
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as session:
            session.ehlo("client.example.org")
            session.mail(SENDER)
            wait_until(lambda: self.in_progress("relay1") >= 1, "the session to be counted")
            draining = self.drain("relay1")
            try:
                self.assert_waits(draining)
                with self.assertRaises(smtplib.SMTPConnectError) as refused:
                    smtplib.SMTP("127.0.0.1", port, timeout=60)
                self.assertEqual(refused.exception.smtp_code, 421)
                with smtplib.SMTP("127.0.0.1", self.stack.ports["smtp_relay_relay2"], timeout=60) as other:
                    other.sendmail(SENDER, [login], subject_message("by the other"))
                session.rcpt(login)
                self.assertEqual(session.data(subject_message("by the drained one"))[0], 250)
                session.quit()
                self.assert_idle(draining, "relay1")
            finally:
                draining.kill()
                draining.wait()
        self.stack.provctl("undrain-host", "relay1", "--wait")
        self.send(login, subject_message("by the one that is back"))
        found = wait_until(lambda: [m for m in [self.messages(login)] if len(m) == 3], "all three")[0]
        for text in (b"by the other", b"by the drained one", b"by the one that is back"):
            self.assertTrue(any(text in message for message in found), text)

    def test_TheLastHostOfAPoolServesAlthoughItIsDrained(self):
        login = self.add_user()
        self.stack.provctl("drain-host", "pop1", "--wait")
        try:
            session = log_in(poplib.POP3("127.0.0.1", self.stack.ports["pop3_proxy"], timeout=60), login)
            wait_until(lambda: self.in_progress("pop1") == 1, "the session to be counted")
            self.assertIn("1 in progress", self.stack.provctl("show-host", "pop1"))
            # A wait whose time is up says what is there still, and leaves the host drained.
            self.stack.provctl("drain-host", "pop1", "--wait", "--timeout", "2s", allow=(NOT_CONVERGED,))
            self.assertEqual(self.stack.provctl_json("show-host", "pop1")["state"], "DRAINED")
            session.quit()
        finally:
            self.stack.provctl("undrain-host", "pop1", "--wait")


if __name__ == "__main__":
    case.main()
