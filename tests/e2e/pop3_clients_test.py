"""Programs that fetch mail from us, with 10 000 messages: all of it comes, unchanged, and is gone after QUIT.

getmail6 is not among them: 6.18 forks for each delivery, and stalls for minutes where the child ends before it waits for it.
"""

import hashlib
import os
import re
import subprocess
import tempfile

import case
from case import PASSWORD

MANY = 10_000


def message(number):
    """Unlike all others, with lines that begin with dots and octets that are no text."""
    return (f"From: sender@example.org\r\nSubject: mail {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
            f".{number}\r\n..\r\n").encode() + bytes(range(0xa1, 0xff)) + b"\r\n" + b"x" * (number % 300) + b"\r\nend " + \
        str(number).encode() + b"\r\n"


def body(text):
    return text.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1].rstrip(b"\n")


class Pop3Clients(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [("store1", "store", "main")]
        stack.mail_tls = False

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="prov-client-", dir="/tmp")
        self.addCleanup(self.directory.cleanup)
        self.port = str(self.stack.ports["pop3"])

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def private_file(self, name, content):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(content)
        return self.path(name)

    def mailbox(self, count):
        """A login whose mailbox has so many messages, put there as another server's files would be."""
        login = self.add_user()
        maildir = self.maildir(login)
        for number in range(count):
            self.put_message(maildir, f"new/{1_700_000_000 + number}.M{number}P1.host",
                             message(number).replace(b"\r\n", b"\n"))
        return login

    def run_client(self, *arguments, environment=None, **options):
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=900, env=dict(os.environ, HOME=self.directory.name, **(environment or {})), **options)
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace")[-2000:])
        return done.stdout

    def check_bodies(self, found, count=MANY):
        """`found`: bodies, in any order."""
        self.assertEqual(len(found), count)
        wanted = {hashlib.sha256(body(message(number))).digest() for number in range(count)}
        self.assertEqual({hashlib.sha256(text).digest() for text in found} ^ wanted, set())

    def mbox_bodies(self, path):
        with open(path, "rb") as file:
            text = file.read()
        parts = re.split(rb"(?m)^From [^\n]*\n", text)[1:]
        return [body(part) for part in parts]

    def test_PoplibOctetForOctet(self):
        login = self.mailbox(MANY)
        client = self.pop3(login)
        sizes = [len(message(number)) for number in range(MANY)]
        self.assertEqual(client.stat(), (MANY, sum(sizes)))
        self.assertEqual([int(line.split()[1]) for line in client.list()[1]], sizes)
        self.assertEqual(len({line.split()[1] for line in client.uidl()[1]}), MANY)
        for number in range(MANY):
            got = b"".join(line + b"\r\n" for line in client.retr(number + 1)[1])
            self.assertEqual(got, message(number))
            client.dele(number + 1)
        self.assertEqual(client.stat(), (0, 0))
        client.quit()
        self.assertEqual(self.messages(login), [])

    def test_Mpop(self):
        login = self.mailbox(MANY)
        configuration = self.private_file("mpoprc", f"""account default
host 127.0.0.1
port {self.port}
user {login}
auth user
password {PASSWORD}
tls off
keep off
delivery mbox {self.path("mbox")}
uidls_file {self.path("uidls")}
""")
        self.run_client("mpop", "-q", "-C", configuration)
        self.check_bodies(self.mbox_bodies(self.path("mbox")))
        self.assertEqual(self.messages(login), [])

    def test_Fetchmail(self):
        login = self.mailbox(MANY)
        configuration = self.private_file("fetchmailrc", f"""poll 127.0.0.1 protocol pop3 port {self.port}
  auth password username "{login}" password "{PASSWORD}" sslproto ''
  bsmtp {self.path("batch")} fetchall no rewrite
""")
        self.run_client("fetchmail", "--nosyslog", "--silent", "-f", configuration,
                        environment={"FETCHMAILHOME": self.directory.name})
        with open(self.path("batch"), "rb") as file:
            batch = file.read().replace(b"\r\n", b"\n")
        parts = [part.split(b"\n.\n", 1)[0] for part in batch.split(b"\nDATA\n")[1:]]
        self.check_bodies([body(re.sub(rb"(?m)^\.\.", b".", part) + b"\n") for part in parts])
        self.assertEqual(self.messages(login), [])

    def test_CurlListsAndFetches(self):
        login = self.mailbox(50)
        netrc = self.private_file("netrc", f"machine 127.0.0.1 login {login} password {PASSWORD}\n")
        listing = self.run_client("curl", "-sS", "--netrc-file", netrc, f"pop3://127.0.0.1:{self.port}/")
        self.assertEqual(len(listing.splitlines()), 50)
        urls = [f"pop3://127.0.0.1:{self.port}/{number}" for number in range(1, 51)]
        got = self.run_client("curl", "-sS", "--netrc-file", netrc, *urls)
        self.assertEqual(got, b"".join(message(number) for number in range(50)))
        self.run_client("curl", "-sS", "--netrc-file", netrc, "-I", "-X", "DELE", f"pop3://127.0.0.1:{self.port}/50")
        self.assertEqual(len(self.messages(login)), 49)

    def test_MuttReadsAndDeletes(self):
        login = self.mailbox(50)
        configuration = self.private_file("muttrc", f"""set pop_pass = "{PASSWORD}"
set pop_authenticators = "user"
set ssl_starttls = no
set ssl_force_tls = no
set pop_delete = yes
set quit = yes
set delete = yes
set confirmappend = no
set confirmcreate = no
set mbox_type = mbox
set folder = "{self.directory.name}"
push "<tag-pattern>~A<enter><tag-prefix><save-message>{self.path('mbox')}<enter><quit>"
""")
        user = login.replace("@", "%40")
        self.run_client("script", "-qec", f"stty rows 24 cols 80; mutt -n -F {configuration} -f pop://{user}@127.0.0.1:{self.port}/", "/dev/null",
                        environment={"TERM": "xterm", "LANG": "C.UTF-8"})
        self.check_bodies(self.mbox_bodies(self.path("mbox")), 50)
        self.assertEqual(self.messages(login), [])


if __name__ == "__main__":
    case.main()
