"""A host with many subscribers: accounts beside useradd, getent, maildirs, inspection, the idle agent.

./dev bench hosts [--accounts N] [--mailboxes N] measures on this machine, as root, in one run:
  - accounts a second on a host that has 50 000, from their records' arrival until the files are durable, beside
    `useradd` (with --prefix) on as many: at least 200 times its rate;
  - on a host with N accounts (default 1 000 000), how long after a record's arrival getpwnam(3) finds the new one
    (at most 2 s), the memory that takes, and `getent passwd` beside one in an /etc/passwd of 1 000 lines (at most
    5 times as long);
  - durable maildirs a second (at least 5 000), beside the bare mkdirs and one sync for thousands of them;
  - with a real provd and a real agent: inspection of N mailboxes (default 100 000) without drift, as provctl
    inspect-host waits for it (below 10 s), and the CPU that the agent takes in an idle minute.
Drivers and state are the agent's own (host_load.cc) where a million through provd would take a quarter of an hour.
Everything syncs to disk as in production. `./dev bench snapshot` measures an agent's memory at 1 000 000 routes.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPOSITORY, "tests", "stack"), os.path.join(REPOSITORY, "tests", "e2e"),
                os.path.join(REPOSITORY, "bench", "input"), os.path.join(REPOSITORY, "bench", "peers")]

from getent import make_small_etc, milliseconds_for_each, small_login  # noqa: E402
from host_etc import complete_etc, within  # noqa: E402
from rows import write_rows  # noqa: E402
from stack import Stack, built_programs  # noqa: E402
from useradd import useradd_rate  # noqa: E402

DOMAIN = "example.net"
SMALL_FILE = 1_000
LOOK_UPS = 300
HOST = "store1"


def host_load(*arguments, etc=None):
    command = [os.path.join(REPOSITORY, "bazel-bin/bench/host_load"), *map(str, arguments)]
    if etc:
        command = within(etc, "/etc", *command)
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def accounts(state, existing, count):
    row = host_load("accounts", "--directory", os.path.join(state, "accounts"), "--existing", existing, "--count",
                    count)
    row["useradd_per_second"] = useradd_rate(existing)
    row["times_useradd"] = row["accounts_per_second"] / row["useradd_per_second"]
    return row


def look_ups(state, existing):
    directory = os.path.join(state, "visible")
    etc, small = os.path.join(directory, "root", "etc"), os.path.join(state, "small")
    os.makedirs(etc)
    complete_etc(etc)
    make_small_etc(small, SMALL_FILE)
    row = host_load("visible", "--directory", directory, "--existing", existing, etc=etc)
    chance = random.Random(existing)
    row["getent_ms"] = milliseconds_for_each(
        etc, [f"user{chance.randrange(existing)}@{DOMAIN}" for _ in range(LOOK_UPS)])
    row["getent_small_file_ms"] = milliseconds_for_each(
        small, [small_login(chance.randrange(SMALL_FILE)) for _ in range(LOOK_UPS)])
    row["getent_ratio"] = row["getent_ms"] / row["getent_small_file_ms"]
    return row


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def agent(state, mailboxes, idle_seconds):
    stack = Stack(os.path.join(state, "stack"), built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
    stack.hosts = [(HOST, "store", "main")]
    try:
        stack.start()
        stack.provctl("add-domain", DOMAIN, "--wait")
        rows = stack.path("rows.ndjson")
        write_rows(rows, DOMAIN, 0, mailboxes)
        subprocess.run([stack.path("provctl"), "import", rows, "--wait", "--quiet", "--timeout", "3h"], check=True,
                       stdout=subprocess.DEVNULL)
        pid = stack.processes.pid(HOST)
        start, before = time.monotonic(), cpu_seconds(pid)
        stack.provctl("inspect-host", HOST)
        row = {"mailboxes": mailboxes, "inspect_host_seconds": time.monotonic() - start,
               "inspect_host_cpu_seconds": cpu_seconds(pid) - before}
        before = cpu_seconds(pid)
        time.sleep(idle_seconds)
        row["idle_cpu_percent"] = (cpu_seconds(pid) - before) / idle_seconds * 100
        return row
    finally:
        stack.stop()


def show(result):
    added, seen, made, real = (result[name] for name in ("accounts", "look_ups", "maildirs", "agent"))
    print(f"accounts: {added['accounts_per_second']:.0f}/s on top of {added['existing']}, useradd "
          f"{added['useradd_per_second']:.1f}/s: {added['times_useradd']:.0f} times")
    print(f"{seen['existing']} accounts: a new one is visible after {min(seen['visible_seconds']):.2f} s, "
          f"{max(seen['visible_seconds']):.2f} s at worst; all written in {seen['write_all_seconds']:.1f} s; at most "
          f"{seen['most_anonymous_mib']:.0f} MiB beyond mapped pages, {seen['idle_anonymous_mib']:.0f} MiB before")
    print(f"getent: {seen['getent_ms']:.2f} ms, in a file of {SMALL_FILE} lines {seen['getent_small_file_ms']:.2f} ms: "
          f"{seen['getent_ratio']:.2f} times")
    print(f"maildirs: {made['maildirs_per_second']:.0f}/s durable, bare system calls {made['bare_per_second']:.0f}/s; "
          f"{made['count']} inspected in {made['inspection_seconds']:.1f} s by the drivers alone")
    print(f"agent: inspect-host of {real['mailboxes']} mailboxes {real['inspect_host_seconds']:.1f} s "
          f"({real['inspect_host_cpu_seconds']:.1f} s of CPU); idle {real['idle_cpu_percent']:.2f} % of a processor")
    print(f"load average: {result['load_before'][0]:.1f} before, {result['load_after'][0]:.1f} after")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=1_000_000, help="on the large host")
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--idle-seconds", type=int, default=60)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench hosts: only root may put another /etc in place and run useradd")
    subprocess.run(["bazel", "build", "//bench:host_load"], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    # On the disk, not a memory file system: durability is part of the figure.
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    os.chmod(state, 0o755)  # the stack's servers run as another user
    result = {"load_before": os.getloadavg()}
    steps = {"accounts": lambda: accounts(state, 50_000, 20_000),
             "look_ups": lambda: look_ups(state, arguments.accounts),
             "maildirs": lambda: host_load("maildirs", "--directory", os.path.join(state, "maildirs"), "--count",
                                           arguments.mailboxes),
             "agent": lambda: agent(state, arguments.mailboxes, arguments.idle_seconds)}
    try:
        for name, step in steps.items():
            result[name] = step()
            print(f"    {name}: {result[name]}", file=sys.stderr, flush=True)
        result["load_after"] = os.getloadavg()
    finally:
        shutil.rmtree(state, ignore_errors=True)
    if arguments.output == "json":
        print(json.dumps(result, indent=2))
    else:
        show(result)


main()
