"""Other POP3 servers, for the same dialogues and the same mail: the real Dovecot and popa3d, with one user each."""

import os
import pwd
import shutil
import socket
import subprocess
import threading

from host_etc import within
from processes import can_listen, free_port

USER, PASSWORD = "alice", "vioBn4Aw-plinth-Rook"


class DovecotPop3:
    """On Maildirs of its own. `settings` are further lines of its configuration."""

    def __init__(self, processes, directory, settings=""):
        self.processes, self.directory = processes, directory
        self.port = free_port()
        self.maildir = os.path.join(directory, "mail", USER)
        user = processes.user or pwd.getpwuid(os.getuid())
        self.settings = f"""
protocols = pop3
listen = 127.0.0.1
base_dir = {directory}/run
state_dir = {directory}/run
log_path = /dev/stderr
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:~
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={directory}/mail/%n allow_all_users=yes
}}
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {self.port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
{settings}
"""

    def put(self, files):
        """Fills the Maildir: name below it, and content."""
        for part in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.maildir, part), exist_ok=True)
        for name, content in files.items():
            with open(os.path.join(self.maildir, name), "wb") as file:
                file.write(content)
        for parent, directories, names in os.walk(os.path.join(self.directory, "mail")):
            for path in [parent] + [os.path.join(parent, name) for name in directories + names]:
                self.processes.give(path)

    def start(self):
        os.makedirs(os.path.join(self.directory, "run"), exist_ok=True)
        self.put({})
        configuration = os.path.join(self.directory, "dovecot.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(self.settings)
        self.processes.start("dovecot-pop3", ["/usr/sbin/dovecot", "-F", "-c", configuration], as_root=True,
                             ready=lambda: not can_listen(self.port))

    def stop(self):
        self.processes.stop("dovecot-pop3")


def popa3d_program():
    """Debian's package conflicts with dovecot-pop3d: it is unpacked beside, or not there. None: it is not."""
    places = (os.environ.get("PROV_POPA3D", ""), "/usr/sbin/popa3d", "/var/lib/prov-peers/popa3d/usr/sbin/popa3d")
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


class Popa3d:
    """As inetd runs it, for a Unix user that it alone sees, with an mbox. Root's tests alone can run it."""

    def __init__(self, directory):
        self.directory = directory
        self.mbox = os.path.join(directory, "mail", USER)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def put(self, messages):
        with open(self.mbox, "wb") as file:
            for message in messages:
                file.write(b"From sender@example.org Mon Jan  1 00:00:00 2024\n" + message + b"\n")
        os.chown(self.mbox, 65534, 65534)

    def start(self):
        etc = os.path.join(self.directory, "etc")
        for part in ("etc", "mail", "chroot"):
            os.makedirs(os.path.join(self.directory, part), exist_ok=True)
        os.makedirs(os.path.join(etc, "pam.d"))
        os.chmod(self.directory, 0o755)
        os.chmod(os.path.join(self.directory, "mail"), 0o1777)
        shutil.copy("/etc/ld.so.cache", etc)
        self._write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n")
        self._write("etc/passwd", "root:x:0:0::/root:/bin/sh\npopa3d:x:65533:65533::/:/usr/sbin/nologin\n"
                    f"{USER}:x:65534:65534::/:/bin/sh\n")
        self._write("etc/group", "root:x:0:\npopa3d:x:65533:\nalice:x:65534:\nmail:x:8:\n")
        digest = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD.encode(), stdout=subprocess.PIPE,
                                check=True).stdout.decode().strip()
        self._write("etc/shadow", f"{USER}:{digest}:19000:0:99999:7:::\n")
        self._write("etc/pam.d/popa3d", "auth required pam_unix.so\naccount required pam_unix.so\n")
        self._thread.start()

    def _write(self, name, text):
        with open(os.path.join(self.directory, name), "w", encoding="ascii") as file:
            file.write(text)

    def _accept(self):
        command = within(os.path.join(self.directory, "etc"), "/etc", "sh", "-c",
                         f'mkdir -p /var/lib/popa3d && mount --bind "{self.directory}/chroot" /var/lib/popa3d && '
                         f'mount --bind "{self.directory}/mail" /var/mail && exec "{popa3d_program()}"')
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            subprocess.Popen(command, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL)
            connection.close()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
