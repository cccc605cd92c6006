"""Passwords and keys come from files that nobody else can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbot.config import (
    Settings,
    check_secrets,
    load,
    load_person_key,
    load_token_keys,
    read_relay_secret,
    read_secret,
    secret_path,
)
from mailbot.core.errors import ConfigError, ConfigFault
from mailbot.core.person import PersonKey
from tests.config.conftest import ConfigFile

KEY = "0123456789abcdef" * 4


@pytest.fixture
def settings(file: ConfigFile) -> Settings:
    return load(file.path)


def _write(folder: Path, **secrets: str) -> None:
    for name, text in secrets.items():
        path = folder / name.replace("_", "-")
        path.write_text(text)
        path.chmod(0o600)


def _faults(settings: Settings, name: str = "imap-password") -> tuple[ConfigFault, ...]:
    with pytest.raises(ConfigError) as caught:
        read_secret(settings, name)
    return caught.value.faults


def test_a_bare_name_is_a_credential_first_and_a_file_beside_the_settings_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, credentials = tmp_path / "mailbot.toml", tmp_path / "credentials"
    credentials.mkdir()
    assert secret_path("imap", config) == tmp_path / "imap"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert secret_path("imap", config) == tmp_path / "imap"
    (credentials / "imap").touch()
    assert secret_path("imap", config) == credentials / "imap"
    assert secret_path("./imap", config) == tmp_path / "imap"
    assert secret_path("/run/imap", config) == Path("/run/imap")


def test_a_password_keeps_its_spaces_and_loses_its_line_end(
    settings: Settings, tmp_path: Path
) -> None:
    _write(tmp_path, imap_password=" correct hörse \r\n")
    assert read_secret(settings, "imap-password") == " correct hörse "


def test_a_missing_password_says_where_to_write_it(settings: Settings, tmp_path: Path) -> None:
    (fault,) = _faults(settings)
    assert fault.what == f"the file {tmp_path}/imap-password does not exist."
    assert fault.write.startswith("Write the password into it, on one line")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "is more than one line of text"),
        (b"x" * 70_000, "is more than one line of text"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_password_is_told(
    settings: Settings, tmp_path: Path, text: bytes, what: str
) -> None:
    (tmp_path / "imap-password").write_bytes(text)
    (fault,) = _faults(settings)
    assert what in fault.what
    assert fault.key == "password_file"


def test_a_credential_that_is_barred_is_told_and_not_looked_for_elsewhere(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, imap_password="stale", barred="")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "barred"))  # no folder
    (fault,) = _faults(settings)
    assert (
        fault.what == f"the file {tmp_path}/barred/imap-password cannot be read (Not a directory)."
    )


def test_a_secret_that_everybody_can_read_is_refused(settings: Settings, tmp_path: Path) -> None:
    _write(tmp_path, imap_password="secret")
    (tmp_path / "imap-password").chmod(0o644)
    folders = [folder for folder in (tmp_path, *tmp_path.parents) if not folder.stat().st_mode & 1]
    assert folders, "pytest keeps its folders private"
    assert read_secret(settings, "imap-password") == "secret"  # a private folder protects it
    modes = [(folder, folder.stat().st_mode) for folder in folders]
    try:
        for folder, mode in modes:
            folder.chmod(mode | 0o001)
        (fault,) = _faults(settings)
        (tmp_path / "imap-password").chmod(0o640)
        assert read_secret(settings, "imap-password") == "secret"
    finally:
        for folder, mode in modes:
            folder.chmod(mode)
    assert "everybody on this machine can read" in fault.what
    assert f"chmod o-rwx {tmp_path}/imap-password" in fault.write


def test_keys_are_read_from_hex(settings: Settings, tmp_path: Path) -> None:
    _write(tmp_path, person_key=KEY + "\n", token_key_1=KEY.upper())
    assert load_person_key(settings).key_id == PersonKey(bytes.fromhex(KEY)).key_id
    (key,) = load_token_keys(settings).keys
    assert (key.key_id, key.secret, key.is_revoked) == (1, bytes.fromhex(KEY), False)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (KEY[:40], "is too short: 40 hex digits instead of 64"),
        (KEY + "00", "is too long: 66 hex digits instead of 64"),
        ("correct horse battery staple", "holds something else than hex digits"),
        ("٣" * 64, "holds something else than hex digits"),
    ],
)
def test_a_malformed_key_is_told_and_never_to_be_replaced_by_a_new_one(
    settings: Settings, tmp_path: Path, text: str, what: str
) -> None:
    _write(tmp_path, person_key=text)
    with pytest.raises(ConfigError) as caught:
        load_person_key(settings)
    (fault,) = caught.value.faults
    assert fault.key == "keys.person_file"
    assert what in fault.what
    assert fault.write.startswith("Put the right file back")
    assert text not in str(caught.value)


def test_a_missing_key_names_the_command_that_makes_it(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_token_keys(settings)
    (fault,) = caught.value.faults
    assert fault.key == "keys.tokens[0].file"
    assert fault.write == f"Make the keys with `mailbot keys create {tmp_path}`."


def test_every_missing_secret_is_told_at_once(file: ConfigFile, tmp_path: Path) -> None:
    login = 'host = "smtp.hollowandfinch.example"'
    file.write((login, f'{login}\nusername = "x"\npassword_file = "relay-password"'))
    settings = load(file.path)
    with pytest.raises(ConfigError) as caught:
        check_secrets(settings)
    assert [fault.key for fault in caught.value.faults] == [
        "mailbox[0].password_file",
        "relay.password_file",
        "keys.person_file",
        "keys.tokens[0].file",
    ]
    _write(tmp_path, imap_password="a", relay_password="b", person_key=KEY, token_key_1=KEY)
    check_secrets(settings)


# The relay's login


def _with_login(file: ConfigFile, lines: str) -> Settings:
    login = 'host = "smtp.hollowandfinch.example"'
    return load(file.write((login, f'{login}\nusername = "x"\n{lines}')).path)


def test_without_a_login_there_is_no_relay_secret(settings: Settings) -> None:
    assert read_relay_secret(settings) is None


def test_the_relays_password_is_read_anew_each_time(file: ConfigFile, tmp_path: Path) -> None:
    settings = _with_login(file, 'password_file = "relay-password"')
    for password in ("tea", "milk"):
        _write(tmp_path, relay_password=password)
        assert read_relay_secret(settings) == password


def test_a_token_is_read_anew_each_time_and_never_from_systemds_copy(
    file: ConfigFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _with_login(file, 'oauth_token_file = "relay-token"')
    (tmp_path / "credentials").mkdir()
    _write(tmp_path / "credentials", relay_token="of-the-start")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    for token in ("ya29.a0-_~+/==", "eyJ0eXAi.eyJhdWQi.Zm9v"):
        _write(tmp_path, relay_token=f"{token}\n")
        assert read_relay_secret(settings) == token


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"access_token": "ya29"}', "is no bearer token"),
        ("Bearer ya29", "is no bearer token"),
        ("ya29\x01\x01", "is no bearer token"),
        ("", "is empty"),
    ],
)
def test_a_file_that_holds_no_token_is_told_and_not_shown(
    file: ConfigFile, tmp_path: Path, text: str, what: str
) -> None:
    settings = _with_login(file, 'oauth_token_file = "relay-token"')
    _write(tmp_path, relay_token=text)
    with pytest.raises(ConfigError) as caught:
        read_relay_secret(settings)
    (fault,) = caught.value.faults
    assert fault.key == "relay.oauth_token_file"
    assert what in fault.what
    assert "ya29" not in str(caught.value)


def test_a_missing_token_is_told_with_the_other_secrets(file: ConfigFile) -> None:
    settings = _with_login(file, 'oauth_token_file = "relay-token"')
    with pytest.raises(ConfigError) as caught:
        check_secrets(settings)
    faults = {fault.key: fault for fault in caught.value.faults}
    assert "what refreshes the token" in faults["relay.oauth_token_file"].write
