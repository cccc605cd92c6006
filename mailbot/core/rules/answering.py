"""Whether a machine may answer a mail at all, and at which address (RFC 3834 §2 and §4).

The answer to an opt-out is a service responder's: the policy promises it to whoever writes the
word, so §4 lets it go to the From address that was opted out. Reply-To and Sender never get it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from mailbot.core.address import Address, parse_mailboxes
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.rules.auto_reply import auto_reply_evidence
from mailbot.core.rules.doubts import ROBOTS
from mailbot.core.rules.who_asked import behind_the_list, is_own
from mailbot.core.verdicts import Facts

# Where a writer names whom he writes to (§2); Delivered-To says only where the mail ended.
_WRITTEN_TO: Final = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_LIST_FIELDS: Final = ("mailing-list", "x-mailing-list", "x-beenthere", "x-google-group-id")
_COMMENT: Final = re.compile(r"\([^()]*\)")
_LIST_ID: Final = re.compile(r"<([^<>]*)>")
# "owner-*", "*-request", "MAILER-DAEMON" of §2, and what has become usual since.
_ROBOT: Final = re.compile(
    r"(?:owner|bounces?|errors?)[-_=].*|no[-_.]?repl(?:y|ies)\b.*|do[-_.]?not[-_.]?reply\b.*"
    r"|.*[-_](?:request|owner|bounces?|errors?|relay|daemon|no-?reply)"
)
# A forwarder's return path (SRS) names the forwarder, and speaks of bounces: it says nothing.
_FORWARDED: Final = re.compile(r"srs[01][-+=]|.*\+srs=")


def why_not_answered(message: InboundMessage, address: Address, facts: Facts) -> str:
    """Why no machine answers this mail at `address`; "" where one may.

    `facts.known` says whether we ever wrote to that address, or meant to.
    """
    for refusal in _REFUSALS:
        reason = refusal(message, address, facts)
        if reason:
            return reason
    return ""


def _ourselves(_: InboundMessage, address: Address, facts: Facts) -> str:
    return "it would go to ourselves" if is_own(address, facts) else ""


def _automatic(message: InboundMessage, _: Address, __: Facts) -> str:
    evidence = auto_reply_evidence(message)
    return f"a machine wrote the mail ({evidence})" if evidence else ""


def _unwanted(message: InboundMessage, _: Address, __: Facts) -> str:
    """The sender asks for none; people's mail carries that as well, and is heard all the same."""
    wanted = message.header("x-auto-response-suppress").lower()
    found = {word.strip() for word in wanted.split(",")} & {"all", "autoreply"}
    return "its sender wants no automatic answer" if found else ""


def _robot(message: InboundMessage, address: Address, _: Facts) -> str:
    if is_robots(address.local_part):
        return "no person reads mail to that address"
    local_part = (message.return_path or "").rpartition("@")[0].lower()
    if is_robots(local_part) and not _FORWARDED.match(local_part):
        return "its return path is a robot's"
    return ""


def _list_mail(message: InboundMessage, _: Address, facts: Facts) -> str:
    if _is_ours_only(message, facts):
        return ""
    if any(name.startswith("list-") or name in _LIST_FIELDS for name in message.fields.values):
        return "it came by a mailing list"
    return ""


def _bulk(message: InboundMessage, _: Address, facts: Facts) -> str:
    for value in message.headers_named("precedence"):
        word = _COMMENT.sub(" ", value).strip().lower()
        if word in ("bulk", "junk") or (word == "list" and not _is_ours_only(message, facts)):
            return f"Precedence: {word}"
    return ""


def _spam(message: InboundMessage, _: Address, __: Facts) -> str:
    verdicts = (message.header("x-spam-flag"), message.header("x-spam-status"))
    is_spam = any(verdict.strip().lower().startswith("yes") for verdict in verdicts)
    return "a filter on its way took it for spam" if is_spam else ""


def _not_to_us(message: InboundMessage, _: Address, facts: Facts) -> str:
    if _is_ours_only(message, facts):
        return ""
    values = (value for name in _WRITTEN_TO for value in message.fields.undecoded(name))
    named = (box.address for value in values for box in parse_mailboxes(value))
    if any(is_own(address, facts) for address in named):
        return ""
    return "it is not addressed to us"


def _rewritten(message: InboundMessage, address: Address, facts: Facts) -> str:
    """Who stands behind a list's From is answered where the list is our own group, and alone."""
    behind = behind_the_list(message, facts)
    written = [box.address for box in message.from_mailboxes]
    if not behind:
        return "" if written == [address] else "it is not the one address in From"
    if behind == (address,) and all(is_own(each, facts) for each in written):
        return ""
    return "a list stands between us and its writer"


def _forged(message: InboundMessage, address: Address, facts: Facts) -> str:
    """From may be forged, and then the answer goes to somebody who never wrote (§2, §4).

    One of our customers is told even so: who was opted out in her name is she, and this mail is
    how she learns of it. A stranger gets nothing from us unless the return path agrees.
    """
    sender = message.return_path
    if sender is None or address.match_key in facts.known:
        return ""
    domain = sender.rpartition("@")[2].lower().strip(" .")
    ours = {*facts.own_domains, facts.help_address.rpartition("@")[2].lower()}
    if domain in ours or _is_kin(domain, address.domain):
        return ""
    return "its return path is of another domain than From, and we do not know the address"


_REFUSALS: Final[tuple[Callable[[InboundMessage, Address, Facts], str], ...]] = (
    _ourselves,
    _automatic,
    _unwanted,
    _robot,
    _list_mail,
    _bulk,
    _spam,
    _not_to_us,
    _rewritten,
    _forged,
)


def is_robots(local_part: str) -> bool:
    """Whether no person writes from this local part, or reads what is sent there."""
    plain = local_part.lower()
    untagged = plain.partition("+")[0]
    return untagged in ROBOTS or any(_ROBOT.fullmatch(each) for each in (plain, untagged))


def _is_ours_only(message: InboundMessage, facts: Facts) -> bool:
    """Whether the mail came by a group of our own, and by no other list."""
    values = message.headers_named("list-id")
    own = {name.lower() for name in facts.own_lists}
    named = [(_LIST_ID.findall(value) or [value])[-1].strip().lower() for value in values]
    return bool(named) and all(name in own for name in named)


def _is_kin(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
