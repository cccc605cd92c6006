"""Which subjects a vacation program wrote, whatever stood before them."""

from __future__ import annotations

import pytest

from mailbot.core.rules.auto_reply import is_automatic_subject


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
