"""A host's way in and out: token, certificate, renewal; revocation, eviction, ban."""

import os
import ssl
import stat
import subprocess
import time
import urllib.request

import case
from case import StackError, wait_until
from processes import free_port

LIFETIME_SECONDS = 40


def facts(path):
    """Serial and expiry of a certificate file."""
    shown = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-serial", "-enddate"], capture_output=True,
                           check=True, text=True).stdout
    fields = dict(line.split("=", 1) for line in shown.splitlines())
    return fields["serial"].lower(), ssl.cert_time_to_seconds(fields["notAfter"])


class Host:
    """A host with nothing but a configuration."""

    def __init__(self, stack, name):
        self.stack, self.name = stack, name
        self.configuration = stack.write_agent_configuration(name, "web")
        self.tls = stack._directory("hosts", name, "tls")
        with open(self.configuration, encoding="utf-8") as file:
            text = file.read()
        text = text.replace(stack.path("tls", name), os.path.join(self.tls, "agent"))
        text = text.replace(stack.path("tls", "ca.pem"), os.path.join(self.tls, "ca.pem"))
        self.metrics = f"127.0.0.1:{free_port()}"
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(f'metrics = "{self.metrics}"\n' + text)
        self.certificate, self.key = os.path.join(self.tls, "agent.pem"), os.path.join(self.tls, "agent.key")

    def enrol(self, token):
        path = os.path.join(self.tls, "token")
        with open(path, "w", encoding="ascii") as file:
            file.write(token + "\n")
        self.stack.processes.give(path)
        with open(path, "rb") as stdin:
            return self.stack.processes.run([os.path.join(self.stack.bin, "prov-agent"), "enrol", "--config",
                                             self.configuration, "--provd", self.stack.address("enrolment")],
                                            stdin=stdin, timeout=150)

    def start(self):
        self.stack.processes.start(self.name, [os.path.join(self.stack.bin, "prov-agent"), "--config",
                                               self.configuration], ready_line=f" ready host={self.name} ")

    def connected(self):
        progress = self.stack.provctl_json("show-host", self.name).get("progress", [])
        return bool(progress) and all(role["connected"] for role in progress)

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=30) as answer:
            return next(float(line.split()[-1]) for line in answer.read().decode().splitlines() if line.startswith(name))

    def log(self, lines=200):
        return self.stack.processes.log_tail(self.name, lines)


class Enrolment(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.host_certificate_lifetime = f"{LIFETIME_SECONDS}s"
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1", "pop1", "web1")]

    def setUp(self):
        self.host = self.new_host()

    def tearDown(self):
        self.stack.processes.stop(self.host.name)
        state = self.stack.provctl_json("show-host", self.host.name)["state"] if self.known() else ""
        if state == "SERVING":
            self.stack.provctl("drain-host", self.host.name)
        if state:
            self.stack.provctl("delete-host", self.host.name)

    def known(self):
        return self.host.name in self.stack.provctl("list-hosts")

    def new_host(self):
        case.StackCase.counter += 1
        return Host(self.stack, f"fresh{case.StackCase.counter}")

    def token(self, *options):
        return self.stack.provctl_json("enrol-host", self.host.name, "--pool", "web", *options)["token"]

    def caller(self, name):
        """provctl as a new caller of the helpdesk, and the serial number of its certificate."""
        directory = self.stack.path("callers")
        self.stack.provctl("issue-certificate", "helpdesk", name, "--out", directory)
        certificate = os.path.join(directory, name + ".pem")
        return [os.path.join(self.stack.bin, "provctl"), "--server", self.stack.address("provd"), "--ca",
                os.path.join(directory, "ca.pem"), "--certificate", certificate, "--key",
                os.path.join(directory, name + ".key")], facts(certificate)[0]

    def assert_refused(self, text, call, *arguments):
        with self.assertRaises(StackError) as refused:
            call(*arguments)
        self.assertIn(text, str(refused.exception))

    def follow(self):
        """Enrols the host and has its agent connect."""
        self.host.enrol(self.token())
        self.host.start()
        wait_until(self.host.connected, "the host to follow")

    def test_TokenBecomesACertificateAndTheAgentConnects(self):
        token = self.token()
        self.assert_refused("provctl enrol-host", self.host.start)  # it says what is missing
        self.host.enrol(token)
        self.assertEqual(stat.S_IMODE(os.stat(self.host.key).st_mode), 0o600)
        self.assertFalse(os.path.exists(self.host.key + ".next"))
        self.host.start()
        wait_until(self.host.connected, "the host to follow")
        certificates = self.stack.provctl_json("list-certificates", "--identity", f"agent/{self.host.name}")["certificates"]
        self.assertIn(facts(self.host.certificate)[0], [one["serial"] for one in certificates])
        # The token is nowhere: not in the audit, not in the database, not in provd's log.
        secret = token.split(".")[0]
        self.assertNotIn(secret, self.stack.provctl("-o", "json", "audit", "list", "--limit", "1000"))
        for table in ("request", "enrolment_token", "audit"):
            self.assertNotIn(secret, self.stack.postgres.psql(f"SELECT t::text FROM prov.{table} t"))
        self.assertNotIn(secret, self.stack.processes.log_tail("provd", 10000))

    def test_TokenIsGoodOnce(self):
        token = self.token()
        self.host.enrol(token)
        before = facts(self.host.certificate)
        self.assert_refused("is not good", self.host.enrol, token)
        self.assertEqual(facts(self.host.certificate), before)
        refused = [record for record in self.stack.provctl_json("audit", "list")["records"]
                   if record["method"].endswith("/Enrol") and record.get("code") == 7]
        self.assertTrue(refused, "a refused token must be in the audit")

    def test_AnswerThatWasLostIsAskedForAgain(self):
        token = self.token()
        self.host.enrol(token)
        # As if the agent had been killed between provd's answer and its own files.
        os.rename(self.host.key, self.host.key + ".next")
        os.unlink(self.host.certificate)
        self.host.enrol(token)
        self.host.start()
        wait_until(self.host.connected, "the host to follow")

    def test_CrashBetweenTheTwoFilesIsMended(self):
        self.host.enrol(self.token())
        os.rename(self.host.key, self.host.key + ".next")
        self.host.start()
        wait_until(self.host.connected, "the host to follow")
        self.assertTrue(os.path.exists(self.host.key))

    def test_ExpiredReplacedAndForeignTokensAreRefused(self):
        expired = self.token()
        self.stack.postgres.psql("UPDATE prov.enrolment_token SET expire_time = now() - interval '1 second'")
        self.assert_refused("is not good", self.host.enrol, expired)
        replaced = self.token()
        good = self.token()
        self.assert_refused("is not good", self.host.enrol, replaced)
        other = self.new_host()
        self.assert_refused("is not good", other.enrol, good)
        self.host.enrol(good)  # none of this has used it

    def test_TokenIsNotSentToAnotherCa(self):
        token = self.token()
        secret, fingerprint = token.split(".")
        wrong = ("0" if fingerprint[0] != "0" else "1") + fingerprint[1:]
        self.assert_refused("was not sent", self.host.enrol, f"{secret}.{wrong}")
        self.assertFalse(os.path.exists(self.host.certificate))
        self.host.enrol(token)

    def test_NothingElseIsServedWithoutCertificate(self):
        done = subprocess.run([self.stack.path("provctl"), "--server", self.stack.address("enrolment"), "list-users"],
                              capture_output=True, check=False, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn(b"@", done.stdout)

    def test_RevokedCallerIsRefusedWithinSeconds(self):
        provctl, serial = self.caller("mary")
        mary = [*provctl, "whoami"]
        self.assertEqual(stat.S_IMODE(os.stat(self.stack.path("callers", "mary.key")).st_mode), 0o600)
        self.assertEqual(subprocess.run(mary, capture_output=True, check=False, timeout=60).returncode, 0)
        self.stack.provctl("revoke-certificate", serial.upper(), "--reason", "laptop lost")
        refused = subprocess.run(mary, capture_output=True, check=False, timeout=60)
        self.assertEqual(refused.returncode, 6, refused.stderr)
        self.assertIn(b"revoked", refused.stderr)
        listed = self.stack.provctl_json("list-certificates", "--identity", "helpdesk/mary")["certificates"]
        self.assertEqual(listed[0]["revoke_reason"], "laptop lost")

    def test_RevocationEndsACallersOpenCall(self):
        # A host that is added and never connects keeps everybody waiting.
        self.stack.provctl("add-host", self.host.name, "--pool", "web")
        provctl, serial = self.caller("paul")
        with subprocess.Popen([*provctl, "--timeout", "2m", "wait"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as waiting:
            self.assertTrue(waiting.stderr.readline())  # it has heard of a follower
            self.stack.provctl("revoke-certificate", serial)
            self.assertIn(b"revoked", waiting.communicate(timeout=60)[1])
            self.assertEqual(waiting.returncode, 6)

    def test_RevocationEndsAnOpenStream(self):
        self.follow()
        # By another provd: this one is not told, and finds it in the database.
        serial = facts(self.host.certificate)[0]
        self.stack.postgres.psql(f"INSERT INTO prov.revoked_certificate (serial, reason) VALUES ('{serial}', 'test'); "
                                 "UPDATE prov.trust SET version = version + 1")
        wait_until(lambda: "CERTIFICATE_REVOKED" in self.host.log() or "is revoked" in self.host.log(),
                   "the agent to be told", 30)
        wait_until(lambda: not self.host.connected(), "the stream to end", 30)

    def test_EvictedHostIsCutOffAndMayEnrolAgain(self):
        self.follow()
        left_over = self.token()
        self.stack.provctl("evict-host", self.host.name, "--reason", "disk replaced")
        self.assertEqual(self.stack.provctl_json("show-host", self.host.name)["state"], "EVICTED")
        wait_until(lambda: not self.host.connected(), "the stream to end", 30)
        self.assert_refused("is not good", self.host.enrol, left_over)
        # The agent goes on trying, and follows again as soon as there is a new certificate.
        self.host.enrol(self.token())
        wait_until(self.host.connected, "the host to follow again")
        self.assertEqual(self.stack.provctl_json("show-host", self.host.name)["state"], "SERVING")

    def test_CertificatesMadeWithoutProvdAreEvictedToo(self):
        self.stack.provctl("add-host", self.host.name, "--pool", "web")
        for kind in ("certificate", "key"):
            made = dict(zip(("certificate", "key"), self.stack.certificate(f"agent/{self.host.name}", self.host.name)))
            with open(made[kind], "rb") as source, open(getattr(self.host, kind), "wb") as target:
                target.write(source.read())
            self.stack.processes.give(getattr(self.host, kind))
        os.chmod(self.host.key, 0o600)
        with open(self.stack.path("tls", "ca.pem"), "rb") as source:
            with open(os.path.join(self.host.tls, "ca.pem"), "wb") as target:
                target.write(source.read())
        self.host.start()
        wait_until(self.host.connected, "the host to follow")
        self.stack.provctl("evict-host", self.host.name)
        wait_until(lambda: not self.host.connected(), "the stream to end", 30)
        wait_until(lambda: f"call_refused caller=agent/{self.host.name}" in self.stack.processes.log_tail("provd", 1000) and
                   "evicted; enrol again" in self.stack.processes.log_tail("provd", 1000), "the agent to be refused", 30)

    def test_BannedHostMayNeverEnrol(self):
        self.follow()
        left_over = self.token()
        self.stack.provctl("ban-host", self.host.name, "--reason", "stolen", "--yes")
        wait_until(lambda: not self.host.connected(), "the stream to end", 30)
        self.assert_refused("is not good", self.host.enrol, left_over)
        self.assert_refused("banned", self.stack.provctl, "enrol-host", self.host.name)
        self.assert_refused("banned", self.stack.provctl, "evict-host", self.host.name)

    def test_AgentRenewsByItself(self):
        self.follow()
        pid = self.stack.processes.pid(self.host.name)
        serial, expires = facts(self.host.certificate)
        key = os.stat(self.host.key).st_ino
        wait_until(lambda: facts(self.host.certificate)[0] != serial, "a renewed certificate", 3 * LIFETIME_SECONDS)
        wait_until(lambda: "sync_reconnecting" in self.host.log(), "the stream to begin anew")
        # When the first one is over, streams of its kind are ended; this one goes on, with the second.
        wait_until(lambda: time.time() > expires + 2, "the first certificate to expire", 3 * LIFETIME_SECONDS)
        wait_until(self.host.connected, "the host to follow")
        self.assertNotIn("has expired", self.host.log())
        self.assertNotEqual(os.stat(self.host.key).st_ino, key, "the key is renewed as well")
        self.assertEqual(self.stack.processes.pid(self.host.name), pid)

    def test_RenewalThatFailsIsComplainedOf(self):
        # As if the CA were away: what provd is asked for, it refuses.
        self.follow()
        self.stack.postgres.psql("ALTER TABLE prov.certificate RENAME TO certificate_away")
        try:
            wait_until(lambda: "certificate_renewal_failed" in self.host.log(), "the complaint", 3 * LIFETIME_SECONDS)
            wait_until(lambda: self.host.metric("prov_agent_certificate_renewal_failures") > 0, "the metric")
            self.assertAlmostEqual(self.host.metric("prov_agent_certificate_expiry_time_seconds"),
                                   facts(self.host.certificate)[1], delta=1)
        finally:
            self.stack.postgres.psql("ALTER TABLE prov.certificate_away RENAME TO certificate")
        serial = facts(self.host.certificate)[0]
        wait_until(lambda: facts(self.host.certificate)[0] != serial, "a renewed certificate", 3 * LIFETIME_SECONDS)


if __name__ == "__main__":
    case.main()
