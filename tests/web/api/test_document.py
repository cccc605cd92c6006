"""The OpenAPI document, and whether /v1 keeps to it whatever is asked (schemathesis)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mailbot.config import load
from mailbot.core.scopes import Scope
from mailbot.store import api_keys
from mailbot.store.engine import Database
from mailbot.web.api.document import document
from tests.store.filling import campaign_under_way
from tests.web.api.conftest import Api, app_of, installed


async def test_the_document_is_told_to_whoever_asks(api: Api) -> None:
    answer = await api.client.get("/v1/openapi.json")
    assert answer.json() == document()
    assert answer.json()["openapi"].startswith("3.1")


def test_every_scope_stands_in_it() -> None:
    told = str(document()["paths"])
    assert all(f"Needs the scope {scope}." in told for scope in Scope)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    folder: Path = tmp_path_factory.mktemp("api")
    config = installed(folder)
    database = Database.open(f"sqlite:///{folder}/mailbot.db")
    with database.write() as conn:
        secret = api_keys.create(conn, name="shop", scopes=list(Scope), created_by="ann")
    campaign_under_way(database, "ann@example.org")
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app_of(load(config), database))
    schema.config.headers = {"Authorization": f"Bearer {secret}"}
    yield schema
    database.close()


OPERATIONS = [
    (method.upper(), path) for path, found in document()["paths"].items() for method in found
]


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (*operation, mode)
        for operation in OPERATIONS
        for mode in GenerationMode
        # Which takes nothing that could be wrong.
        if (*operation, mode) != ("GET", "/v1/campaigns", GenerationMode.NEGATIVE)
    ],
)
def test_whatever_is_asked_the_answer_is_one_of_the_document(
    asked: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    # Not by schemathesis' own plugin, which does not know this pytest.
    @given(case=asked[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Case[Any]) -> None:
        # That "1.0" is no address, and that no cursor of 505 was given yet, no schema can say.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()
