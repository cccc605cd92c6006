"""What a message in help@ can mean, and the facts the rules may use. Values only.

A verdict names the rule that decided and its evidence; both are stored as they are. *Held* means:
no marketing at once, order status goes on, and a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from mailbot.core.address import Address
from mailbot.core.person import Person
from mailbot.core.tokens import TokenKeys
from mailbot.core.words.vocabulary import THE_WORD, Vocabulary


@dataclass(frozen=True, slots=True)
class OurMessage:
    """A message that we sent: the outbox row behind a Message-ID or a return path."""

    outbox_id: int
    person: Person
    address: str | None  # None once the readable address was erased
    kind: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What intake looked up beforehand. Everything may be empty; no rule needs a fact to be safe.

    `our_messages` is keyed by Message-ID (with its brackets) and by `outbox:ID` for return paths;
    `known` are match keys of addresses in the outbox or in an audience. `mentions` in
    `mailbot.core.recognition` says what to look up. `is_brake_on`: so many requests that failed
    authentication came lately that the next ones go to a person. `is_opt_out_folder`: the mail
    stands where staff drag a mail to opt its sender out.
    """

    help_address: str = ""
    own_domains: frozenset[str] = frozenset()
    own_lists: frozenset[str] = frozenset()
    token_keys: TokenKeys | None = None
    our_messages: Mapping[str, OurMessage] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    authserv_ids: frozenset[str] = frozenset()
    is_brake_on: bool = False
    is_opt_out_folder: bool = False
    vocabulary: Vocabulary = THE_WORD


EMPTY_FACTS: Final = Facts()


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """One recipient of a delivery report that did not get the message."""

    address: Address | None  # None where the report names nobody we can read
    status: str  # RFC 3463, "" where the report has none
    diagnostic: str
    is_permanent: bool  # the mailbox or its domain does not exist
    is_final: bool = True  # False while the reporting server goes on trying

    @property
    def may_pass(self) -> bool:
        """Given up for a reason that may pass (RFC 3463: 4.x.x, or the mailbox's state, 5.2.x).

        A 5.7.1 is about us, and says nothing about the recipient.
        """
        is_passing = not self.status or self.status.startswith(("4.", "5.2."))
        return self.is_final and not self.is_permanent and is_passing


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`notes` name what looked odd on the way, such as a forged token."""

    name: ClassVar[str]
    rule: str = ""
    evidence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut(Verdict):
    """No more offers to these: addresses of the sender, persons named by our own tokens."""

    name: ClassVar[str] = "opt_out"
    addresses: tuple[Address, ...] = ()
    person_hashes: tuple[str, ...] = ()
    # Held, in review: the addresses of an ambiguous From beside a valid token, who may stand behind
    # a list, whom a report names without proof, and the owners of our messages that this mail
    # answers and who did not write it.
    held_addresses: tuple[Address, ...] = ()
    asked_about: tuple[OurMessage, ...] = ()

    @property
    def has_leavers(self) -> bool:
        """Somebody leaves now; else all whom it names are held."""
        return bool(self.addresses or self.person_hashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIn(Verdict):
    """The persons of these undo tokens want offers again; `addresses` are who wrote that."""

    name: ClassVar[str] = "opt_in"
    person_hashes: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce(Verdict):
    """A delivery report. It may suppress only where `our` says that we sent the mail."""

    name: ClassVar[str] = "bounce"
    recipients: tuple[FailedRecipient, ...] = ()
    our: tuple[OurMessage, ...] = ()

    @property
    def is_permanent(self) -> bool:
        """Every recipient failed for good."""
        return bool(self.recipients) and all(each.is_permanent for each in self.recipients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint(Verdict):
    """Somebody called our mail spam. Never about the From, which is the provider's."""

    name: ClassVar[str] = "complaint"
    feedback_type: str = "abuse"
    addresses: tuple[Address, ...] = ()
    person_hashes: tuple[str, ...] = ()
    our: tuple[OurMessage, ...] = ()

    @property
    def is_proved(self) -> bool:
        """Our token or our message stands in it; an address alone can be made up."""
        return bool(self.our or self.person_hashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoReply(Verdict):
    """A machine answered: nothing changes."""

    name: ClassVar[str] = "auto_reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review(Verdict):
    """A person has to look; who may have asked is held until then."""

    name: ClassVar[str] = "review"
    reason: str
    addresses: tuple[Address, ...] = ()
    person_hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrelated(Verdict):
    """Humans' mail: untouched."""

    name: ClassVar[str] = "unrelated"
