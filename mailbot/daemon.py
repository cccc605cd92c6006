"""The daemon: starts intake, sender and ticker, says READY, waits, stops them in turn.

APScheduler only ticks. What is due stands in tables, so a tick that is missed, late or doubled
changes nothing, and several daemons may tick at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from mailbot import notify
from mailbot.config import (
    MailboxSettings,
    Settings,
    check_secrets,
    load_dkim_keys,
    load_person_key,
    load_token_keys,
    read_relay_secret,
    read_secret,
)
from mailbot.core.eligibility import MessageKind
from mailbot.core.errors import MailbotError, WrongPersonKey
from mailbot.core.pace import Limits
from mailbot.core.person import PersonKey
from mailbot.core.tokens import TokenKeys
from mailbot.inbound import review
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.shop import Shop
from mailbot.inbound.watch import LONGEST_PAUSE, Watch
from mailbot.inbound.wishes import Wishes
from mailbot.log import configure as configure_log
from mailbot.outbound import campaigns
from mailbot.outbound.acknowledgements import AcknowledgementLetters
from mailbot.outbound.campaigns import CampaignLetters
from mailbot.outbound.delivery import boot_seconds
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status import OrderStatusLetters
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.outbound.sender import Sender
from mailbot.outbound.signing import SignedLetters
from mailbot.outbound.smtp import RelayConnection
from mailbot.store import keys, ledger, outbox, retention, returning, schema
from mailbot.store.engine import Database, now
from mailbot.store.restoring import Keeper
from mailbot.store.spool import Spool

log = structlog.get_logger()

_CAMPAIGN_TICK = 1  # seconds: also how soon a started campaign is seen
_WISH_TICK = 1  # seconds: so soon the list knows who left by the public page
_SWEEP_TICK = 5  # seconds between two looks for expired leases
_REVIEW_TICK = 30  # seconds between two looks for overdue review items
_ALIVE_TICK = 5
_HEAD_TICK = 24 * 3600
_JOURNAL_TICK = 60  # seconds between two looks whether the database is behind its journal
_WISHES_KEPT_FOR = timedelta(days=30)  # nothing can be undone after an hour
_FORGET_TICK = 6 * 3600  # also where a daemon is started anew each day
# Longer than any pause that is still work: a fetch of 500 mails, a slow disk, a look for rows.
_STUCK_AFTER = 120.0


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    Raises StoreError or ConfigError where it cannot even start: systemd tries again later.
    """
    configure_log(settings.log.level, settings.log.format, own_addresses=settings.own_addresses)
    check_secrets(settings)
    person_key = load_person_key(settings)
    token_keys = load_token_keys(settings)
    database = Database.open(settings.store.url)
    try:
        with database.read() as conn:
            schema.check(conn)
        # Before anything is sent: is this the database that we knew, or an older one?
        keeper = Keeper(database, settings.store.journal_folder).attach()
        keeper.say_running()
        keeper.keep_quietly()
        is_right_key = _adopt(database, person_key)
        daemon = _Daemon(
            settings, database, person_key, token_keys, keeper, is_right_key=is_right_key
        )
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(daemon.run())
    finally:
        database.close()
    return 0 if is_right_key else WrongPersonKey.exit_code


def _adopt(database: Database, person_key: PersonKey) -> bool:
    """Whether this key filled the database. With a wrong one nothing but order status goes on."""
    try:
        with database.write() as conn:
            keys.adopt(conn, person_key)
    except WrongPersonKey as error:
        # Intake must not run either: it would record opt-outs under hashes that nobody looks up.
        # The mail stays where it is, and is heard once the key is right.
        log.critical("wrong_person_key", why=str(error))
        return False
    return True


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for every platform; the standard loop does the same, slower
        return None
    return uvloop.new_event_loop


class _Watcher:
    """One mailbox's thread, and when it last made progress."""

    def __init__(
        self,
        mailbox: MailboxSettings,
        settings: Settings,
        shop: Shop,
        database: Database,
        *,
        daemon: str,
        stop: threading.Event,
    ) -> None:
        self.progressed_at = boot_seconds()
        self._watch = Watch(
            mailbox,
            shop,
            database,
            daemon=daemon,
            # Read anew for each connection: an admin may change a password while we run.
            open_mailbox=lambda: Mailbox(mailbox, read_secret(settings, mailbox.password_file)),
            progress=self._progress,
        )
        self.thread = threading.Thread(
            target=self._watch.run, args=(stop,), name=f"intake-{mailbox.name}", daemon=True
        )

    def _progress(self) -> None:
        self.progressed_at = boot_seconds()

    def is_stuck(self, now: float) -> bool:
        """Whether it made no progress for longer than any pause of its own explains."""
        is_blind = self._watch.status.blind_since is not None
        patience = _STUCK_AFTER + (LONGEST_PAUSE.total_seconds() if is_blind else 0)
        return not self.thread.is_alive() or now - self.progressed_at > patience


class _Daemon:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        person_key: PersonKey,
        token_keys: TokenKeys,
        keeper: Keeper,
        *,
        is_right_key: bool,
    ) -> None:
        self._settings = settings
        self._database = database
        self._keeper = keeper
        self._is_right_key = is_right_key
        # Unique for each start: a killed daemon's leases are not ours, whatever its name was.
        name = settings.daemon.name or socket.gethostname()
        self._claimed_by = f"{name}:{os.getpid()}:{secrets.token_hex(4)}"
        letterhead = Letterhead.of(settings, token_keys)
        self._our_domain = letterhead.marketing.address.domain
        # The daemon that waits for an answer (ten minutes at most by default) may still write it.
        self._resend_after = settings.sender.lease_seconds * outbox.LATE_ANSWER_LEASES
        self._stop = asyncio.Event()
        self._stop_threads = threading.Event()
        shop = Shop.of(settings, person_key, token_keys)
        self._wishes = self._make_wishes(shop)
        self._sender = self._make_sender(letterhead, person_key)
        self._watchers = self._make_watchers(shop)

    def _make_wishes(self, shop: Shop) -> Wishes | None:
        """None where there is no public page. With a wrong person key they wait at the door."""
        public = self._settings.public
        if public.url is None or not self._is_right_key:
            return None
        spool = None if public.database_url else Spool(public.spool_folder)
        return Wishes(self._database, shop, spool=spool, our_domain=self._our_domain)

    def _make_sender(self, letterhead: Letterhead, person_key: PersonKey) -> Sender:
        relay = self._settings.relay
        # Read anew for each connection: a token is good for an hour, a password may be changed.
        secret = partial(read_relay_secret, self._settings)
        types = OrderStatusTypes(self._settings.order_status.templates_dir)
        identities = load_dkim_keys(self._settings)
        return Sender(
            self._database,
            self._settings.sender,
            connect=lambda: RelayConnection(relay, secret),
            connections=relay.connections,
            composers={
                MessageKind.CAMPAIGN: SignedLetters(
                    CampaignLetters(self._database, letterhead),
                    letterhead.marketing.address.domain,
                    identities,
                ),
                MessageKind.ORDER_STATUS: SignedLetters(
                    OrderStatusLetters(types, letterhead),
                    letterhead.order_status.address.domain,
                    identities,
                ),
                MessageKind.ACKNOWLEDGEMENT: SignedLetters(
                    AcknowledgementLetters(letterhead, person_key.return_code),
                    letterhead.shop.help_address.domain,
                    identities,
                ),
            },
            claimed_by=self._claimed_by,
            policy_version=self._settings.shop.policy_version,
            sends_marketing=self._is_right_key,
            before_offers=self._take_wishes if self._wishes else None,
            pace=Limits(
                self._settings.campaigns.per_hour, self._settings.campaigns.per_hour_and_domain
            ),
        )

    def _make_watchers(self, shop: Shop) -> list[_Watcher]:
        if not self._is_right_key:
            return []
        return [
            _Watcher(
                mailbox,
                self._settings,
                shop,
                self._database,
                daemon=self._claimed_by,
                stop=self._stop_threads,
            )
            for mailbox in self._settings.mailboxes
        ]

    async def run(self) -> None:
        """Start, READY=1, wait, STOPPING=1, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        ticker = self._make_ticker()
        for watcher in self._watchers:
            watcher.thread.start()
        sending = asyncio.create_task(self._send())
        sending.add_done_callback(lambda _: self._stop.set())
        ticker.start()
        notify.tell("READY=1")
        log.info("daemon_started", claimed_by=self._claimed_by, mailboxes=len(self._watchers))
        try:
            await self._stop.wait()
        finally:
            notify.tell("STOPPING=1")
            log.info("daemon_stopping")
            await _stop_ticking(ticker)
            self._stop_threads.set()
            await sending  # raises what ended the sender, if anything did
            await asyncio.to_thread(self._join)
            await _guarded(self._tell_head)
            log.info("daemon_stopped")

    async def _send(self) -> None:
        """In shadow mode nothing leaves: an opt-out that is only noted withholds nothing."""
        if self._settings.recognition.mode == "shadow":
            log.warning("shadow_mode", sends="nothing")
            await self._stop.wait()
        else:
            await self._sender.run(self._stop)

    def _join(self) -> None:
        for watcher in self._watchers:
            watcher.thread.join(timeout=self._settings.sender.stop_seconds)

    def _make_ticker(self) -> AsyncIOScheduler:
        # A tick that is late is still wanted, twins are not; nothing is kept between starts.
        ticker = AsyncIOScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._every(ticker, _CAMPAIGN_TICK, self._tick_campaigns)
        self._every(ticker, _WISH_TICK, self._take_wishes)
        self._every(ticker, _SWEEP_TICK, self._sweep_leases)
        self._every(ticker, _REVIEW_TICK, self._expire_reviews)
        self._every(ticker, _ALIVE_TICK, self._tell_alive)
        self._every(ticker, _HEAD_TICK, self._tell_head)
        self._every(ticker, _JOURNAL_TICK, self._keep_journal)
        self._every(ticker, _FORGET_TICK, self._forget_old_addresses)
        return ticker

    def _every(
        self,
        ticker: AsyncIOScheduler,
        seconds: float,
        job: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        ticker.add_job(partial(_guarded, job), "interval", seconds=seconds, id=job.__name__)

    async def _tick_campaigns(self) -> None:
        if not self._is_right_key or self._settings.recognition.mode == "shadow":
            return
        await campaigns.tick(self._database, self._our_domain, self._sender.wake)

    async def _take_wishes(self) -> None:
        """Also in shadow mode: a wish of the page was answered, and is not to be heard twice."""
        if self._wishes is not None:
            await asyncio.to_thread(self._wishes.take_in)

    async def _sweep_leases(self) -> None:
        recovered = await self._database.commit(
            partial(outbox.recover_expired, resend_after_seconds=self._resend_after)
        )
        if recovered.queued or recovered.uncertain or recovered.resent:
            log.warning(
                "leases_recovered",
                queued=len(recovered.queued),
                uncertain=len(recovered.uncertain),
                resent=len(recovered.resent),
            )
            self._sender.wake()

    async def _expire_reviews(self) -> None:
        if self._is_right_key:
            version = self._settings.shop.policy_version
            await asyncio.to_thread(review.expire_overdue, self._database, version)

    async def _forget_old_addresses(self) -> None:
        kept_for = timedelta(days=self._settings.retention.outbox_addresses_days)
        before = await self._database.look(now) - kept_for
        forgotten = await asyncio.to_thread(retention.forget, self._database, before)
        old = await self._database.look(now) - _WISHES_KEPT_FOR
        await self._database.commit(partial(returning.forget, before=old))
        if forgotten.messages or forgotten.members:
            log.info("addresses_forgotten", messages=forgotten.messages, members=forgotten.members)

    async def _keep_journal(self) -> None:
        await asyncio.to_thread(self._keeper.keep_quietly)

    async def _tell_head(self) -> None:
        """The log is a witness: `mailbot ledger verify --head` asks for what it was told."""
        last = await self._database.look(ledger.head)
        log.info("ledger_head", head=f"{last.sequence}:{last.hash}")

    async def _tell_alive(self) -> None:
        """Ping the watchdog while every part makes progress: a ping by itself proves nothing."""
        at = boot_seconds()
        stuck = [watcher.thread.name for watcher in self._watchers if watcher.is_stuck(at)]
        is_sending = self._settings.recognition.mode == "live"
        if is_sending and at - self._sender.progressed_at > _STUCK_AFTER:
            stuck.append("sender")
        if stuck:
            log.critical("part_stuck", parts=stuck)
        else:
            notify.tell("WATCHDOG=1")


async def _stop_ticking(ticker: AsyncIOScheduler) -> None:
    """Begin no tick any more, and cancel what runs: it goes on at the next start."""
    ticker.pause()
    await asyncio.sleep(0)  # APScheduler complains of one that is cancelled before its first step
    ticker.shutdown(wait=False)


async def _guarded(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A tick that fails is told, and ticks again."""
    try:
        await job()
    except asyncio.CancelledError:
        return  # the daemon stops, which is no error to APScheduler's log
    except MailbotError as error:
        log.error("tick_failed", job=job.__name__, why=str(error))
    except Exception:
        log.exception("tick_failed", job=job.__name__)
