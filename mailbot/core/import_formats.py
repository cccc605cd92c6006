"""What the suppression exports of other systems mean: their columns, and a reason for each row.

Where the columns are documented:
- SES: `SuppressedDestinationSummary` of the API v2, as `aws sesv2 list-suppressed-destinations`.
- SendGrid: Suppressions API (bounces, blocks, invalid emails, spam reports, global unsubscribes).
- Mailchimp: "View or export a contact list"; unsubscribed_*.csv and cleaned_*.csv.
- Postmark: Suppressions API, `suppressions/dump`.
- listmonk: `SubscriberExport` (uuid, email, name, attributes, status, created_at, updated_at).
- mailbot: what `mailbot suppress export` writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mailbot.core.consent import Kind


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file. It is recognised where its `marks` all stand in the header."""

    name: str
    address: str  # the column, in lower case
    marks: frozenset[str]
    reads: tuple[str, ...]  # the columns that `meaning` looks at
    # What these cells ask for; None: no entry (a soft block, a subscriber). KeyError if unknown.
    meaning: Callable[[Sequence[str]], Kind | None]
    is_whole_header: bool = False  # where its marks alone would match any list


def _always(kind: Kind) -> Callable[[Sequence[str]], Kind | None]:
    return lambda _: kind


def _skip(_: Sequence[str]) -> None:
    return None


def _by_table(table: Mapping[str, Kind | None]) -> Callable[[Sequence[str]], Kind | None]:
    return lambda cells: table[cells[0].strip().lower().replace(" ", "").replace("_", "")]


_ENHANCED: Final = re.compile(r"\s*([245])(?:\.(\d{1,3})\.(\d{1,3})|\d\d\b)")


def _by_status(cells: Sequence[str]) -> Kind | None:
    """RFC 3463: the address itself is wrong (5.1.x), a policy or a passing trouble, or unknown."""
    hit = _ENHANCED.match(cells[0])
    if hit is None:
        return Kind.IMPORTED
    group, subject = hit[1], hit[2]
    if group != "5" or subject == "7":
        return None
    return Kind.UNDELIVERABLE if subject == "1" else Kind.IMPORTED


def _of_subscriber(cells: Sequence[str]) -> Kind | None:
    """Whoever is blocked, or has left the exported list."""
    if len(cells) > 1 and cells[1].strip().lower() == "unsubscribed":
        return Kind.IMPORTED
    return _LISTMONK[cells[0].strip().lower()]


_LISTMONK: Final[Mapping[str, Kind | None]] = {
    "enabled": None, "disabled": Kind.IMPORTED, "blocklisted": Kind.IMPORTED,
}  # fmt: skip
_AT_SES: Final[Mapping[str, Kind | None]] = {
    "bounce": Kind.UNDELIVERABLE, "complaint": Kind.COMPLAINT,
}  # fmt: skip
_AT_POSTMARK: Final[Mapping[str, Kind | None]] = {
    "hardbounce": Kind.UNDELIVERABLE,
    "spamcomplaint": Kind.COMPLAINT,
    "manualsuppression": Kind.IMPORTED,
}
_OWN: Final[Mapping[str, Kind | None]] = {
    "optout": Kind.OPT_OUT,
    "held": Kind.OPT_OUT,  # there is nobody here who would decide about the mail
    "complaint": Kind.COMPLAINT,
    "undeliverable": Kind.UNDELIVERABLE,
    "imported": Kind.IMPORTED,
    "erased": None,
}

PLAIN: Final = "csv"

# The first that matches decides: those with more marks stand above those with fewer.
FORMATS: Final = (
    Format("mailbot", "address", frozenset({"address", "reason", "since_at"}), ("reason",),
           _by_table(_OWN)),
    Format("postmark", "emailaddress", frozenset({"emailaddress", "suppressionreason"}),
           ("suppressionreason",), _by_table(_AT_POSTMARK)),
    Format("ses", "emailaddress", frozenset({"emailaddress", "reason", "lastupdatetime"}),
           ("reason",), _by_table(_AT_SES)),
    Format("ses", "email address", frozenset({"email address", "reason", "last update time"}),
           ("reason",), _by_table(_AT_SES)),
    Format("mailchimp", "email address", frozenset({"email address", "unsub_time"}), (),
           _always(Kind.IMPORTED)),
    Format("mailchimp", "email address", frozenset({"email address", "clean_time"}), (),
           _always(Kind.IMPORTED)),
    # Those who are subscribed: importing them would silence the whole shop.
    Format("mailchimp", "email address", frozenset({"email address", "member_rating"}), (),
           _skip),
    Format("listmonk", "email", frozenset({"uuid", "email", "status", "subscription_status"}),
           ("status", "subscription_status"), _of_subscriber),
    Format("listmonk", "email", frozenset({"uuid", "email", "status"}), ("status",),
           _of_subscriber),
    Format("sendgrid", "email", frozenset({"email", "created", "status", "reason"}), ("status",),
           _by_status),
    Format("sendgrid", "email", frozenset({"email", "created", "ip"}), (),
           _always(Kind.COMPLAINT)),
    Format("sendgrid", "email", frozenset({"email", "created", "reason"}), (),
           _always(Kind.UNDELIVERABLE)),
    Format("sendgrid", "email", frozenset({"email", "created"}), (), _always(Kind.IMPORTED),
           is_whole_header=True),
)  # fmt: skip
NAMES: Final = (PLAIN, *sorted({one.name for one in FORMATS}))

# What a column of addresses is called, where no format is known; the first that is there.
ADDRESS_COLUMNS: Final = (
    "email", "email address", "email_address", "emailaddress", "e-mail", "e-mail address", "mail",
    "address", "recipient", "e-mail-adresse", "emailadresse", "courriel", "correo", "indirizzo",
)  # fmt: skip


def recognised(header: Sequence[str], forced: str | None = None) -> Format | None:
    """The format with this header; None for a list of no known system. `forced`: of this name."""
    names = {cell.strip().lower() for cell in header}
    for one in FORMATS:
        if forced is not None and one.name != forced:
            continue
        if one.marks <= names and (not one.is_whole_header or one.marks == names):
            return one
    return None
