"""The answer to an opt-out: one short mail that says what happens now, and how to come back."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources

from mailbot.core.address import parse_address
from mailbot.core.compose import compose_acknowledgement
from mailbot.core.templates import parse_template
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.letterhead import Letterhead
from mailbot.store.outbox import ClaimedRow


class AcknowledgementLetters:
    """Composes acknowledgement rows; intake queued them in the transaction that suppressed."""

    def __init__(self, letterhead: Letterhead) -> None:
        source = resources.files("mailbot") / "data" / "acknowledgement.txt"
        self._template = parse_template("acknowledgement", source.read_text(encoding="utf-8"))
        self._letterhead = letterhead

    async def compose(self, row: ClaimedRow) -> Outgoing:
        """One answer, with the null envelope sender (RFC 3834 §3.3): it cannot bounce back."""
        if row.address is None:
            raise ValueError(f"row {row.id} has no address")
        address = parse_address(row.address)
        composed = compose_acknowledgement(
            self._template,
            self._letterhead.shop,
            address,
            row.message_id,
            datetime.now(UTC),
            in_reply_to=str(row.fields.get("in_reply_to", "")),
            references=[str(one) for one in row.fields.get("references", [])],
            undo_address=self._letterhead.undo_address(row.person.person_hash),
        )
        return Outgoing("", address.envelope, composed.message, composed.needs_smtputf8)
