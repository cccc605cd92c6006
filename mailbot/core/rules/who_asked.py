"""Who asked: whom a request is about, from the header alone. Never an address from the body.

The From address always; the owner of our own message that this mail answers, when it is somebody
else, is asked about; behind a list's rewritten From stands the Reply-To.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from mailbot.core.address import Address, parse_address, parse_mailboxes
from mailbot.core.errors import AddressError
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.reading.first_lines import first_lines
from mailbot.core.reading.header_fields import parse_fields, split_message
from mailbot.core.verdicts import Facts, OurMessage

MAX_HELD: Final = 20  # a forged From may name thousands
# "Ann via Help": what lists write into From since DMARC (Google in the list's language).
_VIA: Final = re.compile(
    r"\S (?:via|über|par l.intermédiaire de|через|a través de|por meio de|tramite|za pośrednictwem)"
    r" \S|経由",
    re.IGNORECASE,
)
_BEHIND: Final = ("reply-to", "x-original-from", "x-original-sender")
_INLINE_LINES: Final = 60
_INLINE_FROM: Final = re.compile(
    r"^[ \t>*]{0,8}(?:from|von|de|da|van|od|från|fra|от|发件人|差出人|寄件者)\*? ?[:：]\*?"
    r"(.{3,300})$",
    re.IGNORECASE | re.MULTILINE,
)


def is_own(address: Address, facts: Facts) -> bool:
    """help@ itself (with any tag), or an address of one of our own domains."""
    return address.domain in facts.own_domains or (
        bool(facts.help_address) and address.untagged_key == _untagged_key(facts.help_address)
    )


@lru_cache(maxsize=16)
def _untagged_key(help_address: str) -> str:
    try:
        return parse_address(help_address).untagged_key
    except AddressError:
        return ""


def senders(message: InboundMessage, facts: Facts) -> tuple[Address, ...]:
    """Every readable From address that is not our own."""
    addresses = (box.address for box in message.from_mailboxes)
    return tuple(address for address in addresses if not is_own(address, facts))[:MAX_HELD]


def is_one_person(message: InboundMessage) -> bool:
    """Exactly one address in From, and no group."""
    return len(message.from_mailboxes) == 1 and not message.from_is_group


def behind_the_list(message: InboundMessage, facts: Facts) -> tuple[Address, ...]:
    """Who really wrote, where From is plainly a list's rewrite; () where it is not."""
    if not _is_rewritten(message, facts):
        return ()
    from_keys = {box.address.match_key for box in message.from_mailboxes}
    found: dict[str, Address] = {}
    for name in _BEHIND:
        for value in message.fields.undecoded(name):
            for box in parse_mailboxes(value):
                if box.address.match_key not in from_keys and not is_own(box.address, facts):
                    found.setdefault(box.address.match_key, box.address)
    return tuple(found.values())[:MAX_HELD]


def _is_rewritten(message: InboundMessage, facts: Facts) -> bool:
    if len(message.from_mailboxes) != 1:
        return False
    (box,) = message.from_mailboxes
    if not any(message.fields.raw(name) for name in _BEHIND):
        return False
    if _VIA.search(box.display_name):
        return True
    if facts.help_address and box.address.untagged_key == _untagged_key(facts.help_address):
        return True
    posts = (box.address.text.lower() for value in message.fields.undecoded("list-post")
             for box in parse_mailboxes(value.replace("mailto:", "")))  # fmt: skip
    return box.address.text.lower() in posts


def asked_about(
    leaving: tuple[Address, ...], message: InboundMessage, facts: Facts
) -> tuple[OurMessage, ...]:
    """Owners of the messages this mail answers, when they are not leaving (A forwarded to B)."""
    keys = {key for sender in leaving for key in (sender.match_key, sender.untagged_key)}
    found: dict[int, OurMessage] = {}
    for message_id in (*message.in_reply_to, *message.references):
        ours = facts.our_messages.get(message_id)
        if ours is None:
            continue
        owner = parse_mailboxes(ours.address or "")
        if not owner or owner[0].address.match_key not in keys:
            found[ours.outbox_id] = ours
    return tuple(found.values())[:MAX_HELD]


def embedded_senders(message: InboundMessage, facts: Facts) -> tuple[Address, ...]:
    """Who wrote what a colleague forwards: attached messages, and the From lines of inline ones."""
    found: dict[str, Address] = {}
    values: list[str] = []
    for part in message.parts:
        if part.content_type == "message/rfc822":
            head, _, _ = split_message(part.body)
            values.extend(parse_fields(head).undecoded("from"))
    if not values:
        text = "\n".join(first_lines(message, _INLINE_LINES).lines)
        values = [hit[1] for hit in _INLINE_FROM.finditer(text)]
    for value in values[:MAX_HELD]:
        for box in parse_mailboxes(value):
            if not is_own(box.address, facts):
                found[box.address.match_key] = box.address
    return tuple(found.values())[:MAX_HELD]
