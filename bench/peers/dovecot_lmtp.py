"""Dovecot as a peer of our store: LMTP into Maildirs of one user, every address a mailbox, everything synced."""

import os
import pwd

from processes import can_listen, free_port


class DovecotLmtp:
    def __init__(self, processes, directory):
        self.processes = processes
        self.directory = directory
        self.port = free_port()
        user = processes.user or pwd.getpwuid(os.getuid())
        self.settings = f"""
protocols = lmtp
listen = 127.0.0.1
base_dir = {directory}/run
state_dir = {directory}/run
log_path = /dev/stderr
ssl = no
first_valid_uid = 1
mail_location = maildir:{directory}/mail/%Ln
mail_fsync = always
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={directory}/mail/%Ln allow_all_users=yes
}}
service lmtp {{
  service_count = 0
  process_min_avail = 2
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@example.net
}}
"""

    def start(self):
        for part in ("run", "mail"):
            os.makedirs(os.path.join(self.directory, part))
        self.processes.give(os.path.join(self.directory, "mail"))
        configuration = os.path.join(self.directory, "dovecot.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(self.settings)
        self.processes.start("dovecot-peer", ["/usr/sbin/dovecot", "-F", "-c", configuration], as_root=True,
                             ready=lambda: not can_listen(self.port))

    def stop(self):
        self.processes.stop("dovecot-peer")
