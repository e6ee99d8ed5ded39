"""The peer that every administrator has: ldapadd."""

import os
import re
import subprocess
import tempfile
import time

DOMAIN = "example.net"
LDAPADD_ENTRIES = 2000


def ldapadd_rate(stack):
    """The entries that provd made, under other names, one at a time on one connection into the same slapd."""
    slapd = stack.slapd
    bind = ["-x", "-H", slapd.ldapi, "-D", slapd.publisher_dn, "-y", slapd.publisher_password_file]
    entries = subprocess.run(
        ["ldapsearch", "-LLL", "-o", "ldif-wrap=no", *bind, "-b", f"ou=people,{slapd.base}", "-z", str(LDAPADD_ENTRIES),
         "(objectClass=inetOrgPerson)"],
        stdout=subprocess.PIPE, check=False, encoding="utf-8").stdout.strip().split("\n\n")[:LDAPADD_ENTRIES]
    renamed = [re.sub(rf"\b{re.escape(login)}\b", f"ldapadd{number}@{DOMAIN}", entry)
               for number, entry in enumerate(entries)
               for login in [re.search(r"^uid: (.*)$", entry, re.MULTILINE).group(1)]]
    with tempfile.NamedTemporaryFile("w", suffix=".ldif", delete=False) as ldif:
        ldif.write("\n\n".join(renamed) + "\n")
    try:
        start = time.monotonic()
        subprocess.run(["ldapadd", *bind, "-f", ldif.name], stdout=subprocess.DEVNULL, check=True)
        return len(renamed) / (time.monotonic() - start)
    finally:
        os.unlink(ldif.name)
