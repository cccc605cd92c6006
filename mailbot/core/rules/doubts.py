"""Why the word in a subject may not be a request of its sender: then a person decides."""

from __future__ import annotations

import re
from typing import Final

from mailbot.core.inbound_message import InboundMessage
from mailbot.core.rules.auto_reply import is_automatic_subject
from mailbot.core.verdicts import Facts
from mailbot.core.words.subject_prefixes import end_of_prefixes, is_forward, is_reply
from mailbot.core.words.vocabulary import Hit

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
_LIST_TAG: Final = re.compile(r"\[(?!\d{1,3}\])[^\[\]]{2,60}\]")  # not the count of "Re[2]:"
# What robots are called beside a list's or a shop's name.
_ROBOT_NAME: Final = re.compile(
    r"no-?_?reply|do-?_?not-?_?reply|[-+_.](?:request|bounces?|owner|help|confirm|notifications?)$"
)
_ASKS_HOW: Final = re.compile(r"^(?:how (?:to|do i|can i|does one)|wie (?:kann|melde)|comment) ")
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
    is_answer = is_reply(hit.text)
    if (is_answer or not hit.is_alone) and _is_from_a_robot(message):
        return "its sender is an address that no person writes from"
    text = hit.text[end_of_prefixes(hit.text) :]
    if is_forward(hit.text) and is_automatic_subject(text):
        return "an automatic answer that somebody passed on"
    is_in_talk = is_answer or _ASKS_HOW.match(hit.text) is not None
    if is_in_talk and _is_in_a_thread_of_others(message, facts):
        return "a reply in a mailing list's thread that is not ours"
    if not hit.is_certain:
        return "it may ask for something else"
    return ""


def _is_from_a_robot(message: InboundMessage) -> bool:
    names = [box.address.local_part.lower() for box in message.from_mailboxes]
    return any(name in ROBOTS or _ROBOT_NAME.search(name) for name in names)


def _is_in_a_thread_of_others(message: InboundMessage, facts: Facts) -> bool:
    answered = (*message.in_reply_to, *message.references)
    if not answered or any(message_id in facts.our_messages for message_id in answered):
        return False
    if _is_list_mail(message):
        return not _is_our_list(message, facts)
    return _LIST_TAG.search(message.subject[:120]) is not None  # archives keep the tag alone


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
