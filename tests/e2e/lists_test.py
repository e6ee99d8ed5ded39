"""Mailing lists: made, changed and removed; what relays, list hosts and the directory get to know of them."""

import json
import os
import tempfile

import case
from case import SENDER, StackError, subject_message, wait_until


class Lists(case.StackCase):
    counter = 0

    def rcpt_code(self, address):
        with self.relay() as client:
            client.ehlo("client.example.org")
            client.mail(SENDER)
            return client.rcpt(address)[0]

    def assert_refused(self, reason, *command):
        with self.assertRaises(StackError) as refused:
            self.stack.provctl(*command)
        self.assertIn(reason, str(refused.exception))

    def add_list(self, *options):
        Lists.counter += 1
        address = f"list{Lists.counter}@{case.DOMAIN}"
        self.stack.provctl("add-list", address, "--owner", "owner@example.org", *options, "--wait")
        return address

    def members(self, address):
        listed = self.stack.provctl_json("list-members", address)["members"]
        return [member["name"].rsplit("/", 1)[1] for member in listed]

    def test_ListIsRoutedAndItsMailWaitsForAListHost(self):
        address = self.add_list("--name", "All Staff")
        self.assertEqual(self.rcpt_code(address), 250)
        self.send(address, subject_message("to the list"))  # accepted: it waits in the relay's queue
        found = self.stack.slapd.search("mail", f"(mailLocalAddress={address})")
        self.assertIn(f"dn: mailLocalAddress={address},ou=lists,", found)
        self.assertIn("mailHost: list", found)
        self.assertNotIn("owner", found)
        self.assertIn("says what the database says", self.stack.provctl("directory", "verify"))
        self.stack.provctl("delete-list", address, "--wait")
        self.assertEqual(self.rcpt_code(address), 550)
        self.assertEqual(self.stack.slapd.search("mail", f"(mailLocalAddress={address})"), "")
        self.stack.provctl("show-list", address, allow=(3,))

    def test_ListHasOwnersAndAPolicyAndAnEtagOfItsOwn(self):
        address = self.add_list()
        shown = self.stack.provctl_json("show-list", address)
        self.assertEqual((shown["posting"], shown["owners"], shown["pool"]), ("MEMBERS", ["owner@example.org"], "pools/list"))
        self.stack.provctl("add-member", address, "bob@example.org")
        self.assertEqual(self.stack.provctl_json("show-list", address)["etag"], shown["etag"])
        self.stack.provctl("update-list", address, "--posting", "owners", "--owner", "a@example.org", "--owner",
                           "b@example.org", "--name", "Staff")
        shown = self.stack.provctl_json("show-list", address)
        self.assertEqual((shown["posting"], shown["owners"], shown["display_name"]),
                         ("OWNERS", ["a@example.org", "b@example.org"], "Staff"))
        self.assert_refused("nothing to change", "update-list", address)
        self.stack.provctl("add-list", address, "--owner", "a@example.org", allow=(4,))
        self.stack.provctl("add-user", address, "--no-password", allow=(4,))
        self.stack.provctl("add-alias", self.add_user(), address, allow=(4,))
        self.assert_refused("not hosted", "add-list", "staff@elsewhere.example", "--owner", "a@example.org")
        self.assert_refused("not a pool of role list", "add-list", f"x@{case.DOMAIN}", "--owner", "a@example.org",
                            "--pool", "main")
        self.assert_refused("octets", "add-list", f"{'l' * 64}@{'d' * 60}.{'d' * 60}.{'d' * 60}.example",
                            "--owner", "a@example.org")
        login = self.add_user()
        self.stack.provctl("add-list", login, "--owner", login, allow=(4,))

    def test_MembersComeFromACommandOrAFileAndACommandRunAgainAddsNothing(self):
        address = self.add_list()
        self.stack.provctl("add-member", address, "Bob@Example.org", "--wait")
        self.stack.provctl("add-member", address, "bob@example.org", allow=(4,))
        self.assert_refused("the list itself", "add-member", address, address)
        names = [f"m{number:04}@example.org" for number in range(1500)]
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "members")
            with open(path, "w", encoding="ascii") as file:
                file.write("# staff\n\n" + "\n".join(names) + "\r\n")
            done = json.loads(self.stack.provctl("-o", "json", "add-member", address, "--from", path))
            self.assertEqual((done["done"], done["already"]), (1500, 0))
            again = json.loads(self.stack.provctl("-o", "json", "add-member", address, "--from", path))
            self.assertEqual((again["done"], again["already"]), (0, 1500))
        self.assertEqual(self.members(address), ["bob@example.org", *names])
        self.assertEqual(self.stack.provctl_json("show-list", address)["member_count"], "1501")
        self.assertEqual(self.stack.provctl("list-members", address, "--limit", "2").count("\n"), 3)
        self.stack.provctl("remove-member", address, "bob@example.org", "m0007@example.org", "nobody@example.org", "--wait")
        self.stack.provctl("remove-member", address, "bob@example.org", allow=(3,))
        self.assertEqual(self.stack.provctl_json("show-list", address)["member_count"], "1499")
        # The host has them all: nothing is set aside.
        host = self.stack.provctl_json("show-host", "list1")
        self.assertEqual([role["failing_items"] for role in host["progress"]], ["0"])
        # A list of many goes at once, its members behind it, and then the address is free.
        self.stack.provctl("delete-list", address, "--wait")
        wait_until(lambda: self.stack.provctl("add-list", address, "--owner", "a@example.org", allow=(0, 4)),
                   "the address to be given free")
        self.assertEqual(self.members(address), [])

    def test_ListsArePagedAndFiltered(self):
        mine = [self.add_list() for _ in range(3)]
        listed = [one["name"] for one in self.stack.provctl_json("list-lists", "--filter", f'domain = "{case.DOMAIN}"')
                  ["mailing_lists"]]
        for address in mine:
            self.assertIn(f"lists/{address}", listed)
        self.assertEqual(listed, sorted(listed))
        self.assertEqual(self.stack.provctl("list-lists", "--limit", "1").count("\n"), 2)
        self.assertIn(mine[0], self.stack.provctl("list-lists", "--filter", f'address = "{mine[0][:-2]}*"'))
        self.assertNotIn("list", self.stack.provctl("list-lists", "--filter", 'domain = "other.example"'))
        self.assert_refused("write terms such as", "list-lists", "--filter", 'state = "ACTIVE"')


if __name__ == "__main__":
    case.main()
