"""What a reader sees of HTML, as lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.html_text import text_of_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("Hello", "Hello\n"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("One<br>Two<br/>Three", "One\nTwo\nThree\n"),
        ("<h1>Teas</h1>\n<div>New   ones\n here</div>", "Teas\n\nNew ones here\n"),
        ("<ul><li>Assam</li><li>Oolong</li></ul>", "• Assam\n• Oolong\n"),
        ("<table><tr><td>Tea</td><td>€ 4</td></tr><tr><td>Cup</td></tr></table>", "Tea € 4\nCup\n"),
        ("<a href='https://a.de/x'>Look</a>!", "Look <https://a.de/x>!\n"),
        ("<a href='mailto:help@a.de?subject=x'>Write</a>", "Write <help@a.de>\n"),
        ("<a href='https://a.de'><img src='x' alt='Logo'></a>", "[Logo] <https://a.de>\n"),
        ("<a href='https://a.de'></a>x", "x\n"),
        ("<img src=x alt=''><img src=y>Tea", "Tea\n"),
        ("<style>p {}</style><script>x()</script><title>T</title>Tea", "Tea\n"),
        ("<div style='display:none'>before <b>it</b></div>Tea", "Tea\n"),
        ("<div style='display: none'><br>a<div>b</div>c</div>Tea", "Tea\n"),
        ("T&auml;&amp;&lt;x&gt;", "Tä&<x>\n"),
        ("<!-- no --><p>Tea", "Tea\n"),
    ],
)
def test_what_is_seen(html: str, text: str) -> None:
    assert text_of_html(html) == text


@given(st.text(alphabet="<>/abptdrhiv=' \"&;!-\n", max_size=200))
def test_nothing_makes_it_raise(html: str) -> None:
    text_of_html(html)
