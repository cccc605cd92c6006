"""`campaign test`: the team gets what a customer would get, and the list is looked at for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import dkim
import pytest
from sqlalchemy import func, select

from mailbot.config import load
from mailbot.core.consent import Kind
from mailbot.core.tokens import TokenKey, TokenKeys, verify_opt_out, verify_return_path
from mailbot.store import campaigns, consent, switches
from mailbot.store.engine import Database
from mailbot.store.tables import delivery_attempts, outbox
from tests.cli.campaign.test_campaign import create
from tests.cli.conftest import Ended, Shell
from tests.people import event
from tests.servers import relay as relays
from tests.servers.relay import Relay

ME, BOSS = "me@shop.example", "boss@shop.example"
HTML = '<p>Dear {{ first_name }},</p><p><a href="https://lindenhof.de/teas">New teas</a></p>'


@pytest.fixture
def relay(mailbot: Shell) -> Iterator[Relay]:
    with relays.running() as running:
        change(mailbot, '[relay]\nhost = "127.0.0.1"\nport = 1\n',
               f'[relay]\nhost = "127.0.0.1"\nport = {running.port}\n')  # fmt: skip
        yield running


def change(mailbot: Shell, old: str, new: str) -> None:
    config = mailbot.config.read_text(encoding="utf-8")
    assert old in config
    mailbot.config.write_text(config.replace(old, new), encoding="utf-8")


def draft(mailbot: Shell) -> None:
    html = mailbot.write("letter.html", HTML)
    assert create(mailbot, "--html", html, subject="Teas for {{ first_name }}").code == 0


def try_out(mailbot: Shell, *more: str, to: tuple[str, ...] = (ME,)) -> Ended:
    return mailbot("campaign", "test", "spring", *(f"--to={one}" for one in to), *more)


def body_of(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[2]


def test_the_team_gets_the_bytes_that_a_customer_would_get(mailbot: Shell, relay: Relay) -> None:
    draft(mailbot)
    ended = try_out(mailbot, "--line", "3", to=(ME, BOSS))
    assert ended.code == 0, ended
    assert "as line 3 of the audience would get it: 2 test mails sent" in ended.out
    assert [taken.recipient for taken in relay.taken] == [ME, BOSS]
    folder = mailbot.folder / "out"
    assert mailbot("campaign", "preview", "spring", "--line", "3", "--save", str(folder)).code == 0
    customers = (folder / "spring.eml").read_bytes()
    for taken in relay.taken:
        assert body_of(taken.content) == body_of(customers)
        assert b"Dear Bob," in taken.content
        assert taken.message["Subject"] == "Teas for Bob"
        assert taken.message["To"] == taken.recipient
        assert taken.message["X-Mailbot-Test"] == "yes"
        assert "bob@example.org" not in taken.content.decode(), "nobody answers a customer"
    names = [name for name, _ in relay.taken[0].message.items() if name != "X-Mailbot-Test"]
    assert names == re.findall(
        r"^([\w-]+):", customers.decode().partition("\r\n\r\n")[0], re.MULTILINE
    )


def test_the_way_out_in_it_is_the_readers_own(mailbot: Shell, relay: Relay) -> None:
    draft(mailbot)
    assert try_out(mailbot).code == 0
    [taken] = relay.taken
    keys = TokenKeys((TokenKey(1, bytes.fromhex((mailbot.folder / "token-key-1").read_text())),))
    found = re.search(r"\+u-([a-z2-7]+)@", taken.message["List-Unsubscribe"])
    assert found is not None
    opted_out = verify_opt_out(keys, found[1]).person_hash
    assert opted_out == event(Kind.OPT_OUT, ME).person.person_hash
    assert opted_out != event(Kind.OPT_OUT, "ann@example.org").person.person_hash
    token = taken.sender.partition("+b-")[2].partition("@")[0]
    assert verify_return_path(keys, token) == 0, "a report about it is about nobody's message"


def test_it_is_signed_as_a_customers_letter_is(mailbot: Shell, relay: Relay) -> None:
    path = str(mailbot.folder / "dkim-tea1")
    made = mailbot("keys", "dkim", "tea1", "shop.example", "--to", path).out
    settings = made[made.index("[[dkim]]") : made.index("\n\nAnother user")]
    mailbot.config.write_text(
        mailbot.config.read_text(encoding="utf-8") + settings, encoding="utf-8"
    )
    [record] = mailbot("keys", "records", "--json").json
    draft(mailbot)
    assert try_out(mailbot, "--mark").code == 0
    [taken] = relay.taken
    assert dkim.verify(taken.content, dnsfunc=lambda name, timeout=5: record["record"].encode())


def test_who_is_on_the_list_gets_no_test_mail_and_is_told_why(
    mailbot: Shell, relay: Relay, database: Database
) -> None:
    draft(mailbot)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "me+teas@shop.example"))
    ended = try_out(mailbot, to=(ME, BOSS))
    assert ended.code == 1
    assert f"{ME}: withheld, it is on the do-not-send list (opt out)" in ended.out
    assert f"{BOSS}: sent" in ended.out
    assert [command for command in relay.commands if ME in command] == []
    assert [taken.recipient for taken in relay.taken] == [BOSS]


def test_a_wish_to_leave_during_the_test_still_withholds_the_mail_after_it(
    mailbot: Shell, relay: Relay, database: Database
) -> None:
    draft(mailbot)

    def leave(step: str, recipient: str) -> None:
        if step == "." and recipient == ME:
            with database.write() as conn:
                consent.record(conn, event(Kind.OPT_OUT, BOSS))

    relay.on_step = leave
    outcomes = try_out(mailbot, "--json", to=(ME, BOSS)).json["recipients"]
    assert [one["outcome"] for one in outcomes] == ["sent", "withheld"]
    assert outcomes[1]["withheld_reason"] == "opt_out"
    assert [taken.recipient for taken in relay.taken] == [ME]


def test_a_stranger_gets_a_customers_fields_only_where_somebody_says_so(
    mailbot: Shell, relay: Relay
) -> None:
    draft(mailbot)
    ended = try_out(mailbot, to=(ME, "friend@example.org"))
    assert ended.code == 1
    assert "not in the shop's own domains (shop.example): friend@example.org" in ended.err
    assert "--anyone" in ended.err
    assert relay.commands == [], "nobody gets one, not even who may"
    assert try_out(mailbot, "--anyone", to=("friend@example.org",)).code == 0
    assert [taken.recipient for taken in relay.taken] == ["friend@example.org"]


def test_the_shops_own_domains_are_those_of_its_addresses_and_of_the_setting(
    mailbot: Shell,
) -> None:
    change(mailbot, "[store]", 'own_domains = ["team.example"]\n[store]')
    change(mailbot, "offers@shop.example", "offers@mail.shop.example")
    change(mailbot, "orders@shop.example", "orders@gmail.com")
    settings = load(mailbot.config)
    assert settings.team_domains == {"shop.example", "mail.shop.example", "team.example"}


def test_ten_people_are_enough_for_a_test(mailbot: Shell, relay: Relay) -> None:
    draft(mailbot)
    ended = try_out(mailbot, to=tuple(f"p{number}@shop.example" for number in range(11)))
    assert ended.code == 1
    assert "10 addresses at most, and these are 11" in ended.err
    assert relay.commands == []
    assert try_out(mailbot, to=(ME, ME.upper())).code == 0
    assert len(relay.taken) == 1, "each once"


def test_the_subject_is_marked_only_on_demand(mailbot: Shell, relay: Relay) -> None:
    draft(mailbot)
    assert try_out(mailbot, "--mark").code == 0
    assert relay.taken[0].message["Subject"] == "[Test] Teas for Ann"


def test_it_counts_for_nothing_but_is_in_the_history_and_the_preflight(
    mailbot: Shell, relay: Relay, database: Database
) -> None:
    draft(mailbot)
    before = mailbot("campaign", "preflight", "spring").out
    assert "look test mail: campaign: nobody has seen it in a mail program yet." in before
    assert "mailbot campaign test spring --to" in before
    assert try_out(mailbot, "--by", "dora").code == 0
    after = mailbot("campaign", "preflight", "spring").out
    assert re.search(r"ok +test mail: dora sent the last one at 20", after)
    assert re.search(r"dora +test mail +to the team: 1 of 1 sent", status(mailbot).out)
    [tested] = status(mailbot, "--json").json["tests"]
    assert (tested["by"], tested["line"], tested["recipients"], tested["sent"]) == ("dora", 2, 1, 1)
    assert ME not in status(mailbot).out + status(mailbot, "--json").out
    with database.read() as conn:
        assert conn.execute(select(func.count()).select_from(outbox)).scalar() == 0
        assert conn.execute(select(func.count()).select_from(delivery_attempts)).scalar() == 0
        assert campaigns.get(conn, "spring").state == "draft"


def status(mailbot: Shell, *more: str) -> Ended:
    return mailbot("campaign", "status", "spring", *more)


def test_what_the_relay_refuses_is_told_in_its_words_and_suppresses_nobody(
    mailbot: Shell, relay: Relay, database: Database
) -> None:
    draft(mailbot)
    relay.script.rcpt[ME] = "550 5.1.1 no such user"
    ended = try_out(mailbot, to=(ME, BOSS))
    assert ended.code == 1
    assert f"{ME}: not sent: 550 5.1.1 no such user" in ended.out
    assert f"{BOSS}: sent" in ended.out
    assert mailbot("suppress", "list", "--json").json["newest"] == []
    relay.script.rcpt.clear()
    relay.script.hang_up_after_dot = True
    ended = try_out(mailbot)
    assert ended.code == 1
    assert f"{ME}: may have arrived or not" in ended.out
    assert [one["sent"] for one in status(mailbot, "--json").json["tests"]] == [1, 0]


def test_a_relay_that_is_away_is_told_and_nothing_is_recorded(mailbot: Shell) -> None:
    draft(mailbot)
    ended = try_out(mailbot)
    assert ended.code == 69
    assert "127.0.0.1:1" in ended.err
    assert status(mailbot, "--json").json["tests"] == []


def test_no_test_mail_leaves_while_marketing_is_stopped_or_mailbot_only_watches(
    mailbot: Shell, relay: Relay, database: Database
) -> None:
    draft(mailbot)
    with database.write() as conn:
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=True, because="wrong price")
    ended = try_out(mailbot)
    assert (ended.code, relay.commands) == (1, [])
    assert "all marketing is stopped" in ended.err
    with database.write() as conn:
        switches.turn(conn, switches.MARKETING_STOPPED, is_on=False, because="")
    change(mailbot, "[store]", '[recognition]\nmode = "shadow"\n[store]')
    ended = try_out(mailbot)
    assert (ended.code, relay.commands) == (1, [])
    assert "mailbot only watches" in ended.err


def test_a_campaign_that_is_over_and_a_line_with_nobody_are_refused(
    mailbot: Shell, relay: Relay
) -> None:
    draft(mailbot)
    ended = try_out(mailbot, "--line", "99")
    assert ended.code == 65
    assert "nobody stands in line 99" in ended.err
    assert mailbot("campaign", "cancel", "spring").code == 0
    ended = try_out(mailbot)
    assert ended.code == 1
    assert "it is cancelled" in ended.err
    assert relay.commands == []
