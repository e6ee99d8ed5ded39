"""./dev up as a newcomer runs it, in a checkout of its own: the story, endpoints.json, a second run, ./dev down."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import case


class Up(unittest.TestCase):
    def setUp(self):
        # The programs are built already: the checkout is our runfiles, with bazel-bin pointing at them.
        self.checkout = tempfile.mkdtemp(prefix="prov-up-", dir="/tmp")
        os.chmod(self.checkout, 0o755)
        for part in ("tests/stack", "schema"):
            shutil.copytree(part, os.path.join(self.checkout, part))
        os.symlink(os.getcwd(), os.path.join(self.checkout, "bazel-bin"))
        self.addCleanup(shutil.rmtree, self.checkout, ignore_errors=True)
        self.addCleanup(self.run_script, "down.py", "--purge")

    def run_script(self, name, *arguments):
        return subprocess.run([sys.executable, os.path.join(self.checkout, "tests/stack", name), *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=180)

    def test_UpDoesTheMainJobTwiceAndDownEndsIt(self):
        for _ in range(2):
            done = self.run_script("up.py")
            text = done.stdout.decode(errors="replace")
            self.assertEqual(done.returncode, 0, text)
            self.assertIn("came back unchanged", text)
        with open(os.path.join(self.checkout, ".run/endpoints.json"), encoding="utf-8") as file:
            endpoints = json.load(file)
        for name in ("provd", "ldap_uri", "ldap_base", "postgres", "smtp_relay", "smtp_store", "submission", "submissions", "pop3", "pop3_proxy",
                     "metrics"):
            self.assertTrue(endpoints[name], name)
        for name in ("tls_ca", "provctl"):
            self.assertTrue(os.path.exists(os.path.join(self.checkout, endpoints[name])), name)
        status = subprocess.run([os.path.join(self.checkout, endpoints["provctl"]), "-o", "json", "status"], cwd="/",
                                stdout=subprocess.PIPE, check=True, timeout=60)
        self.assertTrue(json.loads(status.stdout)["healthy"], status.stdout.decode())
        self.assertEqual(self.run_script("down.py").returncode, 0)
        self.assertFalse(os.path.exists(os.path.join(self.checkout, ".run/endpoints.json")))


if __name__ == "__main__":
    case.main()
