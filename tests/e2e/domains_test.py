"""Domains: aliases, catch-all, and what each does with mail for suspended subscribers, to the mailbox and back."""

import case
from case import SENDER, StackError, subject_message


class Domains(case.StackCase):
    def rcpt_code(self, address):
        with self.relay() as client:
            client.ehlo("client.example.org")
            client.mail(SENDER)
            return client.rcpt(address)[0]

    def assert_refused(self, reason, *command):
        with self.assertRaises(StackError) as refused:
            self.stack.provctl(*command)
        self.assertIn(reason, str(refused.exception))

    def add_domain(self, name, *options):
        self.stack.provctl("add-domain", name, *options, "--wait")
        return name

    def directory_entry(self, name):
        return self.stack.slapd.search("mail", f"(associatedDomain={name})")

    def test_MailToAnAliasOfADomainReachesTheSubscriberOfTheTarget(self):
        login = self.add_user()
        local_part = login.split("@")[0]
        self.add_domain("alias.example", "--alias-of", case.DOMAIN)
        self.send(f"{local_part.upper()}@Alias.Example", subject_message("under another name"))
        self.wait_for_text(login, b"Subject: under another name")
        self.assertEqual(self.rcpt_code("nobody@alias.example"), 550)
        self.assertIn(f"provAliasOf: {case.DOMAIN}", self.directory_entry("alias.example"))
        self.assertEqual(self.stack.provctl_json("show-domain", "alias.example")["alias_of"], f"domains/{case.DOMAIN}")
        self.stack.provctl("update-domain", "alias.example", "--no-alias", "--wait")
        self.assertEqual(self.rcpt_code(f"{local_part}@alias.example"), 550)
        self.assertNotIn("provAliasOf", self.directory_entry("alias.example"))

    def test_AliasesAreOneStepAndHaveNothingOfTheirOwn(self):
        self.add_domain("one.example")
        self.add_domain("two.example", "--alias-of", "one.example")
        self.assert_refused("itself an alias", "add-domain", "three.example", "--alias-of", "two.example")
        self.assert_refused("has aliases", "update-domain", "one.example", "--alias-of", case.DOMAIN)
        self.assert_refused("the domain itself", "update-domain", "one.example", "--alias-of", "one.example")
        self.assert_refused("another name of one.example", "add-user", "bob@two.example", "--no-password")
        self.assert_refused("another name of one.example", "add-alias", self.add_user(), "bob@two.example")
        self.assert_refused("beside alias_of", "update-domain", "two.example", "--catch-all", self.add_user())
        self.add_domain("own.example")
        self.add_user(login="bob@own.example")
        self.assert_refused("of its own", "update-domain", "own.example", "--alias-of", "one.example")
        self.assert_refused("still has", "delete-domain", "one.example")
        self.stack.provctl("delete-domain", "two.example")
        self.stack.provctl("delete-domain", "one.example")
        self.assertNotIn("one.example", self.stack.provctl("list-domains"))

    def test_CatchAllTakesMailToUnknownLocalPartsAndIsOffByDefault(self):
        self.add_domain("catch.example")
        keeper = self.add_user(login="keeper@catch.example")
        known = self.add_user(login="known@catch.example")
        self.assertEqual(self.rcpt_code("anything@catch.example"), 550)
        self.assert_refused("no address of a subscriber", "update-domain", "catch.example", "--catch-all",
                            "somebody@elsewhere.example")
        self.stack.provctl("update-domain", "catch.example", "--catch-all", keeper, "--wait")
        self.send("anything@catch.example", subject_message("mistyped"))
        self.wait_for_text(keeper, b"Subject: mistyped")
        self.send(known, subject_message("well typed"))
        self.wait_for_text(known, b"Subject: well typed")
        self.assertEqual(len(self.messages(keeper)), 1)
        self.assertIn(f"provCatchAll: {keeper}", self.directory_entry("catch.example"))
        self.add_domain("caught.example", "--alias-of", "catch.example")
        self.send("whatever@caught.example", subject_message("through the alias"))
        self.wait_for_text(keeper, b"Subject: through the alias")
        self.stack.provctl("update-domain", "catch.example", "--no-catch-all", "--wait")
        self.assertEqual(self.rcpt_code("anything@catch.example"), 550)

    def test_PolicyDecidesWhatBecomesOfMailForTheSuspended(self):
        self.add_domain("strict.example", "--suspended-mail", "reject")
        login = self.add_user(login="late@strict.example")
        self.assertEqual(self.rcpt_code(login), 250)
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertEqual(self.rcpt_code(login), 550)
        found = self.stack.slapd.search("mail", f"(uid={login})", "mailLocalAddress", "uid")
        self.assertIn("uid: ", found)
        self.assertNotIn("mailLocalAddress", found)
        # A change of the policy reaches those who are suspended already.
        self.stack.provctl("update-domain", "strict.example", "--suspended-mail", "defer", "--wait")
        self.assertEqual(self.rcpt_code(login), 451)
        self.stack.provctl("update-domain", "strict.example", "--suspended-mail", "keep", "--wait")
        self.send(login, subject_message("kept after all"))
        self.stack.provctl("resume-user", login, "--wait")
        self.wait_for_text(login, b"Subject: kept after all")


if __name__ == "__main__":
    case.main()
