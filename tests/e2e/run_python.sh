#!/bin/sh
# Bazel starts tests in their runfiles; Python leaves no caches there.
PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 "$@"
