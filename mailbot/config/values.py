"""What one value must look like: addresses, hosts, domains, files, numbers.

A check raises InputError(what, next_step=...); pydantic collects it, and faults.py passes both on.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, StringConstraints

from mailbot.core import quiet_hours
from mailbot.core.address import parse_address
from mailbot.core.errors import AddressError, InputError

# Where relative paths start: the folder of the file that is being read.
CONFIG_PATH: ContextVar[Path] = ContextVar("CONFIG_PATH", default=Path("mailbot.toml"))

Security = Literal["tls", "starttls", "none"]

# Anybody can have an address there: mail from it says nothing about who works for the shop.
_FREE_MAIL: Final = """
    126.com 163.com aol.com att.net bluewin.ch bol.com.br btinternet.com comcast.net fastmail.com
    free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hey.com
    hotmail.com hotmail.co.uk hotmail.de hotmail.fr icloud.com inbox.lv laposte.net libero.it
    live.com mac.com mail.com mail.ru mailbox.org me.com msn.com naver.com o2.pl orange.fr
    outlook.com outlook.de pm.me posteo.de proton.me protonmail.com qq.com rediffmail.com
    rocketmail.com seznam.cz sfr.fr sina.com t-online.de tutanota.com tuta.com uol.com.br
    verizon.net virgilio.it wanadoo.fr web.de wp.pl yahoo.co.jp yahoo.co.uk yahoo.com yahoo.de
    yahoo.fr yandex.com yandex.ru ymail.com zoho.com
"""
FREE_MAIL_DOMAINS: Final = frozenset(_FREE_MAIL.split())

# RFC 8314 §3.3 and §7: these two speak TLS at once, the others start in plain text.
_TLS_AT_ONCE: Final = frozenset({465, 993})
_PLAIN_AT_FIRST: Final = frozenset({25, 143, 587})

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")

# RFC 5321 §4.5.3.1.1 allows 64 octets left of the "@"; help+u-TOKEN@ needs 50 of them.
_SELECTOR: Final = re.compile(
    r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*", re.IGNORECASE
)
_LONGEST_SELECTOR: Final = 63
_LONGEST_HELP_LOCAL_PART: Final = 64 - len("+u-") - 47


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise InputError(
            "holds a line break or another control character.", next_step="Write it on one line."
        )
    return text


def _address(text: str) -> str:
    if not _is_bare(text):
        raise InputError(
            f"{text[:80]!r} is not one address.",
            next_step='Write the address alone, like "help@shop.example".',
        )
    return text


def _is_bare(address: str) -> bool:
    """Is it an address and nothing around or inside it? `parse_address` is kinder, to mail."""
    try:
        return parse_address(address).text == address
    except AddressError:
        return False


def _help_address(text: str) -> str:
    local_part = parse_address(text).local_part
    if "+" in local_part:
        raise InputError(
            f'{text!r} has a "+tag"; mailbot adds tags of its own.',
            next_step="Write it without the tag.",
        )
    if len(local_part.encode()) > _LONGEST_HELP_LOCAL_PART:
        raise InputError(
            f'{local_part!r} is too long: mailbot adds a tag of 50 characters left of the "@", '
            "and mail servers take 64 in all.",
            next_step=f"Give the mailbox an alias of at most {_LONGEST_HELP_LOCAL_PART} characters "
            'left of the "@", and write that.',
        )
    return text


def _own_domain(text: str) -> str:
    if not _is_bare(f"x@{text}"):
        raise InputError(
            f"{text[:80]!r} is not a domain.",
            next_step='Write what stands right of the "@", like "shop.example".',
        )
    domain = parse_address(f"x@{text}").domain
    if domain in FREE_MAIL_DOMAINS:
        raise InputError(
            f"{domain!r} is a free-mail domain: every customer who writes from there would be "
            "taken for staff, and the opt-out not heard.",
            next_step="Remove it; name only domains that belong to the shop alone.",
        )
    return domain


def _mail_domain(text: str) -> str:
    """A domain that our mail comes from, as A-label."""
    if not _is_bare(f"x@{text}"):
        raise InputError(
            f"{text[:80]!r} is not a domain.",
            next_step='Write what stands right of the "@" of our mail, like "shop.example".',
        )
    return parse_address(f"x@{text}").domain


def _dns_server(text: str) -> str:
    has_port = text.count(":") == 1 or "]:" in text
    host, _, port = text.rpartition(":") if has_port else (text, "", "53")
    try:
        ip_address(host.strip("[]"))
        is_right = 0 < int(port) < 65536
    except ValueError:
        is_right = False
    if not is_right:
        raise InputError(
            f"{text[:80]!r} is no address of a DNS server.",
            next_step='Write its IP address, like "9.9.9.9" or "127.0.0.1:5353".',
        )
    return text


def _selector(text: str) -> str:
    """RFC 6376 §3.1: labels of a domain name."""
    if len(text) > _LONGEST_SELECTOR or not _SELECTOR.fullmatch(text):
        raise InputError(
            f"{text[:80]!r} is no selector.",
            next_step="Write a name of letters, digits and hyphens, like mailbot1.",
        )
    return text.lower()


def _host(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        pass  # a name, then
    if "://" in text or "/" in text:
        raise InputError(f"{text!r} is a web address.", next_step="Write the host's name alone.")
    if ":" in text:
        raise InputError(
            f"{text!r} holds a port.",
            next_step="Write the host alone, and the port as `port = …` on a line of its own.",
        )
    if not _HOST.fullmatch(text) or ".." in text:
        raise InputError(
            f"{text!r} is not a host name.", next_step='Write one, like "mail.shop.example".'
        )
    return text


def _keyword(text: str) -> str:
    # RFC 3501 §9: flag-keyword is an atom; what begins with a backslash belongs to the server.
    if not re.fullmatch(r"[^\s(){%*\"\\\]\x00-\x1f\x7f-\uffff]{1,60}", text):
        raise InputError(
            f"{text[:80]!r} is not a keyword.",
            next_step='Write letters, digits and "-", like "mailbot-opt-out".',
        )
    return text


def _website(text: str) -> str:
    if text and not re.match(r"https?://[^\s/]+", text):
        raise InputError(
            f"{text!r} is not a web address.", next_step='Write one, like "https://shop.example".'
        )
    return text


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise InputError(
            f"{name[:40]!r} is no time zone that this machine knows.",
            next_step='Write one like "Europe/Berlin" or "UTC".',
        )
    return name


def _store_url(url: str) -> str:
    engine, separator, rest = url.partition("://")
    if engine in ("sqlite", "sqlite+pysqlite") and separator:
        return f"{engine}:///{_database_file(rest)}"
    if engine not in ("postgresql", "postgresql+psycopg") or not separator:
        raise InputError(
            f"{engine[:40]!r} is not a database that mailbot knows.",
            next_step='Write "sqlite:////var/lib/mailbot/mailbot.db" or '
            '"postgresql+psycopg://mailbot@db.shop.example/mailbot".',
        )
    if ":" in rest.rpartition("@")[0]:
        raise InputError(
            "holds a password, and no secret may stand here.",
            next_step="Remove it, and add ?passfile=/etc/mailbot/pgpass (PostgreSQL's own format: "
            "host:port:database:user:password).",
        )
    return url


def check_no_password(url: str) -> None:
    """Raise InputError where a database URL holds a password."""
    if ":" in url.partition("://")[2].rpartition("@")[0]:
        raise InputError(
            "holds a password, and no secret may stand here.",
            next_step="Write the whole URL into a file of its own, and name that as url_file.",
        )


def _database_file(rest: str) -> str:
    """Three slashes and a relative path: beside the configuration. Four: an absolute path."""
    name, question_mark, options = rest.removeprefix("/").partition("?")
    if not rest.startswith("/") or name in ("", ":memory:"):
        raise InputError(
            "names no file; a list that lives in memory forgets who opted out.",
            next_step='Write "sqlite:////var/lib/mailbot/mailbot.db" (four slashes).',
        )
    return f"{_beside_config(Path(name))}{question_mark}{options}"


def _beside_config(path: Path) -> Path:
    return CONFIG_PATH.get().absolute().parent / path.expanduser()


def _file(path: Path) -> Path:
    found = _beside_config(path)
    if not os.path.isfile(found):  # noqa: PTH113  # Path.is_file raises where a folder is barred
        raise InputError(f"there is no file {found}.", next_step="Name one that is there.")
    return found


def _folder(path: Path) -> Path:
    found = _beside_config(path)
    if not os.path.isdir(found):  # noqa: PTH112  # as above
        raise InputError(f"there is no folder {found}.", next_step="Create it, or name another.")
    return found


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise InputError(f"{str(value).lower()} is not a number.", next_step="Write a number.")
    return value


def is_loopback(host: str) -> bool:
    """Does what is sent to `host` stay on this machine?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") in ("localhost", "localhost.localdomain")


def check_security(security: Security, host: str | None, port: int | None) -> None:
    """Refuse plain text that leaves the machine, and a well-known port of the other kind."""
    if security == "none" and host is not None and not is_loopback(host):
        raise InputError(
            f'"none" sends the password and every customer\'s mail to {host} as readable text; '
            "it is for servers on this machine (127.0.0.1, ::1, localhost).",
            next_step='Write "tls" or "starttls".',
        )
    if security == "tls" and port in _PLAIN_AT_FIRST:
        raise InputError(
            f"port {port} starts in plain text and does not answer to TLS.",
            next_step='Write "starttls", or the TLS port (993 for IMAP, 465 for SMTP).',
        )
    if security != "tls" and port in _TLS_AT_ONCE:
        raise InputError(f"port {port} speaks TLS from the start.", next_step='Write "tls".')


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Line = Annotated[Text, AfterValidator(_one_line)]
# Widths of columns: PostgreSQL refuses what is longer, and each opt-out with it.
PolicyVersion = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=40),
    AfterValidator(_one_line),
]
DaemonName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=80),
    AfterValidator(_one_line),
]
MailAddress = Annotated[Line, AfterValidator(_address)]
HelpAddress = Annotated[MailAddress, AfterValidator(_help_address)]
OwnDomain = Annotated[Line, AfterValidator(_own_domain)]
MailDomain = Annotated[Line, AfterValidator(_mail_domain)]
DnsServer = Annotated[Line, AfterValidator(_dns_server)]
Selector = Annotated[Line, AfterValidator(_selector)]
Host = Annotated[Line, AfterValidator(_host)]
Website = Annotated[str, AfterValidator(_one_line), AfterValidator(_website)]
StoreUrl = Annotated[Line, AfterValidator(_store_url)]
QuietHours = Annotated[Line, AfterValidator(quiet_hours.written)]
Zone = Annotated[Line, AfterValidator(_zone)]
Keyword = Annotated[Line, AfterValidator(_keyword)]
SecretName = Line  # a bare name, or a path: see secrets.py
NewFolder = Annotated[Path, AfterValidator(_beside_config)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
ExistingFolder = Annotated[Path, AfterValidator(_folder)]
Number = Annotated[int, BeforeValidator(_no_truth_value)]
