"""Which mails a machine may answer, and at which address: RFC 3834 §2 and §4, case by case."""

from __future__ import annotations

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.rules.answering import is_robots, why_not_answered
from mailbot.core.verdicts import Facts
from tests.people import address

ANN = "ann@example.net"
HELP = "help@shop.example"
OWN_LIST = "help.shop.example"
FACTS = Facts(
    help_address=HELP, own_domains=frozenset({"shop.example"}), own_lists=frozenset({OWN_LIST})
)


def why(*headers: str, who: str = ANN, to: str = f"To: {HELP}", known: bool = False) -> str:
    """Why `who` is not answered, whose mail has these header lines and the word as its subject."""
    named = () if any(line.startswith("From:") for line in headers) else (f"From: Ann <{who}>",)
    lines = [*named, to, "Subject: unsubscribe", "Message-ID: <wish@example.net>", *headers]
    raw = "\n".join([*filter(None, lines), "", "Thank you."]).encode()
    facts = FACTS
    if known:
        facts = Facts(
            help_address=HELP, own_domains=FACTS.own_domains, own_lists=FACTS.own_lists,
            known=frozenset({address(who).match_key}),
        )  # fmt: skip
    return why_not_answered(read_message(raw), address(who), facts)


ANSWERED = {
    "a plain wish": (),
    "a return path like From": (f"Return-Path: <{ANN}>",),
    "a server of her own domain": ("Return-Path: <bounce.4711@mail.example.net>",),
    "a return path that nobody wrote down": (),
    "forwarded by our own server": ("Return-Path: <SRS0=a1=CD=example.net=ann@shop.example>",),
    "forwarded by Exchange within the shop": ("Return-Path: <bounces+SRS=xY1z=5O@shop.example>",),
    "said to be by a person": ("Auto-Submitted: no",),
    "said so with a comment": ("Auto-Submitted: (typed; by hand) No (really)",),
    "an Exchange that wants no receipts": ("X-Auto-Response-Suppress: DR, RN, NRN, OOF",),
    "an unknown precedence": ("Precedence: normal",),
    "with a Reply-To of hers": ("Reply-To: <ann@home.example>",),
    "looked at by a filter": ("X-Spam-Status: No, score=-1.2", "X-Spam-Flag: NO"),
}  # fmt: skip


@pytest.mark.parametrize("headers", ANSWERED.values(), ids=ANSWERED.keys())
def test_a_persons_mail_is_answered(headers: tuple[str, ...]) -> None:
    assert why(*headers) == ""


AUTOMATIC = [
    "Auto-Submitted: auto-replied",
    "Auto-Submitted: auto-generated",
    "AUTO-SUBMITTED: Auto-Replied (vacation)",
    "Auto-Submitted: (gone fishing) auto-replied",
    "Auto-Submitted: auto-replied; owner-token=af54",
    "Auto-Submitted: x-unheard-of",
    "Return-Path: <>",
    "X-Autoreply: yes",
    "X-Autorespond: vacation",
    "Precedence: auto_reply",
]


@pytest.mark.parametrize("header", AUTOMATIC)
def test_what_a_machine_wrote_is_not_answered(header: str) -> None:
    assert why(header).startswith("a machine wrote the mail")


@pytest.mark.parametrize("value", ["All", "ALL", "DR, AutoReply", "oof, autoreply"])
def test_who_asks_for_no_automatic_answer_gets_none(value: str) -> None:
    assert why(f"X-Auto-Response-Suppress: {value}") == "its sender wants no automatic answer"


ROBOTS = [
    "MAILER-DAEMON", "postmaster", "noreply", "no-reply", "no_reply", "No.Reply", "noreply+4711",
    "noreply-orders", "do-not-reply", "donotreply", "owner-tea", "Owner-Tea-Lovers", "tea-owner",
    "tea-request", "tea-bounces", "tea-bounces+ann=example.net", "bounces+4711-ann=example.net",
    "bounce-4711", "LISTSERV", "majordomo", "mailman", "autoreply", "daemon", "uucp", "cron-daemon",
    "orders-noreply",
]  # fmt: skip
PEOPLE = [
    "ann",
    "ann+shop",
    "owner",
    "request",
    "homeowner",
    "j.bouncer",
    "noreen",
    "errol",
    "info",
]


@pytest.mark.parametrize("local_part", ROBOTS)
def test_a_robots_address_is_not_written_to(local_part: str) -> None:
    assert is_robots(local_part)
    assert why(who=f"{local_part}@example.net") == "no person reads mail to that address"


@pytest.mark.parametrize("local_part", PEOPLE)
def test_a_persons_address_is_no_robots(local_part: str) -> None:
    assert not is_robots(local_part)


@pytest.mark.parametrize("local_part", ["MAILER-DAEMON", "tea-bounces", "owner-tea", "bounces+17"])
def test_a_robots_return_path_is_not_answered(local_part: str) -> None:
    """The answer would go to Ann; the mail is a robot's all the same."""
    assert why(f"Return-Path: <{local_part}@example.net>") == "its return path is a robot's"


@pytest.mark.parametrize(
    "header",
    [
        "List-Id: Tea lovers <tea.lists.example.net>",
        "List-Unsubscribe: <mailto:leave@lists.example.net>",
        "List-Post: <mailto:tea@lists.example.net>",
        "Mailing-List: contact tea-help@lists.example.net; run by ezmlm",
        "X-BeenThere: tea@lists.example.net",
    ],
)
def test_a_lists_mail_is_not_answered(header: str) -> None:
    assert why(header) == "it came by a mailing list"


@pytest.mark.parametrize(
    "value",
    ["list", "bulk", "junk", "Bulk", " JUNK ", "bulk (a newsletter)", "(sent by a list) List"],
)
def test_bulk_mail_is_not_answered(value: str) -> None:
    """In any case, and with comments around the word."""
    assert why(f"Precedence: {value}").startswith("Precedence: ")


def test_the_second_of_two_precedences_counts_as_well() -> None:
    assert why("Precedence: normal", "Precedence: bulk") == "Precedence: bulk"


@pytest.mark.parametrize("header", ["X-Spam-Flag: YES", "X-Spam-Status: Yes, score=7.1"])
def test_what_a_filter_took_for_spam_is_not_answered(header: str) -> None:
    assert why(header) == "a filter on its way took it for spam"


@pytest.mark.parametrize(
    "to",
    [
        "To: HELP@shop.example",
        "To: help+u-abcdef@shop.example",
        "To: Ben <ben@example.org>, The shop <help@shop.example>",
        "To: ben@example.org\nCc: orders@shop.example",
        "To: undisclosed-recipients:;\nResent-To: help@shop.example",
        "Bcc: help@shop.example",
    ],
)
def test_what_names_us_is_answered(to: str) -> None:
    assert why(to=to) == ""


@pytest.mark.parametrize(
    "to",
    [
        "",
        "To: undisclosed-recipients:;",
        "To: everybody@example.org",
        "To: help@shop.example.org",
        "To: ben@example.org\nDelivered-To: help@shop.example",
        'To: "help@shop.example" <ben@example.org>',
    ],
)
def test_what_does_not_name_us_is_not_answered(to: str) -> None:
    """Bcc'd mail: where it was delivered is not whom it was written to."""
    assert why(to=to) == "it is not addressed to us"


def test_our_own_group_is_no_list_of_others() -> None:
    """help@ is a group: all its mail bears the group's List-Id, and Precedence: list."""
    group = (f"List-Id: Help <{OWN_LIST.upper()}>", "List-Post: <mailto:help@shop.example>",
             "Precedence: list", "Return-Path: <help+bncBC@shop.example>")  # fmt: skip
    assert why(*group) == ""
    assert why(*group, to="To: hello@shop.invalid") == ""


def test_a_list_of_others_by_way_of_our_group_is_a_list() -> None:
    both = (f"List-Id: <{OWN_LIST}>", "List-Id: <tea.lists.example.net>")
    assert why(*both) == "it came by a mailing list"
    assert why(f"List-Id: <{OWN_LIST}.example.net>") == "it came by a mailing list"


def test_bulk_mail_to_our_own_group_is_not_answered() -> None:
    assert why(f"List-Id: <{OWN_LIST}>", "Precedence: bulk") == "Precedence: bulk"


@pytest.mark.parametrize("who", [HELP, "help+x@shop.example", "offers@shop.example"])
def test_we_never_answer_ourselves(who: str) -> None:
    assert why(who=who) == "it would go to ourselves"


def test_who_wrote_to_our_rewriting_group_is_answered_behind_it() -> None:
    rewritten = (f"From: Ann via Help <{HELP}>", f"Reply-To: Ann <{ANN}>", f"List-Id: <{OWN_LIST}>")
    assert why(*rewritten) == ""


@pytest.mark.parametrize("who", [ANN, "tea@lists.example.org"])
def test_behind_a_rewriting_list_of_others_nobody_is_answered(who: str) -> None:
    """Neither the list, which From names, nor Reply-To, which the list may have set (§4)."""
    rewritten = ("From: Ann via Tea <tea@lists.example.org>", f"Reply-To: Ann <{ANN}>")
    assert why(*rewritten, who=who) == "a list stands between us and its writer"


def test_two_addresses_in_from_get_no_answer() -> None:
    """At most one answer to a mail (§6): nobody multiplies us."""
    assert why(f"From: {ANN}, ben@example.org") == "it is not the one address in From"


@pytest.mark.parametrize(
    "return_path", ["x@evil.example", "ann@example.net.evil.example", "x@notexample.net", "garbage"]
)
def test_a_stranger_under_another_return_path_is_not_answered(return_path: str) -> None:
    """A forged From would make us write to somebody who never wrote to us."""
    because = why(f"Return-Path: <{return_path}>")
    assert because.startswith("its return path is of another domain")


def test_a_customer_of_ours_is_told_even_under_another_return_path() -> None:
    """She was opted out in her name; this answer is how she learns of it."""
    assert why("Return-Path: <x@evil.example>", known=True) == ""
