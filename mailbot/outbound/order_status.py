"""Order status: the shop hands over one message about one order; each type is a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mailbot.core.address import Address, parse_address
from mailbot.core.compose import PROVIDED_FIELDS, OrderStatusComposer, Recipient
from mailbot.core.errors import AddressError, InputError
from mailbot.core.person import PersonKey
from mailbot.core.templates import required_fields_of
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.store import outbox
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
        if not isinstance(handed, dict):
            raise InputError("this is no JSON object", where=where, next_step=_EXAMPLE)
        for key in ("type", "to", "idempotency_key"):
            if not isinstance(handed.get(key), str) or not handed[key].strip():
                raise InputError(f"“{key}” is missing or no text", where=where, next_step=_EXAMPLE)
        unknown = sorted(set(handed) - {"type", "to", "idempotency_key", "fields"})
        if unknown:
            raise InputError(
                f"“{unknown[0]}” is no key of a message", where=where, next_step=_EXAMPLE
            )
        fields = handed.get("fields", {})
        if not isinstance(fields, dict):
            raise InputError("“fields” is no JSON object", where=where, next_step=_EXAMPLE)
        if len(handed["idempotency_key"]) > 200:
            raise InputError("“idempotency_key” is longer than 200 characters", where=where)
        try:
            address = parse_address(handed["to"])
        except AddressError as error:
            raise InputError(f"“to” is no address: {error.what}", where=where) from error
        return cls(handed["type"], address, handed["idempotency_key"], fields)


_EXAMPLE = (
    'Write {"type": "shipped", "to": "ann@example.org", "idempotency_key": "order-1001-shipped", '
    '"fields": {"order_number": "1001"}}.'
)


def hand_over(
    conn: Connection,
    message: OrderStatus,
    types: OrderStatusTypes,
    person_key: PersonKey,
    letterhead: Letterhead,
) -> bool:
    """Queue one message; False where its idempotency key was handed over before.

    The caller answers the shop only after its transaction is durable. Raises NotFoundError for an
    unknown type, InputError for a field the template needs and the message does not have.
    """
    needed = required_fields_of(types.template(message.type))
    missing = sorted(needed - PROVIDED_FIELDS - set(message.fields))
    if missing:
        raise InputError(
            f"the type “{message.type}” needs the field{'s' if missing[1:] else ''} "
            + ", ".join(f"“{name}”" for name in missing),
            where=message.idempotency_key,
            next_step='Add them under "fields".',
        )
    return outbox.enqueue_order_status(
        conn,
        message_type=message.type,
        address=message.address,
        person=person_key.identify(message.address),
        fields=message.fields,
        idempotency_key=message.idempotency_key,
        our_domain=letterhead.order_status.address.domain,
    )


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
