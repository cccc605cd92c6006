"""What really became of the story: read from the store, the relay and help@'s IMAP server.

Nothing here knows what should have happened: promises.py compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message

from mailbot.core.address import parse_address
from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.inbound_message import read_message
from mailbot.core.person import PersonKey
from mailbot.demo import cast
from mailbot.demo.cast import Customer
from mailbot.demo.inbox import Seen
from mailbot.demo.letters import Letter
from mailbot.demo.servers import Delivered
from mailbot.store import deliveries, ledger, suppressions
from mailbot.store.deliveries import MessageStory
from mailbot.store.engine import Connection
from mailbot.store.ledger import LedgerFault, StoryEvent


@dataclass(frozen=True, slots=True)
class Heard:
    """One mail in help@ after the story: as the IMAP server has it, and what mailbot made of it."""

    letter: Letter
    mail: Seen
    subject: str
    verdict: str  # as the daemon reported it; empty where it reported nothing


@dataclass(frozen=True, slots=True)
class Account:
    """One customer: the list, the ledger, the outbox and the relay about them."""

    customer: Customer
    reasons: frozenset[Reason]
    events: tuple[StoryEvent, ...]
    messages: tuple[MessageStory, ...]
    delivered: tuple[Delivered, ...]

    def offer(self, campaign: str) -> MessageStory | None:
        """The outbox row of one campaign."""
        return next((row for row in self.messages if row.campaign == campaign), None)

    def of_kind(self, kind: MessageKind) -> tuple[MessageStory, ...]:
        """The outbox rows of one kind."""
        return tuple(row for row in self.messages if row.kind is kind)

    def taken(self, kind: MessageKind) -> tuple[Delivered, ...]:
        """What the relay really took for this customer, of one kind."""
        return tuple(mail for mail in self.delivered if kind_of(mail) is kind)


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything the reports and the promises are made from."""

    heard: tuple[Heard, ...]
    mails_in_help: int
    accounts: tuple[Account, ...]
    strangers: tuple[Delivered, ...]  # what the relay took for anybody else
    ledger_length: int
    ledger_fault: LedgerFault | None

    def account(self, customer: Customer) -> Account:
        """What is known of one customer."""
        return next(one for one in self.accounts if one.customer == customer)


def headers_of(mail: Delivered) -> Message:
    """The headers of what the relay took, for reading."""
    return message_from_bytes(mail.content)


def is_to(mail: Delivered, customer: Customer) -> bool:
    """Whether it went to this customer, however the address was written."""
    wanted = parse_address(customer.address).match_key
    return parse_address(mail.recipient).match_key == wanted


def kind_of(mail: Delivered) -> MessageKind:
    """What a customer would take the message for: by its From line and its null sender."""
    if not mail.sender:
        return MessageKind.ACKNOWLEDGEMENT
    is_order = cast.ORDERS in str(headers_of(mail)["From"])
    return MessageKind.ORDER_STATUS if is_order else MessageKind.CAMPAIGN


def gather(
    conn: Connection,
    key: PersonKey,
    *,
    letters: Sequence[Letter],
    mails: Sequence[Seen],
    verdicts: Mapping[int, str],
    delivered: Sequence[Delivered],
) -> Findings:
    """Read everything once. `verdicts` is by UID, from the daemon's log."""
    people = list(dict.fromkeys([*cast.AUDIENCE, *(letter.writer for letter in letters)]))
    return Findings(
        heard=tuple(
            Heard(letter, mail, read_message(mail.content).subject, verdicts.get(mail.uid, ""))
            for letter, mail in zip(letters, mails, strict=False)
        ),
        mails_in_help=len(mails),
        accounts=tuple(_account(conn, key, person, delivered) for person in people),
        strangers=tuple(
            mail for mail in delivered if not any(is_to(mail, person) for person in people)
        ),
        ledger_length=ledger.head_sequence(conn),
        ledger_fault=ledger.verify(conn),
    )


def _account(
    conn: Connection, key: PersonKey, customer: Customer, delivered: Sequence[Delivered]
) -> Account:
    person = key.identify(parse_address(customer.address))
    return Account(
        customer,
        suppressions.reasons(conn, person),
        tuple(ledger.story(conn, person)),
        tuple(deliveries.messages_to(conn, person)),
        tuple(mail for mail in delivered if is_to(mail, customer)),
    )
