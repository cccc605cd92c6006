"""Who may ask: keys, their scopes and their end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from mailbot.core.scopes import Scope
from mailbot.store import api_keys
from mailbot.store.engine import now
from mailbot.store.tables import api_keys as rows
from tests.web.api.conftest import ORDER, Api

DOORS = [
    ("POST", "/order-status", Scope.ORDERS_WRITE),
    ("GET", "/order-status", Scope.ORDERS_READ),
    ("GET", "/order-status/o1", Scope.ORDERS_READ),
    ("POST", "/suppressions/check", Scope.SUPPRESSIONS_READ),
    ("GET", "/suppressions?since=0", Scope.SUPPRESSIONS_READ),
    ("POST", "/suppressions", Scope.SUPPRESSIONS_WRITE),
    ("GET", "/campaigns", Scope.CAMPAIGNS_READ),
    ("GET", "/campaigns/spring", Scope.CAMPAIGNS_READ),
]


@pytest.mark.parametrize(("method", "path", "scope"), DOORS)
async def test_each_door_has_its_scope_and_no_other_opens_it(
    api: Api, method: str, path: str, scope: Scope
) -> None:
    others = api.key(*(one for one in Scope if one is not scope), name="others")
    refused = await api(method, path, key=others, json=ORDER)
    assert refused.status_code == 403
    assert f"it lacks {scope}" in refused.json()["detail"]
    alone = await api(method, path, key=api.key(scope), json=ORDER)
    assert alone.status_code not in (401, 403)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer mb_wrong", "x"])
async def test_without_a_key_nothing_is_told(api: Api, header: str) -> None:
    answer = await api.client.get("/v1/campaigns", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_revoked_key_opens_nothing_from_then_on(api: Api) -> None:
    key = api.key(Scope.CAMPAIGNS_READ)
    assert (await api("GET", "/campaigns", key=key)).status_code == 200
    with api.database.write() as conn:
        api_keys.revoke(conn, "small")
    assert (await api("GET", "/campaigns", key=key)).status_code == 401


async def test_a_key_ends_at_its_time(api: Api) -> None:
    key = api.key(Scope.CAMPAIGNS_READ)
    with api.database.write() as conn:
        conn.execute(update(rows).values(expires_at=now(conn) - timedelta(seconds=1)))
    assert (await api("GET", "/campaigns", key=key)).status_code == 401


async def test_wrong_keys_are_limited_and_right_ones_never(api: Api) -> None:
    answers = [
        (await api("GET", "/campaigns", key=f"mb_{number}")).status_code for number in range(70)
    ]
    assert answers.count(429) >= 5
    assert (await api("GET", "/campaigns")).status_code == 200


async def test_no_key_is_stored_and_its_use_is_noted(api: Api) -> None:
    await api("GET", "/campaigns")
    with api.database.read() as conn:
        (key,) = api_keys.every(conn)
        (row,) = conn.execute(select(rows)).all()
    assert key.last_used_at is not None
    assert api.secret not in " ".join(map(str, row))
    assert api.secret.startswith(key.starts_with)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/gone", 404), ("GET", "/order-status/", 404), ("PUT", "/order-status", 405),
        ("DELETE", "/suppressions", 405), ("POST", "/openapi.json", 405),
    ],
)  # fmt: skip
async def test_what_there_is_not_is_a_problem_too(
    api: Api, method: str, path: str, status: int
) -> None:
    answer = await api(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status, "application/problem+json",
    )  # fmt: skip
