"""What every test may use: a fresh database, made by the real migrations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbot.store import schema
from mailbot.store.engine import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/mailbot.db"
    schema.upgrade(url)
    opened = Database.open(url)
    yield opened
    opened.close()
