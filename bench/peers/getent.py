"""What every program does that asks for an account: getent, with glibc's own modules and /etc put in its place."""

import os
import subprocess
import time

from host_etc import complete_etc, within

# Names come on standard input: a program for each, as scripts do it.
_LOOK_UP = 'while read -r name; do getent passwd "$name" >/dev/null || exit 3; done'


def make_small_etc(etc, accounts):
    """A directory to put at /etc, whose passwd has so many lines."""
    os.makedirs(etc)
    complete_etc(etc)
    with open(os.path.join(etc, "passwd"), "w", encoding="ascii") as file:
        for number in range(accounts):
            uid = 100_000 + number
            file.write(f"{small_login(number)}:x:{uid}:{uid}::/home/x:/usr/sbin/nologin\n")


def small_login(number):
    return f"small{number}"


def milliseconds_for_each(etc, logins):
    """Of getent passwd LOGIN, process and all."""
    start = time.monotonic()
    subprocess.run(within(etc, "/etc", "sh", "-c", _LOOK_UP), check=True,
                   input="".join(login + "\n" for login in logins), encoding="ascii")
    return (time.monotonic() - start) * 1000 / len(logins)
