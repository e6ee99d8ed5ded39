"""The rules of CONTRIBUTING.md that a program can hold: what may not stand in the tree, and where."""

import os
import re
import subprocess

# Rooms of one block, from the top down: a file may include from its own room and from those below. Outside the
# blocks, `common` and `proto` are below everything and know nobody.
SERVER = ("server/provd", "server/api", "server/enrol", "server/feed", "server/directory", "server/store",
          "server/model")
AGENTS = ("agents/agent", "agents/engine", "agents/sync", "agents/control", "agents/moves", "agents/drivers", "agents/mail/control",
          "agents/mail/smtp", "agents/mail/pop3",
          "agents/mail/policy", "agents/mail/auth", "agents/mail/queue", "agents/mail/maildir", "agents/mail/route",
          "agents/mail/dns", "agents/mail/net", "agents/state", "agents/config")
BLOCKS = {"server": SERVER, "agents": AGENTS, "cli": ("cli",), "pam_module": ("pam_module",), "common": ("common",),
          "bench": ("bench",)}
# Benchmarks drive the real drivers.
BELOW = {"bench": ("agents",)}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
BANNED = (
    # pattern, which files, why
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), r"\.(cc|h|py|sh|bzl|proto|sql|bazel)$", "unfinished work belongs into an issue"),
    (re.compile(r"catch\s*\(\s*\.\.\.\s*\)"), r"\.(cc|h)$", "name what you catch"),
    (re.compile(r"\bsleep_for\s*\(\s*(std::chrono::)?(seconds|minutes|hours)|\bsleep\s*\("), r"_test\.cc$",
     "poll for a condition instead; only the pause between two looks is a sleep, of milliseconds"),
    (re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|system|popen|tmpnam|mktemp)\s*\("), r"(?<!_test)\.(cc|h)$",
     "unsafe; use std::string, fmt, posix_spawn, mkdtemp"),
    (re.compile(r"InsecureServerCredentials|InsecureChannelCredentials"), r"\.(cc|h)$", "every channel is mutual TLS"),
    (re.compile(r"\bUnverifiedTls\s*\("), r"^(?!agents/enrolment\.cc$|common/grpc_tls\.(cc|h)$).*\.(cc|h)$",
     "only enrolment may ask somebody nobody vouches for, and verify afterwards"),
    (re.compile(r"(&&|\|\|)\s*!?\s*co_await\b|\bco_await\b[^;{}]*(&&|\|\|)"
                r"|\b(while|for)\s*\([^{;]*\bco_await\b[^{;]*\)\s*\{"), r"\.(cc|h)$",
     "GCC 12 miscompiles an await within && or || or a loop's condition: give it a statement of its own"),
    (re.compile(r"/(work|root)/"), r"\.(cc|h|py|sh|md|bzl|bazel|proto|sql|toml|in)$", "a path of one machine"),
)
# An RFC is cited as "RFC 5321 section 4.5.2", so that one search finds every place.
# message/rfc822 is a media type.
MALFORMED_RFC = re.compile(r"\b(rfc|Rfc)\s?(?!822\b)\d{3,4}\b|\bRFC\d{3,4}\b|RFC \d{3,4},? ?§|RFC \d{3,4} [Ss]ec\. ")
BAD_NAMES = re.compile(r"(^|[/_])(utils?|helpers?|managers?|misc|common_stuff)([_./]|$)")


# What only tests link may reach into other blocks.
TEST_SUPPORT = re.compile(r"_test\.cc$|/testing/|/scripted_|_test_host\.|^tests/")


def tracked(repository):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, stdout=subprocess.PIPE, check=True).stdout
    return [name for name in listed.decode().split("\0") if name and os.path.isfile(os.path.join(repository, name))]


def read(repository, name):
    with open(os.path.join(repository, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def room_of(path, rooms):
    stem = path.rsplit(".", 1)[0]
    for room in sorted(rooms, key=len, reverse=True):
        if stem == room or stem.startswith(room + "/") or stem.startswith(room + "_"):
            return room
    return None


def wrong_includes(repository, files):
    for name in files:
        if not name.endswith((".cc", ".h")) or TEST_SUPPORT.search(name):
            continue
        block = name.split("/")[0]
        rooms = BLOCKS.get(block, ())
        own = room_of(name, rooms)
        for included in INCLUDE.findall(read(repository, name)):
            target = included.split("/")[0]
            if target in ("prov", "google", "absl") or target == "common":
                continue
            if target not in BLOCKS:
                continue
            if target in BELOW.get(block, ()):
                continue
            if target != block and not name.startswith("tests/"):
                yield f"{name} includes {included}: {block} may not know {target}"
            elif own and (their := room_of(included, rooms)) and rooms.index(their) < rooms.index(own):
                yield f"{name} includes {included}: {own} may not know {their}, which is above it"


def banned_text(repository, files):
    for name in files:
        if name.startswith("tests/tidy/") or name == "LICENSE":
            continue
        text = None
        for pattern, which, why in BANNED:
            if re.search(which, name):
                text = text if text is not None else read(repository, name)
                for match in pattern.finditer(text):
                    line = text.count("\n", 0, match.start()) + 1
                    yield f"{name}:{line}: {match.group(0)!r}: {why}"


def malformed_citations(repository, files):
    for name in files:
        if name.endswith((".cc", ".h")):
            text = read(repository, name)
            for match in MALFORMED_RFC.finditer(text):
                yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(0)!r}: write RFC NNNN section N"


def bad_names(_, files):
    for name in files:
        if BAD_NAMES.search(name):
            yield f"{name}: name it for what it holds"


def headers_without_guard(repository, files):
    for name in files:
        if name.endswith(".h") and "#pragma once" not in read(repository, name):
            yield f"{name}: lacks #pragma once"


ALL = (wrong_includes, banned_text, malformed_citations, bad_names, headers_without_guard)
