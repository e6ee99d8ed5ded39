"""POP3 sessions a second, through the proxy too, downloads, idle sessions and large mailboxes, beside Dovecot and others.

./dev bench pop3 [--sessions N] measures on this machine, in one run:
  - Login, STAT, QUIT a second: ours, Dovecot tuned (service_count, process_min_avail) and Dovecot as it comes. One slapd is
    behind all, and the credentials have been seen before: we have our cache, the tuned Dovecot its auth_cache;
  - the same with each login's first: ours, Dovecot tuned without its cache, and bare binds as the same subscribers;
  - the same through a proxy, to our store, and to one that does nothing, so that the proxy alone is what costs: ours with and
    without TLS to the store, nginx mail, Perdition;
  - a download of 1 000 messages of 10 KiB;
  - opening a mailbox of 50 000 messages, until PASS and until UIDL is answered; Dovecot's indexes are warm, and we have
    opened it before;
  - the memory of a session that has logged in and waits, ours and Dovecot's: what its processes have of their own.
pop3_load.cc are the clients, and pop3_stub.cc the store that does nothing: one epoll each, in C++. Rates are the better of two runs; what the servers
computed for each session stands beside them, for it is the same on a busy machine.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPOSITORY, part) for part in ("tests/stack", "tests/e2e", "bench/peers", "bench/input", "bench/measure")]

import dovecot_pop3  # noqa: E402
from dovecot import Dovecot  # noqa: E402
from cpu import cpu_seconds  # noqa: E402
from memory import descendants, own_kib  # noqa: E402
from nginx_mail import NginxMail  # noqa: E402
from perdition import Perdition  # noqa: E402
from processes import can_listen, free_port  # noqa: E402
from rows import write_rows  # noqa: E402
from stack import Stack, built_programs  # noqa: E402

DOMAIN = "example.net"
LOGIN = f"import{{}}@{DOMAIN}"
PASSWORD = "vioBn4Aw-plinth-Rook"
MESSAGES_EACH = 3
DOWNLOAD_MESSAGES, DOWNLOAD_OCTETS = 1000, 10 * 1024
LARGE_MESSAGES = 50_000
# Fewer where a process may not open as much: the connection and the lock of each, or both its connections.
IDLE_SESSIONS, IDLE_DESCRIPTORS, OTHER_DESCRIPTORS = 10_000, 2, 200
IDLE_SESSIONS_DOVECOT = 200
CONNECTIONS = 20
RUNS = 2
SETTLING_SECONDS = 4
# Subscribers: those of whom nobody has heard yet come behind those with mail.
USERS = 1000
FIRST_TIME = 1500


def bench_program(name, *arguments, **options):
    command = [os.path.join(REPOSITORY, "bazel-bin/bench", name), *map(str, arguments)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, **options).stdout)


class Service:
    """A port, and the subscribers of the stack as its clients."""

    def __init__(self, stack, port, user_range=(0, USERS)):
        self.stack = stack
        self.port = port
        self.first, self.users = user_range

    def arguments(self):
        return ("--port", self.port, "--login", LOGIN, "--first", self.first, "--password-file", self.stack.path("password"))

    def sessions(self, count):
        report = bench_program("pop3_load", "sessions", *self.arguments(), "--users", self.users, "--count", count,
                               "--connections", CONNECTIONS)
        if report["failed"]:
            raise RuntimeError(f"sessions failed: {report}")
        return report

    def rate(self, count, pid, warm=True):
        """The better of two runs; credentials and mailboxes have been seen before. With it what the process and its
        descendants computed for each session."""
        if warm:
            self.sessions(self.users)
        before = cpu_seconds(descendants(pid))
        runs = [self.sessions(count) for _ in range(RUNS)]
        computed = cpu_seconds(descendants(pid)) - before
        return {**max(runs, key=lambda report: report["per_second"]), "cpu_us": 1e6 * computed / (RUNS * count)}

    def read(self, *options):
        return bench_program("pop3_load", "read", *self.arguments(), *options)

    def held_kib(self, pid, count):
        """Grown memory of the process and its descendants for each session."""
        before = own_kib(descendants(pid))
        command = [os.path.join(REPOSITORY, "bazel-bin/bench/pop3_load"), "hold", *map(str, self.arguments()), "--users",
                   str(self.users), "--count", str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            report = json.loads(holder.stdout.readline())
            kib = (own_kib(descendants(pid)) - before) / count
            holder.stdin.close()
        if report["failed"]:
            raise RuntimeError(f"sessions failed: {report}")
        return {"sessions": count, "kib": kib}


class Ours:
    def __init__(self, state):
        self.stack = Stack(state, built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
        self.stack.hosts = [("store1", "store", "main"), ("pop1", "pop-proxy", "pop")]
        self.stack.back_end_tls = "none"

    def start(self, subscribers):
        stack = self.stack
        stack.start()
        stack.provctl("add-domain", DOMAIN, "--wait")
        with open(os.open(stack.path("password"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(PASSWORD + "\n")
        # SHA-512 crypt, as provd makes it.
        hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True)
        write_rows(stack.path("rows.ndjson"), DOMAIN, 0, subscribers, password_hash="{CRYPT}" + hashed.stdout.strip())
        stack.provctl("import", stack.path("rows.ndjson"), "--wait", "--quiet", "--timeout", "10m")
        stack.provctl("wait", "--timeout", "120s")

    def restart(self, host):
        self.stack.processes.stop(host)
        self.stack.start_agent(host)
        self.stack.wait_for_engines()

    def serve_at(self, places):
        """Where proxies find the store."""
        self.stack.served_at["store1"] = places
        self.restart("store1")
        self.stack.provctl("wait", "--timeout", "60s")

    def deliver(self, users, octets):
        message = f"From: a@b.example\r\nSubject: mail\r\n\r\n{('x' * 76 + chr(13) + chr(10)) * (octets // 78)}"
        with smtplib.LMTP("127.0.0.1", self.stack.ports["smtp_store"]) as client:
            client.ehlo()
            client.mail("a@b.example")
            for user in users:
                client.rcpt(LOGIN.format(user))
            # An answer for each recipient (RFC 2033 section 4.2).
            answers = [client.data(message)] + [client.getreply() for _ in users[1:]]
        if any(code != 250 for code, _ in answers):
            raise RuntimeError(f"mail was not delivered: {answers[0]}")

    def fill(self, user, messages, octets):
        """The first is delivered, the others are its copies: a delivery more would tell nothing."""
        before = set(self.files())
        self.deliver([user], octets)
        (path,) = set(self.files()) - before
        directory, name = os.path.split(path)
        owner = os.stat(path)
        with open(path, "rb") as file:
            content = file.read()
        _, size = name.split(",", 1)
        for number in range(1, messages):
            copy = os.path.join(directory, f"1700000000.M{number:06}P1.store1,{size}")
            with open(copy, "wb") as file:
                file.write(content)
            os.chown(copy, owner.st_uid, owner.st_gid)

    def files(self):
        for directory, _, names in os.walk(self.stack.mail_root()):
            if os.path.basename(directory) == "new":
                yield from (os.path.join(directory, name) for name in names)


def logins(stack, count, dovecots):
    places = {"ours": (stack.ports["pop3"], "store1"),
              **{name: (dovecot.pop3_port, dovecot.name) for name, dovecot in dovecots.items() if name != "uncached"}}
    return {name: Service(stack, port).rate(count if name != "default" else count // 5, stack.processes.pid(process))
            for name, (port, process) in places.items()}


def first_logins(stack, uncached):
    def ask(port, place):
        return Service(stack, port, (USERS + place * FIRST_TIME, FIRST_TIME)).sessions(FIRST_TIME)["per_second"]

    slapd = stack.slapd
    binds = bench_program("login_load", "binds", "--ldap-uri", slapd.ldapi, "--base", slapd.base, "--prefix", LOGIN.partition("{")[0],
                          "--logins", USERS, "--seconds", 5, "--password-file", stack.path("password"))
    return {"ours": ask(stack.ports["pop3"], 0), "dovecot": ask(uncached.pop3_port, 1), "binds": binds}


def through_ours(stack, count):
    return Service(stack, stack.ports["pop3_proxy"]).rate(count, stack.processes.pid("pop1"))


def behind_proxies(stack, processes, name, port, count):
    """The rates of all proxies in front of one store. Perdition is slow, and gets few."""
    rates = {"direct": Service(stack, port).rate(count, processes.pid("stub" if name == "nothing" else "store1")),
             "ours": through_ours(stack, count)}
    for peer, few, warm in ((NginxMail(processes, stack.path(f"nginx-{name}"), port), count, True),
                            (Perdition(processes, port), max(100, count // 50), False)):
        peer.start()
        try:
            rates[type(peer).__name__] = Service(stack, peer.port).rate(few, processes.pid(peer.name), warm)
        finally:
            peer.stop()
    print(f"    {name}: { {who: (round(row['per_second']), round(row['cpu_us'])) for who, row in rates.items()} }", file=sys.stderr,
          flush=True)
    return rates


def proxies(ours, count):
    stack, processes = ours.stack, ours.stack.processes
    result = {"our store": behind_proxies(stack, processes, "store", stack.ports["pop3"], count)}
    stack.back_end_tls = "stls"
    ours.restart("pop1")
    result["our store"]["ours, STLS"] = through_ours(stack, count)
    stack.back_end_tls = "none"
    ours.restart("pop1")
    stub_port = free_port()
    processes.start("stub", [os.path.join(REPOSITORY, "bazel-bin/bench/pop3_stub"), str(stub_port)], as_root=True,
                    ready=lambda: not can_listen(stub_port))
    try:
        ours.serve_at({"pop3": f"127.0.0.1:{stub_port}"})
        result["a store that does nothing"] = behind_proxies(stack, processes, "nothing", stub_port, count)
        ours.serve_at({})
    finally:
        processes.stop("stub")
    return result


def large_mailboxes(ours, tuned):
    """The last subscriber has the large mailbox, the one before it the download."""
    stack = ours.stack
    result = {}
    measured = (("download", USERS, DOWNLOAD_MESSAGES, DOWNLOAD_OCTETS, ["--retrieve"]),
                ("open", USERS + 1, LARGE_MESSAGES, 1024, []))
    for _, user, messages, octets, _ in measured:
        ours.fill(user, messages, octets)
    # Neither server takes what it knows for all there is while the directory has just changed.
    time.sleep(SETTLING_SECONDS)
    for name, user, messages, octets, options in measured:
        result[name] = {}
        for server, port in (("ours", stack.ports["pop3"]), ("dovecot", tuned.pop3_port)):
            service = Service(stack, port, (user, 1))
            service.read()  # Dovecot makes its indexes, we our listing
            runs = [service.read(*options) for _ in range(RUNS + 1)]
            result[name][server] = {key: min(run[key] for run in runs) for key in runs[0]}
        if result[name]["ours"]["messages"] != messages or result[name]["dovecot"]["messages"] != messages:
            raise RuntimeError(f"not all messages are seen: {result}")
    return result


def idle(stack, processes, tuned, count):
    return {"ours": Service(stack, stack.ports["pop3"], (0, count)).held_kib(processes.pid("store1"), count),
            "our proxy": Service(stack, stack.ports["pop3_proxy"], (0, count)).held_kib(processes.pid("pop1"), count),
            "dovecot": Service(stack, tuned.pop3_port).held_kib(processes.pid(tuned.name), IDLE_SESSIONS_DOVECOT)}


def show(report):
    def ratio(ours, theirs):
        return f"{ours / theirs:.1f} times"

    rates = {name: row["per_second"] for name, row in report["sessions"].items()}
    print(f"sessions a second, credentials cached: {rates['ours']:.0f}; Dovecot tuned {rates['tuned']:.0f} "
          f"({ratio(rates['ours'], rates['tuned'])}), as it comes {rates['default']:.0f} ({ratio(rates['ours'], rates['default'])})")
    first = report["first"]
    print(f"each login's first: {first['ours']:.0f}, {first['ours'] / first['binds']:.0%} of {first['binds']:.0f} bare binds; "
          f"Dovecot {first['dovecot']:.0f}")
    for store, rows in report["proxy"].items():
        rate = {name: row["per_second"] for name, row in rows.items()}
        print(f"through a proxy to {store}: " + ", ".join(f"{name} {value:.0f}" for name, value in rate.items())
              + "; of computing " + ", ".join(f"{name} {row['cpu_us']:.0f} us" for name, row in rows.items() if name != "direct")
              + f"; ours {ratio(rate['ours'], rate['NginxMail'])} nginx, {ratio(rate['ours'], rate['Perdition'])} Perdition")
    download, opening = report["large"]["download"], report["large"]["open"]
    print(f"{DOWNLOAD_MESSAGES} messages of {DOWNLOAD_OCTETS // 1024} KiB: {download['ours']['retrieve_seconds']:.3f} s, "
          f"Dovecot {download['dovecot']['retrieve_seconds']:.3f} s")
    for what in ("open_seconds", "uidl_seconds"):
        print(f"{LARGE_MESSAGES} messages, {what.removesuffix('_seconds')}: {opening['ours'][what]:.3f} s, "
              f"Dovecot {opening['dovecot'][what]:.3f} s")
    print("an idle session: " + ", ".join(f"{name} {row['kib']:.1f} KiB (of {row['sessions']})" for name, row in report["idle"].items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20_000, help="in each measurement; a fifth of it of slow servers")
    parser.add_argument("--only", nargs="+", choices=("sessions", "first", "proxy", "large", "idle"), help="some of it")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("Dovecot and Perdition are started by root")
    subprocess.run(["bazel", "build", "//bench:pop3_load", "//bench:pop3_stub", "//bench:login_load"], cwd=REPOSITORY, check=True,
                   stderr=subprocess.DEVNULL)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = min(IDLE_SESSIONS, (most - OTHER_DESCRIPTORS) // IDLE_DESCRIPTORS)
    wanted = arguments.only or ("sessions", "first", "proxy", "large", "idle")
    # Whoever ends it leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    ours = Ours(state)
    stack, processes = ours.stack, ours.stack.processes
    dovecots = {}
    report = {}
    try:
        ours.start(max(held if "idle" in wanted else 0, USERS + 2 * FIRST_TIME))
        for _ in range(MESSAGES_EACH):
            ours.deliver(range(USERS), 4096)
        os.chdir(REPOSITORY)
        for name, settings in (("default", dovecot_pop3.DEFAULT), ("tuned", dovecot_pop3.TUNED),
                               ("uncached", dovecot_pop3.TUNED_WITHOUT_CACHE)):
            if wanted == ["proxy"]:
                break
            dovecots[name] = Dovecot(stack, name=f"dovecot-{name}", settings=settings)
            dovecots[name].start()
        for part, measure in (("first", lambda: first_logins(stack, dovecots["uncached"])),
                              ("sessions", lambda: logins(stack, arguments.sessions, dovecots)),
                              ("proxy", lambda: proxies(ours, arguments.sessions)),
                              ("large", lambda: large_mailboxes(ours, dovecots["tuned"])),
                              ("idle", lambda: idle(stack, processes, dovecots["tuned"], held))):
            if part in wanted:
                report[part] = measure()
                print(f"    {part}: {json.dumps(report[part])}", file=sys.stderr, flush=True)
    finally:
        for dovecot in dovecots.values():
            dovecot.stop()
        stack.stop()
        shutil.rmtree(state, ignore_errors=True)
    if arguments.output == "json":
        print(json.dumps(report, indent=2))
    elif not arguments.only:
        show(report)


main()
