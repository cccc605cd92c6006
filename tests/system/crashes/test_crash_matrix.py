"""kill -9 at each edge of the outbox and between each two steps: docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import dovecot
from tests.system.crashes import matrix as cells
from tests.system.crashes.conftest import Matrix
from tests.system.crashes.matrix import EdgeCell, LinesCell, ResendCell, StepCell
from tests.system.crashes.play import AnyCell

# All cells begin together, and the last one waits for all; what each waits for has its own limits.
pytestmark = pytest.mark.timeout(1800)

DOCUMENT = Path(__file__).parents[3] / "docs" / "reliability.md"


def name(cell: AnyCell) -> str:
    return cell.name


def test_every_edge_of_the_table_has_its_cells() -> None:
    assert cells.uncovered() == set()


def test_the_document_shows_what_is_tested() -> None:
    """python -m tests.system.crashes.matrix prints the tables."""
    written = DOCUMENT.read_text(encoding="utf-8").splitlines()
    first = written.index(next(cells.tables()))
    tables = list(cells.tables())
    assert written[first : first + len(tables)] == tables


@pytest.mark.on_both_engines
@pytest.mark.parametrize("cell", cells.edges(), ids=name)
def test_killed_at_an_edge_nobody_is_lost_or_written_to_twice(
    matrix: Matrix, engine: str, cell: EdgeCell
) -> None:
    if cell.walk.reads_mail and not dovecot.is_installed():
        pytest.skip("dovecot-imapd is not installed")
    matrix.result(engine, cell)


@pytest.mark.on_both_engines
@pytest.mark.parametrize("cell", cells.steps(), ids=name)
def test_killed_between_two_steps_nobody_is_lost_or_written_to_twice(
    matrix: Matrix, engine: str, cell: StepCell
) -> None:
    matrix.result(engine, cell)


@pytest.mark.on_both_engines
@pytest.mark.parametrize("cell", [cells.resends()], ids=name)
def test_order_status_is_resent_three_times_at_most_under_one_message_id(
    matrix: Matrix, engine: str, cell: ResendCell
) -> None:
    matrix.result(engine, cell)


@pytest.mark.on_both_engines
@pytest.mark.parametrize("cell", cells.several_lines(), ids=name)
def test_killed_in_a_round_of_three_lines_nobody_is_lost_or_written_to_twice(
    matrix: Matrix, engine: str, cell: LinesCell
) -> None:
    matrix.result(engine, cell)
