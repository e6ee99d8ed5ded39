"""What provd sends to a host of the fault walk, step by step: a first snapshot, changes, a purge, another snapshot."""

UID = 100000
ROLES = ("RELAY", "STORE", "FTP", "WEB")
STEPS = ("first", "change", "purge", "again")


def login(number):
    return f"user{number}@example.net"


def mailbox(number, revision, **more):
    return {"key": f"subscribers/{number}", "revision": revision, "mailbox": {
        "mailboxId": f"box-{number}", "login": login(number), "addresses": [login(number)], "receive": "ALLOW",
        "loginDisposition": "ALLOW", "credentialVersion": 1, **more}}


def account(number, revision, **more):
    return {"key": f"subscribers/{number}", "revision": revision, "account": {
        "login": login(number), "uidNumber": UID + number, "displayName": f"User {number}", "homeId": f"home-{number}",
        "use": "ALLOW", **more}}


def route(number, revision):
    return {"key": f"subscribers/{number}", "revision": revision,
            "mailRoute": {"addresses": [login(number)], "pool": "main", "receive": "ALLOW"}}


def move(number, revision):
    return {"key": f"moves/{number}", "revision": revision,
            "mailboxTransit": {"mailboxId": f"box-{number}", "fromPool": "second", "toPool": "main"}}


def snapshot(role, revision, records):
    return {"role": role, "revision": revision, "messages": [
        {"snapshotBegin": {"revision": revision}}, {"batch": {"nonce": 1, "records": records}},
        {"snapshotEnd": {"nonce": 2, "revision": revision}}]}


def delta(role, revision, records, removed=()):
    return {"role": role, "revision": revision, "messages": [
        {"batch": {"nonce": 1, "toRevision": revision, "records": records, "removedKeys": list(removed)}}]}


VIEWS = {
    "first": [
        snapshot("RELAY", 10, [{"key": "domains/example.net", "revision": 1, "domain": {"domain": "example.net"}},
                               route(1, 5), route(2, 6)]),
        snapshot("STORE", 10, [mailbox(1, 5), mailbox(2, 6), move(9, 7)]),
        snapshot("FTP", 10, [account(1, 5), account(2, 6)]),
        snapshot("WEB", 10, [account(2, 6)])],
    "change": [
        delta("RELAY", 20, [route(3, 15)]),
        delta("STORE", 20, [mailbox(1, 14, quotaBytes=1 << 20), mailbox(2, 16, closed=True), mailbox(3, 15)],
              ["moves/9"]),
        delta("FTP", 20, [account(1, 14, displayName="User the first"), account(2, 16, closed=True), account(3, 15)]),
        delta("WEB", 20, [account(2, 16, closed=True)])],
    "purge": [delta(role, 30, [], ["subscribers/2"]) for role in ROLES],
    # Too long away: what it has already, one that it lacks, and not the one that has gone meanwhile.
    "again": [
        snapshot("RELAY", 40, [{"key": "domains/example.net", "revision": 1, "domain": {"domain": "example.net"}},
                               route(1, 5), route(4, 35)]),
        snapshot("STORE", 40, [mailbox(1, 14, quotaBytes=1 << 20), mailbox(4, 35)]),
        snapshot("FTP", 40, [account(1, 14, displayName="User the first"), account(4, 35)]),
        snapshot("WEB", 40, [account(4, 35)])],
}
