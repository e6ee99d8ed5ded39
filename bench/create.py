"""One subscriber at a time: CreateSubscriber, beside what two inserts cost in the same database.

./dev bench create measures on this machine, in one run: CreateSubscriber a second at 1 and 32 callers, with the
directory following, and `pgbench` at as many clients with a transaction of two inserts and nothing else.
Everything syncs to disk as in production. Passwords come hashed: what hashing costs is a setting.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPOSITORY, "tests", "stack"), os.path.join(REPOSITORY, "bench", "peers")]

from pgbench import two_inserts_rate  # noqa: E402
from stack import Stack, built_programs  # noqa: E402

SECONDS = 10
COUNTS = {1: 2_000, 32: 20_000}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    subprocess.run(["bazel", "build", "//bench:provision_load"], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    stack = Stack(state, built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
    try:
        stack.prepare()
        stack.start_servers()
        stack.start_provd()
        stack.provctl("add-pool", "main", "--role", "store")
        stack.provctl("add-domain", "example.net", "--wait")
        rows = []
        for callers, count in COUNTS.items():
            done = subprocess.run([os.path.join(REPOSITORY, "bazel-bin/bench/provision_load"), "--config",
                                   stack.path("provctl.toml"), "create", "--count", str(count), "--callers", str(callers),
                                   "--prefix", f"c{callers}x"], stdout=subprocess.PIPE, check=True)
            rows.append(json.loads(done.stdout))
        stack.processes.stop("provd")
        for row in rows:
            row["two_inserts_per_second"] = two_inserts_rate(stack.postgres, row["callers"], SECONDS)
    finally:
        stack.stop()
        shutil.rmtree(state, ignore_errors=True)
    if arguments.output == "json":
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        rate = row["adds_per_second"]
        print(f"{row['callers']:>3} callers: {rate:.0f} creates/s (p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms), "
              f"directory following {row['converged_per_second']:.0f}/s; pgbench's two inserts "
              f"{row['two_inserts_per_second']:.0f}/s: {rate / row['two_inserts_per_second']:.2f} of it")


main()
