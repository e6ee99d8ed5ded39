"""Rows for provctl import, as many as a benchmark wants."""

import json

# Any valid hash: the bulk is not to measure how long hashing takes.
HASH = "{CRYPT}$6$saltsaltsaltsalt$" + "x" * 86


def write_rows(path, domain, first, count, password_hash=HASH):
    with open(path, "w", encoding="utf-8") as file:
        for number in range(first, first + count):
            file.write(json.dumps({
                "login": f"import{number}@{domain}", "display_name": f"Customer {number}", "plan": "gold",
                "addresses": [f"alias{number}@{domain}"], "labels": {"crm": str(number)},
                "entitlements": {"mail": True, "ftp": False, "web": True}, "password_hash": password_hash}) + "\n")
