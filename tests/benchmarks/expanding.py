"""A big campaign put into the outbox, beside the bare INSERT … SELECT of the same rows."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import text

from mailbot.log import configure as configure_log
from mailbot.outbound import campaigns
from mailbot.store import expansion
from mailbot.store.engine import Database
from tests.benchmarks.filling import hash_of, new_database, numbers
from tests.benchmarks.measuring import Figure, tell

PART = 1_000
DOMAIN = "shop.example"


def figures(folder: Path, *, members: int, rounds: int) -> Iterator[Figure]:
    """Part by part as fast as it goes, and as the daemon does it, which leaves others half."""
    with new_database(folder, "expanding") as database:
        tell(f"filling an audience of {members:,} …")
        _fill(database, members)

        for what, does, to_reach in (
            (f"in parts of {PART:,}, each durable", _expand, 1.5),
            ("as the daemon does, half of the time asleep", _tick_all, 4.0),
        ):
            mailbot, baseline = [], []
            for _ in range(rounds):
                mailbot.append(_seconds(database, does))
                baseline.append(_seconds(database, _insert_select))
            yield Figure(
                f"expand a campaign of {members:,}: {what}", tuple(mailbot), tuple(baseline),
                "one INSERT … SELECT in one transaction", to_reach,
            )  # fmt: skip


def _seconds(database: Database, work: Callable[[Database], None]) -> float:
    _begin_anew(database)
    began = time.perf_counter()
    work(database)
    return time.perf_counter() - began


def _fill(database: Database, members: int) -> None:
    with database.write() as conn:
        conn.execute(text(
            "INSERT INTO campaigns (id, name, state, subject, text_source, created_at, send_at,"
            " audience_count) VALUES (1, 'bench', 'sending', 's', 't',"
            f" '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000', {members})"
        ))  # fmt: skip
        conn.execute(text(f"""
            INSERT INTO audience_members
                (campaign_id, line, address, person_hash, untagged_hash, fields)
            SELECT 1, value, 'person' || value || '@example' || value % 50 || '.org',
                   {hash_of("value")}, {hash_of("value")}, '{{"name": "Ann ' || value || '"}}'
            FROM {numbers(members)}
        """))  # fmt: skip


def _begin_anew(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text("DELETE FROM outbox"))
        conn.execute(text(
            "UPDATE campaigns SET state = 'sending', expanded_to = NULL, expanded_at = NULL,"
            " expanded_count = 0"
        ))  # fmt: skip


def _insert_select(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text(f"""
            INSERT INTO outbox (kind, campaign_id, address, person_hash, untagged_hash, fields,
                                priority, state, not_before, created_at, message_id)
            SELECT 'campaign', campaign_id, address, person_hash, untagged_hash, fields, 2,
                   'queued', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000',
                   '<' || lower(hex(randomblob(16))) || '@{DOMAIN}>'
            FROM audience_members WHERE campaign_id = 1 ORDER BY line
        """))  # fmt: skip


def _expand(database: Database) -> None:
    is_last = False
    while not is_last:
        with database.write() as conn:
            is_last = expansion.expand(conn, 1, our_domain=DOMAIN, limit=PART).is_last


def _tick_all(database: Database) -> None:
    with Path(os.devnull).open("w", encoding="utf-8") as log:
        configure_log("info", "json", stream=log)
        asyncio.run(_tick(database))


async def _tick(database: Database) -> None:
    await campaigns.tick(database, DOMAIN)
    while await database.look(expansion.unexpanded):
        await asyncio.sleep(0.3)  # till the ticker's next second
        await campaigns.tick(database, DOMAIN)
