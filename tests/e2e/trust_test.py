"""Who may talk to provd, and who may do what: mutual TLS, a role in each certificate, deny by default."""

import os
import socket
import subprocess

import case
from case import DOMAIN

DENIED, UNAVAILABLE = 6, 7


class Trust(case.StackCase):
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

    def test_EveryWaitShowsEachFollower(self):
        done = subprocess.run([self.stack.path("provctl"), "add-user", f"waited@{DOMAIN}", "--no-password", "--wait"],
                              capture_output=True, check=True, timeout=60)
        for follower in ("directory", *(host for host, _, _ in self.stack.hosts)):
            self.assertIn(follower.encode(), done.stderr)


if __name__ == "__main__":
    case.main()
