"""Fields that a header cannot hold are known before a letter is written."""

from __future__ import annotations

import pytest

from mailbot.core.letter_headers import header_fault
from mailbot.core.templates import parse_template


def fault(subject: str, **fields: str) -> str:
    return header_fault(parse_template("spring", "Dear {{ address }},", None, subject), fields)


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r", "\x00", "\x1b", "\u2028", "\x85"])
def test_a_line_break_in_a_field_of_the_subject_is_told_with_the_field(break_: str) -> None:
    told = fault("{{ offer }} for {{ who }}", offer=f"Tea{break_}Bcc: all@example.org", who="Ann")
    assert "the subject came out with a line break or control character" in told
    assert told.endswith("(“offer”)")
    assert break_ not in told, "it goes to a terminal"


@pytest.mark.parametrize("subject", [
    "{{ offer|replace('\\n', ' ') }}",
    "Teas{% if offer == 'x' %}: {{ offer }}{% endif %}",
    "Teas for {{ shop_name }}",
])  # fmt: skip
def test_one_that_does_not_come_out_in_the_subject_is_no_fault(subject: str) -> None:
    assert fault(subject, offer="Tea\nfor two") == ""


def test_a_field_of_the_body_may_have_lines() -> None:
    assert fault("Teas", address="1 Quay\nBristol") == ""


def test_a_name_stands_in_to_whether_the_letter_uses_it_or_not() -> None:
    assert "“name”, which stands in To" in fault("Teas", name="Ann\nArcher")
    assert fault("Teas", name="Ann Archer") == ""
