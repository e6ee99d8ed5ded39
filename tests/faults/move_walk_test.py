"""A mailbox moves between pools, and whoever brings it dies at any step: all mail arrives, once (I3, I6).

Both places are below one directory, whose fault points are found by running; see fault_walk_test.py."""

import itertools
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tests", "e2e"))

import case  # noqa: E402
from shim import DONE, ERRORS, FAILING, STRIDE, hashed, run_shimmed  # noqa: E402

MOVE = os.path.abspath("tests/faults/move_process")


class MoveWalk(unittest.TestCase):
    MESSAGES = {"new/1700000000.M1P1.host": "one", "new/1700000001.M2P1.host": "two",
                "cur/1700000002.M3P1.host:2,S": "three"}

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="prov-faults-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.directory)

    def path(self, *parts):
        return os.path.join(self.directory, "pools", *parts)

    def make(self):
        shutil.rmtree(self.path(), ignore_errors=True)
        os.makedirs(self.path("new"))
        for part in ("new", "cur", "tmp"):
            os.makedirs(self.path("old", *hashed("box-1", of="box-1"), part))
        for name, text in self.MESSAGES.items():
            with open(self.path("old", *hashed("box-1", of="box-1"), name), "w", encoding="utf-8") as file:
                file.write(text)

    def run_move(self, **fault):
        return run_shimmed([MOVE, self.path("old"), self.path("new")], self.directory, self.path(), **fault)

    def assert_arrived(self, where):
        found = {}
        for pool in ("old", "new"):
            for base, folders, files in os.walk(self.path(pool)):
                for name in files:
                    with open(os.path.join(base, name), encoding="utf-8") as file:
                        found[os.path.relpath(os.path.join(base, name), self.path())] = file.read()
                folders.sort()
        place = os.path.join(*hashed("box-1", of="box-1"))
        wanted = {os.path.join("new", place, name): text for name, text in self.MESSAGES.items()}
        wanted[os.path.join("old", place + ".left")] = ""
        self.assertEqual(found, wanted, where)
        beside = os.listdir(os.path.dirname(self.path("new", place)))
        self.assertEqual(beside, ["box-1"], where)

    def test_KilledAtAnyCallAllMailArrivesOnce(self):
        self.make()
        done, calls = self.run_move()
        self.assertEqual(done.returncode, DONE, done.stderr)
        self.assert_arrived("undisturbed")
        self.assertGreater(len(calls), 20)
        for at in range(1, len(calls) + 1):
            self.make()
            killed, struck = self.run_move(at=at)
            self.assertEqual(killed.returncode, -9)
            done, _ = self.run_move()
            self.assertEqual(done.returncode, DONE, f"after {struck[-1]}: {done.stderr}")
            self.assert_arrived(struck[-1])
        print(f"move: {len(calls)} faults", flush=True)

    def test_ErrorsAtAnyCallLoseNoMail(self):
        number = 0
        for turn, (how, lasting) in enumerate(itertools.product(ERRORS, (False, True))):
            self.make()
            _, calls = self.run_move(how=how, looks=True)
            for at in range(1 + turn % 4, len(calls) + 1, max(1, STRIDE // 7)):
                self.make()
                failed, struck = self.run_move(at=at, how=how, lasting=lasting, looks=True)
                self.assertIn(failed.returncode, (DONE, FAILING), struck[-1:])
                done, _ = self.run_move()
                self.assertEqual(done.returncode, DONE, f"{how} at {at}: {done.stderr}")
                self.assert_arrived(f"{how} at {at}")
                number += 1
        print(f"move: {number} faults", flush=True)


if __name__ == "__main__":
    case.main()
