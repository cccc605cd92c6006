"""Campaigns whose people a query finds in the shop's database."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable

import pytest

from mailbot.config import check_secrets, load
from mailbot.core.errors import ConfigError
from mailbot.store.engine import Database
from tests.cli.conftest import Ended, Shell

QUERY = "SELECT email,\n  name AS first_name, total\nFROM customers ORDER BY id\n"


def create(mailbot: Shell, *more: str, query: str = QUERY, setting: str = "") -> Ended:
    path = mailbot.folder / "shop.db"
    if not path.exists():
        shop = sqlite3.connect(path)
        shop.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, email, name, total)")
        shop.executemany(
            "INSERT INTO customers (email, name, total) VALUES (?, ?, ?)",
            [("ann@example.org", "An\nn", 12.5), ("nobody", "N", None), (None, None, None),
             ("ANN@example.org", "Ann", None), ("bob@example.org", "Bob", None)],
        )  # fmt: skip
        shop.commit()
        shop.close()
        setting = setting or f'url = "sqlite:///{path}"'
        mailbot.config.write_text(
            f'{mailbot.config.read_text()}\n[[audience]]\nname = "shop"\n{setting}\n'
        )
    return mailbot(
        "campaign", "create", "spring", "--subject", "New teas are in",
        "--text", mailbot.write("letter.txt", "Dear {{ first_name }},\n\n{{ total }}.\n"),
        "--audience-from", "shop", "--query", mailbot.write("q.sql", query), *more,
    )  # fmt: skip


def faulty(check: Callable[[], None]) -> set[str]:
    try:
        check()
    except ConfigError as error:
        return {fault.key for fault in error.faults}
    return set()


def test_bad_rows_are_told_by_number_and_create_nothing(mailbot: Shell) -> None:
    ended = create(mailbot)
    assert ended.code == 65
    assert "2 rows cannot be used" in ended.err
    assert "row 2: 'nobody' is not an address" in ended.err
    assert "row 3: it has no address" in ended.err


def test_the_query_and_its_hash_stay_with_the_campaign(mailbot: Shell, database: Database) -> None:
    made = create(mailbot, "--skip-bad", "--json").json
    origin = {
        "source": "shop", "query": QUERY,
        "query_sha256": hashlib.sha256(QUERY.encode()).hexdigest(),
    }  # fmt: skip
    assert made["audience_origin"] == origin
    assert (made["lines"], made["left_out_count"]) == (3, 2)
    assert made["duplicates"] == [{"line": 4, "first_line": 1}]
    assert mailbot("campaign", "audit", "spring", "--json").json["audience_origin"] == origin
    assert f"SHA-256 {origin['query_sha256']}" in " ".join(
        mailbot("campaign", "audit", "spring").out.split()
    )
    with database.read() as conn:
        lines = conn.exec_driver_sql("SELECT line FROM audience_members ORDER BY line").scalars()
        assert list(lines) == [1, 5]


def test_the_url_may_be_a_secret_in_a_file(mailbot: Shell) -> None:
    url = mailbot.folder / "shop-url"
    url.write_text(f"sqlite:///{mailbot.folder}/shop.db\n")
    url.chmod(0o600)
    assert create(mailbot, "--skip-bad", setting='url_file = "shop-url"').code == 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('url = "postgresql://reader:secret@db/shop"', "holds a password"),
        ("timeout_seconds = 5", "is missing, and so is url"),
        ('url = "sqlite:////x.db"\nurl_file = "y"', "is set, and so is url"),
    ],
)
def test_a_source_without_one_right_url_is_told(mailbot: Shell, setting: str, words: str) -> None:
    ended = create(mailbot, setting=setting)
    assert (ended.code, words in " ".join(ended.err.split())) == (78, True)
    assert "secret@" not in ended.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--audience", "people.csv"], "say who"),
        (["--encoding", "utf-8"], "say who"),
        (["--audience-from", "other"], "is called “other”"),
    ],
)
def test_what_does_not_go_together_is_told(mailbot: Shell, more: list[str], words: str) -> None:
    ended = create(mailbot, *more)
    assert ended.code in (64, 65)
    assert words in " ".join(ended.err.split())


def test_a_fault_of_the_query_names_its_line(mailbot: Shell) -> None:
    ended = create(mailbot, query="SELECT email\nFROM cutsomers\n")
    assert ended.code == 65
    assert f"{mailbot.folder}/q.sql, line 2: The database said: no such table" in ended.err


def test_a_missing_url_file_is_told_by_check_and_keeps_no_daemon_from_starting(
    mailbot: Shell,
) -> None:
    ended = create(mailbot, setting='url_file = "shop-url"')
    assert (ended.code, "shop-url does not exist" in " ".join(ended.err.split())) == (78, True)
    settings = load(mailbot.config)
    with_them = faulty(lambda: check_secrets(settings, with_audiences=True))
    assert with_them - faulty(lambda: check_secrets(settings)) == {"audience[0].url_file"}


def test_a_place_that_cannot_keep_the_rows_is_told(
    mailbot: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(mailbot.folder / "nowhere"))
    ended = create(mailbot)
    assert (ended.code, "TMPDIR" in ended.err) == (65, True)
