"""The shop's own program hands order status over, and learns what became of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from mailbot.core.errors import ConfigError, SchemaError, TemplateError
from mailbot.orders import Handed, InputError, KeyReusedError, Orders
from mailbot.store import schema
from mailbot.store.engine import Database
from mailbot.store.tables import outbox
from tests.cli.conftest import CONFIG
from tests.databases import Databases

ROOT = Path(__file__).parent.parent
SHIPPED = {
    "type": "shipped", "to": "ann@example.org", "idempotency_key": "1001-shipped",
    "fields": {"order_number": "1001"},
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, databases: Databases) -> Path:
    """A settings file with its keys, for a database with the newest schema."""
    return installed(tmp_path, databases.migrated())


def installed(folder: Path, url: str) -> Path:
    secrets = {"person-key": bytes(range(32)).hex(), "token-key-1": bytes(range(1, 33)).hex()}
    for name, secret in {**secrets, "imap-password": "s3cret"}.items():
        (folder / name).write_text(secret + "\n")
        (folder / name).chmod(0o600)
    (folder / "mailbot.toml").write_text(CONFIG.replace("sqlite:///mailbot.db", url))
    return folder / "mailbot.toml"


@pytest.fixture
def orders(settings: Path) -> Iterator[Orders]:
    with Orders(settings) as opened:
        yield opened


def count(orders: Orders) -> int:
    with orders._database.read() as conn:
        return conn.execute(select(func.count()).select_from(outbox)).scalar_one()


@pytest.mark.on_both_engines
class TestOnBothEngines:
    def test_a_message_is_stored_when_the_call_returns_and_known_the_second_time(
        self, orders: Orders, settings: Path
    ) -> None:
        assert orders.hand_over(**SHIPPED) is Handed.QUEUED  # type: ignore[arg-type]  # by name
        with Orders(settings) as another:
            assert count(another) == 1
            assert another.hand_over_many([SHIPPED]) == [Handed.KNOWN]
            assert count(another) == 1

    def test_a_key_with_other_content_is_refused_and_nothing_beside_it_is_stored(
        self, orders: Orders
    ) -> None:
        orders.hand_over_many([SHIPPED])
        others = [{**SHIPPED, "idempotency_key": "new"}, {**SHIPPED, "to": "bob@example.org"}]
        with pytest.raises(KeyReusedError, match=r"1001-shipped.*other content"):
            orders.hand_over_many(others)
        assert count(orders) == 1

    def test_threads_that_hand_the_same_messages_over_at_once_store_each_once(
        self, orders: Orders
    ) -> None:
        many = [{**SHIPPED, "idempotency_key": f"k{number}"} for number in range(40)]
        answers: list[list[Handed]] = []
        begin = threading.Barrier(6)

        def hand_over(turn: int) -> None:
            mine = many if turn % 2 else list(reversed(many))
            begin.wait(20)
            answers.append(orders.hand_over_many(mine))

        threads = [threading.Thread(target=hand_over, args=(turn,)) for turn in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
        assert len(answers) == 6
        flat = [answer for some in answers for answer in some]
        assert (flat.count(Handed.QUEUED), flat.count(Handed.KNOWN)) == (40, 200)
        assert count(orders) == 40

    def test_what_became_of_it_is_told_from_the_cursor_on(self, orders: Orders) -> None:
        orders.hand_over_many([SHIPPED])
        assert orders.report().changes == ()
        with orders._database.write() as conn:
            conn.execute(text("UPDATE outbox SET state = 'sent'"))
        told = orders.report()
        assert [(one.idempotency_key, one.state) for one in told.changes] == [
            ("1001-shipped", "sent")
        ]
        assert orders.report(after=told.cursor).changes == ()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown type": ({"type": "offer"}, "is no order-status type"),
    "no address": ({"to": "ann"}, "is no address"),
    "a missing field": ({"fields": {}}, "order_number"),
    "a value that is no JSON": ({"fields": {"order_number": b"7"}}, "JSON has not"),
    "a key too long": ({"idempotency_key": "k" * 201}, "200 characters"),
    "a line break in the key": ({"idempotency_key": "a\nb"}, "control character"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_one_wrong_message_is_named_and_none_is_stored(orders: Orders, wrong: str) -> None:
    changes, words = WRONG[wrong]
    with pytest.raises(InputError, match=words) as told:
        orders.hand_over_many([SHIPPED, {**SHIPPED, "idempotency_key": "2", **changes}])
    assert "message 2" in str(told.value)
    assert count(orders) == 0


def test_reports_of_senseless_size_or_cursor_are_refused(orders: Orders) -> None:
    for after, limit in ((0, 0), (0, 10_001), (-1, 10), (1, 10)):
        with pytest.raises(InputError):
            orders.report(after, limit)


def test_what_is_wrong_with_the_installation_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Orders(tmp_path / "nowhere.toml")
    config = installed(tmp_path, "sqlite:///mailbot.db")
    with pytest.raises(SchemaError, match="mailbot db upgrade"):
        Orders(config)
    schema.upgrade(f"sqlite:///{tmp_path}/mailbot.db")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "engraved.txt").write_text("no subject\n")
    with config.open("a") as file:
        file.write(f'templates_dir = "{tmp_path}/own"\n')
    with pytest.raises(TemplateError, match=r"own/engraved\.txt, line 1"):
        Orders(config)


def test_the_example_in_the_readme_does_what_it_says(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert '"/etc/mailbot/mailbot.toml"' in example
    exec(example.replace("/etc/mailbot/mailbot.toml", str(settings)), {})  # noqa: S102  # ours
    database = Database.open(_url(settings))
    with database.read() as conn:
        keys = conn.execute(select(outbox.c.idempotency_key)).scalars().all()
    database.close()
    assert keys == ["1001-shipped"]


def _url(settings: Path) -> str:
    from mailbot.config import load

    return load(settings).store.url
