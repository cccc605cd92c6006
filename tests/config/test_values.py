"""What single settings may hold, and that no fault is told in pydantic's jargon."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailbot.config import Settings, load
from mailbot.config.values import is_loopback
from mailbot.core.errors import ConfigError
from tests.config.conftest import RIGHT, ConfigFile


def _shop(line: str) -> tuple[str, str]:
    return ("[keys]", f"{line}\n[keys]")


def _relay(lines: str) -> tuple[str, str]:
    return ('host = "smtp.hollowandfinch.example"', lines)


@pytest.mark.parametrize(
    ("domain", "is_told"),
    [
        ("gmail.com", True),
        ("GMX.de", True),
        ("outlook.com", True),
        ("hollow finch", True),
        ("hollowandfinch.example", False),
        ("teehaus-müller.example", False),
    ],
)
def test_own_domains_are_domains_of_the_shop_alone(
    file: ConfigFile, domain: str, is_told: bool
) -> None:
    file.write(_shop(f'own_domains = ["{domain}"]'))
    if is_told:
        assert list(file.faults()) == ["shop.own_domains[0]"]
    else:
        assert load(file.path).shop.own_domains[0].isascii()


def test_a_free_mail_domain_is_refused_with_the_reason(file: ConfigFile) -> None:
    fault = file.write(_shop('own_domains = ["gmail.com"]')).faults()["shop.own_domains[0]"]
    assert "every customer who writes from there would be taken for staff" in fault.what


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_plain_text_stays_on_this_machine(file: ConfigFile, host: str) -> None:
    file.write(_relay(f'host = "{host}"\nsecurity = "none"'))
    assert is_loopback(load(file.path).relay.host)


@pytest.mark.parametrize("host", ["10.0.0.1", "smtp.example", "localhost.example", "127.0.0.1.nip"])
def test_plain_text_over_the_network_is_refused_with_the_reason(
    file: ConfigFile, host: str
) -> None:
    fault = file.write(_relay(f'host = "{host}"\nsecurity = "none"')).faults()["relay.security"]
    assert "as readable text" in fault.what
    assert fault.write == 'Write "tls" or "starttls".'


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        ('host = "a.example"\nport = 465', 'Write "tls".'),
        ('host = "a.example"\nport = 587\nsecurity = "tls"', 'Write "starttls", or the TLS port'),
    ],
)
def test_a_well_known_port_with_the_other_security_is_told(
    file: ConfigFile, lines: str, advice: str
) -> None:
    assert file.write(_relay(lines)).faults()["relay.security"].write.startswith(advice)


@pytest.mark.parametrize(
    ("host", "word"),
    [("smtp.example:587", "port"), ("smtp://smtp.example", "web address"), ("a b", "host name")],
)
def test_a_host_is_a_name_and_nothing_else(file: ConfigFile, host: str, word: str) -> None:
    assert word in file.write(_relay(f'host = "{host}"')).faults()["relay.host"].what


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('host = "a.example"\nusername = "x"', "is missing, though username is set"),
        ('host = "a.example"\npassword_file = "x"', "is set, though username is not"),
    ],
)
def test_a_login_at_the_relay_needs_both_halves(file: ConfigFile, lines: str, what: str) -> None:
    assert what in file.write(_relay(lines)).faults()["relay.password_file"].what


@pytest.mark.parametrize(
    ("lines", "key", "what"),
    [
        ('oauth_token_file = "t"', "oauth_token_file", "is set, though username is not"),
        (
            'username = "x"\noauth_token_file = "t"\npassword_file = "p"',
            "password_file",
            "is set, and so is oauth_token_file",
        ),
        ('username = "x"\noauth_token_file = ""', "oauth_token_file", "is empty"),
    ],
)
def test_a_login_at_the_relay_is_by_token_or_by_password(
    file: ConfigFile, lines: str, key: str, what: str
) -> None:
    faults = file.write(_relay(f'host = "a.example"\n{lines}')).faults()
    assert list(faults) == [f"relay.{key}"]
    assert faults[f"relay.{key}"].what.startswith(what)


def test_a_login_by_token_needs_no_password(file: ConfigFile) -> None:
    lines = 'host = "a.example"\nusername = "x"\noauth_token_file = "t"'
    assert load(file.write(_relay(lines)).path).relay.oauth_token_file == "t"


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("customer-service@hollowandfinch.example", "too long"),
        ("help+x@hollowandfinch.example", '"+tag"'),
        ("a@b.example, c@d.example", "is not one address"),
        ("help\\nBcc: x@y.example", "line break"),
    ],
)
def test_the_help_address_leaves_room_for_tokens(file: ConfigFile, address: str, what: str) -> None:
    file.write(('"help@hollowandfinch.example"', f'"{address}"'))
    assert what in file.faults()["shop.help_address"].what


def test_two_senders_that_are_one_mailbox_are_refused(file: ConfigFile) -> None:
    fault = file.write(("orders@", "OFFERS@")).faults()["order_status.from_address"]
    assert "would lose the mail about the order" in fault.what


def test_a_lease_outlasts_the_wait_for_the_relay(file: ConfigFile) -> None:
    file.write(_relay('host = "a.example"\ntimeout_seconds = 120'))
    assert "relay.timeout_seconds (120)" in file.faults()["sender.lease_seconds"].what


@pytest.mark.parametrize(
    ("tokens", "key"),
    [
        ('[{ id = 1, file = "a" }, { id = 1, file = "b" }]', "keys.tokens[1].id"),
        ('[{ id = 1, file = "a", revoked = true }]', "keys.tokens"),
        ('[{ id = 256, file = "a" }]', "keys.tokens[0].id"),
        ("[]", "keys.tokens"),
    ],
)
def test_token_keys_have_an_id_each_and_one_can_sign(
    file: ConfigFile, tokens: str, key: str
) -> None:
    file.write(('[{ id = 1, file = "token-key-1" }]', tokens))
    assert list(file.faults()) == [key]


def test_relative_files_stand_beside_the_configuration(file: ConfigFile, tmp_path: Path) -> None:
    (tmp_path / "wording").mkdir()
    (tmp_path / "ca.pem").touch()
    file.write(
        _relay('host = "a.example"\nca_file = "ca.pem"'),
        _shop('[store]\nurl = "sqlite:///list.db?timeout=3"'),
        ("[order_status]", '[order_status]\ntemplates_dir = "wording"'),
    )
    settings = load(file.path)
    assert settings.relay.ca_file == tmp_path / "ca.pem"
    assert settings.order_status.templates_dir == tmp_path / "wording"
    assert settings.store.url == f"sqlite:///{tmp_path}/list.db?timeout=3"


def test_files_that_are_not_there_are_told_with_their_whole_path(
    file: ConfigFile, tmp_path: Path
) -> None:
    file.write(
        _relay('host = "a.example"\nca_file = "ca.pem"'),
        ("[order_status]", '[order_status]\ntemplates_dir = "mailbot.toml"'),
    )
    faults = file.faults()
    assert faults["relay.ca_file"].what == f"there is no file {tmp_path}/ca.pem (line 15)."
    assert f"there is no folder {file.path}" in faults["order_status.templates_dir"].what


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://db/mailbot", "'mysql' is not a database that mailbot knows"),
        ("postgresql+psycopg://mailbot:hunter2@db/mailbot", "no secret may stand here"),
    ],
)
def test_a_database_url_that_cannot_work_is_told(file: ConfigFile, url: str, what: str) -> None:
    fault = file.write(_shop(f'[store]\nurl = "{url}"')).faults()["store.url"]
    assert what in fault.what
    assert "hunter2" not in fault.what + fault.write


def test_postgresql_urls_stay_as_they_are(file: ConfigFile) -> None:
    url = "postgresql+psycopg://mailbot@db:5433/mailbot?passfile=/etc/mailbot/pgpass"
    assert load(file.write(_shop(f'[store]\nurl = "{url}"')).path).store.url == url


def _spoiled(data: dict[str, Any], value: object) -> Iterator[dict[str, Any]]:
    """Each setting of each table in turn replaced by `value`."""
    for table, field in Settings.model_fields.items():
        name = field.alias or table
        inner = data.get(name, {})
        one = inner[0] if isinstance(inner, list) else inner
        annotation = field.annotation
        model = annotation if isinstance(annotation, type) else annotation.__args__[0]  # type: ignore[union-attr]
        yield {**data, name: value}
        for key in model.model_fields:
            spoiled = {**one, key: value}
            yield {**data, name: [spoiled] if isinstance(inner, list) else spoiled}


def _fault_of(data: dict[str, Any]) -> ConfigError | None:
    try:
        Settings(**data)
    except ConfigError as error:
        return error
    return None


@pytest.mark.parametrize("value", [{"x": 1}, [], [[]], "", -1, 1e300, True, 10**30, "\x00", 3.5])
def test_no_wrong_value_is_answered_in_jargon(value: object) -> None:
    """Whatever stands wherever: a fault in our words, or a setting that may be so."""
    data = tomllib.loads(RIGHT)
    for spoiled in _spoiled(data, value):
        fault = _fault_of(spoiled)
        if fault is not None:
            assert "cannot be used" not in str(fault)
            assert "Input should" not in str(fault)
            assert all(one.what and one.write for one in fault.faults)


@pytest.mark.parametrize(
    "lines", ['opt_out_folder = "inbox"', 'folders = ["INBOX", "Tea"]\nopt_out_folder = "Tea"']
)
def test_staffs_folder_is_never_one_that_customers_mail_comes_to(
    file: ConfigFile, lines: str
) -> None:
    """Everybody who writes would be opted out."""
    file.write(('password_file = "imap-password"', f'password_file = "imap-password"\n{lines}'))
    fault = file.faults()["mailbox[0].opt_out_folder"]
    assert "everybody who writes there" in fault.what
    assert "Make a folder" in fault.write


@pytest.mark.parametrize("target", ["Inbox", "opt out"])
def test_mail_is_never_filed_where_it_would_be_heard_anew(file: ConfigFile, target: str) -> None:
    """Moved within INBOX it gets a new UID each time, without end."""
    lines = f'opt_out_folder = "Opt out"\nfiling = "move"\nfiling_folder = "{target}"'
    file.write(('password_file = "imap-password"', f'password_file = "imap-password"\n{lines}'))
    assert list(file.faults()) == ["mailbox[0].filing_folder"]


def test_a_folder_for_filing_may_have_any_name_where_nothing_is_moved(file: ConfigFile) -> None:
    lines = 'filing = "keyword"\nfiling_folder = "INBOX"'
    file.write(('password_file = "imap-password"', f'password_file = "imap-password"\n{lines}'))
    assert load(file.path).mailboxes[0].filing_folder == "INBOX"


def test_a_span_holds_as_many_days_as_have_to_lie_in_it(file: ConfigFile) -> None:
    file.write(after="[recognition]\nbounce_days = 31\n")
    fault = file.faults()["recognition.bounce_within_days"]
    assert "nobody would be taken for gone" in fault.what
    assert fault.write == "Write 31 or more, or lower bounce_days."
    file.write(after="[recognition]\nbounce_days = 30\n")
    assert load(file.path).recognition.bounce_days == 30


@pytest.mark.parametrize(
    ("key", "line", "most"),
    [("shop.policy_version", "policy_version", 40), ("daemon.name", "name", 80)],
)
def test_what_is_stored_fits_its_column(file: ConfigFile, key: str, line: str, most: int) -> None:
    """PostgreSQL refuses a row whose text is too long: no opt-out would be recorded."""
    too_long = f'{line} = "{"x" * (most + 1)}"'
    change = (
        _shop(too_long) if key.startswith("shop") else ("[relay]", f"[daemon]\n{too_long}\n[relay]")
    )
    assert file.write(change).faults()[key].write == f"Write at most {most} characters."


@pytest.mark.parametrize("word", ["two words", "\\\\Seen", "a(b", "täg", ""])
def test_a_keyword_is_an_atom_and_no_flag_of_the_servers(file: ConfigFile, word: str) -> None:
    line = f'filing_keyword = "{word}"'
    file.write(('password_file = "imap-password"', f'password_file = "imap-password"\n{line}'))
    assert list(file.faults()) == ["mailbox[0].filing_keyword"]
