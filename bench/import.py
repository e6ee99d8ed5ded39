"""A provider's whole customer base at once: provctl import, until the directory has it.

./dev bench import [--rows N ...] measures on this machine, in one run and into one slapd:
  - `provctl import --wait` of N new subscribers with passwords, default 100 000, until the directory has them all, and
    the most memory provd has used by then;
  - the same file again, which changes nothing;
  - beside it `ldapadd`, one entry at a time, and a loader of its own that adds the same entries in LDAP transactions
    (RFC 5805) of 500 and keeps nothing else.
Everything syncs to disk as in production. No hosts follow: that is ./dev bench provision.
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

DOMAIN = "example.net"
LOADER_ENTRIES = 50_000


def peak_rss_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024


def timed_import(stack, path):
    start = time.monotonic()
    subprocess.run([stack.path("provctl"), "import", path, "--wait", "--quiet", "--timeout", "3h"], check=True,
                   stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def loader_rate(stack):
    slapd = stack.slapd
    done = subprocess.run([os.path.join(REPOSITORY, "bazel-bin/bench/ldap_loader"), "--uri", slapd.ldapi, "--bind-dn",
                           slapd.publisher_dn, "--password-file", slapd.publisher_password_file, "--base", slapd.base,
                           "--count", str(LOADER_ENTRIES)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000], help="imports, one after the other")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    subprocess.run(["bazel", "build", "//bench:ldap_loader"], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    stack = Stack(state, built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
    try:
        stack.prepare()
        stack.start_servers()
        stack.start_provd()
        stack.provctl("add-pool", "main", "--role", "store")
        stack.provctl("add-domain", DOMAIN, "--wait")
        rows, present = [], 0
        for count in arguments.rows:
            path = stack.path("rows.ndjson")
            write_rows(path, DOMAIN, present, count)
            seconds = timed_import(stack, path)
            row = {"present": present, "rows": count, "seconds": seconds, "per_second": count / seconds,
                   "provd_peak_mib": peak_rss_mib(stack.processes.pid("provd")), "again_seconds": timed_import(stack, path)}
            print(f"    {row}", flush=True)
            rows.append(row)
            present += count
        peers = {"ldapadd_per_second": ldapadd_rate(stack), "loader_per_second": loader_rate(stack)}
    finally:
        stack.stop()
        shutil.rmtree(state, ignore_errors=True)
    if arguments.output == "json":
        print(json.dumps({"rows": rows, **peers}, indent=2))
        return
    for row in rows:
        rate = row["per_second"]
        print(f"on top of {row['present']}: {row['rows']} rows in {row['seconds']:.1f} s, {rate:.0f}/s, "
              f"{rate / peers['ldapadd_per_second']:.1f} times ldapadd ({peers['ldapadd_per_second']:.0f}/s), "
              f"{rate / peers['loader_per_second']:.2f} of the loader ({peers['loader_per_second']:.0f}/s); "
              f"again {row['again_seconds']:.1f} s; provd at most {row['provd_peak_mib']:.0f} MiB")


main()
