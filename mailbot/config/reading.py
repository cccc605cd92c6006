"""From the file (and the environment over it) to Settings, or every fault with its line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic_settings.exceptions import SettingsError

from mailbot.config.faults import dotted, unknown
from mailbot.config.settings import (
    ENVIRONMENT_PREFIX,
    PublicPageSettings,
    Settings,
    SettingsFile,
)
from mailbot.config.values import CONFIG_PATH
from mailbot.core.errors import ConfigError, ConfigFault

_Settings = TypeVar("_Settings", bound=SettingsFile)

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]")
_SETTING: Final = re.compile(r"\s*([\w-]+)\s*=")
_TOML_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path) -> Settings:
    """The settings in the file at `path`; environment variables win (MAILBOT_RELAY__HOST).

    Secrets are not read (see check_secrets). Raises ConfigError with all faults at once.
    """
    text = _read(path)
    return _load(path, text, _parse(path, text), Settings)


def load_public_page(path: Path) -> PublicPageSettings:
    """The few tables that the public page needs, of the same file or of one with these alone.

    The other tables are not looked at: what is wrong there is the daemon's affair. Raises
    ConfigError with all faults at once.
    """
    text = _read(path)
    others = _tables_of(Settings) - _tables_of(PublicPageSettings)
    data = {key: value for key, value in _parse(path, text).items() if key not in others}
    return _load(path, text, data, PublicPageSettings)


def _tables_of(model: type[SettingsFile]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def _load(path: Path, text: str, data: dict[str, Any], model: type[_Settings]) -> _Settings:
    # A leading underscore means an option of pydantic-settings to pydantic-settings.
    odd = [key for key in data if key.startswith("_")]
    faults = [ConfigFault(key, *unknown(key, (), Settings)) for key in odd]
    faults += _unknown_variables()
    context = CONFIG_PATH.set(path.absolute())
    try:
        settings = model(**{key: value for key, value in data.items() if key not in odd})
    except ConfigError as error:
        faults += error.faults
    except SettingsError as error:
        faults.append(_unreadable_variable(error))
    finally:
        CONFIG_PATH.reset(context)
    if faults:
        raise ConfigError(str(path), _placed(faults, _lines(text))) from None
    return settings


def _read(path: Path) -> str:
    what, write = "", ""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        what = "there is no such file."
        write = "Copy config/mailbot.toml there and fill it in, or name yours with --config."
    except IsADirectoryError:
        what, write = "this is a folder.", f"Name the file in it, like {path / 'mailbot.toml'}."
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        what = f"byte {error.object[error.start]:#04x} in line {before.count(10) + 1} is not UTF-8."
        write = "Save the file as UTF-8."
    except OSError as error:
        what = f"the file cannot be read ({error.strerror or error})."
        write = "Let the user that mailbot runs as read it."
    raise ConfigError(str(path), [ConfigFault("file", what, write)])


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _TOML_PLACE.search(message)
        line, column = (place[1], place[2]) if place and place[1] else (text.count("\n") + 1, 1)
        reason = _TOML_PLACE.sub("", message)
        what = f"line {line}, column {column} is not TOML ({reason})."
        fault = ConfigFault("syntax", what, _toml_advice(text, int(line)))
        raise ConfigError(str(path), [fault]) from error


def _toml_advice(text: str, line: int) -> str:
    lines = text.splitlines()
    written = lines[line - 1].strip() if line <= len(lines) else ""
    if re.match(r"[\w-]+\s*:", written):
        return 'Write key = value, with "=" instead of ":".'
    if re.match(r"[\w-]+\s*=\s*[^\s\"'\[{\d]", written):
        return 'Put text in quotes: key = "value".'
    return 'Write key = value; text in "quotes", lists in [brackets], comments after #.'


def _lines(text: str) -> dict[str, int]:
    """Where each table and setting stands: dotted key → line. Inline tables have no own entry."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table: tuple[int | str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            name = header[2]
            table = tuple(name.split("."))
            if header[1] == "[[":
                found.setdefault(name, number)
                table = (*table, counts.setdefault(name, 0))
                counts[name] += 1
            found.setdefault(dotted(table), number)
        elif setting := _SETTING.match(line):
            found.setdefault(dotted((*table, setting[1])), number)
    return found


def _placed(faults: list[ConfigFault], lines: Mapping[str, int]) -> list[ConfigFault]:
    """The faults in the order of the file, each with its line or its environment variable."""
    placed: list[tuple[int, ConfigFault]] = []
    for fault in faults:
        variable = _variable_of(fault.key)
        line = next((lines[key] for key in _outwards(fault.key) if key in lines), 0)
        place = f"environment variable {variable}" if variable else f"line {line}" if line else ""
        what = f"{fault.what.removesuffix('.')} ({place})." if place else fault.what
        placed.append((line or len(lines) ** 2 + 1, replace(fault, what=what)))
    return [fault for _, fault in sorted(placed, key=lambda pair: pair[0])]


def _outwards(key: str) -> Iterator[str]:
    """mailbox[0].port, then mailbox[0], then mailbox."""
    while key:
        yield key
        key = key[: max(key.rfind("."), key.rfind("["), 0)]


def _variable_of(key: str) -> str:
    """The environment variable that sets `key` (or the list it is part of), if there is one."""
    head = key.partition("[")[0]
    wanted = ENVIRONMENT_PREFIX + head.replace(".", "__").upper()
    return next(
        (name for name, value in os.environ.items() if name.upper() == wanted and value), ""
    )


def _unknown_variables() -> list[ConfigFault]:
    """MAILBOT_RELEY__HOST would go unheard otherwise."""
    faults = []
    for name in sorted(os.environ):
        table, separator, _ = name.upper().removeprefix(ENVIRONMENT_PREFIX).partition("__")
        is_ours = name.upper().startswith(ENVIRONMENT_PREFIX) and separator
        if is_ours and table.lower() not in _tables_of(Settings):
            faults.append(ConfigFault(name, *unknown(table.lower(), (), Settings)))
    return faults


def _unreadable_variable(error: SettingsError) -> ConfigFault:
    named = re.search(r'field "(\w+)"', str(error))
    field = Settings.model_fields.get(named[1]) if named else None
    table = (field.alias if field else None) or (named[1] if named else "…")
    return ConfigFault(
        f"{ENVIRONMENT_PREFIX}{table.upper()}",
        "the environment variable is not the JSON that a list or a table needs.",
        'Write it like \'["one", "two"]\', or set single values: MAILBOT_RELAY__HOST=….',
    )
