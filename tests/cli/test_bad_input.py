"""Whatever is wrong, the person who typed it reads what, where, and what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Type
from tests.house import House
from tests.servers import dovecot


def campaign_files(folder: Path, csv: bytes, text: str = "Hello {{ first_name }}") -> list[str]:
    (folder / "people.csv").write_bytes(csv)
    (folder / "spring.txt").write_text(text)
    return ["campaign", "create", "spring", "--subject", "New teas", "--text",
            str(folder / "spring.txt"), "--audience", str(folder / "people.csv")]  # fmt: skip


def test_a_configuration_with_five_faults_tells_five(command: Type, house: House) -> None:
    text = house.config.read_text()
    for right, wrong in (
        ('help_address = "help@shop.example"', 'help_address = "nobody"'),
        ("connections = 3", "connections = 0"),
        ("poll_seconds = 1", 'poll_seconds = "often"'),
        ("stop_seconds = 5", "stop_secs = 5"),
        ('format = "json"', 'format = "xml"'),
    ):
        assert right in text
        text = text.replace(right, wrong)
    house.config.write_text(text)
    said = command("run", "--config", str(house.config))
    assert said.code == 78
    assert "5 settings wrong" in said.err
    for key in ("shop.help_address", "relay.connections", "mailbox[0].poll_seconds",
                "sender.stop_secs", "log.format"):  # fmt: skip
        assert key in said.err


def test_a_missing_configuration_is_named(command: Type, tmp_path: Path) -> None:
    said = command("status", "--config", str(tmp_path / "none.toml"))
    assert said.code == 78
    assert "none.toml" in said.err


def test_a_database_without_schema_says_which_command_makes_it(mailbot: Type, house: House) -> None:
    house.database.close()
    (house.folder / "mailbot.db").unlink()
    said = mailbot("status")
    assert said.code == 78
    assert "mailbot db upgrade" in said.err


def test_a_file_that_is_no_database_is_left_alone(mailbot: Type, house: House) -> None:
    house.database.close()
    path = house.folder / "mailbot.db"
    path.write_bytes(b"these are the minutes of the garden club, not a database" * 20)
    said = mailbot("run")
    assert said.code == 74
    assert "not a SQLite database" in said.err
    assert path.read_bytes().startswith(b"these are")


def test_a_wrong_person_key_is_refused(mailbot: Type, house: House) -> None:
    assert mailbot("db", "upgrade").code == 0
    (house.folder / "person-key").write_text("77" * 32 + "\n")
    said = mailbot("suppress", "add", "ann@example.org", "--note", "phone")
    assert said.code == 78
    assert "Put the old key file back" in said.err


def test_an_unreachable_host_is_found_by_check(mailbot: Type) -> None:
    said = mailbot("check")
    assert said.code == 1
    assert "FAIL  mailbox help" in said.out
    assert "FAIL  relay" in said.out
    assert "OK    database" in said.out


@pytest.mark.skipif(not dovecot.is_installed(), reason="dovecot-imapd is not installed")
def test_a_wrong_imap_password_is_found_by_check(command: Type, house: House) -> None:
    with dovecot.Dovecot() as server:
        text = house.config.read_text().replace("port = 9\n", f"port = {server.plain_port}\n", 1)
        house.config.write_text(text)
        said = command("check", "--config", str(house.config))
    assert said.code == 1
    assert "password" in said.out


def test_an_audience_that_is_not_utf8_names_the_line(mailbot: Type, tmp_path: Path) -> None:
    csv = "email,first_name\nann@example.org,Ann\nzoe@example.org,Zoë\n".encode("latin-1")
    said = mailbot(*campaign_files(tmp_path, csv))
    assert said.code == 65
    assert "people.csv, line 3: this is not UTF-8" in said.err
    assert mailbot("campaign", "status").out.startswith("There are no campaigns")


def test_bad_lines_are_told_by_number_and_nothing_is_stored(mailbot: Type, tmp_path: Path) -> None:
    csv = b"email,first_name\nann@example.org,Ann\nnobody,Bob\nANN@example.org,Ann again\n"
    said = mailbot(*campaign_files(tmp_path, csv))
    assert said.code == 65
    assert "line 3" in said.err
    assert "line 4" in said.err
    assert "line 2 already" in said.err
    again = mailbot(*campaign_files(tmp_path, csv), "--skip-bad")
    assert again.code == 0
    assert "1 people" in again.out


def test_a_field_that_no_column_fills_is_named_before_anything_is_stored(
    mailbot: Type, tmp_path: Path
) -> None:
    csv = b"email,first_name\nann@example.org,Ann\n"
    said = mailbot(*campaign_files(tmp_path, csv, "Dear friend,\n\nHello {{ frist_name }}\n"))
    assert said.code == 65
    assert "frist_name" in said.err
    assert "line 3" in said.err
    assert mailbot("campaign", "status").out.startswith("There are no campaigns")


def test_a_subject_with_the_word_is_refused(mailbot: Type, tmp_path: Path) -> None:
    words = campaign_files(tmp_path, b"email,first_name\nann@example.org,Ann\n")
    words[4] = "Do not unsubscribe yet"
    said = mailbot(*words)
    assert said.code == 65
    assert "unsubscribe" in said.err


@pytest.mark.parametrize(("at", "zone", "what"), [
    ("2020-01-01 09:00", "UTC", "past"),
    ("tomorrow", "UTC", "no time"),
    ("2099-03-01 09:00", "Europe/Atlantis", "no time zone"),
    ("2027-03-28 02:30", "Europe/Berlin", "the clocks skip it"),
])  # fmt: skip
def test_a_time_that_cannot_be_is_refused(
    mailbot: Type, tmp_path: Path, at: str, zone: str, what: str
) -> None:
    assert mailbot(*campaign_files(tmp_path, b"email,first_name\na@example.org,A\n")).code == 0
    said = mailbot("campaign", "schedule", "spring", "--at", at, "--zone", zone)
    assert said.code == 65
    assert what in said.err


def test_an_unknown_campaign_is_said_so(mailbot: Type) -> None:
    said = mailbot("campaign", "pause", "autumn")
    assert said.code == 65
    assert "no campaign is named “autumn”" in said.err


@pytest.mark.parametrize(("line", "what"), [
    ("not json", "no JSON"),
    ('{"type": "shipped"}', "“to” is missing"),
    ('{"type": "sale", "to": "a@example.org", "idempotency_key": "1"}', "no order-status type"),
    ('{"type": "shipped", "to": "nobody", "idempotency_key": "1"}', "no address"),
    ('{"type": "shipped", "to": "a@example.org", "idempotency_key": "1"}', "order_number"),
])  # fmt: skip
def test_a_wrong_line_of_order_status_queues_nothing(
    mailbot: Type, tmp_path: Path, line: str, what: str
) -> None:
    good = ('{"type": "shipped", "to": "a@example.org", "idempotency_key": "0", '
            '"fields": {"order_number": "1"}}')  # fmt: skip
    file = tmp_path / "orders.jsonl"
    file.write_text(f"{good}\n{line}\n")
    said = mailbot("order-status", "send", str(file))
    assert said.code == 65
    assert what in said.err
    file.write_text(good + "\n")
    assert "1 queued." in mailbot("order-status", "send", str(file)).out


def test_keys_are_never_overwritten(command: Type, tmp_path: Path) -> None:
    assert command("keys", "create", str(tmp_path / "keys")).code == 0
    before = (tmp_path / "keys" / "person-key").read_text()
    said = command("keys", "create", str(tmp_path / "keys"))
    assert said.code == 1
    assert "never overwritten" in said.err
    assert (tmp_path / "keys" / "person-key").read_text() == before
    assert (tmp_path / "keys" / "person-key").stat().st_mode & 0o077 == 0
