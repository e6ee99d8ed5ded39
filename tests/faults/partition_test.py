"""A clone that is cut off from the storage it shares with another one, whose sessions go on.

Nothing is lost that its reader has not deleted with a confirmed QUIT, nothing comes back after one, and who talks to
the clone is told the truth (docs/decisions/0028)."""

import poplib
import select
import smtplib
import socket

from partition import CUT_OFF, OTHER, PartitionCase, answer, begin_quit, case, subjects_of
from case import PASSWORD, SENDER, subject_message, wait_until

END = b"\r\n.\r\n"
# More than the buffers on the way to a client that does not read.
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * (1 << 20)
# Of the engine, for mailboxes: agents/engine.cc.
POP3_THREADS = 16


def begin_login(login, port):
    """A session whose password has been sent; its answer is awaited later."""
    client = poplib.POP3("127.0.0.1", port, timeout=60)
    client.user(login)
    client.sock.sendall(f"PASS {PASSWORD}\r\n".encode())
    return client


def begin_download(login, port):
    """A session that has read as much as the reply to its first RETR; the socket, and what came of the message."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"USER {login}\r\nPASS {PASSWORD}\r\nRETR 1\r\n".encode())
    got = b""
    while b" octets\r\n" not in got:
        got += connection.recv(1024)
    return connection, got.partition(b" octets\r\n")[2]


def rest_of(connection, end=b""):
    """All that comes until `end`, or until the connection ends."""
    pieces, tail = [], b""
    while not end or not tail.endswith(end):
        piece = connection.recv(1 << 20)
        if not piece:
            break
        pieces.append(piece)
        tail = (tail + piece)[-len(end or b"."):]
    return b"".join(pieces)


class StorageFails(PartitionCase):
    """As NFS that is mounted soft, or a server that answers with errors."""

    HOW = "EIO"

    def test_ACutOffQuitIsRefusedAndRemovesNothing(self):
        login = self.filled("one", "two", "three")
        cut_off = self.open(login, CUT_OFF)
        cut_off.dele(1)
        self.begin()
        other = self.open(login)
        other.dele(2)
        self.assertTrue(other.quit().startswith(b"+OK"))
        begin_quit(cut_off)
        self.assertTrue(answer(cut_off).startswith(b"-ERR [SYS/TEMP]"))
        self.assertTrue(self.logged("messages_not_removed", login, "Input/output error"))
        self.heal()
        self.assertEqual(self.subjects(login, CUT_OFF), ["one", "three"])

    def test_AQuitAfterThePartitionIsRefusedWhileTheOtherCloneHasTheMailbox(self):
        login = self.filled("one", "two")
        cut_off = self.open(login, CUT_OFF)
        cut_off.dele(1)
        self.begin()
        other = self.open(login)
        self.heal()
        begin_quit(cut_off)
        self.assertTrue(answer(cut_off).startswith(b"-ERR [SYS/TEMP]"))
        self.assertTrue(self.logged("messages_not_removed", login, "another session has the mailbox"))
        self.assertEqual(subjects_of(other), ["one", "two"])
        other.quit()

    def test_APartOfAMessageIsNeverTakenForTheWhole(self):
        login = self.add_user()
        self.put_message(self.maildir(login), "new/1.M1P1.host", LARGE)
        connection, begun = begin_download(login, self.stack.ports["pop3"])
        with connection:
            self.begin()
            got = begun + rest_of(connection)
        self.assertLess(len(got), len(LARGE))
        self.assertFalse(got.endswith(END))
        self.assertTrue(self.logged("message_unreadable", login))
        self.heal()
        self.assertEqual(self.messages(login), [LARGE])

    def test_MailThatACutOffHostCannotStoreIsPutOffAndKeptNowhere(self):
        login = self.filled()
        self.begin()
        with self.lmtp(CUT_OFF) as client, self.assertRaises(smtplib.SMTPDataError) as refused:
            client.sendmail(SENDER, [login], subject_message("refused"))
        self.assertEqual(refused.exception.smtp_code, 451)
        self.heal()
        self.assertEqual(self.subjects(login, CUT_OFF), [])

    def test_MailThatACutOffHostPutsOffComesThroughTheOtherClone(self):
        login = self.filled()
        sent = []
        self.begin()

        def put_off():
            sent.append(f"mail {len(sent)}")
            self.send(login, subject_message(sent[-1]))
            return self.logged("delivery_failed", login)
        wait_until(put_off, "the cut-off clone to be drawn")
        wait_until(lambda: len(self.subjects(login)) >= len(sent), "all mail, through the other clone")
        self.heal()
        self.assertEqual(sorted(self.subjects(login, CUT_OFF)), sorted(sent))


class StorageHangs(PartitionCase):
    """As NFS that is mounted hard."""

    HOW = "hang"

    @classmethod
    def configure(cls, stack):
        super().configure(stack)
        stack.hosts.append(("pop1", "pop-proxy", "pop"))

    def greeting(self):
        with socket.create_connection(("127.0.0.1", self.stack.ports["pop3"]), timeout=60) as connection:
            return connection.recv(512)

    def quit_in_partition(self, login):
        """A session on the cut-off clone whose QUIT, with message 1 deleted, waits; and one that the other clone
        has begun meanwhile."""
        cut_off = self.open(login, CUT_OFF)
        cut_off.dele(1)
        self.begin()
        other = self.open(login)
        begin_quit(cut_off)
        self.wait_for_stopped()
        return cut_off, other

    def test_AQuitThatWaitedIsRefusedIfTheOtherCloneHasTheMailboxThen(self):
        login = self.filled("one", "two", "three")
        cut_off, other = self.quit_in_partition(login)
        self.heal()
        self.assertTrue(answer(cut_off).startswith(b"-ERR [SYS/TEMP]"))
        self.assertEqual(subjects_of(other), ["one", "two", "three"])
        other.quit()

    def test_AQuitThatWaitedMayRemoveOnceTheOtherCloneIsDone(self):
        login = self.filled("one", "two", "three")
        cut_off, other = self.quit_in_partition(login)
        other.dele(2)
        self.assertTrue(other.quit().startswith(b"+OK"))
        self.heal()
        self.assertTrue(answer(cut_off).startswith(b"+OK"))
        self.assertEqual(self.subjects(login, CUT_OFF), ["three"])
        self.assertEqual(self.subjects(login), ["three"])

    def test_ADownloadWaitsAndIsWhole(self):
        login = self.add_user()
        self.put_message(self.maildir(login), "new/1.M1P1.host", LARGE)
        connection, begun = begin_download(login, self.stack.ports["pop3"])
        with connection:
            self.begin()
            # Octets that were under way come, and the end mark does not.
            while not self.stopped("read"):
                if select.select([connection], [], [], 0.01)[0]:
                    begun += connection.recv(1 << 16)
            self.assertFalse(begun.endswith(END))
            self.heal()
            self.assertEqual(begun + rest_of(connection, END), LARGE[:-2] + END)

    def test_MailThatWaitedIsDeliveredOnce(self):
        login = self.filled()
        self.begin()
        client = self.lmtp(CUT_OFF)
        client.ehlo_or_helo_if_needed()
        client.mail(SENDER)
        client.rcpt(login)
        client.putcmd("DATA")
        self.assertEqual(client.getreply()[0], 354)
        client.send(subject_message("waited") + b".\r\n")
        self.wait_for_stopped()
        self.heal()
        self.assertEqual(client.getreply()[0], 250)
        client.quit()
        self.assertEqual(self.subjects(login), ["waited"])

    def test_MailThatHangsInAHostThatIsKilledComesThroughTheOtherClone(self):
        login = self.filled()
        sent = []
        self.addCleanup(self.stack.start_agent, "store1")
        self.begin()

        def waits():
            sent.append(f"mail {len(sent)}")
            self.send(login, subject_message(sent[-1]))
            return self.stopped()
        wait_until(waits, "the cut-off clone to be drawn")
        self.stack.processes.kill("store1")
        wait_until(lambda: len(self.subjects(login)) >= len(sent), "all mail, through the other clone")
        self.heal()
        self.stack.start_agent("store1")
        self.assertEqual(sorted(self.subjects(login, CUT_OFF)), sorted(sent))

    def test_AHostWhoseThreadsAllHangSaysSoAndIsPassedOverUntilItIsHealed(self):
        logins = [self.filled("one") for _ in range(POP3_THREADS + 1)]
        self.begin()
        waiting = [begin_login(login, self.stack.ports["pop3"]) for login in logins]
        self.wait_for_stopped(count=POP3_THREADS)
        # Each is told, whether a thread hangs for it or it has none; and who comes then need not even log in.
        for client in waiting:
            self.assertEqual(answer(client), b"-ERR [SYS/TEMP] Try again later\r\n")
        self.assertTrue(self.greeting().startswith(b"-ERR [SYS/TEMP]"))
        for login in logins[:4]:
            self.pop3(login, port="pop3_proxy").quit()
        self.heal()
        wait_until(lambda: self.greeting().startswith(b"+OK"), "the healed host to take sessions")
        for login in logins:
            self.assertEqual(self.subjects(login, CUT_OFF), ["one"])

    def test_AHostThatHangsForAFewStillGreets(self):
        login = self.filled("one")
        self.begin()
        client = begin_login(login, self.stack.ports["pop3"])
        self.wait_for_stopped()
        self.assertTrue(self.greeting().startswith(b"+OK"))
        self.heal()
        self.assertTrue(answer(client).startswith(b"+OK"))


if __name__ == "__main__":
    case.main()
