"""The story, act by act: mail arrives, offers go out, answers come, orders are reported.

Each act waits for what the store and the servers say, and yields one line to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from mailbot.core.address import parse_address
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.demo import cast, letters
from mailbot.demo.cast import Customer, Offer
from mailbot.demo.findings import Findings, gather, headers_of, is_to, kind_of
from mailbot.demo.letters import NO_OFFER, Letter, Received
from mailbot.demo.servers import MailServers
from mailbot.demo.stage import Stage
from mailbot.inbound.watch import account_of
from mailbot.outbound import campaigns
from mailbot.outbound.campaigns import AudienceLine
from mailbot.outbound.order_status import HandOver, OrderStatus
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.store import campaign_figures, mailboxes, outbox
from mailbot.store import campaigns as stored_campaigns
from mailbot.store.tables import CampaignState

_ON_ITS_WAY = frozenset({State.QUEUED, State.CLAIMED, State.SENDING, State.DEFERRED})
_FOLDER = "INBOX"


def play(stage: Stage) -> Iterator[str]:
    """Play the acts; yields a sentence after each. Raises MailbotError where one gets stuck."""
    _until_heard(stage)
    yield "mailbot starts, and hears a mail of last week that staff have read."
    arrive(stage.servers, letters.MORNING)
    _until_heard(stage)
    yield f"In the morning {len(letters.MORNING)} mails arrive at help@. mailbot hears them all."
    _queue_offer(stage, cast.AUTUMN)
    yield _offer_went_out(stage, cast.AUTUMN)
    arrive(stage.servers, letters.ANSWERS)
    _until_heard(stage)
    yield f"{len(letters.ANSWERS)} more mails arrive, most of them answers to that offer."
    _hand_over_orders(stage)
    _queue_offer(stage, cast.WINTER)
    yield _offer_went_out(stage, cast.WINTER)
    yield _orders_went_out(stage)


def arrive(servers: MailServers, mails: Iterable[Letter]) -> None:
    """Put letters into help@, in their order."""
    for letter in mails:
        at = datetime.now(UTC) - letter.age
        content = letter.write(at, _received_by(servers, letter.writer))
        servers.inbox.put(content, flags=letter.flags, received_at=at)


def _received_by(servers: MailServers, customer: Customer) -> Received:
    """The offer that the relay brought this customer, if any."""
    for mail in servers.delivered():
        if is_to(mail, customer) and kind_of(mail) is MessageKind.CAMPAIGN:
            headers = headers_of(mail)
            way_out = str(headers["List-Unsubscribe"])
            return Received(
                subject=str(headers["Subject"]),
                message_id=str(headers["Message-ID"]),
                return_path=mail.sender,
                unsubscribe_address=way_out.partition("<mailto:")[2].partition("?")[0],
            )
    return NO_OFFER


def _queue_offer(stage: Stage, offer: Offer) -> None:
    """Marketing's part: what `mailbot campaign create` and `campaign schedule` do."""
    campaigns.create(
        stage.database,
        stage.person_key,
        name=offer.name,
        subject=offer.subject,
        text_source=offer.text,
        html_source=None,
        audience=[
            AudienceLine(line, parse_address(one.address), {"email": one.address, "name": one.name})
            for line, one in enumerate(cast.AUDIENCE, start=2)  # line 1 of the CSV is its heading
        ],
    )
    with stage.database.write() as conn:
        stored_campaigns.schedule(conn, offer.name, datetime.now(UTC) - timedelta(seconds=1))


def _offer_went_out(stage: Stage, offer: Offer) -> str:
    stage.wait_until(lambda: _is_done(stage, offer), f"the campaign “{offer.name}”")
    with stage.database.read() as conn:
        campaign = stored_campaigns.get(conn, offer.name)
        states = campaign_figures.progress(conn, campaign.id).by_state
    return (
        f"Marketing sends “{offer.name}” to {len(cast.AUDIENCE)} customers: "
        f"{states.get(State.SENT, 0)} are sent, {states.get(State.WITHHELD, 0)} withheld."
    )


def _is_done(stage: Stage, offer: Offer) -> bool:
    with stage.database.read() as conn:
        return stored_campaigns.get(conn, offer.name).state is CampaignState.DONE


def _hand_over_orders(stage: Stage) -> None:
    """The shop system's part: what `mailbot order-status send` does."""
    handing = HandOver(OrderStatusTypes(), stage.person_key, stage.letterhead)
    for order in cast.ORDERS_SENT:
        message = OrderStatus(
            order.type,
            parse_address(order.customer.address),
            f"order-{order.number}-{order.type}",
            {"order_number": order.number, "name": order.customer.name},
        )
        with stage.database.write() as conn:
            handing.store(conn, [handing.check(message)])


def _orders_went_out(stage: Stage) -> str:
    _until_calm(stage)
    with stage.database.read() as conn:
        count = outbox.count_by_state(conn)
    sent = count.get((MessageKind.ORDER_STATUS, State.SENT), 0)
    withheld = count.get((MessageKind.ORDER_STATUS, State.WITHHELD), 0)
    return (
        f"The shop reports on {len(cast.ORDERS_SENT)} orders: {sent} are sent, {withheld} withheld."
    )


def _until_heard(stage: Stage) -> None:
    """Until the watermark stands at the last mail of help@, and the folder was looked at."""
    extent = stage.servers.inbox.extent()
    account = account_of(stage.settings.mailboxes[0])

    def is_heard() -> bool:
        with stage.database.read() as conn:
            mark = mailboxes.watermark(conn, account, _FOLDER, extent.uidvalidity)
        return mark.last_uid >= extent.last_uid and not mark.is_first_scan

    stage.wait_until(is_heard, "reading help@")


def _until_calm(stage: Stage) -> None:
    """Until no message waits or is on its way."""

    def is_calm() -> bool:
        with stage.database.read() as conn:
            return all(state not in _ON_ITS_WAY for _, state in outbox.count_by_state(conn))

    stage.wait_until(is_calm, "sending what is queued")


def review(stage: Stage) -> Findings:
    """Ask the store, the relay and the IMAP server what became of it all."""
    with stage.database.read() as conn:
        return gather(
            conn,
            stage.person_key,
            letters=(*letters.EARLIER, *letters.MORNING, *letters.ANSWERS),
            mails=stage.servers.inbox.look(),
            verdicts=_verdicts(stage),
            delivered=stage.servers.delivered(),
        )


def _verdicts(stage: Stage) -> dict[int, str]:
    """What the daemon reported of each mail in help@, by UID."""
    return {
        int(str(event["uid"])): str(event["verdict"])
        for event in stage.log()
        if event.get("event") == "mail_recognised"
    }
