"""A form is read within bounds of size, time and number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mailbot.web.forms import LARGEST_BODY
from tests.web.conftest import TOKEN, Notebook, SettingsMaker, Visitor, VisitorMaker

PAGE = f"/u/{TOKEN}"
FORM = "application/x-www-form-urlencoded"
ONE_CLICK = b"List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    "kind",
    ["application/json", "text/plain", "", "multipart/mixed; boundary=x", "\x80/x", FORM + "x"],
)
async def test_what_is_no_form_is_refused_by_its_type(
    visitor: Visitor, door: Notebook, kind: str
) -> None:
    headers = {b"content-type": kind.encode("latin-1")}
    answer = await visitor.client.post(PAGE, content=ONE_CLICK, headers=headers)
    assert answer.status_code == 415
    assert FORM in answer.headers["accept-post"]
    assert door.wishes == []


async def test_a_post_without_a_type_is_refused(visitor: Visitor, door: Notebook) -> None:
    assert (await visitor.client.post(PAGE, content=ONE_CLICK)).status_code == 415
    assert door.wishes == []


async def test_a_body_up_to_the_bound_is_read(visitor: Visitor, door: Notebook) -> None:
    filler = b"&" * (LARGEST_BODY - len(ONE_CLICK))
    answer = await visitor.client.post(
        PAGE, content=ONE_CLICK + filler, headers={"content-type": FORM}
    )
    assert (answer.status_code, len(door.wishes)) == (200, 1)


async def test_a_larger_body_is_refused_by_what_it_says_of_itself(
    visitor: Visitor, door: Notebook
) -> None:
    body = ONE_CLICK + b"&" * LARGEST_BODY
    answer = await visitor.client.post(PAGE, content=body, headers={"content-type": FORM})
    assert (answer.status_code, door.wishes) == (413, [])


async def test_an_endless_body_is_cut_off_while_it_is_read(
    visitor: Visitor, door: Notebook
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000

    answer = await visitor.client.post(PAGE, content=endless(), headers={"content-type": FORM})
    assert (answer.status_code, door.wishes) == (413, [])
    assert sent <= LARGEST_BODY + 2000


async def test_a_body_that_does_not_come_is_not_waited_for(
    visiting: VisitorMaker, settings_with: SettingsMaker, door: Notebook
) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"List-"
        await asyncio.Event().wait()

    visitor = visiting(settings_with(public="timeout_seconds = 1"))
    answer = await visitor.client.post(PAGE, content=stuck(), headers={"content-type": FORM})
    assert (answer.status_code, door.wishes) == (408, [])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", ONE_CLICK),
        ("multipart/form-data; boundary=x", ONE_CLICK),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
        ("multipart/form-data; boundary=x", (b'--x\r\nContent-Disposition: form-data; name="a"; '
         b'filename="b"\r\n\r\nc\r\n--x--\r\n')),
        ("multipart/form-data; boundary=" + "x" * 500, b"--" + b"x" * 500 + b"\r\n"),
        ("multipart/form-data; charset=no-such; boundary=x", (b'--x\r\nContent-Disposition: '
         b'form-data; name="\xff"\r\n\r\n\xff\r\n--x--\r\n')),
        (FORM, b"a=b&" * 100),
        (FORM, b"a=" + b"b" * 10_000),
        (FORM, b"\xff\xfe=\x00&%zz=%"),
        (FORM, b""),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_as_our_form_changes_nothing(
    visitor: Visitor, door: Notebook, kind: str, body: bytes
) -> None:
    answer = await visitor.client.post(PAGE, content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert "Nothing was changed" in answer.text
    assert door.wishes == []
