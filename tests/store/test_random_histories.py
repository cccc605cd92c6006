"""Whatever happens, the proof accepts it; whatever is then changed in SQL, the proof finds it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from sqlalchemy import select

from mailbot.store import proof
from mailbot.store.engine import Database
from mailbot.store.tables import suppressions
from tests.store.forging import TAMPERINGS, Forger
from tests.store.histories import History, Listed

# A hundred times more, by hand: MAILBOT_HISTORIES=500 pytest tests/store/test_random_histories.py
SEEDS = range(int(os.environ.get("MAILBOT_HISTORIES", "5")))
STEPS = 25


def listed(database: Database) -> set[Listed]:
    table = suppressions.c
    chosen = select(table.person_hash, table.untagged_hash, table.reason, table.since_at)
    with database.read() as conn:
        return {(row[0], row[1], row[2], row[3]) for row in conn.execute(chosen)}


def lived(database: Database, seed: int, folder: Path) -> History:
    history = History(database, random.Random(seed), folder)
    history.live(STEPS)
    return history


@pytest.mark.parametrize("seed", SEEDS)
def test_what_happened_is_proved_and_what_was_tampered_with_is_found(
    database: Database, seed: int, tmp_path: Path
) -> None:
    history = lived(database, seed, tmp_path)
    with database.read() as conn:
        found = proof.prove(conn)
    assert found.fault is None
    assert listed(database) == {
        (exact, mailbox, reason, since)
        for (exact, reason), (mailbox, since) in history.model.listed.items()
    }
    forger = Forger(database, random.Random(seed), found.walked.head)
    missed = [
        done for tampering in TAMPERINGS
        if (done := forger.attempt(tampering)) is not None
    ]  # fmt: skip
    assert missed == []
