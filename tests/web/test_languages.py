"""Which language a reader gets."""

from __future__ import annotations

import pytest

from mailbot.web.languages import chosen
from tests.web.conftest import TOKEN, SettingsMaker, Visitor, VisitorMaker

SPOKEN = ("en", "de", "fr", "es")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr-CA,fr;q=0.8,en;q=0.5", "fr"),
        ("en;q=0.3, es;q=0.9, de;q=0.8", "es"),
        ("it, nl", "en"),
        ("it,fr;q=0.001", "fr"),
        ("de;q=0, *", "en"),
        ("en;q=0, *;q=0.5", "de"),
        ("*", "en"),
        ("fr, *", "fr"),
        ("*;q=0.1, es;q=0.05", "en"),
        ("de;q=0", "en"),
        ("de-AT;q=0, de", "de"),
        ("zh-Hans-CN, es-419", "es"),
        ("de;q=1.5, fr", "fr"),  # no such quality: passed over
        ("de;q=abc, fr;q=0.1", "fr"),
        (";;;,,,=,de ; Q = 0.7 ,\x00", "de"),
        ("de-" + "x" * 5000, "en"),
        ("," * 100_000 + "de", "en"),
    ],
)
def test_the_best_liked_language_that_is_spoken_wins(header: str, language: str) -> None:
    assert chosen(header, SPOKEN, "en") == language


def test_the_shops_own_language_is_for_who_asks_for_none() -> None:
    assert chosen("it", SPOKEN, "fr") == "fr"
    assert chosen("*", SPOKEN, "fr") == "fr"
    assert chosen("de", SPOKEN, "fr") == "de"


@pytest.mark.parametrize(
    ("language", "button"),
    [("en", "Unsubscribe"), ("de", "Abmelden"), ("fr", "Me désabonner"), ("es", "Darme de baja")],
)
async def test_a_page_says_in_which_language_it_is(
    visitor: Visitor, language: str, button: str
) -> None:
    answer = await visitor.client.get(f"/u/{TOKEN}", headers={"Accept-Language": language})
    assert f'<html lang="{language}">' in answer.text
    assert f">{button}</button>" in answer.text
    assert answer.headers["content-language"] == language
    assert answer.headers["vary"] == "Accept-Language"


async def test_an_admin_says_in_which_language_others_are_answered(
    visiting: VisitorMaker, settings_with: SettingsMaker
) -> None:
    visitor = visiting(settings_with(public='language = "de"'))
    assert '<html lang="de">' in (await visitor.get(f"/u/{TOKEN}")).text
