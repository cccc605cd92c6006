"""An import at size: a plain list of addresses, against the same rows into a bare table, sorted.

`python -m tests.benchmarks.importing --rows 10000000` measures this alone.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mailbot.core.person import PersonKey
from mailbot.lists.importing import Imported, Order, import_list
from mailbot.lists.rows import Wanted
from tests.benchmarks.filling import new_database
from tests.benchmarks.measuring import Figure, measure, report, tell

KEY: Final = PersonKey(bytes(range(32)))
_TAKEN_ONCE: Final = 5  # what resets the peak in /proc/self/clear_refs


def figures(folder: Path, *, rows: int, rounds: int) -> Iterator[Figure]:
    """Each round fills a new database and a new bare table from the same file."""
    file = folder / "addresses.csv"
    tell(f"writing a file of {rows:,} addresses …")
    with file.open("w") as out:
        out.write("email\n")
        # A step of Lehmer's generator: spread like real names, none twice.
        out.writelines(f"u{n * 48271 % 2147483647}@example.org\n" for n in range(1, rows + 1))

    def ours() -> None:
        _forget_peak()
        imported = _import(folder, file)
        tell(f"added {imported.counts.added:,}, with {_peak() >> 10:,} MB at most")
        assert imported.counts.added == rows

    def bare() -> None:
        assert _load(folder / "bare.db", file) == rows

    yield measure(
        f"import {rows:,} suppressions",
        ours, bare,
        baseline_is="read, hash, sort in memory, executemany in one transaction; the same columns",
        to_reach=2, rounds=rounds,
    )  # fmt: skip
    file.unlink()


class _NoBadLine:
    def add(self, number: int, wrong: str, text: str) -> None:
        raise AssertionError((number, wrong, text))


def _import(folder: Path, file: Path) -> Imported:
    order = Order(file, Wanted(), by="bench", policy_version="1")
    with new_database(folder, "import") as database:
        return import_list(
            database, KEY, order, sort_in=folder, bad_lines=_NoBadLine(),
            progress=lambda _what, _done: None,
        )  # fmt: skip


def _load(path: Path, file: Path) -> int:
    """The plainest fast way, without a ledger, duplicates, bad lines or a second writer."""
    hash_of = KEY.hasher()
    with file.open() as lines:
        next(lines)
        rows = [(hash_of(line.rstrip().lower()), line.rstrip()) for line in lines]
    rows.sort()
    conn = sqlite3.connect(path)
    conn.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE bare (hash TEXT NOT NULL, reason TEXT NOT NULL, untagged TEXT NOT NULL,"
        " since_at TEXT NOT NULL, sequence INTEGER NOT NULL, address TEXT,"
        " PRIMARY KEY (hash, reason)); CREATE INDEX by_sequence ON bare (sequence);"
    )
    conn.executemany(
        "INSERT INTO bare VALUES (?, 'imported', ?, '2026-01-01 00:00:00.000000', 1, ?)",
        ((each, each, address) for each, address in rows),
    )
    conn.commit()
    count: int = conn.execute("SELECT count(*) FROM bare").fetchone()[0]
    conn.close()
    for end in ("", "-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    return count


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text(str(_TAKEN_ONCE))


def _peak() -> int:
    """The most memory since then, in KB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailbot-bench-") as folder:
        report(figures(Path(folder), rows=chosen.rows, rounds=chosen.rounds))


if __name__ == "__main__":
    main()
