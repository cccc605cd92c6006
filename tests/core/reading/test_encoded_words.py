"""RFC 2047 as it is written in the wild."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbot.core.reading.encoded_words import decode_bytes, decode_header, decode_words


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("=?utf-8?q?a_b?=", "a b"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        ("=?utf-8?b?w6?= =?utf-8?b?k=?=", "é"),
        ("=?UTF-8?B?w6k=?=", "é"),
        ("=?gb2312?B?yc/Wsg==?=", "上植"),
        ("=?nonsense?q?abc?=", "abc"),
        ("=?utf-8?q?abc", "=?utf-8?q?abc"),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ("=?utf-8?q?Really??= yes", "Really? yes"),
        ("=?utf-8?q?un?==?utf-8?q?sub?=", "unsub"),
        ("=?utf-8?q?un?=\t =?UTF8?q?sub?=", "unsub"),
        ("=?utf-8*en?q?unsub?= =?utf-8*EN-gb?B?c2NyaWJl?=", "unsubscribe"),
        ("=?utf-8?Q?please unsubscribe me?=", "please unsubscribe me"),
        ("=?utf-8?B?dW5zdWJz Y3JpYmU= ?=", "unsubscribe"),
        ("=?utf-8?B? dW5zdWJzY3JpYmU?=", "unsubscribe"),
        ('"=?utf-8?q?unsub?=" x', '"unsub" x'),
        ("=?utf-8?q?d=C3=A9?= =?iso-8859-1?q?sabonn=E9?=", "désabonné"),
        ("=?utf-8?q??=a", "a"),
        ("a=?utf-8?q?b?=c", "abc"),
        ("=?=?utf-8?q?a?=", "=?a"),
        ("plain", "plain"),
    ],
)
def test_a_word_is_decoded(written: str, expected: str) -> None:
    assert decode_words(written) == expected


# Each says "stop the mail" in the language of its charset, as some writer really labels it.
IN_CHARSETS = {
    "utf-8": ("退订", "utf-8"),
    "UTF8": ("退订", "utf-8"),
    "utf8mb4": ("退订", "utf-8"),
    "utf-7": ("Désabonner", "utf-7"),
    "unicode-1-1-utf-7": ("Désabonner", "utf-7"),
    "x-unicode-2-0-utf-7": ("Désabonner", "utf-7"),
    "utf-16": ("退订", "utf-16"),
    "utf-16be": ("退订", "utf-16-be"),
    "UTF-16LE": ("退订", "utf-16-le"),
    "utf-32": ("退订", "utf-32"),
    "gb2312": ("退订", "gbk"),
    "gb_2312-80": ("退订", "gbk"),
    "x-gbk": ("退订", "gbk"),
    "cp936": ("退订", "gbk"),
    "gb18030": ("退订", "gb18030"),
    "hz-gb-2312": ("退订", "hz"),
    "HZ": ("退订", "hz"),
    "big5": ("取消訂閱", "big5"),
    "x-big5": ("取消訂閱", "big5"),
    "big5-hkscs": ("取消訂閱", "big5hkscs"),
    "iso-2022-jp": ("配信停止", "iso2022_jp"),
    "ISO-2022-JP-1": ("配信停止", "iso2022_jp_1"),
    "iso-2022-jp-2": ("配信停止", "iso2022_jp_2"),
    "iso-2022-jp-3": ("配信停止", "iso2022_jp_3"),
    "iso-2022-jp-2004": ("配信停止", "iso2022_jp_2004"),
    "iso-2022-jp-ms": ("配信停止", "iso2022_jp"),
    "cp50220": ("配信停止", "iso2022_jp"),
    "cp50221": ("配信停止", "iso2022_jp"),
    "x-windows-iso2022jp": ("配信停止", "iso2022_jp"),
    "_iso-2022-jp$ESC": ("配信停止", "iso2022_jp"),
    "shift_jis": ("配信停止", "shift_jis"),
    "x-sjis": ("配信停止", "cp932"),
    "windows-31j": ("配信停止", "cp932"),
    "MS932": ("配信停止", "cp932"),
    "euc-jp": ("配信停止", "euc_jp"),
    "x-euc-jp": ("配信停止", "euc_jp"),
    "iso-2022-kr": ("수신거부", "iso2022_kr"),
    "euc-kr": ("수신거부", "euc_kr"),
    "ks_c_5601-1987": ("수신거부", "cp949"),
    "ksc5601": ("수신거부", "cp949"),
    "x-windows-949": ("수신거부", "cp949"),
    "koi8-r": ("Отписаться", "koi8-r"),
    "koi8r": ("Отписаться", "koi8-r"),
    "koi8-u": ("Відписатися", "koi8-u"),
    "windows-1251": ("Отписаться", "cp1251"),
    "win-1251": ("Отписаться", "cp1251"),
    "cp1251": ("Отписаться", "cp1251"),
    "x-mac-cyrillic": ("Отписаться", "mac-cyrillic"),
    "iso-8859-5": ("Отписаться", "iso8859-5"),
    "ibm866": ("Отписаться", "cp866"),
    "x-mac-roman": ("Désabonner", "mac-roman"),
    "macintosh": ("Désabonner", "mac-roman"),
    "cp-850": ("Désabonner", "cp850"),
    "IBM-850": ("Désabonner", "cp850"),
    "iso-8859-1": ("l’“abonné” à 5 €", "cp1252"),
    "ISO_8859-1": ("Désabonner", "latin-1"),
    "latin1": ("Désabonner", "latin-1"),
    "iso-8859-15": ("Désabonner à 5 €", "iso8859-15"),
    "us-ascii": ("Désabonner", "latin-1"),
    "iso-8859-2": ("Odhlásit se z odběru", "iso8859-2"),
    "windows-1250": ("Wypisz się", "cp1250"),
    "iso-8859-9": ("Aboneliği sonlandır, çık", "iso8859-9"),
    "windows-1253": ("Διαγραφή", "cp1253"),
    "iso-8859-8-i": ("הסרה", "iso8859-8"),
    "windows-1256": ("إلغاء الاشتراك", "cp1256"),
    "windows-874": ("ยกเลิก", "cp874"),
    "tis-620": ("ยกเลิก", "tis-620"),
    "x-unknown": ("Désabonner", "utf-8"),
    "unknown-8bit": ("Désabonner", "latin-1"),
    "x-user-defined": ("退订", "utf-8"),
    "": ("退订", "utf-8"),
}


@pytest.mark.parametrize("charset", IN_CHARSETS)
def test_a_word_is_read_by_whatever_name_its_charset_goes(charset: str) -> None:
    text, codec = IN_CHARSETS[charset]
    raw = text.encode(codec)
    quoted = "".join(f"={byte:02X}" for byte in raw)
    assert decode_words(f"=?{charset}?B?{base64.b64encode(raw).decode()}?=") == text
    assert decode_words(f"=?{charset}*xx?q?{quoted}?=") == text


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_utf_16_without_a_mark_is_read_in_its_order(order: str) -> None:
    raw = base64.b64encode("Please unsubscribe".encode(order)).decode()
    assert decode_words(f"=?utf-16?b?{raw}?=") == "Please unsubscribe"


@pytest.mark.parametrize(
    ("charset", "text"),
    [("utf-8", "退订"), ("shift_jis", "配信停止"), ("gb18030", "退订"), ("big5", "取消訂閱"),
     ("euc-kr", "수신거부"), ("iso-2022-jp", "配信停止"), ("utf-16-be", "退订")],
)  # fmt: skip
def test_a_word_may_be_cut_between_any_two_bytes(charset: str, text: str) -> None:
    raw = text.encode(charset)
    for at in range(1, len(raw)):
        quoted = ["".join(f"={byte:02x}" for byte in half) for half in (raw[:at], raw[at:])]
        assert decode_words(f"=?{charset}?q?{quoted[0]}?= =?{charset}?Q?{quoted[1]}?=") == text
        assert decode_words(f"=?{charset}?q?{quoted[0]}?==?{charset}*zh?Q?{quoted[1]}?=") == text
    encoded = base64.b64encode(raw).decode()
    for at in range(1, len(encoded)):
        halves = f"=?{charset}?b?{encoded[:at]}?= =?{charset}?B?{encoded[at:]}?="
        assert decode_words(halves) == text


def test_what_is_cut_off_inside_a_character_costs_that_character_alone() -> None:
    """Servers cut long subjects by bytes."""
    assert decode_header("退订".encode() + b"\xe9\x82") == "退订\ufffd"
    assert decode_header(b"=?utf-8?q?=E9=80=80=E8=AE=A2=E9?=") == "退订\ufffd"
    assert decode_header("退订".encode("gbk") + b"\xd3", "gb2312") == "退订\ufffd"


def test_a_sign_that_its_charset_lacks_costs_that_sign_alone() -> None:
    raw = base64.b64encode(b"\x1b$BG[?.-!Dd;_\x1b(B").decode()
    assert decode_words(f"=?iso-2022-jp?b?{raw}?=") == "配信\ufffd停止"


def test_words_that_were_encoded_twice_are_read_and_no_deeper() -> None:
    words = ["Désabonner"]
    for _ in range(3):
        words.append(f"=?utf-8?B?{base64.b64encode(words[-1].encode()).decode()}?=")
    assert decode_words(words[1]) == "Désabonner"
    assert decode_words(words[2]) == "Désabonner"
    assert decode_words(words[3]) == words[1]


@given(st.text(max_size=60), st.sampled_from(["utf-8", "utf-16be", "utf-7"]))
def test_what_was_encoded_reads_back(text: str, charset: str) -> None:
    try:
        raw = text.encode(charset)
        raw.decode(charset)
    except UnicodeError:
        return
    encoded = base64.b64encode(raw).decode()
    expected = text.replace("\x00", "")
    assert decode_header(f"=?{charset}?B?{encoded}?=".encode()) == expected


SHIFTS = st.sampled_from(b"\x1b$()B~{}+-AZ\x00\x0e\x0f\x80\x8e\xff\xd8\xdc\n.NO")


@given(
    st.binary(max_size=200) | st.lists(SHIFTS, max_size=30).map(bytes),
    st.sampled_from(sorted(IN_CHARSETS)) | st.text(max_size=20),
    st.sampled_from(sorted(IN_CHARSETS)),
)
@settings(max_examples=500)
def test_any_bytes_in_any_charset_are_text(raw: bytes, charset: str, otherwise: str) -> None:
    decode_bytes(raw, charset, otherwise).encode("utf-8")


@pytest.mark.parametrize("charset", ["idna", "punycode", "unicode_escape", "undefined", "rot13"])
def test_only_charsets_of_mail_are_looked_up(charset: str) -> None:
    assert decode_bytes(b"abc", charset) == "abc"


@given(st.binary(max_size=400))
def test_any_header_is_decoded(raw: bytes) -> None:
    decode_header(raw).encode("utf-8")


def test_bytes_that_are_not_utf8_are_read_in_the_charset_of_the_body() -> None:
    """Old mail programs write a subject raw, in the charset they write the text in."""
    for charset, text in (("windows-1251", "Отписаться"), ("gb2312", "退订"), ("koi8-r", "стоп")):
        raw = text.encode(charset)
        assert decode_header(raw, charset) == text
    assert decode_header("désabonner".encode(), "koi8-r") == "désabonner"
    assert decode_header(b"=?unknown-8bit?q?=D3=D4=CF=D0?=", "koi8-r") == "стоп"
    assert decode_header(b"d\xe9sabonner", "x-nobody-knows") == "désabonner"
