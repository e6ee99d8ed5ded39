"""The peer on every Unix host: useradd."""

import os
import shutil
import subprocess
import tempfile
import time


def useradd_rate(existing):
    """useradd on a private /etc that has `existing` accounts already. None where we may not."""
    if os.geteuid() != 0:
        return None
    prefix = tempfile.mkdtemp(prefix="prov-useradd-", dir="/var/tmp")
    try:
        etc = os.path.join(prefix, "etc")
        os.mkdir(etc)
        with open(os.path.join(etc, "passwd"), "w", encoding="ascii") as passwd, \
                open(os.path.join(etc, "shadow"), "w", encoding="ascii") as shadow, \
                open(os.path.join(etc, "group"), "w", encoding="ascii") as group:
            for number in range(existing):
                passwd.write(f"user{number}:x:{100_000 + number}:{100_000 + number}::/home/x:/usr/sbin/nologin\n")
                shadow.write(f"user{number}:!:19000:0:99999:7:::\n")
                group.write(f"user{number}:x:{100_000 + number}:\n")
        shutil.copy("/etc/login.defs", etc)
        count = max(3, min(100, 1_000_000 // existing))
        start = time.monotonic()
        for number in range(count):
            subprocess.run(["useradd", "--prefix", prefix, "-M", "-N", "-u", str(2_000_000 + number), "-s",
                            "/usr/sbin/nologin", f"new{number}"], check=True, stderr=subprocess.DEVNULL)
        return count / (time.monotonic() - start)
    finally:
        shutil.rmtree(prefix)
