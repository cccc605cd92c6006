"""A throw-away Postfix: a real relay on a free port, in a temp folder, ended by its pid.

It runs as root alone, as Postfix does. Mail to MAILBOXES is delivered, anybody else at their domain
is unknown there, and what goes to other domains is taken and thrown away.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.dovecot import free_port

PROGRAM = "/usr/lib/postfix/sbin/master"
HOST = "127.0.0.1"
DOMAIN = "example.org"
MAILBOXES = ("ann", "bob", "cleo")
START_SECONDS = 15.0

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
default_transport = discard:
alias_maps =
biff = no
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""
# As Debian's, none of them in a chroot, without what this relay does not need.
MASTER = """
{host}:{port} inet n - n - 100 smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
"""


def is_installed() -> bool:
    """Whether Debian's postfix stands on this machine, and may run."""
    return os.access(PROGRAM, os.X_OK) and os.getuid() == 0


class Postfix:
    """One relay. `with Postfix() as relay:` starts it and removes all of it at the end."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="mbpf-"))
        self.folder.chmod(0o755)  # its many users must be able to pass
        self._process: subprocess.Popen[bytes] | None = None
        nobody, owner = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        for name, uid in (("spool", 0), ("data", owner.pw_uid), ("mail", nobody.pw_uid)):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, uid, 0)
        mailboxes = ", ".join(f"{{ {name}@{DOMAIN} = {name}/ }}" for name in MAILBOXES)
        config = self.folder / "conf"
        config.mkdir()
        (config / "main.cf").write_text(MAIN.format(
            folder=self.folder, domain=DOMAIN, mailboxes=mailboxes,
            uid=nobody.pw_uid, gid=nobody.pw_gid,
        ))  # fmt: skip
        (config / "master.cf").write_text(MASTER.format(host=HOST, port=self.port))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start and wait until it greets. `postfix start-fg` makes the queue's folders first."""
        self._process = subprocess.Popen(
            ["/usr/sbin/postfix", "-c", str(self.folder / "conf"), "start-fg"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.log()
                self.stop()
                raise RuntimeError(f"postfix did not start:\n{log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it with all its processes; connected clients lose their connection."""
        process, self._process = self._process, None
        if process is None:
            return
        # What we started waits for the master, which ends its children with itself.
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(self._master_pid(), signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(self._master_pid(), signal.SIGKILL)
            process.kill()
            process.wait(timeout=10)

    def _master_pid(self) -> int:
        return int((self.folder / "spool" / "pid" / "master.pid").read_text())

    def log(self) -> str:
        """What it logged."""
        path = self.folder / "postfix.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def mail_of(self, name: str) -> list[Message]:
        """What was delivered to one of MAILBOXES, in the order of arrival."""
        parser = BytesParser()
        files = sorted((self.folder / "mail" / name / "new").glob("*"))
        return [parser.parsebytes(file.read_bytes()) for file in files]

    def _greets(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as line:
                return line.recv(3) == b"220"
        except OSError:
            return False
