"""From a template and a recipient to a message's bytes: campaign, order status, acknowledgement.

What all recipients share is built once; the rest is joined on. Lines end in CRLF, none is longer
than 998, dots are not stuffed (the SMTP client does that), and no Bcc or Return-Path is written.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mailbot.core.address import Address
from mailbot.core.footer import Footer
from mailbot.core.mail_headers import (
    CRLF,
    OPT_IN_WORD,
    OPT_OUT_WORD,
    date_line,
    list_id_line,
    list_unsubscribe_lines,
    mailbox_line,
    mailto_url,
    message_id_line,
    reply_lines,
    subject_line,
    token_line,
)
from mailbot.core.templates import Rendered, Template, render

# What mailbot gives to every campaign and order-status template, whatever the recipient brings.
PROVIDED_FIELDS: Final = frozenset(
    {
        "shop_name",
        "help_address",
        "postal_address",
        "unsubscribe_address",
        "unsubscribe_link",
        "unsubscribe_url",
        "recipient_name",
        "recipient_address",
    }
)

# "=_" never stands in quoted-printable text (RFC 2045 §6.7), and 7bit text with it is not left so.
_BOUNDARY: Final = b"=_mailbot_alternative"
_MAX_BODY_LINE: Final = 76
_MAY_STAND_AS_IT_IS: Final = re.compile(r"[\n\t\x20-\x7e]*+").fullmatch


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a message is from: the name people see, and the address."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Shop:
    """What every message may say of the shop; the help address takes replies and opt-outs."""

    name: str
    help_address: Address
    postal_address: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient: `name` goes into To, `fields` into the template."""

    address: Address
    name: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Composed:
    """A message ready for DATA; `needs_smtputf8` where a header holds raw UTF-8 (RFC 6531)."""

    message: bytes
    needs_smtputf8: bool


class CampaignComposer:
    """One campaign's messages; raises InputError at once for a header that no recipient could get.

    `list_id` like `offers.shop.example`; `feedback_id` like `spring:campaign:shop`.
    """

    def __init__(
        self, template: Template, sender: Sender, shop: Shop, *, list_id: str, feedback_id: str
    ) -> None:
        self._template = template
        self._letters = _Letters(sender, shop)
        self._footer = Footer(template, shop.help_address.envelope, shop.postal_address)
        self._list_lines = b"".join(
            (
                list_id_line(list_id),
                token_line("Feedback-ID", feedback_id),
                b"Precedence: bulk\r\n",
            )
        )

    def compose(
        self,
        recipient: Recipient,
        message_id: str,
        date: datetime,
        opt_out_address: str,
        one_click_url: str | None = None,
    ) -> Composed:
        """`opt_out_address` stands in List-Unsubscribe and nowhere else: no robot writes to it.

        `one_click_url` stands in the letter too: opening it changes nothing, only its button does.
        Raises TemplateError for a letter that cannot be rendered, InputError for a bad header.
        """
        url = one_click_url or ""
        rendered = self._letters.render(self._template, recipient, unsubscribe_url=url)
        rendered = self._footer.add_to(rendered, url)
        extra = self._list_lines + list_unsubscribe_lines(opt_out_address, one_click_url)
        return self._letters.compose(rendered, recipient, message_id, date, extra)


class OrderStatusComposer:
    """One type of order-status mail: no marketing header, and marked as made by a machine."""

    def __init__(self, template: Template, sender: Sender, shop: Shop) -> None:
        self._template = template
        self._letters = _Letters(sender, shop)

    def render(self, recipient: Recipient) -> Rendered:
        """What the customer will read. Raises TemplateError, InputError, as composing would."""
        mailbox_line("To", recipient.name, recipient.address)
        return self._letters.render(self._template, recipient)

    def compose(self, recipient: Recipient, message_id: str, date: datetime) -> Composed:
        """Raises TemplateError for a missing field, InputError for a bad header."""
        rendered = self._letters.render(self._template, recipient)
        extra = b"Auto-Submitted: auto-generated\r\n"
        return self._letters.compose(rendered, recipient, message_id, date, extra)


def compose_acknowledgement(
    template: Template,
    shop: Shop,
    recipient: Address,
    message_id: str,
    date: datetime,
    *,
    in_reply_to: str = "",
    references: Iterable[str] = (),
    undo_address: str = "",
) -> Composed:
    """The answer to an opt-out (RFC 3834): from help@, threaded, never answered by a robot.

    The template sees `resubscribe_link`, a mailto to `undo_address` (help@ where empty), and
    nothing of the customer's mail. Send it with a null envelope sender.
    """
    undo = undo_address or shop.help_address.envelope
    to = Recipient(recipient, fields={"resubscribe_link": mailto_url(undo, OPT_IN_WORD)})
    letters = _Letters(Sender(shop.name, shop.help_address), shop)
    extra = b"".join(
        (
            reply_lines(in_reply_to, references),
            b"Auto-Submitted: auto-replied\r\n",
            b"X-Auto-Response-Suppress: All\r\n",
        )
    )
    return letters.compose(letters.render(template, to), to, message_id, date, extra)


def compose_confirmation(
    template: Template, shop: Shop, recipient: Address, message_id: str, date: datetime, link: str
) -> Composed:
    """The question whether it was really them, to whoever asks for offers again on the page.

    The template sees `confirmation_link`. Send it with a null envelope sender.
    """
    to = Recipient(recipient, fields={"confirmation_link": link})
    letters = _Letters(Sender(shop.name, shop.help_address), shop)
    extra = b"Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n"
    return letters.compose(letters.render(template, to), to, message_id, date, extra)


def shop_fields(shop: Shop) -> dict[str, object]:
    """What mailbot gives to every template, whatever the recipient brings."""
    help_address = shop.help_address.envelope
    return {
        "shop_name": shop.name,
        "help_address": help_address,
        "postal_address": shop.postal_address,
        "unsubscribe_address": help_address,
        "unsubscribe_link": mailto_url(help_address, OPT_OUT_WORD),
        "unsubscribe_url": "",  # each recipient of a campaign has one, where there is a public page
    }


class _Letters:
    """The skeleton all messages of one sender share."""

    def __init__(self, sender: Sender, shop: Shop) -> None:
        self._fields = shop_fields(shop)
        self._from = mailbox_line("From", sender.name, sender.address)
        self._reply_to = mailbox_line("Reply-To", "", shop.help_address)
        self._is_utf8 = not (self._from + self._reply_to).isascii()

    def render(
        self, template: Template, recipient: Recipient, *, unsubscribe_url: str = ""
    ) -> Rendered:
        own = {
            **self._fields,
            "unsubscribe_url": unsubscribe_url,
            "recipient_name": recipient.name,
            "recipient_address": recipient.address.text,
        }
        return render(template, {**recipient.fields, **own})

    def compose(
        self,
        rendered: Rendered,
        recipient: Recipient,
        message_id: str,
        date: datetime,
        extra: bytes,
    ) -> Composed:
        to = mailbox_line("To", recipient.name, recipient.address)
        message = b"".join(
            (
                self._from,
                to,
                self._reply_to,
                subject_line(rendered.subject),
                date_line(date),
                message_id_line(message_id),
                extra,
                b"MIME-Version: 1.0\r\n",
                _body(rendered),
            )
        )
        return Composed(message, self._is_utf8 or not to.isascii())


def _body(rendered: Rendered) -> bytes:
    """Content headers, blank line and body: one text part, or text and HTML as alternatives."""
    text = _part(b"text/plain", rendered.text)
    if rendered.html is None:
        return text
    mark = b"--" + _BOUNDARY
    return b"".join(
        (
            b'Content-Type: multipart/alternative;\r\n boundary="' + _BOUNDARY + b'"\r\n\r\n',
            mark + CRLF,
            text,
            mark + CRLF,
            _part(b"text/html", rendered.html),
            mark + b"--" + CRLF,
        )
    )


def _needs_encoding(text: str) -> bool:
    """Whether it is more than ASCII in short lines, or could be taken for our boundary."""
    return not (
        text.isascii()
        and max(map(len, text.split("\n"))) <= _MAX_BODY_LINE
        and "=_mailbot_" not in text
        and _MAY_STAND_AS_IT_IS(text)
    )


def _part(content_type: bytes, text: str) -> bytes:
    if not text.endswith("\n"):
        text += "\n"
    if _needs_encoding(text):
        encoding, body = b"quoted-printable", binascii.b2a_qp(text.encode(), istext=True)
    else:
        encoding, body = b"7bit", text.encode()
    head = (
        b"Content-Type: " + content_type + b"; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n"
    )
    return head + body.replace(b"\n", CRLF)
