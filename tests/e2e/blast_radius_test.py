"""Mass changes stop and wait for an operator's word: at the API, in the schedule, in the directory and on a host."""

import subprocess

import case
from case import StackError, wait_until

MOST = 5  # of one caller
MOST_ENTRIES = 3  # of one comparison of the directory


class BlastRadius(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.provd_tables = f"[blast_radius]\nchanges = {MOST}\npercent = 0\n"
        stack.provd_directory = f"most_removals = {MOST_ENTRIES}"

    def setUp(self):
        # The operator of the stack is not what is tested.
        self.stack.provctl("approve", "api/operator/admin", "--changes", "100000")

    def caller(self, identity):
        certificate, key = self.stack.certificate(identity, give=False)
        return "--certificate", certificate, "--key", key

    def add_users(self, count):
        logins = [self.new_login() for _ in range(count)]
        for login in logins:
            self.stack.provctl("add-user", login, "--no-password")
        return logins

    def state(self, login):
        return self.stack.provctl_json("show-user", login)["state"]

    def stopped(self):
        return [one["target"] for one in self.stack.provctl_json("list-stopped")["stopped_callers"]]

    def assert_refused(self, reason, *command):
        with self.assertRaises(StackError) as refused:
            self.stack.provctl(*command)
        self.assertIn(reason, str(refused.exception))

    def test_CallerIsStoppedAndStaysSoUntilAnOperatorSaysAWord(self):
        billing = self.caller("billing/crm")
        logins = self.add_users(2 * MOST + 2)
        for login in logins[:MOST]:
            self.stack.provctl(*billing, "delete-user", login)
        self.stack.provctl(*billing, "delete-user", logins[MOST], "--dry-run", allow=range(10))
        self.assertEqual(self.stopped(), [])  # a rehearsal stops nobody
        self.assert_refused("provctl approve api/billing/crm", *billing, "delete-user", logins[MOST])
        self.assertEqual(self.state(logins[MOST]), "ACTIVE")
        self.assertEqual(self.stopped(), ["api/billing/crm"])
        self.assert_refused("stopped", *billing, "suspend-user", logins[MOST])
        # What gives, and what others do, goes on.
        self.stack.provctl(*billing, "undelete-user", logins[0])
        self.stack.provctl(*self.caller("billing/shop"), "suspend-user", logins[MOST + 1])
        self.assert_refused("may not call", *self.caller("helpdesk/mary"), "approve", "api/billing/crm", "--changes", "9")
        self.assert_refused("may not call", *billing, "approve", "api/billing/crm", "--changes", "9")
        self.assert_refused("is none of", "approve", "billing/crm", "--changes", "9")
        # A restart forgets nothing.
        self.stack.processes.kill("provd")
        self.stack.start_provd()
        self.assert_refused("stopped", *billing, "delete-user", logins[MOST])
        self.stack.provctl("approve", "api/billing/crm", "--changes", str(MOST + 1))
        for login in logins[MOST:2 * MOST + 1]:
            self.stack.provctl(*billing, "delete-user", login)
        self.assert_refused("more than 6", *billing, "delete-user", logins[2 * MOST + 1])
        shown = self.stack.provctl("audit", "list", "--resource", "api/billing/crm")
        self.assertIn("ApproveChanges", shown)
        self.assertIn("DeleteSubscriber", shown)  # when it was stopped
        self.stack.provctl("approve", "api/billing/crm", "--changes", "1")

    def test_RowsOfAnImportAreCountedAsCallsAre(self):
        billing = self.caller("billing/file")
        logins = self.add_users(MOST + 1)
        path = self.stack.path("close.ndjson")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f'{{"login": "{login}", "state": "CLOSED"}}\n' for login in logins)
        self.assert_refused("provctl approve api/billing/file", *billing, "import", path)
        self.assertEqual({self.state(login) for login in logins}, {"ACTIVE"})
        self.stack.provctl("approve", "api/billing/file", "--changes", str(MOST + 1))
        self.stack.provctl(*billing, "import", path)
        self.assertEqual({self.state(login) for login in logins}, {"CLOSED"})

    def test_ScheduleAndPurgeWaitToo(self):
        billing = self.caller("billing/nightly")
        logins = self.add_users(MOST + 3)
        for login in logins:
            self.stack.provctl(*billing, "suspend-user", login, "--at", "+30d")
        self.stack.postgres.psql("UPDATE prov.scheduled_change SET effective_time = now() - interval '1 second'")
        wait_until(lambda: "api/billing/nightly" in self.stopped(), "the caller to be stopped")
        self.assertEqual(sorted(map(self.state, logins)), ["ACTIVE"] * 3 + ["SUSPENDED"] * MOST)
        waiting = self.stack.provctl_json("list-scheduled")["scheduled_changes"]
        self.assertEqual(len(waiting), 3)
        for change in waiting:
            self.assertIn("waits", change["error"])
        self.stack.provctl("approve", "api/billing/nightly", "--changes", "10")
        wait_until(lambda: set(map(self.state, logins)) == {"SUSPENDED"}, "the others")

        names = [self.stack.provctl_json("show-user", login)["name"].split("/")[1] for login in logins]
        for login in logins:
            self.stack.provctl("delete-user", login)
        # As with a clock that is years ahead.
        self.stack.postgres.psql("UPDATE prov.subscriber SET expire_time = now() - interval '1 second' "
                                 "WHERE state = 'closed'")
        wait_until(lambda: "api/provd/expiry" in self.stopped(), "the purge to be stopped")
        self.assertIn("CLOSED", [self.state(name) for name in names])
        self.stack.provctl("approve", "api/provd/expiry", "--changes", "1000")
        wait_until(lambda: {self.state(name) for name in names} == {"PURGED"}, "the purge of the others")

    def test_DirectoryWaitsForAWord(self):
        slapd = self.stack.slapd
        ldif = "".join(f"dn: dc=extra{number}.example,ou=domains,{slapd.base}\nobjectClass: domain\n"
                       "objectClass: domainRelatedObject\nobjectClass: provDomain\n"
                       f"dc: extra{number}.example\nassociatedDomain: extra{number}.example\nprovRevision: 1\n\n"
                       for number in range(40))
        subprocess.run(["ldapadd", "-x", "-H", slapd.ldapi, "-D", slapd.publisher_dn, "-y", slapd.publisher_password_file],
                       input=ldif.encode(), stdout=subprocess.DEVNULL, check=True, timeout=60)
        self.assert_refused("provctl approve directory --changes 40", "directory", "repair")
        self.assertIn("extra0.example", slapd.search("mail", "(dc=extra0.example)"))
        self.stack.provctl("approve", "directory", "--changes", "39")
        self.assert_refused("provctl approve directory", "directory", "repair")
        self.stack.provctl("approve", "directory", "--changes", "40")
        self.stack.provctl("directory", "repair")
        self.assertEqual(slapd.search("mail", "(dc=extra0.example)"), "")

    def test_HostKeepsItsCopyUntilTheWordIsGiven(self):
        logins = self.add_users(15)
        self.stack.provctl("wait")
        self.stack.processes.stop("relay1")
        for login in logins:
            self.stack.provctl("delete-user", login)
        self.stack.start_agent("relay1")

        def held():
            roles = self.stack.provctl_json("show-host", "relay1")["progress"]
            return [item["error"] for role in roles for item in role["failing"] if item["key"] == "removals"]
        error = wait_until(held, "the host to stop")[0]
        self.assertIn("provctl approve hosts/NAME --changes 15", error)
        # Behind at first; stuck, with the cause, once nothing moves.
        wait_until(lambda: "would remove 15" in self.stack.provctl("status"), "the status to tell why")
        # It routes as before.
        with self.relay() as client:
            client.ehlo("client.example.org")
            client.mail(case.SENDER)
            self.assertEqual(client.rcpt(logins[0])[0], 250)
        self.assert_refused("no host", "approve", "hosts/nowhere", "--changes", "15")
        self.stack.provctl("approve", "hosts/store1", "--changes", "15")  # another's word
        self.stack.provctl("approve", "hosts/relay1", "--changes", "15")
        self.stack.provctl("wait", "--timeout", "90s")
        with self.relay() as client:
            client.ehlo("client.example.org")
            client.mail(case.SENDER)
            self.assertEqual(client.rcpt(logins[0])[0], 550)


if __name__ == "__main__":
    case.main()
