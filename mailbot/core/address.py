"""Addresses: parse one, read the mailboxes of a header, say when two spellings are one mailbox.

Our own parser, because `email.utils.parseaddr` answers `a@x <b@y>` differently between patch
releases. Lenient: whatever holds exactly one addr-spec can be suppressed. Time is linear.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import idna

from mailbot.core.errors import AddressError
from mailbot.core.reading.encoded_words import decode_words

MAX_ADDRESS_CHARS: Final = 320  # RFC 3696 erratum 1690 says 254; forwarders' SRS forms are longer
_MAX_DOMAIN_CHARS: Final = 253  # RFC 1035 §2.3.4
_DOTLESS_DOMAINS: Final = frozenset({"gmail.com", "googlemail.com"})
_DOT_ATOM: Final = re.compile(r"[^\s()<>\[\]:;@\\,\"]+")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LITERAL: Final = re.compile(r"\[(?:[0-9.]{7,15}|ipv6:[0-9a-f:.]{2,45})\]")
_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# One token of an address header. An unclosed comment or quote is matched by `other`, so that
# `"John <a@example.com>` still yields its address.
_TOKEN: Final = re.compile(
    r'(?P<space>\s+)|(?P<word>[^\s()<>\[\]:;@\\,".]+)|(?P<quoted>"(?:[^"\\]|\\.)*")'
    r"|(?P<literal>\[[^\[\]\\]*\])|(?P<special>[<>,:;@.])|(?P<other>.)",
    re.DOTALL,
)
# `Name <a@b.c>` and `a@b.c`, as nearly all mail has it; whatever is not quite so is read by token.
_ORDINARY: Final = re.compile(
    r"\s*+(?:(?:\"(?P<quoted>[^\"\\]*+)\"\s*+|(?P<name>[^<>,:;\"()\\]*+))(?P<open><))?"
    r"(?P<local>[A-Za-z0-9!#$%&*+/=?^_`{|}~.-]++)@"
    r"(?P<domain>[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}+(?<=[A-Za-z0-9_]))?+"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}+(?<=[A-Za-z0-9_]))?+)*+)(?(open)>)\s*+"
)
# Beyond doubt one mailbox and nothing else: no underscore in the domain, no label to look at twice.
PLAIN_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&*/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&*/=?^_`{|}~-]+)*@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
).fullmatch
PLAIN_CHARS: Final = 250  # below every limit of this module
_COMMENT_MARK: Final = re.compile(r"\\.|[()]", re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox: `text` as written, `local_part` unquoted, `domain` as lower-case A-label."""

    text: str
    local_part: str
    domain: str

    @property
    def match_key(self) -> str:
        """What two spellings of one mailbox share; itself an address with the same key."""
        local, domain = _fold(self.local_part), self.domain
        if domain in _DOTLESS_DOMAINS:
            name, plus, tag = local.partition("+")
            local, domain = (name.replace(".", "") or name) + plus + tag, "gmail.com"
        return f"{_quoted_where_needed(local)}@{domain}"

    @property
    def untagged_key(self) -> str:
        """The match key without its `+tag`: marketing matches this form as well."""
        name, plus, _ = _fold(self.local_part).partition("+")
        return Address("", name, self.domain).match_key if name and plus else self.match_key

    @property
    def envelope(self) -> str:
        """The form for RCPT TO: local part as written, domain as A-label (RFC 5321 §4.1.2)."""
        return f"{_quoted_where_needed(self.local_part)}@{self.domain}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One entry of an address header: display name (decoded, may be empty) and address."""

    display_name: str
    address: Address


@dataclass(frozen=True, slots=True)
class MailboxList:
    """What an address header holds; `has_group` says it used `name: a, b;` (RFC 5322 §3.4)."""

    mailboxes: tuple[Mailbox, ...] = ()
    has_group: bool = False


def parse_address(text: str) -> Address:
    """The one address in `a@b` or `Name <a@b>`, and nothing else beside it. Raises AddressError."""
    if len(text) <= PLAIN_CHARS and PLAIN_ADDRESS(text):
        local, _, domain = text.partition("@")
        return Address(text, local, domain.lower())
    return parse_any_address(text)


def parse_any_address(text: str) -> Address:
    """What `parse_address` answers, by way of the parser of headers. Raises AddressError."""
    found = {box.address.match_key: box.address for box in parse_mailboxes(text)}
    kinds = [kind for kind, _ in _tokens(text.strip())]
    is_clean = not _UNSENDABLE.search(text.strip()) and ("<" in kinds or "space" not in kinds)
    if len(found) == 1 and is_clean:
        return next(iter(found.values()))
    what = "holds several addresses" if len(found) > 1 else "is not an address"
    raise AddressError(f"{text[:80]!r} {what}.", next_step="Write one, like name@example.com.")


def parse_mailboxes(header_value: str) -> tuple[Mailbox, ...]:
    """Every mailbox that can be read in an address header, in order. Never raises."""
    return parse_mailbox_list(header_value).mailboxes


def parse_mailbox_list(header_value: str) -> MailboxList:
    """Like `parse_mailboxes`, and says whether group syntax was used. Never raises."""
    return read_ordinary(header_value) or read_by_token(header_value)


def read_ordinary(header_value: str) -> MailboxList | None:
    """What `read_by_token` answers, several times faster; None where it may answer otherwise."""
    hit = _ORDINARY.fullmatch(header_value)
    if hit is None:
        return None
    quoted, name, _, local, domain = hit.groups()
    if len(domain) > _MAX_DOMAIN_CHARS or len(local) + 1 + len(domain) > MAX_ADDRESS_CHARS:
        return None
    name = " ".join(decode_words(quoted or name or "").split())
    address = Address(f"{local}@{domain}", local, domain.lower())
    return MailboxList((Mailbox(name, address),))


def read_by_token(header_value: str) -> MailboxList:
    """Any address header, in linear time."""
    reader = _Reader()
    for kind, text in _tokens(header_value):
        reader.take(kind, text)
    reader.end_element()
    return MailboxList(tuple(reader.mailboxes), reader.has_group)


_Token = tuple[str, str]  # kind (a special is its own kind), text


@dataclass(slots=True)
class _Reader:
    """Collects the tokens of one element (up to a comma) and what stands in angle brackets."""

    mailboxes: list[Mailbox] = field(default_factory=list)
    has_group: bool = False
    _phrase: list[_Token] = field(default_factory=list)
    _angles: list[list[_Token]] = field(default_factory=list)
    _in_angle: bool = False
    _after_colon: bool = False

    def take(self, kind: str, text: str) -> None:
        if kind == "<":
            self._in_angle = True
            self._angles.append([])
        elif kind == ">":
            self._in_angle = False
        elif kind in (",", ":", ";"):
            if self._in_angle:  # an old source route `<@a,@b:c@d>`, or a bracket left open
                self._angles.append([])
                return
            self.end_element()
            self.has_group = self.has_group or (kind == ";" and self._after_colon)
            self._after_colon = kind == ":" or (self._after_colon and kind == ",")
        else:
            (self._angles[-1] if self._in_angle else self._phrase).append((kind, text))

    def end_element(self) -> None:
        found = [address for angle in self._angles for address in _bracketed(angle)]
        if found:
            name = _display_name(self._phrase)
        else:
            name, found = "", _addresses(self._phrase)
        self.mailboxes.extend(Mailbox(name, address) for address in found)
        self._phrase, self._angles, self._in_angle = [], [], False


def _tokens(value: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    read_comments = read_quotes = True
    while at < len(value):
        if value[at] == "(" and read_comments:
            end = _comment_end(value, at)
            if end:
                tokens.append(("space", " "))
                at = end
                continue
            read_comments = False  # never closed: from here on a bracket is a character
        if value[at] == '"' and not read_quotes:
            tokens.append(("other", '"'))
            at += 1
            continue
        match = _TOKEN.match(value, at)
        if match is None:  # cannot be: `other` matches any character
            break
        kind = match.lastgroup or "other"
        if match[0] == '"':
            read_quotes = False
        tokens.append((match[0] if kind == "special" else kind, match[0]))
        at = match.end()
    return tokens


def _comment_end(value: str, start: int) -> int:
    """Where the comment at `start` ends, nested ones counted (not recursed into); 0 if never."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(value, start):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.end()
    return 0


def _bracketed(tokens: list[_Token]) -> list[Address]:
    """Between angle brackets white space may stand around dots (RFC 5322 §4.4)."""
    whole = _address([token for token in tokens if token[0] != "space"])
    return [whole] if whole is not None else _addresses(tokens)


def _addresses(tokens: list[_Token]) -> list[Address]:
    """The addr-specs among tokens without commas: each unbroken run that is one."""
    runs: list[list[_Token]] = [[]]
    for token in tokens:
        if token[0] == "space":
            runs.append([])
        else:
            runs[-1].append(token)
    return [address for run in runs if (address := _address(run)) is not None]


def _address(tokens: list[_Token]) -> Address | None:
    """The addr-spec that exactly these tokens spell, if they do."""
    at = next((i for i, (kind, _) in enumerate(tokens) if kind == "@"), -1)
    if at < 1 or at == len(tokens) - 1:
        return None
    left, right = tokens[:at], tokens[at + 1 :]
    if any(kind not in ("word", "quoted", ".") for kind, _ in left):
        return None
    if any(kind not in ("word", ".") for kind, _ in right) and [k for k, _ in right] != ["literal"]:
        return None
    if any(a[0] != "." and b[0] != "." for a, b in pairwise(left)):
        return None
    written_local = "".join(text for _, text in left)
    local = "".join(_unquoted(text) if kind == "quoted" else text for kind, text in left)
    written_domain = "".join(text for _, text in right).rstrip(".")
    if written_local.startswith("'") and written_domain.endswith("'"):  # Outlook's 'a@b'
        written_local, local = written_local[1:], local[1:]
        written_domain = written_domain[:-1]
    domain = _a_label(written_domain)
    text = f"{written_local}@{written_domain}"
    if not local or not domain or len(text) > MAX_ADDRESS_CHARS or _UNSENDABLE.search(local):
        return None
    return Address(text, local, domain)


def _a_label(domain: str) -> str:
    """The domain in lower-case A-labels (RFC 5890), or "" where it cannot be one."""
    if len(domain) > _MAX_DOMAIN_CHARS or _UNSENDABLE.search(domain):
        return ""
    lower = domain.lower()
    if _LITERAL.fullmatch(lower):
        return lower
    if not lower.isascii():
        try:
            lower = idna.encode(domain, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError):
            # Registered all the same: emoji domains, which IDNA 2008 refuses.
            folded = unicodedata.normalize("NFKC", domain).casefold()
            lower = ".".join(_punycode(label) for label in folded.split("."))
    is_domain = len(lower) <= _MAX_DOMAIN_CHARS and all(map(_LABEL.fullmatch, lower.split(".")))
    return lower if is_domain else ""


def _punycode(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def _display_name(phrase: list[_Token]) -> str:
    words = [_unquoted(text) if kind == "quoted" else text for kind, text in phrase]
    return " ".join(decode_words("".join(words)).split())


def _unquoted(text: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", text[1:-1])


def _fold(local_part: str) -> str:
    """NFC and case-folded; canonical caseless matching (Unicode §3.13, D145), so idempotent."""
    if local_part.isascii():
        return local_part.lower()
    decomposed = unicodedata.normalize("NFD", local_part).casefold()
    return unicodedata.normalize("NFC", decomposed)


def _quoted_where_needed(local_part: str) -> str:
    if _DOT_ATOM.fullmatch(local_part):
        return local_part
    escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
