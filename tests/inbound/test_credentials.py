"""Secrets: where they are looked for, and what is said when they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog.testing

from mailbot.core.errors import ConfigError
from mailbot.inbound.credentials import read_secret, read_secret_bytes


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """A file of this content and these rights."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_bare_name_is_a_systemd_credential_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LoadCredential= wins over a file beside the configuration."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    write(tmp_path / "imap", b"beside\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert read_secret("imap", tmp_path) == "beside"
    write(credentials / "imap", b"credential\n")
    assert read_secret("imap", tmp_path) == "credential"


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, or relative to the configuration; never in the credentials directory."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    folder = tmp_path / "config"
    (folder / "secrets").mkdir(parents=True)
    write(folder / "secrets" / "imap", b"relative")
    assert read_secret("secrets/imap", folder) == "relative"
    assert read_secret(folder / "secrets" / "imap", Path("/elsewhere")) == "relative"


def test_only_the_final_line_end_is_taken_away(tmp_path: Path) -> None:
    """A password may begin or end with a space; a key may hold any bytes."""
    write(tmp_path / "imap", " pässword \r\n".encode())
    write(tmp_path / "key", b"\xff\x00key\n")
    assert read_secret("imap", tmp_path) == " pässword "
    assert read_secret_bytes("key", tmp_path) == b"\xff\x00key\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b" \n", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"x" * 100_000, "too large"),
    ],
)
def test_an_unusable_secret_is_told_with_its_setting_and_its_file(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Missing, empty, not text, another file; never the content."""
    if content is not None:
        write(tmp_path / "imap", content)
    with pytest.raises(ConfigError) as caught:
        read_secret("imap", tmp_path, key="mailbox.help.password_file")
    text = str(caught.value)
    assert words in text
    assert "mailbox.help.password_file" in text
    assert str(tmp_path / "imap") in text


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    """The reason of the system stands in the error."""
    (tmp_path / "imap").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret("imap", tmp_path)


def test_a_secret_that_everyone_can_read_is_warned_about(tmp_path: Path) -> None:
    """It still works: the admin may have reasons; the log says what to do."""
    write(tmp_path / "imap", b"secret", mode=0o644)
    with structlog.testing.capture_logs() as events:
        assert read_secret("imap", tmp_path) == "secret"
    assert [event["event"] for event in events] == ["secret_readable_by_everyone"]
