"""Does work stay as cheap when the outbox has ten million rows? With the plans of its queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, event, text

from mailbot.core.person import Person
from mailbot.store import deliveries, outbox
from mailbot.store.engine import Database
from tests.benchmarks.filling import hash_of, new_database, numbers
from tests.benchmarks.measuring import Figure, measure, tell

SMALL = 10_000
WAITING = 2_000  # rows of a campaign under way, in both
BATCH = 50
ME = "bench"


def figures(folder: Path, *, rows: int, rounds: int) -> Iterator[Figure]:
    """Claim, the look before sending, and the withholding of one person, at both sizes."""
    with new_database(folder, "large") as large, new_database(folder, "small") as small:
        for database, count in ((large, rows), (small, SMALL)):
            tell(f"filling an outbox of {count:,} …")
            _fill(database, count)
        for work, does in _WORKS.items():
            for line in _plans(large, does):
                tell(line)
            yield measure(
                f"{work}, {rows:,} rows in the outbox",
                lambda does=does: _often(large, does),  # type: ignore[misc]  # bound at once
                lambda does=does: _often(small, does),  # type: ignore[misc]
                baseline_is=f"the same with {SMALL:,} rows", to_reach=1.5, rounds=rounds,
            )  # fmt: skip


def _fill(database: Database, count: int) -> None:
    """What years leave: campaigns of 100,000 sent rows each, and one that is under way."""
    with database.write() as conn:
        indexes = conn.execute(text(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'outbox'"
            " AND sql IS NOT NULL"
        )).all()  # fmt: skip
        for name, _ in indexes:  # made anew at the end: sorting is quicker than ten million inserts
            conn.execute(text(f"DROP INDEX {name}"))
        conn.execute(
            text(f"""
            INSERT INTO campaigns (id, name, state, subject, text_source, created_at, send_at)
            SELECT value, 'c' || value, CASE WHEN value = 1 THEN 'sending' ELSE 'done' END,
                   's', 't', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000'
            FROM {numbers(count // 100_000 + 2)}
        """)
        )
        conn.execute(
            text(f"""
            INSERT INTO outbox (id, kind, campaign_id, address, person_hash, untagged_hash, fields,
                                priority, state, not_before, created_at, message_id, finished_at)
            SELECT value, 'campaign',
                   CASE WHEN value <= {WAITING} THEN 1 ELSE value / 100000 + 2 END,
                   value || '@example.org', {hash_of("value")}, {hash_of("value")}, '{{}}', 5,
                   CASE WHEN value <= {WAITING} THEN 'queued' ELSE 'sent' END,
                   '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000',
                   printf('<%020d@bench>', value), '2026-01-01 00:00:00.000000'
            FROM {numbers(count)}
        """)
        )
        for _, sql in indexes:
            conn.execute(text(sql))
    with database.write() as conn:
        conn.execute(text("ANALYZE"))


def _claim(conn: Connection) -> None:
    claimed = outbox.claim(conn, claimed_by=ME, lease_seconds=60, limit=BATCH, with_campaigns=True)
    assert len(claimed) == BATCH
    outbox.give_back(conn, [row.id for row in claimed], claimed_by=ME)


def _look(conn: Connection) -> None:
    deliveries.look_before_sending(conn, range(1, BATCH + 1), claimed_by=ME)


def _withhold(conn: Connection) -> None:
    for number in range(BATCH):
        nobody = f"{number:032x}"
        outbox.withhold_marketing_of(conn, Person(nobody, nobody), "opt_out")


_WORKS: dict[str, Callable[[Connection], None]] = {
    f"claim {BATCH} rows and give them back": _claim,
    f"look before sending, {BATCH} rows": _look,
    f"withhold what waits for one person, {BATCH} times": _withhold,
}


def _often(database: Database, does: Callable[[Connection], None]) -> None:
    for _ in range(10):
        with database.write() as conn:
            does(conn)


def _plans(database: Database, does: Callable[[Connection], None]) -> list[str]:
    """The plan of each different statement that `does` runs."""
    seen: dict[str, object] = {}

    def remember(_c: object, _u: object, statement: str, values: object, *_: object) -> None:
        seen.setdefault(statement, values)

    event.listen(database.engine, "before_cursor_execute", remember)
    try:
        with database.write() as conn:
            does(conn)
    finally:
        event.remove(database.engine, "before_cursor_execute", remember)
    lines = []
    with database.read() as conn:
        for statement, values in seen.items():
            if statement.startswith(("SELECT", "UPDATE", "WITH", "INSERT")):
                lines.append("  " + " ".join(statement.split())[:100])
                plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)  # type: ignore[arg-type]  # as the driver got them
                lines += [f"      {row[3]}" for row in plan]
    return lines
