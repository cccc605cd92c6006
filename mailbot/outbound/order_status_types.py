"""The order-status types: mailbot's own templates, and the admin's folder over them.

The type decides what a message is: only allow-listed types exist, so no flag can turn an offer
into order status (invariant 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from mailbot.core.errors import NotFoundError, TemplateError
from mailbot.core.preflight import Severity, order_status_faults
from mailbot.core.templates import Template, parse_template

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_PLACE: Final = re.compile(r"(?P<name>.+?) \((?P<part>subject|text|html)\)(?P<rest>.*)", re.DOTALL)


class OrderStatusTypes:
    """The allow-listed types and their templates."""

    def __init__(self, templates_dir: Path | None = None) -> None:
        """Reads every template.

        The folder's NAME.txt and NAME.html are a type of their own, or stand in place of the
        shipped ones; its files that begin with “_” may be included. A NAME.txt without NAME.html
        is sent as text alone. Raises TemplateError, naming file and line, for one that cannot be
        read, or that reads as an offer (16 CFR 316.3).
        """
        self._templates = _read(templates_dir) if templates_dir else _shipped()

    @property
    def names(self) -> list[str]:
        """The types that may be handed over."""
        return sorted(self._templates)

    def template(self, type_name: str) -> Template:
        """The template of a type. Raises NotFoundError, which lists the types there are."""
        try:
            return self._templates[type_name]
        except KeyError:
            raise NotFoundError(
                f"“{type_name}” is no order-status type",
                next_step=f"The types are: {', '.join(self.names)}.",
            ) from None


@cache
def _shipped() -> dict[str, Template]:
    """Mailbot's own, compiled once a process."""
    return _read(None)


def _read(templates_dir: Path | None) -> dict[str, Template]:
    shipped = _sources(resources.files("mailbot") / "data" / "order_status")
    own = _sources(templates_dir) if templates_dir else {}
    _refuse_bad_names(own, shipped, templates_dir)
    for name in own:
        if name.endswith(".txt"):
            shipped.pop(name.replace(".txt", ".html"), None)
    sources = {**own, **{name: text for name, text in shipped.items() if name not in own}}
    shared = {name: text for name, text in sources.items() if name.startswith("_")}
    templates = {}
    for name, text in sources.items():
        if name.endswith(".txt") and not name.startswith("_"):
            type_name = name.removesuffix(".txt")
            with _by_file(templates_dir, own):
                templates[type_name] = _parsed(type_name, text, sources, shared)
    return templates


def _parsed(
    name: str, text: str, sources: Mapping[str, str], shared: Mapping[str, str]
) -> Template:
    template = parse_template(name, text, sources.get(f"{name}.html"), shared=shared)
    for fault in order_status_faults(template):
        if fault.severity is Severity.ERROR:
            raise TemplateError(fault.what, where=fault.where, next_step=fault.next_step)
    return template


def _refuse_bad_names(
    own: Mapping[str, str], shipped: Mapping[str, str], folder: Path | None
) -> None:
    for name in own:
        type_name = name.rpartition(".")[0]
        if name.startswith("_"):
            continue
        if not _NAME.fullmatch(type_name):
            raise TemplateError(
                "this file's name is no name of a type.",
                where=str(folder and folder / name),
                next_step="Use small letters, digits, “_” and “-”, at most 60, a letter first.",
            )
        if f"{type_name}.txt" not in {**shipped, **own}:
            raise TemplateError(
                f"there is HTML and no text for the type “{type_name}”.",
                where=str(folder and folder / name),
                next_step=f"Write {type_name}.txt beside it, its subject in the first line:"
                " some people and many filters read nothing else.",
            )


@contextmanager
def _by_file(folder: Path | None, own: Mapping[str, str]) -> Iterator[None]:
    """Turn the place in an error, like “shipped (text), line 3”, into the admin's file."""
    try:
        yield
    except TemplateError as error:
        where = error.where
        if found := _PLACE.fullmatch(where):
            ending = "html" if found["part"] == "html" else "txt"
            subject = ", line 1" if found["part"] == "subject" else ""
            where = f"{found['name']}.{ending}{subject}{found['rest']}"
        elif f"{where.partition(',')[0]}.txt" in own:
            name, comma, rest = where.partition(",")
            where = f"{name}.txt{comma}{rest}"
        if folder is not None and where.partition(",")[0] in own:
            where = str(folder / where)
        raise TemplateError(error.what, where=where, next_step=error.next_step) from error


def _sources(folder: Traversable | Path) -> dict[str, str]:
    sources = {}
    for entry in folder.iterdir():
        if entry.is_file() and entry.name.endswith((".txt", ".html")):
            try:
                sources[entry.name] = entry.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise TemplateError(
                    "this file is not UTF-8", where=str(entry), next_step="Save it as UTF-8."
                ) from error
            except OSError as error:
                raise TemplateError(
                    f"this file cannot be read ({error.strerror}).",
                    where=str(entry),
                    next_step="Give mailbot's user the right to read it.",
                ) from error
    return sources
