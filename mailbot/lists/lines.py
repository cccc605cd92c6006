"""A file of any size and encoding as numbered lines; a line has at most `MAX_LINE` bytes."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from mailbot.core.text_encodings import known_encoding, marked_encoding

MAX_LINE: Final = 65_536
_BLOCK: Final = 1 << 20
_SHOWN: Final = 200  # bytes of a line that is too long
UNREADABLE: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines without their ends; `first` is the number of the first, from 1.

    `broken` names those that are no line, by their index: what is wrong.
    """

    first: int
    lines: list[str]
    broken: dict[int, str]


@dataclass(slots=True)
class LineReader:
    """Reads `file` once. `digest` then covers its bytes; `fallbacks` counts lines in Windows-1252.

    Without an `encoding` the byte order mark tells it, else each line is UTF-8, and Windows-1252
    where it cannot be.
    """

    file: BinaryIO
    encoding: str | None = None
    progress: Callable[[int], None] | None = None
    digest: str = ""
    fallbacks: int = 0
    _number: int = 1
    _newline: bytes = b"\n"

    def batches(self) -> Iterator[Batch]:
        """Every line. Raises InputError where the encoding is not known."""
        rest, beginning = b"", None  # `beginning`: of a line that is too long, until its end
        for block in self._blocks():
            data = rest + block
            if beginning is not None:
                end = data.find(self._newline)
                if end < 0:
                    rest = b""
                    continue
                yield self._too_long(beginning)
                data, beginning = data[end + 1 :], None
            end = data.rfind(self._newline) + 1
            rest = data[end:]
            if len(rest) > MAX_LINE:
                beginning, rest = rest[:_SHOWN], b""
            if end:
                yield self._batch(data[: end - 1])
        if beginning is not None:
            yield self._too_long(beginning)
        elif rest:
            yield self._batch(rest)

    def _blocks(self) -> Iterator[bytes]:
        """The file as UTF-8, or as an encoding that is read line by line."""
        digest = hashlib.sha256()
        decoder: codecs.IncrementalDecoder | None = None
        is_first, done = True, 0
        while block := self.file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            if is_first:
                is_first = False
                block, decoder = self._begin(block)
            if decoder is not None:
                block = decoder.decode(block).removeprefix("\ufeff").encode("utf-8", "replace")
            yield block
            if self.progress is not None:
                self.progress(done)
        if decoder is not None and (left := decoder.decode(b"", final=True)):
            yield left.encode("utf-8", "replace")
        self.digest = digest.hexdigest()

    def _begin(self, block: bytes) -> tuple[bytes, codecs.IncrementalDecoder | None]:
        mark, marked = marked_encoding(block)
        name = self.encoding or marked
        known = known_encoding(name) if name else "utf-8"
        decoder = (
            None if known == "utf-8" else codecs.getincrementaldecoder(known)(errors="replace")
        )
        sample = (
            block.removeprefix(mark)
            if decoder is None
            else decoder.decode(block).encode("utf-8", "replace")
        )
        if b"\n" not in sample and b"\r" in sample:
            self._newline = b"\r"  # as old Macs wrote
        if decoder is not None:
            decoder.reset()
            return block, decoder
        return sample, None

    def _too_long(self, beginning: bytes) -> Batch:
        batch = Batch(
            self._number,
            [beginning.decode("utf-8", "replace")],
            {0: f"is longer than {MAX_LINE // 1024} KB"},
        )
        self._number += 1
        return batch

    def _batch(self, data: bytes) -> Batch:
        newline = self._newline.decode()
        try:
            text = data.decode()
            lines = text.replace("\r\n", "\n").split(newline)
        except UnicodeDecodeError:
            lines = [self._decoded(line) for line in data.split(self._newline)]
        lines[-1] = lines[-1].removesuffix("\r")  # its line feed went with the block's end
        broken: dict[int, str] = {}
        if max(map(len, lines)) > MAX_LINE:
            for index, line in enumerate(lines):
                if len(line) > MAX_LINE:
                    broken[index] = f"is longer than {MAX_LINE // 1024} KB"
                    lines[index] = line[:_SHOWN]
        batch = Batch(self._number, lines, broken)
        self._number += len(lines)
        return batch

    def _decoded(self, line: bytes) -> str:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self.fallbacks += 1
            text = line.decode("cp1252", "replace")
        return text.removesuffix("\r")
