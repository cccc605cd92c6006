"""RFC 2047: turn a header's bytes and its `=?charset?q?…?=` words into text. Never raises.

Stricter readers lose words that customers wrote: a word split inside a character, an unknown
charset, a missing pad. Time is linear in the input, and only charsets named here are looked up
(Python keeps every unknown name it was asked for, for ever).
"""

from __future__ import annotations

import base64
import re
from typing import Final

_HEAD: Final = re.compile(r"=\?([A-Za-z0-9_.:-]{1,40})(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?")
_CHARSET: Final = re.compile(
    r"utf-?(?:7|8|16|16le|16be|16-le|16-be|32)|us-ascii|ascii|ansi_x3\.4-1968|latin-?[1-9]"
    r"|iso-?8859-?\d{1,2}(?:-[ie])?|(?:windows|cp|ibm|x-cp)-?\d{3,5}|koi8-[rut]|tis-620"
    r"|gb2312|gbk|gb18030|hz-gb-2312|big5(?:-hkscs)?|euc-?(?:jp|kr)|shift[_-]?jis|x-sjis"
    r"|iso-2022-(?:jp(?:-\w{1,4})?|kr)|ks_c_5601-1987|mac(?:intosh|-?roman|-?cyrillic)?"
)
# Labels that writers use for the larger set: GBK under the name of GB2312, and so on.
_LARGER: Final = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "macintosh": "mac-roman",
}
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/=]")
_Piece = tuple[str, str, str]  # charset, "b" or "q", text


def decode_bytes(raw: bytes, charset: str = "") -> str:
    """`raw` as text: by `charset` where it is known and fits, else UTF-8, else Windows-1252."""
    name = charset.lower()
    if name and _CHARSET.fullmatch(name):
        try:
            # UTF-7 can spell half a character, which no database takes.
            return _HALF.sub("\ufffd", raw.decode(_LARGER.get(name, name)))
        except (LookupError, ValueError):
            if name not in ("utf-8", "utf8", "us-ascii", "ascii"):
                return _decode_leniently(raw, _LARGER.get(name, name))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decode_leniently(raw: bytes, charset: str) -> str:
    try:
        return _HALF.sub("\ufffd", raw.decode(charset, "replace"))
    except (LookupError, ValueError):
        return raw.decode("cp1252", "replace")


def decode_header(raw: bytes, body_charset: str = "") -> str:
    """An unfolded header value as text, 8-bit bytes and encoded words read, NULs dropped.

    Bytes that are not UTF-8 are most likely in the charset of the body: old mail programs write
    both alike, and what they mean by it every reader shows.
    """
    charset = "iso-2022-jp" if b"\x1b$" in raw else ""
    if body_charset and not raw.isascii() and not _is_utf8(raw):
        charset = body_charset
    return decode_words(decode_bytes(raw, charset)).replace("\x00", "")


def decode_words(text: str) -> str:
    """`text` with its encoded words read; white space between two of them is no white space."""
    if "=?" not in text:
        return text
    out: list[str] = []
    pending: list[_Piece] = []
    at = 0
    while (head := _HEAD.search(text, at)) is not None:
        end = text.find("?=", head.end())
        if end < 0:
            break
        between = text[at : head.start()]
        if between.strip() or not pending:
            out.append(_decode_run(pending))
            pending = []
            out.append(between)
        pending.append((head[1].lower(), head[2].lower(), text[head.end() : end]))
        at = end + 2
    out.append(_decode_run(pending))
    out.append(text[at:])
    return "".join(out)


def _decode_run(pieces: list[_Piece]) -> str:
    """Adjacent words: bytes of one charset are joined first, as writers cut inside characters."""
    out: list[str] = []
    start = 0
    for index in range(1, len(pieces) + 1):
        if index == len(pieces) or pieces[index][0] != pieces[start][0]:
            run = pieces[start:index]
            out.append(decode_bytes(_bytes_of(run), pieces[start][0]))
            start = index
    return "".join(out)


def _bytes_of(run: list[_Piece]) -> bytes:
    out: list[bytes] = []
    base64_text = ""
    for _, encoding, text in run:
        if encoding == "b":
            # A word cut inside a quantum of base64 goes on in the next one.
            base64_text += _NOT_BASE64.sub("", text)
            if len(base64_text.rstrip("=")) % 4 == 0 or base64_text.endswith("="):
                out.append(_base64(base64_text))
                base64_text = ""
        else:
            out.append(_base64(base64_text) + _q(text))
            base64_text = ""
    out.append(_base64(base64_text))
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
