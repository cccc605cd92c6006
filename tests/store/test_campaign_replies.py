"""The relay's words about a campaign, counted on both engines."""

from __future__ import annotations

import pytest

from mailbot.core.outbox_states import State
from mailbot.store import campaign_replies
from mailbot.store.engine import Database
from tests.store.filling import campaign_under_way
from tests.store.test_campaign_audit import forge, send_all

PEOPLE = [f"p{number}@example.org" for number in range(6)]


def test_words_are_counted_of_one_state_of_one_campaign(database: Database) -> None:
    campaign_id = campaign_under_way(database, *PEOPLE)
    send_all(database)
    for who in PEOPLE[:3]:
        forge(database, who, state=State.REJECTED, last_reply=f"554 no {who}")
    forge(database, PEOPLE[3], state=State.REJECTED, last_reply=None)
    other = campaign_under_way(database, "zoe@example.org", name="winter")
    with database.read() as conn:
        found = campaign_replies.of_state(conn, campaign_id, State.REJECTED)
        assert (found.by_words, found.wordless) == ({"554 no …": 3}, 1)
        assert campaign_replies.of_state(conn, other, State.REJECTED).wordless == 0
        assert campaign_replies.bounced_later(conn, campaign_id) == 0


def test_however_many_wordings_there_are_all_messages_are_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_replies, "_MOST_WORDINGS", 1)
    campaign_id = campaign_under_way(database, *PEOPLE)
    send_all(database)
    for who, word in zip(PEOPLE, ("no", "no", "never", "spam", "full", "no"), strict=True):
        forge(database, who, state=State.REJECTED, last_reply=f"554 {word}")
    with database.read() as conn:
        found = campaign_replies.of_state(conn, campaign_id, State.REJECTED)
    assert found.by_words.total() + found.wordless == 6
    assert found.by_words["554 no"] >= 1
    assert len(found.by_words) <= 2
