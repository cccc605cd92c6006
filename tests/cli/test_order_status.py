"""The shop hands over: each message is stored before it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from mailbot.core.consent import Kind
from mailbot.core.errors import StoreUnavailable
from mailbot.store import consent, deliveries, outbox
from mailbot.store.engine import Database
from tests.cli.conftest import Shell
from tests.people import event, person

ANN = "ann@example.org"


def line(key: str, to: str = ANN, **changes: object) -> str:
    message: dict[str, object] = {
        "type": "shipped", "to": to, "idempotency_key": key, "fields": {"order_number": "7"},
    }  # fmt: skip
    return json.dumps({**message, **changes}) + "\n"


def queued(database: Database) -> int:
    with database.read() as conn:
        return sum(outbox.count_by_state(conn).values())


def test_each_line_is_answered(mailbot: Shell, database: Database) -> None:
    ended = mailbot("order-status", "send", given=line("a") + "\n" + line("b"))
    assert (ended.code, ended.out) == (0, "queued  a\nqueued  b\n")
    assert queued(database) == 2


def test_the_same_key_is_never_queued_twice(mailbot: Shell, database: Database) -> None:
    mailbot("order-status", "send", given=line("a"))
    ended = mailbot("order-status", "send", "--json", given=line("a") + line("b"))
    assert [json.loads(one) for one in ended.out.splitlines()] == [
        {"line": 1, "idempotency_key": "a", "status": "known"},
        {"line": 2, "idempotency_key": "b", "status": "queued"},
    ]
    assert queued(database) == 2


@pytest.mark.parametrize(
    "other", [{"to": "bob@example.org"}, {"type": "delivered"}, {"fields": {"order_number": "8"}}]
)
def test_the_same_key_with_other_content_is_refused_and_the_first_stays(
    mailbot: Shell, database: Database, other: dict[str, Any]
) -> None:
    given = line("a") + line("a", **other) + line("b")  # in one transaction
    ended = mailbot("order-status", "send", given=given)
    assert (ended.code, ended.out) == (65, "queued  a\nqueued  b\n")
    assert "line 2, a: this idempotency key was handed over before with other content" in ended.err
    again = mailbot("order-status", "send", "--json", given=line("a", **other))  # in a later one
    assert (again.code, again.json["status"], again.json["idempotency_key"]) == (65, "refused", "a")
    with database.read() as conn:
        [message, _] = deliveries.messages_to(conn, person(ANN))
    assert message.type == "shipped"
    assert queued(database) == 2


def test_fields_in_another_order_are_the_same_content(mailbot: Shell) -> None:
    one = {"order_number": "7", "name": "Ann"}
    two = {"name": "Ann", "order_number": "7"}
    ended = mailbot("order-status", "send", given=line("a", fields=one) + line("a", fields=two))
    assert (ended.code, ended.out) == (0, "queued  a\nknown  a\n")


def test_what_an_older_mailbot_took_is_known_whatever_it_was(
    mailbot: Shell, database: Database
) -> None:
    mailbot("order-status", "send", given=line("a"))
    with database.write() as conn:
        conn.execute(text("UPDATE outbox SET content_digest = NULL"))
    ended = mailbot("order-status", "send", given=line("a", type="paid"))
    assert (ended.code, ended.out) == (0, "known  a\n")


def test_each_line_has_one_answer_in_json_also_where_it_is_wrong(mailbot: Shell) -> None:
    lines = [line(f"k{number}") for number in range(1, 11)]
    lines[6] = '{"type": "shipped"\n'
    lines[7] = line("k8", type="offer")
    ended = mailbot("order-status", "send", "--json", given="".join(lines))
    told = [json.loads(one) for one in ended.out.splitlines()]
    assert ended.code == 65
    assert [one["line"] for one in told] == list(range(1, 11))
    assert [one["status"] for one in told] == ["queued"] * 6 + ["refused"] * 2 + ["queued"] * 2
    assert [told[6]["idempotency_key"], told[7]["idempotency_key"]] == [None, "k8"]
    assert "no JSON" in told[6]["what"]


def test_a_last_line_without_its_end_is_read_and_blank_lines_count(mailbot: Shell) -> None:
    ended = mailbot("order-status", "send", "--json", given="\n\n" + line("a").rstrip("\n"))
    assert ended.json == {"line": 3, "idempotency_key": "a", "status": "queued"}


def test_a_subject_that_its_fields_turn_into_an_offer_is_refused(
    mailbot: Shell, database: Database
) -> None:
    sold = line("a", fields={"order_number": "7: 20% off everything, buy now"})
    ended = mailbot("order-status", "send", given=sold)
    assert (ended.code, queued(database)) == (65, 0)
    assert "'20% off', 'buy now'" in ended.err
    assert "316.3" in ended.err


def test_one_message_by_options(mailbot: Shell, database: Database) -> None:
    ended = mailbot(
        "order-status", "send", "--type", "shipped", "--to", ANN, "--key", "a",
        "--field", "order_number=7", "--field", "note=a=b",
    )  # fmt: skip
    assert ended.code == 0
    with database.read() as conn:
        [message] = deliveries.messages_to(conn, person(ANN))
    assert (message.type, message.state) == ("shipped", "queued")


def test_it_is_for_those_who_opted_out_as_well(mailbot: Shell, database: Database) -> None:
    with database.write() as conn:
        consent.record(conn, event(Kind.OPT_OUT, ANN))
    assert mailbot("order-status", "send", given=line("a")).code == 0


FAULTS = {
    "no json": (b"{", "this is no JSON"),
    "nested": (b"[" * 100_000, "this is no JSON"),
    "a list": (b"[1]", "no JSON object"),
    "an unknown type": (line("x", type="offer").encode(), "is no order-status type"),
    "no address": (line("x", to="ann").encode(), "is no address"),
    "no key": (line("").encode(), "idempotency_key"),
    "an unknown word": (line("x", colour="red").encode(), "colour"),
    "a missing field": (line("x", fields={}).encode(), "order_number"),
    "not a number": (line("x", fields={"order_number": float("nan")}).encode(), "JSON has not"),
    "a NUL": (line("x", fields={"order_number": "7\0"}).encode(), "NUL"),
    "a line break in the subject": (
        line("x", fields={"order_number": "7\nBcc: all"}).encode(),
        "line break",
    ),
    "items that are no list of lines": (
        line("x", fields={"order_number": "7", "items": [{"quantity": 2}]}).encode(),
        "name",
    ),
    "two megabytes": (line("x", fields={"note": "x" * 2_000_000}).encode(), "longer than 1 MB"),
    "half an emoji": (line("x\ud83d").encode(), "half of a character"),
    "latin-1": (
        line("x", to="zo\u00eb@example.org").encode().replace(b"\\u00eb", b"\xeb"),
        "UTF-8",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_line_is_told_and_the_others_are_taken(
    mailbot: Shell, database: Database, fault: str
) -> None:
    raw, words = FAULTS[fault]
    given = line("a").encode() + raw.rstrip(b"\n") + b"\n" + line("b").encode()
    ended = mailbot("order-status", "send", given=given)
    assert (ended.code, ended.out) == (65, "queued  a\nqueued  b\n")
    assert "line 2" in ended.err
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1
    assert queued(database) == 2


@pytest.mark.parametrize(
    "options", [["--type", "shipped"], ["--to", ANN, "--key", "a"],
                ["--type", "shipped", "--to", ANN, "--key", "a", "--field", "order_number"]],
)  # fmt: skip
def test_half_a_message_by_options_is_told(mailbot: Shell, options: list[str]) -> None:
    assert mailbot("order-status", "send", *options).code == 65


def test_a_fault_of_the_options_reads_as_sentences(mailbot: Shell) -> None:
    ended = mailbot("order-status", "send", "--type", "shiped", "--to", ANN, "--key", "a")
    assert ended.err.startswith("mailbot: “shiped” is no order-status type. The types are: ")
    assert "--to and --key are missing." in mailbot("order-status", "send", "--type", "paid").err


def test_where_the_database_fails_it_is_said_what_is_stored(
    mailbot: Shell, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up half-way: nothing answered is lost, and all can be handed over again."""
    store = outbox.enqueue_order_status

    def full_at_b(*given: object, **named: object) -> bool:
        if named["idempotency_key"] == "b":
            raise StoreUnavailable("the disk is full; nothing was written.")
        return store(*given, **named)  # type: ignore[arg-type]  # handed through

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "enqueue_order_status", full_at_b)
        ended = mailbot("order-status", "send", given=line("a") + line("b") + line("c"))
    assert (ended.code, ended.out) == (74, "queued  a\n")
    assert "line 2" in ended.err
    assert "the disk is full" in ended.err
    assert "nothing is sent twice" in ended.err
    again = mailbot("order-status", "send", given=line("a") + line("b") + line("c"))
    assert again.out == "known  a\nqueued  b\nqueued  c\n"


def test_the_types_are_listed_with_what_they_need(mailbot: Shell) -> None:
    listed = {one["type"]: one for one in mailbot("order-status", "types", "--json").json}
    assert listed["shipped"]["needs"] == ["order_number"]
    assert listed["refunded"]["needs"] == ["order_number", "amount"]
    assert "tracking_url" in listed["shipped"]["may_have"]
    assert len(listed) == 10
    assert "delivered" in mailbot("order-status", "types").out


@pytest.mark.parametrize("listed", [[], ["shipped"]])
def test_the_line_that_types_shows_can_be_handed_over_as_it_is(
    mailbot: Shell, listed: list[str]
) -> None:
    shown = mailbot("order-status", "types", *listed).out
    (to_copy,) = (line for line in shown.splitlines() if line.startswith("{"))
    assert mailbot("order-status", "send", given=to_copy + "\n").code == 0


def test_the_example_of_each_type_can_be_handed_over(mailbot: Shell, database: Database) -> None:
    every = mailbot("order-status", "types", "--json").json
    given = "".join(json.dumps(one["example"]) + "\n" for one in every)
    assert mailbot("order-status", "send", given=given).code == 0
    assert queued(database) == 10


@pytest.mark.parametrize("listed", [[], ["shipped"], ["partially_shipped"]])
def test_types_fits_a_terminal_of_80_columns(
    mailbot: Shell, monkeypatch: pytest.MonkeyPatch, listed: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = mailbot("order-status", "types", *listed).out
    table = [line for line in shown.splitlines() if not line.startswith("{")]
    assert len(table) > 5
    assert max(map(len, table)) <= 80


def test_an_unknown_type_is_told_with_those_there_are(mailbot: Shell) -> None:
    ended = mailbot("order-status", "types", "shiped")
    assert (ended.code, ended.out) == (65, "")
    assert "partially_shipped" in ended.err


def own_types(mailbot: Shell, **files: str) -> None:
    folder = mailbot.folder / "own"
    folder.mkdir()
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(content, encoding="utf-8")
    with mailbot.config.open("a") as config:
        config.write(f'templates_dir = "{folder}"\n')


GOOD = "Subject: Your order {{ order_number }} is engraved\n\nIt is done.\n"


def test_an_own_type_beside_the_shipped_ones(mailbot: Shell) -> None:
    own_types(mailbot, engraved__txt=GOOD)
    assert mailbot("order-status", "send", given=line("a", type="engraved")).code == 0
    assert mailbot("order-status", "send", given=line("b")).code == 0


def test_own_text_without_html_takes_the_place_of_both(mailbot: Shell) -> None:
    """Or one mail would say two things: ours in HTML, the shop's in text."""
    own_types(mailbot, shipped__txt=GOOD)
    from mailbot.outbound.order_status_types import OrderStatusTypes

    assert OrderStatusTypes(mailbot.folder / "own").template("shipped").html is None
    assert OrderStatusTypes(mailbot.folder / "own").template("paid").html is not None


WRONG_TYPES = {
    "no subject": ({"engraved__txt": "Hello\n"}, "own/engraved.txt, line 1"),
    "a broken tag": (
        {"engraved__txt": GOOD + "\n{% if order_number %}\n"}, "own/engraved.txt, line",
    ),
    "a broken tag in HTML": (
        {"engraved__txt": GOOD, "engraved__html": "<p>\n{{ order_number }</p>"},
        "own/engraved.html, line 2",
    ),
    "an include that is not there": (
        {"engraved__txt": GOOD + '{% include "_nowhere.txt" %}\n'}, "own/engraved.txt",
    ),
    "HTML alone": ({"engraved__html": "<p>done</p>"}, "own/engraved.html"),
    "a name with blanks": ({"En graved__txt": GOOD}, "own/En graved.txt"),
    "an offer in the subject": (
        {"engraved__txt": GOOD.replace("engraved", "reduced: a Gutschein inside")},
        "own/engraved.txt, line 1: reads as an offer: 'gutschein'",
    ),
    "an offer in the opening": (
        {"engraved__txt": GOOD + "Profitez-en, livraison offerte!\n"},
        "own/engraved.txt, opening: reads as an offer: 'profitez-en', 'livraison offerte'",
    ),
    "an offer in the HTML": (
        {"engraved__txt": GOOD, "engraved__html": "<h1>Solo hoy: 2x1</h1>"},
        "own/engraved.html, opening: reads as an offer: 'solo hoy', '2x1'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_TYPES)
def test_a_wrong_type_is_told_by_its_file(mailbot: Shell, wrong: str) -> None:
    files, place = WRONG_TYPES[wrong]
    own_types(mailbot, **files)
    ended = mailbot("order-status", "types")
    assert (ended.code, ended.out) == (65, "")
    assert place in ended.err
    assert ("316.3" in ended.err) == ("offer" in wrong)


def test_with_a_wrong_type_nothing_is_handed_over(mailbot: Shell, database: Database) -> None:
    own_types(mailbot, engraved__txt="Hello\n")
    ended = mailbot("order-status", "send", given=line("a"))
    assert (ended.code, ended.out) == (65, "")
    assert queued(database) == 0


def test_the_report_tells_by_key_what_became_of_each_message(
    mailbot: Shell, database: Database
) -> None:
    mailbot("order-status", "send", given=line("a") + line("b") + line("c"))
    assert mailbot("order-status", "report").out == "Nothing to tell yet.\n"
    with database.write() as conn:
        conn.execute(text(
            "UPDATE outbox SET state = 'withheld', withheld_reason = 'undeliverable',"
            " finished_at = '2027-03-01 09:30:00.000000' WHERE idempotency_key = 'b'"
        ))  # fmt: skip
    told = mailbot("order-status", "report", "--json").json
    assert told == {
        "changes": [{
            "idempotency_key": "b", "type": "shipped", "state": "withheld",
            "changed_at": "2027-03-01T09:30:00+00:00", "reason": "undeliverable", "reply": None,
        }],
        "cursor": 1, "has_more": False,
    }  # fmt: skip
    assert mailbot("order-status", "report", "--after", "1", "--json").json["changes"] == []
    shown = mailbot("order-status", "report").out
    assert "2027-03-01 09:30 withheld b   undeliverable" in shown
    assert "report --after 1" in shown


def test_a_cursor_that_was_never_given_is_refused(mailbot: Shell) -> None:
    ended = mailbot("order-status", "report", "--after", "7")
    assert (ended.code, ended.out) == (65, "")
    assert "restored from a backup" in ended.err
