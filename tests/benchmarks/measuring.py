"""How a benchmark measures: mailbot and its baseline in turn, round after round, one figure."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of docs/performance.md. Seconds of each round; `to_reach` bounds the ratio.

    `ratio` is the median of mailbot's seconds over the baseline's: 1.0 is as fast, below is faster.
    """

    work: str
    mailbot: tuple[float, ...]
    baseline: tuple[float, ...]
    baseline_is: str
    to_reach: float

    @property
    def ratio(self) -> float:
        return statistics.median(self.mailbot) / statistics.median(self.baseline)

    @property
    def is_reached(self) -> bool:
        return self.ratio <= self.to_reach


def measure(
    work: str,
    mailbot: Callable[[], object],
    baseline: Callable[[], object],
    *,
    baseline_is: str,
    to_reach: float,
    rounds: int,
) -> Figure:
    """Run both in turn, so that a busy minute of the machine falls on both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for one, taken in zip((mailbot, baseline), seconds, strict=True):
            began = time.perf_counter()
            one()
            taken.append(time.perf_counter() - began)
    return Figure(work, tuple(seconds[0]), tuple(seconds[1]), baseline_is, to_reach)


def report(figures: Iterable[Figure]) -> None:
    """One JSON object a line on stdout as each comes, then a table on stderr."""
    table = Table("Work", "mailbot", "Baseline", "Ratio", "To reach", "", box=None)
    for figure in figures:
        print(  # noqa: T201  # this is the result
            json.dumps({
                "work": figure.work,
                "mailbot": [round(each, 6) for each in figure.mailbot],
                "baseline": [round(each, 6) for each in figure.baseline],
                "baseline_is": figure.baseline_is,
                "ratio": round(figure.ratio, 3),
                "to_reach": figure.to_reach,
                "rounds": len(figure.mailbot),
            }),
            flush=True,
        )  # fmt: skip
        table.add_row(
            figure.work, _seconds(figure.mailbot), _seconds(figure.baseline),
            f"{figure.ratio:.2f}", f"≤ {figure.to_reach:g}",
            "reached" if figure.is_reached else "short",
        )  # fmt: skip
    Console(stderr=True).print(table)


def tell(words: str) -> None:
    """Progress, and query plans: on stderr, so that stdout stays JSON lines."""
    print(words, file=sys.stderr, flush=True)  # noqa: T201  # this is for who waits


def _seconds(rounds: tuple[float, ...]) -> str:
    middle = statistics.median(rounds)
    return f"{_told(middle)} (± {(max(rounds) - min(rounds)) / 2 / middle:.0%})"


def _told(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"
