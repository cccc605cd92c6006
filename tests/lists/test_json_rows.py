"""JSON of any shape that other systems answer with, read object by object."""

from __future__ import annotations

import io
import json

import pytest

from mailbot.core.errors import InputError
from mailbot.lists.json_rows import objects
from mailbot.lists.lines import LineReader
from mailbot.lists.rows import Wanted, rows_of


def _read(text: str) -> list[tuple[int, dict[str, str] | None]]:
    reader = LineReader(io.BytesIO(text.encode()))
    return [(number, found) for number, found, _ in objects(reader.batches())]


ONE, TWO = {"email": "a@x.de", "n": 1}, {"email": 'b"{@x.de', "n": None}
READ = [{"email": "a@x.de", "n": "1"}, {"email": 'b"{@x.de', "n": ""}]


@pytest.mark.parametrize("text", [
    json.dumps([ONE, TWO]),
    json.dumps([ONE, TWO], indent=4),
    json.dumps({"Suppressions": [ONE, TWO]}),
    json.dumps({"Suppressions": [ONE, TWO], "NextToken": "a}b"}, indent=1),
    f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n",
])  # fmt: skip
def test_each_shape_gives_the_same_objects(text: str) -> None:
    assert [found for _, found in _read(text)] == READ


def test_an_object_is_named_by_the_line_where_it_begins() -> None:
    assert [number for number, _ in _read('[\n\n {"a":\n 1},\n {"a": 2}]')] == [3, 5]


def test_what_is_cut_off_is_told() -> None:
    assert _read('[{"a": "1"},\n{"a": "2') == [(1, {"a": "1"}), (2, None)]


def test_an_object_without_end_is_given_up_and_the_rest_is_read() -> None:
    endless = '{"a": "' + "x" * 70_000
    assert [found for _, found in _read(f'{endless}\n{{"a": "2"}}\n')] == [None, {"a": "2"}]


def test_deep_nesting_ends_in_words() -> None:
    assert [found for _, found in _read('{"a": 1, "b": ' + "[" * 60_000)] == [None]


def test_what_stands_before_the_first_object_is_told_as_well() -> None:
    reader = LineReader(io.BytesIO(b'[nonsense\n{"email": "a@x.de", "created": 1}]'))
    _, rows = rows_of(reader.batches(), Wanted())
    assert [(row.number, row.address, bool(row.wrong)) for row in rows] == [
        (1, "", True), (2, "a@x.de", False),
    ]  # fmt: skip


def test_no_object_at_all_is_an_error() -> None:
    reader = LineReader(io.BytesIO(b"[1\n2\n3]"))
    with pytest.raises(InputError, match="no object"):
        rows_of(reader.batches(), Wanted())
