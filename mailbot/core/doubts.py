"""Why the word in a subject may not be a request of its sender: then a person decides."""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.inbound_message import InboundMessage
from mailbot.core.subject_prefixes import is_reply
from mailbot.core.verdicts import Facts
from mailbot.core.vocabulary import Hit

# Local parts that no person writes from.
ROBOTS: Final = frozenset({
    "mailer-daemon", "postmaster", "noreply", "no-reply", "no_reply", "donotreply",
    "do-not-reply", "do_not_reply", "bounce", "bounces", "nobody", "autoreply", "auto-reply",
    "listserv", "listserver", "majordomo", "mdaemon", "notification", "notifications", "mailman",
    "mailman-owner", "sympa", "ezmlm", "newsletter", "mailer", "daemon", "uucp", "no.reply",
    "do.not.reply", "autoresponder", "auto-responder", "autoresponse", "vacation",
})  # fmt: skip
_LIST_FIELDS: Final = (
    "list-id", "list-post", "list-help", "list-archive", "mailing-list", "x-mailing-list",
    "x-beenthere", "x-mailman-version", "x-google-group-id",
)  # fmt: skip
_LIST_SENDER: Final = re.compile(r"-bounces(?:[+=-][^@]{0,200})?@|^owner-|-owner@|-request@")
_CODE_BEFORE: Final = re.compile(r"(?:[^\W_]_|::|->)$")
_CODE_AFTER: Final = re.compile(r"^(?:\(\)|_[^\W_])")
_PROGRAMMERS_TAG: Final = re.compile(
    r"\[[^\[\]]{0,40}\bpatch\b[^\[\]]{0,40}\]|\b(?:issue|pull request|pr|bug) ?#\d|\(#\d{1,7}\)$"
)
_TICKET_TAG: Final = re.compile(
    r"\[(?:ticket|case|request|incident|sr)[ #:-]{0,3}[\w-]{0,20}\]|\[#[\w-]{2,20}\]"
)


def doubt_about(hit: Hit, message: InboundMessage, facts: Facts) -> str:
    """Why the word in this subject may not be a request; "" where it is one."""
    before, after = hit.text[: hit.start], hit.text[hit.end :]
    is_call = after.startswith("(") and (before.endswith(".") or after.startswith("()"))
    if is_call or _CODE_BEFORE.search(before[-3:]) or _CODE_AFTER.match(after):
        return "the word is part of program text"
    if _PROGRAMMERS_TAG.search(hit.text):
        return "it reads like a message about a program"
    if _TICKET_TAG.search(hit.text) or facts.vocabulary.sounds_like_a_robot(message.subject):
        return "it reads like the answer of a robot"
    if not hit.is_alone and _is_from_a_robot(message):
        return "its sender is an address that no person writes from"
    if is_reply(hit.text) and _is_in_a_thread_of_others(message, facts):
        return "a reply in a mailing list's thread that is not ours"
    if not hit.is_certain:
        return "it may ask for something else"
    return ""


def _is_from_a_robot(message: InboundMessage) -> bool:
    return any(box.address.local_part.lower() in ROBOTS for box in message.from_mailboxes)


def _is_in_a_thread_of_others(message: InboundMessage, facts: Facts) -> bool:
    answered = (*message.in_reply_to, *message.references)
    if not answered or any(message_id in facts.our_messages for message_id in answered):
        return False
    if _is_list_mail(message):
        return not _is_our_list(message, facts)
    return "[" in message.subject[:80]  # archives keep the list's tag and not its fields


def _is_list_mail(message: InboundMessage) -> bool:
    if any(message.fields.raw(name) for name in _LIST_FIELDS):
        return True
    if message.header("precedence").strip().lower() == "list":
        return True
    sender = message.header("sender").strip("<> ").lower()
    return bool(
        _LIST_SENDER.search(sender) or _LIST_SENDER.search((message.return_path or "").lower())
    )


def _is_our_list(message: InboundMessage, facts: Facts) -> bool:
    if not facts.own_lists:
        return False
    named = [message.header(name).lower() for name in _LIST_FIELDS]
    return any(own.lower() in text for own in facts.own_lists for text in named)
