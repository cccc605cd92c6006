"""What a person sees of a mail's text before deciding."""

from __future__ import annotations

import time

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.reading.first_lines import MAX_LINE_CHARS, FirstLines, first_lines


def lines_of(body: str, kind: str = "text/plain", most: int = 20) -> FirstLines:
    raw = f"Subject: x\nContent-Type: {kind}; charset=utf-8\n\n{body}"
    return first_lines(read_message(raw.encode()), most)


def of_html(body: str) -> tuple[str, ...]:
    return lines_of(body, "text/html").lines


def test_plain_text_is_shown_without_superfluous_blank_lines() -> None:
    shown = lines_of("\n\n Hello,\n\n\n\nplease stop.  \n\n")
    assert shown == FirstLines((" Hello,", "", "please stop."))


def test_only_so_many_lines_are_shown_and_it_is_said_that_more_follow() -> None:
    body = "\n".join(map(str, range(50)))
    assert lines_of(body, most=3) == FirstLines(("0", "1", "2"), has_more=True)
    assert lines_of("0\n1\n2\n\n", most=3) == FirstLines(("0", "1", "2"))
    assert lines_of("0\n\n\n1", most=2) == FirstLines(("0",), has_more=True)


def test_an_endless_line_is_cut() -> None:
    (line,) = lines_of("x" * 100_000).lines
    assert len(line) == MAX_LINE_CHARS


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("<p>Dear shop,<br>stop <b>now</b></p>", ("Dear shop,", "stop now")),
        ("<div>one</div><div>two</div>", ("one", "", "two")),
        ("a&nbsp;&lt;b&gt; &amp; c", ("a <b> & c",)),
        ("<style>p { color: red }</style><P>text</P>", ("text",)),
        ("<head><title>no</title></head>body<script>if (1 < 2) no()</SCRIPT> text", ("body text",)),
        ("seen<!-- not <b>seen</b> --> too", ("seen too",)),
        ("2 < 3 and 4 > 3", ("2 < 3 and 4 > 3",)),
        ("lines\nof the\nsource", ("lines of the source",)),
        ("cut <a href='http://x", ("cut",)),
        ("<script>never closed", ()),
        ("<!DOCTYPE html>x", ("x",)),
    ],
)
def test_html_is_reduced_to_its_text(source: str, shown: tuple[str, ...]) -> None:
    assert of_html(source) == shown


def test_plain_text_is_preferred_and_what_is_attached_is_left_out() -> None:
    raw = b"""\
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: text/plain
Content-Disposition: attachment; filename=list.txt

a file
--B
Content-Type: text/html

<p>in HTML</p>
--B
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

sch=F6n
--B--
"""
    assert first_lines(read_message(raw), 20).lines == ("schön",)


def test_an_empty_plain_part_gives_way_to_html() -> None:
    raw = b"""\
Content-Type: multipart/alternative; boundary=B

--B
Content-Type: text/plain

--B
Content-Type: text/html

<p>Stop</p>
--B--
"""
    assert first_lines(read_message(raw), 20).lines == ("Stop",)


def test_a_mail_without_text_shows_none() -> None:
    assert lines_of("GIF89a", "image/gif") == FirstLines()
    assert first_lines(read_message(b"Subject: x\n\n", is_whole=False), 20) == FirstLines()


@pytest.mark.parametrize("piece", ["<", "<a", "<!--", "<script>", "&#", "</", "<br>", " \n"])
def test_time_is_linear_in_the_size_of_hostile_html(piece: str) -> None:
    """Four times the size may cost four times the time, and not sixteen."""

    def seconds(size: int) -> float:
        source = piece * (size // len(piece))
        best = 9.9
        for _ in range(3):
            start = time.perf_counter()
            of_html(source)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(240_000) < 10 * seconds(60_000) + 0.02
