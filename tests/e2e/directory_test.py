"""The directory compared with the database, mended, and built anew."""

import subprocess

import case
from case import PASSWORD, StackError


class Directory(case.StackCase):
    def ldap(self, tool, *arguments, ldif=""):
        """One of OpenLDAP's tools, bound as the publisher."""
        slapd = self.stack.slapd
        return subprocess.run([tool, "-x", "-H", slapd.ldapi, "-D", slapd.publisher_dn, "-y", slapd.publisher_password_file,
                               *arguments], input=ldif.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=True, timeout=60).stdout.decode()

    def dn(self, login):
        return f"uid={login},ou=people,{self.stack.slapd.base}"

    def verify(self, expected=0):
        return self.stack.provctl("directory", "verify", allow=(expected,))

    def test_WhatWasChangedByHandIsShownByNameAndMended(self):
        missing, changed, copied = (self.add_user() for _ in range(3))
        self.assertIn("says what the database says", self.verify())
        self.ldap("ldapdelete", self.dn(missing))
        self.ldap("ldapmodify", ldif=f"dn: {self.dn(changed)}\nchangetype: modify\nreplace: mailHost\nmailHost: nowhere\n")
        entry = self.ldap("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", self.dn(copied), "-s", "base")
        entry = "\n".join(line for line in entry.strip().splitlines() if not line.startswith("provSubscriberId"))
        self.ldap("ldapadd", ldif=entry.replace(copied, "intruder@example.net") + "\nprovSubscriberId: 999999\n")
        shown = self.verify(expected=9)
        self.assertIn(f"missing    {self.dn(missing)}", shown)
        self.assertIn(f"different  {self.dn(changed)} : mailHost", shown)
        self.assertIn(f"extra      {self.dn('intruder@example.net')}", shown)
        self.assertNotIn("nowhere", shown)
        self.assertIn("3 entries mended", self.stack.provctl("directory", "repair"))
        self.verify()
        self.assertTrue(self.stack.slapd.can_bind(missing, PASSWORD))
        self.assertIn("RepairDirectory", self.stack.provctl("audit", "list", "--resource", "directory"))

    def test_WipedDirectoryIsBuiltAnew(self):
        login = self.add_user()
        self.ldap("ldapdelete", "-r", f"ou=people,{self.stack.slapd.base}")
        self.assertFalse(self.stack.slapd.can_bind(login, PASSWORD))
        self.assertIn("whole", self.stack.provctl("directory", "rebuild"))
        self.verify()
        self.assertTrue(self.stack.slapd.can_bind(login, PASSWORD))

    def test_HelpdeskMayNotRepair(self):
        certificate, key = self.stack.certificate("helpdesk/mary", give=False)
        with self.assertRaises(StackError) as refused:
            self.stack.provctl("--certificate", certificate, "--key", key, "directory", "repair")
        self.assertIn("may not call", str(refused.exception))


if __name__ == "__main__":
    case.main()
