"""The list at ten million: one person's look-up, and an audience against the whole of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, text

from mailbot.core.person import Person
from mailbot.store import campaign_figures, suppressions
from tests.benchmarks.filling import fill_list, hash_of, new_database, numbers
from tests.benchmarks.measuring import Figure, measure, tell

LOOKS = 5_000


def figures(folder: Path, *, listed: int, audience: int, rounds: int) -> Iterator[Figure]:
    """Half of the audience stands on the list. The bare table holds the same hashes as its key."""
    with new_database(folder, "big-list") as database:
        tell(f"filling a list of {listed:,} and an audience of {audience:,} …")
        with database.write() as conn:
            fill_list(conn, listed)
            _fill_audience(conn, audience, first=listed - audience // 2)
            conn.execute(text("CREATE TABLE bare (hash TEXT PRIMARY KEY) WITHOUT ROWID"))
            conn.execute(text("INSERT INTO bare SELECT person_hash FROM suppressions"))
        with database.read() as conn:
            yield _look_up(conn, listed, rounds)
            yield _anti_join(conn, listed, audience, rounds)


def _fill_audience(conn: Connection, count: int, first: int) -> None:
    conn.execute(text(
        "INSERT INTO campaigns (id, name, state, subject, text_source, created_at)"
        " VALUES (1, 'bench', 'draft', 's', 't', '2026-01-01 00:00:00.000000')"
    ))  # fmt: skip
    person = hash_of(f"(value + {first})")
    conn.execute(
        text(f"""
        INSERT INTO audience_members
            (campaign_id, line, address, person_hash, untagged_hash, fields)
        SELECT 1, value, 'a', {person}, {person}, '{{}}' FROM {numbers(count)}
    """)
    )


def _look_up(conn: Connection, listed: int, rounds: int) -> Figure:
    chosen = random.Random(4).sample(range(1, 2 * listed), LOOKS)
    asked = [conn.execute(text(f"SELECT {hash_of(str(number))}")).scalar_one() for number in chosen]
    bare = text("SELECT 1 FROM bare WHERE hash = :hash")

    def ours() -> None:
        for each in asked:
            suppressions.reasons(conn, Person(each, each))

    def plain() -> None:
        for each in asked:
            conn.execute(bare, {"hash": each}).first()

    return measure(
        f"look up {LOOKS:,} persons in a list of {listed:,}", ours, plain,
        baseline_is="SELECT by primary key of a bare table, same driver",
        to_reach=2, rounds=rounds,
    )  # fmt: skip


def _anti_join(conn: Connection, listed: int, audience: int, rounds: int) -> Figure:
    bare = text(
        "SELECT count(*) FROM audience_members m WHERE NOT EXISTS"
        " (SELECT 1 FROM bare WHERE bare.hash = m.person_hash)"
    )
    free, _ = campaign_figures.reach(conn, 1)
    assert free == conn.execute(bare).scalar_one()
    return measure(
        f"an audience of {audience:,} against a list of {listed:,}, by reason",
        lambda: campaign_figures.reach(conn, 1), lambda: conn.execute(bare).scalar_one(),
        baseline_is="NOT EXISTS against a bare table of hashes",
        to_reach=2, rounds=rounds,
    )  # fmt: skip
