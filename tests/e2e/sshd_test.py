"""OpenSSH's sshd with our PAM stack: a subscriber logs in, is refused, and changes a password, as elsewhere."""

import os
import pwd
import shutil
import subprocess
import tempfile
import unittest

import case
from case import PASSWORD
from host_etc import make_etc, within
from processes import can_listen, free_port

HOST = "ftp1"
NEW = "kelp-Drum7-ostrich"
# ssh(1): its own errors; else the remote command's.
SSH_ERROR = 255


@unittest.skipIf(os.geteuid() != 0, "sshd is started by root")
class Sshd(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in (HOST, "store1")]
        stack.root_hosts.add(HOST)
        stack.provd_tables += '\n[directory.services]\nftp = ["prov-ftp", "sshd"]\n'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = cls.stack
        etc = make_etc(stack, HOST)
        os.makedirs(os.path.join(etc, "pam.d"))
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        cls.directory = tempfile.mkdtemp(prefix="prov-sshd-", dir="/tmp")
        cls.port = free_port()
        key = os.path.join(cls.directory, "host_key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        module = f"{stack.bin}/pam_prov.so config={stack.path('pam_prov.toml')}"
        with open(os.path.join(etc, "pam.d", "sshd"), "w", encoding="ascii") as file:
            file.write(f"auth required {module}\naccount required {module}\npassword required {module}\n"
                       f"session required {module}\n")
        configuration = os.path.join(cls.directory, "sshd_config")
        with open(configuration, "w", encoding="ascii") as file:
            file.write(f"ListenAddress 127.0.0.1:{cls.port}\nHostKey {key}\nPidFile none\nUsePAM yes\n"
                       "Subsystem sftp internal-sftp\nPasswordAuthentication no\nKbdInteractiveAuthentication yes\nStrictModes no\nUseDNS no\n"
                       # Their shell lets nobody do anything, which is as it should be.
                       "Match User *\n  ForceCommand internal-sftp\n")
        try:
            stack.processes.start("sshd", within(etc, "/etc", "/usr/sbin/sshd", "-D", "-e", "-f", configuration),
                                  as_root=True, ready=lambda: not can_listen(cls.port))
        except BaseException:
            case.show_logs(stack)
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.stack.processes.stop("sshd")
        shutil.rmtree(cls.directory, ignore_errors=True)
        super().tearDownClass()

    def sftp(self, login, password=PASSWORD):
        """Exit status and output of an sftp session that asks where it is."""
        ask = os.path.join(self.directory, "ask")
        with open(os.open(ask, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\necho '{password}'\n")
        environment = {"PATH": os.environ["PATH"], "HOME": self.directory, "SSH_ASKPASS": ask,
                       "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none"}
        done = subprocess.run(["sftp", "-q", "-P", str(self.port), "-o", "BatchMode=no", "-o", f"User={login}", "-o", "StrictHostKeyChecking=no", "-o",
                               "UserKnownHostsFile=/dev/null", "-o", "PreferredAuthentications=keyboard-interactive", "-o",
                               "NumberOfPasswordPrompts=1", "-b", "/dev/stdin", "127.0.0.1"], input=b"pwd\n",
                              env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        return done.returncode, done.stdout.decode(errors="replace")

    def descriptors(self):
        """Of the server itself."""
        return len(os.listdir(f"/proc/{self.stack.processes.pid('sshd')}/fd"))

    def test_TheEntitledLogInAndOthersDoNot(self):
        login, other = self.add_user("--ftp"), self.add_user()
        before = self.descriptors()
        for _ in range(3):
            status, text = self.sftp(login)
            self.assertEqual(status, 0, text)
            self.assertIn("Remote working directory", text)
        for name, password in ((login, "wrong-Passw0rd"), (other, PASSWORD), ("nobody@example.net", PASSWORD)):
            status, text = self.sftp(name, password)
            self.assertEqual(status, SSH_ERROR, text)
        # It closes its pipes to the sessions' processes in its own time.
        case.wait_until(lambda: self.descriptors() <= before, "sshd to have no more descriptors than before")

    def test_SuspensionEndsIt(self):
        login = self.add_user("--ftp")
        self.assertEqual(self.sftp(login)[0], 0)
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertEqual(self.sftp(login)[0], SSH_ERROR)

    def test_SystemAccountsMayNotLogIn(self):
        self.assertEqual(self.sftp(pwd.getpwuid(0).pw_name, "root")[0], SSH_ERROR)


if __name__ == "__main__":
    case.main()
