"""Apache as integrations/apache sets it up, on the homes and names that a real host's agent keeps, used by curl."""

import filecmp
import os
import shutil
import subprocess
import unittest

import case
from case import wait_until
from processes import can_listen, free_port
from template import render

TEMPLATES = os.path.join("integrations", "apache")
HOST = "web1"
APACHE = "/usr/sbin/apache2"


@unittest.skipIf(os.geteuid() != 0, "files are given to their owners, and Apache serves as another user")
class Apache(case.StackCase):
    @classmethod
    def configure(cls, stack):
        stack.root_hosts.add(HOST)
        cls.directory = stack.path("apache")
        cls.main, cls.own = stack.path("apache", "apache2.conf"), stack.path("apache", "own")
        cls.configuration, cls.log = stack.path("apache", "prov-sites.conf"), stack.path("apache", "error.log")
        cls.port = free_port()
        os.makedirs(cls.own)
        for name in ("run", "empty"):
            os.makedirs(os.path.join(cls.directory, name))
        os.chmod(stack.state, 0o755)
        cls.page = os.path.join(cls.directory, "suspended.html")
        with open(cls.page, "w", encoding="utf-8") as file:
            file.write("<p>ask the office</p>")
        words = {"HOSTNAME": "web1.example.net", "LISTEN": "127.0.0.1", "HTTP_PORT": str(cls.port),
                 "WEB_USER": "www-data", "PID_FILE": os.path.join(cls.directory, "pid"),
                 "RUN_DIRECTORY": os.path.join(cls.directory, "run"),
                 "EMPTY_DIRECTORY": os.path.join(cls.directory, "empty"), "ERROR_LOG": cls.log,
                 "ACCESS_LOG": os.path.join(cls.directory, "access.log"), "CONFIG": cls.directory,
                 "SITES_CONFIGURATION": cls.configuration}
        for name in ("apache2.conf", "sites.conf"):
            render(os.path.join(TEMPLATES, name + ".in"), os.path.join(cls.directory, name), words)
        stack.web_keys = f'''suspended_page = "{cls.page}"
configuration = "{cls.configuration}"
check_command = ["{APACHE}", "-f", "{cls.main}", "-t", "-D", "PROV_SITES_CHECK"]
reload_command = ["{APACHE}", "-f", "{cls.main}", "-k", "graceful"]
reload_every = "200ms"
'''
        stack.agent_tables[HOST] = '\n[inspection]\nevery = "1s"\n'
        # Before the agent: its first file is a reload, as on a host that has Apache already.
        stack.processes.prepare()
        stack.processes.start("apache", [APACHE, "-f", cls.main, "-DFOREGROUND"], as_root=True,
                              ready=lambda: not can_listen(cls.port))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        wait_until(lambda: os.path.exists(cls.configuration) and not os.path.exists(cls.configuration + ".new"),
                   "Apache to have the agent's configuration")

    @classmethod
    def tearDownClass(cls):
        cls.stack.processes.stop("apache")
        super().tearDownClass()

    def get(self, host, path="/"):
        """Status and text of what Apache answers."""
        done = subprocess.run(["curl", "-sS", "--path-as-is", "-w", "\n%{http_code}", "-H", f"Host: {host}",
                               f"http://127.0.0.1:{self.port}{path}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False, timeout=60)
        text, _, status = done.stdout.decode(errors="replace").rpartition("\n")
        self.assertEqual(done.returncode, 0, text)
        return int(status), text

    def wait_for(self, host, path, status):
        """A graceful reload is asked for at once, and done a moment later."""
        wait_until(lambda: self.get(host, path)[0] == status, f"{status} from {host}{path}")

    def public_html(self, login):
        uid = self.stack.provctl_json("show-user", login)["uid"]
        return next(os.path.join(directory, uid, "public_html")
                    for directory, names, _ in os.walk(self.stack.path("homes")) if uid in names)

    def publish(self, login, name, content):
        directory = self.public_html(login)
        path, owner = os.path.join(directory, name), os.stat(directory)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.chown(path, owner.st_uid, owner.st_gid)

    def site(self, name, *options):
        """A subscriber whose web space, also known as `name`, says so."""
        login = self.add_user("--web", "--web-name", name, *options)
        self.publish(login, "index.html", f"this is {name}")
        return login

    def failing(self):
        progress = self.stack.provctl_json("show-host", HOST)["progress"]
        return [item["error"] for entry in progress for item in entry.get("failing", [])]

    def graceful_reloads(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read().count("AH00493")  # SIGUSR1 received

    def test_SiteIsServedAtItsOwnNameAndBelowTheLogin(self):
        login = self.site("www.first.example")
        before = self.graceful_reloads()
        other = self.site("www.second.example")
        self.assertEqual(self.get("www.first.example"), (200, "this is www.first.example"))
        self.assertEqual(self.get("WWW.First.Example:80"), (200, "this is www.first.example"))
        self.assertEqual(self.get("web1.example.net", f"/~{login}/"), (200, "this is www.first.example"))
        self.assertEqual(self.get("web1.example.net", f"/~{other}/"), (200, "this is www.second.example"))
        self.assertEqual(self.get("nobodys.example")[0], 404)
        self.assertEqual(self.get("web1.example.net", "/~nobody@example.net/")[0], 404)
        self.stack.provctl("update-user", login, "--web-name", "new.first.example", "--wait")
        self.assertEqual(self.get("new.first.example"), (200, "this is www.first.example"))
        self.assertEqual(self.get("www.first.example")[0], 404)
        self.assertEqual(self.graceful_reloads(), before, "a change of subscribers needs no reload")

    def test_SuspendedShowsTheNoticeAndClosedAndPurgedAreGone(self):
        login = self.site("www.life.example")
        self.stack.provctl("suspend-user", login, "--wait")
        for host, path in (("www.life.example", "/"), ("www.life.example", "/deep/page"),
                           ("web1.example.net", f"/~{login}/")):
            self.assertEqual(self.get(host, path), (503, "<p>ask the office</p>"))
        self.stack.provctl("resume-user", login, "--wait")
        self.assertEqual(self.get("www.life.example")[0], 200)
        self.stack.provctl("delete-user", login, "--wait")
        self.assertEqual(self.get("www.life.example")[0], 404)
        self.stack.provctl("undelete-user", login, "--wait")
        self.assertEqual(self.get("www.life.example")[0], 200)
        self.stack.provctl("delete-user", login, "--wait")
        self.stack.provctl("purge-user", login, "--yes", "--wait")
        self.assertEqual(self.get("www.life.example")[0], 404)
        # Nobody inherits it by accident.
        self.stack.provctl("add-user", self.new_login(), "--web-name", "www.life.example", "--no-password", allow=(4,))

    def test_WithoutTheEntitlementThereIsNoSite(self):
        login = self.site("www.plain.example")
        self.stack.provctl("update-user", login, "--may-use", "mail", "--wait")
        self.assertEqual(self.get("www.plain.example")[0], 404)

    def test_LinksLeadToTheSubscribersOwnFilesOnly(self):
        login, other = self.site("www.links.example"), self.site("www.other.example")
        directory, owner = self.public_html(login), os.stat(self.public_html(login))
        self.publish(login, "own.txt", "mine")
        self.publish(login, ".htpasswd", "secret")
        for target, name in (("own.txt", "to-own"), (os.path.join(self.public_html(other), "index.html"), "to-other"),
                             ("/etc/passwd", "to-passwd"), ("/", "to-root")):
            os.symlink(target, os.path.join(directory, name))
            os.lchown(os.path.join(directory, name), owner.st_uid, owner.st_gid)
        self.assertEqual(self.get("www.links.example", "/to-own"), (200, "mine"))
        for path in ("/to-other", "/to-passwd", "/to-root/etc/passwd", "/.htpasswd"):
            self.assertEqual(self.get("www.links.example", path)[0], 403, path)
        for host, path in (("www.links.example", "/../../../../etc/passwd"), ("..", "/"),
                           ("www.links.example", "/..%2f..%2fetc/passwd"), ("web1.example.net", "/~../x"),
                           ("web1.example.net", "/~%2e%2e/served/www.links.example/own.txt")):
            self.assertIn(self.get(host, path)[0], (400, 404), path)

    def test_NothingOfASubscribersIsRun(self):
        login = self.site("www.script.example")
        self.publish(login, "run.cgi", "#!/bin/sh\necho ran")
        self.publish(login, ".htaccess", "Options +ExecCGI\nAddHandler cgi-script .cgi\n")
        os.chmod(os.path.join(self.public_html(login), "run.cgi"), 0o755)
        self.assertEqual(self.get("www.script.example", "/run.cgi"), (200, "#!/bin/sh\necho ran"))

    def test_WhatAnOperatorBreaksStopsNobodyAndIsToldUntilItIsMended(self):
        self.site("www.before.example")
        broken = os.path.join(self.own, "broken.conf")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("<VirtualHost *:80>\nNoSuchDirective on\n</VirtualHost>\n")
        try:
            wait_until(lambda: any("NoSuchDirective" in error for error in self.failing()), "the refusal to be told")
            self.assertIn("NoSuchDirective", self.stack.provctl("show-host", HOST))
            self.site("www.while.example")
            self.assertEqual(self.get("www.while.example")[0], 200, "others go on")
            # A file of ours that would have to change is not put in place of the last good one.
            shutil.copy(self.configuration, self.configuration + ".kept")
            os.remove(self.configuration)
            wait_until(lambda: os.path.exists(self.configuration + ".new"), "the file to be tried")
            self.assertFalse(os.path.exists(self.configuration))
            self.assertEqual(self.get("www.before.example")[0], 200, "Apache goes on with what it has")
        finally:
            os.remove(broken)
        wait_until(lambda: not self.failing(), "the failure to be cleared")
        wait_until(lambda: not os.path.exists(self.configuration + ".new"), "the reload")
        self.assertTrue(filecmp.cmp(self.configuration, self.configuration + ".kept", shallow=False))
        self.wait_for("www.before.example", "/", 200)

    def test_WhatAPersonChangesIsToldAndMended(self):
        self.site("www.drift.example")
        before = self.graceful_reloads()
        with open(self.configuration, "a", encoding="utf-8") as file:
            file.write("# by hand\n")
        os.symlink("/etc", self.stack.path("hosts", HOST, "sites", "served", "evil.example.org"))

        def is_mended():
            with open(self.configuration, encoding="utf-8") as file:
                return "by hand" not in file.read()
        wait_until(is_mended, "the configuration to be mended")
        wait_until(lambda: self.get("evil.example.org")[0] == 404, "the link to be removed")
        told = self.stack.processes.log_tail(HOST, 400)
        self.assertIn("is not as prov-agent wrote it", told)
        self.assertIn("names of nobody (evil.example.org)", told)
        wait_until(lambda: self.graceful_reloads() > before, "a graceful reload")
        self.assertEqual(self.get("www.drift.example")[0], 200)

    def test_RestartOfTheAgentWritesNothingAndReloadsNothing(self):
        self.site("www.restart.example")
        wait_until(lambda: not self.failing(), "nothing to fail")
        before, written = self.graceful_reloads(), os.stat(self.configuration).st_mtime_ns
        self.stack.processes.stop(HOST)
        self.assertEqual(self.get("www.restart.example")[0], 200)
        self.stack.start_agent(HOST)
        self.site("www.after.example")
        self.assertEqual(self.get("www.after.example")[0], 200)
        self.assertEqual((self.graceful_reloads(), os.stat(self.configuration).st_mtime_ns), (before, written))

    def test_NamesAreOnesOwnAndThoseOfHostedDomainsAreOperatorsToGive(self):
        self.site("www.taken.example")
        self.stack.provctl("add-user", self.new_login(), "--web-name", "www.taken.example", "--no-password", allow=(4,))
        self.stack.provctl("add-user", self.new_login(), "--web-name", "../etc", "--no-password", allow=(5,))
        login = self.site(f"www.{case.DOMAIN}")  # the stack's provctl is an operator
        self.assertIn(f"www.{case.DOMAIN}", self.stack.provctl("show-user", login))


if __name__ == "__main__":
    case.main()
