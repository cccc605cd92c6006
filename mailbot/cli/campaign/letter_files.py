"""A letter as files: for a mail program, a browser and a text editor."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from pathlib import Path

from mailbot.cli.showing import console
from mailbot.core.errors import InputError


def parts_of(message: bytes) -> tuple[list[tuple[str, str]], str, str | None]:
    """Headers as a reader sees them, the text, and the HTML if there is any.

    Of our own letters alone: the standard library's modern policy raises on other people's.
    """
    parsed = message_from_bytes(message, policy=policy.default)
    bodies = {
        part.get_content_type(): part.get_content().replace("\r\n", "\n")
        for part in parsed.walk()
        if part.get_content_maintype() == "text"
    }
    headers = [(name, str(value)) for name, value in parsed.items()]
    return headers, bodies.get("text/plain", ""), bodies.get("text/html")


def save_letter(folder: Path, name: str, message: bytes) -> None:
    """Write NAME.eml, NAME.txt and NAME.html into `folder`, which is made where it is missing.

    Raises InputError where they cannot be written.
    """
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "letter"
    _, text, html = parts_of(message)
    files = {".eml": message, ".txt": text.encode()}
    if html is not None:
        files[".html"] = html.encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, content in files.items():
            (folder / f"{stem}{ending}").write_bytes(content)
    except OSError as error:
        raise InputError(
            f"the letter cannot be written there ({(error.strerror or str(error)).lower()}).",
            where=str(folder),
            next_step="Name a folder that you may write to.",
        ) from error
    names = ", ".join(f"{stem}{ending}" for ending in files)
    console().print(f"\nWritten to {folder}: {names}", soft_wrap=True)
