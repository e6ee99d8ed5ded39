"""Import and export: plans first, rows one by one, whole files for the truth, and nothing lost when provd is killed."""

import json
import os
import subprocess
import threading

import case
from case import DOMAIN, PASSWORD, StackError, wait_until

HASH = "{CRYPT}" + subprocess.run(["openssl", "passwd", "-6", "-salt", "saltsalt", PASSWORD], check=True,
                                  capture_output=True, text=True).stdout.strip()


class Import(case.StackCase):
    def write_file(self, name, rows):
        path = self.stack.path(name)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.writelines(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
        return path

    def import_json(self, *arguments, allow=(0,)):
        """What `import -o json` says of each row, and its last line."""
        lines = self.stack.provctl("import", *arguments, "-o", "json", allow=allow).splitlines()
        return [json.loads(line) for line in lines[:-1]], json.loads(lines[-1])

    def refused(self, *arguments):
        with self.assertRaises(StackError) as error:
            self.stack.provctl(*arguments)
        return str(error.exception)

    def user(self, login):
        return self.stack.provctl_json("show-user", login)

    def test_ImportedSubscriberLogsInAndGetsMail(self):
        login = self.new_login()
        alias = "alias-" + login
        path = self.write_file("one.ndjson", [{
            "login": login, "display_name": "Ön", "addresses": [alias], "plan": "gold", "labels": {"crm": "1"},
            "entitlements": {"mail": True, "ftp": True, "web": False}, "quota_bytes": 1 << 30, "password_hash": HASH}])
        self.stack.provctl("import", path, "--wait")
        user = self.user(login)
        self.assertEqual(user["addresses"], [login, alias])
        self.assertEqual((user["plan"], user["labels"], user["quota_bytes"]), ("gold", {"crm": "1"}, str(1 << 30)))
        self.send(alias, case.subject_message("imported"))
        self.wait_for_text(login, b"Subject: imported")

    def test_PlanTellsFieldByFieldAndChangesNothing(self):
        kept, changed, gone, fresh = (self.new_login() for _ in range(4))
        start = self.write_file("start.ndjson", [{"login": login, "plan": "basic", "labels": {"crm": "x"}}
                                                 for login in (kept, changed, gone)])
        self.stack.provctl("import", start)
        before = self.stack.provctl("export")
        plan = self.write_file("plan.ndjson", [
            {"login": kept, "plan": "basic"},
            {"login": changed, "plan": "gold", "entitlements": {"web": True}, "password_hash": HASH},
            {"login": gone, "state": "CLOSED"},
            {"login": fresh},
        ])
        rows, last = self.import_json(plan, "--dry-run")
        self.assertEqual([row["result"]["action"] for row in rows], ["UNCHANGED", "CHANGED", "REMOVED", "ADDED"])
        self.assertEqual([(c["field"], c["before"], c["after"]) for c in rows[1]["result"]["changes"]],
                         [("entitlements.web", "false", "true"), ("plan", "basic", "gold"), ("password", "", "")])
        effects = {effect["follower"]: (effect["adds"], effect["changes"], effect["removals"]) for effect in last["effects"]}
        self.assertEqual(effects["directory"], ("1", "1", "1"))
        self.assertEqual(effects["pools/web"], ("1", "0", "0") if "pools/web" in effects else None)
        self.assertEqual(effects["pools/main"][0], "1")
        text = self.stack.provctl("import", plan, "--dry-run")
        self.assertIn(f"~ {changed}", text)
        self.assertIn("plan: basic → gold", text)
        self.assertNotIn("$6$", text)
        self.assertEqual(self.stack.provctl("export"), before)
        self.assertEqual(int(last["revision"]), 0)

    def test_ImportAgainChangesNothing(self):
        path = self.write_file("again.ndjson", [{"login": self.new_login(), "plan": "p", "password_hash": HASH}
                                                for _ in range(700)])
        _, first = self.import_json(path)
        self.assertEqual((first["added"], first["unchanged"]), (700, 0))
        _, second = self.import_json(path)
        self.assertEqual((second["added"], second["changed"], second["unchanged"]), (0, 0, 700))
        self.assertEqual(second["revision"], 0)

    def test_ExportGivesTheSameOctetsInBothFormats(self):
        for name in ("ndjson", "csv"):
            labels = {"export": name, "quote": 'a "b", c\\d'}
            rows = [{"login": self.new_login(), "display_name": 'Smith, "Bob"', "labels": labels} for _ in range(3)]
            self.stack.provctl("import", self.write_file("rows.ndjson", rows))
            self.stack.provctl("suspend-user", rows[0]["login"], "--reason", "unpaid, twice")
            self.stack.provctl("set-forward", rows[1]["login"], "elsewhere@example.org", "--keep-copy")
            select = ("--filter", f'labels.export = "{name}"', "--format", name)
            text = self.stack.provctl("export", *select)
            self.assertEqual(self.stack.provctl("export", *select), text)
            path = self.write_file("export." + name, [text])
            _, last = self.import_json(path)
            self.assertEqual((last["unchanged"], last["rows"]), (3, 3), text)
            self.assertEqual(self.stack.provctl("export", *select), text)

    def test_EachBadRowIsRefusedByItselfAndKeptWithItsError(self):
        good, taken = self.new_login(), self.new_login()
        self.stack.provctl("import", self.write_file("taken.ndjson", [{"login": taken}]))
        bad = ["no json\n", "[" * 100000 + "\n",
               {"login": "nobody"}, {"login": "x@nowhere.example"}, {"login": self.new_login(), "plan": "a b"},
               {"login": self.new_login(), "addresses": [taken]}, {"login": self.new_login(), "colour": "red"},
               {"login": self.new_login(), "quota_bytes": "much"}, {"login": self.new_login(), "quota_bytes": -1},
               {"login": self.new_login(), "password_hash": "secret"}, {"login": good, "plan": "second"},
               {"login": self.new_login(), "store_pool": "pools/none"}, {"login": taken, "store_pool": "pools/none"},
               {"login": self.new_login(), "labels": {"": "x"}}, {"login": self.new_login(), "display_name": "\u0007"},
               {"login": self.new_login(), "state": "PURGED"}, {"login": "x" * 5000 + "@" + DOMAIN}]
        rejects = self.stack.path("rejects.ndjson")
        path = self.write_file("bad.ndjson", [{"login": good, "plan": "first"}] + bad)
        _, last = self.import_json(path, "--rejects", rejects, allow=(5,))
        self.assertEqual((last["added"], last["refused"]), (1, len(bad)))
        self.assertEqual(self.user(good)["plan"], "first")
        with open(rejects, encoding="utf-8") as file:
            errors = [json.loads(line)["_error"] for line in file]
        self.assertEqual(len(errors), len(bad))
        for error, field in zip(errors, ["row", "row", "login", "login", "plan", "addresses", "colour", "quota_bytes",
                                         "quota_bytes", "password_hash", "login", "store_pool", "store_pool", "labels",
                                         "display_name", "state", "login"]):
            self.assertTrue(any(e.startswith(field) for e in errors), (field, error, errors))
        # Mended, the same file is imported.
        mended = self.write_file("mended.ndjson", [{"login": self.new_login(), "_error": "was: bad"}])
        _, last = self.import_json(mended)
        self.assertEqual(last["added"], 1)

    def test_CsvRowsAreRefusedOneByOneAndBrokenQuotingStops(self):
        good = self.new_login()
        path = self.write_file("rows.csv", ["login,mail,labels.crm,quota_bytes\r\n", f'{good},true,"a,b",5\r\n',
                                            f"{self.new_login()},maybe,,\r\n", f"{self.new_login()},true\r\n"])
        rejects = self.stack.path("rejects.csv")
        _, last = self.import_json(path, "--rejects", rejects, allow=(5,))
        self.assertEqual((last["added"], last["refused"]), (1, 2))
        self.assertEqual(self.user(good)["labels"], {"crm": "a,b"})
        with open(rejects, encoding="utf-8", newline="") as file:
            self.assertTrue(file.readline().startswith('"login","mail","labels.crm","quota_bytes","_error"'))
        self.assertIn("colour", self.refused("import", self.write_file("c.csv", ["login,colour\r\n"])))
        self.assertIn("CSV", self.refused("import", self.write_file("q.csv", ["login\r\n", '"a"b@example.net\r\n'])))

    def test_SyncClosesWhatTheFileDoesNotNameAndMindsHowMany(self):
        logins = [self.new_login() for _ in range(40)]
        rows = [{"login": login, "labels": {"source": "sync"}} for login in logins]
        self.stack.provctl("import", self.write_file("all.ndjson", rows))
        select = 'labels.source = "sync"'
        # In other letters it is the same login.
        rest = self.write_file("rest.ndjson", [dict(row, login=row["login"].upper()) for row in rows[:-2]])
        _, plan = self.import_json(rest, "--sync", select, "--dry-run")
        self.assertEqual((plan["removed"], plan["unchanged"]), (2, 38))
        _, last = self.import_json(rest, "--sync", select)
        self.assertEqual((last["removed"], last["unchanged"]), (2, 38))
        self.assertEqual(self.user(logins[-1])["state"], "CLOSED")
        before = self.stack.provctl("export")
        half = self.write_file("half.ndjson", [dict(rows[0], plan="never")] + rows[1:20])
        self.assertIn("would close 18 of the 38", self.refused("import", half, "--sync", select))
        broken = self.write_file("broken.ndjson", rows[:-3] + ["{"])
        self.assertIn("nothing was done", self.refused("import", broken, "--sync", select))
        self.assertEqual(self.stack.provctl("export"), before)
        _, last = self.import_json(half, "--sync", select, "--max-removals", "18")
        self.assertEqual((last["removed"], last["changed"]), (18, 1))
        # Undelete brings them back as they were.
        self.stack.provctl("undelete-user", logins[-1])
        self.assertEqual(self.user(logins[-1])["labels"], {"source": "sync"})

    def test_HistoryOfAnImportedSubscriberIsInTheAuditLog(self):
        login = self.new_login()
        self.stack.provctl("import", self.write_file("a.ndjson", [{"login": login, "password_hash": HASH}]))
        self.stack.provctl("import", self.write_file("b.ndjson", [{"login": login, "plan": "gold"}]))
        name = self.user(login)["name"]
        text = self.stack.provctl("audit", "list", "--resource", name, "-o", "json")
        self.assertEqual(text.count("ImportSubscribers"), 2)
        self.assertNotIn("$6$", text)

    def test_ImportGoesOnWhenProvdIsKilled(self):
        rows = [{"login": f"killed{n}@{DOMAIN}", "plan": "p"} for n in range(6000)]
        path = self.write_file("killed.ndjson", rows)
        result = {}

        def run():
            result["last"] = self.import_json(path, "--timeout", "2m")[1]
        thread = threading.Thread(target=run)
        thread.start()
        for n in (500, 2500, 4500):
            def there():
                try:
                    self.stack.provctl("show-user", f"killed{n}@{DOMAIN}", "--timeout", "5s")
                    return True
                except StackError:
                    return not thread.is_alive()
            wait_until(there, f"row {n} is written", 60)
            self.stack.processes.kill("provd")
            self.stack.start_provd()
            self.stack.slapd.start()  # as its supervisor does; see Slapd.start
        thread.join()
        self.stack.slapd.start()
        last = result["last"]
        self.assertEqual((last["refused"], last["added"] + last["unchanged"]), (0, 6000))
        listed = self.stack.provctl("export", "--filter", 'login = "killed*"').splitlines()
        self.assertEqual(len(listed), 6000)
        self.stack.provctl("wait", "--timeout", "100s")
        self.stack.provctl("directory", "verify")


if __name__ == "__main__":
    case.main()
