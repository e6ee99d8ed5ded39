"""A mailbox goes over from the real Dovecot, and every message keeps its UIDL."""

import os
import shutil

import case
import poplib
from pop3_peers import PASSWORD, USER, DovecotPop3

# Names as Dovecot, qmail and a person leave them.
FILES = {f"new/170000{number:04}.M{number}P7.old": f"Subject: {number}\nX-UIDL: x{number}\n\nmail {number}\n".encode()
         for number in range(20)}
FILES["cur/1600000000.M1P1.old,S=14,W=17:2,S"] = b"Subject: a\n\nb\n"
FILES["cur/1600000001.M1P1.old:2,FSab"] = b"Subject: b\n\nc\n"
FILES["cur/by-hand"] = b"Subject: c\n\nd\n"


class UidlImport(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [("store1", "store", "main")]
        stack.mail_tls = False

    def dovecot(self, settings):
        peer = DovecotPop3(self.stack.processes, self.stack.path("dovecot-pop3"), settings)
        os.makedirs(peer.directory)
        self.addCleanup(lambda: shutil.rmtree(peer.directory))
        peer.put(FILES)
        peer.start()
        self.addCleanup(peer.stop)
        return peer

    def uidls(self, port, login, password):
        """By what tells the messages apart."""
        client = case.log_in(poplib.POP3("127.0.0.1", port, timeout=60), login, password)
        try:
            numbers = range(1, client.stat()[0] + 1)
            return {b"\n".join(client.retr(number)[1]): client.uidl(number).split()[2] for number in numbers}
        finally:
            client.quit()

    def import_uidls(self, login, *arguments):
        mailbox = os.path.basename(self.maildir(login))
        return self.stack.processes.run([os.path.join(self.stack.bin, "prov-agent"), "--config",
                                         self.stack.path("hosts", "store1", "agent.toml"), "import-uidls", mailbox,
                                         *arguments]).decode()

    def move(self, peer, login):
        """As the guide has it: the files, with their names and times."""
        maildir = self.maildir(login)
        for part in ("cur", "new"):
            for name in os.listdir(os.path.join(peer.maildir, part)):
                to = os.path.join(maildir, part, name)
                shutil.copy2(os.path.join(peer.maildir, part, name), to)
                self.stack.processes.give(to)

    def go_over(self, settings, *options):
        peer = self.dovecot(settings)
        before = self.uidls(peer.port, USER, PASSWORD)
        self.assertEqual(len(before), len(FILES))
        login = self.add_user()
        self.move(peer, login)
        uidlist = os.path.join(peer.maildir, "dovecot-uidlist")
        os.chmod(uidlist, 0o644)
        self.import_uidls(login, "--dovecot-uidlist", uidlist, *options)
        after = self.uidls(self.stack.ports["pop3"], login, case.PASSWORD)
        self.assertEqual(after, before)
        # Twice does no harm, and the ids stay.
        self.assertIn(f"0 messages have got their UIDL, {len(FILES)} have it already",
                      self.import_uidls(login, "--dovecot-uidlist", uidlist, *options))
        self.assertEqual(self.uidls(self.stack.ports["pop3"], login, case.PASSWORD), before)

    def test_FromDovecotAsItComes(self):
        self.go_over("")

    def test_FromDovecotWithAFormatOfCourier(self):
        self.go_over("pop3_uidl_format = UID%u-%v", "--format", "UID%u-%v")

    def test_FromDovecotWithTheGuid(self):
        self.go_over("pop3_uidl_format = %g", "--format", "%g")

    def test_FromDovecotThatKeepsWhatItSaid(self):
        self.go_over("pop3_save_uidl = yes")

    def test_FromHeadersOfQpopper(self):
        login = self.add_user()
        for name, content in FILES.items():
            self.put_message(self.maildir(login), name, content)
        self.assertIn("20 messages have got their UIDL", self.import_uidls(login, "--x-uidl"))
        uidls = set(self.uidls(self.stack.ports["pop3"], login, case.PASSWORD).values())
        self.assertLessEqual({f"x{number}".encode() for number in range(20)}, uidls)

    def test_NotWhileSomebodyReads(self):
        login = self.add_user()
        client = self.pop3(login)
        with self.assertRaisesRegex(case.StackError, "another session has the mailbox"):
            self.import_uidls(login, "--x-uidl")
        client.quit()


if __name__ == "__main__":
    case.main()
