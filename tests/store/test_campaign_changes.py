"""Of two people who change one campaign at once one wins; who did what, and when, is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from mailbot.core.errors import RefusedError
from mailbot.store import campaign_changes, campaigns
from mailbot.store.engine import Database, now
from mailbot.store.tables import CampaignState
from tests.store.filling import campaign_under_way

Change = Callable[[Connection, str], object]
CHANGES: dict[str, Change] = {
    "pause": lambda conn, who: campaigns.pause(conn, "spring", f"asked by {who}", by=who),
    "resume": lambda conn, who: campaigns.resume(conn, "spring", by=who),
    "cancel": lambda conn, who: campaigns.cancel(conn, "spring", f"asked by {who}", by=who),
}
PEOPLE = ("ann", "bob", "cleo")


def all_at_once(database: Database, change: Change) -> dict[str, str]:
    """Everybody does it at the same time; returns what who did not win was told."""
    refused: dict[str, str] = {}
    barrier = threading.Barrier(len(PEOPLE))

    def act(who: str) -> None:
        barrier.wait()
        try:
            with database.write() as conn:
                change(conn, who)
        except RefusedError as error:
            refused[who] = str(error)

    threads = [threading.Thread(target=act, args=(who,)) for who in PEOPLE]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return refused


@pytest.mark.parametrize(("verb", "became"), [
    ("pause", "paused"), ("resume", "sending"), ("cancel", "cancelled")
])  # fmt: skip
def test_one_wins_and_the_others_are_told_who_and_when(
    database: Database, verb: str, became: str
) -> None:
    campaign_id = campaign_under_way(database, "ann@example.org", "bob@example.org")
    if verb == "resume":
        with database.write() as conn:
            campaigns.pause(conn, "spring", "wrong price", by="dora")
    refused = all_at_once(database, CHANGES[verb])
    assert len(refused) == 2
    [winner] = set(PEOPLE) - set(refused)
    with database.read() as conn:
        last = campaign_changes.last(conn, campaign_id)
    assert last is not None
    assert (last.by, last.state) == (winner, became)
    for told in refused.values():
        assert f"is {became}" in told
        assert f"{winner} did that at {last.at:%Y-%m-%d %H:%M:%S} UTC" in told


def test_daemons_that_start_one_campaign_at_once_start_it_once(database: Database) -> None:
    with database.write() as conn:
        campaigns.create(conn, name="spring", subject="s", text_source="t", html_source=None)
        campaigns.finish_loading(conn, "spring", by="ann")
        campaigns.schedule(conn, "spring", now(conn), by="ann")
    started: list[object] = []

    def start(conn: Connection, _: str) -> None:
        started.extend(campaigns.start_due(conn))

    all_at_once(database, start)
    assert len(started) == 1
    with database.read() as conn:
        changes = campaign_changes.of_campaign(conn, 1)
    assert [(one.by, one.state) for one in changes] == [
        ("ann", CampaignState.DRAFT),
        ("ann", CampaignState.SCHEDULED),
        ("mailbot", CampaignState.SENDING),
    ]


def test_a_change_that_is_rolled_back_leaves_no_trace(database: Database) -> None:
    campaign_id = campaign_under_way(database, "ann@example.org")
    with pytest.raises(ValueError, match="power"), database.write() as conn:
        campaigns.pause(conn, "spring", "", by="ann")
        raise ValueError("power cut")
    with database.read() as conn:
        last = campaign_changes.last(conn, campaign_id)
    assert last is not None
    assert last.state is CampaignState.SENDING


def test_why_is_kept_beside_who(database: Database) -> None:
    campaign_id = campaign_under_way(database, "ann@example.org")
    with database.write() as conn:
        campaigns.pause(conn, "spring", "out of stock", by="x" * 300)
    with database.read() as conn:
        last = campaign_changes.last(conn, campaign_id)
    assert last is not None
    assert (last.because, len(last.by)) == ("out of stock", 100)
