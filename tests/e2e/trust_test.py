"""Who may talk to provd, and who may do what: mutual TLS, a role in each certificate, deny by default."""

import os
import signal
import socket
import ssl
import subprocess

import case
from case import DOMAIN, wait_until

DENIED, UNAVAILABLE = 6, 7
AUDITOR_CALLS_A_SECOND = 2


class Trust(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.limits = {"auditor": AUDITOR_CALLS_A_SECOND}

    def configuration(self, identity, ca_directory=None):
        """A provctl configuration for another caller; its certificate from our CA, or from a stranger's."""
        name = identity.replace("/", "-") + ("-stranger" if ca_directory else "")
        certificate, key = self.stack.path("tls", name + ".pem"), self.stack.path("tls", name + ".key")
        subprocess.run([os.path.join(self.stack.bin, "provd"), "ca", "issue", "--directory",
                        ca_directory or self.stack.path("ca"), "--identity", "prov://" + identity, "--certificate",
                        certificate, "--key", key], check=True, stdout=subprocess.DEVNULL)
        path = self.stack.path(name + ".toml")
        with open(path, "w", encoding="ascii") as file:
            file.write(f'server = "{self.stack.address("provd")}"\nca = "{self.stack.path("tls", "ca.pem")}"\n'
                       f'certificate = "{certificate}"\nkey = "{key}"\n')
        return path

    def provctl_as(self, configuration, *arguments):
        return subprocess.run([os.path.join(self.stack.bin, "provctl"), "--config", configuration, "--timeout", "5s",
                               *arguments], capture_output=True, check=False, timeout=60)

    def test_HelpdeskMayLookAndSuspendButNotBuildTheFleet(self):
        helpdesk = self.configuration("helpdesk/mary")
        login = self.add_user()
        self.assertEqual(self.provctl_as(helpdesk, "show-user", login).returncode, 0)
        self.assertEqual(self.provctl_as(helpdesk, "suspend-user", login).returncode, 0)
        refused = self.provctl_as(helpdesk, "add-pool", "evil", "--role", "store")
        self.assertEqual(refused.returncode, DENIED, refused.stderr)
        records = self.stack.provctl_json("audit", "list")["records"]
        self.assertTrue(any(record["caller"] == "helpdesk/mary" and record["method"].endswith("/CreatePool") and
                            record.get("code") == 7 for record in records), "a denied call must be in the audit")

    def test_AgentMayNotUseTheApiOfPeople(self):
        agent = self.configuration("agent/store1")
        self.assertEqual(self.provctl_as(agent, "list-users").returncode, DENIED)

    def test_UnknownRoleMayNothing(self):
        self.assertEqual(self.provctl_as(self.configuration("janitor/joe"), "list-users").returncode, DENIED)

    def test_CertificateOfAnotherCaIsRefused(self):
        stranger = self.stack.path("stranger-ca")
        os.mkdir(stranger)
        subprocess.run([os.path.join(self.stack.bin, "provd"), "ca", "init", "--directory", stranger], check=True,
                       stdout=subprocess.DEVNULL)
        done = self.provctl_as(self.configuration("operator/admin", stranger), "list-users")
        self.assertEqual(done.returncode, UNAVAILABLE, done.stderr)

    def test_PlainTextGetsNoAnswer(self):
        with socket.create_connection(("127.0.0.1", self.stack.ports["provd"]), timeout=30) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            answer = b""
            try:
                while part := plain.recv(1000):
                    answer += part
            except ConnectionResetError:
                pass
        self.assertNotIn(b"\x00\x00\x00\x04", answer[:9])  # no HTTP/2 SETTINGS frame

    def tls(self, version):
        """Shakes hands as the operator with this version of TLS alone; what was agreed, and provd's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Else our own side refuses old versions, and the test would prove nothing.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        context.load_verify_locations(self.stack.path("tls", "ca.pem"))
        context.load_cert_chain(self.stack.path("tls", "operator.pem"), self.stack.path("tls", "operator.key"))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", self.stack.ports["provd"]), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                return secure.version(), secure.getpeercert()["serialNumber"]

    def test_OldTlsIsRefused(self):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            self.assertEqual(self.tls(version)[0], name)
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.tls(version)

    def test_NewCertificateAndLogLevelAreTakenUpWhileItRuns(self):
        before = self.tls(ssl.TLSVersion.TLSv1_2)[1]
        pid = self.stack.processes.pid("provd")
        for suffix in (".pem", ".key"):
            os.rename(self.stack.path("tls", "provd" + suffix), self.stack.path("tls", "provd-old" + suffix))
        self.stack.certificate("provd/a", "provd")
        configuration = self.stack.path("provd", "provd.toml")
        with open(configuration, encoding="utf-8") as file:
            text = file.read()
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(text.replace('log_level = "info"', 'log_level = "debug"'))
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "log_level=debug" in self.stack.processes.log_tail("provd", 1000), "provd to reload")
        wait_until(lambda: self.tls(ssl.TLSVersion.TLSv1_2)[1] != before, "the new certificate to be shown")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write("listen = 4\n")
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "reload_failed" in self.stack.processes.log_tail("provd", 1000), "the error to be told")
        self.stack.provctl("list-domains")
        self.assertEqual(self.stack.processes.pid("provd"), pid)
        self.stack.write_provd_configuration()

    def test_HelpdeskLooksUpAndDoesNotExport(self):
        helpdesk = self.configuration("helpdesk/paul")
        login = self.add_user()
        self.assertEqual(self.provctl_as(helpdesk, "list-users").returncode, DENIED)
        self.assertEqual(self.provctl_as(helpdesk, "list-users", "--domain", DOMAIN).returncode, DENIED)
        found = self.provctl_as(helpdesk, "list-users", "--filter", f'login = "{login[:4]}*"')
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertIn(login.encode(), found.stdout)
        done = subprocess.run([os.path.join(self.stack.bin, "provctl"), "--config", helpdesk, "set-password", login,
                               "--password-stdin"], input=b"quiet-Harbour-71-lamp\n", capture_output=True, check=False,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_HasteOfOneCallerIsBounded(self):
        auditor = self.configuration("auditor/eve")
        others = self.configuration("auditor/other")
        program = [os.path.join(self.stack.bin, "provctl"), "--config", auditor]

        # With no time to wait, calls beyond the burst fail; as many at once, and as often, as it takes.
        def refused():
            hasty = [subprocess.Popen([*program, "--timeout", "400ms", "whoami"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE) for _ in range(40)]
            texts = [process.communicate(timeout=60)[1] for process in hasty]
            return any(b"too many calls" in text for text in texts)
        case.wait_until(refused, "a call to be refused")
        # Given time, provctl waits as it is told to; and nobody else is slowed.
        self.assertEqual(subprocess.run([*program, "whoami"], stdout=subprocess.DEVNULL, check=False, timeout=60).returncode,
                         0)
        self.assertEqual(self.provctl_as(others, "whoami").returncode, 0)
        told = [record for record in self.stack.provctl_json("audit", "list", "--limit", "1000")["records"]
                if record["caller"] == "auditor/eve" and record.get("code") == 8]
        self.assertTrue(told, "a caller's haste must be in the audit")
        self.assertLess(len(told), 10)

    def test_EveryWaitShowsEachFollower(self):
        done = subprocess.run([self.stack.path("provctl"), "add-user", f"waited@{DOMAIN}", "--no-password", "--wait"],
                              capture_output=True, check=True, timeout=60)
        for follower in ("directory", *(host for host, _, _ in self.stack.hosts)):
            self.assertIn(follower.encode(), done.stderr)


if __name__ == "__main__":
    case.main()
