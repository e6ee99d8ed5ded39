"""./dev up: starts the stack, takes the first subscriber from nothing to a mail read, and leaves it running."""

import email.message
import email.utils
import json
import os
import poplib
import secrets
import smtplib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from processes import StackError, service_user, wait_until  # noqa: E402
from stack import Stack, built_programs, write  # noqa: E402

DOMAIN = "example.net"
LOGIN = "alice@example.net"
MAIL_SECONDS = 30
# Unix socket paths end at 107 octets; ours add up to 40 to the state directory.
LONGEST_STATE_PATH = 60

BOLD, DIM, GREEN, PLAIN = ("\033[1m", "\033[2m", "\033[32m", "\033[0m") if sys.stdout.isatty() else ("",) * 4


def step(text):
    print(f"{BOLD}==>{PLAIN} {text}", flush=True)


def detail(text):
    print(f"    {text}", flush=True)


def reachable_by_service_user(path):
    user = service_user()
    if not user:
        return True
    return subprocess.run(["test", "-x", path], user=user.pw_uid, group=user.pw_gid, extra_groups=[],
                          check=False).returncode == 0


def state_directory(repository):
    """REPOSITORY/.run; a link to a place in /var/tmp where a deep or closed path would keep servers out."""
    link = os.path.join(repository, ".run")
    if os.path.islink(link) and not os.path.isdir(link):
        os.unlink(link)
    if not os.path.isdir(link):
        if len(link) <= LONGEST_STATE_PATH and reachable_by_service_user(repository):
            os.mkdir(link)
        else:
            os.symlink(tempfile.mkdtemp(prefix="prov-run-", dir="/var/tmp"), link)
            os.chmod(link, 0o755)
    return os.path.realpath(link)


def first_password(stack):
    """A password of this stack's own, kept for the next run."""
    path = stack.path("alice.password")
    if not os.path.exists(path):
        write(path, secrets.token_urlsafe(15) + "\n", 0o600)
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def timed(what, action):
    start = time.monotonic()
    value = action()
    detail(f"{GREEN}done{PLAIN} {what} {DIM}({(time.monotonic() - start) * 1000:.0f} ms){PLAIN}")
    return value


def deliver_and_read(stack, password):
    message = email.message.EmailMessage()
    message["From"] = "Postmaster <postmaster@example.org>"
    message["To"] = LOGIN
    message["Subject"] = "Welcome"
    message["Message-ID"] = email.utils.make_msgid(domain="example.org")
    message.set_content("This mail went from the relay to the store and into your mailbox.\n")
    text = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))

    def hand_over():
        with smtplib.SMTP("127.0.0.1", stack.ports["smtp_relay"], timeout=30) as client:
            client.sendmail("postmaster@example.org", [LOGIN], text)

    def read():
        def look():
            client = poplib.POP3("127.0.0.1", stack.ports["pop3"], timeout=30)
            client.user(LOGIN)
            client.pass_(password)
            try:
                for number in range(client.stat()[0], 0, -1):
                    got = b"\r\n".join(client.retr(number)[1]) + b"\r\n"
                    if message["Message-ID"].encode() in got:
                        return got
            finally:
                client.quit()
            return None
        return wait_until(look, "the mail to arrive", MAIL_SECONDS)

    timed(f"relay accepted a mail for {LOGIN} over SMTP", hand_over)
    got = timed("POP3 login checked by PAM against the directory, mail read", read)
    if not got.endswith(text):
        raise StackError("the mail that came back is not the mail that was sent")
    detail(f"its {len(text)} octets came back unchanged, below {len(got) - len(text)} octets of trace headers")


def main_job(stack):
    password = first_password(stack)
    timed(f"provctl add-domain {DOMAIN}", lambda: stack.provctl("add-domain", DOMAIN, "--wait", allow=(0, 4)))
    exists = '"login"' in stack.provctl("-o", "json", "show-user", LOGIN, allow=(0, 3))
    if exists:
        detail(f"{LOGIN} is there already")
    else:
        timed(f"provctl add-user {LOGIN}: in PostgreSQL, the directory and on every host",
              lambda: stack.provctl("add-user", LOGIN, "--name", "Alice Example", "--ftp", "--web", "--password-stdin",
                                    "--wait", stdin=password + "\n"))
    deliver_and_read(stack, password)


def print_guide(stack, endpoints):
    step("Everything is up, and stays up. Where things listen:")
    for name, value in endpoints.items():
        detail(f"{name:16}{value}")
    provctl = endpoints["provctl"]
    step("What to try next")
    for line in (f"{provctl} show-user {LOGIN}", f"{provctl} suspend-user {LOGIN} --wait   # her next login is refused",
                 f"{provctl} resume-user {LOGIN} --wait", f"{provctl} status", f"{provctl} --help",
                 "cat .run/alice.password   # her password; .run/log/ has every server's log",
                 "./dev test", "./dev down"):
        detail(line)


def main():
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    state = state_directory(repository)
    stack = Stack(state, built_programs(os.path.join(repository, "bazel-bin")), repository, fixed_ports=True)
    step("Starting on loopback, state in .run/" + (f", servers as user {stack.processes.user.pw_name}"
                                                    if stack.processes.user else ""))
    stack.progress = detail
    stack.restart_changed()
    stack.start()
    step("The main job: one command, one mailbox")
    main_job(stack)
    endpoints = stack.endpoints(".run")
    write(stack.path("endpoints.json"), json.dumps(endpoints, indent=2) + "\n")
    print_guide(stack, endpoints)


if __name__ == "__main__":
    try:
        main()
    except (StackError, OSError, smtplib.SMTPException, poplib.error_proto, subprocess.SubprocessError) as error:
        print(f"dev up: {error}\nTry ./dev doctor; ./dev down --purge starts from nothing.", file=sys.stderr)
        sys.exit(1)
