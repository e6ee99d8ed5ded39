"""./dev lint [--all]: formats as ./dev fmt would make them, then clang-tidy on what changed (or on everything)."""

import os
import subprocess
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules  # noqa: E402

FLAGS = ["-std=c++20", "-I.", "-Ibazel-bin", "-Ibazel-bin/proto", "-DASIO_STANDALONE", "-DASIO_NO_DEPRECATED",
         "-Wno-unknown-warning-option"]


def run(*arguments):
    return subprocess.run(arguments, cwd=REPOSITORY, check=False).returncode == 0


def changed():
    listed = subprocess.run(["git", "diff", "--name-only", "HEAD~1"], cwd=REPOSITORY, stdout=subprocess.PIPE, check=False)
    return set(listed.stdout.decode().split())


def main():
    files = rules.tracked(REPOSITORY)
    cxx = [name for name in files if name.endswith((".cc", ".h"))]
    bazel = [name for name in files if name.endswith((".bzl", ".bazel")) or name == "WORKSPACE"]
    good = run("clang-format", "--dry-run", "--Werror", *cxx)
    good &= run("npx", "--yes", "@bazel/buildifier", "-mode=check", *bazel)
    problems = [problem for rule in rules.ALL for problem in rule(REPOSITORY, files)]
    for problem in problems:
        print(problem)
    wanted = set(files) if "--all" in sys.argv[1:] else changed()
    sources = [name for name in cxx if name.endswith(".cc") and name in wanted]
    for number, name in enumerate(sources, 1):
        print(f"clang-tidy {number}/{len(sources)} {name}", flush=True)
        good &= run("clang-tidy", "--quiet", name, "--", *FLAGS)
    return 0 if good and not problems else 1


sys.exit(main())
