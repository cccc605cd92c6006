"""`recognise`: what mailbot makes of a mail, touching nothing."""

from __future__ import annotations

import json
import mailbox
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mailbot.core.errors import InputError


class Format(StrEnum):
    """How verdicts are printed."""

    TABLE = "table"
    JSONL = "jsonl"


def recognise(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, folders, mboxes.")],
    format: Annotated[Format, typer.Option(help="A table, or one JSON object a mail.")] = (
        Format.TABLE
    ),
) -> None:
    """Say what each mail would be taken for. Needs no configuration, and changes nothing.

    Example: mailbot recognise ~/Mail/strange.eml --format jsonl
    """
    from mailbot.core.inbound_message import read_message
    from mailbot.core.recognition import describe
    from mailbot.core.recognition import recognise as judge
    from mailbot.core.verdicts import Facts
    from mailbot.data import load_vocabulary

    facts = Facts(vocabulary=load_vocabulary())
    found: list[dict[str, object]] = []
    for name, raw in _mails(paths):
        verdict = {"file": name, **describe(judge(read_message(raw), facts))}
        if format is Format.JSONL:
            typer.echo(json.dumps(verdict, ensure_ascii=True))
        else:
            found.append(verdict)
    if format is Format.TABLE:
        _print_table(found)


def _mails(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if not path.exists():
            raise InputError("no such file or folder", where=str(path))
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                yield from _in_file(file)


def _in_file(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(file)) from error
    if not _is_mbox(file, raw):
        yield str(file), raw
        return
    box = mailbox.mbox(file, create=False)
    try:
        for key in box.iterkeys():
            yield f"{file}:{int(key) + 1}", box.get_bytes(key)
    finally:
        box.close()


def _is_mbox(file: Path, raw: bytes) -> bool:
    """A "From " line alone is no mbox: mails saved one by one begin with it as well."""
    if not raw.startswith(b"From "):
        return False
    return file.suffix == ".mbox" or raw.count(b"\n\nFrom ") > 0


def _print_table(found: list[dict[str, object]]) -> None:
    from mailbot.cli.showing import console, table

    rows = [
        (one["file"], one["verdict"], one["rule"], ", ".join(map(str, _list(one["addresses"]))),
         one["evidence"])
        for one in found
    ]  # fmt: skip
    console().print(table("", ["file", "verdict", "rule", "whom", "evidence"], rows))


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
