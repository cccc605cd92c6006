"""docs/api.md, run as it is printed, against the process that it is about."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbot.core.scopes import Scope
from mailbot.store import api_keys
from mailbot.store.engine import Database
from tests.web.api.conftest import installed
from tests.web.api.running import running

MANUAL = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
PRINTED = "http://127.0.0.1:8026"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a program that asks."""
    folder = tmp_path_factory.mktemp("api")
    config = installed(folder)
    database = Database.open(f"sqlite:///{folder}/mailbot.db")
    with database.write() as conn:
        key = api_keys.create(conn, name="shop", scopes=list(Scope), created_by="ann")
    database.close()
    with running(config) as (_, port):
        yield {**os.environ, "MAILBOT_KEY": key, "MAILBOT_URL": f"http://127.0.0.1:{port}"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", MANUAL)


def run(*command: str, served: dict[str, str], given: str = "") -> str:
    done = subprocess.run(
        command, input=given, env=served, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shell(text: str, served: dict[str, str]) -> str:
    return run("bash", "-c", text.replace(PRINTED, served["MAILBOT_URL"]), served=served)


def test_the_python_of_the_manual_hands_over_once(served: dict[str, str]) -> None:
    (program,) = blocks("python")
    assert run(sys.executable, "-", served=served, given=program) == "queued\n"
    assert run(sys.executable, "-", served=served, given=program) == "known\n"


def test_each_curl_of_the_manual_gets_the_answer_that_is_meant(served: dict[str, str]) -> None:
    hand_over, poll, check = blocks("sh")
    assert json.loads(shell(hand_over, served))["became"] == "queued"
    assert json.loads(shell(hand_over, served))["became"] == "known"
    assert json.loads(shell(poll, served)) == {"changes": [], "cursor": 0, "has_more": False}
    (printed,) = blocks("json")
    assert json.loads(shell(check, served)) == json.loads(printed)


def test_every_scope_and_every_door_stands_in_the_manual() -> None:
    for scope in Scope:
        assert f"| `{scope}` |" in MANUAL
