"""Which encoding a file of text is in: by its byte order mark, or by a name that somebody gave."""

from __future__ import annotations

import codecs
from typing import Final

from mailbot.core.errors import InputError

# The longer marks first: UTF-32's begins like UTF-16's.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def marked_encoding(beginning: bytes) -> tuple[bytes, str | None]:
    """The byte order mark that `beginning` starts with and its encoding; b"" and None without."""
    return next(((mark, name) for mark, name in _MARKS if beginning.startswith(mark)), (b"", None))


def known_encoding(name: str) -> str:
    """Python's own name of an encoding of text. Raises InputError for what is none."""
    try:
        "".encode(name)  # refuses base64 and its kind, which make no text
        return codecs.lookup(name).name
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"“{name}” is no encoding that mailbot knows.",
            where="--encoding",
            next_step="Try utf-8, cp1252, iso-8859-15 or utf-16.",
        ) from error
