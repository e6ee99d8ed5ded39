"""The Debian packages by themselves: what lintian says, what is in them, how far their services are shut in."""

import glob
import os
import subprocess
import unittest

import case

PACKAGES = {"libpam-prov", "prov-agent", "prov-cli", "prov-integrations", "prov-server"}
# A few of each that its users would miss.
EXPECTED = {
    "prov-server": ("usr/sbin/provd", "lib/systemd/system/provd.service", "etc/prov/provd.toml",
                    "usr/lib/sysusers.d/prov-server.conf", "usr/share/man/man8/provd.8.gz",
                    "usr/share/man/man5/provd.toml.5.gz", "usr/share/prov/schema/ldap/prov.ldif",
                    "usr/share/doc/prov-server/directory.md.gz", "usr/share/doc/prov-server/copyright"),
    "prov-agent": ("usr/sbin/prov-agent", "usr/lib/prov/prov-engine", "usr/lib/prov/prov-pam-worker",
                   "lib/systemd/system/prov-agent.service", "lib/systemd/system/prov-engine.service",
                   "etc/prov/agent.toml", "etc/pam.d/prov-pop3", "etc/pam.d/prov-smtp",
                   "usr/lib/sysusers.d/prov-agent.conf",
                   "usr/share/man/man8/prov-agent.8.gz", "usr/share/man/man8/prov-engine.8.gz"),
    "prov-cli": ("usr/bin/provctl", "etc/prov/provctl.toml", "usr/share/man/man1/provctl.1.gz",
                 "usr/share/bash-completion/completions/provctl", "usr/share/zsh/vendor-completions/_provctl"),
    "libpam-prov": ("security/pam_prov.so", "etc/prov/pam_prov.toml", "usr/share/man/man8/pam_prov.8.gz"),
    "prov-integrations": ("usr/share/prov/integrations/postfix/main.cf.in",
                          "usr/share/prov/integrations/dovecot/dovecot.conf.in",
                          "usr/share/prov/integrations/vsftpd/vsftpd.conf.in"),
}
# Of systemd-analyze security, in tenths; 0 is shut in, 100 is exposed. The agent is root, and held to it all the same.
MOST_EXPOSURE = 39


def output(*arguments):
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout.decode()


class PackagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.debs = {os.path.basename(path).split("_")[0]: os.path.abspath(path)
                    for path in glob.glob("packaging/packages/*.deb")}

    def test_ThereAreFiveOfOneVersion(self):
        self.assertEqual(set(self.debs), PACKAGES)
        versions = {output("dpkg-deb", "-f", deb, "Version") for deb in self.debs.values()}
        self.assertEqual(len(versions), 1, versions)

    def test_LintianFindsNoErrors(self):
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", *self.debs.values()],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_EachHoldsWhatItsUsersLookFor(self):
        for package, files in EXPECTED.items():
            listed = output("dpkg-deb", "-c", self.debs[package])
            for file in files:
                self.assertRegex(listed, rf"(?m)/{file}$", package)

    def test_EverythingIsRootsAndNothingIsWritableToOthers(self):
        for package, deb in self.debs.items():
            for line in output("dpkg-deb", "-c", deb).splitlines():
                mode, owner = line.split()[:2]
                self.assertEqual(owner, "root/root", f"{package}: {line}")
                self.assertTrue(mode[0] == "l" or "w" not in mode[4:], f"{package}: {line}")
                self.assertNotIn("s", mode, f"{package}: {line}")

    def test_ServicesAreShutIn(self):
        units = sorted(glob.glob("packaging/systemd/*.service"))
        self.assertEqual(len(units), 3)
        for unit in units:
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}",
                                   "--no-pager", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertEqual(done.returncode, 0, done.stdout.decode())


if __name__ == "__main__":
    case.main()
