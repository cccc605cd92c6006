"""Campaigns: made of a template and an audience, expanded when due, composed row by row."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

import structlog

from mailbot.core.address import Address, parse_address
from mailbot.core.compose import CampaignComposer, Recipient
from mailbot.core.person import PersonKey
from mailbot.core.templates import Template, parse_template
from mailbot.outbound.delivery import Outgoing
from mailbot.outbound.letterhead import Letterhead
from mailbot.store import campaign_attending, campaigns, expansion
from mailbot.store.campaign_changes import MAILBOT
from mailbot.store.campaigns import Campaign, Member, Origin
from mailbot.store.engine import Database
from mailbot.store.expansion import Part
from mailbot.store.outbox import ClaimedRow

log = structlog.get_logger()

# Lines a transaction: one writer at a time, and intake must not wait longer than ~50 ms for it.
_LOAD_CHUNK = 500
_FIRST_PART, _SMALLEST_PART, _LARGEST_PART = 250, 50, 10_000
_LOCK_SECONDS = 0.015  # aimed at for a part; its COMMIT comes on top
_WORK_SECONDS = 0.7  # of each second: the ticker has other work
_CANCEL_PART = 500
_COMPOSERS_KEPT = 8
_FEEDBACK_NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class AudienceLine:
    """One line of an audience: its number in the file, the address, and what the template sees."""

    line: int
    address: Address
    fields: Mapping[str, object]


def create(
    database: Database,
    person_key: PersonKey,
    *,
    name: str,
    subject: str,
    text_source: str,
    html_source: str | None,
    audience: Iterable[AudienceLine],
    origin: Origin | None = None,
    by: str = MAILBOT,
) -> Campaign:
    """Store template and audience as a draft.

    Nobody can schedule it before the last line is in. A person who stands in the audience twice
    is kept once. Raises TemplateError, RefusedError (the name is taken), StoreError.
    """
    read_template(name, subject, text_source, html_source)  # refuse before anything is stored
    with database.write() as conn:
        campaign_id = campaigns.create(
            conn,
            name=name,
            subject=subject,
            text_source=text_source,
            html_source=html_source,
            origin=origin,
        )
    lines = iter(audience)
    while chunk := list(islice(lines, _LOAD_CHUNK)):
        members = [
            Member(one.line, one.address, person_key.identify(one.address), one.fields)
            for one in chunk
        ]
        with database.write() as conn:
            campaigns.add_members(conn, campaign_id, members)
    with database.write() as conn:
        return campaigns.finish_loading(conn, name, by=by)


def read_template(name: str, subject: str, text_source: str, html_source: str | None) -> Template:
    """The campaign's template. Raises TemplateError."""
    return parse_template(name, text_source, html_source, subject)


def cancel(database: Database, name: str, because: str, *, by: str = MAILBOT) -> Campaign:
    """End a campaign for good: from the first commit on nothing more goes out.

    Its waiting rows are cancelled part by part, here and by each daemon's ticks. Raises
    NotFoundError, RefusedError, StoreError.
    """
    with database.write() as conn:
        campaign = campaigns.cancel(conn, name, because, by=by)
    count = _CANCEL_PART
    while count == _CANCEL_PART:
        began = time.perf_counter()
        with database.write() as conn:
            count = campaigns.cancel_waiting(conn, limit=_CANCEL_PART)
        time.sleep(time.perf_counter() - began)  # the others' half
    return campaign


async def tick(
    database: Database, our_domain: str, on_queued: Callable[[], object] = lambda: None
) -> int:
    """Start what is due, look after what is under way, expand and finish it; returns rows expanded.

    Called every second by the daemon's ticker; takes no longer, and goes on at the next call.
    `on_queued` is called after each part, so that sending begins with the first. Safe with several
    daemons: every step is a compare-and-set or resumes at a stored place.
    """
    for campaign in await database.commit(campaigns.start_due):
        log.info("campaign_started", campaign=campaign.name)
    for campaign in await database.commit(campaign_attending.attend):
        log.error("campaign_late", campaign=campaign.name, why=campaign.because)
    until = asyncio.get_running_loop().time() + _WORK_SECONDS
    expanded = await _expand(database, our_domain, on_queued, until)
    await _cancel_waiting(database, until)
    for campaign in await database.commit(campaigns.finish_sent):
        log.info("campaign_done", campaign=campaign.name)
    return expanded


async def _expand(
    database: Database, our_domain: str, on_queued: Callable[[], object], until: float
) -> int:
    """Work for a while, half of it asleep: SQLite has one writer, and the others wait for it."""
    clock = asyncio.get_running_loop().time
    limit, members = _FIRST_PART, 0
    waiting = deque(await database.look(expansion.unexpanded))
    while waiting:
        campaign_id = waiting.popleft()  # in turn, so that a big one holds no small one up
        part, seconds = await database.commit(
            lambda conn, campaign_id=campaign_id, limit=limit: _timed(  # type: ignore[misc]
                lambda: expansion.expand(conn, campaign_id, our_domain=our_domain, limit=limit)
            )
        )
        members += part.members
        if part.members:
            _tell_expanded(part)
            on_queued()
        if not part.is_last:
            waiting.append(campaign_id)
        wanted = limit * _LOCK_SECONDS / max(seconds, 0.001)
        limit = int(min(max(wanted, limit / 2, _SMALLEST_PART), limit * 2, _LARGEST_PART))
        if clock() > until:
            break  # after one part at least: a slow database must not stop it for ever
        await asyncio.sleep(seconds)
    return members


async def _cancel_waiting(database: Database, until: float) -> None:
    clock = asyncio.get_running_loop().time
    count = _CANCEL_PART
    while count == _CANCEL_PART:
        began = clock()
        count = await database.commit(
            lambda conn: campaigns.cancel_waiting(conn, limit=_CANCEL_PART)
        )
        if clock() > until:
            return
        await asyncio.sleep(clock() - began)


def _timed(work: Callable[[], Part]) -> tuple[Part, float]:
    began = time.perf_counter()
    part = work()
    return part, time.perf_counter() - began


def _tenths(part: Part, rows: int) -> int:
    return 10 * rows // max(1, part.audience)


def _tell_expanded(part: Part) -> None:
    """Each tenth once, and the end."""
    if part.is_last:
        log.info("campaign_expanded", campaign=part.campaign, messages=part.expanded)
    elif _tenths(part, part.expanded) > _tenths(part, part.expanded - part.added):
        log.info(
            "campaign_expanding",
            campaign=part.campaign,
            messages=part.expanded,
            audience=part.audience,
        )


class CampaignLetters:
    """Composes a campaign's rows; what all recipients share is built once a campaign.

    `mark` is put before each subject.
    """

    def __init__(self, database: Database, letterhead: Letterhead, mark: str = "") -> None:
        self._database = database
        self._letterhead = letterhead
        self._mark = mark
        self._composers: dict[int, CampaignComposer] = {}

    async def compose(self, row: ClaimedRow) -> Outgoing:
        """One recipient's letter. Raises TemplateError, InputError."""
        if row.campaign_id is None or row.address is None:
            raise ValueError(f"row {row.id} is no campaign row with an address")
        composer = self._composers.get(row.campaign_id)
        if composer is None:
            composer = await self._composer(row.campaign_id)
        address = parse_address(row.address)
        composed = composer.compose(
            Recipient(address, str(row.fields.get("name") or ""), row.fields),
            row.message_id,
            datetime.now(UTC),
            self._letterhead.opt_out_address(row.person.person_hash),
            self._letterhead.one_click_url(row.person.person_hash),
        )
        return Outgoing(
            self._letterhead.return_path(row.id),
            address.envelope,
            composed.message,
            composed.needs_smtputf8,
        )

    async def _composer(self, campaign_id: int) -> CampaignComposer:
        campaign = await self._database.look(lambda conn: campaigns.by_id(conn, campaign_id))
        marked = replace(campaign, subject=self._mark + campaign.subject)
        composer = composer_of(marked, self._letterhead)
        while len(self._composers) >= _COMPOSERS_KEPT:
            self._composers.pop(next(iter(self._composers)))
        self._composers[campaign_id] = composer
        return composer


def composer_of(campaign: Campaign, letterhead: Letterhead) -> CampaignComposer:
    """What writes this campaign's letters. Raises TemplateError, InputError."""
    sender = letterhead.marketing
    return CampaignComposer(
        read_template(campaign.name, campaign.subject, campaign.text_source, campaign.html_source),
        sender,
        letterhead.shop,
        list_id=f"offers.{sender.address.domain}",
        feedback_id=f"{_feedback_name(campaign)}:campaign:{sender.address.domain}",
    )


def _feedback_name(campaign: Campaign) -> str:
    """The campaign as Feedback-ID may name it: ASCII, without a colon, short."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", campaign.name).strip("-")
    return plain[:_FEEDBACK_NAME_CHARS].strip("-") or f"c{campaign.id}"
