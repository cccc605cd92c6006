"""What `mailbot check` finds, at servers that are there, that refuse, and that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbot.cli.policy.change import add_version
from mailbot.config.dkim_keys import make_key
from mailbot.doctor import Finding, Level, examine
from mailbot.store import schema
from mailbot.web.health import HEALTHY
from tests.cli.conftest import CONFIG
from tests.servers import dovecot
from tests.servers import relay as relays
from tests.servers.certificates import Authority
from tests.servers.dns import DnsServer
from tests.servers.scripted_smtp import Answer, ScriptedSmtp
from tests.web.test_health import answer, web_server

LOGIN = ("mailbot", "relay-s3cret")


@pytest.fixture(scope="module")
def server() -> Iterator[dovecot.Dovecot]:
    if not dovecot.is_installed():
        pytest.skip("Debian's dovecot-imapd and openssl are not installed")
    with dovecot.Dovecot() as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def config(
    tmp_path: Path, server: dovecot.Dovecot, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A right configuration: Dovecot by TLS, a relay by STARTTLS and login, all on this machine."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with relays.running(tls=authority.server("DNS:localhost"), login=LOGIN) as relay:
        text = CONFIG.replace(
            'port = 1\nsecurity = "none"\nusername',
            f'port = {server.tls_port}\nca_file = "{server.ca_file}"\nusername',
        ).replace(
            'host = "127.0.0.1"\nport = 1\nsecurity = "none"\ntimeout_seconds = 2\n[campaigns]',
            f'host = "localhost"\nport = {relay.port}\nca_file = "{authority.ca_file}"\n'
            f'username = "{LOGIN[0]}"\npassword_file = "relay-password"\ntimeout_seconds = 2\n'
            "[campaigns]",
        )
        path = tmp_path / "mailbot.toml"
        path.write_text(text)
        for name, secret in (
            ("person-key", bytes(range(32)).hex()),
            ("token-key-1", bytes(range(1, 33)).hex()),
            ("imap-password", dovecot.PASSWORD),
            ("relay-password", LOGIN[1]),
        ):
            (tmp_path / name).write_text(secret)
            (tmp_path / name).chmod(0o600)
        schema.upgrade(f"sqlite:///{tmp_path}/mailbot.db")
        yield path
        assert relay.taken == [], "not one mail was sent"


def failures(config: Path) -> list[Finding]:
    return [finding for finding in examine(config) if finding.level is Level.FAIL]


def change(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


def test_where_all_is_right_nothing_fails(config: Path) -> None:
    found = list(examine(config))
    assert [finding for finding in found if finding.level is Level.FAIL] == []
    told = "\n".join(f"{finding.subject}: {finding.what}" for finding in found)
    for words in (
        "every password and key can be read",
        "has the right schema",
        "127.0.0.1 lets help in",
        "the folder INBOX can be read (0 mails)",
        "the folder Junk can be read (0 mails)",
        "it lets mailbot in, over TLS",
    ):
        assert words in told


def test_certificates_that_end_soon_are_warned_of(config: Path) -> None:
    """The tests' certificates are good for two days."""
    warnings = [finding for finding in examine(config) if finding.level is Level.WARN]
    assert [finding.subject.split()[0] for finding in warnings] == ["mailbox", "relay"]
    assert all("good for 1 more day (until" in finding.what for finding in warnings)
    assert all(finding.next_step for finding in warnings)


@pytest.mark.parametrize(("days", "level"), [(9, Level.WARN), (20, Level.OK)])
def test_a_certificate_is_warned_of_in_its_last_two_weeks(
    config: Path, authority: Authority, days: int, level: Level
) -> None:
    context = authority.server("DNS:localhost", days=days)
    with relays.running(tls=context, login=LOGIN) as relay:
        start = config.read_text().index("port = ", config.read_text().index("[relay]"))
        text = config.read_text()
        config.write_text(f"{text[:start]}port = {relay.port}{text[text.index(chr(10), start) :]}")
        found = [finding for finding in examine(config) if finding.subject.startswith("relay")]
    expiry = [finding for finding in found if "certificate" in finding.what]
    assert [finding.level for finding in expiry] == [level]
    assert f"good for {days - 1} more days (until 2" in expiry[0].what
    assert bool(expiry[0].next_step) is (level is Level.WARN)


def test_the_public_page_is_asked_where_the_mails_links_point(
    config: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    with web_server(authority, answer("200 OK", HEALTHY)) as (url, _):
        config.write_text(f'{config.read_text()}[public]\nurl = "{url}"\n')
        said = [one for one in examine(config) if one.subject == f"public page {url}"]
    assert [(one.level, one.what.split(" (")[0]) for one in said] == [
        (Level.OK, "it answers."),
        (Level.WARN, "its certificate is good for 1 more day"),
    ]
    [missing] = [one for one in failures(config) if one.subject == f"public page {url}"]
    assert "Connection refused" in missing.what
    assert "mailbot-public" in missing.next_step


def test_no_settings_at_all_is_one_fault(tmp_path: Path) -> None:
    [missing] = examine(tmp_path / "mailbot.toml")
    assert (missing.level, missing.subject) == (Level.FAIL, f"{tmp_path}/mailbot.toml")
    assert "Copy config/mailbot.toml there" in missing.next_step


def test_wrong_passwords_are_told_and_what_to_look_at(config: Path) -> None:
    for name in ("imap-password", "relay-password"):
        (config.parent / name).write_text("wrong")
    mailbox, relay = failures(config)
    assert "refused the user name or the password" in mailbox.what
    assert "password_file" in mailbox.next_step
    assert "refused the login of mailbot" in relay.what
    assert "relay.password_file" in relay.next_step


@pytest.mark.parametrize(
    ("token", "answer", "level", "words"),
    [
        ("ya29.fresh", b"235 2.7.0 Accepted\r\n", Level.OK, "lets mailbot in by token"),
        ("ya29.old", b"535 5.7.8 no\r\n", Level.FAIL, "refused the token of mailbot: 535 5.7.8"),
        ("{}", b"", Level.FAIL, "is no bearer token"),
        (None, b"", Level.FAIL, "relay-token does not exist"),
    ],
)
def test_a_login_by_token_is_tried(
    config: Path, token: str | None, answer: Answer, level: Level, words: str
) -> None:
    change(config, 'password_file = "relay-password"', 'oauth_token_file = "relay-token"')
    if token is not None:
        (config.parent / "relay-token").write_text(token)
        (config.parent / "relay-token").chmod(0o600)
    with ScriptedSmtp({"AUTH": answer}, extensions=("AUTH XOAUTH2",)) as relay:
        head, _, tail = config.read_text().partition("[relay]")
        lines = [line for line in tail.split("\n") if not line.startswith(("port =", "ca_file"))]
        settings = "\n".join([f'port = {relay.port}\nsecurity = "none"', *lines])
        config.write_text(f"{head}[relay]\n{settings}")
        found = [
            finding for finding in examine(config) if "relay" in finding.subject + finding.what
        ]
    assert [finding.level for finding in found] == [level]
    assert words in found[0].what
    assert bool(found[0].next_step) is (level is Level.FAIL)


def test_servers_that_are_not_there_are_told(config: Path) -> None:
    change(config, 'host = "localhost"', 'host = "nowhere.invalid"')
    text = config.read_text()
    start = text.index("port = ", text.index("[[mailbox]]"))
    end = text.index("\n", start)
    config.write_text(f"{text[:start]}port = {dovecot.free_port()}{text[end:]}")
    mailbox, relay = failures(config)
    assert "connection refused" in mailbox.what
    assert "no host of that name" in relay.what


def test_a_folder_that_is_not_there_is_told_with_those_that_are(config: Path) -> None:
    change(config, 'username = "help"', 'username = "help"\nfolders = ["INBOX", "Spam"]')
    [missing] = failures(config)
    assert "'Spam'" in missing.what
    assert "there are: INBOX, Junk" in missing.next_step.replace("Junk, INBOX", "INBOX, Junk")


def test_a_certificate_of_nobody_is_told(config: Path, server: dovecot.Dovecot) -> None:
    change(config, f'ca_file = "{server.ca_file}"\n', "")
    [mailbox] = failures(config)
    assert "certificate is not trusted" in mailbox.what


def test_faults_of_the_settings_are_told_each_by_itself(config: Path) -> None:
    change(config, 'from_name = "Lindenhof Tea"', "")
    change(config, 'name = "Lindenhof Tea"\n', "")
    found = list(examine(config))
    assert [finding.level for finding in found] == [Level.FAIL, Level.FAIL]
    assert all(finding.what and finding.next_step for finding in found)


def test_a_missing_secret_fails_once_and_the_rest_is_looked_at(config: Path) -> None:
    (config.parent / "imap-password").unlink()
    [missing] = failures(config)
    assert "imap-password does not exist" in missing.what
    assert any("over TLS" in finding.what for finding in examine(config))


def test_a_database_that_is_not_there_is_not_made(config: Path) -> None:
    (config.parent / "mailbot.db").unlink()
    [missing] = failures(config)
    assert missing.next_step == "Run: mailbot db upgrade"
    assert not (config.parent / "mailbot.db").exists()


def test_a_damaged_database_and_the_wrong_key_are_told(config: Path) -> None:
    url = f"sqlite:///{config.parent}/mailbot.db"
    from mailbot.store import keys
    from mailbot.store.engine import Database
    from tests.people import PERSON_KEY

    database = Database.open(url)
    with database.write() as conn:
        keys.adopt(conn, PERSON_KEY)
    database.close()
    (config.parent / "person-key").write_text(bytes(32).hex())
    assert [finding.subject for finding in failures(config)] == ["person key"]
    (config.parent / "mailbot.db").write_bytes(b"x" * 5000)
    assert [finding.subject for finding in failures(config)] == ["database"]


def test_a_template_of_the_shop_that_reads_as_an_offer_is_told(config: Path) -> None:
    folder = config.parent / "templates"
    folder.mkdir()
    (folder / "shipped.txt").write_text("Subject: Shipped, and 20% off\n\nYour order.\n")
    change(config, 'from_name = "Lindenhof Orders"',
           'from_name = "Lindenhof Orders"\ntemplates_dir = "templates"')  # fmt: skip
    [fault] = failures(config)
    assert "reads as an offer" in fault.what


def test_words_of_ones_own_that_cannot_be_read_are_told_with_their_place(config: Path) -> None:
    (config.parent / "words.toml").write_text(
        '[[entry]]\nlanguage = "de"\nform = "Stopp"\nwhere = "x"\n'
    )
    with config.open("a", encoding="utf-8") as text:
        text.write('[recognition]\nvocabulary = "words.toml"\n')
    (told,) = [one for one in examine(config) if one.subject == "vocabulary"]
    assert told.level is Level.FAIL
    assert "words.toml, entry 1" in told.what


def test_shadow_mode_is_warned_of(config: Path) -> None:
    with config.open("a", encoding="utf-8") as text:
        text.write('[recognition]\nmode = "shadow"\n')
    (told,) = [one for one in examine(config) if one.subject == "recognition"]
    assert (told.level, "nothing is sent" in told.what) == (Level.WARN, True)


def test_a_folder_for_opting_out_is_never_one_of_the_servers(config: Path) -> None:
    """Whoever's mail is deleted, or taken for junk, would be opted out."""
    change(config, 'username = "help"', 'username = "help"\nopt_out_folder = "Junk"')
    (told,) = failures(config)
    assert "the server's folder for junk" in told.what


def test_a_folder_for_filing_that_is_not_there_is_warned_of(config: Path) -> None:
    change(config, 'username = "help"', 'username = "help"\nfiling = "move"')
    found = [one for one in examine(config) if "no folder Unsubscribed" in one.what]
    assert [one.level for one in found] == [Level.WARN]


def test_the_policy_in_force_is_told_with_who_says_so(config: Path) -> None:
    def told() -> list[str]:
        return [finding.what for finding in examine(config) if finding.subject == "privacy policy"]

    assert told() == ["version 7 by the settings, as none is recorded yet."]
    add_version(config, "2027-03", None, None, None)
    assert told() == ["version 2027-03 by `mailbot policy add`."]


def with_domain(config: Path, server: DnsServer) -> None:
    """The shop is at a domain of which `server` knows."""
    text = config.read_text().replace("@shop.example", "@lindenhof.de")
    config.write_text(f'{text}[dns]\nservers = ["127.0.0.1:{server.port}"]\n')


def test_what_the_dns_says_of_our_domains_is_told(config: Path) -> None:
    zone = {
        ("MX", "lindenhof.de"): ["10 mail.lindenhof.de."],
        ("TXT", "lindenhof.de"): ['"v=spf1 mx -all"'],
    }
    with DnsServer(zone) as server:
        with_domain(config, server)
        found = list(examine(config))
    told = {finding.subject: finding for finding in found}
    assert told["mail to lindenhof.de"].level is Level.OK
    assert told["SPF of lindenhof.de"].what == "“v=spf1 mx -all”"
    assert told["DMARC of lindenhof.de"].level is Level.WARN
    assert "_dmarc.lindenhof.de: TXT" in told["DMARC of lindenhof.de"].next_step


def test_a_key_that_signs_but_is_not_published_fails(config: Path) -> None:
    key = config.with_name("dkim")
    key.write_text(make_key("ed25519").pem)
    key.chmod(0o600)
    zone = {("MX", "lindenhof.de"): ["10 mail.lindenhof.de."]}
    with DnsServer(zone) as server:
        with_domain(config, server)
        text = config.read_text()
        entry = 'domain = "lindenhof.de"\nselector = "tea1"\nkey_file = "dkim"\n'
        config.write_text(f"{text}[[dkim]]\n{entry}")
        (failure,) = failures(config)
        assert failure.subject == "DKIM key tea1"
        assert "mailbot keys records" in failure.next_step
        server.zone["TXT", "tea1._domainkey.lindenhof.de"] = [f'"{make_key("ed25519").record}"']
        (failure,) = failures(config)
        assert "of another key" in failure.what


def test_a_dns_that_does_not_answer_is_no_failure(config: Path) -> None:
    with DnsServer({}, silent=["lindenhof.de", "_dmarc.lindenhof.de"]) as server:
        with_domain(config, server)
        config.write_text(config.read_text() + "timeout_seconds = 1\n")
        found = list(examine(config))
    (told,) = [finding for finding in found if finding.subject == "DNS"]
    assert told.level is Level.OK
    assert "nobody could be asked about _dmarc.lindenhof.de, lindenhof.de" in told.what
