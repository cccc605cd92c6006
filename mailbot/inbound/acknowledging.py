"""The answer to an opt-out: queued in the transaction that suppresses; outbound sends it."""

from __future__ import annotations

from dataclasses import replace

import structlog

from mailbot.core.address import Address
from mailbot.core.deadlines import is_worth_acknowledging
from mailbot.core.mail_headers import is_message_id
from mailbot.core.rules.answering import why_not_answered
from mailbot.inbound.facts import facts_of
from mailbot.inbound.mail import Mail
from mailbot.inbound.shop import Shop
from mailbot.store import outbox, sent_messages
from mailbot.store.engine import Connection

log = structlog.get_logger(__name__)


def acknowledge(conn: Connection, address: Address, mail: Mail, shop: Shop) -> None:
    """Queue the answer to one address, where a machine may answer at all (RFC 3834).

    History, junk and what is older than two days get none, and nobody gets two in a period.
    """
    if shop.acknowledge_every_days is None or not mail.is_news:
        return
    if not is_worth_acknowledging(mail.received_at, mail.first_seen_at):
        return
    message, person = mail.message, shop.person_key.identify(address)
    is_known = bool(sent_messages.known_hashes(conn, [person]))
    facts = replace(facts_of(shop), known=frozenset({address.match_key} if is_known else ()))
    because = why_not_answered(message, address, facts)
    if because:
        log.info("opt_out_not_acknowledged", person=person.person_hash[:12], because=because)
        return
    # RFC 5322 §3.6.4: without References, a single In-Reply-To stands for them.
    parents = message.references or (message.in_reply_to if len(message.in_reply_to) == 1 else ())
    outbox.enqueue_acknowledgement(
        conn,
        address=address,
        person=person,
        fields={
            "in_reply_to": message.message_id if is_message_id(message.message_id) else "",
            "references": [one for one in (*parents, message.message_id) if is_message_id(one)],
        },
        every_days=shop.acknowledge_every_days,
        our_domain=shop.help_address.domain,
    )
