"""Reviews listed, shown with their mail fetched live, and decided."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import update

from mailbot.core.consent import Kind, Reason
from mailbot.core.outbox_states import State
from mailbot.store import consent, ledger, reviews, suppressions
from mailbot.store.engine import Database
from mailbot.store.reviews import Place
from mailbot.store.tables import ReviewState, consent_evidence
from mailbot.store.tables import outbox as outbox_rows
from tests.cli.conftest import CONFIG, Shell
from tests.inbound.letters import letter
from tests.people import event, person
from tests.reviewing import ANN, hold, item_of, let_time_run_out, quarantine
from tests.servers import dovecot
from tests.store.filling import begin, campaign_under_way, claim, end

BOB = "bob@example.org"
_users = count(1)


def reasons(database: Database, who: str = ANN) -> set[Reason]:
    with database.read() as conn:
        return set(suppressions.reasons(conn, person(who)))


def last_event(database: Database, who: str = ANN) -> ledger.StoryEvent:
    with database.read() as conn:
        return ledger.story(conn, person(who))[-1]


# -- list ----------------------------------------------------------------------------------------


def test_where_nothing_waits_it_is_said(mailbot: Shell) -> None:
    assert mailbot("review", "list").out == "Nothing waits for a decision.\n"
    assert mailbot("review", "list", "--json").json == []
    assert "None is decided." in mailbot("review", "list", "--all").out


def test_what_waits_is_listed_due_first_on_top(mailbot: Shell, database: Database) -> None:
    first, second = hold(database), hold(database, BOB, "m2")
    let_time_run_out(database, second)
    heading, *lines = mailbot("review", "list").out.splitlines()
    assert heading.split() == [
        "Id", "Due", "(UTC)", "In", "By", "law", "Held", "Rule", "Folder", "Why",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines] == [str(second), str(first)]
    assert BOB in lines[0]
    assert " overdue " in lines[0]
    for text in (ANN, " 23 h ", "negation", "INBOX", "the subject says not to"):
        assert text in lines[1]


def test_json_has_every_fact_of_an_item(mailbot: Shell, database: Database) -> None:
    number = hold(database)
    (item,) = mailbot("review", "list", "--json").json
    assert item["id"] == number
    assert 86_000 < item.pop("due_in_seconds") <= 86_400
    opened_at, due_at = item.pop("opened_at"), item.pop("due_at")
    assert opened_at < due_at
    received_at, legally_due_at = item.pop("received_at"), item.pop("legally_due_at")
    assert received_at == opened_at
    days = datetime.fromisoformat(legally_due_at) - datetime.fromisoformat(received_at)
    assert days >= timedelta(days=13), "ten business days"
    assert item == {
        "id": number, "state": "open", "address": ANN, "person_hash": person(ANN).person_hash,
        "rule": "negation", "because": "the subject says not to",
        "account": "help at 127.0.0.1", "folder": "INBOX", "uidvalidity": 1, "uid": 17,
        "decided_at": None, "decided_by": None,
    }  # fmt: skip


def test_quarantined_mail_is_listed_without_an_end(mailbot: Shell, database: Database) -> None:
    quarantine(database)
    assert "(nobody)" in mailbot("review", "list").out
    (item,) = mailbot("review", "list", "--json").json
    assert (item["address"], item["due_at"], item["due_in_seconds"]) == (None, None, None)


def test_an_erased_address_is_not_shown_and_the_person_can_be_decided(
    mailbot: Shell, database: Database
) -> None:
    number = hold(database)
    with database.write() as conn:
        conn.execute(consent_evidence.delete())
    assert f"(erased, {person(ANN).person_hash[:12]})" in mailbot("review", "list").out
    assert mailbot("review", "list", "--json").json[0]["address"] is None
    assert "What was kept of it" not in mailbot("review", "show", str(number)).out
    assert mailbot("review", "accept", str(number)).code == 0
    assert reasons(database) == {Reason.OPT_OUT}


def test_decided_ones_are_listed_when_asked_for_the_latest_first(
    mailbot: Shell, database: Database
) -> None:
    numbers = [hold(database, mail=f"m{place}") for place in range(3)]
    mailbot("review", "accept", str(numbers[0]), "--by", "eve")
    mailbot("review", "dismiss", str(numbers[1]), "--by", "eve")
    assert [one["id"] for one in mailbot("review", "list", "--json").json] == [numbers[2]]
    listed = mailbot("review", "list", "--all", "--json").json
    assert [one["id"] for one in listed] == [numbers[2], numbers[1], numbers[0]]
    assert [one["state"] for one in listed] == ["open", "dismissed", "accepted"]
    assert listed[1]["decided_by"] == "eve"
    shown = mailbot("review", "list", "--all", "--limit", "1").out
    assert "dismissed eve" in shown
    assert "accepted" not in shown
    assert "The newest 1 of 2" in shown


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100])
def test_a_narrow_terminal_gets_whole_words_and_no_line_that_is_too_long(
    mailbot: Shell, database: Database, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    hold(database, "wilhelmina.van.der.meer+tea@mail.hollowandfinch.example")
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (("list",), ("list", "--all"), ("show", "1")):
        shown = mailbot("review", *arguments).out
        # What is to be typed is not broken into two lines.
        assert max(len(line) for line in shown.splitlines()) <= max(columns, 40), shown
        whole = "".join(shown.split())
        assert "wilhelmina.van.der.meer+tea@mail.hollowandfinch.example" in whole
        assert "thesubjectsaysnotto" in whole


def test_what_a_review_holds_cannot_steer_the_terminal(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        reviews.open_item(
            conn, key="k", person=person(ANN), place=Place("help", "IN\x1b[2JBOX", 1, 7),
            rule="negation", because="\x1b]0;title\x07 \u202egone",
        )  # fmt: skip
    for arguments in (("list",), ("show", "1")):
        shown = mailbot("review", *arguments).out
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)


# -- accept and dismiss --------------------------------------------------------------------------


def test_accepting_opts_out_and_withholds_what_waits(mailbot: Shell, database: Database) -> None:
    campaign_under_way(database, ANN)
    ended = mailbot("review", "accept", str(hold(database)), "--by", "Eve", "--reason", "asked")
    assert ended.code == 0
    event = last_event(database)
    assert f"accepted: {ANN} is opted out (event {event.sequence}).\n" in ended.out
    assert "1 waiting offer is withheld." in ended.out
    assert event.kind is Kind.OPT_OUT
    assert (event.evidence["by"], event.evidence["reason"]) == ("Eve", "asked")
    assert reasons(database) == {Reason.OPT_OUT}
    assert ANN in mailbot("suppress", "list").out


def test_dismissing_frees_and_says_what_stays_withheld(mailbot: Shell, database: Database) -> None:
    number = hold(database)
    campaign_under_way(database, ANN)
    (row,) = claim(database)
    attempt = begin(database, row)
    assert attempt is not None
    assert end(database, row, attempt, State.WITHHELD)
    with database.write() as conn:
        conn.execute(update(outbox_rows).values(withheld_reason=Reason.HELD))
    ended = mailbot("review", "dismiss", str(number))
    assert ended.code == 0
    assert f"{ANN} is not held any more, and gets offers." in ended.out
    assert "Withheld meanwhile, and not sent later: 1 offer." in ended.out
    assert reasons(database) == set()


def test_who_decided_is_the_login_name_unless_told(
    mailbot: Shell, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "mallory")
    mailbot("review", "dismiss", str(hold(database)))
    (item,) = mailbot("review", "list", "--all", "--json").json
    assert item["decided_by"] == "mallory"


def test_a_person_whom_another_review_holds_stays_held_and_it_is_said(
    mailbot: Shell, database: Database
) -> None:
    first, second = hold(database, mail="m1"), hold(database, mail="m2")
    ended = mailbot("review", "dismiss", str(first))
    assert f"{ANN} stays held: review {second} waits as well." in ended.out
    assert reasons(database) == {Reason.HELD}
    ended = mailbot("review", "accept", str(second))
    assert reasons(database) == {Reason.OPT_OUT}


def test_a_dismissal_after_an_acceptance_says_that_the_person_stays_out(
    mailbot: Shell, database: Database
) -> None:
    first, second = hold(database, mail="m1"), hold(database, mail="m2")
    assert f"still open: review {second}." in mailbot("review", "accept", str(first)).out
    ended = mailbot("review", "dismiss", str(second))
    assert f"{ANN} stays on the do-not-send list (opt out)." in ended.out


def test_a_wish_that_a_newer_one_overtook_changes_nothing_and_it_is_said(
    mailbot: Shell, database: Database
) -> None:
    number = hold(database)
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_IN, ANN, minutes=60))
    ended = mailbot("review", "accept", str(number))
    assert ended.code == 0
    assert f"and changes nothing: {ANN} wished for offers again after that mail." in ended.out
    assert reasons(database) == set()


@pytest.mark.parametrize("verb", ["accept", "dismiss"])
def test_of_several_the_good_ones_are_done_and_the_others_told(
    mailbot: Shell, database: Database, verb: str
) -> None:
    done, waiting, also = (hold(database, mail=f"m{place}") for place in range(3))
    mailbot("review", "dismiss", str(done), "--by", "eve")
    numbers = [str(number) for number in (done, waiting, 999, also, also)]
    ended = mailbot("review", verb, *numbers)
    assert ended.code == 1
    assert f"review {done} is decided already: dismissed by eve at " in ended.err
    assert "there is no review 999.\n  Look at `mailbot review list --all`." in ended.err
    assert ended.err.count("mailbot: ") == 2, "a number named twice is decided once"
    expected = ReviewState.ACCEPTED if verb == "accept" else ReviewState.DISMISSED
    assert [item_of(database, number).state for number in (waiting, also)] == [expected, expected]


def test_decisions_as_json_are_one_object_a_line(mailbot: Shell, database: Database) -> None:
    number = hold(database)
    ended = mailbot("review", "accept", str(number), "99", "--json")
    assert ended.code == 1
    done, refused = (json.loads(line) for line in ended.out.splitlines())
    assert (done["id"], done["is_done"], done["state"]) == (number, True, "accepted")
    assert (done["address"], done["reasons"]) == (ANN, ["opt_out"])
    assert done["event"] == last_event(database).sequence
    assert refused == {"id": 99, "is_done": False, "because": "there is no review 99."}


def test_quarantined_mail_can_be_dismissed_and_opts_nobody_out(
    mailbot: Shell, database: Database
) -> None:
    number = quarantine(database)
    ended = mailbot("review", "accept", str(number))
    assert (ended.code, "mailbot suppress add ADDRESS" in ended.err) == (1, True)
    assert item_of(database, number).state is ReviewState.OPEN
    ended = mailbot("review", "dismiss", str(number), "--reason", "spam")
    assert (ended.code, "It held nobody." in ended.out) == (0, True)
    assert "The reason is not kept" in ended.out


@pytest.mark.parametrize("key", ["another", "none"])
@pytest.mark.parametrize("verb", ["accept", "dismiss"])
def test_deciding_needs_neither_the_mail_server_nor_the_person_key(
    mailbot: Shell, database: Database, verb: str, key: str
) -> None:
    """Nobody is named anew: the hashes are this database's own. No server listens at port 1."""
    mailbot("suppress", "add", BOB)  # makes the right key this database's
    number = hold(database)
    if key == "another":
        mailbot.write("person-key", bytes(32).hex())
    else:
        (mailbot.folder / "person-key").unlink()
    assert mailbot("review", verb, str(number)).code == 0
    assert reasons(database) == ({Reason.OPT_OUT} if verb == "accept" else set())
    with database.read() as conn:
        assert ledger.verify(conn) is None


@pytest.mark.parametrize("number", ["x", "0", "-1", "1.5", "99999999999999999999"])
def test_what_is_no_number_is_wrong_usage(mailbot: Shell, number: str) -> None:
    for verb in ("show", "accept", "dismiss"):
        assert mailbot("review", verb, number).code == 64
    assert mailbot("review", "accept").code == 64


def test_status_says_how_to_act(mailbot: Shell, database: Database) -> None:
    hold(database)
    assert "1 mail in review: look with `mailbot review list`" in " ".join(
        mailbot("status").out.split()
    )


# -- show ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[dovecot.Dovecot]:
    if not dovecot.is_installed():
        pytest.skip("Debian's dovecot-imapd and openssl are not installed")
    with dovecot.Dovecot() as running:
        yield running


class HelpDesk:
    """An installation whose help@ is a real mailbox with one doubtful mail in it."""

    def __init__(
        self, server: dovecot.Dovecot, user: str, mailbot: Shell, database: Database
    ) -> None:
        self.server, self.user, self.mailbot, self.database = server, user, mailbot, database
        config = CONFIG.replace("port = 1\n", f"port = {server.plain_port}\n", 1)
        mailbot.write("mailbot.toml", config.replace('username = "help"', f'username = "{user}"'))

    def arrive(self, mail: bytes, message_id: str = "<one@example.net>") -> tuple[int, int]:
        """The mail stands in the INBOX, and in review; returns the item's number and its UID."""
        uid = self.server.deliver(self.user, mail)
        kept = {"Subject": "as kept", "Message-ID": message_id}
        return hold(self.database, evidence=kept, place=self.place(uid)), uid

    def place(self, uid: int) -> Place:
        with self.server.client(self.user) as client:
            _, answer = client.status("INBOX", "(UIDVALIDITY)")
        uidvalidity = int(answer[0].rpartition(b" ")[2].rstrip(b")"))
        return Place(f"{self.user} at 127.0.0.1", "INBOX", uidvalidity, uid)

    def show(self, number: int, *options: str, code: int = 0) -> str:
        ended = self.mailbot("review", "show", str(number), *options)
        assert ended.code == code, ended
        return ended.out


@pytest.fixture
def desk(server: dovecot.Dovecot, mailbot: Shell, database: Database) -> HelpDesk:
    """A user of its own for each test."""
    return HelpDesk(server, f"user{next(_users)}", mailbot, database)


DOUBTFUL = letter(
    "=?utf-8?q?Bitte_nicht_abmelden_=E2=80=AE?=",
    "=?utf-8?q?J=C3=B6rg?= <joerg@example.net>",
    "Content-Type: text/html; charset=utf-8",
    message_id="<one@example.net>",
    body="<style>p{}</style><p>Hello\x1b[2J <b>shop</b>,</p><script>evil()</script>" + "<p>x" * 40,
)


def test_a_review_is_shown_with_the_headers_and_first_lines_of_its_mail(desk: HelpDesk) -> None:
    number, _ = desk.arrive(DOUBTFUL)
    shown = desk.show(number)
    for text in (
        f"Review {number}", ANN, "negation", "the subject says not to", "becomes an opt-out",
        "Jörg <joerg@example.net>", "Bitte nicht abmelden", "Hello", "shop,", "…",
        f"mailbot review accept {number}", f"mailbot review dismiss {number}",
    ):  # fmt: skip
        assert text in shown
    for text in ("evil", "p{}", "\x1b", "\u202e", "as kept"):
        assert text not in shown
    mail = desk.mailbot("review", "show", str(number), "--json").json["mail"]
    assert mail["headers"]["From"] == "Jörg <joerg@example.net>"
    assert mail["first_lines"][0] == "Hello [2J shop,"
    assert (mail["folder"], mail["was_moved"], mail["has_more"]) == ("INBOX", False, True)


def test_a_look_changes_nothing_in_the_mailbox_and_stores_nothing(desk: HelpDesk) -> None:
    number, uid = desk.arrive(DOUBTFUL)

    def dump() -> list[str]:
        with sqlite3.connect(desk.mailbot.folder / "mailbot.db") as conn:
            return list(conn.iterdump())

    before = dump()
    desk.show(number)
    assert dump() == before
    assert desk.server.flags(desk.user) == {uid: frozenset()}
    assert not any(b"J\xc3\xb6rg" in path.read_bytes() for path in files(desk.mailbot.folder))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_mail_that_was_moved_is_shown_from_where_it_is(desk: HelpDesk) -> None:
    number, uid = desk.arrive(DOUBTFUL)
    with desk.server.client(desk.user) as client:
        client.create("Done")
        client.select("INBOX")
        client.uid("MOVE", str(uid), "Done")
    shown = desk.show(number)
    assert "The mail, in Done now" in shown
    assert "Bitte nicht abmelden" in shown


def test_of_a_mail_that_is_gone_what_was_kept_is_shown(desk: HelpDesk) -> None:
    number, uid = desk.arrive(DOUBTFUL)
    desk.server.delete(desk.user, uid)
    shown = desk.show(number)
    assert "it was moved or deleted" in shown
    assert "as kept" in shown
    found = desk.mailbot("review", "show", str(number), "--json").json
    assert found["mail"] is None
    assert "it was moved or deleted" in found["mail_missing_because"]
    assert found["evidence"]["Subject"] == "as kept"
    assert desk.mailbot("review", "accept", str(number)).code == 0


def test_a_decided_review_is_shown_with_who_decided_it(desk: HelpDesk) -> None:
    number, _ = desk.arrive(DOUBTFUL)
    desk.mailbot("review", "dismiss", str(number), "--by", "Eve")
    shown = desk.show(number)
    assert "dismissed by Eve, " in shown
    assert "Was held" in shown
    assert "becomes an opt-out" not in shown
    assert "mailbot review accept" not in shown


def test_where_the_server_is_away_what_was_kept_is_shown_and_the_outage_told(
    mailbot: Shell, database: Database
) -> None:
    number = hold(database, evidence={"Subject": "as kept"})
    ended = mailbot("review", "show", str(number))
    assert ended.code == 69
    assert "no server listens there" in ended.err
    assert "as kept" in ended.out
    assert f"mailbot review dismiss {number}" in ended.out
    ended = mailbot("review", "show", str(number), "--json")
    assert (ended.code, ended.json["mail"], ended.json["id"]) == (69, None, number)
    assert "no server listens there" in ended.json["mail_missing_because"]


def test_a_review_of_a_mailbox_that_is_not_read_any_more_is_shown_without_its_mail(
    mailbot: Shell, database: Database
) -> None:
    place = Place("sales at mail.example", "INBOX", 1, 17)
    ended = mailbot("review", "show", str(hold(database, place=place)))
    assert ended.code == 0
    assert "the settings have no mailbox “sales at mail.example” any more" in ended.out


def test_quarantined_mail_is_shown_where_it_can_be(desk: HelpDesk) -> None:
    uid = desk.server.deliver(desk.user, DOUBTFUL)
    number = quarantine(desk.database, desk.place(uid))
    shown = desk.show(number)
    assert "Bitte nicht abmelden" in shown
    assert "mailbot suppress add ADDRESS" in shown
    desk.server.delete(desk.user, uid)
    assert "Nothing was kept of it." in desk.show(number)


def test_an_unknown_review_is_told(mailbot: Shell) -> None:
    ended = mailbot("review", "show", "99")
    assert ended.code == 65
    assert "there is no review 99." in ended.err
