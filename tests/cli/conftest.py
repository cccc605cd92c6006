"""A configured installation, and a way to type commands at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailbot.cli import main
from tests.house import House, installed


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


Type = Callable[..., Said]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Nobody answers at its mailbox and its relay."""
    with installed(tmp_path, imap_port=9, relay_port=9, username="help", password="wrong") as made:
        yield made


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types a command line and returns what was said; a traceback fails the test."""

    def say(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["mailbot", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        code = ended.value.code
        return Said(code if isinstance(code, int) else 1, out, err)

    return say


@pytest.fixture
def mailbot(command: Type, house: House) -> Type:
    """Types a command at the configured installation."""
    return lambda *words: command(*words, "--config", str(house.config))
