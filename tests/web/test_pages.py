"""The texts of the page: whole in each language, and safe to fill in."""

from __future__ import annotations

import base64
import hashlib
import re
from string import Formatter

import pytest

from mailbot.web.pages import LANGUAGES, PAGES, load_texts
from tests.web.conftest import TOKEN, SettingsMaker, Visitor, VisitorMaker

# How each language addresses a stranger: never as a friend.
TOO_FAMILIAR = {
    "en": r"\b(hey|folks)\b",
    "de": r"\b([Dd]u|[Dd]ich|[Dd]ir|[Dd]ein\w*|[Ee]uch|[Ee]uer\w*)\b",
    "fr": r"\b([Tt]u|[Tt]oi|[Tt]on|[Tt]es|[Tt]a)\b",
    "es": r"\b([Tt]ú|[Tt]e|[Tt]us?|[Tt]i|[Vv]osotros)\b",
}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_says_everything_that_english_says(language: str) -> None:
    english, texts = load_texts("en"), load_texts(language)
    assert set(texts) == {*PAGES, "foot"}
    for page, said in english.items():
        assert set(texts[page]) == set(said), page
        for name, text in said.items():
            other = texts[page][name]
            assert other.strip() == other != ""
            assert fields(other) == fields(text), f"{language}: {page}.{name}"
            assert language == "en" or other != text, f"{page}.{name} is still English"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_is_addressed_as_a_friend(language: str) -> None:
    for page, said in load_texts(language).items():
        for name, text in said.items():
            assert not re.search(TOO_FAMILIAR[language], text), f"{page}.{name}: {text}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_of_failure_names_the_way_that_always_works(language: str) -> None:
    for page in ("wrong_link", "wrong_page", "wrong_request", "wait", "closed"):
        text = load_texts(language)[page]["text"]
        assert "{help_address}" in text and "unsubscribe" in text


async def test_the_mail_that_a_wrong_link_begins_has_the_word_in_its_subject(
    visitor: Visitor,
) -> None:
    shown = (await visitor.get("/u/wrong")).text
    help_address = "help@hollowandfinch.example"
    assert f'href="mailto:{help_address}?subject=unsubscribe"' in shown
    assert f'Questions? Write to <a href="mailto:{help_address}">' in shown


async def test_the_style_is_the_one_that_the_policy_allows(visitor: Visitor) -> None:
    answer = await visitor.get(f"/u/{TOKEN}")
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text


async def test_braces_and_markup_in_the_shops_name_stay_text(
    visiting: VisitorMaker, settings_with: SettingsMaker
) -> None:
    settings = settings_with()
    odd = settings.shop.model_copy(update={"name": '{help_address} <script>"&'})
    answer = await visiting(settings.model_copy(update={"shop": odd})).get(f"/u/{TOKEN}")
    assert "<script>" not in answer.text
    assert answer.text.count("{help_address} &lt;script&gt;&#34;&amp;") == 3


async def test_a_shop_without_website_links_nowhere(
    visiting: VisitorMaker, settings_with: SettingsMaker
) -> None:
    settings = settings_with()
    bare = settings.shop.model_copy(update={"website": ""})
    shown = (await visiting(settings.model_copy(update={"shop": bare})).get(f"/u/{TOKEN}")).text
    assert "To the shop" not in shown
    assert "https://" not in shown
