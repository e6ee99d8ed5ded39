"""What the guides tell people to type is what the programs take."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import case  # noqa: E402
from stack import built_programs  # noqa: E402

GUIDES = ("README.md", "docs/operators-guide.md", "docs/upgrade.md", "docs/moving-from-scripts.md")
CALL = re.compile(r"(?:^\s+(?:[a-z0-9-]+# )?|`)(?:\.run/)?(provctl|prov-agent|provd) ([^`\n]+)", re.M)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Guides(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.programs = built_programs(os.getcwd())
        cls.helps = {}

    def help_of(self, program, *command):
        """The --help of a command; None where there is none of that name."""
        if (program, *command) not in self.helps:
            done = subprocess.run([self.programs[program], *command, "--help"], capture_output=True, text=True,
                                  timeout=60, check=False)
            known = done.returncode == 0
            self.helps[(program, *command)] = done.stdout if known else None
        return self.helps[(program, *command)]

    def calls(self):
        """Guide, program and words of each command line."""
        for guide in GUIDES:
            for program, rest in CALL.findall(read(guide)):
                if rest.lstrip().startswith("="):
                    continue  # a key of a configuration
                yield guide, program, shlex.split(rest.split(" > ")[0].split(" < ")[0], comments=True)

    def test_EveryCommandAndOptionIsOneOfTheProgram(self):
        number = 0
        for guide, program, words in self.calls():
            with self.subTest(guide=guide, program=program, words=words):
                number += 1
                commands = []
                for word in words:
                    if not re.fullmatch("[a-z][a-z-]*", word) or len(commands) == 2:
                        break
                    if self.help_of(program, *commands, word) is None or (
                            commands and "Subcommands:" not in self.help_of(program, *commands)):
                        break
                    commands.append(word)
                general, own = self.help_of(program), self.help_of(program, *commands)
                if words[0] not in ("--help", "COMMAND", "-o"):
                    self.assertTrue(commands, f"{program} has no command {words[0]}")
                for option in (word.split("=")[0] for word in words if word.startswith("--")):
                    self.assertRegex(own + general, rf"(?:^|[\s,]){option}\b")
        self.assertGreaterEqual(number, 50)

    def test_EveryConfigurationOfAHostIsGood(self):
        guide = read("docs/operators-guide.md")
        samples = [match.group(0) for match in
                   re.finditer(r"^    host = .*\n(?:^    .*\n)+", guide, re.M)]
        self.assertEqual(len(samples), 2)
        for sample in samples:
            with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
                file.write(re.sub("^    ", "", sample, flags=re.M))
                file.flush()
                done = subprocess.run([self.programs["prov-engine"], "--check", "--config", file.name], check=False,
                                      capture_output=True, text=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, ""), sample)

    def test_EveryDirectoryFileIsThere(self):
        for guide in GUIDES:
            for name in re.findall(r"slap(?:add|modify) .*-l ([a-z_]+\.ldif)\b", read(guide)):
                self.assertTrue(os.path.exists(f"schema/ldap/{name}.in"), name)

    def test_EveryLinkLeadsSomewhere(self):
        for guide in GUIDES[1:]:
            for target in re.findall(r"\]\(([^)#:]+)\)", read(guide)):
                self.assertTrue(os.path.exists(os.path.normpath(os.path.join("docs", target))), f"{guide}: {target}")

    def test_TheScriptThatReadsOldAccountsMakesRowsOfThem(self):
        script = re.search(r"```python\n(.*?)```", read("docs/moving-from-scripts.md"), re.S).group(1)
        with tempfile.TemporaryDirectory(prefix="prov-guide-") as directory:
            for name, text in {
                    "passwd": "root:x:0:0:root:/root:/bin/bash\n"
                              "alice:x:1042:1042:Alice Example,,,:/home/alice:/bin/false\n"
                              "bob:x:1043:1043::/home/bob:/bin/false\n",
                    "shadow": "root:*:1::::::\nalice:$6$salt$abc:19000:0:99999:7:::\nbob:$1$old$hash:19000::::::\n",
                    "aliases": "# aliases\npostmaster: root\nsales: alice\n"}.items():
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(text)
            done = subprocess.run([sys.executable, "-c", script], cwd=directory, check=True, capture_output=True,
                                  text=True, timeout=60)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row["login"] for row in rows], ["alice@example.net", "bob@example.net"])
        self.assertEqual(rows[0]["addresses"], ["sales@example.net"])
        self.assertEqual(rows[0]["password_hash"], "{CRYPT}$6$salt$abc")
        self.assertEqual(rows[0]["display_name"], "Alice Example")
        self.assertNotIn("password_hash", rows[1])


if __name__ == "__main__":
    case.main()
