"""From file and environment to Settings, or all faults at once, in words a shop admin reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbot.config import load
from mailbot.core.errors import ConfigError
from tests.config.conftest import ConfigFile


def test_a_right_file_gives_settings_with_every_default(file: ConfigFile) -> None:
    settings = load(file.path)
    assert settings.path == file.path
    assert settings.mailboxes[0].folders == ()
    assert settings.mailboxes[0].effective_port == 993
    assert settings.relay.effective_port == 587
    assert settings.sender.lease_seconds == 120
    assert settings.store.url == "sqlite:////var/lib/mailbot/mailbot.db"


def test_five_faults_are_told_at_once_in_the_order_of_the_file(file: ConfigFile) -> None:
    file.write(
        ('"help@hollowandfinch.example"', '"help at hollowandfinch"'),
        ('host = "imap', "port = 99999\nhost = 'imap"),
        ('.example"\nusername', ".example'\nusrname"),
        ("[relay]\n", '[relay]\nsecurity = "ssl"\n'),
    )
    with pytest.raises(ConfigError) as caught:
        load(file.path)
    told = [(fault.key, fault.what, fault.write) for fault in caught.value.faults]
    assert told == [
        (
            "shop.help_address",
            "'help at hollowandfinch' is not one address (line 3).",
            'Write the address alone, like "help@shop.example".',
        ),
        (
            "mailbox[0].username",
            "is missing (line 8).",
            'Write username = "help@hollowandfinch.example".',
        ),
        ("mailbox[0].port", "99999 is too large (line 10).", "Write 65535 or less."),
        ("mailbox[0].usrname", "is not a setting (line 12).", "Did you mean username?"),
        (
            "relay.security",
            '"ssl" is none of the choices (line 15).',
            'Write "tls" or "starttls" or "none".',
        ),
    ]
    assert caught.value.exit_code == 78
    assert str(caught.value).startswith(f"{file.path}: 5 settings wrong\n  shop.help_address: ")


def test_faults_between_tables_are_told_beside_faults_within_them(file: ConfigFile) -> None:
    file.write(
        ("[keys]", "[sender]\nlease_seconds = 60\nbatch_size = 0\n[keys]"),
        ("orders@", "Offers@"),
        ('"Hollow & Finch Orders"', "5"),
    )
    assert set(file.faults()) == {
        "sender.batch_size",
        "sender.lease_seconds",
        "order_status.from_address",
        "order_status.from_name",
    }


@pytest.mark.parametrize(
    ("addition", "key", "advice"),
    [
        ("[relay_]\n", "relay_", "Did you mean relay?"),
        ("[mailboxes]\n", "mailboxes", "Did you mean mailbox?"),
        ("[sender]\nLease_Seconds = 5\n", "sender.Lease_Seconds", "Did you mean lease_seconds?"),
        ("[log]\nbatch_size = 5\n", "log.batch_size", "It belongs under [sender]."),
        ("[daemon]\nfolders = []\n", "daemon.folders", "It belongs under [[mailbox]]."),
        ("[daemon]\nxyz = 1\n", "daemon.xyz", "Remove it; known here: name."),
    ],
)
def test_an_unknown_setting_gets_the_nearest_known_one(
    file: ConfigFile, addition: str, key: str, advice: str
) -> None:
    assert file.write(after=addition).faults()[key].write == advice


def test_a_password_in_the_file_is_refused_and_not_repeated(file: ConfigFile) -> None:
    file.write(('host = "smtp', 'password = "hunter2"\nhost = "smtp'))
    with pytest.raises(ConfigError) as caught:
        load(file.path)
    assert "no secret may stand in this file" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_option_of_the_settings_library_is_an_unknown_setting(file: ConfigFile) -> None:
    file.path.write_text('_env_prefix = "X"\n' + file.path.read_text())
    assert "is not a setting" in file.faults()["_env_prefix"].what


def test_an_empty_file_names_every_table_it_needs(file: ConfigFile) -> None:
    file.path.write_text("")
    faults = file.faults()
    assert list(faults) == ["shop", "keys", "mailbox", "relay", "campaigns", "order_status"]
    assert faults["mailbox"].write.startswith("Write [[mailbox]] on a line of its own")


def test_an_empty_list_of_mailboxes_is_a_fault(file: ConfigFile) -> None:
    text = file.path.read_text()
    start, end = text.index("[[mailbox]]"), text.index("[relay]")
    file.path.write_text("mailbox = []\n" + text[:start] + text[end:])
    assert file.faults()["mailbox"].what == "is an empty list (line 1)."


def test_two_mailboxes_of_one_name_are_a_fault(file: ConfigFile) -> None:
    text = file.path.read_text()
    again = text[text.index("[[mailbox]]") : text.index("[relay]")]
    fault = file.write(after=again).faults()["mailbox[1].name"]
    assert fault.what == '"help" is taken by mailbox[0] (line 22).'


@pytest.mark.parametrize(
    ("text", "line", "column", "advice"),
    [
        ("[shop]\nname: Teas\n", 2, 5, 'with "=" instead of ":"'),
        ("[shop]\nname = Teas\n", 2, 8, "Put text in quotes"),
        ('[shop]\nname = "Teas\n', 2, 13, "Write key = value"),
        ("[shop\n", 1, 6, "Write key = value"),
        ('[shop]\nname = "Teas', 2, 1, "Write key = value"),
    ],
)
def test_a_slip_in_the_toml_names_line_and_column(
    file: ConfigFile, text: str, line: int, column: int, advice: str
) -> None:
    file.path.write_text(text)
    fault = file.faults()["syntax"]
    assert fault.what.startswith(f"line {line}, column {column} is not TOML (")
    assert advice in fault.write


def test_a_missing_file_says_which_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nowhere.toml")
    assert str(tmp_path / "nowhere.toml") in str(caught.value)
    assert "Copy config/mailbot.toml there" in str(caught.value)


def test_a_folder_and_a_file_that_is_not_utf_8_are_explained(file: ConfigFile) -> None:
    with pytest.raises(ConfigError, match="this is a folder"):
        load(file.path.parent)
    file.path.write_bytes(b'[shop]\nname = "Caf\xe9"\n')
    assert file.faults()["file"].what == "byte 0xe9 in line 2 is not UTF-8."


def test_the_environment_wins_over_the_file(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILBOT_RELAY__PORT", "2525")
    monkeypatch.setenv("MAILBOT_SHOP__OWN_DOMAINS", '["Hollowandfinch.example"]')
    settings = load(file.path)
    assert settings.relay.port == 2525
    assert settings.relay.host == "smtp.hollowandfinch.example"
    assert settings.shop.own_domains == ("hollowandfinch.example",)


def test_a_fault_from_the_environment_names_the_variable(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILBOT_RELAY__PORT", "many")
    monkeypatch.setenv("MAILBOT_RELEY__HOST", "smtp")
    faults = file.faults()
    assert "(environment variable MAILBOT_RELAY__PORT)" in faults["relay.port"].what
    assert faults["MAILBOT_RELEY__HOST"].write == "Did you mean relay?"


def test_a_list_in_the_environment_that_is_not_json_is_a_fault(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILBOT_MAILBOX", "help")
    assert "is not the JSON" in file.faults()["MAILBOT_MAILBOX"].what


def test_an_unrelated_variable_named_mailbox_is_no_setting(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's shells know $MAIL, and people have a $MAILBOX of their own."""
    monkeypatch.setenv("MAILBOX", "/var/mail/root")
    assert load(file.path).mailboxes[0].name == "help"


def test_own_addresses_are_those_a_log_may_show(file: ConfigFile) -> None:
    settings = load(file.path)
    assert settings.own_addresses == {
        "help@hollowandfinch.example",
        "offers@hollowandfinch.example",
        "orders@hollowandfinch.example",
    }
