"""./dev down: stops what ./dev up started, by process id; --purge removes its state as well."""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from processes import Processes  # noqa: E402


def main():
    if sys.argv[1:] not in ([], ["--purge"]):
        print("usage: ./dev down [--purge]", file=sys.stderr)
        return 2
    link = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), ".run")
    state = os.path.realpath(link)
    processes = Processes(state)
    # Those that depend on others go first.
    order = {"provd": 1, "slapd": 2, "postgres": 3}
    for name in sorted(processes.names(), key=lambda name: order.get(name, 0)):
        if processes.pid(name):
            print(f"stopping {name}", flush=True)
        processes.stop(name, with_signal=2 if name == "postgres" else 15)
    endpoints = os.path.join(state, "endpoints.json")
    if os.path.exists(endpoints):
        os.unlink(endpoints)
    if sys.argv[1:] == ["--purge"] and os.path.isdir(state):
        shutil.rmtree(state)
        if os.path.islink(link):
            os.unlink(link)
        print("state removed")
    return 0


sys.exit(main())
