"""First-time logins a second: PAM workers with pam_prov, beside what the directory's binds alone allow.

./dev bench login [--connections N] measures on this machine, in one run and against one slapd with the hashes that
provd makes (SHA-512 crypt): binds a second by N connections (default 4) that do nothing else, and logins a second by
as many PAM workers, each of them the directory's search and bind, with no credential cached. They take turns,
twice; the better of each counts.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(REPOSITORY, "tests", "stack")]

from stack import Stack, built_programs  # noqa: E402

LOGINS = 200
SECONDS = 8
ROUNDS = 2
PASSWORD = "vioBn4Aw-plinth-Rook"


def add_subscribers(stack):
    """With one hash for all: a bind costs the same whoever has made it."""
    salted = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD.encode(), stdout=subprocess.PIPE,
                            check=True).stdout.decode().strip()
    path = stack.path("logins.ndjson")
    with open(path, "w", encoding="ascii") as file:
        for number in range(LOGINS):
            file.write(json.dumps({"login": f"user{number}@example.net", "password_hash": "{CRYPT}" + salted}) + "\n")
    subprocess.run([stack.path("provctl"), "import", path, "--wait", "--quiet"], check=True, stdout=subprocess.DEVNULL)


def rate(stack, mode, connections, password_file):
    done = subprocess.run([os.path.join(REPOSITORY, "bazel-bin/bench/login_load"), mode, "--ldap-uri", stack.slapd.ldapi,
                           "--base", stack.slapd.base, "--worker-program", os.path.join(stack.bin, "prov-pam-worker"),
                           "--pam-directory", stack.path("pam.d"), "--password-file", password_file, "--prefix", "user",
                           "--logins", str(LOGINS), "--connections", str(connections), "--seconds", str(SECONDS)],
                          stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    subprocess.run(["bazel", "build", "//bench:login_load"], cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    state = tempfile.mkdtemp(prefix="prov-bench-", dir="/var/tmp")
    stack = Stack(state, built_programs(os.path.join(REPOSITORY, "bazel-bin")), REPOSITORY)
    best = {"binds": 0.0, "logins": 0.0}
    try:
        stack.prepare()
        stack.start_servers()
        stack.start_provd()
        stack.provctl("add-pool", "main", "--role", "store")
        stack.provctl("add-domain", "example.net", "--wait")
        add_subscribers(stack)
        stack.processes.stop("provd")
        password_file = stack.path("password")
        with open(os.open(password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(PASSWORD + "\n")
        for _ in range(ROUNDS):
            for mode in best:
                best[mode] = max(best[mode], rate(stack, mode, arguments.connections, password_file))
    finally:
        stack.stop()
        shutil.rmtree(state, ignore_errors=True)
    row = {"connections": arguments.connections, "binds_per_second": best["binds"],
           "logins_per_second": best["logins"], "ratio": best["logins"] / best["binds"]}
    if arguments.output == "json":
        print(json.dumps(row, indent=2))
        return
    print(f"{row['connections']} at once: {row['logins_per_second']:.0f} logins/s through PAM workers, "
          f"{row['binds_per_second']:.0f} binds/s without them: {row['ratio']:.2f} of it")


if __name__ == "__main__":
    main()
