"""Pages from the texts of data/public: one template, one style, four languages, no script."""

from __future__ import annotations

import base64
import hashlib
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from mailbot.config import PublicPageSettings
from mailbot.core.mail_headers import OPT_OUT_WORD
from mailbot.web import languages

LANGUAGES: Final = ("en", "de", "fr", "es")
PAGES: Final = (
    "leave", "left", "undone", "too_late", "come_back", "asked_to_come_back", "confirm",
    "confirmed", "wrong_link", "wrong_page", "wrong_request", "wait", "closed",
)  # fmt: skip


def load_texts(language: str) -> dict[str, dict[str, str]]:
    """Page → name → text of one language, as data/public has them."""
    folder = resources.files("mailbot").joinpath("data", "public")
    read: dict[str, dict[str, str]] = tomllib.loads(
        folder.joinpath(f"{language}.toml").read_text("utf-8")
    )
    return read


class Pages:
    """Every page of one shop, in the language that a request asks for."""

    def __init__(self, settings: PublicPageSettings) -> None:
        self._settings = settings
        folder = resources.files("mailbot").joinpath("data", "public")
        environment = Environment(
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._template = environment.from_string(folder.joinpath("page.html").read_text("utf-8"))
        self._style = folder.joinpath("page.css").read_text("utf-8")
        self._texts = {language: self._filled_in(language) for language in LANGUAGES}

    @property
    def style_hash(self) -> str:
        """What Content-Security-Policy calls the style that each page holds."""
        digest = hashlib.sha256(self._style.encode()).digest()
        return f"sha256-{base64.b64encode(digest).decode()}"

    def answer(
        self,
        request: Request,
        page: str,
        status: int = 200,
        *,
        does: str = "",
        ticket: str = "",
        other_way: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """One of PAGES. `does` is what its button asks for, `ticket` brings an undo button,
        `other_way` a link (a path of ours) to coming back."""
        header = ",".join(request.headers.getlist("accept-language"))
        language = languages.chosen(header, LANGUAGES, self._settings.public.language)
        texts = self._texts[language]
        content = self._template.render(
            language=language,
            shop=self._settings.shop.name,
            website=self._settings.shop.website,
            style=Markup(self._style),  # noqa: S704  # our own file
            words={"button": "", "orders": "", **texts[page]},
            foot=texts["foot"],
            does=does,
            ticket=ticket,
            other_way=other_way,
            other_words=texts["leave"]["other_way"],
        )
        told = {"Content-Language": language, "Vary": "Accept-Language", **(headers or {})}
        return HTMLResponse(content, status, told)

    def _filled_in(self, language: str) -> dict[str, dict[str, Any]]:
        return {
            page: {
                name: self._fill_in(text, is_title=name == "title", asks=page == "foot")
                for name, text in texts.items()
            }
            for page, texts in load_texts(language).items()
        }

    def _fill_in(self, text: str, *, is_title: bool, asks: bool) -> str:
        """`asks`: the mail that the link begins is a question, not an opt-out."""
        shop = self._settings.shop
        if is_title:  # it stands in <title> too, where no markup may be
            return text.format(shop=shop.name)
        link = f"mailto:{shop.help_address}" + ("" if asks else f"?subject={OPT_OUT_WORD}")
        anchor = Markup('<a href="{}">{}</a>').format(link, shop.help_address)
        return Markup.escape(text).format(shop=shop.name, help_address=anchor)
