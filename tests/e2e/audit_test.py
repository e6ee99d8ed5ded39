"""Who did what: it can be listed, told as a history, and not be edited quietly."""

import re
import subprocess

import case
from case import DOMAIN, PASSWORD

DENIED, CONFLICT = 6, 9


class Audit(case.StackCase):
    def provctl(self, *arguments, caller=None):
        """Runs provctl, as another caller if one is named; the finished process."""
        identity = []
        if caller:
            certificate, key = self.stack.certificate(caller, give=False)
            identity = ["--certificate", certificate, "--key", key]
        return subprocess.run([self.stack.path("provctl"), *identity, *arguments], capture_output=True, check=False,
                              timeout=60, text=True)

    def verify(self, *arguments):
        return self.provctl("audit", "verify", *arguments)

    def head(self):
        return re.search(r"^head (\d+:[0-9a-f]{64})$", self.verify().stdout, re.M).group(1)

    def sql(self, statement):
        """As the tables' owner."""
        return self.stack.postgres.psql(statement)

    def test_UntouchedLogIsWholeAndComesToANotedHead(self):
        self.add_user()
        noted = self.head()
        self.provctl("add-pool", "evil", "--role", "store", caller="helpdesk/mary")
        self.add_user()
        done = self.verify("--head", noted)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("the audit log is whole", done.stdout)
        since = self.stack.provctl_json("audit", "verify", "--from", noted)
        self.assertTrue(since["complete"])
        self.assertGreaterEqual(int(since["records_checked"]), 2)

    def test_ChangedRecordIsNamed(self):
        self.add_user()
        record = int(self.head().split(":")[0]) - 1
        self.sql(f"UPDATE prov.audit SET caller = caller || 'x' WHERE id = {record}")
        done = self.verify()
        self.assertEqual(done.returncode, CONFLICT)
        self.assertIn(f"broken at record {record}: record {record} was changed", done.stderr)
        told = self.provctl("-o", "json", "audit", "verify")
        self.assertIn(f'"first_broken_id": "{record}"', told.stdout)
        self.assertIn('"CHANGED"', told.stdout)
        self.sql(f"UPDATE prov.audit SET caller = left(caller, -1) WHERE id = {record}")
        self.assertEqual(self.verify().returncode, 0)

    def test_RecordsThatAreGoneAreNamed(self):
        for _ in range(3):
            self.add_user()
        noted = self.head()
        last = int(noted.split(":")[0])
        self.sql(f"CREATE TABLE public.kept AS SELECT * FROM prov.audit WHERE id >= {last - 2}; "
                 "CREATE TABLE public.kept_head AS SELECT * FROM prov.audit_head")
        self.sql(f"DELETE FROM prov.audit WHERE id = {last - 1}")
        self.assertIn(f"record {last - 1} is missing", self.verify().stderr)
        self.sql(f"DELETE FROM prov.audit WHERE id >= {last - 1}")
        self.assertIn(f"the log ends at record {last - 2}, and {last} were written", self.verify().stderr)
        # With the head set back too, only what was noted elsewhere tells.
        self.sql("UPDATE prov.audit_head SET (id, hash) = (SELECT id, hash FROM prov.audit ORDER BY id DESC LIMIT 1)")
        self.assertEqual(self.verify().returncode, 0)
        cut = self.verify("--head", noted)
        self.assertEqual(cut.returncode, CONFLICT)
        self.assertIn(f"broken at record {last - 1}", cut.stderr)
        self.sql(f"INSERT INTO prov.audit SELECT * FROM public.kept WHERE id > {last - 2}; "
                 "UPDATE prov.audit_head SET (id, hash) = (SELECT id, hash FROM public.kept_head); "
                 "DROP TABLE public.kept, public.kept_head")
        self.assertEqual(self.verify("--head", noted).returncode, 0)

    def test_ProvdsOwnRoleCannotEditTheLog(self):
        connection = self.stack.postgres.connection()
        for statement in ("UPDATE prov.audit SET caller = 'me'", "DELETE FROM prov.audit", "TRUNCATE prov.audit",
                          "DROP TABLE prov.audit", "SET ROLE prov",
                          "GRANT ALL ON prov.audit TO provd; UPDATE prov.audit SET caller = 'me'"):
            with self.subTest(statement):
                done = subprocess.run(["psql", "-X", "-d", connection, "-c", statement], capture_output=True, check=False,
                                      timeout=60, text=True, **self.stack.processes._identity())
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, "permission denied|must be owner")
        with open(self.stack.processes.log_path("provd"), encoding="utf-8") as log:
            text = log.read()
        self.assertNotIn("audit_not_protected", text)
        self.assertRegex(text, r"audit_head id=\d+ hash=[0-9a-f]{64}", "noted where logs go")

    def test_HistoryTellsWhoChangedWhatFieldByField(self):
        login = self.add_user("--label", "billing=4711")
        self.provctl("suspend-user", login, "--reason", "unpaid", caller="helpdesk/mary")
        self.stack.provctl("set-password", login, "--password-stdin", stdin=PASSWORD + "x\n")
        told = self.stack.provctl_json("history", login)
        self.assertEqual([record["method"].rsplit("/")[-1] for record in told["records"]],
                         ["SetPassword", "SuspendSubscriber", "CreateSubscriber"])
        suspended = told["records"][1]
        self.assertEqual(suspended["caller"], "helpdesk/mary")
        self.assertIn("127.0.0.1", suspended["peer"])
        fields = {field["field"]: (field["before"], field["after"]) for field in suspended["fields"]}
        self.assertEqual(fields["state"], ("ACTIVE", "SUSPENDED"))
        self.assertEqual(fields["suspend_reason"], (None, "unpaid"))
        self.assertEqual(self.stack.provctl_json("history", told["resource"].removeprefix("subscribers/")), told)
        shown = self.stack.provctl("history", login)
        self.assertRegex(shown, r"state +ACTIVE → SUSPENDED")
        self.assertRegex(shown, r"Z  helpdesk/mary  SuspendSubscriber  from 127\.0\.0\.1:\d+  revision \d+")
        stored = self.sql("SELECT string_agg(password_hash, ' ') FROM prov.subscriber")
        self.assertIn("$", stored)
        for secret in (PASSWORD, *stored.split()):
            self.assertNotIn(secret, shown + str(told))
        self.assertEqual(self.provctl("history", f"nobody-there@{DOMAIN}").returncode, 3)

    def test_HelpdeskSeesTheHistoryOfOneAndNotTheLogOfAll(self):
        login = self.add_user()
        self.assertEqual(self.provctl("history", login, caller="helpdesk/john").returncode, 0)
        for arguments in (("audit", "list"), ("audit", "list", "--resource", "subscribers/"),
                          ("history", f"domains/{DOMAIN}"), ("audit", "verify")):
            self.assertEqual(self.provctl(*arguments, caller="helpdesk/john").returncode, DENIED, arguments)
        refused = self.stack.provctl_json("audit", "list", "--caller", "helpdesk/john")["records"]
        self.assertEqual([(record["method"].rsplit("/")[-1], record["code"]) for record in refused],
                         [("VerifyAuditLog", 7)] + [("ListAuditRecords", 7)] * 3, "every denied call is audited")

    def test_AgentThatLiesIsInTheLog(self):
        self.stack.provctl("add-host", "liar", "--pool", "relay")
        self.stack.certificate("agent/liar", "liar")
        try:
            self.stack.processes.start("liar", [f"{self.stack.bin}/prov-agent", "--config",
                                                self.stack.write_agent_configuration("liar", "list")],
                                       ready=lambda: True)
            case.wait_until(lambda: self.stack.provctl_json("audit", "list", "--caller", "agent/liar")["records"],
                            "the refusal to be audited")
        finally:
            self.stack.processes.stop("liar")
            self.stack.provctl("drain-host", "liar")
            self.stack.provctl("delete-host", "liar")

    def test_ListPagesThroughEverything(self):
        head = int(self.head().split(":")[0])
        self.sql("INSERT INTO prov.audit (id, time, caller, peer, method, resource, request_id, revision, code, hash) "
                 f"SELECT {head} + i, now(), 'many/many', '', '/m', '', '', 0, 7, sha256('') FROM generate_series(1, 2500) AS i")
        try:
            everything = self.stack.provctl_json("audit", "list", "--caller", "many/many", "--all")
            ids = [int(record["id"]) for record in everything["records"]]
            self.assertEqual(ids, list(range(head + 2500, head, -1)))
            self.assertEqual(everything["next_page_token"], "")
            some = self.stack.provctl_json("audit", "list", "--limit", "1001")
            self.assertEqual(len(some["records"]), 1001)
            self.assertNotEqual(some["next_page_token"], "")
            table = self.stack.provctl("audit", "list", "--since", "1h", "--caller", "many/many", "--all")
            self.assertEqual(len(table.splitlines()), 2501)
            self.assertEqual(self.stack.provctl_json("audit", "list", "--since", "2099-01-01")["records"], [])
        finally:
            self.sql("DELETE FROM prov.audit WHERE caller = 'many/many'")

    def test_WhoAmITellsInWords(self):
        told = self.provctl("whoami", caller="helpdesk/mary").stdout
        self.assertTrue(told.startswith("mary, in the role helpdesk, may:\n"), told)
        self.assertRegex(told, r"(?m)^  subscribers: .*\bset password\b")
        self.assertNotIn("create pool", told)
        self.assertIn("create pool", self.provctl("whoami").stdout)


if __name__ == "__main__":
    case.main()
