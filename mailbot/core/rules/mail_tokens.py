"""Our signed tokens in a mail's recipients and subject: verified, revoked, or none of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mailbot.core.errors import TokenError
from mailbot.core.inbound_message import InboundMessage
from mailbot.core.tokens import (
    PersonToken,
    TokenKeys,
    TokenPrefix,
    tokens_in,
    tokens_in_text,
    verify_opt_out,
    verify_undo,
)

_MAX_NOTES: Final = 20


@dataclass(frozen=True, slots=True)
class TokenFindings:
    """Person hashes of valid and of revoked tokens; `notes` name those that are not ours."""

    persons: tuple[str, ...] = ()
    revoked_persons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_opt_out_tokens(message: InboundMessage, keys: TokenKeys | None) -> TokenFindings:
    """Those of List-Unsubscribe. Nothing where no keys are known: then none can be told."""
    return _find(message, keys, "u", b"+u-", verify_opt_out)


def find_undo_tokens(message: InboundMessage, keys: TokenKeys | None) -> TokenFindings:
    """Those of acknowledgements."""
    return _find(message, keys, "r", b"+r-", verify_undo)


def _find(
    message: InboundMessage,
    keys: TokenKeys | None,
    prefix: TokenPrefix,
    mark: bytes,
    verify: Callable[[TokenKeys, str], PersonToken],
) -> TokenFindings:
    if keys is None:
        return TokenFindings()
    valid: dict[str, None] = {}
    revoked: dict[str, None] = {}
    notes: list[str] = []
    tagged = tokens_in(message.recipients_tagged(mark), prefix)
    for token in dict.fromkeys((*tagged, *tokens_in_text(message.subject, prefix))):
        try:
            verified = verify(keys, token)
        except TokenError as error:
            notes.append(f"token {token[:8]}…: {error.what}")
            continue
        (revoked if verified.is_revoked else valid)[verified.person_hash] = None
        if verified.is_revoked:
            notes.append(f"token {token[:8]}…: key {verified.key_id} is revoked.")
    return TokenFindings(tuple(valid), tuple(revoked), tuple(notes[:_MAX_NOTES]))
