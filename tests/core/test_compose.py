"""Messages as bytes: right for every mail reader, and no field can write a header."""

from __future__ import annotations

import base64
import email
import re
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from html import unescape
from importlib import resources

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailbot.core.address import parse_address
from mailbot.core.compose import (
    PROVIDED_FIELDS,
    CampaignComposer,
    Composed,
    OrderStatusComposer,
    Recipient,
    Sender,
    Shop,
    compose_acknowledgement,
)
from mailbot.core.errors import InputError
from mailbot.core.preflight import words_in
from mailbot.core.templates import parse_template

SHOP = Shop(
    "Lindenhof Tea",
    parse_address("help@shop.example"),
    "Lindenhof Tea, Speicherstadt 12, 20457 Hamburg",
)
OFFERS = Sender("Lindenhof Tea", parse_address("offers@shop.example"))
ORDERS = Sender("Lindenhof Tea", parse_address("orders@shop.example"))
ANN = parse_address("ann@customer.example")
NOW = datetime(2026, 3, 9, 9, 30, tzinfo=UTC)
MESSAGE_ID = "<c7.1@shop.example>"
OPT_OUT_ADDRESS = f"help+u-{'a' * 47}@shop.example"
ONE_CLICK = f"https://shop.example/u/{'a' * 47}"

ACKNOWLEDGEMENT = (resources.files("mailbot") / "data/acknowledgement.txt").read_text("utf-8")


def campaign(
    text: str = "Hello\n",
    html: str | None = None,
    subject: str = "Spring tea",
    *,
    sender: Sender = OFFERS,
    recipient: Recipient | None = None,
    one_click_url: str | None = None,
) -> Composed:
    composer = CampaignComposer(
        parse_template("spring", text, html, subject),
        sender,
        SHOP,
        list_id="offers.shop.example",
        feedback_id="spring:campaign:shop",
    )
    to = recipient or Recipient(ANN)
    return composer.compose(to, MESSAGE_ID, NOW, OPT_OUT_ADDRESS, one_click_url)


def order_status(subject: str, name: str, text: str, html: str | None = None) -> Composed:
    """Fields carry the text, as real customers' data does."""
    template = parse_template(
        "any", "{{ text }}", None if html is None else "{{ html }}", "{{ subject }}"
    )
    fields = {"subject": subject, "text": text, "html": html}
    return OrderStatusComposer(template, ORDERS, SHOP).compose(
        Recipient(ANN, name, fields), MESSAGE_ID, NOW
    )


def acknowledgement(**options: object) -> EmailMessage:
    template = parse_template("acknowledgement", ACKNOWLEDGEMENT)
    composed = compose_acknowledgement(template, SHOP, ANN, MESSAGE_ID, NOW, **options)  # type: ignore[arg-type]  # passed through
    return read(composed)


def read(composed: Composed) -> EmailMessage:
    return email.message_from_bytes(composed.message, policy=policy.default)


def content(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def to_of(composed: Composed) -> tuple[str, str]:
    """Name and address in To, by the standard library's old parser: its new one (3.11) shows a
    blank between two adjacent encoded words of a name, against RFC 2047 §6.2."""
    raw = email.message_from_bytes(composed.message)["To"]
    name, address = parseaddr(raw)
    return str(make_header(decode_header(name))), address


def head_of(composed: Composed) -> str:
    return composed.message.partition(b"\r\n\r\n")[0].decode()


def header_names(composed: Composed) -> list[str]:
    unfolded = re.sub(r"\r\n[ \t]", " ", head_of(composed))
    return [line.partition(":")[0] for line in unfolded.split("\r\n")]


def assert_well_formed(composed: Composed) -> None:
    message = composed.message
    assert message.endswith(b"\r\n")
    assert b"\r" not in message.replace(b"\r\n", b"")
    assert b"\n" not in message.replace(b"\r\n", b"")
    assert b"\x00" not in message
    head, _, body = message.partition(b"\r\n\r\n")
    assert all(len(line) <= 998 and line.strip() for line in head.split(b"\r\n"))
    assert all(len(line) <= 78 for line in body.split(b"\r\n"))
    for word in re.findall(rb"=\?[^?]*\?[^?]*\?[^?]*\?=", head):
        assert len(word) <= 75


def header_text(**bounds: int) -> st.SearchStrategy[str]:
    """Any text that a header can carry: no control characters, no half characters."""
    letters = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
    return st.text(letters, **bounds)


ANY_BODY = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
OUR_HEADERS = [
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version",
]  # fmt: skip


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class TestAnyLetter:
    @given(header_text(min_size=1, max_size=300), header_text(max_size=120), ANY_BODY)
    @example("=?utf-8?q?x?=", "=?utf-8?q?x?=", "=_mailbot_alternative\n--=_mailbot_alternative--")
    @example("a" * 500, "b" * 300, "c" * 2000)
    @example("word " * 80, 'Doe, "Jane" \\', ".\n..\n.leading dot")
    @example("ä" * 200, "ä" * 60, "tab\tand end space \n \nFrom here")
    @example("👩‍👩‍👧‍👦" * 20, "👩‍👩‍👧‍👦" * 20, "a\rb\r\nc\n\rd\x00\x0b\x0c\x1c\x85\u2028")
    def test_it_reads_back_as_it_was_written(self, subject: str, name: str, body: str) -> None:
        if not subject.strip(" "):
            return  # refused: tests/core/test_templates.py
        composed = order_status(subject, name, body)
        assert_well_formed(composed)
        assert header_names(composed) == [*OUR_HEADERS, "Content-Type", "Content-Transfer-Encoding"]
        message = read(composed)
        assert message["Subject"] == subject.strip(" ")
        assert to_of(composed) == (name.strip(), "ann@customer.example")
        expected = _unix(body)
        assert content(message, "plain") == expected + "\n" * (not expected.endswith("\n"))

    @given(ANY_BODY, ANY_BODY)
    @example("--=_mailbot_alternative--\n", "--=_mailbot_alternative\n")
    def test_text_and_html_stand_side_by_side(self, text: str, html: str) -> None:
        composed = order_status("Hello", "", text, html)
        assert_well_formed(composed)
        message = read(composed)
        assert [part.get_content_type() for part in message.walk()] == [
            "multipart/alternative", "text/plain", "text/html",
        ]  # fmt: skip
        assert not message.defects
        assert content(message, "plain").rstrip("\n") == _unix(text).rstrip("\n")
        shown = unescape(content(message, "html"))  # a field: the template escaped it
        assert shown.rstrip("\n") == _unix(html).rstrip("\n")

    def test_short_ascii_text_is_sent_as_it_is(self) -> None:
        composed = order_status("Hello", "Ann", "Your parcel is here.\n.\n")
        assert b"Content-Transfer-Encoding: 7bit\r\n\r\nYour parcel is here.\r\n.\r\n" in (
            composed.message
        )

    @pytest.mark.parametrize("name", ["Ann\r\nBcc: all@example.com", "Ann\nX", "A\x00", "A\u2028B"])
    def test_a_name_with_a_line_break_is_refused(self, name: str) -> None:
        with pytest.raises(InputError, match="The name in To"):
            order_status("Hello", name, "text")

    @pytest.mark.parametrize(
        "message_id", ["", "x@y", "<a b@c>", "<a@b>\r\nX: y", "<ä@b>", "<a@b", "<<a@b>>"]
    )
    def test_a_message_id_is_one_word_in_angle_brackets(self, message_id: str) -> None:
        composer = OrderStatusComposer(parse_template("t", "t", subject="s"), ORDERS, SHOP)
        with pytest.raises(InputError):
            composer.compose(Recipient(ANN), message_id, NOW)

    def test_an_address_outside_ascii_needs_smtputf8_and_only_that(self) -> None:
        there = campaign(recipient=Recipient(parse_address("zoë@customer.example"), "Zoë"))
        assert there.needs_smtputf8
        assert "<zoë@customer.example>" in there.message.decode()
        domain = campaign(recipient=Recipient(parse_address("zoe@bücher.example"), "Zoë"))
        assert not domain.needs_smtputf8
        assert b"<zoe@xn--bcher-kva.example>" in domain.message

    def test_a_quoted_local_part_stays_quoted(self) -> None:
        odd = campaign(recipient=Recipient(parse_address('"a, b"@customer.example')))
        assert read(odd)["To"].addresses[0].addr_spec == '"a, b"@customer.example'

    @given(header_text(min_size=1, max_size=200))
    def test_an_encoded_word_never_ends_inside_a_character(self, subject: str) -> None:
        head = head_of(order_status(f"x{subject}", "", "text"))
        for word in re.findall(r"=\?utf-8\?b\?([^?]+)\?=", head):
            base64.b64decode(word).decode("utf-8")


class TestCampaigns:
    def test_every_offer_bears_the_headers_of_bulk_mail(self) -> None:
        message = read(campaign())
        assert message["From"] == "Lindenhof Tea <offers@shop.example>"
        assert message["Reply-To"] == "help@shop.example"
        assert message["Date"] == "Mon, 09 Mar 2026 09:30:00 +0000"
        assert message["Message-ID"] == MESSAGE_ID
        assert message["List-Id"] == "<offers.shop.example>"
        assert message["Feedback-ID"] == "spring:campaign:shop"
        assert message["Precedence"] == "bulk"
        assert message["MIME-Version"] == "1.0"

    def test_without_one_click_the_way_out_is_the_token_address_alone(self) -> None:
        composed = campaign()
        assert (
            f"\r\nList-Unsubscribe: <mailto:{OPT_OUT_ADDRESS}?subject=unsubscribe>\r\n"
            in composed.message.decode()
        )
        assert "List-Unsubscribe-Post" not in header_names(composed)

    def test_one_click_comes_first_and_no_uri_is_folded(self) -> None:
        head = head_of(campaign(one_click_url=ONE_CLICK))
        assert (
            f"List-Unsubscribe: <{ONE_CLICK}>,\r\n"
            f" <mailto:{OPT_OUT_ADDRESS}?subject=unsubscribe>\r\n"
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        ) in head + "\r\n"

    def test_a_long_url_is_neither_folded_nor_encoded(self) -> None:
        url = "https://shop.example/" + "a" * 850
        assert f"<{url}>" in head_of(campaign(one_click_url=url))

    @pytest.mark.parametrize(
        "url",
        ["http://shop.example/u", "https://shop.example/ä", "https://x/\r\nX: y", "https://x/>"],
    )
    def test_a_url_that_cannot_stand_there_is_refused(self, url: str) -> None:
        with pytest.raises(InputError):
            campaign(one_click_url=url)

    def test_the_token_stands_in_list_unsubscribe_and_nowhere_else(self) -> None:
        composed = campaign("Hello {{ unsubscribe_address }}", "<p>{{ unsubscribe_link }}</p>")
        assert composed.message.count(OPT_OUT_ADDRESS.encode()) == 1

    def test_the_footer_is_added_to_text_and_html(self) -> None:
        message = read(campaign("Hello\n", "<html><body><p>Hello</p></BODY></html>"))
        text, html = content(message, "plain"), content(message, "html")
        for shown in (text, html):
            assert "help@shop.example" in shown
            assert "unsubscribe" in shown.lower()
            assert SHOP.postal_address in shown
        assert html.index("Speicherstadt") < html.index("</BODY>")

    def test_a_template_with_its_own_footer_gets_no_second_one(self) -> None:
        text = "Write to {{ unsubscribe_address }}. {{ postal_address }}"
        html = '<a href="{{ unsubscribe_link }}">out</a> {{ postal_address }}'
        message = read(campaign(text, html))
        for kind in ("plain", "html"):
            assert content(message, kind).count("Speicherstadt") == 1
            assert "No more offers?" not in content(message, kind)

    def test_with_one_click_the_footer_links_to_the_page_beside_the_mail(self) -> None:
        message = read(campaign("Hello\n", "<p>Hello</p>", one_click_url=ONE_CLICK))
        text, html = content(message, "plain"), content(message, "html")
        assert f"No more offers? Open\n{ONE_CLICK}\nor write to help@shop.example" in text
        assert f'<a href="{ONE_CLICK}"' in html
        for shown in (text, html):
            assert "help@shop.example" in shown
            assert OPT_OUT_ADDRESS not in shown, "that address is for mail programs"

    def test_a_template_that_links_to_the_page_itself_gets_no_second_way_out(self) -> None:
        text = "Leave: {{ unsubscribe_url }} {{ postal_address }}"
        html = '<a href="{{ unsubscribe_url }}">Leave</a> {{ postal_address }}'
        message = read(campaign(text, html, one_click_url=ONE_CLICK))
        for kind in ("plain", "html"):
            assert content(message, kind).count(ONE_CLICK) == 1
            assert "No more offers?" not in content(message, kind)

    def test_a_template_that_links_to_a_page_that_is_not_there_gets_the_mail_way_out(self) -> None:
        text = "Leave: {{ unsubscribe_url }} {{ postal_address }}"
        shown = content(read(campaign(text)), "plain")
        assert "No more offers? Write to help@shop.example" in shown

    def test_a_column_of_the_audience_cannot_replace_the_page(self) -> None:
        to = Recipient(ANN, "", {"unsubscribe_url": "https://evil.example/"})
        shown = content(read(campaign("{{ unsubscribe_url }}", recipient=to)), "plain")
        assert "evil" not in shown

    def test_a_footer_hidden_behind_a_condition_is_added_after_all(self) -> None:
        text = "{% if false %}{{ unsubscribe_address }}{{ postal_address }}{% endif %}Hello"
        shown = content(read(campaign(text)), "plain")
        assert "help@shop.example" in shown
        assert SHOP.postal_address in shown

    def test_a_column_of_the_audience_cannot_replace_the_shops_own_fields(self) -> None:
        fields = {"postal_address": "nowhere", "unsubscribe_address": "void@example.com"}
        text = "{{ unsubscribe_address }} {{ postal_address }}"
        shown = content(read(campaign(text, recipient=Recipient(ANN, "", fields))), "plain")
        assert shown == f"help@shop.example {SHOP.postal_address}\n"

    def test_every_field_that_is_promised_is_there(self) -> None:
        text = " ".join(f"{{{{ {name} }}}}" for name in PROVIDED_FIELDS)
        shown = content(read(campaign(text, recipient=Recipient(ANN, "Ann B."))), "plain")
        for value in ("Ann B.", ANN.text, SHOP.name, "mailto:help@shop.example?subject="):
            assert value in shown

    def test_no_campaign_without_a_postal_address(self) -> None:
        with pytest.raises(InputError, match="postal address"):
            CampaignComposer(
                parse_template("t", "t", subject="s"),
                OFFERS,
                Shop("Tea", SHOP.help_address, " "),
                list_id="offers.shop.example",
                feedback_id="a:b:c",
            )

    @pytest.mark.parametrize(("list_id", "feedback_id"), [("a b", "x"), ("x", "a\nb"), ("ä", "x")])
    def test_a_bad_list_header_is_refused_before_the_first_recipient(
        self, list_id: str, feedback_id: str
    ) -> None:
        with pytest.raises(InputError):
            CampaignComposer(
                parse_template("t", "t", subject="s"),
                OFFERS,
                SHOP,
                list_id=list_id,
                feedback_id=feedback_id,
            )


class TestOrderStatus:
    def test_it_bears_no_marketing_header_and_says_that_a_machine_made_it(self) -> None:
        composed = order_status("Your order 7", "Ann", "It is on its way.")
        assert header_names(composed)[:8] == OUR_HEADERS
        assert read(composed)["Auto-Submitted"] == "auto-generated"
        assert b"No more offers" not in composed.message


class TestAcknowledgements:
    def test_it_answers_the_customer_as_rfc_3834_asks(self) -> None:
        message = acknowledgement(in_reply_to="<q2@x>", references=["<q1@x>"])
        assert message["From"] == "Lindenhof Tea <help@shop.example>"
        assert message["Reply-To"] == "help@shop.example"
        assert message["Auto-Submitted"] == "auto-replied"
        assert message["X-Auto-Response-Suppress"] == "All"
        assert message["In-Reply-To"] == "<q2@x>"
        assert message["References"].split() == ["<q1@x>", "<q2@x>"]

    def test_its_subject_holds_no_opt_out_word(self) -> None:
        assert words_in(acknowledgement()["Subject"], ["unsubscribe", "opt out", "stop"]) == []

    def test_it_says_what_stays_and_how_to_come_back(self) -> None:
        message = acknowledgement(undo_address="help+r-abc@shop.example")
        body = content(message, "plain")
        assert "no more offers" in body
        assert "still get the mails about that order" in body
        assert "mailto:help+r-abc@shop.example?subject=resubscribe" in body
        assert "help+r-abc" not in str(message.items())

    @pytest.mark.parametrize("bad", ["", "no brackets", "<a b@c>", "<ä@x>", "<a@x>\r\nBcc: y@z"])
    def test_an_id_that_no_header_may_hold_is_left_out(self, bad: str) -> None:
        message = acknowledgement(in_reply_to=bad, references=["<q1@x>"])
        assert message["In-Reply-To"] is None
        assert message["Bcc"] is None

    def test_a_thread_of_hundreds_is_cut(self) -> None:
        thread = [f"<m{number}@x>" for number in range(500)]
        message = acknowledgement(in_reply_to="<last@x>", references=thread)
        known = message["References"].split()
        assert (known[0], known[-1], len(known)) == ("<m0@x>", "<last@x>", 10)


def test_an_address_longer_than_a_line_of_mail_is_refused_by_name() -> None:
    longest = parse_address("é" * 300 + "@shop.example")
    giant = parse_address("🍵" * 260 + "@shop.example")
    assert campaign(recipient=Recipient(longest)).needs_smtputf8
    with pytest.raises(InputError, match="longer than a line of a mail"):
        campaign(recipient=Recipient(giant))
