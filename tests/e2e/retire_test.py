"""A host that is gone for good is forgotten, and a new clone takes its place with one command."""

import os
import subprocess

import case
from case import StackError, subject_message, wait_until


class Retire(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] in ("relay1", "store1", "pop1")]

    def healthy(self):
        return self.stack.provctl_json("status")["healthy"]

    def progress(self, host):
        return self.stack.provctl_json("show-host", host).get("progress", [])

    def agent(self, host, *arguments, stdin=""):
        """prov-agent of this host, as it runs there."""
        return subprocess.run([os.path.join(self.stack.bin, "prov-agent"), *arguments, "--config",
                               self.stack.path("hosts", host, "agent.toml")], input=stdin.encode(), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150)

    def enrol(self, host, pool):
        """A new clone of store1: its configuration under its own name, and the one command; what that said."""
        self.stack.add_store(host, pool)
        self.stack.write_agent_configuration(host, "store", pool)
        token = self.stack.provctl_json("enrol-host", host, "--pool", pool)["token"]
        done = self.agent(host, "enrol", "--provd", self.stack.address("enrolment"), "--start", stdin=token + "\n")
        self.stack.processes.give(self.stack.path("tls", host + ".key"))
        return done

    def test_AHostThatDiedIsForgottenAndANewCloneTakesItsPlace(self):
        login = self.add_user()
        self.send(login, subject_message("before"))
        self.wait_for_messages(login, 1)
        told = self.enrol("store2", "main")
        self.assertIn("enrolled as store2", told.stdout.decode())
        if not os.path.isdir("/run/systemd/system"):
            self.assertEqual(told.returncode, 1)
            self.assertIn("ready when it has logged", told.stdout.decode())
            self.stack.start_agent("store2")  # by hand, as it said; this ends when it is ready
        wait_until(lambda: any(role.get("ready") and role["connected"] for role in self.progress("store2")),
                   "provd to know")
        self.assertGreater(int(self.progress("store2")[0]["applied_revision"]), 0)

        self.stack.processes.kill("store1")
        wait_until(lambda: not self.healthy(), "the loss to be told")
        wait_until(lambda: not any(role["connected"] for role in self.progress("store1")), "the loss to be written down")
        # The new one does all there is to do: the mailbox was made by the one that died.
        self.send(login, subject_message("after"))
        wait_until(lambda: len(self.messages(login, port="pop3_proxy")) == 2, "both messages", 120)
        with self.assertRaises(StackError):
            self.stack.provctl("delete-host", "store1")
        self.stack.provctl("drain-host", "store1")
        self.stack.provctl("delete-host", "store1")
        wait_until(self.healthy, "all to be well")
        self.assertNotIn("store1", self.stack.provctl("status"))
        # If its disk comes back from the dead, it is nobody: even a host of that name must enrol anew.
        self.stack.provctl("add-host", "store1", "--pool", "main")
        self.stack.processes.start("store1", [os.path.join(self.stack.bin, "prov-agent"), "--config",
                                              self.stack.path("hosts", "store1", "agent.toml")], ready_line="sync_lost")
        wait_until(lambda: "enrol" in self.stack.processes.log_tail("store1", 200), "the agent to be refused")
        self.assertEqual(self.progress("store1"), [])
        self.stack.processes.stop("store1")
        self.stack.provctl("drain-host", "store1")
        self.stack.provctl("delete-host", "store1")
        self.assertTrue(self.add_user())  # nobody waits for it


if __name__ == "__main__":
    case.main()
