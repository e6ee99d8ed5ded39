"""provctl why: one sentence on what keeps a subscriber from logging in or getting mail."""

import subprocess

import case
from case import DOMAIN, wait_until

NOT_FOUND, INVALID = 3, 5


class Why(case.StackCase):
    def why(self, login):
        return self.stack.provctl_json("why", login)

    def verdict(self, login):
        """What keeps this subscriber from something; the steps name it too."""
        explanation = self.why(login)
        self.assertFalse(explanation["well"])
        self.assertTrue(any(not step["good"] for step in explanation["steps"]))
        return explanation["verdict"]

    def step(self, explanation, what):
        return next(step for step in explanation["steps"] if step["what"] == what)

    def test_AllWell(self):
        login = self.add_user("--quota", "1G")
        explanation = self.why(login)
        self.assertTrue(explanation["well"], explanation)
        self.assertEqual(explanation["verdict"], f"Nothing on our side keeps {login} from logging in or getting mail.")
        self.assertTrue(all(step["good"] for step in explanation["steps"]), explanation)
        steps = [step["what"] for step in explanation["steps"]]
        for what in ("account", "entitlement", "password", "domain", "directory", "store store1", "relay relay1",
                     "pop-proxy pop1", "forward", "quota"):
            self.assertIn(what, steps)
        shown = self.stack.provctl("why", login)
        self.assertEqual(shown.splitlines()[0], explanation["verdict"])
        self.assertRegex(shown, r"good +directory +the entry is what it should be")
        subscriber = self.stack.provctl_json("show-user", login)["name"].removeprefix("subscribers/")
        self.assertEqual(self.why(subscriber)["verdict"], explanation["verdict"], "found by id as well")

    def test_Suspended(self):
        login = self.add_user()
        self.stack.provctl("suspend-user", login, "--reason", "unpaid", "--wait")
        self.assertEqual(self.verdict(login),
                         f"{login} is suspended (unpaid) and cannot log in; mail is still taken in and kept.")
        self.stack.provctl("resume-user", login, "--wait")
        self.assertTrue(self.why(login)["well"])

    def test_Closed(self):
        login = self.add_user()
        self.stack.provctl("delete-user", login, "--wait")
        self.assertIn("provctl undelete-user brings it back", self.verdict(login))

    def test_NoPassword(self):
        login = self.new_login()
        self.stack.provctl("add-user", login, "--no-password", "--wait")
        self.assertIn("has no password", self.verdict(login))

    def test_NotEntitled(self):
        login = self.add_user("--no-mail", "--ftp")
        self.assertIn("not entitled to mail, only to ftp", self.verdict(login))

    def test_ForwardWithoutCopyIsRemarkedOn(self):
        login = self.add_user()
        self.stack.provctl("set-forward", login, "elsewhere@example.org", "--wait")
        explanation = self.why(login)
        self.assertTrue(explanation["well"])
        self.assertIn("its mail goes on to elsewhere@example.org and no copy is kept", explanation["verdict"])

    def test_DirectoryEntryMissingOrChangedByHand(self):
        login, slapd = self.add_user(), self.stack.slapd
        bound = ["-x", "-H", slapd.ldapi, "-D", slapd.publisher_dn, "-y", slapd.publisher_password_file]
        dn = f"uid={login},ou=people,{slapd.base}"
        subprocess.run(["ldapmodify", *bound], check=True, capture_output=True, timeout=60,
                       input=f"dn: {dn}\nchangetype: modify\nreplace: mailHost\nmailHost: nowhere\n".encode())
        explanation = self.why(login)
        self.assertIn("is not what it should be", explanation["verdict"])
        self.assertIn("mailHost", self.step(explanation, "directory")["detail"])
        self.assertNotIn("nowhere", str(explanation), "values may be secrets")
        subprocess.run(["ldapdelete", *bound, dn], check=True, capture_output=True, timeout=60)
        self.assertIn("is missing; provctl directory repair", self.verdict(login))
        self.stack.provctl("directory", "repair")
        self.assertTrue(self.why(login)["well"])

    def test_DirectoryAway(self):
        login = self.add_user()
        self.stack.processes.stop("slapd")
        try:
            self.assertIn("cannot reach the directory", self.verdict(login))
        finally:
            self.stack.start_servers()
        wait_until(lambda: self.why(login)["well"], "the directory to be back")

    def make_directory_read_only(self, value):
        """Offline, for nobody but root may do it over ldapi."""
        slapd = self.stack.slapd
        ldif = self.stack.path("slapd", "read-only.ldif")
        with open(ldif, "w", encoding="ascii") as file:
            file.write(f"dn: olcDatabase={{1}}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: {value}\n")
        self.stack.processes.stop("slapd")
        self.stack.processes.run(["slapmodify", "-n", "0", "-F", self.stack.path("slapd", "slapd.d"), "-l", ldif])
        self.stack.start_servers()

    def test_DirectoryThatTakesNoWritesIsBehind(self):
        login = self.add_user()
        self.make_directory_read_only("TRUE")
        try:
            self.stack.provctl("update-user", login, "--name", "Another Name")
            self.assertIn("the directory is behind: it has applied up to revision", self.verdict(login))
            self.assertIn("cn", self.step(self.why(login), "directory")["detail"])
        finally:
            self.make_directory_read_only("FALSE")
        wait_until(lambda: self.why(login)["well"], "the directory to catch up")

    def test_AliasLeadsToItsLogin(self):
        login, alias = self.add_user(), self.new_login()
        self.stack.provctl("add-alias", login, alias, "--wait")
        explanation = self.why(alias)
        self.assertTrue(explanation["well"])
        self.assertEqual(self.step(explanation, "address")["detail"], f"{alias} is an address of {login}")

    def test_HostDown(self):
        login = self.add_user()
        self.stack.processes.stop("store1")
        try:
            wait_until(lambda: not self.why(login)["well"], "provd to miss store1")
            self.assertIn(f"no host of store pool main serves the mailbox of {login}: store1 is not connected",
                          self.verdict(login))
            status = self.stack.provctl_json("status")
            store = next(one for one in status["followers"] if one["name"] == "hosts/store1")
            self.assertEqual(store["state"], "ABSENT")
            self.assertIn("lost its connection", store["cause"])
        finally:
            self.stack.start_agent("store1")
        wait_until(lambda: self.why(login)["well"], "store1 to be back")

    def test_UnknownSubscriberAndNonsense(self):
        for code, name in ((NOT_FOUND, f"nobody-there@{DOMAIN}"), (NOT_FOUND, "999999999"), (INVALID, "a b@c"),
                           (INVALID, "x" * 100_000)):
            with self.subTest(name[:30]):
                done = subprocess.run([self.stack.path("provctl"), "why", name], capture_output=True, check=False,
                                      timeout=60)
                self.assertEqual(done.returncode, code, done.stderr)


if __name__ == "__main__":
    case.main()
