"""Programs that people use against us: swaks, msmtp, curl, mpop, fetchmail, ldapsearch, pamtester."""

import os
import subprocess
import tempfile

import case
from case import DOMAIN, PASSWORD, SENDER, subject_message


class Clients(case.StackCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="prov-client-", dir="/tmp")
        self.addCleanup(self.directory.cleanup)

    def run_client(self, *arguments, stdin=b"", allow=(0,), environment=None):
        done = subprocess.run(arguments, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=60, env=environment)
        self.assertIn(done.returncode, allow, f"{arguments[0]}: {done.stdout.decode(errors='replace')}")
        return done.stdout

    def private_file(self, name, content):
        path = os.path.join(self.directory.name, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(content)
        return path

    def delivered(self, subject):
        login = self.add_user()
        self.send(login, subject_message(subject))
        self.wait_for_text(login, f"Subject: {subject}".encode())
        return login

    def test_SwaksDelivers(self):
        login = self.add_user()
        self.run_client("swaks", "--server", "127.0.0.1", "--port", str(self.stack.ports["smtp_relay"]), "--to", login,
                        "--from", SENDER, "--header", "Subject: by swaks", "--helo", "client.example.org")
        self.wait_for_text(login, b"Subject: by swaks")

    def test_SwaksSpeaksLmtpToTheStore(self):
        login = self.add_user()
        self.run_client("swaks", "--protocol", "LMTP", "--server", "127.0.0.1", "--port",
                        str(self.stack.ports["smtp_store"]), "--to", login, "--from", SENDER, "--header",
                        "Subject: by lmtp", "--helo", "client.example.org")
        self.wait_for_text(login, b"Subject: by lmtp")

    def test_MsmtpDelivers(self):
        login = self.add_user()
        self.run_client("msmtp", "--host=127.0.0.1", f"--port={self.stack.ports['smtp_relay']}", f"--from={SENDER}",
                        "--domain=client.example.org", "--tls=off", "--auth=off", login,
                        stdin=b"Subject: by msmtp\n\nhello\n")
        self.wait_for_text(login, b"Subject: by msmtp")

    def test_CurlSendsAndReads(self):
        login = self.add_user()
        message = self.private_file("mail", "Subject: by curl\r\n\r\nhello\r\n")
        self.run_client("curl", "-sS", f"smtp://127.0.0.1:{self.stack.ports['smtp_relay']}/client.example.org",
                        "--mail-from", SENDER, "--mail-rcpt", login, "--upload-file", message)
        self.wait_for_text(login, b"Subject: by curl")
        netrc = self.private_file("netrc", f"machine 127.0.0.1 login {login} password {PASSWORD}\n")
        got = self.run_client("curl", "-sS", "--netrc-file", netrc, f"pop3://127.0.0.1:{self.stack.ports['pop3']}/1")
        self.assertIn(b"Subject: by curl", got)

    def test_MpopFetchesEachMailOnce(self):
        login = self.delivered("for mpop")
        mbox = os.path.join(self.directory.name, "mbox")
        configuration = self.private_file("mpoprc", f"""account default
host 127.0.0.1
port {self.stack.ports['pop3']}
user {login}
auth user
password {PASSWORD}
tls off
keep on
delivery mbox {mbox}
uidls_file {os.path.join(self.directory.name, "uidls")}
""")
        for _ in range(2):
            self.run_client("mpop", "-C", configuration)
        with open(mbox, "rb") as file:
            self.assertEqual(file.read().count(b"Subject: for mpop"), 1)

    def test_FetchmailFetchesAndDeletes(self):
        login = self.delivered("for fetchmail")
        store = os.path.join(self.directory.name, "fetched")
        configuration = self.private_file("fetchmailrc", f"""poll 127.0.0.1 protocol pop3 port {self.stack.ports['pop3']}
  auth password username "{login}" password "{PASSWORD}" sslproto ''
  mda "/usr/bin/tee -a {store}" fetchall
""")
        environment = dict(os.environ, HOME=self.directory.name, FETCHMAILHOME=self.directory.name)
        self.run_client("fetchmail", "--nosyslog", "-f", configuration, environment=environment)
        with open(store, "rb") as file:
            self.assertIn(b"Subject: for fetchmail", file.read())
        self.assertEqual(self.messages(login), [])

    def test_LdapsearchFindsTheSubscriberAsMailSoftwareDoes(self):
        login = self.add_user("--name", "Lea Search")
        found = self.stack.slapd.search("mail", f"(mailLocalAddress={login})", "uid", "mailHost", "userPassword")
        self.assertIn(f"uid: {login}", found)
        self.assertIn("mailHost: main", found)
        self.assertNotIn("userPassword", found)
        self.assertIn("associatedDomain: " + DOMAIN,
                      self.stack.slapd.search("mail", f"(associatedDomain={DOMAIN})", "associatedDomain"))
        found = self.stack.slapd.search("pam", f"(uid={login})", "authorizedService", "mailLocalAddress")
        self.assertIn("authorizedService: prov-pop3", found)
        self.assertNotIn("mailLocalAddress", found)

    def pamtester(self, service, login, password, *operations):
        """pamtester reads /etc/pam.d only: it sees ours there, in a mount namespace of its own."""
        script = 'mount --bind "$1" /etc/pam.d; shift; exec pamtester "$@"'
        return subprocess.run(["unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)), "sh", "-ec",
                               script, "sh", self.stack.path("pam.d"), service, login, *operations],
                              input=password.encode() + b"\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False, timeout=60)

    def test_PamtesterAuthenticatesByEntitlement(self):
        login = self.add_user()
        for service, password, good in (("prov-pop3", PASSWORD, True), ("prov-pop3", "wrong-Passw0rd-x", False),
                                        ("prov-ftp", PASSWORD, False)):
            done = self.pamtester(service, login, password, "authenticate", "acct_mgmt")
            self.assertEqual(done.returncode == 0, good, f"{service}: {done.stdout.decode()}")


if __name__ == "__main__":
    case.main()
