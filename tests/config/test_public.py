"""What the public page reads of the settings: few tables, each fault in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbot.config import load_public_page, load_token_keys
from mailbot.core.errors import ConfigError, ConfigFault
from tests.config.conftest import RIGHT

FEW = """\
[shop]
name = "Hollow & Finch Teas"
help_address = "help@hollowandfinch.example"
postal_address = "12 Quay Street, Bristol"
[keys]
tokens = [{ id = 1, file = "token-key-1" }]
[public]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailbot.toml"


def faults(path: Path) -> dict[str, ConfigFault]:
    with pytest.raises(ConfigError) as caught:
        load_public_page(path)
    return {fault.key: fault for fault in caught.value.faults}


def test_a_file_with_the_few_tables_is_enough_and_no_person_key_is_named(path: Path) -> None:
    path.write_text(FEW + 'url = "https://mail.hollowandfinch.example/"\n')
    settings = load_public_page(path)
    assert settings.public.url == "https://mail.hollowandfinch.example"
    assert settings.public.listen == "127.0.0.1:8025"
    assert settings.keys.person_file is None


def test_the_daemons_own_file_is_read_whatever_is_wrong_with_its_other_tables(path: Path) -> None:
    """A page that takes opt-outs must not stop because a password's name is misspelt."""
    path.write_text(RIGHT.replace('host = "imap', 'ca_file = "/none"\nhost = "imap'))
    settings = load_public_page(path)
    assert settings.shop.name == "Hollow & Finch Teas"
    assert settings.public.url is None


def test_only_the_token_keys_are_opened(path: Path) -> None:
    path.write_text(RIGHT)
    key = path.with_name("token-key-1")
    key.write_text("5e" * 32)
    key.chmod(0o600)
    assert not path.with_name("person-key").exists()
    [token_key] = load_token_keys(load_public_page(path)).keys
    assert token_key.secret == bytes.fromhex("5e" * 32)


def test_a_missing_token_key_is_told(path: Path) -> None:
    path.write_text(FEW)
    with pytest.raises(ConfigError, match=r"keys\.tokens\[0\]\.file: .*does not exist"):
        load_token_keys(load_public_page(path))


def test_an_unknown_table_or_setting_is_told_with_its_line(path: Path) -> None:
    path.write_text(FEW + 'lisen = "x"\n[publick]\n')
    found = faults(path)
    assert set(found) == {"public.lisen", "publick"}
    assert found["public.lisen"].what == "is not a setting (line 8)."
    assert found["public.lisen"].write == "Did you mean listen?"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://mail.shop.example", "https://mail.shop.example"),
        ("https://mail.shop.example///", "https://mail.shop.example"),
        ("https://shop.example:8443/mail/out/", "https://shop.example:8443/mail/out"),
        ("https://xn--tee-8na.example/~u_1.x", "https://xn--tee-8na.example/~u_1.x"),
    ],
)
def test_a_url_is_kept_without_its_last_slash(path: Path, url: str, kept: str) -> None:
    path.write_text(FEW + f'url = "{url}"\n')
    assert load_public_page(path).public.url == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example", "shop.example", "https://", "https:///x", "https://shop.example?a=b",
        "https://shop.example/#x", "https://tée.example", "https://a b.example", "ftp://x.example",
        "https://user:word@shop.example", "https://shop.example/../x", "https://shop.example//x",
        "https://shop.example/" + "a" * 400, "https://-x.example", "https://shop.example:123456",
    ],
)  # fmt: skip
def test_a_url_that_no_mail_could_carry_is_refused(path: Path, url: str) -> None:
    path.write_text(FEW + f'url = "{url}"\n')
    assert faults(path)["public.url"].write


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('listen = "8025"', "public.listen"),
        ('listen = "127.0.0.1:99999"', "public.listen"),
        ('listen = "::1:8025"', "public.listen"),
        ('listen = "unix:relative.sock"', "public.listen"),
        (f'listen = "unix:/{"x" * 120}"', "public.listen"),
        ('trusted_proxies = ["nginx"]', "public.trusted_proxies[0]"),
        ('trusted_proxies = ["10.0.0.1/8"]', "public.trusted_proxies[0]"),
        ('language = "it"', "public.language"),
        ("connections = 1", "public.connections"),
        ("timeout_seconds = 0", "public.timeout_seconds"),
        ("wrong_links_per_minute = true", "public.wrong_links_per_minute"),
    ],
)
def test_a_wrong_value_is_told_with_what_to_write(path: Path, line: str, key: str) -> None:
    path.write_text(FEW + line + "\n")
    [(told, fault)] = faults(path).items()
    assert told == key
    assert "(line 8)" in fault.what
    assert fault.write


def test_an_environment_variable_wins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILBOT_PUBLIC__LISTEN", "127.0.0.1:9000")
    monkeypatch.setenv("MAILBOT_RELAY__HOST", "not.looked.at")
    path.write_text(FEW)
    assert load_public_page(path).public.listen == "127.0.0.1:9000"
