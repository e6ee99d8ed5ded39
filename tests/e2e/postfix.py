"""A private Postfix as integrations/postfix sets it up."""

import os
import re
import shutil
import subprocess

from processes import free_port
from template import render

MASTER = "/usr/share/postfix/master.cf.dist"
TEMPLATES = os.path.join("integrations", "postfix")


def _master(port):
    """Debian's services, without chroots, listening on loopback at a port of ours."""
    with open(MASTER, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if not line.startswith("#")]
    lines = [re.sub(r"^smtp(\s+inet)", rf"127.0.0.1:{port}\1", line) for line in lines]
    return "\n".join(re.sub(r"^(\S+\s+(?:inet|unix|unix-dgram|fifo)\s+\S+\s+\S+\s+)y", r"\1n", line)
                     for line in lines) + "\n"


class Postfix:
    def __init__(self, stack, store, list_host, auth_socket):
        """store, list_host: the next hops of store pools and list pools, `%s` being the pool."""
        self.stack = stack
        self.directory = stack.path("postfix")
        self.port, self.submission_port = free_port(), free_port()
        certificate, key = stack.certificate("directory/postfix", give=False)
        self.words = {
            "LDAP_URI": stack.slapd.uri, "BASE": stack.slapd.base, "LDAP_STARTTLS": "yes",
            "LDAP_CA": stack.path("tls", "ca.pem"), "MAIL_PASSWORD": stack.slapd.password("mail"), "HOSTNAME": "mx.example.net",
            "TRUSTED_NETWORKS": "127.0.0.2/32", "CONFIG": os.path.join(self.directory, "conf"), "STORE": store,
            "LIST_HOST": list_host, "SUBMISSION": f"127.0.0.1:{self.submission_port}", "TLS_CERTIFICATE": certificate,
            "TLS_KEY": key, "AUTH_SOCKET": auth_socket,
        }

    def start(self):
        configuration = self.words["CONFIG"]
        for part in ("conf", "queue", "data"):
            os.makedirs(os.path.join(self.directory, part))
        for name in os.listdir(TEMPLATES):
            render(os.path.join(TEMPLATES, name), os.path.join(configuration, name.removesuffix(".in")), self.words)
        main = os.path.join(configuration, "main.cf")
        log = os.path.join(self.directory, "log")
        with open(main, "a", encoding="utf-8") as file:
            file.write(f"""
queue_directory = {self.directory}/queue
data_directory = {self.directory}/data
maillog_file_prefixes = {self.directory}
maillog_file = {log}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
smtpd_client_restrictions =
smtp_dns_support_level = disabled
""")
        with open(os.path.join(configuration, "submission.cf"), encoding="utf-8") as file:
            submission = file.read()
        with open(os.path.join(configuration, "master.cf"), "w", encoding="utf-8") as file:
            file.write(_master(self.port) + submission)
        shutil.chown(os.path.join(self.directory, "data"), "postfix")
        self.stack.processes.start("postfix", ["/usr/sbin/postfix", "-c", configuration, "start-fg"], as_root=True,
                                   ready=lambda: "daemon started" in self.log())

    def log(self):
        try:
            with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def look_up(self, table, key):
        """What one of the tables answers; empty: nothing."""
        done = subprocess.run(["postmap", "-c", self.words["CONFIG"], "-q", key,
                               f"ldap:{self.words['CONFIG']}/{table}.cf"], stdout=subprocess.PIPE, check=False)
        return done.stdout.decode().strip()

    def stop(self):
        self.stack.processes.stop("postfix")
