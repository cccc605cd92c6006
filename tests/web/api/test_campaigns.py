"""Campaigns over HTTP: states and counts, never a person."""

from __future__ import annotations

from mailbot.core.consent import Kind
from mailbot.store import consent
from tests.people import event
from tests.store.filling import campaign_under_way
from tests.web.api.conftest import Api


async def test_campaigns_are_told_in_numbers(api: Api) -> None:
    campaign_under_way(api.database, "ann@example.org", "bob@example.org", name="spring / 2027")
    (listed,) = (await api("GET", "/campaigns")).json()["campaigns"]
    assert (listed["name"], listed["state"], listed["audience"]) == ("spring / 2027", "sending", 2)
    one = (await api("GET", "/campaigns/spring%20%2F%202027")).json()
    assert one["by_state"] == {"queued": 2}
    assert "example.org" not in str(one)
    assert (await api("GET", "/campaigns/gone")).status_code == 404


async def test_no_reason_of_fewer_than_five_is_told(api: Api) -> None:
    with api.database.write() as conn:
        consent.record(conn, event(Kind.COMPLAINT, "ann@example.org"))
    campaign_under_way(api.database, "ann@example.org", "bob@example.org")
    one = (await api("GET", "/campaigns/spring")).json()
    assert "complaint" not in str(one)
