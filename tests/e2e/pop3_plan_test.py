"""What a plan allows over POP3, from billing's word to the session."""

import poplib
import socket

import case
from case import PASSWORD
from processes import wait_until


class Pop3Plan(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [("store1", "store", "main")]
        stack.add_store("store2", "main")
        stack.mail_tls = False
        stack.pop3_keys = """plan_login_delay = { free = "1h" }
plan_expire = { free = "30d" }
xclient_networks = ["127.0.0.0/8"]
"""

    def refusal(self, login, port):
        with self.assertRaises(poplib.error_proto) as refused:
            self.pop3(login, port=port)
        return refused.exception.args[0]

    def test_APlanHoldsOnEveryCloneUntilBillingChangesIt(self):
        login = self.add_user("--plan", "free")
        client = self.pop3(login)
        self.assertEqual(client.capa()["EXPIRE"], ["30"])
        self.assertEqual(client.capa()["LOGIN-DELAY"], ["3600"])
        client.quit()
        for port in ("pop3", "pop3_store2"):
            self.assertIn(b"[LOGIN-DELAY]", self.refusal(login, port))
        self.stack.provctl("update-user", login, "--plan", "gold", "--wait")
        for port in ("pop3", "pop3_store2"):
            client = self.pop3(login, port=port)
            self.assertEqual(client.capa()["EXPIRE"], ["NEVER"])
            self.assertNotIn("LOGIN-DELAY", client.capa())
            client.quit()

    def test_CapaBeforeTheLoginIsTheStrictest(self):
        client = poplib.POP3("127.0.0.1", self.stack.ports["pop3"], timeout=60)
        capabilities = client.capa()
        client.quit()
        self.assertEqual(capabilities["EXPIRE"], ["30", "USER"])
        self.assertEqual(capabilities["LOGIN-DELAY"], ["3600", "USER"])
        self.assertIn("XCLIENT", capabilities)

    def test_TheLogNamesTheClientAndTheSessionOfAProxy(self):
        login = self.add_user()
        with socket.create_connection(("127.0.0.1", self.stack.ports["pop3"]), timeout=60) as connection:
            connection.sendall(f"XCLIENT ADDR=2001:db8::7 PORT=1234 SESSION=trace-of-{login}\r\nUSER {login}\r\n"
                               f"PASS {PASSWORD}\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as file:
                self.assertIn(b"+OK Updated\r\n", file.read())

        def logged():
            with open(self.stack.processes.log_path("store1"), encoding="utf-8", errors="replace") as log:
                lines = [line for line in log if f"session=trace-of-{login}" in line]
            return lines if any(" pop3_session_ended " in line for line in lines) else None
        lines = wait_until(logged, "the session's end in the log")
        self.assertTrue(any(" login " in line and "remote=2001:db8::7" in line for line in lines), lines)


if __name__ == "__main__":
    case.main()
