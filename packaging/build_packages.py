#!/usr/bin/python3
"""build_packages.py OUT [FILE PLACE]...: Debian packages in OUT, from files laid out at their places in the source tree.

The same input gives the same octets: debhelper takes all times from the changelog.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile


def lay_out(tree, files):
    for source, place in files:
        target = os.path.join(tree, place)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        os.chmod(target, 0o755 if os.access(source, os.X_OK) else 0o644)
    os.rename(os.path.join(tree, "packaging", "debian"), os.path.join(tree, "debian"))


def main(out, *words):
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as work:
        tree = os.path.join(work, "prov")
        lay_out(tree, zip(words[::2], words[1::2]))
        done = subprocess.run(["debian/rules", "binary"], cwd=tree, env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout.decode(errors="replace"))
        for package in glob.glob(os.path.join(work, "*.deb")):
            shutil.move(package, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
