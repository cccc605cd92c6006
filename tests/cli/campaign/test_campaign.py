"""Marketing's commands, from the draft to the end."""

from __future__ import annotations

import csv
import json

import pytest

from mailbot.cli.stop_marketing import who
from mailbot.core.consent import Kind
from mailbot.store import campaigns, consent
from mailbot.store.engine import Database
from tests.cli.conftest import Ended, Shell
from tests.people import event
from tests.store.filling import campaign_under_way

PEOPLE = "email,first_name\nann@example.org,Ann\nbob@example.org,Bob\ncleo@example.org,Cleo\n"
LETTER = "Dear {{ first_name }},\n\nnew teas are in.\n"


def create(
    mailbot: Shell,
    *more: str,
    people: str | bytes = PEOPLE,
    letter: str | bytes = LETTER,
    subject: str | None = "New teas are in",
    name: str = "spring",
) -> Ended:
    return mailbot(
        "campaign", "create", name,
        "--audience", mailbot.write("people.csv", people),
        "--text", mailbot.write("letter.txt", letter),
        *(["--subject", subject] if subject else []), *more,
    )  # fmt: skip


def every(database: Database) -> list[tuple[str, str]]:
    with database.read() as conn:
        return [(one.name, one.state) for one in campaigns.every(conn)]


def test_a_draft_says_who_can_be_reached_and_who_is_left_out_and_why(
    mailbot: Shell, database: Database
) -> None:
    leavers = [f"p{number}@example.org" for number in range(5)]
    with database.write() as conn:
        for leaver in leavers:
            consent.record(conn, event(Kind.OPT_OUT, leaver.upper()))
        consent.record(conn, event(Kind.UNDELIVERABLE, "bob@example.org"))
    ended = create(mailbot, people=PEOPLE + "".join(f"{who},P\n" for who in leavers))
    assert ended.code == 0
    assert "“spring” is a draft for 8 people" in ended.out
    assert "2  can be reached now" in ended.out
    assert "5  on the do-not-send list: opt out" in ended.out
    assert "1  on the do-not-send list: fewer than 5 each" in ended.out
    for command in ("preflight spring", "test spring --to", "schedule spring --at"):
        assert f"mailbot campaign {command}" in ended.out
    [made] = mailbot("campaign", "status", "spring", "--json").json["history"]
    assert (made["state"], made["by"]) == ("draft", who())
    assert every(database) == [("spring", "draft")]


def test_an_audience_of_one_does_not_tell_why_that_one_is_on_the_list(
    mailbot: Shell, database: Database
) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.COMPLAINT, "ann@example.org"))
    shown = create(mailbot, people="email,first_name\nann@example.org,Ann\n").out
    shown += mailbot("campaign", "status", "--json").out
    scheduled = ("campaign", "schedule", "spring", "--now")
    shown += mailbot(*scheduled).out + mailbot(*scheduled, "--json").out
    shown += mailbot("campaign", "status", "spring").out + mailbot("status", "--json").out
    assert "fewer than 5 each" in shown
    assert '"fewer_than_5_each": 1' in shown
    listed = mailbot("status", "--json").json["listed"]
    assert listed == {"complaint": 1}, "the list itself is told by reason: whose, it does not say"
    assert "complaint" not in shown.replace('"complaint": 1', "", 1)


def test_the_subject_may_stand_above_the_letter(mailbot: Shell, database: Database) -> None:
    ended = create(
        mailbot, letter=f"Subject: Teas for {{{{ first_name }}}}\n\n{LETTER}", subject=None
    )
    assert ended.code == 0
    with database.read() as conn:
        made = campaigns.get(conn, "spring")
    assert (made.subject, made.text_source) == ("Teas for {{ first_name }}", LETTER)


def test_bad_lines_create_nothing_and_are_named(mailbot: Shell, database: Database) -> None:
    ended = create(mailbot, people=PEOPLE + "nobody,N\nzoe@example.org\n")
    assert ended.code == 65
    assert "2 lines cannot be used" in ended.err
    assert "line 5: 'nobody' is not an address" in ended.err
    assert "line 6: it has 1 columns, the heading 2" in ended.err
    assert "--skip-bad to write to the other 3" in ended.err
    assert every(database) == []


def test_bad_lines_can_be_skipped_and_are_told_all_the_same(
    mailbot: Shell, database: Database
) -> None:
    people = PEOPLE + "nobody,N\nAnn@example.org,Twice\n"
    made = create(mailbot, "--skip-bad", "--json", people=people).json
    assert made["left_out"] == [{"line": 5, "why": "'nobody' is not an address"}]
    assert made["duplicates"] == [{"line": 6, "first_line": 2}]
    assert made["reachable_now"] == 3
    assert every(database) == [("spring", "draft")]


def test_a_line_break_that_a_header_would_hold_is_a_bad_line(
    mailbot: Shell, database: Database
) -> None:
    people = "email,offer,name,first_name\nann@example.org,Tea,Ann,Ann\n"
    people += 'bob@example.org,"Tea\nfor two",Bob,Bob\ncleo@example.org,Tea,"Cleo\nCope",Cleo\n'
    people += 'dan@example.org,Tea,Dan,"Dan\nthe man"\n'
    ended = create(mailbot, people=people, subject="{{ offer }} today")
    assert ended.code == 65
    assert "2 lines cannot be used" in ended.err
    assert "line 3: the subject came out with a line break" in ended.err
    assert "(“offer”)" in ended.err
    assert "line 5: “name”, which stands in To, holds a line break" in ended.err
    assert every(database) == []
    assert create(mailbot, "--skip-bad", people=people, subject="{{ offer }} today").code == 0
    assert mailbot("campaign", "preflight", "spring").code == 0


def test_an_audience_that_is_not_utf_8_is_told_with_its_line(mailbot: Shell) -> None:
    ended = create(mailbot, people=PEOPLE.encode() + "zoe@example.org,Zoë\n".encode("latin-1"))
    assert ended.code == 65
    assert "people.csv, line 5: byte 0xeb is not UTF-8" in ended.err
    assert "CSV UTF-8" in ended.err


def test_a_letter_that_is_not_utf_8_is_told_with_its_line(mailbot: Shell) -> None:
    ended = create(mailbot, letter=b"Dear all,\nbient\xf4t\n")
    assert ended.code == 65
    assert "letter.txt, line 2: byte 0xf4 is not UTF-8" in ended.err


def test_a_missing_field_is_told_with_its_line_and_a_guess(
    mailbot: Shell, database: Database
) -> None:
    ended = create(mailbot, letter="Dear {{ first_nam }},\n\n{{ town }}\n")
    assert ended.code == 65
    assert "the audience has no column 'first_nam'; it has: email, first_name" in ended.err
    assert "Did you mean 'first_name'?" in ended.err
    assert "line 3" in ended.err, "all faults at once"
    assert every(database) == []


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("How to unsubscribe", "the subject holds 'unsubscribe'"),
        ("Re: your order", "answers nobody"),
        ("{{ first_name", "line 1"),
    ],
)
def test_a_subject_that_may_not_go_out_is_refused(
    mailbot: Shell, database: Database, subject: str, words: str
) -> None:
    ended = create(mailbot, subject=subject)
    assert ended.code == 65
    assert words in ended.err
    assert every(database) == []


def test_what_only_shows_when_a_letter_is_written_is_told_too(
    mailbot: Shell, database: Database
) -> None:
    """The word comes in with the first person's own field."""
    people = "email,first_name\nann@example.org,unsubscribe\n"
    ended = create(mailbot, people=people, subject="Teas for {{ first_name }}")
    assert ended.code == 65
    assert "as line 2 would get it" in ended.err
    assert every(database) == []


def test_files_that_are_not_there_are_told(mailbot: Shell) -> None:
    letter, people = mailbot.write("l.txt", LETTER), mailbot.write("p.csv", PEOPLE)
    for arguments in (["--text", "/nowhere", "--audience", people],
                      ["--text", letter, "--audience", "/nowhere"]):  # fmt: skip
        ended = mailbot("campaign", "create", "x", "--subject", "Tea", *arguments)
        assert ended.code == 65
        assert "/nowhere" in ended.err


def test_a_name_is_taken_once(mailbot: Shell) -> None:
    assert create(mailbot).code == 0
    ended = create(mailbot)
    assert ended.code == 1
    assert "already there" in ended.err
    assert create(mailbot, name="a\nb").code == 65


def test_a_time_with_its_zone_is_kept_as_a_moment(mailbot: Shell) -> None:
    create(mailbot)
    ended = mailbot(
        "campaign", "schedule", "spring", "--at", "2099-07-01 09:00", "--zone", "Europe/Berlin"
    )
    assert ended.code == 0
    assert "2099-07-01 09:00 Europe/Berlin (2099-07-01 07:00 UTC)" in ended.out
    [told] = mailbot("campaign", "status", "--json").json
    assert (told["state"], told["send_at"]) == ("scheduled", "2099-07-01T07:00:00+00:00")


def test_a_past_time_is_refused_and_changes_nothing(mailbot: Shell, database: Database) -> None:
    create(mailbot)
    ended = mailbot("campaign", "schedule", "spring", "--at", "2020-01-01 09:00", "--zone", "UTC")
    assert ended.code == 65
    assert "is past" in ended.err
    assert "--now" in ended.err
    assert every(database) == [("spring", "draft")]


@pytest.mark.parametrize("when", [[], ["--now", "--at", "2099-01-01"], ["--now", "--zone", "UTC"]])
def test_schedule_takes_a_time_or_now(mailbot: Shell, when: list[str]) -> None:
    create(mailbot)
    assert mailbot("campaign", "schedule", "spring", *when).code == 64


def test_pause_resume_and_cancel_do_what_they_say(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, "ann@example.org", "bob@example.org")
    assert "“spring” is paused. 0 sent, 2 waiting." in mailbot("campaign", "pause", "spring").out
    assert every(database) == [("spring", "paused")]
    assert mailbot("campaign", "resume", "spring").code == 0
    assert every(database) == [("spring", "sending")]
    ended = mailbot("campaign", "cancel", "spring", "--because", "wrong price")
    assert "“spring” is over. 0 sent, 0 waiting." in ended.out
    assert "cancelled (wrong price)" in mailbot("campaign", "status", "spring").out


def test_what_cannot_be_done_any_more_is_refused(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, "ann@example.org")
    mailbot("campaign", "cancel", "spring")
    for command in ("pause", "resume", "cancel"):
        ended = mailbot("campaign", command, "spring")
        assert ended.code == 1, command
        assert "is cancelled" in ended.err


def test_a_draft_cannot_be_paused_and_it_is_said_where_to_look(mailbot: Shell) -> None:
    create(mailbot)
    ended = mailbot("campaign", "pause", "spring")
    assert ended.code == 1
    assert "mailbot campaign --help" in ended.err
    assert "can be paused" in mailbot("campaign", "--help").out


def test_a_campaign_that_is_not_there_is_told(mailbot: Shell) -> None:
    for command in (["pause"], ["status"], ["schedule", "--now"]):
        ended = mailbot("campaign", command[0], "nothing", *command[1:])
        assert ended.code == 65
        assert "no campaign is named “nothing”" in ended.err


def test_status_counts_and_names_nobody(mailbot: Shell, database: Database) -> None:
    assert "no campaign yet" in mailbot("campaign", "status").out
    campaign_under_way(database, "ann@example.org", "bob@example.org")
    mailbot("suppress", "add", "ann@example.org")
    shown = mailbot("campaign", "status").out
    assert [line.split() for line in shown.splitlines()][1][-3:] == ["2", "1", "1"]
    one = mailbot("campaign", "status", "spring").out
    assert "1  withheld: fewer than 5 each" in one
    assert "1  queued" in one
    assert "@" not in shown + one


def test_who_can_be_reached_is_asked_of_the_list_while_somebody_is_left_to_be_queued(
    mailbot: Shell, database: Database
) -> None:
    create(mailbot)
    campaign_under_way(database, "ann@example.org", name="summer")
    every_one = mailbot("campaign", "status", "--json").json
    told = {one["name"]: one["reachable_now"] for one in every_one}
    assert told == {"spring": 3, "summer": None}
    one = mailbot("campaign", "status", "summer").out
    assert "1  queued" in one
    assert "can be reached" not in one


def test_another_encoding_and_other_names_for_columns_are_taken_by_name(
    mailbot: Shell, database: Database
) -> None:
    people = "sep=;\r\nKunde;Vorname\r\nann@example.org;Zoë\r\n".encode("cp1252")
    letter = "Dear {{ first_name }} of {{ first_name }},\n\nnew teas are in.\n"
    given = ["--email-column", "kunde", "--field", "first_name=Vorname"]
    refused = create(mailbot, *given, people=people, letter=letter)
    assert (refused.code, "--encoding windows-1252" in refused.err) == (65, True)
    made = create(mailbot, *given, "--encoding", "windows-1252", people=people, letter=letter)
    assert made.code == 0
    with database.read() as conn:
        [fields] = conn.exec_driver_sql("SELECT fields FROM audience_members").scalars()
    assert json.loads(fields) == {"Kunde": "ann@example.org", "first_name": "Zoë"}


@pytest.mark.parametrize("pair", ["first_name", "=Vorname", "first_name="])
def test_what_names_no_column_is_told(mailbot: Shell, pair: str) -> None:
    ended = create(mailbot, "--field", pair)
    assert (ended.code, "this is not NAME=COLUMN" in ended.err) == (65, True)


def test_three_bad_lines_in_a_hundred_are_written_out_with_their_reasons(mailbot: Shell) -> None:
    lines = [f"customer{number}@example.org,C{number}" for number in range(97)]
    lines[10:10] = ["nobody,=1+1", ",Nameless"]
    lines += ["a@example.org,B,C"]
    people = "\n".join(["email,first_name", *lines]) + "\n"
    out = mailbot.folder / "bad.csv"
    refused = create(mailbot, "--bad-lines", str(out), people=people)
    assert "3 lines cannot be used" in refused.err
    written = list(csv.reader(out.read_text().splitlines()))
    assert written == [
        ["line", "what is wrong", "the line"],
        ["12", "'nobody' is not an address", "nobody,=1+1"],
        ["13", "it has no address", ",Nameless"],
        ["101", "it has 3 columns, the heading 2", "a@example.org,B,C"],
    ]
    assert out.stat().st_mode & 0o077 == 0
    made = create(mailbot, "--bad-lines", str(out), "--skip-bad", people=people)
    assert (made.code, "97 people" in made.out) == (0, True)


def create_from_html(mailbot: Shell, html: str, *more: str) -> Ended:
    return mailbot(
        "campaign", "create", "spring", "--audience", mailbot.write("people.csv", PEOPLE),
        "--html", mailbot.write("letter.html", html), *more,
    )  # fmt: skip


def test_of_an_html_letter_alone_the_text_part_is_made_and_that_is_told(
    mailbot: Shell, database: Database
) -> None:
    html = "<p>Dear {{ first_name }},</p><p><a href='https://lindenhof.de/teas'>New teas</a></p>"
    ended = create_from_html(mailbot, html, "--subject", "New teas")
    assert ended.code == 0
    assert "text part was made from the HTML" in ended.out
    assert "mailbot campaign preview spring" in ended.out
    with database.read() as conn:
        made = campaigns.get(conn, "spring")
    assert made.text_source == "Dear {{ first_name }},\n\nNew teas <https://lindenhof.de/teas>\n"
    assert "Dear Ann," in mailbot("campaign", "preview", "spring").out


@pytest.mark.parametrize(
    ("html", "more", "told"),
    [
        ("<p>Tea</p>", (), "letter.html: an HTML file holds no subject"),
        ("<p><img src='https://lindenhof.de/a.png'></p>", ("--subject", "x"), "it shows no words"),
        ("<p>\n{% if x %}Tea</p>", ("--subject", "x"), "spring (html), line 2"),
    ],
)
def test_an_html_letter_of_which_no_text_can_be_made_creates_nothing(
    mailbot: Shell, database: Database, html: str, more: tuple[str, ...], told: str
) -> None:
    ended = create_from_html(mailbot, html, *more)
    assert (ended.code, told in ended.err) == (65, True), ended.err
    assert every(database) == []


def test_a_campaign_needs_a_letter(mailbot: Shell) -> None:
    ended = mailbot(
        "campaign", "create", "spring", "--audience", mailbot.write("people.csv", PEOPLE)
    )
    assert ended.code == 65
    assert "there is no letter. Name its text, its HTML or both" in ended.err.replace("\n  ", " ")
