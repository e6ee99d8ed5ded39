"""A private DNS server: NSD, with the zones that a test gives it."""

import os
import socket

from processes import free_port


class Nsd:
    """Answers for its zones alone, on 127.0.0.1."""

    def __init__(self, processes, directory):
        self.processes = processes
        self.directory = directory
        self.port = free_port()

    def address(self):
        return f"127.0.0.1:{self.port}"

    def write(self, zones):
        """zones: lines of each zone's file, by name; SOA and NS are given."""
        os.makedirs(self.directory, exist_ok=True)
        self.processes.give(self.directory)
        listed = ""
        for name, lines in zones.items():
            with open(os.path.join(self.directory, name + ".zone"), "w", encoding="ascii") as file:
                file.write(f"$ORIGIN {name}.\n$TTL 60\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n")
                file.write("\n".join(lines) + "\n")
            listed += f'zone:\n  name: "{name}"\n  zonefile: "{name}.zone"\n'
        with open(os.path.join(self.directory, "nsd.conf"), "w", encoding="ascii") as file:
            file.write(f'''server:
  ip-address: 127.0.0.1@{self.port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{self.directory}"
  xfrdir: "{self.directory}"
  xfrdfile: "{self.directory}/xfrd.state"
  zonelistfile: "{self.directory}/zone.list"
  pidfile: ""
  database: ""
remote-control:
  control-enable: no
{listed}''')

    def start(self):
        self.processes.start("nsd", ["/usr/sbin/nsd", "-d", "-c", os.path.join(self.directory, "nsd.conf")],
                             ready=self._answers)

    def _answers(self):
        """Whether it says anything to a question for the root's name servers."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            try:
                client.connect(("127.0.0.1", self.port))
                client.send(bytes.fromhex("0001 0000 0001 0000 0000 0000 00 0002 0001"))
                return len(client.recv(512)) > 0
            except OSError:
                return False

    def stop(self):
        self.processes.stop("nsd")
