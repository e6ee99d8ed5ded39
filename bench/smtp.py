"""Mail a second through relay, queue and store, side by side with Postfix and Dovecot.

./dev bench smtp [--messages N] measures on this machine, in one run, each with 4 KiB and 256 KiB messages, by 1 and 20
sessions, over kept and over new connections:
  - SMTP in, queue, SMTP out to smtp-sink, ours and Postfix's, until the queue is empty;
  - SMTP in, into four Maildirs: our relay and store, and Postfix with virtual(8);
  - LMTP into four Maildirs: our store, and Dovecot's;
  - the memory of an idle session, ours and Postfix's: what its processes have of their own, divided by the sessions;
  - what 50 fast sessions keep of their rate beside 10 000 that send an octet in 10 seconds.
Postfix's own smtp-source sends. Everything syncs to disk as in production; nobody uses TLS.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPOSITORY, part) for part in ("tests/stack", "bench/peers", "bench/measure")]

from dovecot_lmtp import DovecotLmtp  # noqa: E402
from memory import descendants, own_kib  # noqa: E402
from postfix_relay import PostfixRelay  # noqa: E402
from processes import can_listen, free_port, wait_until  # noqa: E402
from stack import Stack, built_programs  # noqa: E402

DOMAIN = "example.net"
BOXES = 4
ELSEWHERE = "someone@elsewhere.example"
SIZES = (4096, 256 * 1024)
SESSIONS = (1, 20)
IDLE_SESSIONS = 10_000
SLOW_CLIENTS = 10_000
SLOW_SECONDS = 10
FAST_SESSIONS = 50
PATIENCE_SECONDS = 600


def files_below(directories):
    return sum(len(files) for directory in directories for _, _, files in os.walk(directory))


def send(port, recipients, sessions, messages, octets, kept, lmtp=False):
    """smtp-source, one for each recipient, with the sessions and messages shared out among them."""
    sources = []
    shares = min(sessions, len(recipients))
    for recipient in recipients[:shares]:
        sources.append(subprocess.Popen(["/usr/sbin/smtp-source", "-s", str(sessions // shares), "-m", str(messages // shares),
                                         "-l", str(octets), "-f", "sender@source.example", "-t", recipient,
                                         *(["-d"] if kept else []), *(["-L"] if lmtp else []), f"inet:127.0.0.1:{port}"]))
    for source in sources:
        if source.wait() != 0:
            raise RuntimeError("smtp-source failed")


def rate(port, recipients, settled, case, lmtp=False):
    """Messages a second until `settled()`."""
    start = time.monotonic()
    send(port, recipients, case["sessions"], case["messages"], case["octets"], case["kept"], lmtp)
    wait_until(settled, "the queue to be empty", PATIENCE_SECONDS)
    return case["messages"] / (time.monotonic() - start)


def idle_session_kib(port, root, sessions):
    """Grown memory for each session that has said EHLO and waits."""
    before = own_kib(descendants(root))
    clients = []
    try:
        for _ in range(sessions):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            clients.append(client)
            client.recv(4096)
            client.sendall(b"EHLO idle.example\r\n")
            client.recv(4096)
        return (own_kib(descendants(root)) - before) / sessions
    finally:
        for client in clients:
            client.close()


class SlowClients:
    """Connections that say hello an octet at a time."""

    def __init__(self, port, count):
        self.clients = []
        self.gone = 0
        self.ended = threading.Event()
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            self.clients.append(client)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        pause = SLOW_SECONDS / max(1, len(self.clients) // 100)
        while not self.ended.is_set():
            for number, client in enumerate(self.clients):
                try:
                    client.send(b"E")
                except OSError:
                    self.gone += 1
                if number % 100 == 99 and self.ended.wait(pause):
                    return

    def stop(self):
        self.ended.set()
        self.thread.join()
        for client in self.clients:
            client.close()


def beside_slow_clients(ours, messages):
    """Rates of fast sessions alone, and beside slow clients; and how many of those were cut off."""
    port, locks = ours.stack.ports["smtp_relay"], files_below(ours.queues())
    case = {"sessions": FAST_SESSIONS, "messages": messages, "octets": SIZES[0], "kept": True}

    def once():
        return rate(port, [ELSEWHERE], lambda: files_below(ours.queues()) <= locks, case)

    alone = once()
    slow = SlowClients(port, SLOW_CLIENTS)
    try:
        beside = once()
    finally:
        slow.stop()
    return {"alone": alone, "beside": beside, "slow": SLOW_CLIENTS, "cut_off": slow.gone}


class Ours:
    def __init__(self, state, sink):
        self.stack = Stack(state, built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
        self.stack.hosts = [("relay1", "relay", "relay"), ("store1", "store", "main")]
        self.stack.smarthost = sink
        self.stack.mail_tls = False

    def start(self):
        self.stack.start()
        self.stack.provctl("add-domain", DOMAIN, "--wait")
        for number in range(1, BOXES + 1):
            self.stack.provctl("add-user", f"box{number}@{DOMAIN}", "--no-password", "--wait")

    def queues(self):
        return [self.stack.path("hosts", host, "queue", queue, part)
                for host, queue in (("relay1", "relay"), ("store1", "forward")) for part in ("incoming", "active")]

    def mail(self):
        return self.stack.mail_root()


def measure(case, ours, postfix, dovecot, sink_port):
    boxes = [f"box{number}@{DOMAIN}" for number in range(1, BOXES + 1)]
    ports = ours.stack.ports
    locks = files_below(ours.queues())

    def drained():
        return files_below(ours.queues()) <= locks

    def postfix_drained():
        return files_below(postfix.queues()) == 0

    elsewhere = [ELSEWHERE] * BOXES
    result = dict(case)
    result["out"] = rate(ports["smtp_relay"], elsewhere, drained, case)
    result["out_postfix"] = rate(postfix.port, elsewhere, postfix_drained, case)
    result["in"] = rate(ports["smtp_relay"], boxes, drained, case)
    result["in_postfix"] = rate(postfix.port, boxes, postfix_drained, case)
    result["lmtp"] = rate(ports["smtp_store"], boxes, lambda: True, case, lmtp=True)
    result["lmtp_dovecot"] = rate(dovecot.port, boxes, lambda: True, case, lmtp=True)
    return result


def show(rows, idle, slow):
    print(f"{'octets':>7} {'sessions':>8} {'conn':>5} | {'SMTP out':>8} {'Postfix':>8} {'ratio':>6} | {'Maildir':>8} {'Postfix':>8} "
          f"{'ratio':>6} | {'LMTP':>8} {'Dovecot':>8} {'ratio':>6}")
    for row in rows:
        print(f"{row['octets']:>7} {row['sessions']:>8} {'kept' if row['kept'] else 'new':>5} | "
              + " | ".join(f"{row[ours]:>8.0f} {row[peer]:>8.0f} {row[ours] / row[peer]:>6.2f}"
                           for ours, peer in (("out", "out_postfix"), ("in", "in_postfix"), ("lmtp", "lmtp_dovecot"))))
    print(f"an idle session, of {idle['sessions']}: {idle['ours_kib']:.1f} KiB, Postfix {idle['postfix_kib']:.0f} KiB")
    print(f"{FAST_SESSIONS} fast sessions: {slow['alone']:.0f} messages/s alone, {slow['beside']:.0f} beside {slow['slow']} slow clients "
          f"({slow['beside'] / slow['alone']:.0%}); {slow['cut_off']} of these cut off")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000, help="in each measurement of small messages; a tenth of it of large ones")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("Postfix and Dovecot are started by root")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    sink_port = free_port()
    ours = Ours(state, f"127.0.0.1:{sink_port}")
    processes = ours.stack.processes
    postfix = PostfixRelay(processes, os.path.join(state, "postfix"), BOXES, f"127.0.0.1:{sink_port}")
    dovecot = DovecotLmtp(processes, os.path.join(state, "dovecot"))
    try:
        ours.start()
        processes.start("smtp-sink", ["/usr/sbin/smtp-sink", f"127.0.0.1:{sink_port}", "1000"],
                        ready=lambda: not can_listen(sink_port))
        postfix.start()
        dovecot.start()
        rows = []
        for octets in SIZES:
            for sessions in SESSIONS:
                for kept in (True, False):
                    messages = arguments.messages // (10 if octets > 65536 else 1)
                    case = {"octets": octets, "sessions": sessions, "kept": kept, "messages": messages // BOXES * BOXES}
                    rows.append(measure(case, ours, postfix, dovecot, sink_port))
                    print(f"    {rows[-1]}", file=sys.stderr, flush=True)
        idle = {"sessions": IDLE_SESSIONS,
                "ours_kib": idle_session_kib(ours.stack.ports["smtp_relay"], processes.pid("relay1"), IDLE_SESSIONS),
                "postfix_kib": idle_session_kib(postfix.port, processes.pid("postfix-peer"), 50)}
        slow = beside_slow_clients(ours, arguments.messages)
    finally:
        dovecot.stop()
        postfix.stop()
        processes.stop("smtp-sink")
        ours.stack.stop()
        shutil.rmtree(state, ignore_errors=True)
    if arguments.output == "json":
        print(json.dumps({"rows": rows, "idle": idle, "slow": slow}, indent=2))
    else:
        show(rows, idle, slow)


main()
