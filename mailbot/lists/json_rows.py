"""JSON as other systems' interfaces answer it: objects in a list, in a list of an object, or lines.

Objects are read one by one from the text as it comes: memory stays flat.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from mailbot.lists.lines import MAX_LINE, Batch

# What may stand around and between the objects: the answer's own frame, and its other members.
_FRAME: Final = re.compile(
    r'[\s,\[\]}]+|\{\s*"[^"\\]{1,80}"\s*:\s*(?=\[)'
    r'|"[^"\\]{1,80}"\s*:\s*(?:"(?:[^"\\]|\\.)*"|null|true|false|-?\d+)'
)
_decode: Final = json.JSONDecoder().raw_decode


def objects(batches: Iterable[Batch]) -> Iterator[tuple[int, dict[str, str] | None, str]]:
    """Each object: the number of its line, its texts by name in lower case, and its beginning.

    None where it cannot be read; reading then goes on with the next line.
    """
    held, number = "", 1  # the text that is not read yet, and the line where it begins
    for batch in batches:
        for index, line in enumerate(batch.lines):
            if index in batch.broken:
                yield batch.first + index, None, line
                continue
            if not held:
                number = batch.first + index
            held += line + "\n"
            held, found, number = _read(held, number)
            yield from found
    if held.strip():
        yield number, None, held[:200]


def _read(held: str, number: int) -> tuple[str, list[tuple[int, dict[str, str] | None, str]], int]:
    found: list[tuple[int, dict[str, str] | None, str]] = []
    at = 0
    while at < len(held):
        frame = _FRAME.match(held, at)
        if frame is not None:
            at = frame.end()
            continue
        if held[at] != "{":
            found.append((number + held.count("\n", 0, at), None, held[at : at + 200]))
            at = len(held)
            break
        try:
            value, end = _decode(held, at)
        except (ValueError, RecursionError):
            if len(held) - at > MAX_LINE:
                found.append((number + held.count("\n", 0, at), None, held[at : at + 200]))
                at = len(held)
            break
        texts = {str(name).lower(): _as_text(text) for name, text in value.items()}
        found.append((number + held.count("\n", 0, at), texts, held[at : min(end, at + 500)]))
        at = end
    return held[at:], found, number + held.count("\n", 0, at)


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
