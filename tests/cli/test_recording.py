"""What somebody types is one event, also where the database's answer to COMMIT is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailbot.core.consent import Kind
from mailbot.store import ledger
from mailbot.store.engine import Database
from mailbot.store.journal import Journal
from tests.cli.conftest import CONFIG, Shell
from tests.databases import Databases
from tests.people import person
from tests.servers.faulty_line import At, Cut, End, FaultyLine
from tests.servers.postgresql import PostgreSQL

pytestmark = pytest.mark.only_on("postgresql", "SQLite has no line")

ANN = "ann@example.org"


@pytest.fixture(name="line")
def line_to_the_server(postgresql: PostgreSQL) -> Iterator[FaultyLine]:
    with FaultyLine(postgresql.port) as line:
        yield line


@pytest.fixture(name="near")
def database_past_the_line(databases: Databases) -> Iterator[Database]:
    opened = Database.open(databases.migrated())
    yield opened
    opened.close()


@pytest.fixture(name="shell")
def installation(bare: Shell, near: Database, postgresql: PostgreSQL, line: FaultyLine) -> Shell:
    url = near.engine.url.render_as_string().replace(f":{postgresql.port}/", f":{line.port}/")
    stored = f'url = "{url}"\njournal = "mailbot-journal"'
    bare.write("mailbot.toml", CONFIG.replace('url = "sqlite:///mailbot.db"', stored))
    return bare


def kinds(database: Database) -> list[Kind]:
    with database.read() as conn:
        return [one.kind for one in ledger.story(conn, person(ANN))]


def lost(which: int, how: End = End.RST) -> Cut:
    """The answer to a COMMIT, without its last byte: it was committed, and nobody is told."""
    return Cut(At(b"COMMIT"), how, is_once=which == 1)


@pytest.mark.parametrize("how", [End.RST, End.EOF])
def test_an_opt_out_whose_answer_is_lost_is_there_once_and_told(
    shell: Shell, near: Database, line: FaultyLine, how: End
) -> None:
    line.be(lost(1, how))
    ended = shell("suppress", "add", ANN)
    assert line.struck == 1
    assert (ended.code, ended.out) == (0, f"{ANN} is on the list (opt_out), as event 1.\n")
    assert kinds(near) == [Kind.OPT_OUT]
    with near.read() as conn:
        assert Journal(shell.folder / "mailbot-journal").tip() == ledger.head(conn)


def test_taking_somebody_off_is_told_although_they_are_off_by_then(
    shell: Shell, near: Database, line: FaultyLine
) -> None:
    shell("suppress", "add", ANN)
    line.be(lost(1))
    ended = shell("suppress", "lift", ANN, "--note", "wants offers again")
    assert (ended.code, line.struck) == (0, 1)
    assert "Not on the list any more." in ended.out
    assert kinds(near) == [Kind.OPT_OUT, Kind.OPT_IN]


def test_an_erasure_is_one_event_and_its_numbers_are_those_of_the_first(
    shell: Shell, near: Database, line: FaultyLine
) -> None:
    shell("suppress", "add", ANN)
    line.be(lost(1))
    ended = shell("erase", ANN, "--note", "ticket 7", "--yes", "--json")
    assert (ended.code, line.struck) == (0, 1)
    assert (ended.json["event"], ended.json["evidence_deleted"]) == (2, 1)
    assert kinds(near) == [Kind.OPT_OUT, Kind.ERASED]


def test_what_never_came_to_its_commit_is_said_to_have_failed(
    shell: Shell, near: Database, line: FaultyLine
) -> None:
    """The line breaks at a statement before: nothing was recorded, and the next try does it."""
    line.be(Cut(At(b"UPDATE 1"), End.RST, is_once=True))
    ended = shell("suppress", "add", ANN)
    assert line.struck == 1
    assert ended.code == 74
    assert "Whether" not in ended.err
    assert kinds(near) == []
    assert shell("suppress", "add", ANN).code == 0
    assert kinds(near) == [Kind.OPT_OUT]


def test_where_the_database_stays_away_it_says_how_to_find_out(
    shell: Shell, near: Database, line: FaultyLine
) -> None:
    line.be(lost(2))
    ended = shell("suppress", "add", ANN)
    assert ended.code != 0
    assert "Whether it was recorded is not known." in ended.err
    assert "mailbot why ADDRESS" in ended.err
    assert kinds(near) == [Kind.OPT_OUT]
