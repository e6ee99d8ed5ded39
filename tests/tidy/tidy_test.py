"""The tree keeps its own rules; README commands and shell completions are true."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.getcwd(), "tests", "e2e"))

import case  # noqa: E402
import rules  # noqa: E402

# Runfiles are links to the checkout: there are the files that git knows.
REPOSITORY = os.path.dirname(os.path.realpath("WORKSPACE"))


class Tidy(unittest.TestCase):
    def test_TreeKeepsItsRules(self):
        files = rules.tracked(REPOSITORY)
        self.assertGreater(len(files), 100)
        problems = [problem for rule in rules.ALL for problem in rule(REPOSITORY, files)]
        self.assertEqual(problems, [], "\n".join(problems))

    def test_RulesFindWhatTheyForbid(self):
        with tempfile.TemporaryDirectory() as tree:
            planted = {
                "server/store/bad.cc": '#include "server/api/x.h"\n// TODO later\ntry {} catch (...) {}\n// see RFC5321\n',
                "agents/state/bad.h": '#include "server/model/domain.h"\n',
                "common/utils.cc": '#include "cli/x.h"\n',
                "cli/a_test.cc": "sleep_for(seconds(1));\n",
                "cli/b.cc": "co_return co_await A() && co_await B();\n",
            }
            for name, text in planted.items():
                os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
                with open(os.path.join(tree, name), "w", encoding="utf-8") as file:
                    file.write(text)
            found = [problem for rule in rules.ALL for problem in rule(tree, list(planted))]
            for expected in ("above it", "agents may not know server", "common may not know cli", "'TODO'", "catch (...)",
                             "'RFC5321'", "sleep_for", "'co_await A() &&'", "name it for what it holds", "lacks #pragma once"):
                self.assertTrue(any(expected in problem for problem in found), f"{expected}: {found}")


class Readme(case.StackCase):
    def test_CommandsOfTheReadmeRun(self):
        with open("README.md", encoding="utf-8") as file:
            blocks = re.findall(r"```sh\n(.*?)```", file.read(), re.S)
        self.add_user(login="alice@example.net")
        commands = [line for block in blocks for line in block.splitlines() if line.strip()]
        self.assertGreater(len(commands), 3)
        for command in commands:
            with self.subTest(command):
                done = subprocess.run(["sh", "-c", command.replace(".run/provctl", self.stack.path("provctl"))],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
                self.assertEqual(done.returncode, 0, done.stdout.decode())


if __name__ == "__main__":
    case.main()
