"""Perdition as a peer of our POP3 proxy: one store behind it, nothing looked up."""

from processes import can_listen, free_port


class Perdition:
    name = "perdition-peer"

    def __init__(self, processes, store_port):
        self.processes = processes
        self.port = free_port()
        user = processes.user.pw_name if processes.user else "nobody"
        # A process for each session closes all descriptors that it may have.
        self.command = ["prlimit", "--nofile=1024", "/usr/sbin/perdition.pop3", "--config_file", "/dev/null", "--no_daemon",
                        "--username", user, "--group", user, "--bind_address", "127.0.0.1", "--listen_port", str(self.port), "--no_lookup",
                        "--map_library", "",
                        "--outgoing_server", "127.0.0.1", "--outgoing_port", str(store_port), "--server_resp_line",
                        "--pid_file", "", "--log_facility", "/dev/null", "--quiet"]

    def start(self):
        self.processes.start(self.name, self.command, as_root=True, ready=lambda: not can_listen(self.port))

    def stop(self):
        self.processes.stop(self.name)
