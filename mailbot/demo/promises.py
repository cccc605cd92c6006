"""The demo checks itself: what should have come of the story, against what the servers say.

A promise that is not kept names what is missing; `mailbot demo` then ends with a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.demo import cast
from mailbot.demo.cast import Customer
from mailbot.demo.findings import Account, Findings, headers_of
from mailbot.demo.letters import ANSWERS, EARLIER, MORNING, Letter

_TAKEN = (State.SENT, State.BOUNCED)  # bounced: the relay took it, and a report came back


@dataclass(frozen=True, slots=True)
class Promise:
    """One sentence that must be true; `missing` says what is not, and is empty where it is kept."""

    words: str
    figures: str
    missing: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        return not self.missing


def check(findings: Findings) -> tuple[Promise, ...]:
    """Every promise of the story, kept or not."""
    return (
        _understood(findings),
        _listed(findings),
        _no_offers_after(findings),
        _offers_reach_the_others(findings),
        _orders_arrive(findings),
        _told(findings),
        _once(findings),
        _help_is_untouched(findings),
        _ledger_holds(findings),
    )


def _writers(letters: Iterable[Letter], verdict: str) -> list[Customer]:
    return [letter.writer for letter in letters if letter.verdict == verdict]


ALL_LETTERS = (*EARLIER, *MORNING, *ANSWERS)


def _understood(findings: Findings) -> Promise:
    missing = tuple(
        f"{heard.letter.writer.name}: “{heard.subject}” was taken for "
        f"{heard.verdict or 'nothing'}, not {heard.letter.verdict}"
        for heard in findings.heard
        if heard.verdict != heard.letter.verdict
    )
    right = len(findings.heard) - len(missing)
    return Promise(
        "Every mail in help@ is understood.", f"{right} of {len(findings.heard)}", missing
    )


def _listed(findings: Findings) -> Promise:
    expected = {
        **dict.fromkeys(_writers(ALL_LETTERS, "opt_out"), frozenset({Reason.OPT_OUT})),
        **dict.fromkeys(_writers(ALL_LETTERS, "bounce"), frozenset({Reason.UNDELIVERABLE})),
    }
    missing = tuple(
        f"{account.customer.name} stands on the list as "
        f"{', '.join(sorted(account.reasons)) or 'nobody'}"
        for account in findings.accounts
        if account.reasons != expected.get(account.customer, frozenset())
    )
    listed = sum(1 for account in findings.accounts if account.reasons)
    return Promise(
        "On the do-not-send list: who asked, and a mailbox that is gone. Nobody else.",
        f"{listed} of {len(findings.accounts)} people",
        missing,
    )


def _no_offers_after(findings: Findings) -> Promise:
    """By the relay's clock against the ledger's: no offer was taken after the wish was recorded."""
    missing: list[str] = []
    withheld = 0
    for account in findings.accounts:
        withheld += sum(
            1
            for row in account.of_kind(MessageKind.CAMPAIGN)
            if row.state is State.WITHHELD and row.withheld_reason in account.reasons
        )
        if not account.events:
            continue
        recorded_at = min(event.recorded_at for event in account.events)
        late = [m for m in account.taken(MessageKind.CAMPAIGN) if m.taken_at >= recorded_at]
        if late:
            missing.append(f"{account.customer.name} was sent an offer after asking for none")
    expected = _expected_withheld()
    if withheld != expected:
        missing.append(f"{withheld} offers were withheld, not {expected}")
    return Promise(
        "Nobody on the list gets an offer.", f"{withheld} offers withheld, each with its reason",
        tuple(missing),
    )  # fmt: skip


def _expected_withheld() -> int:
    """Both campaigns for who wrote before the first, the second for who answered it."""
    leaving = ("opt_out", "bounce")
    before = [one for one in (*EARLIER, *MORNING) if one.verdict in leaving]
    after = [one for one in ANSWERS if one.verdict in leaving]
    return 2 * len(before) + len(after)


def _offers_reach_the_others(findings: Findings) -> Promise:
    expected = len(cast.OFFERS_SENT) * len(cast.AUDIENCE) - _expected_withheld()
    taken = [mail for one in findings.accounts for mail in one.taken(MessageKind.CAMPAIGN)]
    missing = []
    if len(taken) != expected:
        missing.append(f"the relay took {len(taken)} offers, not {expected}")
    if any("List-Unsubscribe" not in headers_of(mail) for mail in taken):
        missing.append("an offer has no List-Unsubscribe header")
    return Promise(
        "Everybody else gets every offer, each with a way out.",
        f"{len(taken)} delivered",
        tuple(missing),
    )


def _orders_arrive(findings: Findings) -> Promise:
    missing = []
    sent = 0
    for order in cast.ORDERS_SENT:
        account = findings.account(order.customer)
        is_sent = len(account.taken(MessageKind.ORDER_STATUS)) == 1
        sent += is_sent
        if is_sent is (Reason.UNDELIVERABLE in account.reasons):
            missing.append(
                f"{order.customer.name}: order status {'sent' if is_sent else 'missing'}"
            )
    return Promise(
        "Order status reaches everyone, those who left too; only a mailbox that is gone stops it.",
        f"{sent} of {len(cast.ORDERS_SENT)} sent",
        tuple(missing),
    )


def _told(findings: Findings) -> Promise:
    """Who asked today is told once; history and reports are not answered."""
    expected = set(_writers((*MORNING, *ANSWERS), "opt_out"))
    told = [one for one in findings.accounts if one.taken(MessageKind.ACKNOWLEDGEMENT)]
    wrong = {one.customer for one in told} ^ expected
    return Promise(
        "Who asked is told so, once; robots are not answered.",
        f"{len(told)} told",
        tuple(f"{person.name}: told or not told against expectation" for person in wrong),
    )


def _once(findings: Findings) -> Promise:
    """The outbox and the relay agree, mail by mail."""
    missing = [f"the relay took a mail for {mail.recipient}" for mail in findings.strangers]
    total = 0
    for account in findings.accounts:
        ids = [str(headers_of(mail)["Message-ID"]) for mail in account.delivered]
        recorded = sum(1 for row in account.messages if row.state in _TAKEN)
        total += recorded
        if len(set(ids)) != len(ids) or len(ids) != recorded:
            missing.append(_disagreement(account, len(ids), recorded))
    return Promise(
        "Nobody gets a mail twice, and none is lost.",
        f"{total} mails, as recorded",
        tuple(missing),
    )


def _disagreement(account: Account, taken: int, recorded: int) -> str:
    return f"{account.customer.name}: {taken} mails taken, {recorded} recorded as sent"


def _help_is_untouched(findings: Findings) -> Promise:
    """Flag by flag against how each mail arrived, by the IMAP server's word."""
    missing = [
        f"{heard.letter.writer.name}'s mail now has the flags {sorted(heard.mail.flags)}"
        for heard in findings.heard
        if heard.mail.flags != frozenset(heard.letter.flags.strip("()").split())
    ]
    if findings.mails_in_help != len(ALL_LETTERS):
        missing.append(f"{findings.mails_in_help} mails stand there, not {len(ALL_LETTERS)}")
    unread = sum(1 for heard in findings.heard if not heard.mail.is_read)
    return Promise(
        "help@ stays as the staff left it: nothing read, moved or marked.",
        f"{findings.mails_in_help} mails, {unread} unread, {len(missing)} changed",
        tuple(missing),
    )


def _ledger_holds(findings: Findings) -> Promise:
    fault = findings.ledger_fault
    return Promise(
        "The records cannot be changed unnoticed.",
        f"{findings.ledger_length} entries, the chain holds" if fault is None else "chain broken",
        () if fault is None else (fault.what,),
    )
