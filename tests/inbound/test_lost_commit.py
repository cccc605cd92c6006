"""Intake whose line to the database breaks right after a COMMIT was sent, whichever one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.consent import Reason
from mailbot.core.errors import StoreUnavailable
from mailbot.store import proof
from mailbot.store.engine import Database
from tests.databases import Databases
from tests.inbound.desk import Desk
from tests.inbound.letters import letter
from tests.servers.dovecot import Dovecot
from tests.servers.faulty_line import At, Cut, End, FaultyLine
from tests.servers.postgresql import PostgreSQL

pytestmark = pytest.mark.only_on("postgresql", "SQLite has no line")

# COMMIT's answer, without its last byte: the server has committed, and nobody is told.
LOST_COMMIT = Cut(At(b"COMMIT"), End.RST, is_once=True)
# Of one mail: the brake, event and list and answer, withholding, the watermark, the lease. Where
# fewer COMMITs than these come, the last ones are never lost, and the mail is heard at once.
COMMITS = range(1, 7)


@pytest.fixture(name="line")
def line_to_the_server(postgresql: PostgreSQL) -> Iterator[FaultyLine]:
    with FaultyLine(postgresql.port) as line:
        yield line


@pytest.fixture(name="far")
def database_behind_the_line(
    databases: Databases, postgresql: PostgreSQL, line: FaultyLine
) -> Iterator[Database]:
    opened = Database.open(databases.migrated().replace(f":{postgresql.port}/", f":{line.port}/"))
    yield opened
    opened.close()


def test_whichever_answer_is_lost_each_mail_is_heard_once(
    far: Database, line: FaultyLine, shared_server: Dovecot, user: str, settings: MailboxSettings
) -> None:
    desk = Desk(shared_server, user, settings, far)
    desk.start()
    losses = 0
    for number in COMMITS:
        who = f"ann{number}@example.net"
        uid = desk.arrive(letter("unsubscribe", who))
        lose_commit(far, line, number)
        try:
            desk.hear()
        except StoreUnavailable:
            losses += 1
            assert line.struck == 1
            desk.hear()
        line.heal()
        assert desk.reasons(who) == {Reason.OPT_OUT}
        assert (len(desk.events(who)), desk.answers(who), desk.last_uid()) == (1, 1, uid)
    assert losses >= 3
    assert desk.ledger_length() == len(COMMITS)
    with far.read() as conn:
        assert proof.prove(conn).fault is None


def lose_commit(far: Database, line: FaultyLine, number: int) -> None:
    """Of the writes from now on, lose the answer to the `number`th."""
    left = number
    real = type(far).write

    def write(**how: bool) -> object:
        nonlocal left
        left -= 1
        if left == 0:
            line.be(LOST_COMMIT)
        return real(far, **how)

    far.write = write  # type: ignore[assignment,method-assign]
