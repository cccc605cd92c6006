"""What the DNS says of the domains that our mail is from, as receivers judge it.

`questions` says what has to be asked, `judge` what the answers mean; asking is another's work.
SPF: RFC 7208; DKIM: RFC 6376; DMARC: RFC 7489; null MX: RFC 7505.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mailbot.core.dkim import DkimIdentity
from mailbot.core.preflight import Severity

RecordType = Literal["TXT", "MX", "A", "AAAA"]
Question = tuple[RecordType, str]
# The records of each question, strings of a TXT joined; () where there are none; None where the DNS
# could not be asked, or did not answer in time.
Answers = Mapping[Question, tuple[str, ...] | None]

_FOR_TRYING: Final = re.compile(r"(?:.*\.)?(?:example|test|invalid|localhost)")  # RFC 6761
_GOOD_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class Domains:
    """Where our mail is from, and where its bounces and answers go; A-labels."""

    offers: str
    order_status: str
    help: str  # of help@: the return path of all our mail
    identities: tuple[DkimIdentity, ...] = ()

    def senders(self) -> Iterator[str]:
        """Each domain of a From once."""
        yield from dict.fromkeys((self.offers, self.order_status, self.help))


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that the DNS says; `severity` is None where it is right."""

    severity: Severity | None
    subject: str
    what: str
    next_step: str = ""


def is_for_trying(domain: str) -> bool:
    """Whether a name is reserved, and in no DNS: shop.example."""
    return _FOR_TRYING.fullmatch(domain) is not None


def questions(domains: Domains) -> list[Question]:
    """All that has to be asked, each once; nothing about names that are reserved."""
    asked: list[Question] = [("TXT", domains.help), ("MX", domains.help), ("A", domains.help)]
    asked.append(("AAAA", domains.help))
    for sender in domains.senders():
        asked += [("TXT", f"_dmarc.{one}") for one in _and_above(sender)]
    asked += [("TXT", _place_of(one)) for one in domains.identities]
    return [one for one in dict.fromkeys(asked) if not is_for_trying(one[1])]


def judge(domains: Domains, answers: Answers) -> list[Said]:
    """What the answers mean, worst first; what was not asked or not answered is left out."""
    said = [
        *_about_mx(domains.help, answers),
        *_about_spf(domains, answers),
        *(one for identity in domains.identities for one in _about_dkim(identity, answers)),
        *(one for sender in domains.senders() for one in _about_dmarc(sender, answers)),
    ]
    order = (Severity.ERROR, Severity.WARNING, None)
    return sorted(said, key=lambda one: order.index(one.severity))


def unanswered(domains: Domains, answers: Answers) -> list[str]:
    """The names about which the DNS could not be asked."""
    return sorted({name for kind, name in questions(domains) if answers.get((kind, name)) is None})


def _and_above(domain: str) -> Iterator[str]:
    """The domain, and those above it down to two labels: DMARC's record may stand there."""
    labels = domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        yield ".".join(labels[start:])


def _place_of(identity: DkimIdentity) -> str:
    return f"{identity.selector}._domainkey.{identity.domain}"


def _about_mx(domain: str, answers: Answers) -> Iterator[Said]:
    subject = f"mail to {domain}"
    found = answers.get(("MX", domain))
    if found is None:
        return
    hosts = [one.split()[-1].rstrip(".") for one in found]
    if hosts == [""]:
        what = "the domain says that it takes no mail (null MX): opt-outs cannot arrive."
        yield Said(Severity.ERROR, subject, what, "Publish the MX of help@'s mail server.")
    elif hosts:
        yield Said(None, subject, f"goes to {', '.join(sorted(hosts))}.")
    elif (answers.get(("A", domain)), answers.get(("AAAA", domain))) == ((), ()):
        what = "the domain has no mail server in the DNS: opt-outs cannot arrive."
        yield Said(Severity.ERROR, subject, what, "Publish the MX of help@'s mail server.")


def _about_spf(domains: Domains, answers: Answers) -> Iterator[Said]:
    domain, subject = domains.help, f"SPF of {domains.help}"
    found = answers.get(("TXT", domain))
    if found is None:
        return
    records = [one for one in found if one.lower() == "v=spf1" or one.lower()[:7] == "v=spf1 "]
    if not records:
        what = "there is none, so nobody can tell that the relay may send for it."
        publish = f'Ask the relay\'s owner, and publish at {domain}: TXT "v=spf1 a:RELAY -all"'
        yield Said(Severity.WARNING, subject, what, publish)
    elif len(records) > 1:
        what = f"there are {len(records)} records: receivers then heed none (RFC 7208 §4.5)."
        yield Said(Severity.WARNING, subject, what, "Make one of them.")
    elif re.search(r"(?:^|\s)\+?all\b", records[0], re.IGNORECASE):
        what = "it lets the whole world send for the domain (+all)."
        yield Said(Severity.WARNING, subject, what, "End it with -all or ~all.")
    else:
        yield Said(None, subject, f"“{_short(records[0])}”")
    for sender in (domains.offers, domains.order_status):
        if _share_an_owner(sender, domain) or any(
            one.answers_for(sender) for one in domains.identities
        ):
            continue
        what = f"the return path is at {domain}, mail is from {sender}: SPF does not count for it."
        advice = f"Let the relay sign (DKIM) with d={sender}, or mailbot: docs/relay.md."
        yield Said(Severity.WARNING, f"return path of {sender}", what, advice)


def _share_an_owner(one: str, other: str) -> bool:
    """As "relaxed" alignment sees it, without the list of public suffixes: one stands in the other,
    or both in a domain of two labels or more."""
    if one == other or one.endswith(f".{other}") or other.endswith(f".{one}"):
        return True
    above, beside = one.partition(".")[2], other.partition(".")[2]
    return above == beside and "." in above


def _about_dkim(identity: DkimIdentity, answers: Answers) -> Iterator[Said]:
    place = _place_of(identity)
    subject = f"DKIM key {identity.selector}"
    if identity.key.bits < _GOOD_BITS and identity.key.algorithm.startswith("rsa"):
        what = f"it has {identity.key.bits} bits; big receivers want {_GOOD_BITS}."
        make = f"Make one under a new selector: mailbot keys dkim SELECTOR {identity.domain} --to F"
        yield Said(Severity.WARNING, subject, what, make)
    found = answers.get(("TXT", place))
    if found is None:
        return
    records = [one for one in found if "p=" in one]
    publish = "Publish what `mailbot keys records` prints."
    if not records:
        what = f"there is no record at {place}: our signatures count as none."
        yield Said(Severity.ERROR, subject, what, publish)
    elif len(records) > 1:
        what = f"there are {len(records)} records at {place}: receivers may take the wrong one."
        yield Said(Severity.ERROR, subject, what, publish)
    elif not same_key(records[0], identity.key.record):
        what = f"the record at {place} is of another key: each of our signatures is wrong."
        yield Said(Severity.ERROR, subject, what, publish)
    elif "y" in _tags(records[0]).get("t", "").split(":"):
        what = f"the record at {place} is only for trying (t=y); receivers may not heed it."
        yield Said(Severity.WARNING, subject, what, publish)
    else:
        yield Said(None, subject, f"its record is published at {place}.")


def _about_dmarc(sender: str, answers: Answers) -> Iterator[Said]:
    subject = f"DMARC of {sender}"
    for domain in _and_above(sender):
        found = answers.get(("TXT", f"_dmarc.{domain}"))
        if found is None:
            return
        records = [one for one in found if re.match(r"v\s*=\s*DMARC1\s*(?:;|$)", one)]
        if len(records) > 1:
            what = f"there are {len(records)} records at _dmarc.{domain}: receivers heed none."
            yield Said(Severity.WARNING, subject, what, "Make one of them.")
            return
        if records:
            policy = _tags(records[0]).get("p", "")
            said = f"“{_short(records[0])}” at _dmarc.{domain}"
            if policy in ("none", "quarantine", "reject"):
                yield Said(None, subject, said)
            else:
                advice = "Write p=none, p=quarantine or p=reject."
                yield Said(Severity.WARNING, subject, f"{said} names no policy.", advice)
            return
    what = "there is none; Gmail and Yahoo want one of everybody who mails many."
    advice = f'Publish at _dmarc.{sender}: TXT "v=DMARC1; p=none"'
    yield Said(Severity.WARNING, subject, what, advice)


def same_key(record: str, other: str) -> bool:
    """Whether two DKIM records publish the same key; blanks do not count (RFC 6376 §3.6.1)."""
    kinds = [(_tags(one).get("p"), _tags(one).get("k", "rsa")) for one in (record, other)]
    return kinds[0] == kinds[1]


def _tags(record: str) -> dict[str, str]:
    pairs: Iterable[tuple[str, str, str]] = (one.partition("=") for one in record.split(";"))
    return {name.strip(): re.sub(r"\s", "", value) for name, _, value in pairs}


def _short(record: str) -> str:
    return record if len(record) <= 100 else f"{record[:99]}…"
