"""The /etc of a host of the stack, as the real programs of that host see it: in a mount namespace of their own."""

import os
import shutil

from processes import wait_until

# Arguments: what is put in its place, the place, then the command.
_WITHIN = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


def within(directory, place, *command):
    """The command, to be run by root, that runs `command` where `directory` is at `place` for it alone."""
    return ["unshare", "--mount", "sh", "-c", _WITHIN, "sh", directory, place, *command]


def complete_etc(etc):
    """Adds what look-ups need beside the files that an agent writes."""
    for name in ("passwd", "group", "ld.so.cache"):
        shutil.copy(os.path.join("/etc", name), etc)
    with open(os.path.join(etc, "nsswitch.conf"), "w", encoding="utf-8") as file:
        file.write("passwd: files cache\ngroup: files cache\n")


def make_etc(stack, host):
    """The directory to put at /etc, for programs of the host."""
    etc = stack.path("hosts", host, "root", "etc")
    wait_until(lambda: os.path.isdir(etc), f"the first files of {host}")
    complete_etc(etc)
    return etc
