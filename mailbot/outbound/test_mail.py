"""A campaign's letter to the team, before anybody else gets it.

It goes to the relay at once and beside the outbox: it has no lease, is tried once, and counts among
nobody's figures. To the list it is marketing like any other: the same steps look at it right before
MAIL FROM, and who is on it gets none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from mailbot.core.address import Address
from mailbot.core.consent import Reason
from mailbot.core.dkim import DkimIdentity
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import NotFoundError, RefusedError, RelayError
from mailbot.core.outbox_states import State
from mailbot.core.person import PersonKey
from mailbot.outbound.campaigns import CampaignLetters
from mailbot.outbound.delivery import Attempt, Looking, Outgoing, Seen, boot_seconds, deliver
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.line import Line, RelayClient
from mailbot.outbound.signing import SignedLetters
from mailbot.store import audiences, campaign_tests
from mailbot.store.audiences import StoredMember
from mailbot.store.campaigns import Campaign
from mailbot.store.engine import Database
from mailbot.store.outbox import ClaimedRow, new_message_id
from mailbot.store.tables import CampaignState

MOST_RECIPIENTS: Final = 10
SUBJECT_MARK: Final = "[Test] "
_HEADER: Final = b"X-Mailbot-Test: yes\r\n"
_NO_ROW: Final = 0  # of the outbox: a report about a test mail is about no message of a customer
_TESTABLE: Final = (
    CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.SENDING, CampaignState.PAUSED,
)  # fmt: skip

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TeamLine:
    """What a test needs of the shop: who may write it, how it is signed, where it goes."""

    person_key: PersonKey
    letterhead: Letterhead
    identities: Sequence[DkimIdentity]
    connect: Callable[[], RelayClient]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the mail to one of the team; `why` is the relay's word, or ours."""

    address: str
    state: State
    reason: Reason | None = None  # where it was withheld
    why: str = ""


@dataclass(frozen=True, slots=True)
class Tested:
    """One test: whose fields were used, and what became of each mail, in the order asked for."""

    line: int
    answers: tuple[Answer, ...]

    @property
    def sent(self) -> int:
        """How many the relay took."""
        return sum(answer.state is State.SENT for answer in self.answers)


def send_test(
    database: Database,
    campaign: Campaign,
    recipients: Iterable[Address],
    line: TeamLine,
    *,
    by: str,
    audience_line: int = 1,
    mark: str = "",
) -> Tested:
    """Send the letter of the first person from `audience_line` on, to each of `recipients`.

    The way out in each is its recipient's own, so that nobody opts a customer out by trying it.
    `mark` goes before the subject. Raises RefusedError, NotFoundError, RelayError (the relay takes
    nothing at all now), TemplateError, InputError, StoreError.
    """
    if campaign.state not in _TESTABLE:
        raise RefusedError(
            f"it is {campaign.state}, and a test shows what is still to be sent.",
            where=f"campaign “{campaign.name}”",
            next_step="mailbot campaign preview shows its letter.",
        )
    member = _member(database, campaign, audience_line)
    domain = line.letterhead.marketing.address.domain
    rows = [_row(campaign, member, one, line.person_key, domain) for one in _each_once(recipients)]
    letters = SignedLetters(
        _Marked(CampaignLetters(database, line.letterhead, mark)), domain, line.identities
    )
    return asyncio.run(_Test(database, campaign, member.line, by, letters, line.connect).run(rows))


def _member(database: Database, campaign: Campaign, audience_line: int) -> StoredMember:
    with database.read() as conn:
        member = audiences.member_at(conn, campaign.id, audience_line)
    if member is None:
        raise NotFoundError(
            f"nobody stands in line {audience_line} of the audience, or after it",
            where=f"campaign “{campaign.name}”",
            next_step="Name an earlier line.",
        )
    return member


def _each_once(recipients: Iterable[Address]) -> list[Address]:
    once = list({address.match_key: address for address in recipients}.values())
    if not 1 <= len(once) <= MOST_RECIPIENTS:
        raise RefusedError(
            f"a test goes to {MOST_RECIPIENTS} addresses at most, and these are {len(once):,}.",
            next_step="Who is to get the letter for good stands in the audience.",
        )
    return once


def _row(
    campaign: Campaign, member: StoredMember, to: Address, person_key: PersonKey, domain: str
) -> ClaimedRow:
    """What a row of the outbox would be, if this recipient stood in that line of the audience."""
    return ClaimedRow(
        id=_NO_ROW,
        kind=MessageKind.CAMPAIGN,
        campaign_id=campaign.id,
        type=None,
        address=to.text,
        person=person_key.identify(to),
        fields=member.fields,
        message_id=new_message_id(domain),
        attempts=0,
        created_at=datetime.now(UTC),
    )


class _Marked:
    """The campaign's own letters, each with one header more, before they are signed."""

    def __init__(self, letters: CampaignLetters) -> None:
        self._letters = letters

    async def compose(self, row: ClaimedRow) -> Outgoing:
        outgoing = await self._letters.compose(row)
        return replace(outgoing, message=_HEADER + outgoing.message)


class _Test:
    """One connection, one mail after another, and its record."""

    def __init__(
        self,
        database: Database,
        campaign: Campaign,
        audience_line: int,
        by: str,
        letters: SignedLetters,
        connect: Callable[[], RelayClient],
    ) -> None:
        self._database = database
        self._campaign = campaign
        self._audience_line = audience_line
        self._by = by
        self._letters = letters
        self._connect = connect

    async def run(self, rows: Sequence[ClaimedRow]) -> Tested:
        mails = [(row, await self._letters.compose(row)) for row in rows]  # faults before any goes
        line = Line()
        line.connection = await self._opened()
        try:
            tested = await self._recorded(line, mails)
            await line.close()
        finally:
            line.drop()
        log.info("campaign_tested", campaign=self._campaign.name, sent=tested.sent)
        return tested

    async def _recorded(self, line: Line, mails: Sequence[tuple[ClaimedRow, Outgoing]]) -> Tested:
        """Recorded before the first goes; how many went, also where it is broken off."""
        test_id = await self._database.commit(
            lambda conn: campaign_tests.begin(
                conn, self._campaign.id, by=self._by, line=self._audience_line,
                recipients=len(mails),
            )
        )  # fmt: skip
        answers: list[Answer] = []
        try:
            for row, outgoing in mails:
                answers.append(await self._send(line, row, outgoing))
        finally:
            sent = Tested(self._audience_line, tuple(answers)).sent
            await self._database.commit(lambda conn: campaign_tests.end(conn, test_id, sent=sent))
        return Tested(self._audience_line, tuple(answers))

    async def _opened(self) -> RelayClient:
        connection = self._connect()
        await connection.connect()
        return connection

    async def _send(self, line: Line, row: ClaimedRow, outgoing: Outgoing) -> Answer:
        address = row.address or ""
        if line.connection is None:
            try:
                line.connection = await self._opened()
            except RelayError as error:
                return Answer(address, State.QUEUED, why=str(error))
        attempt = Attempt(row, attempt_id=0, is_lease_sure=lambda: True)
        delivered = await deliver(line.connection, attempt, outgoing, self._looking(row))
        if not delivered.is_connected:
            line.drop()
        elif not delivered.is_clean:
            await line.clean()
        outcome = delivered.outcome or attempt.ends(State.QUEUED)
        return Answer(address, outcome.state, outcome.withheld_reason, outcome.reply)

    def _looking(self, row: ClaimedRow) -> Looking:
        async def look() -> Seen:
            asked_at = boot_seconds()
            seen = await self._database.look(lambda conn: campaign_tests.look(conn, row.person))
            return Seen(seen, asked_at)

        return look
