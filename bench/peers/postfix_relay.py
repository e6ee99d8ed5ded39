"""Postfix as a peer of our relay: everything from memory or static tables, nothing asked of DNS, its own limits."""

import os
import re
import shutil

from processes import free_port

MASTER = "/usr/share/postfix/master.cf.dist"
DOMAIN = "example.net"


class PostfixRelay:
    """Takes mail for box1…boxN@example.net into Maildirs, and all other mail on to `smarthost` (host:port)."""

    def __init__(self, processes, directory, boxes, smarthost):
        self.processes = processes
        self.directory = directory
        self.boxes = boxes
        self.port = free_port()
        host, _, port = smarthost.rpartition(":")
        user = processes.user
        table = " ".join(f"{{box{number}@{DOMAIN} = box{number}/}}" for number in range(1, boxes + 1))
        self.settings = f"""
compatibility_level = 3.6
myhostname = mx.{DOMAIN}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
in_flow_delay = 0
relayhost = [{host}]:{port}
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = inline:{{ {table} }}
virtual_uid_maps = static:{user.pw_uid if user else os.getuid()}
virtual_gid_maps = static:{user.pw_gid if user else os.getgid()}
virtual_minimum_uid = 1
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file_prefixes = {directory}
maillog_file = {directory}/log
"""

    def start(self):
        configuration = os.path.join(self.directory, "conf")
        for part in ("conf", "queue", "data", "mail"):
            os.makedirs(os.path.join(self.directory, part))
        self.processes.give(os.path.join(self.directory, "mail"))
        with open(os.path.join(configuration, "main.cf"), "w", encoding="utf-8") as file:
            file.write(self.settings)
        with open(MASTER, encoding="utf-8") as file:
            lines = [line for line in file.read().splitlines() if not line.startswith("#")]
        lines = [re.sub(r"^smtp(\s+inet)", rf"127.0.0.1:{self.port}\1", line) for line in lines]
        with open(os.path.join(configuration, "master.cf"), "w", encoding="utf-8") as file:
            file.write("\n".join(re.sub(r"^(\S+\s+(?:inet|unix|unix-dgram|fifo)\s+\S+\s+\S+\s+)y", r"\1n", line)
                                 for line in lines) + "\n")
        shutil.chown(os.path.join(self.directory, "data"), "postfix")
        self.processes.start("postfix-peer", ["/usr/sbin/postfix", "-c", configuration, "start-fg"], as_root=True,
                             ready=lambda: "daemon started" in self._log())

    def _log(self):
        try:
            with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def queues(self):
        """Directories whose files are mail that is not delivered yet."""
        return [os.path.join(self.directory, "queue", name) for name in ("incoming", "active", "deferred")]

    def stop(self):
        self.processes.stop("postfix-peer")
