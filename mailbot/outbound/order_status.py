"""Order status: the shop hands over one message about one order; each type is a template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from mailbot.core.address import Address, parse_address
from mailbot.core.compose import PROVIDED_FIELDS, OrderStatusComposer, Recipient
from mailbot.core.errors import AddressError, InputError, KeyReusedError
from mailbot.core.mail_headers import has_control_character
from mailbot.core.offer_words import COMMERCIAL_RULE, offer_words_in
from mailbot.core.person import Person, PersonKey
from mailbot.core.templates import required_fields_of
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.store import keys, outbox
from mailbot.store.engine import Connection
from mailbot.store.outbox import ClaimedRow


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """What the shop hands over. `idempotency_key` names this message for ever."""

    type: str
    address: Address
    idempotency_key: str
    fields: Mapping[str, object]

    @classmethod
    def read(cls, handed: object, where: str = "") -> OrderStatus:
        """From one JSON object: {"type", "to", "idempotency_key", "fields"}.

        Raises InputError naming `where` and the key that is wrong.
        """
        if not isinstance(handed, Mapping):
            raise InputError("this is no JSON object", where=where, next_step=_EXAMPLE)
        for key in ("type", "to", "idempotency_key"):
            if not isinstance(handed.get(key), str) or not handed[key].strip():
                raise InputError(f"“{key}” is missing or no text", where=where, next_step=_EXAMPLE)
        unknown = sorted(str(key) for key in set(handed) - _KEYS)
        if unknown:
            raise InputError(
                f"“{unknown[0]}” is no key of a message", where=where, next_step=_EXAMPLE
            )
        fields = handed.get("fields", {})
        if not isinstance(fields, Mapping):
            raise InputError("“fields” is no JSON object", where=where, next_step=_EXAMPLE)
        _refuse_unstorable({**handed, "fields": dict(fields)}, where)
        if len(handed["idempotency_key"]) > 200:
            raise InputError("“idempotency_key” is longer than 200 characters", where=where)
        if has_control_character(handed["idempotency_key"]):
            raise InputError("“idempotency_key” holds a control character", where=where)
        try:
            address = parse_address(handed["to"])
        except AddressError as error:
            raise InputError(f"“to” is no address: {error.what}", where=where) from error
        return cls(handed["type"], address, handed["idempotency_key"], dict(fields))

    @property
    def content(self) -> bytes:
        """What is handed over under the key, so that other content is told from the same."""
        content = [self.type, self.address.text, self.fields]
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


_KEYS: Final = frozenset({"type", "to", "idempotency_key", "fields"})
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it


def _refuse_unstorable(handed: object, where: str) -> None:
    """What JSON, or one of the two databases, cannot hold."""
    try:
        written = json.dumps(handed, ensure_ascii=False, allow_nan=False, sort_keys=True)
        written.encode()
    except UnicodeEncodeError as error:
        what = "it holds half of a character (a lone surrogate like \\ud83d)."
        raise InputError(what, where=where, next_step="Cut no text inside an emoji.") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"it holds a value that JSON has not ({error}).",
            where=where,
            next_step="Write dates and money as the text that the mail is to show.",
        ) from error
    if _NUL.search(written):
        raise InputError("it holds a NUL character.", where=where, next_step="Take it out.")


_EXAMPLE = (
    'Write {"type": "shipped", "to": "ann@example.org", "idempotency_key": "order-1001-shipped", '
    '"fields": {"order_number": "1001"}}.'
)


class Handed(StrEnum):
    """What became of a message that was handed over."""

    QUEUED = "queued"  # it is stored, and will be sent
    KNOWN = "known"  # its idempotency key was handed over before, with the same content


@dataclass(frozen=True, slots=True)
class Checked:
    """A message that can be sent; only `HandOver.check` makes one."""

    message: OrderStatus
    person: Person
    digest: str


class HandOver:
    """Takes the shop's messages: each is checked first, then stored. May be used by threads."""

    def __init__(
        self, types: OrderStatusTypes, person_key: PersonKey, letterhead: Letterhead
    ) -> None:
        self._types = types
        self._person_key = person_key
        self._letterhead = letterhead
        self._composers = {
            name: OrderStatusComposer(
                types.template(name), letterhead.order_status, letterhead.shop
            )
            for name in types.names
        }

    def check(self, message: OrderStatus) -> Checked:
        """Find out now what would go wrong when it is sent.

        Raises NotFoundError for an unknown type, InputError for a field that is missing or cannot
        be shown, and for a subject that its fields turn into an offer.
        """
        needed = required_fields_of(self._types.template(message.type))
        missing = sorted(needed - PROVIDED_FIELDS - set(message.fields))
        if missing:
            raise InputError(
                f"the type “{message.type}” needs the field{'s' if missing[1:] else ''} "
                + ", ".join(f"“{name}”" for name in missing),
                where=message.idempotency_key,
                next_step='Add them under "fields".',
            )
        try:
            rendered = self._composers[message.type].render(_recipient(message))
        except InputError as error:
            place = ", ".join(part for part in (message.idempotency_key, error.where) if part)
            raise InputError(error.what, where=place, next_step=error.next_step) from error
        if words := offer_words_in(rendered.subject):
            raise InputError(
                f"the subject reads as an offer: {', '.join(map(repr, words))}.",
                where=message.idempotency_key,
                next_step=COMMERCIAL_RULE,
            )
        return Checked(
            message,
            self._person_key.identify(message.address),
            self._person_key.content_digest(message.content),
        )

    def store(self, conn: Connection, messages: Sequence[Checked]) -> list[Handed | KeyReusedError]:
        """Queue them, and say of each what became of it, in their order.

        The caller answers the shop only after its transaction is durable. A key that was handed
        over with other content is an error as a value: the others are stored.
        """
        keys.adopt(conn, self._person_key)
        became: dict[int, Handed | KeyReusedError] = {}
        # By key: two that hand the same ones over at once wait for each other in one order.
        for place in sorted(
            range(len(messages)), key=lambda at: messages[at].message.idempotency_key
        ):
            became[place] = self._store_one(conn, messages[place])
        return [became[place] for place in range(len(messages))]

    def _store_one(self, conn: Connection, checked: Checked) -> Handed | KeyReusedError:
        message = checked.message
        is_new = outbox.enqueue_order_status(
            conn,
            message_type=message.type,
            address=message.address,
            person=checked.person,
            fields=message.fields,
            idempotency_key=message.idempotency_key,
            our_domain=self._letterhead.order_status.address.domain,
            content_digest=checked.digest,
        )
        if is_new:
            return Handed.QUEUED
        if outbox.content_digest_of(conn, message.idempotency_key) in (checked.digest, None):
            return Handed.KNOWN
        return KeyReusedError(
            "this idempotency key was handed over before with other content",
            where=message.idempotency_key,
            next_step="A new message needs a key of its own; the first one stays as it is.",
        )


def _recipient(message: OrderStatus) -> Recipient:
    return Recipient(message.address, str(message.fields.get("name") or ""), message.fields)


class OrderStatusLetters:
    """Composes order-status rows."""

    def __init__(self, types: OrderStatusTypes, letterhead: Letterhead) -> None:
        self._types = types
        self._letterhead = letterhead
        self._composers: dict[str, OrderStatusComposer] = {}

    async def compose(self, row: ClaimedRow) -> Outgoing:
        """One message. Raises NotFoundError where its type was removed, TemplateError."""
        if row.type is None or row.address is None:
            raise ValueError(f"row {row.id} is no order-status row with an address")
        composer = self._composers.get(row.type)
        if composer is None:
            composer = self._composers[row.type] = OrderStatusComposer(
                self._types.template(row.type), self._letterhead.order_status, self._letterhead.shop
            )
        address = parse_address(row.address)
        recipient = Recipient(address, str(row.fields.get("name") or ""), row.fields)
        composed = composer.compose(recipient, row.message_id, datetime.now(UTC))
        return Outgoing(
            self._letterhead.return_path(row.id),
            address.envelope,
            composed.message,
            composed.needs_smtputf8,
        )
