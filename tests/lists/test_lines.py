"""Lines of any file: the same wherever a block ends, and never more than a bounded length."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.lists import lines
from mailbot.lists.lines import MAX_LINE, LineReader

PIECES = st.sampled_from([b"a@b.example", b"\n", b"\r\n", b"\xe9", "é".encode(), b"\0", b",", b'"'])


def read(data: bytes, block: int, encoding: str | None = None) -> list[tuple[int, str]]:
    kept = lines._BLOCK
    lines._BLOCK = block  # type: ignore[misc]  # the size by which it reads
    try:
        reader = LineReader(io.BytesIO(data), encoding)
        return [
            (batch.first + index, batch.broken.get(index, line))
            for batch in reader.batches()
            for index, line in enumerate(batch.lines)
        ]
    finally:
        lines._BLOCK = kept  # type: ignore[misc]


@given(st.lists(PIECES, max_size=30).map(b"".join), st.integers(40, 60))
def test_lines_are_the_same_wherever_a_block_ends(data: bytes, block: int) -> None:
    if b"\r" in data.replace(b"\r\n", b""):
        return
    data = b"head\n" + data  # what the first block tells (line feeds) is the same for both
    assert read(data, block) == read(data, 1 << 20)


@given(st.lists(st.text("aé@λ,", max_size=8), min_size=1, max_size=20), st.integers(8, 40))
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_marked_encodings_are_read_whole_wherever_a_block_ends(
    encoding: str, written: list[str], block: int
) -> None:
    data = "\n".join(["header", *written, ""]).encode(encoding)
    read_back = [text for _, text in read(data, max(block, 48))]
    assert read_back == ["header", *written]


def test_the_numbers_go_on_behind_a_line_that_is_too_long() -> None:
    data = b"one\n" + b"x" * (3 * MAX_LINE) + b"\nthree\nfour"
    for block in (1000, 1 << 20):
        assert read(data, block) == [
            (1, "one"), (2, "is longer than 64 KB"), (3, "three"), (4, "four"),
        ]  # fmt: skip


def test_the_digest_covers_every_byte() -> None:
    digests = set()
    for data in (b"a\nb\n", b"a\nb", b"a\r\nb\n", b"\xef\xbb\xbfa\nb\n"):
        reader = LineReader(io.BytesIO(data))
        list(reader.batches())
        digests.add(reader.digest)
    assert len(digests) == 4
