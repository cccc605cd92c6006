"""The whole exception tree. Every class carries its facts, a next step and an exit code.

Library exceptions stop at their adapter and leave it as one of these, chained with `from`.
Exit codes follow sysexits.h, so that scripts and systemd can tell a typo from an outage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MailbotError(Exception):
    """Something a person has to know: what is wrong, where, and what to do next."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" {self.next_step}" if self.next_step else ""
        return f"{place}{self.what}{advice}"


class InputError(MailbotError, ValueError):
    """What was handed over cannot be used: an address, a template, a file, an argument."""

    exit_code = 65  # EX_DATAERR


class AddressError(InputError):
    """The text does not hold exactly one address."""


class TokenError(InputError):
    """An opt-out or return-path token is forged, cut short, or of an unknown key."""


class TemplateError(InputError):
    """A template cannot be read or rendered; `where` names template and line."""


class AudienceError(InputError):
    """A campaign's audience file cannot be read; `where` names file and line."""


class NotFoundError(InputError):
    """A campaign, a message type or a review item of that name does not exist."""


class KeyReusedError(InputError):
    """An idempotency key was handed over again with other content; the first one stays."""


class RefusedError(MailbotError):
    """mailbot understands and will not do it, because a rule of the house forbids it."""


class TransitionError(MailbotError):
    """A state was to change along an edge that TRANSITIONS does not have."""


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One wrong setting: its key in dotted form, what is wrong, and what to write instead."""

    key: str
    what: str
    write: str


class ConfigError(MailbotError):
    """The configuration has faults; all of them are in `faults`."""

    exit_code = 78  # EX_CONFIG

    def __init__(self, where: str, faults: Sequence[ConfigFault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        super().__init__(f"{count} setting{'' if count == 1 else 's'} wrong", where=where)

    def __str__(self) -> str:
        lines = [f"  {fault.key}: {fault.what} {fault.write}".rstrip() for fault in self.faults]
        return "\n".join([f"{self.where}: {self.what}", *lines])


class StoreError(MailbotError):
    """The database answered, but not as it should."""

    exit_code = 74  # EX_IOERR


class StoreUnavailable(StoreError):
    """The database cannot be reached, read or written (missing, locked, disk full, no rights)."""


class DoorClosed(StoreError):
    """A wish from the public page cannot be stored now (disk full, database away)."""


class SpoolUnreadable(StoreError):
    """Wishes from the public page cannot be read: marketing stops until they can."""


class SchemaError(StoreError):
    """The database's schema is behind or ahead of this program."""

    exit_code = 78


class WrongPersonKey(StoreError):
    """The person key is not the one this database was filled with: marketing is refused."""

    exit_code = 78


class MailboxError(MailbotError):
    """The IMAP side; `where` names the mailbox and its host."""


class MailboxUnavailable(MailboxError):
    """The IMAP server cannot be reached, went away, or does not answer in time: try again."""

    exit_code = 69  # EX_UNAVAILABLE


class MailboxRefused(MailboxError):
    """The IMAP server refused the login, the certificate or a folder: a person must act."""

    exit_code = 77  # EX_NOPERM


class UnreadableMail(MailbotError):
    """The IMAP server has a mail and does not give it: that mail's fault, and no outage."""

    exit_code = 69


class ListenError(MailbotError):
    """The address on which a page is to listen is taken or barred; `where` names it."""

    exit_code = 69


class PageUnavailable(MailbotError):
    """The public page does not answer where the mails' links point; `where` is the URL."""

    exit_code = 69


class RelayError(MailbotError):
    """The SMTP side; `where` names the relay."""


class RelayUnavailable(RelayError):
    """The relay cannot be reached or is not taking mail now: nothing was handed over."""

    exit_code = 69


class RelayRefused(RelayError):
    """The relay refused *us* (banner, TLS, login, sender): a person must act."""

    exit_code = 77

    def __init__(
        self, what: str, *, where: str = "", next_step: str = "", code: int | None = None
    ) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.code = code


class RelayLost(RelayError):
    """The connection was lost or timed out; `stage` says how far the message had come."""

    exit_code = 69

    def __init__(self, what: str, *, stage: str, where: str = "") -> None:
        super().__init__(what, where=where)
        self.stage = stage
