"""A private slapd, set up from schema/ldap as its README tells."""

import json
import os
import re
import secrets
import shutil
import subprocess
import urllib.parse

from processes import StackError
from template import render

SLAPD = "/usr/sbin/slapd"
ACCOUNTS = ("publisher", "pam", "mail")


class Slapd:
    base = "o=prov"

    def __init__(self, processes, directory, port, repository):
        self.processes = processes
        self.directory = directory
        self.port = port
        self.templates = os.path.join(repository, "schema", "ldap")
        self.repository = repository
        self.name = "slapd"
        self.also_ask = None  # a replica that hosts try after this one
        self.password_socket = None  # where provd hears of password changes
        self.configuration = os.path.join(directory, "slapd.d")
        self.ldapi = "ldapi://" + urllib.parse.quote(os.path.join(directory, "run", "ldapi"), safe="")
        self.uri = f"ldap://127.0.0.1:{port}"

    def dn(self, account):
        return f"cn={account},ou=services,{self.base}"

    def password_file(self, account):
        """Holds the password without a line end, as ldapsearch -y wants it."""
        return os.path.join(self.directory, "secret", account)

    def password(self, account):
        with open(self.password_file(account), encoding="ascii") as file:
            return file.read()

    @property
    def publisher_dn(self):
        return self.dn("publisher")

    @property
    def publisher_password_file(self):
        return self.password_file("publisher")

    def pam_configuration(self):
        """pam_prov.toml: through the socket, as on a directory host."""
        servers = [self.ldapi] + ([self.also_ask.ldapi] if self.also_ask else [])
        return f'''uri = {json.dumps(servers)}
base = "{self.base}"
bind_dn = "{self.dn("pam")}"
bind_password_file = "{self.password_file("pam")}"
'''

    def start(self, tls=None):
        """tls: paths of CA, certificate and key, for those who come over TCP. Harmless when it runs.

        slapd 2.5.13 itself can crash when a client dies within an LDAP transaction (RFC 5805), and is to be run under a
        supervisor for that; a test that kills provd plays the supervisor."""
        if not os.path.isdir(self.configuration):
            self._create(self.configuration, tls)
        self.processes.start(self.name, [SLAPD, "-d", "0", "-F", self.configuration, "-h", f"{self.ldapi} {self.uri}/"],
                             ready=self._answers)

    def _answers(self):
        return subprocess.run(["ldapsearch", "-x", "-H", self.ldapi, "-s", "base", "-b", "", "1.1"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def _make_directories(self):
        for part in ("", "db", "run", "secret", "schema"):
            path = os.path.join(self.directory, part)
            os.makedirs(path, exist_ok=True)
            self.processes.give(path)
        os.chmod(os.path.join(self.directory, "secret"), 0o700)
        for name in ("prov.ldif", "ldapns.ldif"):
            shutil.copyfile(os.path.join(self.templates, name), os.path.join(self.directory, "schema", name))

    def _words(self):
        return {"BASE": self.base, "DB_DIR": os.path.join(self.directory, "db"),
                "RUN_DIR": os.path.join(self.directory, "run"), "SCHEMA_DIR": os.path.join(self.directory, "schema")}

    def _load(self, tool, database, name, words):
        """Renders a template and hands it to slapadd or slapmodify."""
        self.processes.run([tool, "-n", database, "-F", self.configuration, "-l", self._render(name, words)])

    def _create(self, configuration, tls):
        self._make_directories()
        words = self._words()
        words.update({f"{account.upper()}_PASSWORD_HASH": self._make_password(account) for account in ACCOUNTS})
        if tls:
            words.update(zip(("TLS_CA", "TLS_CERTIFICATE", "TLS_KEY"), tls))
        # Complete or not there: a start that was cut off begins anew.
        unfinished = configuration + ".new"
        shutil.rmtree(unfinished, ignore_errors=True)
        os.mkdir(unfinished)
        self.processes.give(unfinished)
        self.processes.run(["slapadd", "-n", "0", "-F", unfinished, "-l", self._render("slapd.ldif", words)])
        self.processes.run(["slapadd", "-n", "1", "-F", unfinished, "-l", self._render("base.ldif", words)])
        if tls:
            self.processes.run(["slapmodify", "-n", "0", "-F", unfinished, "-l", self._render("tls.ldif", words)])
        if self.password_socket:
            words["PASSWORD_SOCKET"] = self.password_socket
            self.processes.run(["slapmodify", "-n", "0", "-F", unfinished, "-l", self._render("password.ldif", words)])
        os.rename(unfinished, configuration)

    def _make_password(self, account):
        path = self.password_file(account)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(24))
        self.processes.give(path)
        return self.processes.run(["slappasswd", "-n", "-T", path]).decode()

    def _render(self, name, words):
        path = os.path.join(self.directory, name)
        render(os.path.join(self.templates, name + ".in"), path, words)
        self.processes.give(path)
        return path

    # Replicas ----------------------------------------------------------------------------------------------------

    def let_replicas_follow(self):
        """Before it is started for the first time: creates it as a provider, with an account for replicas."""
        self._create(self.configuration, None)
        words = {"BASE": self.base, "REPLICA_PASSWORD_HASH": self._make_password("replica")}
        self._load("slapmodify", "0", "provider.ldif", words)
        self._load("slapadd", "1", "replica_account.ldif", words)

    def replica(self, port):
        """Another slapd on this machine that follows this one; as start() starts it."""
        other = Slapd(self.processes, self.directory + "-replica", port, self.repository)
        other.name = "slapd-replica"
        other._make_directories()
        os.mkdir(other.configuration)
        self.processes.give(other.configuration)
        other._load("slapadd", "0", "slapd.ldif", other._words())
        other._load("slapmodify", "0", "replica.ldif", {
            "BASE": self.base, "PROVIDER": self.ldapi, "REPLICA_PASSWORD": self.password("replica"),
            "PROVIDER_TLS": "starttls=no"})
        # Whoever binds there has the same password.
        other.password_file = self.password_file
        return other

    # For tests ---------------------------------------------------------------------------------------------------

    def can_bind(self, login, password):
        """Whether the directory itself lets the subscriber in."""
        done = subprocess.run(["ldapwhoami", "-x", "-H", self.ldapi, "-D", f"uid={login},ou=people,{self.base}", "-y",
                               "/dev/stdin"], input=password.encode(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0

    def search(self, account, expression, *attributes):
        """LDIF of what a service account finds."""
        done = subprocess.run(["ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-x", "-H", self.ldapi, "-D",
                               self.dn(account), "-y", self.password_file(account), "-b", self.base, expression,
                               *attributes], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise StackError(f"ldapsearch {expression}: {done.stderr.decode()}")
        return done.stdout.decode()

    def logins(self, prefix):
        """Logins of all people whose login begins so."""
        found = self.search("publisher", f"(&(objectClass=provSubscriber)(uid={prefix}*))", "uid")
        return re.findall(r"^uid: (\S+)$", found, re.M)
