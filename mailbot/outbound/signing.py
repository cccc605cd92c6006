"""Mail is signed (DKIM) after it is composed, as the last thing before it goes to the relay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from mailbot.core.dkim import DkimIdentity, sign
from mailbot.outbound.delivery import Outgoing
from mailbot.store.outbox import ClaimedRow


class _Composer(Protocol):
    async def compose(self, row: ClaimedRow) -> Outgoing: ...


class SignedLetters:
    """What another composer makes, with a signature by each identity that answers for its From."""

    def __init__(
        self, letters: _Composer, from_domain: str, identities: Iterable[DkimIdentity]
    ) -> None:
        self._letters = letters
        self._identities = [one for one in identities if one.answers_for(from_domain)]

    async def compose(self, row: ClaimedRow) -> Outgoing:
        """Raises what the other raises. An RSA signature takes a quarter of a millisecond."""
        outgoing = await self._letters.compose(row)
        if not self._identities:
            return outgoing
        signed = sign(outgoing.message, self._identities, datetime.now(UTC))
        return replace(outgoing, message=signed)
