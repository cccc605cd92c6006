"""A campaign from the outbox to the relay, beside Postfix's smtp-source, which only speaks SMTP.

Every invariant is on: attempts and outcomes are durable, the list is asked for each message. Both
send messages of the same size over the same number of connections into the same relay.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvloop
from sqlalchemy import func, select, text

from mailbot.config import RelaySettings
from mailbot.core.address import parse_address
from mailbot.core.compose import Sender as From
from mailbot.core.compose import Shop
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.core.tokens import TokenKey, TokenKeys
from mailbot.log import configure as configure_log
from mailbot.outbound.campaigns import CampaignLetters
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.sender import Sender
from mailbot.outbound.smtp import RelayConnection
from mailbot.store import campaigns
from mailbot.store.engine import Database, now
from mailbot.store.tables import outbox
from tests.benchmarks.filling import fill_list, hash_of, new_database, numbers
from tests.benchmarks.measuring import Figure, tell
from tests.servers import postfix as postfixes
from tests.servers.postfix import Postfix
from tests.servers.smtp_sink import HOST, SmtpSink

SOURCE = "/usr/sbin/smtp-source"
SIZE = 2000  # bytes a message
LIST = 1_000_000  # persons on it
CONNECTIONS = 20
LETTERHEAD = Letterhead(
    Shop("Lindenhof Tea", parse_address("help@shop.example"), "Lindenhof Tea, 1 Quay, Bristol"),
    From("Lindenhof Tea", parse_address("offers@shop.example")),
    From("Lindenhof Orders", parse_address("orders@shop.example")),
    TokenKeys((TokenKey(1, bytes(range(32))),)),
)
TEXT = "Dear {{ name or 'customer' }},\n\n" + "First flush from the hills, picked in March.\n" * 28
_BUSY = (State.QUEUED, State.CLAIMED, State.SENDING)


@dataclass(frozen=True)
class Plan:
    """The sender's settings as they are shipped."""

    lease_seconds: float = 120
    batch_size: int = 100
    retry_hours: float = 72
    stop_seconds: float = 30
    messages_per_connection: int = 100
    domain_connections: int = 10


def figures(folder: Path, *, messages: int, rounds: int) -> Iterator[Figure]:
    """The whole way of a campaign's messages into smtp-sink, and into the queue of a Postfix."""
    with new_database(folder, "sending") as database:
        tell(f"filling a campaign of {messages:,} and a list of {LIST:,} …")
        _fill(database, messages)
        with SmtpSink() as sink:
            yield _measure(database, sink.port, messages, rounds, "smtp-sink", 0.25)
        if postfixes.is_installed():
            with Postfix() as postfix:
                yield _measure(database, postfix.port, messages, rounds, "Postfix", 0.85)


def _measure(
    database: Database, port: int, messages: int, rounds: int, into: str, share: float
) -> Figure:
    """`share` of the baseline's messages a second is to be reached."""
    mailbot, baseline = [], []
    for _ in range(rounds):
        _begin_anew(database)
        mailbot.append(_seconds(lambda: send_all(database, port, messages)))
        baseline.append(_seconds(lambda: _source(port, messages)))
        tell(f"  {messages / mailbot[-1]:,.0f} against {messages / baseline[-1]:,.0f} a second")
    return Figure(
        f"a campaign of {messages:,} into {into}", tuple(mailbot), tuple(baseline),
        f"smtp-source -s {CONNECTIONS} -d", to_reach=1 / share,
    )  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _fill(database: Database, messages: int) -> None:
    beyond = f"(value + {LIST})"  # nobody of the audience is on the list
    with database.write() as conn:
        fill_list(conn, LIST)
        campaigns.create(conn, name="bench", subject="Spring teas for {{ name or 'you' }}",
                         text_source=TEXT, html_source=None)  # fmt: skip
        campaigns.finish_loading(conn, "bench")
        campaigns.schedule(conn, "bench", now(conn) - timedelta(seconds=1))
        campaigns.start_due(conn)
        conn.execute(text(f"""
            INSERT INTO outbox (kind, campaign_id, address, person_hash, untagged_hash, fields,
                                priority, state, not_before, created_at, message_id)
            SELECT 'campaign', 1, 'person' || value || '@example' || (value % 50) || '.org',
                   {hash_of(beyond)}, {hash_of(beyond)}, '{{"name": "Ann ' || value || '"}}', 2,
                   'queued', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000',
                   printf('<%020d@shop.example>', value)
            FROM {numbers(messages)}
        """))  # fmt: skip


def _begin_anew(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text("DELETE FROM delivery_attempts"))
        conn.execute(text(
            "UPDATE outbox SET state = 'queued', attempts = 0, attempt_id = NULL,"
            " finished_at = NULL, list_sequence = NULL, last_reply = NULL"
        ))  # fmt: skip


def send_all(database: Database, port: int, messages: int) -> None:
    """Run a sender as the daemon does until all is sent."""
    settings = RelaySettings(host=HOST, port=port, security="none")
    sender = Sender(
        database, Plan(), connect=lambda: RelayConnection(settings, None), connections=CONNECTIONS,
        composers={MessageKind.CAMPAIGN: CampaignLetters(database, LETTERHEAD)},
        claimed_by="bench", policy_version="1",
    )  # fmt: skip
    with Path(os.devnull).open("w", encoding="utf-8") as log:
        configure_log("info", "json", stream=log)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_sent(database, sender, messages))


async def _until_sent(database: Database, sender: Sender, messages: int) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(sender.run(stop))
    waits = select(outbox.c.id).where(outbox.c.campaign_id == 1, outbox.c.state.in_(_BUSY)).limit(1)
    while not running.done():
        await asyncio.sleep(0.05)
        if await database.look(lambda conn: conn.execute(waits).first()) is None:
            stop.set()
            break
    await running
    with database.read() as conn:
        sent = select(func.count()).where(outbox.c.campaign_id == 1, outbox.c.state == State.SENT)
        if conn.execute(sent).scalar() != messages:
            raise RuntimeError("not all were sent")


def _source(port: int, messages: int) -> None:
    subprocess.run(
        [SOURCE, "-s", str(CONNECTIONS), "-d", "-m", str(messages), "-l", str(SIZE),
         "-f", "offers@shop.example", "-t", "ann@example1.org", f"{HOST}:{port}"],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip
