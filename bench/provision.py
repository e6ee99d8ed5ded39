"""From an API call to a working mailbox: adds per second, and milliseconds to the first login.

./dev bench provision [--subscribers N ...] measures on this machine, in one run:
  - CreateSubscriber per second at 1 and 32 callers, with PostgreSQL, the directory and all agents following;
  - from add-user to the first working POP3 login (p50, p99) on top of N subscribers, default 1 000 and
    100 000: the two are to differ little (I9);
  - beside them `ldapadd`, one entry at a time, into the same slapd, and `useradd` (with --prefix) on as many accounts.
Everything syncs to disk as in production. 1 000 000 take a quarter of an hour to fill.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPOSITORY, "tests", "stack"), os.path.join(REPOSITORY, "bench", "input"),
                os.path.join(REPOSITORY, "bench", "peers")]

from ldapadd import ldapadd_rate  # noqa: E402
from rows import write_rows  # noqa: E402
from stack import Stack, built_programs  # noqa: E402
from useradd import useradd_rate  # noqa: E402

DOMAIN = "example.net"
LOGINS = 300


def load(stack, *arguments):
    done = subprocess.run([os.path.join(REPOSITORY, "bazel-bin/bench/provision_load"), "--config",
                           stack.path("provctl.toml"), *arguments], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def fill(stack, present, wanted):
    if wanted > present:
        start = time.monotonic()
        path = stack.path("fill.ndjson")
        write_rows(path, DOMAIN, present, wanted - present)
        subprocess.run([stack.path("provctl"), "import", path, "--wait", "--quiet", "--timeout", "3h"], check=True,
                       stdout=subprocess.DEVNULL)
        print(f"    filled to {wanted} subscribers in {time.monotonic() - start:.1f} s", flush=True)


def measure(stack, subscribers):
    tag = f"s{subscribers}"
    row = {"subscribers": subscribers}
    row["single"] = load(stack, "create", "--count", "300", "--callers", "1", "--prefix", f"one{tag}x")
    row["many"] = load(stack, "create", "--count", "5000", "--callers", "32", "--prefix", f"many{tag}x")
    print(f"    {subscribers}: adds {row['many']}", flush=True)
    row["login"] = load(stack, "login", "--count", str(LOGINS), "--prefix", f"login{tag}x", "--pop3",
                        stack.address("pop3"))
    print(f"    {subscribers}: first logins {row['login']}", flush=True)
    row["useradd_per_second"] = useradd_rate(subscribers)
    return row


def show(rows, ldapadd):
    print(f"\n{'existing':>9} {'1 caller':>10} {'32 callers':>11} {'all following':>14} {'login p50':>10} {'login p99':>10} "
          f"{'ldapadd':>9} {'useradd':>9}")
    for row in rows:
        useradd = row["useradd_per_second"]
        print(f"{row['subscribers']:>9} {row['single']['adds_per_second']:>8.0f}/s {row['many']['adds_per_second']:>9.0f}/s "
              f"{row['many']['converged_per_second']:>12.0f}/s {row['login']['p50_ms']:>7.1f} ms "
              f"{row['login']['p99_ms']:>7.1f} ms {ldapadd:>7.0f}/s " + (f"{useradd:>7.1f}/s" if useradd else "     n/a"))
    first, last = rows[0], rows[-1]
    if len(rows) > 1:
        print(f"first login at {last['subscribers']}: p99 {last['login']['p99_ms'] / first['login']['p99_ms']:.2f} of that at "
              f"{first['subscribers']}, p50 {last['login']['p50_ms'] / first['login']['p50_ms']:.2f}")
    for row in rows:
        following = row["many"]["converged_per_second"]
        ratio = f", {following / row['useradd_per_second']:.0f} times useradd" if row["useradd_per_second"] else ""
        print(f"at {row['subscribers']}: everything following is {following / ldapadd:.1f} times ldapadd{ratio}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, nargs="+", metavar="N", default=[1_000, 100_000],
                        help="how many there are already, rising")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    subprocess.run(["bazel", "build", "//bench:provision_load"], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    # On the disk, not a memory file system: durability is part of the figure.
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    stack = Stack(state, built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
    try:
        stack.start()
        stack.provctl("add-domain", DOMAIN, "--wait")
        rows, present = [], 0
        for subscribers in arguments.subscribers:
            fill(stack, present, subscribers)
            rows.append(measure(stack, subscribers))
            present = subscribers
        ldapadd = ldapadd_rate(stack)
        if arguments.output == "json":
            print(json.dumps({"rows": rows, "ldapadd_per_second": ldapadd}, indent=2))
        else:
            show(rows, ldapadd)
    finally:
        stack.stop()
        shutil.rmtree(state, ignore_errors=True)


main()
