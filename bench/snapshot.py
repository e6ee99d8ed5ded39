"""A new relay joins a provider of a million: how soon it has all routes, in how much memory, and who has to wait.

./dev bench snapshot [--rows N] measures on this machine, in one run, with N subscribers (default 1 000 000, two
addresses each) in the database:
  - a relay agent that starts with nothing: routes a second until its copy is durable, the most memory that it and
    provd have used by then;
  - meanwhile, and before: how long a change takes to another agent that follows already.
Everything syncs to disk as in production.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPOSITORY, "tests", "stack"), os.path.join(REPOSITORY, "bench", "input")]

from rows import write_rows  # noqa: E402
from stack import Stack, built_programs  # noqa: E402

DOMAIN = "example.net"
NEW, FOLLOWING = "mx1", "proxy1"
LOOK_INTERVAL = 0.01


def resident_mib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith(field + ":")), 0) / 1024


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def applied(stack, host):
    # A follower that is behind makes status end with 1.
    followers = json.loads(stack.provctl("-o", "json", "status", allow=(0, 1)))["followers"]
    return next((int(f["applied_revision"]) for f in followers if f["name"] == f"hosts/{host}"), 0)


def delta_seconds(stack):
    """From a change's answer until the agent that follows has it."""
    start = time.monotonic()
    revision = int(stack.provctl_json("update-pool", "main", "--weight", str(1 + int(start * 1000) % 1000))["revision"])
    while applied(stack, FOLLOWING) < revision:
        time.sleep(LOOK_INTERVAL)
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    stack = Stack(state, built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
    stack.hosts = [(NEW, "relay", "mx"), (FOLLOWING, "pop-proxy", "proxies")]
    try:
        stack.prepare()
        stack.start_servers()
        stack.start_provd()
        stack.create_fleet()
        stack.provctl("add-pool", "main", "--role", "store")
        stack.provctl("add-domain", DOMAIN)
        rows = stack.path("rows.ndjson")
        write_rows(rows, DOMAIN, 0, arguments.rows)
        subprocess.run([stack.path("provctl"), "import", rows, "--quiet", "--timeout", "3h"], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([stack.path("provctl"), "directory", "verify", "--timeout", "3h"], check=False,
                       stdout=subprocess.DEVNULL)
        stack.start_agent(FOLLOWING)
        head = int(stack.provctl_json("update-pool", "main", "--weight", "1")["revision"])
        while applied(stack, FOLLOWING) < head:
            time.sleep(0.5)
        before = [delta_seconds(stack) for _ in range(20)]
        meanwhile, done = [], threading.Event()

        def watch_deltas():
            while not done.is_set():
                meanwhile.append(delta_seconds(stack))

        head = int(stack.provctl_json("update-pool", "main", "--weight", "1")["revision"])
        watcher = threading.Thread(target=watch_deltas)
        provd_before = cpu_seconds(stack.processes.pid("provd"))
        start = time.monotonic()
        stack.start_agent(NEW)
        watcher.start()
        while applied(stack, NEW) < head:
            time.sleep(0.2)
        seconds = time.monotonic() - start
        done.set()
        watcher.join()
        agent, provd = stack.processes.pid(NEW), stack.processes.pid("provd")
        print(f"    CPU: agent {cpu_seconds(agent):.1f} s, provd {cpu_seconds(provd) - provd_before:.1f} s", flush=True)
        result = {"routes": arguments.rows, "seconds": seconds, "routes_per_second": arguments.rows / seconds,
                  "agent_anonymous_mib": resident_mib(agent, "RssAnon"), "provd_peak_mib": resident_mib(provd, "VmHWM"),
                  "delta_before_ms": statistics.median(before) * 1000,
                  "delta_meanwhile_ms": statistics.median(meanwhile) * 1000 if meanwhile else None,
                  "delta_meanwhile_worst_ms": max(meanwhile) * 1000 if meanwhile else None}
    finally:
        stack.stop()
        shutil.rmtree(state, ignore_errors=True)
    if arguments.output == "json":
        print(json.dumps(result, indent=2))
        return
    print(f"{result['routes']} routes in {seconds:.1f} s, {result['routes_per_second']:.0f}/s; agent "
          f"{result['agent_anonymous_mib']:.0f} MiB beyond mapped pages, provd at most {result['provd_peak_mib']:.0f} MiB; "
          f"a change reaches another agent in {result['delta_before_ms']:.0f} ms before, {result['delta_meanwhile_ms']:.0f} ms "
          f"meanwhile ({result['delta_meanwhile_worst_ms']:.0f} ms at worst)")


main()
