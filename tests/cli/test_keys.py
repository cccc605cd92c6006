"""Keys are made once, for their owner's eyes, and never overwritten."""

from __future__ import annotations

import re
import stat

import pytest

from tests.cli.conftest import CONFIG, Shell


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


def test_the_list_says_what_each_key_is_good_for_and_shows_no_secret(mailbot: Shell) -> None:
    mailbot("keys", "create", str(mailbot.folder), "--token", "2")
    mailbot("keys", "create", str(mailbot.folder), "--token", "3")
    mailbot.write("mailbot.toml", CONFIG.replace(
        'tokens = [{ id = 1, file = "token-key-1" }]',
        'tokens = [{ id = 1, file = "token-key-1", revoked = true },'
        ' { id = 2, file = "token-key-2" }, { id = 3, file = "token-key-3" }]',
    ))  # fmt: skip
    mailbot("suppress", "add", "ann@example.org")
    ended = mailbot("keys", "list")
    assert ended.code == 0
    said = {line.split("  ")[0]: line for line in ended.out.splitlines()}
    assert "revoked" in said["token key 1"]
    assert "verifies old links" in said["token key 2"]
    assert "signs new links" in said["token key 3"]
    assert "fills this database" in ended.out
    for name in ("person-key", "token-key-1", "token-key-3"):
        assert (mailbot.folder / name).read_text().strip() not in ended.out
    told = mailbot("keys", "list", "--json").json
    assert [(key["id"], key["signs"]) for key in told["token_keys"]] == [
        (1, False), (2, False), (3, True),
    ]  # fmt: skip


@pytest.mark.parametrize("command", [
    ("suppress", "add", "bob@example.org"),
    ("suppress", "lift", "ann@example.org", "--note", "n"),
    ("why", "ann@example.org"),
    ("erase", "ann@example.org", "--note", "n"),
    ("campaign", "create", "spring", "--subject", "Teas", "--text", "t.txt", "--audience", "a.csv"),
])  # fmt: skip
def test_with_a_wrong_person_key_nothing_is_done_under_hashes_nobody_looks_up(
    mailbot: Shell, command: tuple[str, ...]
) -> None:
    mailbot.write("t.txt", "Hello {{ name }}\n")
    mailbot.write("a.csv", "email,name\nbob@example.org,Bob\n")
    mailbot("suppress", "add", "ann@example.org")
    mailbot.write("person-key", bytes(range(50, 82)).hex() + "\n")
    (mailbot.folder / "person-key").chmod(0o600)
    at = [str(mailbot.folder / part) if part.endswith((".txt", ".csv")) else part
          for part in command]  # fmt: skip
    ended = mailbot(*at)
    assert ended.code == 78
    assert "the person key is not the one that filled this database" in ended.err
    assert "Put the old key file back" in ended.err
    listed = mailbot("keys", "list")
    assert listed.code == 1
    assert "NOT the key that filled the database" in listed.out


def test_a_key_that_signs_mail_is_made_with_the_record_to_publish(mailbot: Shell) -> None:
    path = mailbot.folder / "dkim-tea1"
    ended = mailbot("keys", "dkim", "tea1", "Shop.example", "--to", str(path))
    assert ended.code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "tea1._domainkey.shop.example. 3600 IN TXT (" in ended.out
    assert "PRIVATE" not in ended.out
    settings = ended.out[ended.out.index("[[dkim]]") : ended.out.index("\n\nAnother user")]
    mailbot.config.write_text(CONFIG + settings)
    shown = mailbot("keys", "records")
    assert shown.code == 0
    assert shown.out.strip() in ended.out
    (record,) = mailbot("keys", "records", "--json").json
    assert record["name"] == "tea1._domainkey.shop.example"
    assert (record["algorithm"], record["bits"]) == ("rsa-sha256", 2048)


def test_a_key_for_mail_is_never_overwritten_either(mailbot: Shell) -> None:
    path = mailbot.write("dkim", "old")
    ended = mailbot("keys", "dkim", "tea1", "shop.example", "--to", path, "--ed25519")
    assert ended.code == 1
    assert "never overwritten" in ended.err


@pytest.mark.parametrize(("selector", "domain"), [("tea 1", "shop.example"), ("tea1", "no domain")])
def test_a_name_that_no_dns_could_hold_is_told(mailbot: Shell, selector: str, domain: str) -> None:
    path = mailbot.folder / "dkim"
    ended = mailbot("keys", "dkim", selector, domain, "--to", str(path))
    assert ended.code == 65
    assert "is no selector" in ended.err or "is not a domain" in ended.err
    assert not path.exists()


def test_without_a_key_the_records_say_who_has_to_sign(mailbot: Shell) -> None:
    assert "the relay has to sign" in mailbot("keys", "records").out
    assert mailbot("keys", "records", "--json").json == []
