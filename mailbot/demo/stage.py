"""The demo's stage: a temporary folder with configuration, keys and list, and the real daemon.

The daemon is `mailbot run` as anybody would start it, in a process of its own, on real sockets.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailbot.config import Settings, load, load_person_key, load_token_keys
from mailbot.core.errors import MailbotError
from mailbot.core.person import PersonKey
from mailbot.demo import cast
from mailbot.demo.servers import HOST, MailServers
from mailbot.outbound.letterhead import Letterhead
from mailbot.store import schema
from mailbot.store.engine import Database

PATIENCE_SECONDS = 40.0  # for one step of the story, on a slow and busy machine
_LOOK_EVERY_SECONDS = 0.05
_STOP_SECONDS = 10.0

_CONFIG = """\
# The demo's configuration. config/mailbot.toml explains every setting.
[shop]
name = "{shop}"
help_address = "{help}"
postal_address = "{postal_address}"

[store]
url = "sqlite:///mailbot.db"

[keys]
person_file = "person-key"
tokens = [{{ id = 1, file = "token-key-1" }}]

[[mailbox]]
name = "help"
host = "{host}"
port = {imap_port}
security = "none"
username = "{help}"
password_file = "imap-password"
poll_seconds = 1

[relay]
host = "{host}"
port = {smtp_port}
security = "none"
connections = 2

[campaigns]
from_address = "{offers}"
from_name = "{shop}"

[order_status]
from_address = "{orders}"
from_name = "{shop} Orders"

[log]
level = "debug"
format = "json"
"""


@dataclass(slots=True)
class Stage:
    """Everything that the story plays on."""

    folder: Path
    servers: MailServers
    settings: Settings
    database: Database
    person_key: PersonKey
    letterhead: Letterhead
    daemon: subprocess.Popen[bytes]

    @property
    def config(self) -> Path:
        return self.folder / "mailbot.toml"

    def wait_until(self, is_done: Callable[[], bool], what: str) -> None:
        """Look until it is so. Raises MailbotError where the daemon ends or time runs out."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_done():
            self.check_daemon()
            if time.monotonic() > deadline:
                raise self.fault(f"{what}: waited {PATIENCE_SECONDS:.0f} seconds in vain")
            time.sleep(_LOOK_EVERY_SECONDS)

    def check_daemon(self) -> None:
        """Raise MailbotError if the daemon ended by itself."""
        if self.daemon.poll() is not None:
            raise self.fault(f"mailbot ended by itself (exit {self.daemon.returncode})")

    def log(self) -> Iterator[Mapping[str, object]]:
        """What the daemon has logged so far, event by event."""
        for line in _log_file(self.folder).read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line that is being written, or a traceback
            if isinstance(event, dict):
                yield event

    def fault(self, what: str) -> MailbotError:
        """What went wrong, with the daemon's last words, whose log is about to be deleted."""
        lines = _log_file(self.folder).read_text(encoding="utf-8", errors="replace").splitlines()
        last = "\n".join(["It last said:", *(f"  {line[:300]}" for line in lines[-8:])])
        return MailbotError(f"{what}.", where="mailbot demo", next_step=last if lines else "")


@contextmanager
def set_up(servers: MailServers, password: str) -> Iterator[Stage]:
    """Folder, database and daemon while the block runs; all of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mailbot-demo-"))
    try:
        _furnish(folder, servers, password)
        settings = load(folder / "mailbot.toml")
        schema.upgrade(settings.store.url)
        database = Database.open(settings.store.url)
        daemon = _start_daemon(folder)
        try:
            letterhead = Letterhead.of(settings, load_token_keys(settings))
            yield Stage(
                folder, servers, settings, database,
                load_person_key(settings), letterhead, daemon,
            )  # fmt: skip
        finally:
            _stop_daemon(daemon)
            database.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _furnish(folder: Path, servers: MailServers, password: str) -> None:
    config = _CONFIG.format(
        shop=cast.SHOP_NAME, help=cast.HELP, postal_address=cast.POSTAL_ADDRESS,
        offers=cast.OFFERS, orders=cast.ORDERS, host=HOST,
        imap_port=servers.inbox.port, smtp_port=servers.smtp_port,
    )  # fmt: skip
    audience = [f"{one.address},{one.name}" for one in cast.AUDIENCE]
    for name, content in (
        ("mailbot.toml", config),
        ("imap-password", password),
        ("person-key", secrets.token_hex(32)),
        ("token-key-1", secrets.token_hex(32)),
        ("customers.csv", "\n".join(["email,name", *audience, ""])),
        *((f"{offer.file}.txt", offer.text) for offer in cast.OFFERS_SENT),
    ):
        (folder / name).write_text(content, encoding="utf-8")


def _start_daemon(folder: Path) -> subprocess.Popen[bytes]:
    """A session of its own: Ctrl-C is the demo's, which then stops the daemon in good order."""
    with _log_file(folder).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mailbot", "run", "--config", str(folder / "mailbot.toml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )


def _stop_daemon(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _log_file(folder: Path) -> Path:
    return folder / "daemon.log"
