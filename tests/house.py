"""A whole mailbot on the loopback: configuration, keys, database, and the daemon as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mailbot.config import Settings, load, load_person_key
from mailbot.store import schema
from mailbot.store.engine import Database

HELP = "help@shop.example"
START_SECONDS = 45  # a second or two is usual; a machine may stand still for longer


@dataclass
class House:
    """A shop's installation in a folder of its own."""

    folder: Path
    settings: Settings
    database: Database
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "mailbot.toml"

    @property
    def log(self) -> str:
        return (self.folder / "daemon.log").read_text(encoding="utf-8")

    def person_key(self) -> object:
        return load_person_key(self.settings)

    def start(
        self, *, by: Sequence[str] = ("mailbot", "run"), **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start `mailbot run`, or what stands in for it, and wait until it says that it runs."""
        with (self.folder / "daemon.log").open("ab") as log:
            seen = len(self.log)
            daemon = subprocess.Popen(
                [sys.executable, "-m", *by, "--config", str(self.config)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONFAULTHANDLER": "1", **environment},
            )  # fmt: skip
        self.started.append(daemon)

        def is_up() -> bool:
            assert daemon.poll() is None, f"the daemon ended at once:\n{self.log[seen:]}"
            return "daemon_started" in self.log[seen:]

        try:
            wait_until(is_up, START_SECONDS, "the daemon starts")
        except AssertionError as late:
            daemon.send_signal(signal.SIGABRT)  # it writes down where each thread stands
            daemon.wait(10)
            raise AssertionError(f"{late}; it said:\n{self.log[seen:]}") from None
        return daemon

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """One mailbot command over this installation."""
        return subprocess.run(
            [sys.executable, "-m", "mailbot", *arguments, "--config", str(self.config)],
            input=given, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def end(self, daemon: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        daemon.send_signal(number)
        return daemon.wait(timeout=40)


@contextmanager
def installed(
    folder: Path, *, imap_port: int, relay_port: int, username: str, password: str,
    lease_seconds: int = 5, url: str = "sqlite:///mailbot.db", more: str = "",
) -> Iterator[House]:  # fmt: skip
    """An installation whose daemons are ended with the block; `url` is that of its database.

    `more` are further tables of the settings.
    """
    secrets = {
        "person-key": bytes(range(32)).hex(),
        "token-key-1": bytes(range(1, 33)).hex(),
        "imap-password": password,
    }
    for name, secret in secrets.items():
        (folder / name).write_text(secret + "\n")
        (folder / name).chmod(0o600)
    config = folder / "mailbot.toml"
    config.write_text(
        f"""
[shop]
name = "Lindenhof Tea"
help_address = "{HELP}"
postal_address = "Lindenhof Tea, 1 Quay, Bristol"
own_domains = ["shop.example"]
[store]
url = "{url}"
journal = "journal"
[keys]
person_file = "person-key"
tokens = [{{ id = 1, file = "token-key-1" }}]
[[mailbox]]
name = "help"
host = "127.0.0.1"
port = {imap_port}
security = "none"
username = "{username}"
password_file = "imap-password"
poll_seconds = 1
timeout_seconds = 5
[relay]
host = "127.0.0.1"
port = {relay_port}
security = "none"
connections = 3
timeout_seconds = 3
[sender]
lease_seconds = {lease_seconds}
stop_seconds = 5
[campaigns]
from_address = "offers@shop.example"
from_name = "Lindenhof Tea"
[order_status]
from_address = "orders@shop.example"
from_name = "Lindenhof Orders"
[log]
format = "json"
{more}
""",
        encoding="utf-8",
    )
    settings = load(config)
    schema.upgrade(settings.store.url)
    house = House(folder, settings, Database.open(settings.store.url))
    try:
        yield house
    finally:
        for daemon in house.started:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait(10)
        house.database.close()


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until it is so; fail where it never is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process of ours still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
