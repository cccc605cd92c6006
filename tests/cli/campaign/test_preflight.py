"""`campaign preflight`: a checklist in plain words, and what it forbids."""

from __future__ import annotations

from mailbot.core.consent import Kind
from mailbot.store import consent
from mailbot.store.engine import Database
from tests.cli.campaign.test_campaign import create, every
from tests.cli.conftest import Shell
from tests.people import event
from tests.servers.dns import DnsServer

GOOD = '<p>Dear {{ first_name }},</p><p><a href="https://lindenhof.de/teas">Teas</a></p>'


def test_a_good_campaign_has_nothing_in_its_way(mailbot: Shell) -> None:
    assert create(mailbot, "--html", mailbot.write("letter.html", GOOD)).code == 0
    ended = mailbot("campaign", "preflight", "spring")
    assert ended.code == 0
    assert "FAIL" not in ended.out
    assert "links: 1 in the HTML: each has a whole address." in ended.out
    assert "letters: 3 were written, and each is whole." in ended.out
    assert "people: 3 can be reached now." in ended.out
    assert "Nothing stands in the way." in ended.out


def test_what_is_wrong_with_single_lines_of_the_audience_is_told_by_line(mailbot: Shell) -> None:
    people = "email,first_name,offer\nann@example.org,Ann,Tea\nbob@example.org,,Tea\n"
    people += "cleo@example.org,Cleo,how to unsubscribe\n"
    assert create(mailbot, people=people, subject="{{ offer }} for {{ first_name }}").code == 0
    ended = mailbot("campaign", "preflight", "spring", "--json")
    assert ended.code == 1
    assert ended.json["is_ready"] is False
    (letters,) = [check for check in ended.json["checks"] if check["check"] == "letters"]
    assert [(fault["severity"], fault["where"]) for fault in letters["faults"]] == [
        ("error", "line 4 of the audience"),
        ("warning", "line 3 of the audience"),
    ]
    assert "“first_name” is empty" in letters["faults"][1]["what"]
    shown = mailbot("campaign", "preflight", "spring")
    assert shown.code == 1
    assert "FAIL letters: line 4 of the audience: the subject holds 'unsubscribe'." in shown.out
    assert "cleo" not in shown.out, "aggregates and lines, never a person"


def test_an_audience_of_which_nobody_can_be_reached_is_an_error(
    mailbot: Shell, database: Database
) -> None:
    assert create(mailbot, people="email,first_name\nann@example.org,Ann\n").code == 0
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, "ann@example.org"))
    ended = mailbot("campaign", "preflight", "spring")
    assert ended.code == 1
    assert "nobody of it can be reached now" in ended.out


def test_a_broken_link_is_refused_before_anything_is_stored(
    mailbot: Shell, database: Database
) -> None:
    html = mailbot.write("letter.html", "<p>Hello</p>\n<a href='/teas'>Teas</a>")
    ended = create(mailbot, "--html", html)
    assert ended.code == 65
    assert "line 2" in ended.err
    assert "https://" in ended.err
    assert every(database) == []


def test_a_picture_of_20_mb_in_the_letter_is_told_as_such(mailbot: Shell) -> None:
    picture = "<p>Hello</p>\n<img alt='x' src='data:image/png;base64," + "A" * 20_000_000 + "'>"
    ended = create(mailbot, "--html", mailbot.write("letter.html", picture))
    assert ended.code == 65
    assert "line 2" in ended.err
    assert "A picture is written into it" in ended.err
    assert len(ended.err) < 500


def test_what_settings_forbid_since_the_draft_was_made_forbids_to_schedule_it(
    mailbot: Shell,
) -> None:
    assert create(mailbot).code == 0
    config = mailbot.config.read_text(encoding="utf-8")
    changed = config.replace("Lindenhof Tea, 1 Quay, Bristol", "Bristol")
    assert changed != config
    mailbot.config.write_text(changed, encoding="utf-8")
    ended = mailbot("campaign", "schedule", "spring", "--now")
    assert ended.code == 1
    assert "no postal address" in ended.err
    assert "mailbot campaign preflight spring" in ended.err
    assert mailbot("campaign", "preflight", "spring").code == 1


def test_what_the_dns_lacks_is_a_warning_and_forbids_nothing(mailbot: Shell) -> None:
    with DnsServer({("MX", "lindenhof.de"): ["10 mail.lindenhof.de."]}) as server:
        text = mailbot.config.read_text().replace("@shop.example", "@lindenhof.de")
        mailbot.config.write_text(f'{text}[dns]\nservers = ["127.0.0.1:{server.port}"]\n')
        assert create(mailbot).code == 0
        ended = mailbot("campaign", "preflight", "spring", "--json")
    assert ended.code == 0
    (domains,) = [check for check in ended.json["checks"] if check["check"] == "domains"]
    told = {(fault["severity"], fault["where"]) for fault in domains["faults"]}
    assert told == {("warning", "SPF of lindenhof.de"), ("warning", "DMARC of lindenhof.de")}


def test_names_for_trying_mailbot_are_looked_up_nowhere(mailbot: Shell) -> None:
    assert create(mailbot).code == 0
    assert (
        "domains: there is nothing to ask the DNS" in mailbot("campaign", "preflight", "spring").out
    )
