"""The answer to an opt-out, and the question to whoever asks on the page to come back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources

from mailbot.core.address import Address, parse_address
from mailbot.core.compose import Composed, compose_acknowledgement, compose_confirmation
from mailbot.core.errors import InputError
from mailbot.core.templates import Template, parse_template
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.letterhead import Letterhead
from mailbot.store.outbox import CONFIRMATION, ClaimedRow


class AcknowledgementLetters:
    """Composes acknowledgement rows; intake queued them in the transaction that suppressed.

    `return_code` gives the code of a wish to come back (`PersonKey.return_code`); whoever has no
    public page needs none.
    """

    def __init__(
        self, letterhead: Letterhead, return_code: Callable[[str], str] | None = None
    ) -> None:
        self._answer = _template("acknowledgement")
        self._question = _template("come_back")
        self._letterhead = letterhead
        self._return_code = return_code

    async def compose(self, row: ClaimedRow) -> Outgoing:
        """One answer, with the null envelope sender (RFC 3834 §3.3): it cannot bounce back.

        Raises InputError for a question where the settings name no public page any more.
        """
        if row.address is None:
            raise ValueError(f"row {row.id} has no address")
        address = parse_address(row.address)
        composed = self._compose(row, address)
        return Outgoing("", address.envelope, composed.message, composed.needs_smtputf8)

    def _compose(self, row: ClaimedRow, address: Address) -> Composed:
        shop, at = self._letterhead.shop, datetime.now(UTC)
        if row.type == CONFIRMATION:
            link = self._link(str(row.fields.get("wish", "")))
            return compose_confirmation(self._question, shop, address, row.message_id, at, link)
        return compose_acknowledgement(
            self._answer,
            shop,
            address,
            row.message_id,
            at,
            in_reply_to=str(row.fields.get("in_reply_to", "")),
            references=[str(one) for one in row.fields.get("references", [])],
            undo_address=self._letterhead.undo_address(row.person.person_hash),
        )

    def _link(self, wish_id: str) -> str:
        url = self._letterhead.public_url
        if url is None or self._return_code is None:
            raise InputError(
                "there is no public page any more on which this could be confirmed.",
                where="public.url",
                next_step="Set it again where such mails are still to be sent.",
            )
        return f"{url}/c/{self._return_code(wish_id)}"


def _template(name: str) -> Template:
    source = resources.files("mailbot") / "data" / f"{name}.txt"
    return parse_template(name, source.read_text(encoding="utf-8"))
