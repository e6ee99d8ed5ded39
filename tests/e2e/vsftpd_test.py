"""vsftpd as integrations/vsftpd sets it up, on the homes and accounts of a real host, used by curl."""

import os
import re
import subprocess
import tempfile
import unittest

import case
from case import PASSWORD
from host_etc import make_etc, within
from processes import can_listen, free_port
from template import render

TEMPLATES = os.path.join("integrations", "vsftpd")
HOST = "ftp1"
# curl(1).
LOGIN_DENIED, ACCESS_DENIED, UPLOAD_FAILED, NO_SUCH_FILE = 67, 9, 25, 78


@unittest.skipIf(os.geteuid() != 0, "vsftpd is started by root, and files are given to their owners")
class Vsftpd(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.root_hosts.add(HOST)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = cls.stack
        etc = make_etc(stack, HOST)
        os.makedirs(os.path.join(etc, "pam.d"))
        certificate, key = stack.certificate("directory/ftp", give=False)
        cls.port, least = free_port(), free_port()
        words = {"LISTEN": "127.0.0.1", "FTP_PORT": str(cls.port), "EMPTY_DIRECTORY": stack.path("hosts", HOST, "empty"),
                 "TLS_CERTIFICATE": certificate, "TLS_KEY": key, "PASSIVE_LEAST": str(least), "PASSIVE_MOST": str(least + 50),
                 "LOG": stack.path("log", "vsftpd.log"),
                 "PAM_PROV": f"{stack.bin}/pam_prov.so config={stack.path('pam_prov.toml')}"}
        os.makedirs(words["EMPTY_DIRECTORY"])
        render(os.path.join(TEMPLATES, "vsftpd.conf.in"), os.path.join(etc, "vsftpd.conf"), words, 0o600)
        render(os.path.join(TEMPLATES, "prov-ftp.pam.in"), os.path.join(etc, "pam.d", "prov-ftp"), words)
        try:
            stack.processes.start("vsftpd", within(etc, "/etc", "/usr/sbin/vsftpd", "/etc/vsftpd.conf"), as_root=True,
                                  ready=lambda: not can_listen(cls.port))
        except BaseException:
            case.show_logs(stack)
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.stack.processes.stop("vsftpd")
        super().tearDownClass()

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="prov-client-", dir="/tmp")
        self.addCleanup(self.directory.cleanup)

    def curl(self, login, path, *arguments, password=PASSWORD, tls=True):
        """Exit status and output of curl for ftp://HOST/path."""
        netrc = os.path.join(self.directory.name, "netrc")
        with open(os.open(netrc, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(f"machine 127.0.0.1 login {login} password {password}\n")
        security = ["--ssl-reqd", "--cacert", self.stack.path("tls", "ca.pem")] if tls else []
        done = subprocess.run(["curl", "-sS", "--path-as-is", "--netrc-file", netrc, *security, *arguments,
                               f"ftp://127.0.0.1:{self.port}/{path}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False, timeout=60)
        return done.returncode, done.stdout.decode(errors="replace")

    def file(self, content):
        path = os.path.join(self.directory.name, "file")
        with open(path, "w", encoding="ascii") as file:
            file.write(content)
        return path

    def home_of(self, login):
        found = self.stack.slapd.search("mail", f"(uid={login})", "provMailboxPath")
        return self.stack.path("homes", re.search(r"^provMailboxPath: (\S+)$", found, re.M).group(1))

    def test_UploadListFetchAndRemove(self):
        login = self.add_user("--ftp")
        uid = self.stack.provctl_json("show-user", login)["uid_number"]
        status, text = self.curl(login, "files/page.html", "-T", self.file("<p>hello</p>"))
        self.assertEqual(status, 0, text)
        self.assertEqual(os.stat(os.path.join(self.home_of(login), "files", "page.html")).st_uid, int(uid))
        self.assertIn("page.html", self.curl(login, "files/")[1])
        self.assertEqual(self.curl(login, "files/page.html"), (0, "<p>hello</p>"))
        self.assertEqual(self.curl(login, "", "-Q", "DELE files/page.html")[0], 0)
        self.assertNotIn("page.html", self.curl(login, "files/")[1])

    def test_SuspendedAndNotEntitledAndWrongPasswordAreRefused(self):
        login = self.add_user("--ftp")
        self.assertEqual(self.curl(login, "files/")[0], 0)
        self.assertEqual(self.curl(login, "files/", password="wrong")[0], LOGIN_DENIED)
        self.stack.provctl("suspend-user", login, "--wait")
        self.assertEqual(self.curl(login, "files/")[0], LOGIN_DENIED)
        self.stack.provctl("resume-user", login, "--wait")
        self.assertEqual(self.curl(login, "files/")[0], 0)
        self.assertEqual(self.curl(self.add_user(), "files/")[0], LOGIN_DENIED)

    def test_PasswordInClearIsRefused(self):
        login = self.add_user("--ftp")
        self.assertEqual(self.curl(login, "files/", tls=False)[0], LOGIN_DENIED)

    def test_NobodyLeavesTheHome(self):
        login, other = self.add_user("--ftp"), self.add_user("--ftp")
        self.assertEqual(self.curl(other, "files/private", "-T", self.file("secret"))[0], 0)
        os.symlink("/etc", os.path.join(self.home_of(login), "files", "etc"))
        os.symlink(self.home_of(other), os.path.join(self.home_of(login), "files", "other"))
        for path in ("%2Fetc/passwd", "../../../../etc/passwd", "files/../../../../../etc/passwd", "files/etc/passwd",
                     "files/other/files/private", "%2F.." + self.home_of(other) + "/files/private"):
            with self.subTest(path):
                status, text = self.curl(login, path)
                self.assertIn(status, (ACCESS_DENIED, NO_SUCH_FILE), text)
        # The cage itself is not the subscriber's to change.
        self.assertEqual(self.curl(login, "planted", "-T", self.file("x"))[0], UPLOAD_FAILED)
        self.assertNotEqual(self.curl(login, "", "-Q", "RNFR files", "-Q", "RNTO mine")[0], 0)

    def test_SystemAccountsMayNotLogIn(self):
        self.assertEqual(self.curl("root", "", password="root")[0], LOGIN_DENIED)


if __name__ == "__main__":
    case.main()
