"""A private Dovecot as integrations/dovecot sets it up, on the Maildirs of a store pool."""

import os
import pwd

from host_etc import within
from processes import can_listen, free_port
from template import render

TEMPLATES = os.path.join("integrations", "dovecot")


class Dovecot:
    def __init__(self, stack, passdb="ldap", owner="service", name="dovecot", settings=""):
        """settings: more of dovecot.conf, behind all others."""
        self.stack = stack
        self.name = name
        self.settings = settings
        self.directory = stack.path(name)
        self.lmtp_port, self.pop3_port, self.pop3s_port = free_port(), free_port(), free_port()
        self.auth_socket = os.path.join(self.directory, "auth")
        certificate, key = stack.certificate("directory/dovecot", give=False)
        user = stack.processes.user.pw_name if stack.processes.user else pwd.getpwuid(os.geteuid()).pw_name
        self.words = {
            "LISTEN": "127.0.0.1", "TLS_CERTIFICATE": certificate, "TLS_KEY": key, "SPOOL_USER": user,
            "CONFIG": os.path.join(self.directory, "conf"), "PASSDB": passdb, "OWNER": owner,
            "LEAST_UID": "10000", "LMTP_PORT": str(self.lmtp_port),
            "POP3_PORT": str(self.pop3_port), "POP3S_PORT": str(self.pop3s_port), "AUTH_SOCKET": self.auth_socket,
            "AUTH_SOCKET_USER": "postfix", "LDAP_URI": stack.slapd.uri, "BASE": stack.slapd.base, "LDAP_STARTTLS": "yes",
            "LDAP_CA": stack.path("tls", "ca.pem"), "MAIL_PASSWORD": stack.slapd.password("mail"),
            "MAIL_ROOT": stack.mail_root(), "INDEX_ROOT": os.path.join(self.directory, "index"),
            "PAM_PROV": f"{stack.bin}/pam_prov.so config={stack.path('pam_prov.toml')}",
        }

    def start(self):
        configuration = self.words["CONFIG"]
        for part in ("conf", "run", "index", "pam.d"):
            os.makedirs(os.path.join(self.directory, part), exist_ok=True)
        self.stack.processes.give(self.words["INDEX_ROOT"])
        for name in os.listdir(TEMPLATES):
            render(os.path.join(TEMPLATES, name), os.path.join(configuration, name.removesuffix(".in")), self.words)
        render(os.path.join(TEMPLATES, "prov-pop3.pam.in"), os.path.join(self.directory, "pam.d", "prov-pop3"), self.words)
        main = os.path.join(configuration, "dovecot.conf")
        with open(main, "a", encoding="utf-8") as file:
            file.write(f"""
base_dir = {self.directory}/run
state_dir = {self.directory}/run
log_path = /dev/stderr
{self.settings}
""")
        command = within(os.path.join(self.directory, "pam.d"), "/etc/pam.d", "/usr/sbin/dovecot", "-F", "-c", main)
        self.stack.processes.start(self.name, command, as_root=True, ready=lambda: not can_listen(self.pop3_port))

    def stop(self):
        self.stack.processes.stop(self.name)
