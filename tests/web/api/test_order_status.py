"""Order status over HTTP: handed over once, and what became of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import func, select

from mailbot.core.consent import Kind
from mailbot.core.errors import StoreUnavailable
from mailbot.store import consent
from mailbot.store.tables import outbox
from tests.people import event
from tests.web.api.conftest import ORDER, Api


def rows(api: Api) -> int:
    with api.database.read() as conn:
        return int(conn.execute(select(func.count()).select_from(outbox)).scalar_one())


async def test_a_message_is_stored_before_it_is_answered(api: Api) -> None:
    answer = await api.hands_over("order-1001-shipped")
    assert answer.status_code == 201
    assert answer.json() == {"idempotency_key": "order-1001-shipped", "became": "queued"}
    assert answer.headers["location"] == "/v1/order-status/order-1001-shipped"
    assert rows(api) == 1


async def test_the_same_key_with_the_same_content_changes_nothing(api: Api) -> None:
    await api.hands_over()
    again = await api("POST", "/order-status", json=ORDER, headers={"Idempotency-Key": '"o1"'})
    assert (again.status_code, again.json()["became"]) == (200, "known")
    assert rows(api) == 1


async def test_the_same_key_with_other_content_is_refused(api: Api) -> None:
    await api.hands_over()
    other = await api.hands_over(to="bob@example.org")
    assert other.status_code == 422
    assert other.json()["type"] == "urn:mailbot:problem:idempotency-key-reused"
    assert rows(api) == 1


async def test_an_opt_out_does_not_hold_it_up(api: Api) -> None:
    with api.database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ORDER["to"]))  # type: ignore[arg-type]
    assert (await api.hands_over()).status_code == 201


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"type": "sale"}, "sale"),
        ({"to": "nobody"}, "“to” is no address"),
        ({"fields": {}}, "needs the field “order_number”"),
        ({"fields": {"order_number": "a\u0000b"}}, "NUL"),
        ({"fields": {"order_number": "50 % off, buy now"}}, "offer"),
    ],
)
async def test_what_could_not_be_sent_is_told_now(
    api: Api, changed: dict[str, Any], told: str
) -> None:
    answer = await api.hands_over(**changed)
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"] + answer.json().get("next_step", "")
    assert answer.headers["content-type"] == "application/problem+json"
    assert rows(api) == 0


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "a\tb"])
async def test_a_message_needs_a_name_of_its_own(api: Api, key: str) -> None:
    answer = await api("POST", "/order-status", json=ORDER, headers={"Idempotency-Key": key})
    assert (answer.status_code, rows(api)) == (400, 0)
    assert "Idempotency-Key" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "line 1, column 1"),
        (b'{"type": "shipped",\n "to" }', 400, "line 2, column 7"),
        (b"\xff", 400, "Byte 1 is not UTF-8"),
        (b"[" * 100_000, 400, "no mail can show"),
        (b'{"type": NaN}', 400, "no mail can show"),
        (b"1" * 10_000, 400, "no mail can show"),
        (b"[]", 422, "not as the document says"),
        (json.dumps({**ORDER, "to": 7, "bcc": "x"}).encode(), 422, "not as the document says"),
        (b" " * 300_000, 413, "at most 262,144 bytes"),
    ],
    ids=["empty", "cut", "bytes", "deep", "nan", "number", "list", "wrong", "large"],
)
async def test_what_is_no_message_is_told_by_place(
    api: Api, body: bytes, status: int, told: str
) -> None:
    answer = await api(
        "POST", "/order-status", content=body,
        headers={"Idempotency-Key": "o1", "Content-Type": "application/json"},
    )  # fmt: skip
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.text
    if body.startswith(b"{") and status == 422:
        assert {fault["where"] for fault in answer.json()["errors"]} == {"to", "bcc"}
    assert rows(api) == 0


async def test_a_form_is_no_json(api: Api) -> None:
    answer = await api("POST", "/order-status", data=ORDER, headers={"Idempotency-Key": "o1"})
    assert answer.status_code == 415


async def test_what_became_of_messages_is_told_page_by_page(api: Api) -> None:
    await api.hands_over("o1")
    await api.hands_over("o2", to="bob@example.org")
    with api.database.write() as conn:
        conn.execute(outbox.update().values(state="withheld", withheld_reason="undeliverable"))
    first = (await api("GET", "/order-status", params={"limit": 1})).json()
    assert first["has_more"] is True
    rest = (await api("GET", "/order-status", params={"after": first["cursor"]})).json()
    keys = [change["idempotency_key"] for change in first["changes"] + rest["changes"]]
    assert keys == ["o1", "o2"]
    assert rest["changes"][0]["reason"] == "undeliverable"
    assert rest["has_more"] is False
    beyond = await api("GET", "/order-status", params={"after": 99})
    assert beyond.status_code == 422
    assert "never gave the cursor 99" in beyond.json()["detail"]


async def test_one_message_is_told_as_it_stands(api: Api) -> None:
    await api.hands_over("a/b c")
    found = await api("GET", "/order-status/a%2Fb%20c")
    assert found.json() == {"idempotency_key": "a/b c", "type": "shipped", "state": "queued"}
    assert (await api("GET", "/order-status/gone")).status_code == 404


async def test_a_database_that_is_away_asks_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("the disk is full; nothing was written.")

    monkeypatch.setattr(api.database, "commit", away)
    answer = await api.hands_over()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "under the same Idempotency-Key" in answer.json()["detail"]
