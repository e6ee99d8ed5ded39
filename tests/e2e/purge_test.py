"""A purge takes data out of service at once and removes it after a time; until then what comes back has it again."""

import os
import shutil
import subprocess

import case
from case import subject_message, wait_until

KEPT = '\n[purge]\ngrace = "1h"\n'
SHORT = '\n[purge]\ngrace = "1s"\n'


class Purge(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.agent_tables.update({"store1": KEPT, "ftp1": KEPT})

    def places(self, root, uid):
        """Where the data of a subscriber is, relative to `root`."""
        return [os.path.relpath(os.path.join(directory, name), root)
                for directory, names, _ in os.walk(root) for name in names if name.startswith(uid)]

    def mailbox(self, uid):
        return self.places(self.stack.mail_root(), uid)

    def home(self, uid):
        return self.places(self.stack.path("homes"), uid)

    def user_with_data(self):
        """Login and immutable id of a subscriber with a message and a file."""
        login = self.add_user("--ftp")
        uid = self.stack.provctl_json("show-user", login)["uid"]
        self.send(login, subject_message("of old"))
        self.wait_for_text(login, b"Subject: of old")
        folder = os.path.join(self.stack.path("homes"), self.home(uid)[0], "files")
        with open(os.path.join(folder, "data"), "w", encoding="utf-8") as file:
            file.write("of old")
        return login, uid

    def holds_old_mail(self, uid):
        """Whether the mailbox is in service with the message that user_with_data sent."""
        for place in self.mailbox(uid):
            directory = os.path.join(self.stack.mail_root(), place)
            for part, _, names in [] if place.startswith(".purged") else os.walk(directory):
                for name in names:
                    with open(os.path.join(part, name), "rb") as file:
                        if b"Subject: of old" in file.read():
                            return True
        return False

    def purge(self, login):
        self.stack.provctl("delete-user", login, "--wait")
        number = self.stack.provctl_json("show-user", login)["name"].split("/")[1]
        self.stack.provctl("purge-user", number, "--yes", "--wait")

    def restart(self, host, tables):
        self.stack.processes.stop(host)
        self.stack.agent_tables[host] = tables
        self.stack.start_agent(host)

    def test_PurgedDataIsOutOfServiceAndThereUntilItsTimeIsOver(self):
        login, uid = self.user_with_data()
        self.purge(login)
        self.assertEqual([os.path.dirname(place).split(os.sep)[0] for place in self.mailbox(uid)], [".purged"])
        self.assertEqual([os.path.basename(place) for place in self.home(uid)], [uid + ".files"])
        # Whoever is killed and comes back goes on with it.
        for host in ("store1", "ftp1"):
            self.stack.processes.kill(host)
            self.stack.start_agent(host)
        self.assertNotEqual(self.mailbox(uid), [])
        self.assertNotEqual(self.home(uid), [])
        for host in ("store1", "ftp1"):
            self.restart(host, SHORT)
        try:
            wait_until(lambda: not self.mailbox(uid) and not self.home(uid), "the data to be removed")
        finally:
            for host in ("store1", "ftp1"):
                self.restart(host, KEPT)
            self.stack.wait_for_engines()

    def test_PutBackDatabaseBringsMailAndFilesBack(self):
        login, uid = self.user_with_data()
        postgres = self.stack.postgres
        backup = self.stack.path("backup")

        def stop():
            self.stack.processes.stop("provd")
            self.stack.processes.stop("postgres", with_signal=2)

        def start():
            self.stack.postgres.start()
            self.stack.start_provd()
        stop()
        subprocess.run(["cp", "-a", postgres.data, backup], check=True)
        start()
        self.purge(login)
        self.assertTrue(self.mailbox(uid)[0].startswith(".purged"))
        stop()
        shutil.rmtree(postgres.data)
        subprocess.run(["cp", "-a", backup, postgres.data], check=True)
        # An older database is another one: the hosts take all of it anew.
        for host in ("store1", "ftp1"):
            self.stack.processes.stop(host)
            shutil.rmtree(self.stack.path("hosts", host, "state"))
        start()
        for host in ("store1", "ftp1"):
            self.stack.start_agent(host)
        self.stack.wait_for_engines()
        wait_until(lambda: self.holds_old_mail(uid), "the mail to come back")
        wait_until(lambda: os.path.exists(os.path.join(self.stack.path("homes"), self.home(uid)[0], "files", "data")),
                   "the home to come back")


if __name__ == "__main__":
    case.main()
