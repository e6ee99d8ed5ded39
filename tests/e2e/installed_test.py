"""The Debian packages on a Debian of their own: installed, booted, configured as the manual says, used, upgraded, purged."""

import glob
import json
import os
import re
import tempfile
import unittest

import case
from debian_root import DebianRoot
from processes import wait_until
from template import render

PACKAGES = ("libpam-prov", "prov-agent", "prov-cli", "prov-integrations", "prov-server")
UNITS = ("provd", "prov-agent", "prov-engine")
SERVERS = ("systemd-sysv", "dbus", "procps", "postgresql", "slapd", "ldap-utils")
DEBCONF = "slapd slapd/no_configuration boolean true"
ALICE = "alice@example.net"
SCHEMA = "/usr/share/prov/schema/ldap"
# What reads mail and passwords of the system speaks LMTP and POP3 with it.
MAIL_ROUND = """
import poplib, smtplib
with smtplib.LMTP("127.0.0.1", 24, timeout=60) as lmtp:
    lmtp.sendmail("sender@example.org", ["{login}"], b"Subject: {subject}\\r\\n\\r\\nbody\\r\\n")
pop3 = poplib.POP3("127.0.0.1", 110, timeout=60)
pop3.user("{login}")
pop3.pass_("{password}")
print([b"".join(pop3.retr(number + 1)[1]).decode() for number in range(pop3.stat()[0])])
pop3.quit()
"""


def packages():
    return sorted(glob.glob(os.path.abspath("packaging/packages/*.deb")))


@unittest.skipUnless(os.geteuid() == 0, "a container needs root")
class InstalledTest(unittest.TestCase):
    """One machine for all; the tests follow each other, as a machine's life does."""

    @classmethod
    def setUpClass(cls):
        cls.state = tempfile.mkdtemp(prefix="prov-root-", dir="/tmp")
        os.chmod(cls.state, 0o755)
        cls.root = DebianRoot(os.path.join(cls.state, "root"))
        try:
            cls.root.create(SERVERS, DEBCONF, packages())
            cls.root.boot()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.root.remove()
        os.rmdir(cls.state)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            units = [word for unit in UNITS for word in ("-u", unit)]
            print(self.root.run("journalctl", "--no-pager", "-n", "60", *units, allow=(0, 1)))
        return result

    def states(self):
        return dict(zip(UNITS, self.root.run("systemctl", "is-active", *UNITS, allow=(0, 3)).split()))

    def provctl(self, *arguments, stdin=""):
        return self.root.run("provctl", *arguments, stdin=stdin)

    def edit(self, path, *changes):
        """What an operator does in an editor: whole lines, by what they begin with."""
        text = self.root.read(path)
        for begin, line in changes:
            text, count = re.subn(rf"(?m)^{re.escape(begin)}.*$", lambda _, line=line: line, text, count=1)
            self.assertEqual(count, 1, f"{path} has no line {begin}")
        self.root.write(path, text)

    def test_1FreshMachineBootsAndItsServicesWaitToBeConfigured(self):
        # Inactive, not failed. (Debian's slapd fails without a configuration.)
        self.assertEqual(set(self.states().values()), {"inactive"}, self.states())
        self.root.run("systemctl", "is-enabled", *UNITS)
        self.root.run("systemd-analyze", "verify", "--man=no", *(unit + ".service" for unit in UNITS))
        version = self.root.run("dpkg-query", "-W", "-f", "${Version}", "prov-server")
        for program in ("/usr/sbin/provd", "/usr/sbin/prov-agent", "/usr/lib/prov/prov-engine",
                        "/usr/lib/prov/prov-pam-worker", "/usr/bin/provctl"):
            self.assertEqual(self.root.run(program, "--version"), f"{os.path.basename(program)} {version}\n")

    def test_2TheMainJobIsDoneByWhatWasInstalled(self):
        self.set_up_directory()
        self.set_up_server()
        self.set_up_store()
        self.provctl("add-user", ALICE, "--password-stdin", "--wait", stdin=case.PASSWORD + "\n")
        self.assertIn("first", self.mail_round("first"))
        self.assertEqual(json.loads(self.provctl("-o", "json", "show-user", ALICE))["login"], ALICE)
        # Who does it: nobody but the agent is root.
        users = self.root.run("ps", "-o", "user:20=,comm=", "-C", "provd,prov-agent,prov-engine,prov-pam-worker").split()
        self.assertEqual(set(zip(users[::2], users[1::2])),
                         {("prov", "provd"), ("root", "prov-agent"), ("prov-engine", "prov-engine"),
                          ("prov-engine", "prov-pam-worker")})

    def test_3InstallingAgainKeepsConfigurationAndState(self):
        before = {path: self.root.read(path) for path in ("/etc/prov/provd.toml", "/etc/prov/agent.toml",
                                                          "/etc/prov/agent.key")}
        started = self.root.run("systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", "provd")
        self.root.run("dpkg", "-i", *(f"/debs/{os.path.basename(deb)}" for deb in packages()))
        self.assertEqual({path: self.root.read(path) for path in before}, before)
        wait_until(lambda: set(self.states().values()) == {"active"}, "the services to be back")
        self.assertNotEqual(self.root.run("systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", "provd"), started)
        mailbox = self.mail_round("second")
        self.assertIn("first", mailbox)
        self.assertIn("second", mailbox)

    def test_4PurgeLeavesNothingButWhatIsNotThePackages(self):
        self.root.write("/var/spool/prov/accepted", "mail")
        said = self.root.run("dpkg", "--purge", *PACKAGES)
        self.assertIn("accepted mail is left in /var/spool/prov", said)
        self.assertEqual(self.root.read("/var/spool/prov/accepted"), "mail")
        for path in ("/var/lib/prov-agent", "/etc/prov/agent.key", "/etc/prov/agent.pem", "/etc/prov/agent.toml",
                     "/etc/prov/provd.toml", "/usr/share/prov", "/usr/lib/prov", "/usr/sbin/provd"):
            self.assertFalse(os.path.exists(self.root.path(path)), path)
        # The operator's: whoever loses the CA has every host to enrol anew.
        self.assertTrue(os.path.exists(self.root.path("/etc/prov/ca/ca.key")))
        self.assertEqual(set(self.states().values()), {"inactive"})

    # As the manual says ------------------------------------------------------------------------------------------

    def mail_round(self, subject):
        """Delivers one mail; the whole mailbox of Alice, read with her password."""
        return self.root.python(MAIL_ROUND.format(login=ALICE, password=case.PASSWORD, subject=subject))

    def set_up_directory(self):
        """/usr/share/doc/prov-server/directory.md."""
        words = {"BASE": "o=prov", "DB_DIR": "/var/lib/ldap", "RUN_DIR": "/var/run/slapd", "SCHEMA_DIR": SCHEMA}
        for account in ("publisher", "pam", "mail"):
            self.root.write(f"/etc/prov/{account}.password", f"{account}-secret", 0o600)
            words[f"{account.upper()}_PASSWORD_HASH"] = self.root.run("slappasswd", "-T",
                                                                      f"/etc/prov/{account}.password").strip()
        self.root.run("install", "-d", "-o", "openldap", "-g", "openldap", "/etc/ldap/slapd.d", "/var/lib/ldap")
        for number, name in enumerate(("slapd", "base")):
            render(self.root.path(f"{SCHEMA}/{name}.ldif.in"), self.root.path(f"/var/tmp/{name}.ldif"), words)
            self.root.run("slapadd", "-n", str(number), "-F", "/etc/ldap/slapd.d", "-l", f"/var/tmp/{name}.ldif",
                          user="openldap")
        self.root.run("systemctl", "start", "slapd")

    def set_up_server(self):
        """provd(8)."""
        self.root.run("createuser", "prov_owner", user="postgres")
        self.root.run("createuser", "prov", user="postgres")
        self.root.run("createdb", "--owner", "prov_owner", "prov", user="postgres")
        self.root.run("provd", "migrate", "--connection", "host=/run/postgresql dbname=prov options='-c role=prov_owner'",
                      "--service-role", "prov", user="postgres")
        self.root.run("provd", "ca", "init", "--directory", "/etc/prov/ca")
        self.root.run("cp", "/etc/prov/ca/ca.pem", "/etc/prov/ca.pem")
        for identity, name, more in (("provd/a", "provd", ("--dns", "localhost")), ("operator/admin", "provctl", ())):
            self.root.run("provd", "ca", "issue", "--directory", "/etc/prov/ca", "--identity", f"prov://{identity}",
                          "--certificate", f"/etc/prov/{name}.pem", "--key", f"/etc/prov/{name}.key", *more)
        self.root.run("chown", "-R", "prov:", "/etc/prov/ca", "/etc/prov/provd.key", "/etc/prov/publisher.password")
        self.edit("/etc/prov/provd.toml", ("#ca_directory", 'ca_directory = "/etc/prov/ca"'))
        self.edit("/etc/prov/provctl.toml", ("server", 'server = "localhost:7443"'))
        self.root.run("systemctl", "start", "provd")
        self.provctl("add-domain", "example.net")

    def set_up_store(self):
        """prov-agent(8), pam_prov(8)."""
        self.edit("/etc/prov/pam_prov.toml", ("uri", 'uri = ["ldapi://%2Frun%2Fslapd%2Fldapi"]'))
        self.root.run("install", "-m", "640", "-g", "prov-engine", "/etc/prov/pam.password", "/etc/prov/pam.password.new")
        self.root.run("mv", "/etc/prov/pam.password.new", "/etc/prov/pam.password")
        self.root.run("install", "-d", "-o", "prov-engine", "/srv/prov/mail")
        self.edit("/etc/prov/agent.toml", ("#host", 'host = "store1"'), ("provd", 'provd = ["localhost:7443"]'),
                  ("[engine.lmtp]", '[engine.lmtp]\nlisten = ["127.0.0.1:24"]'),
                  ("[engine.pop3]", '[engine.pop3]\nlisten = ["127.0.0.1:110"]'))
        self.provctl("add-pool", "main", "--role", "store")
        token = json.loads(self.provctl("-o", "json", "enrol-host", "store1", "--pool", "main"))["token"]
        self.root.run("prov-agent", "enrol", "--provd", "localhost:7444", stdin=token + "\n")
        self.root.run("systemctl", "start", "prov-agent")
        wait_until(lambda: set(self.states().values()) == {"active"}, "agent and engine to run")


if __name__ == "__main__":
    case.main()
