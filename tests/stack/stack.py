"""The whole system on one machine, on loopback: PostgreSQL, slapd, provd, and an agent for each role.

`./dev up`, the end-to-end tests and the benchmarks all start it from here, so that what is tested is what a
newcomer runs.
"""

import json
import os
import shutil
import stat
import subprocess

from postgres import SERVICE_ROLE, Postgres
from processes import Processes, StackError, can_listen, free_port, wait_until
from slapd import Slapd

PROGRAMS = ("provd", "prov-agent", "prov-engine", "prov-pam-worker", "provctl", "pam_prov.so")
PAM_SERVICES = ("prov-pop3", "prov-smtp", "prov-ftp")
# Host, role, pool. One host a role; a pool may have more.
HOSTS = (
    ("relay1", "relay", "relay"),
    ("store1", "store", "main"),
    ("pop1", "pop-proxy", "pop"),
    ("ftp1", "ftp", "ftp"),
    ("web1", "web", "web"),
    ("list1", "list", "list"),
)
# Where the engine of a role listens.
ENGINE_PORTS = {"relay": ("smtp_relay", "submission", "submissions"), "store": ("smtp_store", "pop3", "pop3s"),
                "pop-proxy": ("pop3_proxy", "pop3s_proxy")}
# Those that need a certificate.
TLS_PORTS = ("submission", "submissions", "pop3s", "pop3s_proxy")
# What a person would like to type; taken if free, and then kept.
PREFERRED_PORTS = {
    "postgres": 5433, "ldap": 3890, "provd": 7443, "enrolment": 7444, "metrics": 7480,
    "smtp_relay": 2525, "submission": 2587, "submissions": 2465, "smtp_store": 2424, "pop3": 2110, "pop3s": 2995, "pop3_proxy": 2111, "pop3s_proxy": 2996,
    "transfer": 7445,
    # Where provd asks a host's agent.
    **{f"control_{host}": 7450 + i for i, (host, _, _) in enumerate(HOSTS)},
}
# A store has a port for each of these.
STORE_PORTS = ("smtp_store", "pop3", "pop3s", "transfer")


def write(path, content, mode=0o644):
    temporary = path + ".new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


class Stack:
    """Everything below one directory, which the service user must be able to reach."""

    def __init__(self, state, programs, repository, fixed_ports=False):
        """programs: where the built programs are, by name. repository: where schema/ is."""
        self.state = state
        self.programs = programs
        self.repository = repository
        self.processes = Processes(state)
        self.bin = os.path.join(state, "bin")
        self.ports = self._choose_ports(fixed_ports)
        self.smarthost = ""
        self.resolvers = ["127.0.0.1:1"]  # DNS servers of relays; there is nobody: mail for other domains waits
        self.trusted_networks = ["127.0.0.1"]
        self.queue_first_retry = "1s"
        self.queue_keys = ""  # more keys of [engine.queue] in agent.toml
        self.pop3_keys = ""  # and of [engine.pop3]
        self.mail_tls = True  # the engines have a certificate
        self.back_end_tls = ""  # of the POP3 proxy; empty: stls where there are certificates
        self.served_at = {}  # where other software serves: host:port by service, by host
        self.host_certificate_lifetime = "30d"
        self.limits = {}  # calls a second, by role
        self.agent_tables = {}  # more of agent.toml, by host: whole tables
        self.agent_keys = {}  # and keys that stand before all tables
        self.engine_keys = {}  # and keys of [engine]
        self.web_keys = ""  # more keys of [web] in agent.toml
        self.agent_environment = {}  # what is added to the environment of the agent and its engine, by host
        self.root_hosts = set()  # hosts whose agent runs as root, so that files get their owners
        self.foreign_stores = set()  # stores served by other software; their maildirs belong to the accounts
        self.provd_tables = ""  # more of provd.toml: whole tables
        self.provd_directory = ""  # more keys of its [directory]
        self.postgres = Postgres(self.processes, os.path.join(state, "postgres"), self.ports["postgres"])
        self.slapd = Slapd(self.processes, os.path.join(state, "slapd"), self.ports["ldap"], repository)
        self.slapd.password_socket = os.path.join(state, "provd", "password")
        self.hosts = list(HOSTS)
        self.progress = lambda text: None

    # Layout ------------------------------------------------------------------------------------------------------

    def add_store(self, host, pool):
        """One more store, before start() or while the stack runs; the caller then starts its agent."""
        self.hosts.append((host, "store", pool))
        for name in STORE_PORTS:
            self.ports[f"{name}_{host}"] = free_port(besides=self.ports.values())

    def add_clone(self, host, role, pool):
        """One more host that runs an engine, likewise; where it listens is engine_address()."""
        self.hosts.append((host, role, pool))
        for name in ENGINE_PORTS[role]:
            self.ports[f"{name}_{host}"] = free_port(besides=self.ports.values())

    def engine_address(self, host, name):
        """Where a relay or proxy listens: smtp_relay or pop3_proxy."""
        return self.address(f"{name}_{host}" if f"{name}_{host}" in self.ports else name)

    def store_address(self, host, name):
        """Where a store listens: one of STORE_PORTS."""
        return self.address(name if host == "store1" else f"{name}_{host}")

    def control_address(self, host):
        """Where provd asks the host's agent."""
        name = f"control_{host}"
        if name not in self.ports:
            self.ports[name] = free_port(besides=self.ports.values())
        return self.address(name)

    def mail_root(self, pool="main"):
        """The file system that the clones of a store pool share."""
        return self.path("mail", pool)

    def _choose_ports(self, fixed):
        path = os.path.join(self.state, "ports.json")
        ports = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                ports = json.load(file)
        if ports.keys() >= PREFERRED_PORTS.keys():
            return ports
        for name, port in PREFERRED_PORTS.items():
            if name not in ports:
                ports[name] = port if fixed and can_listen(port) else free_port(besides=ports.values())
        os.makedirs(self.state, exist_ok=True)
        write(path, json.dumps(ports, indent=2) + "\n")
        return ports

    def path(self, *parts):
        return os.path.join(self.state, *parts)

    def address(self, name):
        return f"127.0.0.1:{self.ports[name]}"

    def _directory(self, *parts, mode=0o755, give=True):
        path = self.path(*parts)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        if give:
            self.processes.give(path)
        return path

    def prepare(self):
        os.chmod(self.state, 0o755)
        self.processes.prepare()
        self._directory("bin", give=False)
        self._install_programs()
        self._certificates()
        for directory in ("mail", "homes", "provd", "hosts"):
            self._directory(directory)
        for _, role, pool in self.hosts:
            if role == "store":
                self._directory("mail", pool)
        self._pam()
        self._provctl()

    def _install_programs(self):
        """Copies, so that a build in progress does not change what runs, and the service user can reach them."""
        for name, source in self.programs.items():
            if not self._differs(name):
                continue
            target = os.path.join(self.bin, name)
            shutil.copyfile(source, target + ".new")
            shutil.copystat(source, target + ".new")
            os.chmod(target + ".new", 0o755)
            os.replace(target + ".new", target)

    # Trust -------------------------------------------------------------------------------------------------------

    def _provd_ca(self, *arguments):
        done = subprocess.run([os.path.join(self.bin, "provd"), "ca", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise StackError(f"provd ca {' '.join(arguments)}:\n{done.stdout.decode(errors='replace')}")

    def certificate(self, identity, file_name=None, give=True):
        """Issues a certificate for prov://IDENTITY unless it is there; the paths of certificate and key."""
        name = file_name or identity.replace("/", "-")
        certificate, key = self.path("tls", name + ".pem"), self.path("tls", name + ".key")
        if not os.path.exists(certificate) or not os.path.exists(key):
            extra = ["--dns", "localhost", "--ip", "127.0.0.1"] if identity.startswith(("provd/", "directory/")) else []
            self._provd_ca("issue", "--directory", self.path("ca"), "--identity", "prov://" + identity,
                           "--certificate", certificate, "--key", key, *extra)
        if give:
            self.processes.give(key)
        return certificate, key

    def _certificates(self):
        self._directory("tls", give=False)
        os.makedirs(self.path("ca"), mode=0o700, exist_ok=True)
        self._provd_ca("init", "--directory", self.path("ca"), "--if-missing")
        shutil.copyfile(self.path("ca", "ca.pem"), self.path("tls", "ca.pem"))
        # provd signs with it.
        for part in ("ca", "ca/ca.pem", "ca/ca.key"):
            self.processes.give(self.path(part))
        self.certificate("provd/a", "provd")
        self.certificate("directory/a", "directory")
        # Of localhost, as the directory's is.
        self.certificate("directory/mail", "mail")
        self.certificate("operator/admin", "operator", give=False)
        for host, _, _ in self.hosts:
            self.certificate(f"agent/{host}", host)

    # Configuration -----------------------------------------------------------------------------------------------

    def _pam(self):
        directory = self._directory("pam.d", give=False)
        write(self.path("pam_prov.toml"), self.slapd.pam_configuration())
        for service in PAM_SERVICES:
            module = f"{self.bin}/pam_prov.so config={self.path('pam_prov.toml')}"
            write(os.path.join(directory, service), f"auth required {module}\naccount required {module}\n"
                  f"password required {module}\n")

    def _provctl(self):
        write(self.path("provctl.toml"), f'''server = "{self.address("provd")}"
ca = "{self.path("tls", "ca.pem")}"
certificate = "{self.path("tls", "operator.pem")}"
key = "{self.path("tls", "operator.key")}"
''')
        wrapper = '#!/bin/sh\n# provctl as the operator of this stack; works from any folder.\n'
        wrapper += f'exec "{self.bin}/provctl" --config "{self.path("provctl.toml")}" "$@"\n'
        write(self.path("provctl"), wrapper, 0o755)

    def write_provd_configuration(self):
        path = self.path("provd", "provd.toml")
        write(path, f'''listen = "{self.address("provd")}"
metrics = "{self.address("metrics")}"
log_level = "info"

[tls]
ca = "{self.path("tls", "ca.pem")}"
certificate = "{self.path("tls", "provd.pem")}"
key = "{self.path("tls", "provd.key")}"

[enrolment]
ca_directory = "{self.path("ca")}"
listen = "{self.address("enrolment")}"
host_lifetime = "{self.host_certificate_lifetime}"

[limits]
{"".join(f"{role} = {rate}" + chr(10) for role, rate in self.limits.items())}
[postgres]
connection = "{self.postgres.connection()}"

[directory]
uri = "{self.slapd.ldapi}"
base = "{self.slapd.base}"
bind_dn = "{self.slapd.publisher_dn}"
password_file = "{self.slapd.publisher_password_file}"
password_socket = "{self.slapd.password_socket}"
{self.provd_directory}
{self.provd_tables}
''')
        return path

    def _engine_tables(self, host, role):
        quoted = json.dumps
        tables = ""
        if role in ENGINE_PORTS and self.mail_tls:
            tables += f'''
[engine.tls]
certificates = ["{self.path("tls", "mail.pem")}"]
keys = ["{self.path("tls", "mail.key")}"]
'''
        if role == "relay":
            tables += f'''
[engine.smtp]
listen = ["{self.engine_address(host, "smtp_relay")}"]
submission_listen = {quoted([self.engine_address(host, "submission")] if self.mail_tls else [])}
submissions_listen = {quoted([self.engine_address(host, "submissions")] if self.mail_tls else [])}
trusted_networks = {quoted(self.trusted_networks)}
smarthost = {quoted(self.smarthost)}
resolvers = {quoted(self.resolvers)}
'''
        if role == "store" and host not in self.foreign_stores:
            tables += f'''
[engine.lmtp]
listen = ["{self.store_address(host, "smtp_store")}"]
forward_relay = "{self.address("smtp_relay")}"

[engine.pop3]
listen = ["{self.store_address(host, "pop3")}"]
tls_listen = {quoted([self.store_address(host, "pop3s")] if self.mail_tls else [])}
{self.pop3_keys}
'''
        if role == "pop-proxy":
            tables += f'''
[engine.pop3_proxy]
listen = ["{self.engine_address(host, "pop3_proxy")}"]
tls_listen = {quoted([self.engine_address(host, "pop3s_proxy")] if self.mail_tls else [])}
back_end_tls = {quoted(self.back_end_tls or ("stls" if self.mail_tls else "none"))}
'''
        if role in ("relay", "store"):
            tables += f'''
[engine.queue]
directory = "{self.path("hosts", host, "queue")}"
first_retry = "{self.queue_first_retry}"
{self.queue_keys}
[engine.pam]
worker_program = "{self.bin}/prov-pam-worker"
config_directory = "{self.path("pam.d")}"
workers = 4
'''
        return tables

    def _store_table(self, host, role, pool):
        table = f'''
[store]
maildir_root = "{self.mail_root(pool if role == "store" else "main")}"
'''
        if host in self.foreign_stores:
            table += 'owner = "account"\n'
        elif role == "store":
            table += f'transfer_listen = "{self.store_address(host, "transfer")}"\n'
        for service, place in self.served_at.get(host, {}).items():
            table += f'served_at.{service} = "{place}"\n'
        return table

    def write_agent_configuration(self, host, role, pool="main"):
        directory = self._directory("hosts", host)
        for part in ("state", "queue", "root"):
            self._directory("hosts", host, part)
        path = os.path.join(directory, "agent.toml")
        write(path, f'''host = "{host}"
provd = ["{self.address("provd")}"]
roles = ["{role}"]
state_directory = "{self.path("hosts", host, "state")}"
control_listen = "{self.control_address(host)}"
{self.agent_keys.get(host, "")}
[tls]
ca = "{self.path("tls", "ca.pem")}"
certificate = "{self.path("tls", host + ".pem")}"
key = "{self.path("tls", host + ".key")}"

[accounts]
root = "{self.path("hosts", host, "root")}"
home_prefix = "{self.path("homes")}"

[ftp]
home_root = "{self.path("homes")}"

[web]
home_root = "{self.path("homes")}"
sites_root = "{self.path("hosts", host, "sites")}"
{self.web_keys}
[engine]
program = "{self.bin}/prov-engine"
hostname = "{host}.example.net"
{self.engine_keys.get(host, "")}''' + self._store_table(host, role, pool) + self._engine_tables(host, role) + self.agent_tables.get(host, ""))
        return path

    # Life --------------------------------------------------------------------------------------------------------

    def start_servers(self):
        self.progress("PostgreSQL")
        self.postgres.start()
        self.progress("slapd")
        self.slapd.start([self.path("tls", name) for name in ("ca.pem", "directory.pem", "directory.key")])

    def start_provd(self):
        self.progress("provd")
        self.processes.run([os.path.join(self.bin, "provd"), "migrate", "--connection", self.postgres.owner_connection(),
                            "--service-role", SERVICE_ROLE])
        self.processes.start("provd", [os.path.join(self.bin, "provd"), "--config", self.write_provd_configuration()],
                             ready_line=" ready")

    def create_fleet(self):
        """Pools and hosts; those that are there already stay."""
        for host, role, pool in self.hosts:
            self.provctl("add-pool", pool, "--role", role, allow=(0, 4))
            self.provctl("add-host", host, "--pool", pool, allow=(0, 4))

    def start_agent(self, host, until="ready"):
        """until: "started" for one that will not be ready without provd."""
        role, pool = next((r, p) for h, r, p in self.hosts if h == host)
        self.progress(f"agent {host} ({role})")
        self.processes.start(host, [os.path.join(self.bin, "prov-agent"), "--config",
                                    self.write_agent_configuration(host, role, pool)],
                             ready_line=f" {until} host={host} ",
                             environment={**os.environ, **self.agent_environment.get(host, {})},
                             as_root=host in self.root_hosts)

    def start(self):
        self.prepare()
        self.start_servers()
        self.start_provd()
        self.create_fleet()
        for host, _, _ in self.hosts:
            self.start_agent(host)
        self.wait_for_engines()
        self.provctl("wait", "--timeout", "60s")

    def restart_changed(self):
        """Stops our programs if they were built anew since they were started; PostgreSQL and slapd stay."""
        running = [name for name in ("provd", *(host for host, _, _ in self.hosts)) if self.processes.pid(name)]
        changed = any(self._differs(name) for name in self.programs)
        if running and changed:
            self.progress("programs were built anew: restarting them")
            for name in reversed(running):
                self.processes.stop(name)

    def _differs(self, name):
        target = os.path.join(self.bin, name)
        if not os.path.exists(target):
            return True
        new, old = os.stat(self.programs[name]), os.stat(target)
        return old.st_size != new.st_size or int(old.st_mtime) != int(new.st_mtime)

    def wait_for_engines(self):
        for host, role, _ in self.hosts:
            for name in () if host in self.foreign_stores else ENGINE_PORTS.get(role, ()):
                if name in TLS_PORTS and not self.mail_tls:
                    continue
                wait_until(lambda name=name: not can_listen(self.ports[name]), f"{name} to listen")

    def stop(self):
        for host, _, _ in reversed(self.hosts):
            self.processes.stop(host)
        for name in ("provd", "slapd"):
            self.processes.stop(name)
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        self.processes.stop("postgres", with_signal=2)

    # Use ---------------------------------------------------------------------------------------------------------

    def provctl(self, *arguments, stdin="", allow=(0,), environment=None):
        """Runs provctl; its standard output. Raises unless it ends with one of `allow`."""
        done = subprocess.run([self.path("provctl"), *arguments], input=stdin.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=120)
        if done.returncode not in allow:
            raise StackError(f"provctl {' '.join(arguments)} ended with {done.returncode}:\n"
                             f"{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def provctl_json(self, *arguments, stdin=""):
        return json.loads(self.provctl("-o", "json", *arguments, stdin=stdin))

    def endpoints(self, state_name):
        """What .run/endpoints.json says; paths begin with `state_name`, the state directory as users know it."""
        result = {name: self.address(name) for name in ("provd", "postgres", "smtp_relay", "submission", "submissions",
                                                        "smtp_store", "pop3", "pop3s", "pop3_proxy", "pop3s_proxy",
                                                        "metrics")}
        result["ldap_uri"] = self.slapd.uri
        result["ldap_base"] = self.slapd.base
        result["tls_ca"] = os.path.join(state_name, "tls", "ca.pem")
        result["provctl"] = os.path.join(state_name, "provctl")
        return result


def built_programs(output):
    """The programs below Bazel's output: bazel-bin of a checkout, or the runfiles of a test."""
    places = {"provd": "server/provd", "prov-agent": "agents/prov-agent", "prov-engine": "agents/prov-engine",
              "prov-pam-worker": "agents/mail/auth/prov-pam-worker", "provctl": "cli/provctl",
              "pam_prov.so": "pam_module/pam_prov.so"}
    programs = {name: os.path.join(output, place) for name, place in places.items()}
    for name, path in programs.items():
        if not os.path.exists(path) or not stat.S_ISREG(os.stat(path).st_mode):
            raise StackError(f"{name} is not built; run ./dev up or ./dev test")
    return programs
