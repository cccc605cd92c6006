"""Which subjects a vacation program wrote, whatever stood before them."""

from __future__ import annotations

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.rules.auto_reply import auto_reply_evidence, is_automatic_subject


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Spring offers",
        "Reponse automatique : offres",  # accents are lost on the way
        "[EXTERNAL] Automatic reply: x",
        "*** SPAM *** Out of office: x",
        "EXTERNAL: Re: Autosvar: x",
        "Ynt: Otomatik yanıt: x",
        "回复: 自动回复: x",
        "【自動返信】Re: x",
        "Samodejni odgovor: x",
        "ΑΥΤΟΜΑΤΗ ΑΠΑΝΤΗΣΗ: x",
        "Abwesenheitsnotiz",
    ],
)
def test_a_vacation_programs_prefix_is_known(subject: str) -> None:
    assert is_automatic_subject(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "Out of office supplies?",
        "Fwd: Automatic reply: x",
        "Autoreply machine for sale",
        "Automatic",
        "Re: your automatic reply",
        "",
    ],
)
def test_what_people_write_is_none(subject: str) -> None:
    assert not is_automatic_subject(subject)


@pytest.mark.parametrize(
    "line",
    [
        "Auto-Submitted: auto-generated (rejected)",
        "X-Autoreply: yes",
        "Precedence: auto_reply",
        "X-Precedence: auto-reply",
        "X-POST-MessageClass: 9; Autoresponder",
        "X-List-Administrivia: yes",
        "X-FC-MachineGenerated: true",
    ],
)
def test_what_machines_write_into_the_header_is_known(line: str) -> None:
    raw = f"From: a@b.example\nSubject: Your request\n{line}\n\nx".encode()
    assert auto_reply_evidence(read_message(raw))


@pytest.mark.parametrize(
    "line",
    [
        "Auto-Submitted: no",
        "Auto-Submitted: no (typed by hand)",
        "Precedence: bulk",
        "X-Auto-Response-Suppress: All",
        "X-List-Administrivia: no",
        "X-Mailer: Vacation Planner",
    ],
)
def test_what_peoples_mail_carries_as_well_is_no_sign(line: str) -> None:
    raw = f"From: a@b.example\nSubject: unsubscribe\n{line}\n\nx".encode()
    assert not auto_reply_evidence(read_message(raw))
