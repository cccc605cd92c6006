"""For a shop's own Python program: hand order status over, and learn what became of it.

    from mailbot.orders import Orders

    with Orders("/etc/mailbot/mailbot.toml") as orders:
        orders.hand_over(type="shipped", to="ann@example.org",
                         idempotency_key="1001-shipped", fields={"order_number": "1001"})

One `Orders` serves all threads of a program; a process that was forked opens its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from mailbot.config import load, load_person_key, load_token_keys
from mailbot.core.errors import InputError, KeyReusedError, MailbotError, StoreError
from mailbot.doctor import refuse_missing_database
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_reports import report
from mailbot.outbound.order_status import Checked, Handed, HandOver, OrderStatus
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.store import keys, schema
from mailbot.store.engine import Database
from mailbot.store.order_reports import OrderStatusChange, Told

__all__ = [
    "Handed",
    "InputError",
    "KeyReusedError",
    "MailbotError",
    "OrderStatusChange",
    "Orders",
    "StoreError",
    "Told",
    "report",
]


class Orders:
    """An open installation of mailbot, as the settings file describes it."""

    def __init__(self, config: str | Path) -> None:
        """Read the settings, keys and templates, and open the database.

        Raises a MailbotError: ConfigError, TemplateError, WrongPersonKey, SchemaError or
        StoreUnavailable. Never creates a database.
        """
        settings = load(Path(config))
        person_key = load_person_key(settings)
        self._handing = HandOver(
            OrderStatusTypes(settings.order_status.templates_dir),
            person_key,
            Letterhead.of(settings, load_token_keys(settings)),
        )
        refuse_missing_database(settings.store.url)
        self._database = Database.open(settings.store.url)
        try:
            with self._database.read() as conn:
                schema.check(conn)
                keys.check(conn, person_key)
        except BaseException:
            self._database.close()
            raise

    def hand_over(
        self,
        *,
        type: str,
        to: str,
        idempotency_key: str,
        fields: Mapping[str, object] | None = None,
    ) -> Handed:
        """Store one message, durably; `Handed.KNOWN` where it was handed over before.

        Raises InputError where it cannot be sent (KeyReusedError where the key stands for other
        content), StoreError where it is not known to be stored: hand it over again later, under
        the same key.
        """
        message = {
            "type": type, "to": to, "idempotency_key": idempotency_key, "fields": fields or {},
        }  # fmt: skip
        return self._store([self._handing.check(OrderStatus.read(message))])[0]

    def hand_over_many(self, messages: Iterable[Mapping[str, object]]) -> list[Handed]:
        """Store all of them in one transaction, or none; the answers are in their order.

        Each has the keys "type", "to", "idempotency_key" and "fields", like a JSON line of
        `mailbot order-status send`. Raises as `hand_over` does, naming the message by its number
        from 1; nothing is stored then.
        """
        checked = []
        for number, message in enumerate(messages, start=1):
            where = f"message {number}"
            try:
                checked.append(self._handing.check(OrderStatus.read(message, where)))
            except InputError as error:
                place = error.where if where in error.where else f"{where}, {error.where}"
                raise InputError(error.what, where=place, next_step=error.next_step) from error
        return self._store(checked)

    def report(self, after: int = 0, limit: int = 1000) -> Told:
        """What became of messages, in the order of change; see `report`."""
        return report(self._database, after, limit)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _store(self, checked: list[Checked]) -> list[Handed]:
        answers = []
        with self._database.write() as conn:
            for answer in self._handing.store(conn, checked):
                if isinstance(answer, KeyReusedError):
                    raise answer
                answers.append(answer)
        return answers
