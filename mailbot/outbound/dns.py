"""Asks the DNS what it says of our domains. The only door to dnspython."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import dns.exception
import dns.nameserver
import dns.resolver

from mailbot.config import Settings
from mailbot.core.address import parse_address
from mailbot.core.checklist import Check
from mailbot.core.dkim import DkimIdentity
from mailbot.core.dns_posture import (
    Answers,
    Domains,
    Question,
    Said,
    judge,
    questions,
    unanswered,
)
from mailbot.core.preflight import Fault, Severity

_PORT: Final = 53
_AT_ONCE: Final = 8


def domains_of(settings: Settings, identities: Sequence[DkimIdentity]) -> Domains:
    """The domains that the settings name, and the keys that sign for them."""
    return Domains(
        parse_address(settings.campaigns.from_address).domain,
        parse_address(settings.order_status.from_address).domain,
        parse_address(settings.shop.help_address).domain,
        tuple(identities),
    )


@dataclass(frozen=True, slots=True)
class Posture:
    """What the DNS says of our domains, worst first, and the names nobody could be asked about."""

    said: tuple[Said, ...]
    unanswered: tuple[str, ...]

    def as_check(self) -> Check:
        """An item of a campaign's checklist: it warns, for the DNS may look otherwise elsewhere."""
        faults = [
            Fault(Severity.WARNING, one.subject, one.what, one.next_step)
            for one in self.said
            if one.severity is not None
        ]
        fine = "MX, SPF, DMARC and the keys that sign are as receivers want them."
        if self.unanswered:
            fine = f"the DNS could not be asked about {', '.join(self.unanswered)}."
        elif not self.said:
            fine = "there is nothing to ask the DNS: these names are for trying mailbot."
        return Check("domains", fine, tuple(faults))


def posture(settings: Settings, identities: Sequence[DkimIdentity]) -> Posture:
    """Look it up; takes at most the seconds of [dns]. Never raises."""
    domains = domains_of(settings, identities)
    answers = ask(questions(domains), settings.dns.servers, settings.dns.timeout_seconds)
    return Posture(tuple(judge(domains, answers)), tuple(unanswered(domains, answers)))


def ask(asked: Sequence[Question], servers: Sequence[str], seconds: float) -> Answers:
    """Every answer that comes within `seconds`, all asked side by side; None for the others.

    `servers` like "192.0.2.1" or "127.0.0.1:5353"; without any those of this machine. Never raises.
    """
    if not asked:
        return {}
    try:
        resolver = _resolver(servers)
    except dns.exception.DNSException:  # this machine has none
        return dict.fromkeys(asked)
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(_AT_ONCE, "dns") as pool:
        answers = pool.map(lambda question: _ask(resolver, question, until), asked)
        return dict(zip(asked, answers, strict=True))


def _resolver(servers: Sequence[str]) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*host_and_port(s)) for s in servers]
    return resolver


def host_and_port(server: str) -> tuple[str, int]:
    """192.0.2.1, 192.0.2.1:5353, 2001:db8::1 or [2001:db8::1]:53. Raises ValueError."""
    try:
        return str(ip_address(server.strip("[]"))), _PORT
    except ValueError:
        host, _, port = server.rpartition(":")
        return str(ip_address(host.strip("[]"))), int(port)


def _ask(
    resolver: dns.resolver.Resolver, question: Question, until: float
) -> tuple[str, ...] | None:
    kind, name = question
    left = until - time.monotonic()
    if left <= 0:
        return None
    try:
        answer = resolver.resolve(name, kind, search=False, lifetime=left)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except (dns.exception.DNSException, OSError, ValueError):
        return None  # no network, SERVFAIL, nonsense: nothing can be said
    return tuple(_text(record) for record in answer)


def _text(record: Any) -> str:
    strings = getattr(record, "strings", None)
    return record.to_text() if strings is None else b"".join(strings).decode("utf-8", "replace")
