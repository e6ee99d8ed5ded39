"""provctl trace follows a forward to a host that knows nothing of the message that it began as."""

import case
from case import wait_until


class TraceOverPools(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.add_store("store2", "second")

    def test_AForwardIsFollowedToTheStoreOfAnotherPool(self):
        login, target = self.add_user("--pool", "main"), self.add_user("--pool", "second")
        self.stack.provctl("set-forward", login, target, "--wait")
        self.send(login, case.subject_message("over pools"))

        def ends():
            events = self.stack.provctl_json("trace", login)["events"]
            return any(event["host"] == "store2" and event["event"] == "mail_delivered" for event in events)
        wait_until(ends, "the trace of the forwarded mail to end in the other pool's store")


if __name__ == "__main__":
    case.main()
