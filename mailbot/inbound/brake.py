"""The brake on bursts: requests whose senders fail authentication may opt strangers out.

A failed check alone stops no opt-out. Only after many of them within an hour the next ones are
held and go to a person, as if they had been doubtful.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from mailbot.core.recognition import recognise
from mailbot.core.rules.authentication import authentication
from mailbot.core.verdicts import Facts, OptOut, Verdict
from mailbot.inbound.mail import Mail
from mailbot.inbound.shop import Shop
from mailbot.store import tallies
from mailbot.store.engine import Database

WITHIN: Final = timedelta(hours=1)

log = structlog.get_logger(__name__)


def brake(database: Database, verdict: Verdict, mail: Mail, facts: Facts, shop: Shop) -> Verdict:
    """The verdict, or a review instead, by how many such requests came in the hour before."""
    if not is_brakeable(verdict, mail, facts):
        return verdict
    key, at = f"mail:{mail.identity}", mail.received_at
    with database.write() as conn:
        before = tallies.failed_requests_before(conn, besides=key, until=at, within=WITHIN)
        tallies.note_failed_request(conn, key=key, received_at=at)
    if before < shop.brake_requests:
        return verdict
    log.error("opt_out_brake_closed", failed_requests=before, account=mail.place.account)
    return braked(mail, facts)


def is_brakeable(verdict: Verdict, mail: Mail, facts: Facts) -> bool:
    """Whether it is a request whose sender failed authentication, and nothing else proves it."""
    if not isinstance(verdict, OptOut) or verdict.person_hashes or facts.is_opt_out_folder:
        return False  # a token proves who asked, and a colleague is known
    return authentication(mail.message, facts.authserv_ids).is_failed


def braked(mail: Mail, facts: Facts) -> Verdict:
    """What the mail means while the brake is closed."""
    return recognise(mail.message, replace(facts, is_brake_on=True))
