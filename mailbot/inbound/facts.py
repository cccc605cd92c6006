"""What the rules may know beforehand: the shop, and which of our own messages the mails name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog

from mailbot.core.address import Address
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.recognition import mentions
from mailbot.core.verdicts import Facts, OurMessage
from mailbot.inbound.shop import Shop
from mailbot.store import sent_messages
from mailbot.store.engine import Connection

_IDS_A_STATEMENT = 5_000  # SQLite takes 32,766 parameters

log = structlog.get_logger(__name__)


def facts_of(shop: Shop, authserv_ids: Iterable[str] = ()) -> Facts:
    """What is known without looking anything up."""
    return Facts(
        help_address=shop.help_address.text,
        own_domains=shop.own_domains,
        own_lists=shop.own_lists,
        token_keys=shop.token_keys,
        authserv_ids=frozenset(name.lower() for name in authserv_ids),
        vocabulary=shop.vocabulary,
    )


def look_up(
    conn: Connection, messages: Iterable[InboundMessage], shop: Shop, known: Facts
) -> Facts:
    """`known` and the facts for these messages together: one statement for a whole batch."""
    message_ids: set[str] = set()
    outbox_ids: set[int] = set()
    addresses: dict[str, Address] = {}
    for message in messages:
        try:
            named = mentions(message, known)
        except Exception:  # bad mail is a value (invariant 7): the rules will say what is wrong
            log.exception("mentions_not_read")
            continue
        # Ours are ASCII; PostgreSQL would refuse the whole batch for a NUL in a stranger's.
        message_ids.update(one for one in named.message_ids if one.isascii() and one.isprintable())
        outbox_ids.update(named.outbox_ids)
        addresses.update((address.match_key, address) for address in named.addresses)
    found: dict[str, OurMessage] = {}
    wanted: list[str | int] = [*sorted(message_ids), *sorted(outbox_ids)]
    for start in range(0, len(wanted), _IDS_A_STATEMENT):
        part = wanted[start : start + _IDS_A_STATEMENT]
        texts = [one for one in part if isinstance(one, str)]
        numbers = [one for one in part if isinstance(one, int)]
        for sent in sent_messages.messages_named(conn, texts, numbers):
            our = OurMessage(sent.outbox_id, sent.person, sent.address, sent.kind)
            found[sent.message_id] = found[f"outbox:{sent.outbox_id}"] = our
    return replace(known, our_messages=found, known=_known_among(conn, addresses, shop))


def _known_among(conn: Connection, addresses: dict[str, Address], shop: Shop) -> frozenset[str]:
    """The match keys of those who were ever mailed, or stand in an audience."""
    persons = {key: shop.person_key.identify(address) for key, address in addresses.items()}
    hashes = sent_messages.known_hashes(conn, list(persons.values()))
    return frozenset(key for key, person in persons.items() if person.person_hash in hashes)
