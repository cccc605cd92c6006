"""mailbot's commands as somebody types them, over an installation of a test's own."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailbot.cli.command_line import main
from mailbot.store import schema
from mailbot.store.engine import Database
from mailbot.store.restoring import Keeper

CONFIG = """\
[shop]
name = "Lindenhof Tea"
help_address = "help@shop.example"
postal_address = "Lindenhof Tea, 1 Quay, Bristol"
policy_version = "7"
[store]
url = "sqlite:///mailbot.db"
[keys]
person_file = "person-key"
tokens = [{ id = 1, file = "token-key-1" }]
[[mailbox]]
name = "help"
host = "127.0.0.1"
port = 1
security = "none"
username = "help"
password_file = "imap-password"
timeout_seconds = 2
[relay]
host = "127.0.0.1"
port = 1
security = "none"
timeout_seconds = 2
[campaigns]
from_address = "offers@shop.example"
from_name = "Lindenhof Tea"
[order_status]
from_address = "orders@shop.example"
from_name = "Lindenhof Orders"
"""


@dataclass(frozen=True)
class Ended:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def is_plain(self) -> bool:
        """No traceback, and no colour for a pipe."""
        return "Traceback" not in self.err and "\x1b" not in self.out + self.err


class Shell:
    """Types `mailbot …` in the folder of an installation."""

    def __init__(
        self, folder: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
    ) -> None:
        self.folder = folder
        self.config = folder / "mailbot.toml"
        self._capture = capture
        self._patch = patch

    def __call__(self, *arguments: str, given: str | bytes = b"") -> Ended:
        raw = given.encode() if isinstance(given, str) else given
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        self._capture.readouterr()
        code = main([*arguments])
        out, err = self._capture.readouterr()
        ended = Ended(code, out, err)
        assert ended.is_plain(), ended
        return ended

    def write(self, name: str, content: str | bytes) -> str:
        """A file in the folder; returns its path as an argument."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/mailbot.db"


@pytest.fixture
def bare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """Settings and keys, and no database yet."""
    for name in list(os.environ):
        if name.startswith("MAILBOT_") or name in ("CREDENTIALS_DIRECTORY", "COLUMNS"):
            monkeypatch.delenv(name)
    shell = Shell(tmp_path, capsys, monkeypatch)
    shell.write("mailbot.toml", CONFIG)
    for name, secret in (
        ("person-key", bytes(range(32)).hex()),
        ("token-key-1", bytes(range(1, 33)).hex()),
        ("imap-password", "s3cret"),
    ):
        shell.write(name, secret + "\n")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("MAILBOT_CONFIG", str(shell.config))
    return shell


@pytest.fixture
def mailbot(bare: Shell) -> Shell:
    """A whole installation with an empty database."""
    schema.upgrade(bare.url)
    return bare


@pytest.fixture
def database(mailbot: Shell) -> Iterator[Database]:
    """The installation's database, beside the commands."""
    opened = Database.open(mailbot.url)
    Keeper(opened, mailbot.folder / "mailbot-journal").attach()
    yield opened
    opened.close()
