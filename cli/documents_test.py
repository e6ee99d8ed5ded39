"""provctl's help, its man page and its completions say the same."""

import re
import subprocess
import unittest

PROVCTL = "cli/provctl"


def help_of(*command):
    return subprocess.run([PROVCTL, *command, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout


def options_of(text):
    """Options with dashes in the Options part of a --help."""
    part = re.search(r"^Options:\n(.*?)(?:\n\n|\Z)", text, re.M | re.S).group(1)
    return {option for line in part.splitlines() for option in re.findall(r"(?:^  |,)(-{1,2}[a-z][a-z-]*)", line)}


def parts_of(command):
    """A group of commands: the command lines of its members. Else its own."""
    part = re.search(r"^Subcommands:\n(.*?)\n\n", help_of(command), re.M | re.S)
    return [[command, name] for name in re.findall(r"^  ([a-z-]+) ", part.group(1), re.M)] if part else [[command]]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        text = help_of()
        part = re.search(r"^Subcommands:\n(.*?)\n\n", text, re.M | re.S).group(1)
        cls.commands = re.findall(r"^  ([a-z-]+) ", part, re.M)
        cls.global_options = options_of(text) - {"-h"}
        cls.parts = {command: parts_of(command) for command in cls.commands}
        cls.own_options = {command: set().union(*(options_of(help_of(*part)) for part in parts)) - {"-h", "--help"}
                           for command, parts in cls.parts.items()}

    def test_EveryCommandShowsAnExampleOfItself(self):
        self.assertGreater(len(self.commands), 20)
        for command in self.commands:
            for part in [[command], *self.parts[command]]:
                with self.subTest(part):
                    self.assertIn(f"\nExample:\n  provctl {' '.join(part)}", help_of(*part))

    def test_HelpTellsExitStatuses(self):
        for status in range(10):
            self.assertRegex(help_of(), rf"\b{status} [a-z]")

    def bash(self, *words):
        """What bash offers after these words; the last one is being typed."""
        script = ('source packaging/completions/provctl.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _provctl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-u", "-c", script, "bash", "provctl", *words], check=True, capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_BashCompletesCommandsAndTheirOptions(self):
        self.assertEqual(self.bash(""), set(self.commands))
        self.assertEqual(self.bash("-"), self.global_options)
        for command in self.commands:
            with self.subTest(command):
                self.assertEqual(self.bash(command, "-"),
                                 self.global_options - {"--version"} | self.own_options[command])

    def test_BashKnowsWhichOptionsTakeAValue(self):
        self.assertEqual(self.bash("--output", ""), {"table", "json"})
        self.assertEqual(self.bash("--server", "add-user:1", "set-pass"), {"set-password"})
        for command in self.commands:
            text = "".join(help_of(*part) for part in self.parts[command])
            for option in re.findall(r"^  (?:-\w,)?(--[a-z-]+) (?:TEXT|UINT|INT)", text, re.M):
                with self.subTest(f"{command} {option}"):
                    self.assertEqual({word for word in self.bash(command, option, "-") if word.startswith("-")}, set())

    def test_ZshKnowsCommandsAndOptions(self):
        text = read("packaging/completions/_provctl")
        described = re.findall(r"^  '([a-z-]+):", text, re.M)
        self.assertEqual(described, self.commands)
        offered = set(re.findall(r"(?<![a-z])--[a-z-]+", text))
        self.assertEqual(offered, {option for option in self.global_options if option.startswith("--")}.union(
            *self.own_options.values()))
        for command, options in self.own_options.items():
            case = re.search(rf"^      {command}\)(.*?);;", text, re.M | re.S)
            with self.subTest(command):
                self.assertTrue(case is not None or not options)
                if case:
                    self.assertEqual(set(re.findall(r"(--[a-z-]+)\[", case.group(1))), options)

    def test_ManPageTellsOfEveryCommandOptionAndStatus(self):
        page = read("docs/man/provctl.1")
        sections = {}
        for command, text in re.findall(r"^\.It Ic ([a-z-]+)(.*?)(?=^\.It Ic |^\.Sh |^\.Ss )", page, re.M | re.S):
            sections[command] = sections.get(command, "") + text
        self.assertEqual(set(sections), set(self.commands))
        for command, options in self.own_options.items():
            with self.subTest(command):
                self.assertEqual({"-" + option for option in re.findall(r"\bFl (-[a-z-]+)", sections[command])} & options,
                                 options)
        general = re.search(r"^\.Sh OPTIONS\n(.*?)^\.Sh ", page, re.M | re.S).group(1)
        self.assertEqual({"-" + option for option in re.findall(r"\bFl (-?[a-z-]+)", general)}, self.global_options)
        statuses = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.Sh ", page, re.M | re.S).group(1)
        self.assertEqual(re.findall(r"^\.It (\d)", statuses, re.M), [str(status) for status in range(10)])

    def test_ManPagesAreWellFormed(self):
        for page in ("provctl.1", "provctl-import.5", "prov-agent.8", "provd.8", "provd.toml.5"):
            with self.subTest(page):
                done = subprocess.run(["groff", "-mdoc", "-Tutf8", "-ww", f"docs/man/{page}"], capture_output=True, text=True,
                                      timeout=60, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_ManPagesOfConfigurationsTellOfEveryKey(self):
        for name in ("provd.toml", "agent.toml"):
            table, keys = "", []
            for line in read(f"packaging/{name}").splitlines():
                if header := re.fullmatch(r"\[([a-z0-9_.]+)\]", line):
                    table = header.group(1) + "."
                elif key := re.match(r"#?([a-z_]+) = ", line):
                    keys.append(table + key.group(1))
            self.assertGreater(len(keys), 15)
            self.assertEqual(re.findall(r"^\.It Ic ([a-z0-9_.]+)$", read(f"docs/man/{name}.5"), re.M), keys)


if __name__ == "__main__":
    unittest.main(verbosity=2)
