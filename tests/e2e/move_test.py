"""Mailboxes that move between store pools: nothing lost, nothing twice, UIDLs unchanged, whoever dies."""

import os
import poplib
import threading

import case
from case import SENDER, StackError, subject_message, wait_until

KILLS = int(os.environ.get("PROV_KILLS", "3"))


class Move(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.add_store("store2", "second")

    def fill(self, login, subjects):
        with self.relay() as client:
            for subject in subjects:
                client.sendmail(SENDER, [login], subject_message(subject))
        self.wait_for_count(login, len(subjects))

    def wait_for_count(self, login, count, port="pop3_proxy"):
        wait_until(lambda: len(self.uidls(login, port)) >= count, f"{count} messages of {login}")

    def uidls(self, login, port="pop3_proxy"):
        client = self.pop3(login, port=port)
        try:
            return [line.split()[1] for line in client.uidl()[1]]
        finally:
            client.quit()

    def subjects(self, login):
        def subject(message):
            return next(line[9:] for line in message.split(b"\r\n") if line.startswith(b"Subject: ")).decode()
        return sorted(subject(message) for message in self.messages(login, port="pop3_proxy"))

    def move(self, login, to_pool):
        return self.stack.provctl_json("move-mailbox", login, "--to", to_pool, "--wait", "--timeout", "60s")

    def begin(self, login, to_pool):
        return self.stack.provctl_json("move-mailbox", login, "--to", to_pool)["name"].split("/")[1]

    def state(self, move):
        return self.stack.provctl_json("show-move", move)

    def wait_until_done(self, move):
        wait_until(lambda: self.state(move)["state"] == "DONE", f"move {move} to end", 90)

    def mailbox_directories(self, pool, login):
        mailbox = self.stack.provctl_json("show-user", login)["uid"]
        found = []
        for directory, names, _ in os.walk(self.stack.mail_root(pool)):
            found += [os.path.join(directory, name) for name in names if name.startswith(mailbox)]
        return found

    def test_MailIsReadAtTheNewPoolUnderTheSameUidls(self):
        login = self.add_user("--pool", "main")
        subjects = [f"mail {number}" for number in range(30)]
        self.fill(login, subjects)
        client = self.pop3(login, port="pop3_proxy")
        client.retr(1)  # which flags it
        client.dele(2)
        client.quit()
        before, read = self.uidls(login), self.subjects(login)
        move = self.move(login, "second")
        self.assertEqual((move["state"], move["from_pool"], move["to_pool"]), ("DONE", "pools/main", "pools/second"))
        self.assertEqual(move["octets_copied"], move["octets_total"])
        self.assertEqual(self.uidls(login), before)
        self.assertEqual(self.subjects(login), read)
        self.assertEqual(self.uidls(login, port="pop3_store2"), before)
        self.assertFalse(self.can_log_in(login, port="pop3"))
        self.assertEqual(self.mailbox_directories("main", login), [])
        self.assertEqual(len(self.mailbox_directories("second", login)), 1)
        self.assertIn("pools/second", str(self.stack.provctl_json("show-user", login)))
        self.fill(login, ["afterwards"])
        # And back, where nothing of it is known any more.
        self.move(login, "main")
        self.assertEqual(self.subjects(login), sorted(read + ["afterwards"]))
        self.assertEqual(self.uidls(login)[:len(before)], before)

    def test_MailThatComesMeanwhileIsKept(self):
        login = self.add_user("--pool", "main")
        sent, stop = [], threading.Event()

        def send():
            while not stop.is_set():
                subject = f"meanwhile {len(sent)}"
                self.send(login, subject_message(subject))
                sent.append(subject)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for to_pool in ("second", "main", "second"):
                count = len(sent)
                wait_until(lambda count=count: len(sent) > count + 5, "some mail")
                self.move(login, to_pool)
        finally:
            stop.set()
            sender.join()
        self.wait_for_count(login, len(sent))
        self.assertEqual(self.subjects(login), sorted(sent))

    def test_MoveWaitsForASessionAndThenGoesOn(self):
        login = self.add_user("--pool", "main")
        self.fill(login, ["one", "two"])
        client = self.pop3(login, port="pop3_proxy")
        move = self.begin(login, "second")
        wait_until(lambda: self.state(move).get("error"), "the move to say what it waits for")
        self.assertIn("session", self.state(move)["error"])
        self.assertEqual(self.state(move)["state"], "SWITCHING")
        self.assertIn("two", str(client.retr(2)[1]))
        client.dele(1)
        client.quit()
        self.wait_until_done(move)
        self.assertEqual(self.subjects(login), ["two"])

    def test_CancelledMoveLeavesTheMailboxWhereItIs(self):
        login = self.add_user("--pool", "main")
        self.fill(login, ["stays"])
        self.stack.processes.stop("store2")
        self.addCleanup(self.stack.start_agent, "store2")
        move = self.begin(login, "second")
        self.assertEqual(self.state(move)["state"], "COPYING")
        self.stack.provctl("delete-pool", "second", allow=(9,))
        self.stack.provctl("cancel-move", move)
        self.assertEqual(self.state(move)["state"], "CANCELLED")
        self.stack.start_agent("store2")
        self.stack.provctl("wait", "--timeout", "60s")
        self.assertEqual(self.subjects(login), ["stays"])
        self.assertEqual(self.mailbox_directories("second", login), [])
        self.assertEqual(self.stack.provctl_json("list-moves").get("moves", []), [])

    def test_WhatCannotMoveIsRefusedInWords(self):
        login = self.add_user("--pool", "main")
        for arguments, words in (((login, "--to", "main"), "pools/main"), ((login, "--to", "relay"), "store"),
                                 ((login, "--to", "nowhere"), "nowhere"), (("nobody@" + case.DOMAIN, "--to", "second"),
                                                                          "nobody")):
            with self.assertRaises(StackError) as refused:
                self.stack.provctl("move-mailbox", *arguments)
            self.assertIn(words, str(refused.exception).split("\n", 1)[1])
        with self.assertRaises(StackError) as refused:
            self.stack.provctl("cancel-move", "999999")
        self.assertIn("999999", str(refused.exception))

    def test_WhoIsKilledGoesOn(self):
        login = self.add_user("--pool", "main")
        subjects = [f"kill {number}" for number in range(200)]
        self.fill(login, subjects)
        before = self.uidls(login)
        for round_number in range(KILLS):
            to_pool = ("second", "main")[round_number % 2]
            for victim in ("store2", "provd", "store1"):
                move = self.begin(login, to_pool)
                wait_until(lambda move=move: self.moving(move), "the move to be under way")
                self.stack.processes.kill(victim)
                if victim == "provd":
                    self.stack.start_provd()
                else:
                    self.stack.start_agent(victim)
                wait_until(lambda move=move: self.ended(move), f"move {move} to end", 90)
                to_pool = "main" if to_pool == "second" else "second"
        self.stack.provctl("wait", "--timeout", "60s")
        wait_until(lambda: self.can_log_in(login, port="pop3_proxy"), "the mailbox to be open")
        self.assertEqual(self.uidls(login), before)
        self.assertEqual(self.subjects(login), sorted(subjects))

    def moving(self, move):
        state = self.state(move)
        return state["state"] != "COPYING" or int(state.get("octets_copied", 0)) > 0

    def ended(self, move):
        try:
            return self.state(move)["state"] == "DONE"
        except StackError:
            return False


if __name__ == "__main__":
    case.main()
