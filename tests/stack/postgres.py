"""A private PostgreSQL: unix socket for provd, loopback TCP with a password for people."""

import os
import secrets
import subprocess

from processes import StackError

DATABASE = "prov"
ROLE = "prov"  # owns the tables
SERVICE_ROLE = "provd"  # as whom provd serves; may add to the audit log, not change it


def _programs():
    root = "/usr/lib/postgresql"
    versions = sorted(os.listdir(root), key=int) if os.path.isdir(root) else []
    if not versions:
        raise StackError("PostgreSQL is not installed; run ./dev doctor")
    return os.path.join(root, versions[-1], "bin")


class Postgres:
    def __init__(self, processes, directory, port):
        self.processes = processes
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.socket_directory = os.path.join(directory, "socket")
        self.port = port
        self.pass_file = os.path.join(directory, "pgpass")

    def connection(self):
        """What provd is told: no password, the socket's directory is ours alone."""
        return f"host={self.socket_directory} port={self.port} dbname={DATABASE} user={SERVICE_ROLE}"

    def owner_connection(self):
        """For provd migrate."""
        return f"host={self.socket_directory} port={self.port} dbname={DATABASE} user={ROLE}"

    def _prepare(self):
        for directory, mode in ((self.directory, 0o755), (self.socket_directory, 0o700)):
            os.makedirs(directory, mode=mode, exist_ok=True)
            self.processes.give(directory)

    def start(self):
        programs = _programs()
        self._prepare()
        if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self._create(programs)
        arguments = [os.path.join(programs, "postgres"), "-D", self.data, "-k", self.socket_directory, "-p",
                     str(self.port), "-c", "listen_addresses=127.0.0.1"]
        socket_path = os.path.join(self.socket_directory, f".s.PGSQL.{self.port}")
        started = self.processes.start("postgres", arguments, ready=lambda: os.path.exists(socket_path) and self._answers())
        if started:
            self._ensure_database()

    def _answers(self):
        return subprocess.run(["pg_isready", "-q", "-h", self.socket_directory, "-p", str(self.port)],
                              check=False).returncode == 0

    def _create(self, programs):
        password = secrets.token_urlsafe(18)
        password_file = os.path.join(self.directory, "initial-password")
        for path, content in ((password_file, password), (self.pass_file, f"127.0.0.1:*:*:{ROLE}:{password}\n")):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                file.write(content)
            self.processes.give(path)
        self.processes.run([os.path.join(programs, "initdb"), "-D", self.data, "-U", ROLE, "--auth-local=trust",
                            "--auth-host=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8",
                            "--locale=C.UTF-8", "--no-instructions"])
        os.unlink(password_file)

    def psql(self, sql, database=DATABASE):
        return self.processes.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.socket_directory,
                                   "-p", str(self.port), "-U", ROLE, "-d", database, "-c", sql]).decode().strip()

    def run_program(self, name, *arguments):
        """One of PostgreSQL's own programs, as the user who may use the socket; its standard output."""
        return self.processes.run([os.path.join(_programs(), name), *arguments]).decode()

    def _ensure_database(self):
        if not self.psql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'", "postgres"):
            self.psql(f"CREATE DATABASE {DATABASE}", "postgres")
        if not self.psql(f"SELECT 1 FROM pg_roles WHERE rolname = '{SERVICE_ROLE}'", "postgres"):
            self.psql(f"CREATE ROLE {SERVICE_ROLE} LOGIN", "postgres")
