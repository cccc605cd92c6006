"""A small right configuration to spoil, and an environment without settings in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailbot.config import load
from mailbot.core.errors import ConfigError, ConfigFault

RIGHT = """\
[shop]
name = "Hollow & Finch Teas"
help_address = "help@hollowandfinch.example"
postal_address = "12 Quay Street, Bristol"
[keys]
person_file = "person-key"
tokens = [{ id = 1, file = "token-key-1" }]
[[mailbox]]
name = "help"
host = "imap.hollowandfinch.example"
username = "help@hollowandfinch.example"
password_file = "imap-password"
[relay]
host = "smtp.hollowandfinch.example"
[campaigns]
from_address = "offers@hollowandfinch.example"
from_name = "Hollow & Finch Teas"
[order_status]
from_address = "orders@hollowandfinch.example"
from_name = "Hollow & Finch Orders"
"""


class ConfigFile:
    """A configuration file that a test writes, loads and spoils."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write()

    def write(self, *changes: tuple[str, str], after: str = "") -> ConfigFile:
        """The right text with each change (old, new) made in it, and `after` behind it."""
        text = RIGHT
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        self.path.write_text(text + after, encoding="utf-8")
        return self

    def faults(self) -> dict[str, ConfigFault]:
        """The faults of loading, by key."""
        with pytest.raises(ConfigError) as caught:
            load(self.path)
        assert caught.value.where == str(self.path)
        found = {fault.key: fault for fault in caught.value.faults}
        assert len(found) == len(caught.value.faults)
        return found


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    return ConfigFile(tmp_path / "mailbot.toml")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("MAILBOT_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
