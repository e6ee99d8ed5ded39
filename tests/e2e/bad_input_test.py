"""Bad input gets a code and the field's name, and leaves nothing half-written."""

import json
import subprocess

import case
from case import DOMAIN, PASSWORD

NOT_FOUND, EXISTS, INVALID = 3, 4, 5


class BadInput(case.StackCase):
    def refuse(self, code, field, *arguments, stdin=""):
        """provctl ends with `code` and an error that names `field`."""
        before = self.stack.provctl_json("status")["head_revision"]
        done = subprocess.run([self.stack.path("provctl"), *arguments], input=stdin.encode(), capture_output=True,
                              check=False, timeout=60)
        text = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, text)
        self.assertIn(field, text)
        self.assertLess(len(text), 2000, "an error must not echo a megabyte")
        self.assertNotRegex(text, r"[\x00-\x08\x0b-\x1f\x7f]")
        self.assertEqual(self.stack.provctl_json("status")["head_revision"], before, "something was written")

    def test_BadLogins(self):
        for login in ("alice", "@" + DOMAIN, f"a b@{DOMAIN}", f"*@{DOMAIN}", f"a)(uid=*@{DOMAIN}", f"a\\2a@{DOMAIN}",
                      f"../x@{DOMAIN}", f"a\nb@{DOMAIN}", f"a\x1b[31m@{DOMAIN}", "x" * 100_000 + "@" + DOMAIN,
                      f"|sh@{DOMAIN}", "a@127.0.0.1", f"a@@{DOMAIN}"):
            with self.subTest(login[:40]):
                self.refuse(INVALID, "login", "add-user", login, "--password-stdin", stdin=PASSWORD + "\n")

    def test_UnknownDomainAndPool(self):
        self.refuse(NOT_FOUND, "login", "add-user", "a@unknown.example", "--password-stdin", stdin=PASSWORD + "\n")
        self.refuse(NOT_FOUND, "pool", "add-user", f"pooled@{DOMAIN}", "--pool", "nowhere", "--password-stdin",
                    stdin=PASSWORD + "\n")

    def test_DuplicateLoginAndAddress(self):
        login, other = self.add_user(), self.add_user()
        self.refuse(EXISTS, "login", "add-user", login.upper(), "--password-stdin", stdin=PASSWORD + "\n")
        self.refuse(EXISTS, "address", "add-alias", other, login)

    def test_WeakAndEmptyPasswords(self):
        for password in ("", "short1", "password", "aaaaaaaaaaaa", "x" * 100_000, "tab\x07bell-Quartz9", "alice12345"):
            with self.subTest(password[:20]):
                self.refuse(INVALID, "password", "add-user", f"weak@{DOMAIN}", "--password-stdin",
                            stdin=password + "\n")

    def test_BadNamesAndLabels(self):
        for name in ("line\nfeed", "escape\x1b[2J", "n" * 100_000):
            with self.subTest(name[:20]):
                self.refuse(INVALID, "display_name", "add-user", f"named@{DOMAIN}", "--name", name, "--password-stdin",
                            stdin=PASSWORD + "\n")
        self.refuse(INVALID, "labels", "add-user", f"labelled@{DOMAIN}", "--label", "k=" + "v" * 1000,
                    "--password-stdin", stdin=PASSWORD + "\n")

    def test_InvalidUtf8(self):
        done = subprocess.run([self.stack.path("provctl").encode(), b"add-user", f"utf@{DOMAIN}".encode(), b"--name",
                               b"\xff\xfe", b"--password-stdin"], input=PASSWORD.encode() + b"\n", capture_output=True,
                              check=False, timeout=60)
        self.assertEqual(done.returncode, INVALID, done.stderr)
        self.assertIn(b"display_name", done.stderr)

    def test_UnknownSubscriber(self):
        for command in ("show-user", "suspend-user", "resume-user", "delete-user", "undelete-user"):
            with self.subTest(command):
                self.refuse(NOT_FOUND, "name", command, f"nobody@{DOMAIN}")

    def test_BadForward(self):
        login = self.add_user()
        self.refuse(INVALID, "forward", "set-forward", login, "|/bin/sh")
        self.refuse(INVALID, "forward", "set-forward", login, *[f"t{n}@{DOMAIN}" for n in range(21)])

    def test_PasswordIsInNoLogAuditOrTable(self):
        secret = "Zebra9-Unseen-Cobalt"
        self.add_user(password=secret)
        for name in self.stack.processes.names():
            with open(self.stack.processes.log_path(name), encoding="utf-8", errors="replace") as log:
                self.assertNotIn(secret, log.read(), name)
        dump = subprocess.run(["/bin/sh", "-c", 'exec "$0" -h "$1" -p "$2" -U prov prov', "pg_dump",
                               self.stack.postgres.socket_directory, str(self.stack.postgres.port)],
                              capture_output=True, check=True)
        self.assertNotIn(secret.encode(), dump.stdout)

    def test_AuditTellsWhoDidWhat(self):
        login = self.add_user()
        self.stack.provctl("suspend-user", login, "--reason", "unpaid")
        records = self.stack.provctl_json("audit", "list")["records"]
        suspended = next(record for record in records if record["method"].endswith("/SuspendSubscriber"))
        self.assertEqual(suspended["caller"], "operator/admin")
        self.assertEqual(json.loads(suspended["after_json"])["state"], "SUSPENDED")


if __name__ == "__main__":
    case.main()
