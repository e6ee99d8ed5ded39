"""What happens by itself: scheduled changes once and in their order, failures set aside, closed subscribers purged."""

import datetime

import case
from case import PASSWORD, SENDER, StackError, wait_until


class Schedule(case.StackCase):
    def state(self, login):
        return self.stack.provctl_json("show-user", login)["state"]

    def scheduled(self, *login):
        return self.stack.provctl_json("list-scheduled", *login)["scheduled_changes"]

    def audit(self, name):
        records = self.stack.provctl_json("audit", "list", "--resource", name)
        return records["records"]

    def make_due(self, login):
        """As if the time had come; the tests do not wait for clocks."""
        number = self.stack.provctl_json("show-user", login)["name"].split("/")[1]
        self.stack.postgres.psql("UPDATE prov.scheduled_change SET effective_time = now() - interval '1 second' "
                                    f"WHERE subscriber_id = {int(number)}")

    def test_ChangeHappensAtItsTimeInTheNameOfWhoAskedForIt(self):
        login = self.add_user()
        certificate, key = self.stack.certificate("billing/crm", give=False)
        answer = self.stack.provctl_json("--certificate", certificate, "--key", key, "suspend-user", login, "--reason",
                                         "unpaid", "--at", "+2s")
        self.assertEqual(answer["state"], "ACTIVE")
        self.assertEqual([(one["action"], one["reason"]) for one in answer["scheduled_changes"]], [("SUSPEND", "unpaid")])
        self.assertEqual(self.stack.provctl_json("show-user", login)["scheduled_changes"], answer["scheduled_changes"])
        wait_until(lambda: self.state(login) == "SUSPENDED", "the suspension")
        shown = self.stack.provctl_json("show-user", login)
        self.assertEqual((shown["suspend_reason"], shown["scheduled_changes"]), ("unpaid", []))
        done = datetime.datetime.fromisoformat(shown["update_time"][:19])
        due = datetime.datetime.fromisoformat(answer["scheduled_changes"][0]["effective_time"][:19])
        self.assertGreaterEqual((done - due).total_seconds(), -1)
        records = [one for one in self.audit(shown["name"]) if one["method"].endswith("SuspendSubscriber")]
        # Once when it was asked for, once when it was done.
        self.assertEqual([one["caller"] for one in records], ["billing/crm", "billing/crm"])
        self.assertEqual(records[0]["peer"], answer["scheduled_changes"][0]["name"])
        self.stack.provctl("wait")
        self.assertFalse(self.can_log_in(login))

    def test_OverdueChangesOfOneSubscriberAreDoneInOrderAfterAnOutage(self):
        logins = [self.add_user() for _ in range(5)]
        for login in logins:
            self.stack.provctl("suspend-user", login, "--at", "+1h")
            self.stack.provctl("resume-user", login, "--at", "+2h")
            self.stack.provctl("delete-user", login, "--at", "+3h")
        self.assertEqual([one["action"] for one in self.scheduled(logins[0])], ["SUSPEND", "RESUME", "DELETE"])
        self.stack.processes.kill("provd")
        self.stack.postgres.psql("UPDATE prov.scheduled_change SET effective_time = effective_time - interval '4 hours'")
        self.stack.start_provd()
        for login in logins:
            wait_until(lambda login=login: self.state(login) == "CLOSED", "the closing")
            self.stack.provctl("undelete-user", login)
            self.assertEqual(self.state(login), "ACTIVE")  # resumed before it was closed
            name = self.stack.provctl_json("show-user", login)["name"]
            done = [one["method"].rsplit("/", 1)[1] for one in self.audit(name) if one["peer"].startswith("scheduled")]
            self.assertEqual(done, ["DeleteSubscriber", "ResumeSubscriber", "SuspendSubscriber"])  # newest first
        self.assertEqual(self.scheduled(), [])

    def test_CancelledDoesNotHappenAndFailedIsShownAndNotTriedAgain(self):
        login = self.add_user()
        self.stack.provctl("delete-user", login, "--at", "+30d")
        change = self.scheduled(login)[0]["name"].split("/")[1]
        self.stack.provctl("cancel-scheduled", change)
        self.stack.provctl("cancel-scheduled", change, allow=(3,))
        self.assertEqual(self.scheduled(login), [])
        self.stack.provctl("suspend-user", login, "--at", "+30d")
        self.stack.provctl("delete-user", login)
        self.make_due(login)
        failed = wait_until(lambda: [one for one in self.scheduled(login) if one["error"]], "the failure")
        self.assertIn("closed", failed[0]["error"])
        self.assertIn("closed", self.stack.provctl("list-scheduled", login))
        self.stack.provctl("undelete-user", login)
        other = self.add_user()
        self.stack.provctl("suspend-user", other, "--at", "+30d")
        self.make_due(other)
        wait_until(lambda: self.state(other) == "SUSPENDED", "the suspension of another")  # one that failed stops nobody
        self.assertEqual(self.state(login), "ACTIVE")
        self.stack.provctl("cancel-scheduled", failed[0]["name"].split("/")[1])

    def test_WhatCannotBeScheduledIsRefusedWithTheReason(self):
        login = self.add_user()
        for command, reason in ((("--at", "tomorrow"), "is no time"), (("--at", "+3000d"), "five years")):
            with self.assertRaises(StackError) as refused:
                self.stack.provctl("suspend-user", login, *command)
            self.assertIn(reason, str(refused.exception))
        for _ in range(10):
            self.stack.provctl("suspend-user", login, "--at", "+30d")
        with self.assertRaises(StackError) as refused:
            self.stack.provctl("suspend-user", login, "--at", "+30d")
        self.assertIn("cancel-scheduled", str(refused.exception))
        self.stack.provctl("suspend-user", login, "--at", "2020-01-01T00:00:00Z")  # over: now
        self.assertEqual(self.state(login), "SUSPENDED")

    def test_ClosedIsPurgedWhenItsTimeIsOverAndItsAddressesAndUidAreNobodys(self):
        login = self.add_user()
        alias = f"alias.{login}"
        self.stack.provctl("add-alias", login, alias)
        shown = self.stack.provctl_json("show-user", login)
        self.stack.provctl("delete-user", login, "--wait")
        number = int(shown["name"].split("/")[1])
        # Undelete within the time is without loss.
        self.stack.provctl("undelete-user", login, "--wait")
        again = self.stack.provctl_json("show-user", login)
        for field in ("addresses", "uid", "uid_number", "store_pool", "state", "has_password"):
            self.assertEqual(again[field], shown[field])
        self.assertTrue(self.can_log_in(login, PASSWORD))
        self.stack.provctl("delete-user", login, "--wait")
        self.stack.postgres.psql("UPDATE prov.subscriber SET expire_time = now() - interval '1 second' "
                                    f"WHERE id = {number}")
        wait_until(lambda: self.state(str(number)) == "PURGED", "the purge")
        purge = next(one for one in self.audit(shown["name"]) if one["method"].endswith("PurgeSubscriber"))
        self.assertEqual(purge["caller"], "provd/expiry")
        self.stack.provctl("add-user", login, "--no-password", allow=(4,))
        self.stack.provctl("add-user", alias, "--no-password", allow=(4,))
        self.stack.provctl("add-list", alias, "--owner", SENDER, allow=(4,))
        self.assertGreater(self.stack.provctl_json("show-user", self.add_user())["uid_number"], shown["uid_number"])
        # When the reservation is over, the login may have a new owner, who gets nothing of the old one.
        self.stack.postgres.psql(f"UPDATE prov.address SET reserved_until = now() - interval '1 second' "
                                    f"WHERE address = '{login}'")
        self.add_user(login=login)
        fresh = self.stack.provctl_json("show-user", login)
        self.assertNotEqual(fresh["uid"], shown["uid"])
        self.assertGreater(fresh["uid_number"], shown["uid_number"])
        self.assertEqual(self.messages(login), [])


if __name__ == "__main__":
    case.main()
