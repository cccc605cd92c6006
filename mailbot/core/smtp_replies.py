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


class Welcome(StrEnum):
    """What a reply says about how much more mail is welcome."""

    TAKEN = "taken"  # at this pace the message went through
    DOMAIN_TOO_MANY = "domain_too_many"  # the recipient's domain gets too much at once
    RELAY_TOO_MANY = "relay_too_many"  # we send too much, whomever to
    UNSAID = "unsaid"


# RFC 3463 §3.2 and the registry: bad mailbox, bad system, bad syntax, moved, null MX.
# Nothing else suppresses: a 5.7.1 is about us, a 5.2.2 is a full mailbox.
NO_SUCH_RECIPIENT = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})

# RFC 1870 §6.1 and RFC 6531 §3.5: too large, or an address the relay cannot carry. Even at MAIL
# these are about this one message, not about us.
ABOUT_THE_MESSAGE = frozenset({"5.2.3", "5.3.4", "5.6.7"})

# About us though it comes as late as RCPT: RFC 4954 §6 (530: log in first), and 5.4.5 by which
# Gmail says that the account's daily limit is reached. It refuses nobody's message for good.
_US_AND_NOT_THE_MESSAGE = frozenset({"5.4.5"})
_LOG_IN_FIRST = 530
_NO_RELAYING_TEXT = re.compile(
    r"relay(?:ing)?(?: access)? (?:is )?(?:denied|not (?:permitted|allowed)|prohibited)"
    r"|(?:unable|not (?:permitted|allowed|authori[sz]ed)) to relay|authentication (?:is )?required",
    re.IGNORECASE,
)

# "Too many", at RCPT and later. RFC 3463 §3.5: congestion; §3.6: too many recipients; §3.8: policy,
# under which Google (4.7.0, 4.7.28), Yahoo (4.7.0 [TSS04]) and Microsoft (4.7.500, 4.7.650) say it.
_TOO_MANY = frozenset({"4.4.5", "4.5.3"})
_POLICY = "4.7."
# 4.2.1 is a mailbox switched off, but with 450 Google means one that gets mail too quickly.
_TOO_QUICKLY = (450, "4.2.1")
# RFC 6647 §2: greylisting asks for time from each sender and recipient, and not for fewer of them.
_GREYLISTED_TEXT = re.compile(r"gr[ae]y-?\s?list", re.IGNORECASE)
# In words, with whatever code: the postmaster pages of Google, Yahoo, Microsoft (RP-001), Orange.
_TOO_MANY_TEXT = re.compile(
    r"too (?:many|much) (?:\w+ ){0,2}(?:connection|session|message|mail|e-?mail|recipient|request)"
    r"|too (?:fast|quickly|frequently)|rate[ -]?limit|throttl|(?:unusual|sending|mail|message) rate"
    r"|unexpected volume|exceeded the (?:rate|limit)|\bRP-00[1-3]\b|trop de connexions",
    re.IGNORECASE,
)
# What submission services and Postfix say of their own clients: Amazon SES (454, without enhanced
# code), Microsoft 365 (432 4.3.2), Google's relay (450 4.2.1 "Peak SMTP relay limit").
_TOO_MANY_OF_OURS_TEXT = re.compile(
    r"throttling failure|maximum sending rate|daily (?:message )?quota|daily .{0,20}sending limit"
    r"|relay limit exceeded|concurrent connections limit|sender thread limit"
    r"|error: too (?:many|much) ",
    re.IGNORECASE,
)

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


def is_about_us(reply: Reply) -> bool:
    """Whether a 5xx reply at RCPT or later would have been the same for any other message."""
    if reply.code == _LOG_IN_FIRST or reply.enhanced in _US_AND_NOT_THE_MESSAGE:
        return True
    # A recipient who does not exist may be told with another server's words about relaying.
    return not is_no_such_recipient(reply) and bool(_NO_RELAYING_TEXT.search(reply.text[:1000]))


def welcome(stage: Stage, reply: Reply) -> Welcome:
    """What `reply` at `stage` says about our pace. Before RCPT the breaker answers for that."""
    if stage not in (Stage.RCPT, Stage.DATA, Stage.DOT):
        return Welcome.UNSAID
    if reply.code // 100 == 2:
        return Welcome.TAKEN if stage is Stage.DOT else Welcome.UNSAID
    if reply.enhanced in _US_AND_NOT_THE_MESSAGE:
        return Welcome.RELAY_TOO_MANY
    text = reply.text[:1000]
    if reply.code // 100 != 4 or _GREYLISTED_TEXT.search(text):
        return Welcome.UNSAID
    if _TOO_MANY_OF_OURS_TEXT.search(text):
        return Welcome.RELAY_TOO_MANY
    is_by_code = reply.enhanced in _TOO_MANY or reply.enhanced.startswith(_POLICY)
    if is_by_code or (reply.code, reply.enhanced) == _TOO_QUICKLY or _TOO_MANY_TEXT.search(text):
        return Welcome.DOMAIN_TOO_MANY
    return Welcome.UNSAID


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
    if family == 5 and is_about_us(reply):
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
