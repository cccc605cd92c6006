"""One letter of a campaign as one of its people would get it, without sending it.

Its way out bears the token of nobody: a preview is passed around, and whoever presses a button in
it must opt no customer out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailbot.core.address import parse_address
from mailbot.core.compose import Recipient
from mailbot.core.errors import NotFoundError
from mailbot.outbound.campaigns import composer_of
from mailbot.outbound.letterhead import Letterhead
from mailbot.store import audiences
from mailbot.store.campaigns import Campaign
from mailbot.store.engine import Connection
from mailbot.store.outbox import new_message_id

_NOBODY = "0" * 32  # a person hash that no address has


@dataclass(frozen=True, slots=True)
class Preview:
    """The letter of the person in `line` of the audience."""

    line: int
    message: bytes  # headers and body, CRLF line ends


def preview(
    conn: Connection, campaign: Campaign, letterhead: Letterhead, at: datetime, line: int = 1
) -> Preview:
    """The letter of the first person from `line` of the audience on.

    Raises NotFoundError where there is none, TemplateError and InputError as its sending would.
    """
    member = audiences.member_at(conn, campaign.id, line)
    if member is None or member.address is None:
        raise NotFoundError(
            f"nobody stands in line {line} of the audience, or after it",
            where=f"campaign “{campaign.name}”",
            next_step="Name an earlier line.",
        )
    composed = composer_of(campaign, letterhead).compose(
        Recipient(
            parse_address(member.address), str(member.fields.get("name") or ""), member.fields
        ),
        new_message_id(letterhead.marketing.address.domain),
        at,
        letterhead.opt_out_address(_NOBODY),
        letterhead.one_click_url(_NOBODY),
    )
    return Preview(member.line, composed.message)
