"""What the DNS says of our domains, and what receivers make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from mailbot.config.dkim_keys import make_key
from mailbot.core.dkim import DkimIdentity
from mailbot.core.dns_posture import Domains, Said, judge, questions, unanswered
from mailbot.core.preflight import Severity

KEY, OTHER_KEY = make_key("ed25519"), make_key("ed25519")
DOMAIN = "lindenhof.de"
GOOD = {
    ("MX", DOMAIN): ("10 mail.lindenhof.de.",),
    ("TXT", DOMAIN): ("google-site-verification=x", "v=spf1 ip4:192.0.2.1 -all"),
    ("TXT", f"_dmarc.{DOMAIN}"): ("v=DMARC1; p=quarantine",),
    ("TXT", f"tea1._domainkey.{DOMAIN}"): (KEY.record,),
}
SIGNED = Domains(DOMAIN, DOMAIN, DOMAIN, (DkimIdentity(DOMAIN, "tea1", KEY),))

Zone = Mapping[tuple[str, str], Sequence[str]]


def said(zone: Zone, domains: Domains = SIGNED) -> list[Said]:
    return judge(domains, {one: tuple(zone.get(one, ())) for one in questions(domains)})


def faults(zone: Zone, domains: Domains = SIGNED) -> list[tuple[Severity, str]]:
    return [(one.severity, one.what) for one in said(zone, domains) if one.severity is not None]


def test_where_all_is_right_each_thing_is_told_as_it_is() -> None:
    found = said(GOOD)
    assert faults(GOOD) == []
    told = " ".join(one.what for one in found)
    for words in ("mail.lindenhof.de", "v=spf1 ip4", "p=quarantine", "is published at tea1"):
        assert words in told


@pytest.mark.parametrize(
    ("question", "records", "severity", "what"),
    [
        (("MX", DOMAIN), ("0 .",), Severity.ERROR, "takes no mail (null MX)"),
        (("MX", DOMAIN), (), Severity.ERROR, "no mail server in the DNS"),
        (("TXT", DOMAIN), (), Severity.WARNING, "there is none, so nobody can tell"),
        (("TXT", DOMAIN), ("v=spf10 x",), Severity.WARNING, "there is none, so nobody can tell"),
        (("TXT", DOMAIN), ("v=spf1 -all", "V=SPF1 a"), Severity.WARNING, "there are 2 records"),
        (("TXT", DOMAIN), ("v=spf1 mx +all",), Severity.WARNING, "lets the whole world"),
        (("TXT", DOMAIN), ("v=spf1 mx all",), Severity.WARNING, "lets the whole world"),
        (("TXT", f"_dmarc.{DOMAIN}"), (), Severity.WARNING, "Gmail and Yahoo want one"),
        (("TXT", f"_dmarc.{DOMAIN}"), ("v=DMARC1;p=none",) * 2, Severity.WARNING, "heed none"),
        (("TXT", f"_dmarc.{DOMAIN}"), ("v=DMARC1; rua=x",), Severity.WARNING, "names no policy"),
        (("TXT", f"tea1._domainkey.{DOMAIN}"), (), Severity.ERROR, "no record at tea1"),
        (("TXT", f"tea1._domainkey.{DOMAIN}"), (KEY.record,) * 2, Severity.ERROR, "2 records"),
        (("TXT", f"tea1._domainkey.{DOMAIN}"), (OTHER_KEY.record,), Severity.ERROR, "another key"),
        (("TXT", f"tea1._domainkey.{DOMAIN}"), ("v=DKIM1; p=",), Severity.ERROR, "another key"),
        (("TXT", f"tea1._domainkey.{DOMAIN}"), (f"t=y; {KEY.record}",), Severity.WARNING, "t=y"),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_what_to_do(
    question: tuple[str, str], records: tuple[str, ...], severity: Severity, what: str
) -> None:
    found = [one for one in said({**GOOD, question: records}) if one.severity is not None]
    assert [(one.severity, what in one.what) for one in found] == [(severity, True)]
    assert found[0].next_step


def test_without_mx_a_host_of_that_name_takes_the_mail() -> None:
    assert faults({**GOOD, ("MX", DOMAIN): (), ("A", DOMAIN): ("192.0.2.1",)}) == []


def test_dmarc_may_stand_at_the_domain_above() -> None:
    domains = Domains(f"news.{DOMAIN}", f"news.{DOMAIN}", DOMAIN)
    assert faults(GOOD, domains) == []


def test_a_return_path_of_another_owner_is_told_unless_a_key_answers() -> None:
    elsewhere = Domains("lindenhof-tee.de", DOMAIN, DOMAIN)
    zone = {**GOOD, ("TXT", "_dmarc.lindenhof-tee.de"): ("v=DMARC1; p=none",)}
    ((severity, what),) = faults(zone, elsewhere)
    assert severity is Severity.WARNING
    assert "mail is from lindenhof-tee.de: SPF does not count" in what
    key = DkimIdentity("lindenhof-tee.de", "tea1", KEY)
    signed = Domains("lindenhof-tee.de", DOMAIN, DOMAIN, (key,))
    zone["TXT", "tea1._domainkey.lindenhof-tee.de"] = (KEY.record,)
    assert faults(zone, signed) == []


def test_names_for_trying_are_never_asked_about() -> None:
    assert questions(Domains("shop.example", "orders.test", "localhost")) == []


def test_what_was_not_answered_is_no_fault() -> None:
    answers = dict.fromkeys(questions(SIGNED))
    assert judge(SIGNED, answers) == []
    assert unanswered(SIGNED, answers) == [
        "_dmarc.lindenhof.de", "lindenhof.de", "tea1._domainkey.lindenhof.de"
    ]  # fmt: skip
