"""What every offer must show: a way out that a person can see, and the shop's postal address.

Added to the text and to the HTML, each only where its template does not show it itself.
"""

from __future__ import annotations

import html
import re
from typing import Final

from mailbot.core.errors import InputError
from mailbot.core.mail_headers import OPT_OUT_WORD, mailto_url
from mailbot.core.templates import Rendered, Template

_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)


class Footer:
    """The visible way out and the postal address, where the template does not show them itself."""

    def __init__(self, template: Template, help_address: str, postal_address: str) -> None:
        self._names = {
            part: {use.name for use in template.uses if use.part == part}
            for part in ("text", "html")
        }
        postal = postal_address.strip()
        if not postal:
            raise InputError(
                "A campaign needs the shop's postal address.",
                next_step="Set postal_address under [shop] (16 CFR 316.5).",
            )
        self._help, self._postal = help_address, postal
        self._mail_link = mailto_url(help_address, OPT_OUT_WORD)

    def add_to(self, rendered: Rendered, web_link: str = "") -> Rendered:
        """The same letter with what it lacks: at the end of the text, before `</body>`.

        `web_link` is this recipient's public page, "" where there is none.
        """
        whole_text = rendered.text
        missing = self._missing("text", rendered.text, web_link, self._postal)
        if missing:
            whole_text = f"{rendered.text.rstrip()}\n\n--\n" + "\n\n".join(missing) + "\n"
        whole_html = rendered.html
        if rendered.html is not None:
            postal = html.escape(self._postal).replace("\n", "<br>")
            missing = self._missing("html", rendered.html, web_link, postal)
            if missing:
                whole_html = _before_body_end(rendered.html, "<br><br>".join(missing))
        return Rendered(rendered.subject, whole_text, whole_html)

    def _missing(self, part: str, shown: str, web_link: str, postal: str) -> list[str]:
        """Used by name *and* really shown: `{% if false %}` around a name shows nothing."""
        names = self._names[part]
        by_mail = not names.isdisjoint(("unsubscribe_address", "unsubscribe_link"))
        on_the_web = web_link != "" and "unsubscribe_url" in names
        found = []
        if not ((by_mail and self._help in shown) or (on_the_web and web_link in shown)):
            way_out = self._way_out_in_text if part == "text" else self._way_out_in_html
            found.append(way_out(web_link))
        if not ("postal_address" in names and postal in shown):
            found.append(postal)
        return found

    def _way_out_in_text(self, web_link: str) -> str:
        by_mail = f'rite to {self._help} with the word\n"{OPT_OUT_WORD}" in the subject.'
        if web_link:
            return f"No more offers? Open\n{web_link}\nor w{by_mail}"
        return f"No more offers? W{by_mail}"

    def _way_out_in_html(self, web_link: str) -> str:
        link = html.escape(web_link or self._mail_link)
        return (
            f'No more offers? <a href="{link}" style="color:#666666">Unsubscribe</a>, or write to'
            f' {html.escape(self._help)} with the word "{OPT_OUT_WORD}" in the subject.'
        )


def _before_body_end(document: str, footer: str) -> str:
    style = "font:12px/1.5 Arial,Helvetica,sans-serif;color:#666666;text-align:center;padding:16px"
    block = f'<div style="{style}">{footer}</div>\n'
    ends = list(_BODY_END.finditer(document))
    at = ends[-1].start() if ends else len(document)
    return document[:at] + block + document[at:]
