"""How far a long command is: a bar on a terminal, nothing to a pipe; and what Ctrl-C leaves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mailbot.cli.showing import console

_WORDS: Final = {"read": "reading", "add": "adding"}


def size_of(path: Path) -> int:
    """Its bytes; 0 where that cannot be known (opening it will say why)."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


@contextmanager
def shown_progress(size: int) -> Iterator[Callable[[str, int], None]]:
    """Takes ("read", bytes so far), then ("add", persons so far). Ctrl-C is said in words."""
    added = 0
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
        console=console(to_errors=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    tasks = {"read": bar.add_task(_WORDS["read"], total=size or None, told="")}

    def tell(what: str, done: int) -> None:
        nonlocal added
        if what == "add":
            added = done
        if what not in tasks:
            tasks[what] = bar.add_task(_WORDS[what], total=None, told="")
        told = f"{done:,} persons" if what == "add" else f"{done >> 20:,} MB"
        bar.update(tasks[what], completed=done, told=told)

    with bar:
        try:
            yield tell
        except KeyboardInterrupt:
            bar.stop()
            far = f"after {added:,} persons" if added else "before anything was written"
            sys.stderr.write(f"\nmailbot: ended {far}. The same command goes on from there.\n")
            raise
