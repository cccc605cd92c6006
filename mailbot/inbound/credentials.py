"""Secrets from files: systemd credentials, or files beside the configuration.

The configuration names secrets and never holds them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import structlog

from mailbot.core.errors import ConfigError, ConfigFault

LARGEST_SECRET = 64 * 1024  # bytes; whatever is larger is some other file

log = structlog.get_logger(__name__)


def read_secret(name: str | Path, config_dir: Path, *, key: str = "password_file") -> str:
    """The text of one secret, without its final line end.

    `key` is the setting that names it, for the error. Raises ConfigError when the file is missing,
    unreadable, empty, far too large or not UTF-8.
    """
    path = find_secret(name, config_dir)
    secret = read_secret_bytes(name, config_dir, key=key)
    try:
        text = secret.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault(key, f"the file {path} is not UTF-8 text.", "Save it as UTF-8.") from error
    return text.rstrip("\r\n")


def read_secret_bytes(name: str | Path, config_dir: Path, *, key: str = "password_file") -> bytes:
    """The bytes of one secret, as they stand in its file. Raises ConfigError as read_secret."""
    path = find_secret(name, config_dir)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(LARGEST_SECRET + 1)
    except FileNotFoundError as error:
        raise _fault(
            key,
            f"the file {path} does not exist.",
            f"Write the secret into it (chmod 600), or hand it over as the systemd credential "
            f"{path.name!r}.",
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _fault(
            key, f"the file {path} cannot be read ({reason}).", "Let mailbot's user read it."
        ) from error
    if not secret.strip():
        raise _fault(key, f"the file {path} is empty.", "Write the secret into it.")
    if len(secret) > LARGEST_SECRET:
        raise _fault(key, f"the file {path} is no secret: it is too large.", "Name the right file.")
    if mode & stat.S_IRWXO:
        log.warning("secret_readable_by_everyone", file=str(path), advice=f"chmod o-rwx {path}")
    return secret


def find_secret(name: str | Path, config_dir: Path) -> Path:
    """Where a secret stands.

    A bare name is looked for in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=), then beside the
    configuration; a path is taken as it is, relative to the configuration's folder.
    """
    path = Path(name).expanduser()
    if path.name != str(name):
        return config_dir / path  # an absolute path stays what it is
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / path).exists():
        return Path(credentials) / path
    return config_dir / path


def _fault(key: str, what: str, write: str) -> ConfigError:
    return ConfigError("secrets", [ConfigFault(key, what, write)])
