"""Perdition as a peer of our POP3 proxy: one store behind it, nothing looked up."""

import os

from processes import can_listen, free_port


class Perdition:
    def __init__(self, processes, directory, store_port):
        self.processes = processes
        self.directory = directory
        self.port = free_port()
        user = processes.user.pw_name if processes.user else "nobody"
        self.command = ["/usr/sbin/perdition.pop3", "--config_file", "/dev/null", "--no_daemon", "--username", user, "--group", user,
                        "--bind_address", "127.0.0.1", "--listen_port", str(self.port), "--no_lookup", "--map_library", "",
                        "--outgoing_server", "127.0.0.1", "--outgoing_port", str(store_port), "--server_resp_line",
                        "--pid_file", "", "--log_facility", os.path.join(directory, "log"), "--quiet"]

    def start(self):
        os.makedirs(self.directory)
        self.processes.give(self.directory)
        self.processes.start("perdition-peer", self.command, as_root=True, ready=lambda: not can_listen(self.port))

    def stop(self):
        self.processes.stop("perdition-peer")
