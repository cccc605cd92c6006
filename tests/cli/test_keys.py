"""Keys are made once, for their owner's eyes, and never overwritten."""

from __future__ import annotations

import re
import stat

from tests.cli.conftest import Shell


def test_both_keys_are_64_hex_digits_for_the_owner_alone(mailbot: Shell) -> None:
    folder = mailbot.folder / "new" / "keys"
    ended = mailbot("keys", "create", str(folder))
    assert ended.code == 0
    written = {}
    for name in ("person-key", "token-key-1"):
        path = folder / name
        assert re.fullmatch("[0-9a-f]{64}\n", path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        written[name] = path.read_text()
        assert path.read_text().strip() not in ended.out
    assert len(set(written.values())) == 2


def test_no_key_is_ever_overwritten(mailbot: Shell) -> None:
    folder = mailbot.folder / "keys"
    folder.mkdir()
    (folder / "token-key-1").write_text("old")
    ended = mailbot("keys", "create", str(folder))
    assert ended.code == 1
    assert "never overwritten" in ended.err
    assert (folder / "token-key-1").read_text() == "old"
    assert not (folder / "person-key").exists(), "not half of it either"


def test_a_further_token_key_leaves_the_others_alone(mailbot: Shell) -> None:
    before = (mailbot.folder / "person-key").read_text()
    assert mailbot("keys", "create", str(mailbot.folder), "--token", "2").code == 0
    assert len((mailbot.folder / "token-key-2").read_text()) == 65
    assert (mailbot.folder / "person-key").read_text() == before
    assert mailbot("keys", "create", str(mailbot.folder), "--token", "256").code == 64


def test_a_folder_that_is_a_file_is_told(mailbot: Shell) -> None:
    ended = mailbot("keys", "create", mailbot.write("file", "x"))
    assert ended.code == 65
    assert "no folder" in ended.err


def test_keys_made_here_are_keys_that_can_be_read(mailbot: Shell) -> None:
    for name in ("person-key", "token-key-1"):
        (mailbot.folder / name).unlink()
    mailbot("keys", "create", str(mailbot.folder))
    assert mailbot("why", "ann@example.org").code == 1, "nothing is known, and all could be read"
