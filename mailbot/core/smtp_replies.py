"""What an SMTP reply means for one message: RFC 5321 §4.2 reply codes, RFC 3463 enhanced codes.

The relay's word at each stage becomes one of a few outcomes. 5xx before RCPT is about *us* (our
address, our login, our sender), never about the customer, and suppresses nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far one SMTP transaction had come."""

    CONNECT = "connect"  # TCP, TLS, banner, EHLO
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # the DATA command, before 354
    DOT = "dot"  # from the first byte of the body to the answer to the final dot


class Outcome(StrEnum):
    """What the sender does with the row."""

    SENT = "sent"
    DEFERRED = "deferred"  # try this message again later
    BOUNCED = "bounced"  # the mailbox or its domain does not exist
    REJECTED = "rejected"  # this message is refused for another reason
    RELAY_TROUBLE = "relay_trouble"  # about us: row back to queued, breaker opens
    UNCERTAIN = "uncertain"  # may or may not have been taken


# RFC 3463 §3.2 and the registry: bad mailbox, bad system, bad syntax, moved, null MX.
# Nothing else suppresses: a 5.7.1 is about us, a 5.2.2 is a full mailbox.
NO_SUCH_RECIPIENT = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})

# RFC 1870 §6.1 and RFC 6531 §3.5: too large, or an address the relay cannot carry. Even at MAIL
# these are about this one message, not about us.
ABOUT_THE_MESSAGE = frozenset({"5.2.3", "5.3.4", "5.6.7"})

# Only where the relay gives no enhanced code: text that says so, in the words of the large MTAs.
_NO_SUCH_RECIPIENT_TEXT = re.compile(
    r"user (?:is )?unknown|unknown user|no such (?:user|mailbox|recipient|address)"
    r"|(?:user|mailbox|recipient|address|account)(?: \S{1,254})? (?:does not|doesn't) exist"
    r"|recipient not found|mailbox not found|invalid (?:mailbox|recipient)"
    r"|domain (?:does not exist|not found)|host or domain name not found",
    re.IGNORECASE,
)
_ENHANCED = re.compile(r"\A\s*([245]\.\d{1,3}\.\d{1,3})(?=\s|\Z)")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the relay: three-digit code, enhanced code or "", and its text."""

    code: int
    enhanced: str
    text: str

    @classmethod
    def parse(cls, code: int, text: str) -> Reply:
        """Split the enhanced code (RFC 2034) off the text, where its class fits the reply code."""
        found = _ENHANCED.match(text)
        if found and found[1][0] == str(code)[0]:
            return cls(code, found[1], text[found.end() :].strip())
        return cls(code, "", text.strip())

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


def is_no_such_recipient(reply: Reply) -> bool:
    """Whether a 5xx reply says that the mailbox or its domain does not exist."""
    if reply.enhanced:
        return reply.enhanced in NO_SUCH_RECIPIENT
    return bool(_NO_SUCH_RECIPIENT_TEXT.search(reply.text[:1000]))


def judge(stage: Stage, reply: Reply) -> Outcome:
    """The outcome of `reply` at `stage`. 2xx before the final dot is not asked for here."""
    family = reply.code // 100
    if reply.code == 421:
        # RFC 5321 §3.8: the server is closing the channel; this says nothing about the message.
        return (
            Outcome.DEFERRED
            if stage in (Stage.RCPT, Stage.DATA, Stage.DOT)
            else (Outcome.RELAY_TROUBLE)
        )
    if stage is Stage.MAIL and (reply.code == 552 or reply.enhanced in ABOUT_THE_MESSAGE):
        return Outcome.REJECTED
    if stage in (Stage.CONNECT, Stage.AUTH, Stage.MAIL):
        return Outcome.RELAY_TROUBLE
    if family == 2 and stage is Stage.DOT:
        return Outcome.SENT
    if family == 4:
        return Outcome.DEFERRED
    if family == 5:
        about_the_mailbox = stage in (Stage.RCPT, Stage.DOT) and is_no_such_recipient(reply)
        return Outcome.BOUNCED if about_the_mailbox else Outcome.REJECTED
    # 1xx, 3xx out of turn, or no number at all: after the dot nobody can know what was taken.
    return Outcome.UNCERTAIN if stage is Stage.DOT else Outcome.RELAY_TROUBLE


def judge_loss(stage: Stage) -> Outcome:
    """The outcome when the connection was lost, or the answer did not come in time, at `stage`.

    RFC 5321 §4.5.3.2: the relay may have queued the message when only its answer was lost, so
    whatever is lost from the body on is uncertain; before 354 it cannot have taken anything.
    """
    if stage is Stage.DOT:
        return Outcome.UNCERTAIN
    if stage in (Stage.CONNECT, Stage.AUTH, Stage.MAIL):
        return Outcome.RELAY_TROUBLE  # a reused connection that the relay had closed, most often
    return Outcome.DEFERRED
