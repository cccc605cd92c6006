"""Templates: their file form, the fields they need, and a sandbox that gives in to nothing."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.errors import TemplateError
from mailbot.core.template_limits import MAX_TEXT_CHARS
from mailbot.core.templates import (
    MAX_SOURCE_CHARS,
    fields_of,
    parse_template,
    render,
    required_fields_of,
)


def rendered_text(source: str, **fields: object) -> str:
    return render(parse_template("spring", source, subject="Hello"), fields).text


def refusal(source: str, **fields: object) -> str:
    with pytest.raises(TemplateError) as caught:
        rendered_text(source, **fields)
    return str(caught.value)


class TestTheFileForm:
    def test_the_first_line_is_the_subject_and_the_text_follows_a_blank_line(self) -> None:
        template = parse_template("shipped", "Subject: Order {{ n }}\n\nIt is on its way.\n")
        letter = render(template, {"n": "7"})
        assert (letter.subject, letter.text, letter.html) == (
            "Order 7",
            "It is on its way.\n",
            None,
        )

    def test_a_file_from_windows_with_a_byte_order_mark_reads_the_same(self) -> None:
        template = parse_template("shipped", "\ufeffSubject: Hello\r\n\r\none\r\ntwo\r\n")
        assert render(template, {}).text == "one\ntwo\n"

    @pytest.mark.parametrize(
        ("source", "line"),
        [("Hello\n\ntext", 1), ("", 1), ("Subject: Hello\ntext", 2)],
    )
    def test_a_file_without_its_subject_says_what_to_write(self, source: str, line: int) -> None:
        with pytest.raises(TemplateError) as caught:
            parse_template("shipped", source)
        assert caught.value.where == f"shipped, line {line}"
        assert caught.value.next_step

    @pytest.mark.parametrize("subject", ["", "   ", "two\nlines", "a\x00b"])
    def test_a_subject_is_one_line_of_text(self, subject: str) -> None:
        with pytest.raises(TemplateError):
            parse_template("spring", "text", subject=subject)

    def test_a_line_of_tags_alone_vanishes_and_a_line_with_text_keeps_its_end(self) -> None:
        source = (
            "Dear {% if name %}{{ name }}{% endif %}\nthanks\n{% if name %}\nBye\n{% endif %}\n"
        )
        assert rendered_text(source, name="Ann") == "Dear Ann\nthanks\nBye\n"

    def test_html_is_escaped_and_text_is_not(self) -> None:
        template = parse_template("spring", "{{ n }}", "<p>{{ n }}</p>", "Hi {{ n }}")
        letter = render(template, {"n": "<Ann & Co>"})
        assert letter.html == "<p>&lt;Ann &amp; Co&gt;</p>"
        assert letter.text == "<Ann & Co>"
        assert letter.subject == "Hi <Ann & Co>"

    def test_a_shared_layout_is_extended(self) -> None:
        shared = {"_layout.html": "<body>{{ shop }}: {% block content %}{% endblock %}</body>"}
        html = '{% extends "_layout.html" %}{% block content %}{{ n }}{% endblock %}'
        template = parse_template("spring", "t", html, "s", shared=shared)
        assert fields_of(template) == {"shop", "n"}
        assert render(template, {"shop": "A", "n": "B"}).html == "<body>A: B</body>"

    def test_an_include_that_is_not_there_is_found_at_once(self) -> None:
        with pytest.raises(TemplateError, match=r"_footer\.txt"):
            parse_template("spring", '{% include "_footer.txt" %}', subject="s")


class TestFields:
    def test_every_field_is_known_with_the_line_that_uses_it_first(self) -> None:
        source = "Subject: Order {{ order }}\n\nHello,\n{{ first_name }}\n"
        template = parse_template("shipped", source, "<p>\n{{ order }}</p>")
        assert [(use.name, use.where) for use in template.uses] == [
            ("order", "shipped (subject), line 1"),
            ("first_name", "shipped (text), line 4"),
            ("order", "shipped (html), line 2"),
        ]

    def test_a_guarded_field_is_optional(self) -> None:
        source = "{{ a|default('') }}{% if b is defined %}{{ b }}{% endif %}{{ c }}"
        template = parse_template("spring", source, subject="s")
        assert fields_of(template) == {"a", "b", "c"}
        assert required_fields_of(template) == {"c"}

    def test_names_a_template_sets_itself_are_no_fields(self) -> None:
        shared = {"_row.txt": "{{ row.name }}"}
        source = '{% for row in rows %}{% include "_row.txt" %}{% endfor %}'
        assert fields_of(parse_template("s", source, subject="s", shared=shared)) == {"rows"}

    def test_a_missing_field_is_named_with_its_line_and_what_there_is(self) -> None:
        message = refusal("Hello,\n\n{{ frist_name }}", first_name="Ann", order=7)
        assert message.startswith("spring (text), line 3: there is no field 'frist_name'")
        assert "first_name, order" in message

    def test_a_missing_field_in_a_shared_part_names_that_file(self) -> None:
        template = parse_template(
            "s", 'a\n{% include "_end.txt" %}', subject="s", shared={"_end.txt": "b\n{{ gone }}"}
        )
        with pytest.raises(TemplateError) as caught:
            render(template, {})
        assert caught.value.where == "_end.txt, line 2"

    @pytest.mark.parametrize(
        "name", ["Ann\r\nBcc: all@example.com", "Ann\nX: y", "Ann\x00", "\u2028"]
    )
    def test_a_subject_with_a_line_break_from_a_field_is_refused(self, name: str) -> None:
        template = parse_template("spring", "text", subject="Dear {{ name }}, hello")
        with pytest.raises(TemplateError, match="line break"):
            render(template, {"name": name})

    def test_a_subject_that_comes_out_empty_is_refused(self) -> None:
        with pytest.raises(TemplateError, match="empty"):
            render(parse_template("spring", "text", subject="{{ a }}"), {"a": ""})

    def test_half_a_character_is_refused_before_it_reaches_a_mail(self) -> None:
        assert "half of a character" in refusal("{{ a }}", a="\ud83d")


class TestTheSandbox:
    @pytest.mark.parametrize(
        "source",
        [
            "{{ 'a' * 10**8 }}",
            "{{ 10**8 * 'a' }}",
            "{{ [1] * 10**9 }}",
            "{{ 9**99999 }}",
            "{{ 9**9**9**9 }}",
            "{{ '%1000000000d' % 1 }}",
            "{{ '%1000000000d'|format(1) }}",
            "{{ '%*d'|format(1000000000, 1) }}",
            "{{ '{:>1000000000}'.format(1) }}",
            "{{ 'a'.ljust(10**9) }}",
            "{{ (7).to_bytes(10**9, 'big') }}",
            "{% for i in range(10**9) %}x{% endfor %}",
            "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
            "{{ range(999)|map('string')|join('a' * 99999) }}",
            "{% set x = 'aaaaaaaa' %}" + "{% set x = x ~ x %}" * 40,
            "{% set x = 'aaaaaaaa' %}" + "{% set x = x + x %}" * 40,
            "{% set x = [1, 2, 3] %}" + "{% set x = x + x %}" * 40,
            "{% set x = 'aaaaaaaa' %}" + "{% set x = x|replace('a', x) %}" * 40,
            "{% set x = 9 %}" + "{% set x = x * x %}" * 40,
            "{% set x = 'a' * 500000 %}{{ x }}{{ x }}",
        ],
    )
    def test_little_source_cannot_make_much_work(self, source: str) -> None:
        """Each passes Jinja2's own sandbox, and would take gigabytes or hours."""
        started = time.monotonic()
        assert re.match(r"spring \(text\)(, line 1)?: cannot be rendered", refusal(source))
        assert time.monotonic() - started < 2

    @pytest.mark.parametrize(
        "source",
        [
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% set x %}{{ 1 }}{% endset %}",
            "{% import 'x' as x %}",
            "{% autoescape false %}{% endautoescape %}",
            "{% block b %}{{ self.b() }}{% endblock %}",
            "{% for a in [] recursive %}{{ loop([]) }}{% endfor %}",
            "{{ 'a'|center(10) }}",
            "{{ a|safe }}",
            "{% include a %}",
        ],
    )
    def test_what_no_letter_needs_is_not_offered(self, source: str) -> None:
        with pytest.raises(TemplateError):
            parse_template("spring", source, subject="s")

    @pytest.mark.parametrize(
        "source",
        ["{{ ''.__class__ }}", "{{ items.append(1) }}", "{{ items.__init__.__globals__ }}"],
    )
    def test_a_template_reaches_neither_python_nor_its_fields_values(self, source: str) -> None:
        items: list[int] = []
        assert "unsafe" in refusal(source, items=items)
        assert items == []

    def test_a_shared_part_that_includes_itself_ends_with_an_error(self) -> None:
        shared = {"_a.txt": '{% include "_a.txt" %}{% include "_a.txt" %}'}
        template = parse_template("s", '{% include "_a.txt" %}', subject="s", shared=shared)
        with pytest.raises(TemplateError):
            render(template, {})

    def test_output_is_capped_while_it_streams(self) -> None:
        piece = "a" * (MAX_TEXT_CHARS // 10)
        assert "more than" in refusal(
            "{% for i in range(11) %}{{ piece }}{% endfor %}", piece=piece
        )

    def test_a_source_is_capped(self) -> None:
        with pytest.raises(TemplateError, match="characters"):
            parse_template("spring", "a" * (MAX_SOURCE_CHARS + 1), subject="s")

    @pytest.mark.parametrize(
        "source",
        [
            "{% if %}",
            "{{ a",
            "{{ a b }}",
            "{% nonsense %}",
            "{{ " + "(" * 5000,
            "{{ 1" + "0" * 5000,
        ],
    )
    def test_what_cannot_be_read_is_named_with_its_place(self, source: str) -> None:
        with pytest.raises(TemplateError) as caught:
            parse_template("spring", "one\n" + source, subject="s")
        assert caught.value.where.startswith("spring (text)")

    @pytest.mark.parametrize("source", ["{{ 1/0 }}", "{{ a.b.c }}", "{{ a + 1 }}", "{{ a[9].b }}"])
    def test_whatever_python_raises_becomes_a_template_error(self, source: str) -> None:
        assert refusal(f"one\n{source}", a={}).startswith("spring (text), line 2:")

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("{{ 1 ~ '-' ~ 2 }}", "1-2"),
            ("{{ ['a', 'b']|join(', ') }}", "a, b"),
            ("{{ '%.2f'|format(3.14159) }}", "3.14"),
            ("{{ 3.14159|round(2) }}", "3.14"),
            ("{{ items|sum(attribute='n') }}", "5"),
            ("{{ items|map(attribute='n')|join('+') }}", "2+3"),
            ("{% for i in items %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "1/2 2/2 "),
            ("{% for k, v in items[0].items() %}{{ k }}={{ v }}{% endfor %}", "n=2"),
            ("{{ 'anna'.title() }} {{ 'x'|upper }}", "Anna X"),
        ],
    )
    def test_what_a_letter_does_need_works(self, source: str, expected: str) -> None:
        assert rendered_text(source, items=[{"n": 2}, {"n": 3}]) == expected

    @given(st.text(max_size=80))
    def test_whatever_the_source_it_renders_or_raises_a_template_error(self, source: str) -> None:
        with contextlib.suppress(TemplateError):
            render(parse_template("any", source, source, subject=source), {"a": 1})
