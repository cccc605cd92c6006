"""RFC 2047: turn a header's bytes and its `=?charset?q?…?=` words into text. Never raises.

Stricter readers lose words that customers wrote: a word split inside a character, an unknown
charset, a missing pad. Time is linear in the input, and only charsets named here are looked up
(Python keeps every unknown name it was asked for, for ever).
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import Final

_HEAD: Final = re.compile(r"=\?([^\s=?*]{0,60})(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?")
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/=]")
_NOT_FOREIGN: Final = re.compile("[\x00-\x7f\ufffd]+")
_LONGEST_LABEL: Final = 60
_PUNCTUATION: Final = re.compile(r"[^a-z0-9]+")
# Charsets by their labels without punctuation, with the codec that reads what their writers mean:
# often a larger set, GBK under the name of GB2312 and so on (as in WHATWG's Encoding, §4.2).
_CODECS: Final = {
    label: codec
    for codec, labels in {
        "utf-8": "utf8 utf8mb4 cp65001 unicode11utf8 ascii usascii iso646us ansix341968",
        "utf-7": "utf7 unicode11utf7 unicode20utf7",
        "utf-16": "utf16 unicode ucs2",
        "utf-16-be": "utf16be",
        "utf-16-le": "utf16le",
        "utf-32": "utf32",
        "gb18030": "gb2312 gb231280 gbk gb18030 euccn cp936 windows936 ms936",
        "hz": "hz hzgb2312",
        "cp950": "big5 cnbig5 big5eten",
        "big5hkscs": "big5hkscs",
        "cp949": "euckr ksc5601 ksc56011987 uhc",
        "cp932": "shiftjis sjis mskanji windows31j",
        "euc_jp": "eucjp",
        "iso2022_jp_ext": "iso2022jp iso2022jp1 iso2022jpms iso2022jpext iso2022jpesc"
        " windowsiso2022jp cp50220 cp50221 cp50222",
        "iso2022_jp_2": "iso2022jp2",
        "iso2022_jp_3": "iso2022jp3",
        "iso2022_jp_2004": "iso2022jp2004",
        "iso2022_kr": "iso2022kr",
        "koi8-r": "koi8 koi8r",
        "koi8-u": "koi8u koi8ru",
        "koi8-t": "koi8t",
        "cp874": "tis620",
        "mac-roman": "mac macroman macintosh",
        "mac-latin2": "macce maccentraleurope",
        "mac-cyrillic": "maccyrillic macukrainian",
        "mac-greek": "macgreek",
        "mac-turkish": "macturkish",
        "cp1252": "latin1",
    }.items()
    for label in labels.split()
}
_CODE_PAGE: Final = re.compile(r"(?:windows|win|cp|ibm|ms)(\d{3,4})")
_CODE_PAGES: Final = frozenset({
    437, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 866, 869, 874, 932, 949,
    950, 1125, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258,
})  # fmt: skip
_ISO_8859: Final = re.compile(r"(?:iso)?8859([1-9]|1[013-6])[ei]?")
_WINDOWS_FOR_ISO: Final = {"1": "cp1252", "9": "cp1254", "11": "cp874"}
_LATIN: Final = {
    "latin2": "2", "latin3": "3", "latin4": "4", "latin5": "9", "latin6": "10", "latin7": "13",
    "latin8": "14", "latin9": "15", "latin10": "16",
}  # fmt: skip
_Piece = tuple[str, str, str]  # codec, "b" or "q", text


def _codec(label: str) -> str:
    """The codec of that charset; "" where nobody knows it, or none is named."""
    return _codec_of(label.lower()) if 0 < len(label) <= _LONGEST_LABEL else ""


@lru_cache(maxsize=256)
def _codec_of(label: str) -> str:
    bare = _PUNCTUATION.sub("", label)
    for name in (bare, bare.removeprefix("x")):
        if name in _CODECS:
            return _CODECS[name]
        page = _CODE_PAGE.fullmatch(name)
        if page and int(page[1]) in _CODE_PAGES:
            return f"cp{page[1]}"
        iso = _ISO_8859.fullmatch(name)
        part = iso[1] if iso else _LATIN.get(name)
        if part:
            return _WINDOWS_FOR_ISO.get(part, f"iso8859-{part}")
    return ""


def decode_bytes(raw: bytes, charset: str = "", otherwise: str = "") -> str:
    """`raw` as text: by `charset`, else UTF-8, else by the charset `otherwise`, else Windows-1252.

    A charset is passed over where it is unknown; UTF-8 and ASCII also where the bytes are not it.
    """
    return _decode(raw, _codec(charset), otherwise)


def _decode(raw: bytes, codec: str, otherwise: str) -> str:
    if codec not in ("", "utf-8"):
        return _decode_as(raw, codec)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    lenient = raw.decode("utf-8", "replace")
    bad = lenient.removesuffix("\ufffd").count("\ufffd")  # cut inside the last character: still it
    if len(_NOT_FOREIGN.sub("", lenient)) > 3 * bad:
        return lenient
    hinted = _codec(otherwise)
    return _decode_as(raw, hinted if hinted not in ("", "utf-8") else "cp1252")


def _decode_as(raw: bytes, codec: str) -> str:
    if codec == "utf-16" and raw[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        # RFC 2781 §4.3: big-endian without a mark. Windows programs write the other one.
        high_if_little = raw[1::2]
        is_little = 2 * high_if_little.count(0) > len(high_if_little)
        codec = "utf-16-le" if is_little else "utf-16-be"
    # UTF-7 can spell half a character, which no database takes.
    return _HALF.sub("\ufffd", raw.decode(codec, "replace"))


def decode_header(raw: bytes, body_charset: str = "") -> str:
    """An unfolded header value as text, 8-bit bytes and encoded words read, NULs dropped.

    Bytes that are not UTF-8 are most likely in the charset of the body: old mail programs write
    both alike, and what they mean by it every reader shows.
    """
    if raw.isascii() and b"=?" not in raw and b"\x1b" not in raw:
        return raw.decode("ascii").replace("\x00", "")
    charset = "iso-2022-jp" if b"\x1b$" in raw else ""
    text = decode_bytes(raw, charset, body_charset)
    return decode_words(text, body_charset).replace("\x00", "")


def decode_words(text: str, body_charset: str = "") -> str:
    """`text` with its encoded words read; white space between two of them is no white space.

    Programs that encode what is encoded already are undone once: people read what comes out.
    """
    if "=?" not in text:
        return text
    once = _decode_words(text, body_charset)
    return _decode_words(once, body_charset) if once != text and "=?" in once else once


def _decode_words(text: str, body_charset: str) -> str:
    out: list[str] = []
    pending: list[_Piece] = []
    at = 0
    while (head := _HEAD.search(text, at)) is not None:
        end = text.find("?=", head.end())
        if end < 0:
            break
        between = text[at : head.start()]
        if between.strip() or not pending:
            out.append(_decode_run(pending, body_charset))
            pending = []
            out.append(between)
        pending.append((_codec(head[1]), head[2].lower(), text[head.end() : end]))
        at = end + 2
    out.append(_decode_run(pending, body_charset))
    out.append(text[at:])
    return "".join(out)


def _decode_run(pieces: list[_Piece], body_charset: str) -> str:
    """Adjacent words: bytes of one charset are joined first, as writers cut inside characters."""
    out: list[str] = []
    start = 0
    for index in range(1, len(pieces) + 1):
        if index == len(pieces) or pieces[index][0] != pieces[start][0]:
            run = pieces[start:index]
            out.append(_decode(_bytes_of(run), pieces[start][0], body_charset))
            start = index
    return "".join(out)


def _bytes_of(run: list[_Piece]) -> bytes:
    out: list[bytes] = []
    cut: list[str] = []  # a word cut inside a quantum of base64 goes on in the next one
    size = 0
    for _, encoding, text in run:
        if encoding == "b":
            bare = _NOT_BASE64.sub("", text)
            cut.append(bare)
            size += len(bare.rstrip("="))
            if size % 4 == 0 or bare.endswith("="):
                out.append(_base64("".join(cut)))
                cut, size = [], 0
        else:
            out.append(_base64("".join(cut)) + _q(text))
            cut, size = [], 0
    out.append(_base64("".join(cut)))
    return b"".join(out)


def _base64(text: str) -> bytes:
    bare = text.rstrip("=")
    if len(bare) % 4 == 1:
        bare = bare[:-1]
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4))
    except ValueError:
        return b""


def _q(text: str) -> bytes:
    raw = text.replace("_", " ").encode("utf-8", "surrogatepass")
    return _HEX.sub(lambda hit: bytes([int(hit[1], 16)]), raw)
