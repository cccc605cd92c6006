"""A throw-away Dovecot: real IMAP on free ports, in a temp folder, ended by its pid.

Any user name exists, with the password PASSWORD; a test takes a user of its own. Run by root, the
server runs as `nobody`; run by anyone else, as that user.
"""

from __future__ import annotations

import imaplib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAM = "/usr/sbin/dovecot"
PASSWORD = "s3cret"
START_SECONDS = 15.0

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 100
auth_failure_delay = 0
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = home={folder}/mail/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    auto = create
    special_use = \\Junk
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


def is_installed() -> bool:
    """Whether Debian's dovecot-imapd and openssl stand on this machine."""
    return os.access(PROGRAM, os.X_OK) and shutil.which("openssl") is not None


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Dovecot:
    """One server; `start`, `stop` and `start` again keep the ports and the mail."""

    def __init__(self) -> None:
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self._uid, self._gid, self._user = account.pw_uid, account.pw_gid, account.pw_name
        self.folder = Path(tempfile.mkdtemp(prefix="mbdc-"))
        self.folder.chmod(0o755)  # the server's user must be able to pass
        self.plain_port, self.tls_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("run", "state", "mail"):
            (self.folder / name).mkdir()
        make_certificate(self.folder)
        self._write_config()
        for path in [self.folder, *self.folder.iterdir()]:
            os.chown(path, self._uid, self._gid)

    @property
    def ca_file(self) -> Path:
        """The certificate (of itself) for localhost and 127.0.0.1."""
        return self.folder / "cert.pem"

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
        """Start and wait until both ports greet."""
        as_other = {"user": self._uid, "group": self._gid, "extra_groups": []}
        self._process = subprocess.Popen(
            [PROGRAM, "-F", "-c", str(self.folder / "dovecot.conf")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd=self.folder, start_new_session=True, **(as_other if os.getuid() == 0 else {}),  # type: ignore[call-overload]
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dovecot did not start:\n{self.log()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server; connected clients lose their connection at once."""
        if self._process is None:
            return
        # Its session is its own: no other process is hit, and no child serves on without it.
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=10)
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None

    def log(self) -> str:
        """What the server logged, and what it said when it failed to start."""
        path = self.folder / "dovecot.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        process = self._process
        if process is not None and process.poll() is not None and process.stderr is not None:
            text += process.stderr.read().decode(errors="replace")
        return text

    # -- what people and mail servers do to a mailbox ----------------------------------------

    def deliver(
        self,
        user: str,
        message: bytes,
        *,
        folder: str = "INBOX",
        flags: str = "",
        received_at: datetime | None = None,
    ) -> int:
        """APPEND one mail with these flags and INTERNALDATE; returns its UID."""
        date = "" if received_at is None else imaplib.Time2Internaldate(received_at)
        with self.client(user) as client:
            kind, answer = client.append(quoted(folder), f"({flags})", date, with_crlf(message))
        found = re.search(rb"APPENDUID \d+ (\d+)", answer[0])
        if kind != "OK" or found is None:
            raise RuntimeError(f"APPEND to {folder} failed: {answer!r}")
        return int(found.group(1))

    def drop(self, user: str, *messages: bytes) -> None:
        """Deliver straight into the INBOX's Maildir, as a mail server does: quick for many."""
        home = self._maildir(user)
        for number, message in enumerate(messages):
            name = f"{time.time_ns()}.{os.getpid()}_{number}.test"
            path = home / "tmp" / name
            path.write_bytes(with_crlf(message))
            os.chown(path, self._uid, self._gid)
            path.rename(home / "new" / name)

    def create(self, user: str, folder_utf7: str) -> None:
        """Make a folder; a name outside ASCII stands in modified UTF-7 (RFC 3501 §5.1.3)."""
        with self.client(user) as client:
            client.create(quoted(folder_utf7))

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, frozenset[str]]:
        """The flags of each mail by UID, read without changing any."""
        with self.client(user) as client:
            client.select(quoted(folder), readonly=True)
            _, lines = client.uid("FETCH", "1:*", "(FLAGS)")
        found = {}
        for line in lines:
            match = re.search(rb"UID (\d+).*FLAGS \(([^)]*)\)", line) if line else None
            if match:
                found[int(match.group(1))] = frozenset(match.group(2).decode().split())
        return {uid: flags - {"\\Recent"} for uid, flags in found.items()}

    def set_flags(self, user: str, uid: int, flags: str) -> None:
        """Add flags as a human's mail program does."""
        with self.client(user) as client:
            client.select("INBOX")
            client.uid("STORE", str(uid), "+FLAGS", f"({flags})")

    def delete(self, user: str, uid: int) -> None:
        """Delete and expunge one mail of the INBOX."""
        with self.client(user) as client:
            client.select("INBOX")
            client.uid("STORE", str(uid), "+FLAGS", "(\\Deleted)")
            client.expunge()

    def change_uidvalidity(self, user: str) -> None:
        """Give the INBOX another UIDVALIDITY, as a restored or migrated mailbox has."""
        home = self._maildir(user)
        path = home / "dovecot-uidlist"
        first, rest = path.read_text().split("\n", 1)
        renewed = re.sub(r"\bV(\d+)\b", lambda found: f"V{int(found.group(1)) + 7}", first)
        path.write_text(f"{renewed}\n{rest}")
        for index in home.glob("dovecot.index*"):
            index.unlink()

    def client(self, user: str) -> imaplib.IMAP4:
        """A human's own connection, logged in."""
        client = imaplib.IMAP4("127.0.0.1", self.plain_port, timeout=10)
        client.login(user, PASSWORD)
        return client

    # -- inside ------------------------------------------------------------------------------

    def _maildir(self, user: str) -> Path:
        home = self.folder / "mail" / user
        for path in (home, home / "tmp", home / "new", home / "cur"):
            if not path.exists():
                path.mkdir(mode=0o700)
                os.chown(path, self._uid, self._gid)
        return home

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.plain_port), timeout=1) as plain:
                plain.settimeout(5)
                greeting = plain.recv(4)
            with socket.create_connection(("127.0.0.1", self.tls_port), timeout=1):
                return greeting == b"* OK"
        except OSError:
            return False

    def _write_config(self) -> None:
        group = subprocess.run(
            ["id", "-gn", self._user], check=True, capture_output=True, text=True
        ).stdout.strip()
        text = CONFIG.format(
            folder=self.folder, user=self._user, group=group, password=PASSWORD,
            plain_port=self.plain_port, tls_port=self.tls_port,
        )  # fmt: skip
        (self.folder / "dovecot.conf").write_text(text)


def make_certificate(folder: Path) -> None:
    """cert.pem and key.pem, self-signed, for localhost and 127.0.0.1, valid for two days."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
        " -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


def with_crlf(message: bytes) -> bytes:
    """Line ends as on the wire; lone CR and LF of broken mail included."""
    return re.sub(rb"\r?\n", b"\r\n", message)


def quoted(folder: str) -> str:
    """An IMAP quoted string."""
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'
