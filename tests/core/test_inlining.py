"""CSS goes from `<style>` into the tags; nothing else of a template moves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbot.core.errors import TemplateError
from mailbot.core.inlining import inline_css, why_not_inlined
from mailbot.core.templates import parse_template, render


def inlined(html: str, css: str = "p { color: red }") -> str:
    """The HTML behind its style sheet, inlined, without the sheet."""
    return inline_css("t (html)", f"<style>{css}</style>{html}").partition("</style>")[2]


@pytest.mark.parametrize(
    ("html", "becomes"),
    [
        ("<p>Tea", '<p style="color: red">Tea'),
        ("<P CLASS=x>Tea</P>", '<P style="color: red" CLASS=x>Tea</P>'),
        ("<p\n class='x'\n>Tea", "<p style=\"color: red\"\n class='x'\n>Tea"),
        ("<p style='margin:0' id=a>", '<p style="color: red;margin: 0" id=a>'),
        ("<p id=a STYLE=margin:0>", '<p id=a style="color: red;margin: 0">'),
        ('<p title="style=1">', '<p style="color: red" title="style=1">'),
        ("<b>Tea</b> &amp; <br/> more", "<b>Tea</b> &amp; <br/> more"),
        ("<!-- <p> --><!--[if mso]><p>x<![endif]-->", "<!-- <p> --><!--[if mso]><p>x<![endif]-->"),
        ('<p data-css-inline="ignore">', '<p data-css-inline="ignore">'),
        ('<a title="{{ a > b }}"><p>', '<a title="{{ a > b }}"><p style="color: red">'),
        ("{% if vip %}<p>{% else %}<b>{% endif %}",
         '{% if vip %}<p style="color: red">{% else %}<b>{% endif %}'),
        ("<table>{% for t in teas %}<tr><p>{{ t }}</tr>{% endfor %}</table>",
         '<table>{% for t in teas %}<tr><p style="color: red">{{ t }}</tr>{% endfor %}</table>'),
        ("{# <p> #}<p>{{ '<p>' }}", "{# <p> #}<p style=\"color: red\">{{ '<p>' }}"),
    ],
)  # fmt: skip
def test_only_the_style_of_a_tag_is_written(html: str, becomes: str) -> None:
    assert inlined(html) == becomes


def test_what_the_sheet_says_stays_in_the_sheet_for_narrow_screens_and_the_dark() -> None:
    source = "<style>p{margin:0}@media (max-width:9px){p{margin:1px}}</style><p>"
    assert inline_css("t", source) == source[:-1] + ' style="margin: 0">'


@pytest.mark.parametrize(
    "html",
    [
        "<p style='{{ colour }}'>",
        "<p style='red'>",
        "<p {% if vip %}class=vip{% endif %}>",
        "<p {{ more }}>",
        "<p class='{{ kind }}'><b>",
        "<p id='a{{ number }}'><b>",
        "<div class='{{ theme }}'><p><img><b>x</b></p><p></div>",
    ],
)
def test_where_a_field_decides_what_applies_or_nobody_can_read_it_nothing_is_decided_before(
    html: str,
) -> None:
    assert inlined(html, "p { color: red } b { color: blue }") == html


def test_behind_such_a_tag_css_is_inlined_again() -> None:
    html = "<div class='{{ theme }}'><br><p>a</p></div><p>"
    assert inlined(html) == html[:-1] + ' style="color: red">'


def test_a_field_within_css_goes_with_it_and_can_hold_quotation_marks() -> None:
    source = '<style>p{color:{{ brand|default("red") }};width:{{ w }}px}</style><p>{{ x }}'
    css = inline_css("t", source)
    assert css.endswith('<p style="color: {{ brand|default("red") }};width: {{ w }}px">{{ x }}')
    made = render(parse_template("t", "x", source, "s"), {"w": 3, "x": "&"})
    assert made.html is not None
    assert made.html.endswith('<p style="color: red;width: 3px">&amp;')


def test_quotation_marks_of_css_end_no_attribute() -> None:
    html = inlined("<p>", 'p{font-family:"A B",\'C\';content:"<&"}')
    assert html.count('"') == 2
    assert "A B" in html


@pytest.mark.parametrize(
    ("css", "why"),
    [
        ("\np{x:y}\n{% if dark %}p{color:#fff}{% endif %}", (3, "decides about CSS here")),
        ("\ntr:nth-child(2){x:y}", (2, "“:nth-” counts tags")),
        ("h1 + p{x:y}", (1, "“+” counts tags")),
        ("@media print { p:first-child{x:y} }", (1, "“:first-” counts tags")),
        ("a[class~=x], a:hover{color:red}/* h1 + p */ p{margin:calc(1px + 2px)}", None),
    ],
)
def test_where_tags_of_the_template_could_change_the_css_all_of_it_stays(
    css: str, why: tuple[int, str] | None
) -> None:
    source = f"<style>{css}</style>{{% for x in y %}}<p>{{% endfor %}}"
    found = why_not_inlined(source)
    if why is None:
        assert found is None
        assert inline_css("t", source) != source
    else:
        assert found is not None
        assert (found[0], why[1] in found[1]) == (why[0], True)
        assert inline_css("t", source) == source


def test_positions_may_be_counted_where_the_template_has_no_loop() -> None:
    assert inlined("<p>a<p>b", "p:first-child{color:red}") == '<p style="color: red">a<p>b'


def test_no_style_sheet_is_fetched_from_anywhere(tmp_path: object) -> None:
    sheet = f"{tmp_path}/own.css"
    with open(sheet, "w") as file:  # noqa: PTH123
        file.write("p { color: red }")
    for target in (sheet, f"file://{sheet}", "https://192.0.2.1/own.css"):
        html = f'<link rel="stylesheet" href="{target}"><p>'
        assert inlined(html, "b{x:y}") == html


def test_too_much_to_inline_is_told_and_what_to_do() -> None:
    with pytest.raises(TemplateError, match="3,000 tags and 3,000 rules of CSS: too many"):
        inlined("<p>" * 2999, "p{x:y}" * 3000)
    with pytest.raises(TemplateError, match="characters with its CSS inlined"):
        inlined("<p>" * 3000, "p{" + "".join(f"a{n}:b;" for n in range(100)) + "}")


PIECES = st.lists(
    st.sampled_from([
        "<p>", "</p>", "<p class=a>", "<td style='x:y'>", "<table>", "<tr>", "</table>", "<b", ">",
        "<p class={{ a }}>", "{{ a }}", "{{ '<p>' }}", "{% if a %}", "{% endif %}", "{# <p> #}",
        "<style>p{color:red}</style>", "<style>.a{margin:0}", "</style>", "<!-- ", " -->", "\n",
        "<svg/>", "<br/>", "&amp;", "<", ">", "'", '"', "ä", "<title>", "<a title='{{ a }}'>", "{{",
        "<textarea>", "<script>", "</script>", '<P STYLE="{{ a }}">', "x",
    ]),
    max_size=30,
)  # fmt: skip


@given(PIECES)
@settings(max_examples=300)
def test_whatever_a_template_holds_only_styles_are_written(pieces: list[str]) -> None:
    source = "<style>p{color:red} .a{margin:0}</style>" + "".join(pieces)
    result = inline_css("t", source)
    style = re.compile(r"""\s+style\s*=\s*("[^"]*"|'[^']*')""", re.IGNORECASE)
    assert style.sub("", result) == style.sub("", source)
    assert inline_css("t", result) == result, "once is enough"
