"""Links, pictures, size and subject of a letter: what is found, in which line, and what is not."""

from __future__ import annotations

import pytest

from mailbot.core.letter_lint import (
    LARGEST_SHOWN_WHOLE,
    link_faults,
    picture_faults,
    size_fault,
    style_faults,
    subject_style_faults,
)
from mailbot.core.preflight import Fault, Severity
from mailbot.core.templates import Template, parse_template


def letter(html: str | None = None, text: str = "Hello\n", subject: str = "New teas") -> Template:
    return parse_template("spring", text, html, subject)


def links(html: str) -> list[Fault]:
    return link_faults(letter(html))


@pytest.mark.parametrize(
    "target",
    [
        "", "#", "/teas", "teas.html", "//", "http://", "https:///teas", "https:// shop.de/teas",
        "www.lindenhof.de/teas", "lindenhof.de", "javascript:alert(1)", "file:///home/ann/teas.html",
        "data:text/html,hello", "mailto:", "tel: ", "https://example.com/teas",
        "https://www.example.org", "http://localhost:8000/teas", "https://127.0.0.1/teas",
        "https://10.1.2.3/teas", "https://[::1]/", "https://shop.local/teas", "https://intranet/teas",
        "https://[bad/teas",
    ],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_an_error_with_its_line(target: str) -> None:
    (fault,) = links(f'<p>Look:</p>\n<p>\n<a href="{target}">our teas</a></p>\n')
    assert fault.severity is Severity.ERROR
    assert fault.where == "spring (html), line 3"
    assert fault.next_step


@pytest.mark.parametrize(
    "target",
    [
        "https://www.lindenhof.de/teas?a=1&amp;b=2#top", "https://shop.lindenhof.de:8443/",
        "https://münchen-tee.de/", "mailto:help@lindenhof.de", "tel:+49401234", "{{ link }}",
        "{{ base or 'https://lindenhof.de' }}/teas", "https://{{ host }}/teas",
        "https://lindenhof.de/{% if a is defined %}x{% endif %}", "HTTPS://LINDENHOF.DE/", "https://8.8.8.8/",
    ],
)  # fmt: skip
def test_a_whole_address_or_one_that_a_field_fills_in_is_fine(target: str) -> None:
    assert links(f'<a href="{target}">our teas</a>') == []


@pytest.mark.parametrize("target", ["http://lindenhof.de/teas", "https://lindenhof-tea.example/"])
def test_what_a_person_should_look_at_is_a_warning(target: str) -> None:
    (fault,) = links(f'<a href="{target}">our teas</a>')
    assert fault.severity is Severity.WARNING


def test_a_host_that_is_for_trying_out_is_told_once_and_an_error_at_each_of_its_lines() -> None:
    shop = "https://lindenhof-tea.example"
    found = links(f'<a href="{shop}/a">a</a>\n<a href="/b">b</a>\n<a href="{shop}/c">c</a>\n'
                  '<a href="/b">b</a>')  # fmt: skip
    assert [(fault.severity, fault.where) for fault in found] == [
        (Severity.WARNING, "spring (html), line 1"),
        (Severity.ERROR, "spring (html), line 2"),
        (Severity.ERROR, "spring (html), line 4"),
    ]


def test_a_place_in_the_letter_is_no_link() -> None:
    assert links('<a name="teas">Teas</a>') == []


def test_lines_are_counted_over_tags_of_the_template() -> None:
    (fault,) = links('{% if name is\n   defined %}\n{{ name }}\n{% endif %}\n<a href="/teas">x</a>')
    assert fault.where == "spring (html), line 5"


def test_links_of_the_text_are_looked_at_too() -> None:
    (fault,) = link_faults(letter(text="Hello\n\nSee https://example.com/teas.\n"))
    assert fault.where == "spring (text), line 3"
    assert "“https://example.com/teas”" in fault.what
    assert link_faults(letter(text="See (https://lindenhof.de/teas), or call.\n")) == []


def test_a_picture_without_words_and_one_written_into_the_letter_are_warnings() -> None:
    html = (
        '<img src="https://lindenhof.de/a.png" alt="A tin of tea">\n'
        '<img src="https://lindenhof.de/line.png" alt="">\n'
        '<img src="https://lindenhof.de/b.png">\n'
        '<img src="data:image/png;base64,AAAA" alt="A cup">\n'
    )
    found = picture_faults(letter(html))
    assert [(fault.where, fault.severity) for fault in found] == [
        ("spring (html), line 3", Severity.WARNING),
        ("spring (html), line 4", Severity.WARNING),
    ]
    assert link_faults(letter(html)) == []


def test_a_picture_from_nowhere_is_an_error() -> None:
    (fault,) = links('<img src="logo.png" alt="Lindenhof">')
    assert fault.severity is Severity.ERROR
    assert "picture's" in fault.next_step


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("N" + "ew teas " * 12, "characters"), ("NEW TEAS ARE IN", "capitals"),
        ("New teas!! Come!", "exclamation"),
    ],
)  # fmt: skip
def test_a_subject_that_is_cut_off_shouts_or_begs_is_a_warning(subject: str, words: str) -> None:
    (fault,) = subject_style_faults(letter(subject=subject))
    assert fault.severity is Severity.WARNING
    assert words in fault.what


@pytest.mark.parametrize(
    "subject",
    ["New teas are in!", "WWF and you", "新茶が届きました", "{{ name }}: UNO 2", "ÄÖÜ für Sie"],
)
def test_an_ordinary_subject_is_fine(subject: str) -> None:
    assert subject_style_faults(letter(subject=subject)) == []


def test_html_that_gmail_would_cut_off_is_a_warning() -> None:
    assert size_fault("spring", "x" * LARGEST_SHOWN_WHOLE) is None
    assert size_fault("spring", None) is None
    fault = size_fault("spring", "ü" * (LARGEST_SHOWN_WHOLE // 2 + 1))
    assert fault is not None
    assert "102,002 bytes" in fault.what


def test_css_that_mail_programs_do_not_read_is_told_with_its_line() -> None:
    html = (
        "<head>\n<link rel=stylesheet href='https://a.de/x.css'>\n<style>\n@import 'y.css';\n"
        "tr:nth-child(2) {color: red}\n</style>{% for a in b %}<p>{% endfor %}\n\n<b style='red'>"
    )
    told = [(fault.where, fault.what) for fault in style_faults(letter(html=html))]
    lines = [where.removeprefix("spring (html), line ") for where, _ in told]
    assert lines == ["5", "8", "2", "4"]
    assert "counts tags" in told[0][1]
    assert "is no CSS" in told[1][1]
    assert "stands elsewhere" in told[2][1]


def test_plain_css_is_nothing_to_tell() -> None:
    assert style_faults(letter(html="<style>p{color:red}</style><p>")) == []
    assert style_faults(letter()) == []
