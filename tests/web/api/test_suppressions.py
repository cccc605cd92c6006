"""The list over HTTP: asked, added to, and its changes taken."""

from __future__ import annotations

from sqlalchemy import select

from mailbot.core.consent import Kind
from mailbot.store import consent, ledger
from mailbot.store.tables import consent_events, consent_evidence
from tests.people import event
from tests.web.api.conftest import Api

ANN = {"address": "Ann+tea@example.org"}


async def test_a_person_is_asked_about_in_the_body(api: Api) -> None:
    assert (await api("POST", "/suppressions/check", json=ANN)).json() == {
        "may_get_offers": True, "may_get_order_status": True, "reasons": []
    }  # fmt: skip
    with api.database.write() as conn:
        consent.record(conn, event(Kind.UNDELIVERABLE, "ann@example.org"))
    assert (await api("POST", "/suppressions/check", json=ANN)).json() == {
        "may_get_offers": False, "may_get_order_status": False, "reasons": ["undeliverable"]
    }  # fmt: skip


async def test_who_is_added_is_on_the_list_by_the_name_of_the_key(api: Api) -> None:
    added = await api("POST", "/suppressions", json={**ANN, "note": "by phone"})
    assert added.status_code == 201
    assert added.json() == {"event": 1, "reasons": ["opt_out"], "offers_withheld": 0}
    with api.database.read() as conn:
        evidence = conn.execute(select(consent_evidence.c.evidence)).scalar_one()
        source = conn.execute(select(consent_events.c.source)).scalar_one()
    assert (evidence, source) == ({"by": "API key shop", "note": "by phone"}, "api")


async def test_under_one_name_it_is_added_once(api: Api) -> None:
    for _ in range(3):
        headers = {"Idempotency-Key": "call-4711"}
        answer = await api("POST", "/suppressions", json=ANN, headers=headers)
        assert answer.json()["event"] == 1
    with api.database.read() as conn:
        assert ledger.head_sequence(conn) == 1


async def test_an_address_that_is_none_is_told(api: Api) -> None:
    answer = await api("POST", "/suppressions", json={"address": "nobody"})
    assert answer.status_code == 422
    assert "nobody" in answer.json()["detail"]


async def test_changes_are_taken_page_by_page_and_the_ledger_knows_by_whom(api: Api) -> None:
    people = [f"p{number}@example.org" for number in range(5)]
    for one in people:
        await api("POST", "/suppressions", json={"address": one})
    since, told = 0, []
    while True:
        page = (await api("GET", "/suppressions", params={"since": since, "limit": 2})).json()
        told += [change["address"] for change in page["changes"]]
        since = page["next_since"]
        if page["is_all"]:
            break
    assert told == people
    with api.database.read() as conn:
        given = conn.execute(
            select(consent_events.c.batch_count, consent_evidence.c.evidence)
            .join_from(consent_events, consent_evidence)
            .where(consent_events.c.kind == Kind.EXPORTED)
        ).all()
    assert sum(row.batch_count for row in given) == len(people)
    assert {row.evidence["by"] for row in given} == {"API key shop"}
    nothing_new = (await api("GET", "/suppressions", params={"since": since})).json()
    assert nothing_new["changes"] == []


async def test_a_number_beyond_the_ledger_asks_whether_a_backup_was_restored(api: Api) -> None:
    answer = await api("GET", "/suppressions", params={"since": 7})
    assert answer.status_code == 422
    assert "Was a backup restored?" in answer.json()["next_step"]
    for wrong in ("", "-1", "x", "1e3", "9" * 30):
        answer = await api("GET", "/suppressions", params={"since": wrong})
        assert answer.status_code == 400, wrong
