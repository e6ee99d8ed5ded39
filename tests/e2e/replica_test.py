"""A replica of the directory follows, and logins go on there when the provider is gone."""

import case
from case import PASSWORD, StackError, wait_until
from processes import free_port

NEW_PASSWORD = "Quartz7-helmet-sway"


class Replica(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] == "store1"]
        # As in the operator's guide: each store asks the replica beside it once the provider does not answer.
        stack.prepare()
        stack.slapd.let_replicas_follow()
        cls.replica = stack.slapd.replica(free_port(besides=stack.ports.values()))
        stack.slapd.also_ask = cls.replica

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.replica.start()

    @classmethod
    def tearDownClass(cls):
        cls.stack.processes.stop(cls.replica.name)
        super().tearDownClass()

    def at_replica(self, login):
        """Whether the replica shows the login; not while it is still taking the directory in."""
        try:
            return bool(self.replica.search("pam", f"(uid={login})", "uid"))
        except StackError:
            return False

    def test_TheReplicaFollowsEveryChangeAndReadersSeeNoMoreThere(self):
        login = self.add_user()
        wait_until(lambda: self.replica.can_bind(login, PASSWORD), "the replica to follow")
        self.assertNotIn("mailLocalAddress", self.replica.search("pam", f"(uid={login})"))
        self.assertNotIn("userPassword", self.replica.search("mail", f"(uid={login})"))
        self.stack.provctl("suspend-user", login, "--wait")
        wait_until(lambda: not self.replica.can_bind(login, PASSWORD), "the suspension to arrive")
        self.stack.provctl("delete-user", login, "--wait")
        wait_until(lambda: not self.at_replica(login), "the entry to go")

    def test_ManyAtOnceArriveAll(self):
        rows = self.stack.path("many.ndjson")
        with open(rows, "w", encoding="utf-8") as file:
            file.write("".join(f'{{"login": "many{number}@{case.DOMAIN}"}}\n' for number in range(500)))
        self.stack.provctl("import", rows, "--wait", "--timeout", "100s")
        wait_until(lambda: self.at_replica(f"many499@{case.DOMAIN}"), "the last one to arrive")
        wait_until(lambda: len(self.replica.logins("many")) == 500, "all to arrive")
        self.stack.provctl("directory", "verify", "--timeout", "100s")

    def test_LoginsGoOnWhenTheProviderIsKilled(self):
        logins = [self.add_user() for _ in range(3)]
        for login in logins:
            wait_until(lambda login=login: self.replica.can_bind(login, PASSWORD), "the replica to follow")
        self.stack.processes.kill("slapd")
        try:
            # Nobody of them has logged in before, so nothing is cached.
            for login in logins:
                self.assertTrue(self.can_log_in(login), login)
                self.assertFalse(self.can_log_in(login, NEW_PASSWORD), login)
        finally:
            self.stack.slapd.start()
        # The replica comes back to the provider by itself.
        self.stack.provctl("set-password", logins[0], "--password-stdin", "--wait", "--timeout", "60s",
                           stdin=NEW_PASSWORD + "\n")
        wait_until(lambda: self.replica.can_bind(logins[0], NEW_PASSWORD), "the replica to follow again", 90)


if __name__ == "__main__":
    case.main()
