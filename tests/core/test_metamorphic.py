"""What changes a mail's look and not its sense leaves its verdict alone; the word changes it.

No verdict is written down here: each mail is compared with itself in another form.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.inbound_message import read_message
from mailbot.core.recognition import describe, recognise
from tests.core.test_recognition import FACTS, MESSAGES, NO_FACTS, VERDICTS

RAW = {name: (MESSAGES / name).read_bytes() for name in sorted(VERDICTS)}
_BARE_CR = re.compile(rb"\r(?!\n)")
_FIELD_START = re.compile(rb"[!-9;-~]+[ \t]*:")
_NEXT_FIELD = re.compile(rb"(?<=\n)(?![ \t])")
_SUBJECT = re.compile(rb"(?im)^(subject[ \t]*:)((?:[^\n]|\n[ \t])*)")


def meaning(raw: bytes, name: str = "") -> tuple[object, ...]:
    """The verdict and whom it is about; `name` says which facts the mail is read with."""
    facts = FACTS if name and VERDICTS[name].get("facts") else NO_FACTS
    verdict = recognise(read_message(raw), facts)
    told = describe(verdict)
    hashes = getattr(verdict, "person_hashes", ())
    return (told["verdict"], told["rule"], told["addresses"], told.get("permanent"), hashes)


def head_and_body(raw: bytes) -> tuple[bytes, bytes]:
    """The header with its last line end, and the blank line with all below it."""
    blank = re.search(rb"(?<=\n)\r?\n", raw)
    return (raw[: blank.start()], raw[blank.start() :]) if blank else (raw, b"")


def fields_of(raw: bytes) -> tuple[list[bytes], bytes]:
    head, body = head_and_body(raw)
    return [field for field in _NEXT_FIELD.split(head) if field], body


def is_well_formed(raw: bytes) -> bool:
    """Line ends are line ends, and every line of the header belongs to a field."""
    fields, _ = fields_of(raw)
    is_a_header = bool(fields) and fields[-1].endswith(b"\n")
    return is_a_header and not _BARE_CR.search(raw) and all(map(_FIELD_START.match, fields))


WELL_FORMED = [name for name, raw in RAW.items() if is_well_formed(raw)]


def test_nearly_every_mail_is_well_formed_enough_to_be_rewritten() -> None:
    assert len(WELL_FORMED) > len(RAW) * 9 / 10


def changed_by(rewrite: Callable[[bytes], bytes]) -> list[str]:
    """The mails whose meaning the rewriting changed; there should be none."""
    return [
        name
        for name in WELL_FORMED
        if meaning(rewrite(RAW[name]), name) != meaning(RAW[name], name)
    ]


# --- one request, every way in which it is written

REQUESTS = {
    "English": "unsubscribe",
    "German": "Ich möchte den Newsletter abbestellen",
    "Russian": "Отписаться от рассылки",
    "Japanese": "メルマガの配信停止希望",
}
CHARSETS = (
    *("us-ascii", "utf-8", "iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-9", "iso-8859-15"),
    *("windows-1250", "windows-1251", "windows-1252", "koi8-r", "koi8-u", "ibm866"),
    *("iso-2022-jp", "shift_jis", "euc-jp", "gb2312", "gbk", "gb18030", "big5", "euc-kr"),
)


def pieces(data: str, size: int) -> list[str]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def b_word(raw: bytes, charset: str) -> str:
    return f"=?{charset}?B?{base64.b64encode(raw).decode()}?="


def q_word(raw: bytes, charset: str) -> str:
    kept = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    coded = (chr(c) if c in kept else "_" if c == 0x20 else f"={c:02X}" for c in raw)
    return f"=?{charset}?Q?{''.join(coded)}?="


def encoded(text: str) -> Iterator[str]:
    """In every charset that has its letters, in one word and in several, by B and by Q."""
    for charset in CHARSETS:
        try:
            text.encode(charset)
        except UnicodeEncodeError:
            continue
        for size in (len(text), 5, 1):
            parts = [part.encode(charset) for part in pieces(text, size)]
            yield "\r\n ".join(b_word(part, charset) for part in parts)
            yield "\r\n\t".join(q_word(part, charset.upper()) for part in parts)
    raw = text.encode("utf-8")
    for size in (3, 7):  # between the bytes of a letter
        parts = [raw[at : at + size] for at in range(0, len(raw), size)]
        yield "\n ".join(b_word(part, "utf-8") for part in parts)
        yield " ".join(q_word(part, "utf-8*ja") for part in parts)
    yield b_word(raw, "utf-8").replace("=?=", "?=")  # without its padding
    yield f"=?utf-8?Q??= {q_word(raw, 'utf-8')} =?utf-8?B??="


def unencoded(text: str) -> Iterator[str]:
    yield from (text, text.upper(), text.title(), f"  {text}\t", f"\n {text}", f"\r\n\t{text}")
    yield text.replace(" ", "\n ")
    yield from (f"Re: {text}", f"AW: Fwd: {text}", f"[EXTERNAL] {text}", f"{text}!!!", f'"{text}"')


def forms(text: str) -> list[str]:
    return list(dict.fromkeys((*encoded(text), *unencoded(text))))


CLIENTS: dict[str, str] = {
    "a script": "From: Ann <{ann}>\nSubject: {subject}\n\n",
    "Gmail": (
        "MIME-Version: 1.0\nFrom: Ann Smith <{ann}>\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n"
        "Message-ID: <CAF1@mail.gmail.example>\nSubject: {subject}\nTo: help@shop.example\n"
        'Content-Type: multipart/alternative; boundary="0000"\n\n--0000\n\nhello\n--0000--\n'
    ),
    "an iPhone": (
        "Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n"
        "From: {ann}\nMime-Version: 1.0 (1.0)\nSubject: {subject}\nTo: help@shop.example\n"
        "X-Mailer: iPhone Mail (22F76)\n\n\nSent from my iPhone\n"
    ),
    "Outlook": (
        'From: "Smith, Ann" <{ann}>\nTo: <help@shop.example>\nSubject: {subject}\n'
        "Thread-Topic: Spring offers\nThread-Index: AQHcqg==\nX-Mailer: Microsoft Outlook 16.0\n"
        "X-Auto-Response-Suppress: DR, OOF\nContent-Type: text/html\n\n<p>hello</p>\n"
    ),
    "QQ": (
        'X-QQ-SSF: 00\nFrom: "=?gb18030?B?sLI=?=" <{ann}>\nTo: "=?gb18030?B?aGVscA==?=" '
        "<help@shop.example>\nSubject: {subject}\nX-Priority: 3\nX-QQ-MIME: TCMime 1.0\n\n\n"
    ),
    "an i-mode telephone": (
        'From: {ann}\nSubject: {subject}\nContent-Type: text/plain; charset="iso-2022-jp"\n\n\n'
    ),
    "webmail that writes no body": "FROM:<{ann}>\nSUBJECT:{subject}\nUSER-AGENT: Roundcube\n",
    "a customer's reply": (
        "From: =?utf-8?Q?=C3=84nn?= <{ann}>\nIn-Reply-To: <campaign-1@shop.example>\n"
        "References: <campaign-1@shop.example>\nPrecedence: bulk\nSubject: {subject}\n\n> 20 %\n"
    ),
}


@pytest.mark.parametrize("language", REQUESTS)
def test_a_request_has_at_least_forty_forms(language: str) -> None:
    assert len(forms(REQUESTS[language])) >= 40


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("language", REQUESTS)
def test_one_request_in_every_form_is_one_verdict(language: str, client: str) -> None:
    expected = ("opt_out", "word-in-subject", ["ann@example.org"], None, ())
    for form in forms(REQUESTS[language]):
        raw = CLIENTS[client].format(ann="ann@example.org", subject=form).encode()
        assert meaning(raw) == expected, form
        assert meaning(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")) == expected, form


@pytest.mark.parametrize("language", REQUESTS)
def test_the_same_request_in_the_body_alone_opts_nobody_out(language: str) -> None:
    for client in CLIENTS.values():
        raw = client.format(ann="ann@example.org", subject="My order 4711").encode()
        assert meaning(raw + b"\n" + REQUESTS[language].encode())[0] == "unrelated"


# --- the word in the subject


def with_subject(raw: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    """The mail with its first subject rewritten, or with a new one where it has none."""
    head, body = head_and_body(raw)
    if not _SUBJECT.search(head):
        return b"Subject:" + rewrite(b"") + b"\n" + raw
    head = _SUBJECT.sub(lambda field: field[1] + rewrite(field[2]), head, count=1)
    return head + body


WAYS_IN: dict[str, Callable[[bytes], bytes]] = {
    "before": lambda subject: b" unsubscribe," + subject,
    "after": lambda subject: subject.rstrip() + b"\n unsubscribe",
    "shouted": lambda subject: b" UNSUBSCRIBE!!! " + subject.lstrip(),
    "encoded": lambda subject: b" =?utf-8?B?dW5zdWJz?=\n =?utf-8?Q?cribe_?=" + subject,
    "instead": lambda _: b" unsubscribe",
}


@pytest.mark.parametrize("way", WAYS_IN)
def test_an_ordinary_mail_with_the_word_is_never_unrelated(way: str) -> None:
    ordinary = [name for name in RAW if VERDICTS[name]["verdict"] == "unrelated"]
    customers = [name for name in ordinary if VERDICTS[name]["rule"] != "own-address"]
    assert len(customers) > 100

    verdicts = {name: meaning(with_subject(RAW[name], WAYS_IN[way]), name)[0] for name in customers}

    assert {name for name in customers if verdicts[name] not in ("opt_out", "review")} == set()


def test_a_request_with_the_word_as_well_stays_a_request() -> None:
    """But for those marked as automatic: there only the word and nothing else is looked at."""
    asking = [name for name in RAW if VERDICTS[name]["verdict"] in ("opt_out", "review")]
    people = [name for name in asking if VERDICTS[name]["rule"] != "auto-reply"]
    verdicts = {
        name: meaning(with_subject(RAW[name], WAYS_IN["after"]), name)[0] for name in people
    }
    assert {name for name in people if verdicts[name] not in ("opt_out", "review")} == set()


@pytest.mark.parametrize("verdict", ["auto_reply", "bounce", "complaint"])
def test_a_machines_mail_with_the_word_means_what_it_meant(verdict: str) -> None:
    machines = [name for name in RAW if VERDICTS[name]["verdict"] == verdict]
    assert len(machines) >= 5
    for name in machines:
        changed = with_subject(RAW[name], WAYS_IN["after"])
        assert "unsubscribe" in read_message(changed).subject
        assert meaning(changed, name) == meaning(RAW[name], name), name


def test_a_report_under_the_word_alone_is_still_a_report() -> None:
    reports = [name for name in RAW if VERDICTS[name]["verdict"] in ("bounce", "complaint")]
    standard = [name for name in reports if b"multipart/report" in RAW[name]]
    for name in standard:
        changed = with_subject(RAW[name], WAYS_IN["instead"])
        assert meaning(changed, name) == meaning(RAW[name], name), name


# --- how a mail is written down

NOISE = (
    b"Received: from mx.example.net (mx.example.net [192.0.2.7])\n\tby mail.example with ESMTPS",
    b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=unsubscribe;\n h=From:Subject; b=Zm9v",
    b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.net; b=YmFy",
    b"X-Spam-Status: No, score=1.2 tests=UNSUBSCRIBE_SUBJECT",
    b"X-Originating-IP: [203.0.113.9]",
    b"X-Unsubscribe-Subject: unsubscribe",
    b"User-Agent: Alpine 2.26",
    b"Organization: =?utf-8?Q?abmelden_GmbH?=",
    b"Importance: normal",
    b"X-Subject: Abmelden",
)


@given(
    name=st.sampled_from(WELL_FORMED),
    noise=st.lists(st.sampled_from(NOISE), min_size=1, max_size=8),
    luck=st.randoms(use_true_random=False),
)
def test_other_peoples_header_fields_change_nothing(
    name: str, noise: list[bytes], luck: Random
) -> None:
    fields, body = fields_of(RAW[name])
    for field in noise:
        fields.insert(luck.randrange(len(fields) + 1), field + b"\n")
    assert meaning(b"".join(fields) + body, name) == meaning(RAW[name], name)


@given(name=st.sampled_from(WELL_FORMED), luck=st.randoms(use_true_random=False))
def test_the_order_of_header_fields_changes_nothing(name: str, luck: Random) -> None:
    """Fields of one name keep their order: which of two subjects stands first is a matter."""
    fields, body = fields_of(RAW[name])
    by_name: dict[bytes, list[bytes]] = {}
    for field in fields:
        by_name.setdefault(field.partition(b":")[0].strip().lower(), []).append(field)
    names = [each for each, same in by_name.items() for _ in same]
    luck.shuffle(names)
    shuffled = b"".join(by_name[each].pop(0) for each in names)
    assert meaning(shuffled + body, name) == meaning(RAW[name], name)


def test_line_ends_change_nothing() -> None:
    assert changed_by(lambda raw: raw.replace(b"\r\n", b"\n")) == []
    assert changed_by(lambda raw: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")) == []


@pytest.mark.parametrize("case", [bytes.lower, bytes.upper, bytes.title])
def test_the_case_of_field_names_changes_nothing(case: Callable[[bytes], bytes]) -> None:
    def rewrite(raw: bytes) -> bytes:
        fields, body = fields_of(raw)
        split = (field.partition(b":") for field in fields)
        return b"".join(case(name) + colon + value for name, colon, value in split) + body

    assert changed_by(rewrite) == []


def test_what_a_relay_adds_on_top_changes_nothing() -> None:
    trace = b"Return-Path: <someone@example.org>\nDelivered-To: help@shop.example\n"
    without = [name for name in WELL_FORMED if b"return-path" not in RAW[name].lower()]
    kept = [name for name in without if VERDICTS[name]["verdict"] != "bounce"]
    assert [
        name for name in kept if meaning(trace + RAW[name], name) != meaning(RAW[name], name)
    ] == []
