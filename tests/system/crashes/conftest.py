"""The crashes run side by side: each one waits most of its time for leases to run out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from tests.servers import dovecot
from tests.servers.postgresql import PostgreSQL
from tests.system.crashes.furnished import Template, furnish
from tests.system.crashes.matrix import Cell, EdgeCell
from tests.system.crashes.play import AnyCell, play

AT_ONCE = 24


class Matrix:
    """Plays every cell that was asked for, of one engine after the other, many at once."""

    def __init__(
        self,
        wanted: list[tuple[str, AnyCell]],
        furnished: Callable[[str], Template],
        mail: dovecot.Dovecot | None,
        folder: Path,
    ) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="crash")
        self._played: dict[tuple[str, str], Future[None]] = {
            (engine, cell.name): self._pool.submit(
                play, cell, furnished(engine), folder / f"{engine}-{cell.name}",
                mail if isinstance(cell, EdgeCell) and cell.walk.reads_mail else None,
            )
            # What takes longest begins first: an uncertain order waits for a late answer.
            for engine, cell in sorted(wanted, key=lambda one: -_length(one[1]))
        }  # fmt: skip

    def result(self, engine: str, cell: AnyCell) -> None:
        """Wait for this one; raises what it raised."""
        self._played[engine, cell.name].result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _length(cell: AnyCell) -> int:
    return cell.end.copies if isinstance(cell, Cell) else 0


def _wanted(request: pytest.FixtureRequest) -> list[tuple[str, AnyCell]]:
    return [
        (str(item.callspec.params["engine"]), cast("AnyCell", item.callspec.params["cell"]))
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path.parent == Path(__file__).parent
        and "cell" in getattr(getattr(item, "callspec", None), "params", {})
    ]


@pytest.fixture(scope="session")
def mail() -> Iterator[dovecot.Dovecot | None]:
    """A mail server, for the cells in which a delivery report comes; None where there is none."""
    if not dovecot.is_installed():
        yield None
        return
    with dovecot.Dovecot() as running:
        yield running


@pytest.fixture(scope="session")
def matrix(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_file: Path,
    mail: dovecot.Dovecot | None,
) -> Iterator[Matrix]:
    made: dict[str, Template] = {}

    def furnished(engine: str) -> Template:
        if engine not in made:
            server: PostgreSQL | None = None
            if engine == "postgresql":
                server = request.getfixturevalue("postgresql")
            folder = tmp_path_factory.mktemp(f"furnished-{engine}")
            made[engine] = furnish(folder, migrated_file, server)
        return made[engine]

    running = Matrix(_wanted(request), furnished, mail, tmp_path_factory.mktemp("crashes"))
    yield running
    running.close()
