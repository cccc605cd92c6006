"""`make bench`: every benchmark, one JSON object a line, and a table at the end.

`QUICK=1` measures the same at a hundredth of the size, in under three minutes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import (
    big_list,
    expanding,
    growing_outbox,
    importing,
    overtaking,
    public_page,
    sending,
    two_daemons,
)
from tests.benchmarks.measuring import Figure, report


def _all(folder: Path, *, is_quick: bool) -> Iterator[Figure]:
    million = 10_000 if is_quick else 1_000_000
    rounds = 3 if is_quick else 5
    yield from big_list.figures(folder, listed=10 * million, audience=million, rounds=rounds)
    yield from importing.figures(folder, rows=million, rounds=3)
    yield from expanding.figures(folder, members=million, rounds=3)
    yield from overtaking.figures(folder, offers=million // 10, rounds=rounds)
    yield from sending.figures(folder, messages=5_000 if is_quick else 20_000, rounds=rounds)
    yield from two_daemons.figures(folder, messages=600, rounds=3)
    yield from public_page.figures(
        folder, presses=2_000 if is_quick else 20_000, seconds=10 if is_quick else 60, rounds=3
    )
    yield from growing_outbox.figures(folder, rows=10 * million, rounds=rounds)


def main() -> None:
    """Measure in a temporary folder, which takes some ten gigabytes."""
    with tempfile.TemporaryDirectory(prefix="mailbot-bench-") as folder:
        report(_all(Path(folder), is_quick=bool(os.environ.get("QUICK"))))


if __name__ == "__main__":
    main()
