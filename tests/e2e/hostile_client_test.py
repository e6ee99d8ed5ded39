"""A client with a valid certificate and bad manners: what it sends is refused, and nobody else notices.

curl speaks HTTP/2 and so gRPC, as raw as it gets; provctl and gRPC's libraries would not send any of this."""

import os
import subprocess
import tempfile
import time

import case
from case import DOMAIN, wait_until

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 3, 8, 12, 13
STREAMS = 1000
MOST_STREAMS_OF_A_CALLER = 250
MOST_GROWTH = 100 << 20  # octets of memory
PATIENCE = "5s"  # of those who call meanwhile


def message(payload):
    """A gRPC message: not compressed, its length, the octets."""
    return b"\0" + len(payload).to_bytes(4, "big") + payload


def field(number, payload):
    """A Protobuf field with a length, shorter than 128 octets."""
    return bytes([number << 3 | 2, len(payload)]) + payload


class HostileClient(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.hosts = [host for host in stack.hosts if host[0] == "store1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.certificate, cls.key = cls.stack.certificate("operator/greedy", give=False)

    def setUp(self):
        self.pid = self.stack.processes.pid("provd")
        self.memory_before = self.memory()
        self.head = self.stack.provctl_json("status")["head_revision"]

    def tearDown(self):
        """Whatever was sent: the same provd goes on, no bigger than before, and nothing was written."""
        self.assertEqual(self.stack.processes.pid("provd"), self.pid)
        self.assertEqual(self.stack.provctl_json("status")["head_revision"], self.head)
        self.assertLess(self.memory() - self.memory_before, MOST_GROWTH)

    def memory(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))

    def url(self, method):
        return f"https://{self.stack.address('provd')}/prov.v1.{method}"

    def curl(self, *arguments):
        return ["curl", "--silent", "--http2", "--cacert", self.stack.path("tls", "ca.pem"), "--cert", self.certificate,
                "--key", self.key, "--header", "content-type: application/grpc", "--header", "te: trailers",
                "--header", "expect:", *arguments]

    def call(self, method, body):
        """What provd answers a call with such a body: the gRPC status, None where it cut the stream off, and the rest."""
        with tempfile.NamedTemporaryFile() as sent, tempfile.NamedTemporaryFile() as got:
            sent.write(body)
            sent.flush()
            done = subprocess.run(self.curl("--max-time", "60", "--dump-header", "-", "--output", got.name,
                                            "--data-binary", "@" + sent.name, self.url(method)),
                                  capture_output=True, check=False, timeout=90)
            answer = got.read()
        found = [line.split(b":")[1] for line in done.stdout.splitlines() if line.lower().startswith(b"grpc-status:")]
        return int(found[-1]) if found else None, answer

    def status(self, method, body):
        return self.call(method, body)[0]

    def answer(self, method, body):
        return self.call(method, body)[1]

    def test_WellFormedCallsOfThisClientAreAnswered(self):
        self.assertEqual(self.status("Operations/WhoAmI", message(b"")), 0)
        self.assertEqual(self.status("Subscribers/CreateSubscriber", message(b"")), INVALID_ARGUMENT)
        # Answered before its body is read, and reset: where curl sees the reset first, it is asked again.
        answers = (self.status("Operations/MakeCoffee", message(b"")) for _ in range(20))
        self.assertEqual(next((answer for answer in answers if answer is not None), None), UNIMPLEMENTED)

    def test_MessagesThatAreNoProtobufAreRefused(self):
        bad = (b"\xff" * 64, b"\x0a\x7fshort", b"\x07" * 4096, b"\x0a\xff\xff\xff\xff\x7f", b"\x0b" * 5000)
        for method in ("Subscribers/CreateSubscriber", "Operations/WaitForRevision", "Operations/GetStatus",
                       "AgentSync/Sync"):
            for payload in bad:
                with self.subTest(method=method, payload=payload[:8]):
                    # gRPC's own word: INTERNAL, UNIMPLEMENTED from its callback services, or the stream cut off.
                    self.assertNotEqual(self.status(method, message(payload)), 0)
        # A stream's requests end for gRPC where one cannot be read: those are not answered.
        for payload in bad:
            self.assertEqual(self.answer("Subscribers/ImportSubscribers", message(payload)), b"")

    def test_FramesThatLieAboutTheirLengthAreRefused(self):
        for body in (b"", b"\0", b"\0\0\0\0\x64short", b"\0\xff\xff\xff\xff", b"\1\0\0\0\4gzip", b"\7\0\0\0\0",
                     message(b"") + message(b"")):
            with self.subTest(body):
                self.assertNotEqual(self.status("Subscribers/CreateSubscriber", body), 0)

    def test_MessageOfAHundredMegabytesIsRefusedUnread(self):
        for method in ("Subscribers/CreateSubscriber", "Subscribers/ImportSubscribers", "Operations/WatchChanges"):
            with self.subTest(method):
                self.assertEqual(self.status(method, message(bytes(100 << 20))), RESOURCE_EXHAUSTED)

    def test_TextThatIsNoUtf8IsRefused(self):
        for name, subscriber in (("login", field(3, b"\xff\xfe@" + DOMAIN.encode())),
                                 ("display_name", field(3, f"raw@{DOMAIN}".encode()) + field(4, b"\xc3\x28"))):
            with self.subTest(name):
                # Protobuf's own check of proto3 strings comes before ours: gRPC answers for it.
                self.assertIn(self.status("Subscribers/CreateSubscriber", message(field(1, subscriber))),
                              (INVALID_ARGUMENT, INTERNAL))
        self.assertNotIn("raw@", self.stack.provctl("list-users"))

    def test_ThousandStreamsOfOneCallerLeaveTheOthersTheirs(self):
        body, urls = self.stack.path("after"), self.stack.path("streams")
        with open(body, "wb") as file:
            file.write(message(b""))
        with open(urls, "w", encoding="ascii") as file:
            file.writelines(f'url = "{self.url("Operations/WatchChanges")}"\noutput = "/dev/null"\n' for _ in range(STREAMS))
        log = self.stack.path("streams.log")
        with open(log, "wb") as out:
            greedy = subprocess.Popen(self.curl("--no-progress-meter", "--parallel", "--parallel-max", "300", "--data-binary",
                                                "@" + body, "--write-out", "%{stderr}%header{grpc-status}\n", "--config",
                                                urls), stderr=out)
        try:
            def refused():
                with open(log, encoding="ascii") as file:
                    return file.read().split()
            wait_until(lambda: len(refused()) >= STREAMS - MOST_STREAMS_OF_A_CALLER, "all but a few streams to be refused")
            self.assertEqual(set(refused()), {str(RESOURCE_EXHAUSTED)})
            self.assertEqual(len(refused()), STREAMS - MOST_STREAMS_OF_A_CALLER)
            self.assertIsNone(greedy.poll())  # it has the rest
            # Others write, wait, and are answered soon.
            start = time.monotonic()
            login = self.new_login()
            self.stack.provctl("add-user", login, "--no-password", "--wait", "--timeout", PATIENCE)
            self.stack.provctl("show-user", login, "--timeout", PATIENCE)
            self.stack.provctl("status", "--timeout", PATIENCE)
            print(f"three calls of another caller took {time.monotonic() - start:.2f} s", flush=True)
            self.head = self.stack.provctl_json("status")["head_revision"]
            self.assertLess(self.memory() - self.memory_before, MOST_GROWTH)
        finally:
            greedy.kill()
            greedy.wait()
        # Its streams have gone with it.
        wait_until(lambda: subprocess.run(
            self.curl("--max-time", "1", "--data-binary", "@" + body, "--output", "/dev/null", "--write-out",
                      "%header{grpc-status}", self.url("Operations/WatchChanges")),
            capture_output=True, check=False, timeout=30).stdout != b"8", "the caller to have streams again")


if __name__ == "__main__":
    case.main()
