"""config/mailbot.toml is the manual: it loads as it is, and tells every setting truly."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mailbot.config import Settings, check_secrets, load

MANUAL = Path(__file__).parents[2] / "config" / "mailbot.toml"
SECRETS = ("imap-password", "relay-password", "person-key", "token-key-1")


def _tables() -> dict[str, type[BaseModel]]:
    models: dict[str, type[BaseModel]] = {}
    for name, field in Settings.model_fields.items():
        annotation: Any = field.annotation
        inner = annotation if isinstance(annotation, type) else get_args(annotation)[0]
        models[field.alias or name] = inner
    return models


def _paragraphs() -> dict[tuple[str, str], tuple[str, str]]:
    """(table, setting) → the comment above it, and its line."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    table, comment = "", ""
    for line in MANUAL.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"#?\[\[?(\w+)\]\]?", line):
            table = header[1]
        elif line.startswith("# "):
            comment += line[1:]
        elif setting := re.match(r"#?(\w+) = ", line):
            assert (table, setting[1]) not in found, f"{table}.{setting[1]} stands twice"
            found[table, setting[1]] = comment, line
        if not line.startswith("# "):
            comment = ""
    return found


SETTINGS = [
    (t, name, f) for t, model in _tables().items() for name, f in model.model_fields.items()
]


def test_the_manual_loads_as_it_is(tmp_path: Path) -> None:
    shutil.copy(MANUAL, tmp_path)
    for name in SECRETS:
        (tmp_path / name).write_text("5e" * 32)
        (tmp_path / name).chmod(0o600)
    settings = load(tmp_path / MANUAL.name)
    check_secrets(settings)
    assert settings.shop.postal_address.startswith("Hollow & Finch Teas\n12 Quay Street")


def test_the_manual_tells_every_setting_and_no_other() -> None:
    assert set(_paragraphs()) == {(table, name) for table, name, _ in SETTINGS}


@pytest.mark.parametrize(
    ("table", "name", "field"), SETTINGS, ids=[f"{table}.{name}" for table, name, _ in SETTINGS]
)
def test_a_setting_is_told_with_its_true_default(table: str, name: str, field: FieldInfo) -> None:
    comment, line = _paragraphs()[table, name]
    if field.is_required():
        assert " Required." in comment
        # What may be left out as a whole stands there as an example.
        assert line.startswith("#") is (table in ("audience", "dkim"))
    elif field.default is None:
        assert re.search(r" Default: none \(.+?\)\.", comment)
    else:
        default = json.dumps(
            list(field.default) if isinstance(field.default, tuple) else field.default
        )
        assert re.search(rf" Default: {re.escape(default)}(\.| \(.+?\)\.)", comment), comment
        assert line == f"#{name} = {default}"
        assert tomllib.loads(line[1:]) == {name: json.loads(default)}


@pytest.mark.parametrize(
    ("table", "name", "field"),
    [entry for entry in SETTINGS if any(hasattr(m, "ge") for m in entry[2].metadata)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_number_is_told_with_its_true_limits(table: str, name: str, field: FieldInfo) -> None:
    comment, _ = _paragraphs()[table, name]
    limits = {
        key: getattr(m, key) for m in field.metadata for key in ("ge", "le") if hasattr(m, key)
    }
    assert f"{limits['ge']} to {limits['le']}" in comment


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("log", "level"),
        ("log", "format"),
        ("relay", "security"),
        ("mailbox", "filing"),
        ("recognition", "mode"),
    ],
)
def test_every_choice_is_told(table: str, name: str) -> None:
    comment, _ = _paragraphs()[table, name]
    choices = get_args(_tables()[table].model_fields[name].annotation)
    assert all(f'"{choice}"' in comment for choice in choices)


def test_what_is_switched_off_in_the_manual_could_be_switched_on(tmp_path: Path) -> None:
    """Each commented setting, example values included, is right where it stands."""
    text = re.sub(r"^#(\w+ = |\[\[)", r"\1", MANUAL.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "our-ca.pem").touch()
    (tmp_path / "vocabulary.toml").touch()
    (tmp_path / "order-status").mkdir()
    text = text.replace('password_file = "relay-password"', "")  # or oauth_token_file: one of them
    text = text.replace('url_file = "shop-database-url"', "")  # or url
    path = tmp_path / "mailbot.toml"
    path.write_text(text.replace('"/etc/mailbot/', f'"{tmp_path}/'), encoding="utf-8")
    assert load(path).daemon.name == "mail-1"
