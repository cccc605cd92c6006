"""Passwords and keys: the configuration names them, files hold them, nobody else may read them.

A bare name is looked for in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=), else beside the
configuration file; anything with a slash is a path, relative to that file's folder.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from mailbot.config.settings import PublicPageSettings, Settings, SettingsFile
from mailbot.core.dkim import DkimIdentity
from mailbot.core.errors import ConfigError, ConfigFault, InputError
from mailbot.core.person import PersonKey
from mailbot.core.tokens import TokenKey, TokenKeys

KEY_DIGITS: Final = 64  # 32 bytes in hex
_LARGEST_SECRET: Final = 64 * 1024  # bytes; OAuth tokens stay far below
_BEARER_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1


def secret_path(name: str, config_path: Path) -> Path:
    """Where the secret `name` stands, whether or not it is there."""
    path = Path(name).expanduser()
    beside = config_path.absolute().parent / path  # an absolute path stays what it is
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if "/" in name or not credentials:
        return beside
    credential = Path(credentials) / name
    try:
        credential.stat()
    except FileNotFoundError:
        return beside
    except OSError:
        pass  # there, but barred: reading it will say so
    return credential


def read_secret(settings: SettingsFile, name: str, *, key: str = "password_file") -> str:
    """The one line of the secret `name`, without its line end.

    `key` is the setting that names it, for the error. Raises ConfigError when the file is missing,
    unreadable, empty, more than one line, not UTF-8, or readable by everybody on the machine.
    """
    path = secret_path(name, settings.path)
    if_missing = f"Write the password into it, on one line, and run chmod o-rwx {path}."
    return _read(settings, path, key, if_missing)


def read_relay_secret(settings: Settings) -> str | None:
    """The relay's password, or its OAuth token as it stands now; None where no login is asked for.

    Raises ConfigError like `read_secret`, and where the file holds no bearer token (RFC 6750).
    """
    relay = settings.relay
    if relay.oauth_token_file is not None:
        return _read_token(settings, relay.oauth_token_file)
    if relay.password_file is not None:
        return read_secret(settings, relay.password_file, key="relay.password_file")
    return None


def load_person_key(settings: Settings) -> PersonKey:
    """The key of every person hash. Raises ConfigError: missing, malformed, readable by all."""
    return PersonKey(_read_key(settings, settings.keys.person_file, "keys.person_file"))


def load_token_keys(settings: Settings | PublicPageSettings) -> TokenKeys:
    """The keys of all tokens. Raises ConfigError with the faults of every key at once."""
    faults: list[ConfigFault] = []
    keys: list[TokenKey] = []
    for index, entry in enumerate(settings.keys.tokens):
        try:
            secret = _read_key(settings, entry.file, f"keys.tokens[{index}].file")
        except ConfigError as error:
            faults += error.faults
        else:
            keys.append(TokenKey(entry.id, secret, entry.revoked))
    if faults:
        raise ConfigError(str(settings.path), faults)
    return TokenKeys(tuple(keys))


def load_dkim_keys(settings: Settings) -> tuple[DkimIdentity, ...]:
    """Who answers for our mail, one for each [[dkim]]. Raises ConfigError with all their faults."""
    if not settings.dkim:
        return ()  # the library of cryptography takes its time to load
    from mailbot.config.dkim_keys import read_key

    faults: list[ConfigFault] = []
    identities = []
    for index, entry in enumerate(settings.dkim):
        path, key = secret_path(entry.key_file, settings.path), f"dkim[{index}].key_file"
        make = f"Make it: mailbot keys dkim {entry.selector} {entry.domain} --to {path}"
        try:
            pem = _read(settings, path, key, make, is_one_line=False)
            identities.append(DkimIdentity(entry.domain, entry.selector, read_key(pem)))
        except ConfigError as error:
            faults += error.faults
        except InputError as error:
            faults.append(ConfigFault(key, f"{path}: {error.what}", error.next_step))
    if faults:
        raise ConfigError(str(settings.path), faults)
    return tuple(identities)


def check_secrets(settings: Settings, *, with_audiences: bool = False) -> None:
    """Read every secret once. Raises ConfigError with all faults: what a start would trip over.

    The URLs of audiences only where they are asked for: opt-outs are heard without them.
    """
    named = [
        (f"mailbox[{index}].password_file", box.password_file)
        for index, box in enumerate(settings.mailboxes)
    ]
    named += [
        (f"audience[{index}].url_file", source.url_file)
        for index, source in enumerate(settings.audiences)
        if with_audiences and source.url_file is not None
    ]
    readers: list[Callable[[], object]] = [
        partial(read_secret, settings, name, key=key) for key, name in named
    ]
    readers += [
        partial(read, settings)
        for read in (read_relay_secret, load_person_key, load_token_keys, load_dkim_keys)
    ]
    faults: list[ConfigFault] = []
    for read in readers:
        try:
            read()
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(str(settings.path), faults)


def _read_token(settings: Settings, name: str) -> str:
    # Never from systemd's credentials: they are a copy from the start, and a token ends in an hour.
    path = settings.path.parent / Path(name).expanduser()
    key = "relay.oauth_token_file"
    if_missing = "Let what refreshes the token write it there, on one line; start that first."
    token = _read(settings, path, key, if_missing).strip()
    if not _BEARER_TOKEN.fullmatch(token):
        what = f"what stands in {path} is no bearer token."
        write = "Write the access token alone, without JSON, quotes or a word before it."
        raise ConfigError(str(settings.path), [ConfigFault(key, what, write)])
    return token


def _read_key(settings: SettingsFile, name: str, key: str) -> bytes:
    path = secret_path(name, settings.path)
    if_missing = f"Make the keys with `mailbot keys create {path.parent}`."
    text = _read(settings, path, key, if_missing).strip()
    if not re.fullmatch("[0-9A-Fa-f]*", text):
        what = f"{path} holds something else than hex digits (0-9, a-f)."
    elif len(text) != KEY_DIGITS:
        size = "short" if len(text) < KEY_DIGITS else "long"
        what = f"the key in {path} is too {size}: {len(text)} hex digits instead of {KEY_DIGITS}."
    else:
        return bytes.fromhex(text)
    # Never "make a new one": a new person key would mail everybody who was erased.
    write = "Put the right file back; a new key would not know whom the old one named."
    raise ConfigError(str(settings.path), [ConfigFault(key, what, write)])


def _read(
    settings: SettingsFile, path: Path, key: str, if_missing: str, *, is_one_line: bool = True
) -> str:
    what, write = "", ""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST_SECRET + 1)
        text = content.decode().rstrip("\r\n")
    except FileNotFoundError:
        what, write = f"the file {path} does not exist.", if_missing
    except OSError as error:
        what = f"the file {path} cannot be read ({error.strerror or error})."
        write = "Run mailbot as a user that may read it, or through systemd's LoadCredential=."
    except UnicodeDecodeError:
        what, write = f"the file {path} is not UTF-8 text.", "Save it as UTF-8."
    else:
        if mode & stat.S_IROTH and _is_open_to_all(path):
            what = f"everybody on this machine can read the secret in {path}."
            write = f"Run chmod o-rwx {path}; replace a password that others may have read."
        elif not text.strip():
            what, write = f"the file {path} is empty.", if_missing
        elif len(content) > _LARGEST_SECRET or "\x00" in text or (is_one_line and "\n" in text):
            more = "one line of text" if is_one_line else "a key"
            what, write = f"{path} is more than {more}.", "Name the right file."
        else:
            return text
    raise ConfigError(str(settings.path), [ConfigFault(key, what, write)])


def _is_open_to_all(path: Path) -> bool:
    """May others walk every folder down to the file? A private folder protects what is in it."""
    try:
        folders = path.resolve().parents
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)
    except OSError:
        return False  # barred to us, so to others
