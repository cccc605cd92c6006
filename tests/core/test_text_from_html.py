"""A text part made from HTML: its words, and the template's own tags where they stood."""

from __future__ import annotations

import pytest

from mailbot.core.templates import parse_template, render
from mailbot.core.text_from_html import text_template_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Dear {{ name }},</p><p>new teas.</p>", "Dear {{ name }},\n\nnew teas.\n"),
        ("<a href='{{ link }}'>Shop</a>", "Shop <{{ link }}>\n"),
        ("<a href='{{ link }}'>{{ link }}</a>", "{{ link }}\n"),
        ("<p>{# not this #}Tea{% if a %} &amp; cake{% endif %}</p>",
         "Tea{% if a %} & cake{% endif %}\n"),
        ("{% if a %}<br>{% endif %}", ""),
        ("<img src=x alt=''>", ""),
        ("{{ all_of_it }}", "{{ all_of_it }}\n"),
        ("<p>" + "long " * 20 + "</p>", "long " * 13 + "long\n" + "long " * 5 + "long\n"),
        ("<ul><li>" + "tea " * 20 + "</ul>", "• " + "tea " * 16 + "tea\n  tea tea tea\n"),
    ],
)  # fmt: skip
def test_it_reads_like_the_html(html: str, text: str) -> None:
    assert text_template_of(html) == text


def test_loops_conditions_and_fields_are_each_recipients_own_and_nothing_is_escaped() -> None:
    html = """<h1>For {{ name }}</h1>
<table>
{% for tea in teas %}
  <tr><td>{{ tea.name }}</td><td>{{ tea.price }} €</td></tr>
{% endfor %}
</table>
<ul>{% for tea in teas %}<li>{{ tea.name }}</li>{% endfor %}</ul>
{% if is_new %}<p>Welcome!</p>{% endif %}
"""
    template = parse_template("spring", text_template_of(html), html, "New teas")
    teas = [{"name": "Earl & Grey", "price": 4}, {"name": "<Oolong>", "price": 5}]
    one = render(template, {"name": "Ann", "teas": teas, "is_new": False}).text
    assert one.startswith("For Ann\n")
    assert "Earl & Grey 4 €\n<Oolong> 5 €\n" in one
    assert "• Earl & Grey\n• <Oolong>" in one
    other = render(template, {"name": "Bob", "teas": [], "is_new": True}).text
    assert other.split() == ["For", "Bob", "Welcome!"]
