"""Programs run with files that fail: fault_shim.cc, as tests use it."""

import os
import subprocess

SHIM = os.path.abspath("tests/faults/fault_shim.so")
# Of the points at which calls fail, every so many-th is taken, other ones for each error; more in the soak test.
STRIDE = int(os.environ.get("PROV_FAULT_STRIDE", "29"))
# How host_process and move_process end.
DONE, NOT_STARTED, MUST_END, FAILING = 0, 1, 3, 4
# What the operating system says of each; LMDB and the agent put their own words around it.
ERRORS = {"EIO": "Input/output error", "ESTALE": "Stale file handle", "ENOSPC": "No space left on device",
          "EROFS": "Read-only file system"}


def run_shimmed(words, directory, below, at=0, how="kill", lasting=False, looks=False):
    """Runs a program whose files `below` may fail; how it ended, and the calls that were counted."""
    log, count = (os.path.join(directory, name) for name in ("log", "count"))
    for path, content in ((log, b""), (count, bytes(8))):
        with open(path, "wb") as file:
            file.write(content)
    fault = {"FAULT_BELOW": below, "FAULT_LOG": log, "FAULT_COUNT": count, "FAULT_AT": str(at), "FAULT_HOW": how}
    if lasting:
        fault["FAULT_LASTING"] = "1"
    if looks:
        fault["FAULT_LOOKS"] = "1"
    done = subprocess.run(words, env={**os.environ, **fault, "LD_PRELOAD": SHIM}, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8", timeout=120)
    with open(log, encoding="utf-8") as file:
        return done, file.read().splitlines()


def hashed(name, of):
    """Where below its root agents/mail/maildir puts it."""
    value = 14695981039346656037
    for octet in of.encode():
        value = (value ^ octet) * 1099511628211 % (1 << 64)
    value = (value ^ value >> 16 ^ value >> 32 ^ value >> 48) & 0xffff
    return f"{value >> 8:02x}", f"{value & 0xff:02x}", name
