"""Preflight: what stops a campaign or an order-status type, said with place and next step."""

from __future__ import annotations

import email
import time
from datetime import UTC, datetime
from email import policy
from html.parser import HTMLParser
from importlib import resources

import pytest

from mailbot.core.address import parse_address
from mailbot.core.checklist import all_faults, law_checks, letter_checks
from mailbot.core.compose import PROVIDED_FIELDS, OrderStatusComposer, Recipient, Sender, Shop
from mailbot.core.preflight import (
    Fault,
    Severity,
    order_status_faults,
    subject_faults,
    words_in,
)
from mailbot.core.templates import Template, fields_of, parse_template, required_fields_of
from mailbot.data import order_status_fields

OFFERS = parse_address("offers@shop.example")
ORDERS = parse_address("orders@shop.example")
POSTAL = "Lindenhof Tea, Speicherstadt 12, 20457 Hamburg"

FOLDER = resources.files("mailbot") / "data/order_status"
SOURCES = {entry.name: entry.read_text("utf-8") for entry in FOLDER.iterdir() if entry.is_file()}
TYPES = (
    "received",
    "confirmed",
    "paid",
    "shipped",
    "delayed",
    "partially_shipped",
    "out_for_delivery",
    "delivered",
    "cancelled",
    "refunded",
)
ITEMS = [
    {"name": "Assam Second Flush, 250 g", "quantity": 2, "price": "€ 23.80"},
    {"name": "Kanne „Elbe“ <0,8 l>", "quantity": 1, "price": "€ 39.00"},
]
DOCUMENTED = {name: note.example for name, note in order_status_fields().items()}
BELIEVABLE: dict[str, object] = {
    **DOCUMENTED,
    "order_number": "LT-1042",
    "order_url": "https://shop.example/orders/1042?a=1&b=2",
    "items": ITEMS,
    "remaining_items": ITEMS[:1],
    "remaining_expected_on": "20 March",
    "total": "€ 62.80",
    "amount": "€ 62.80",
    "payment_method": "bank transfer",
    "invoice_url": "https://shop.example/invoices/1042.pdf",
    "ships_on": "Tuesday, 10 March",
    "expected_on": "Thursday, 12 March",
    "carrier": "DHL",
    "tracking_number": "00340434161094027318",
    "tracking_url": "https://carrier.example/00340434161094027318",
    "delivery_window": "between 14:00 and 16:00",
    "delivered_to": "left with your neighbour",
    "reason": "the pots are held up at customs.",
}


def template(text: str = "Hello", subject: str = "Spring tea", html: str | None = None) -> Template:
    return parse_template("spring", text, html, subject)


def faults_of(
    checked: Template,
    fields: tuple[str, ...] = ("first_name", "order"),
    *,
    sender: str = "offers@shop.example",
    postal_address: str = POSTAL,
) -> tuple[Fault, ...]:
    law = law_checks(parse_address(sender), ORDERS, postal_address)
    return all_faults([*letter_checks(checked, fields), *law])


def shipped_template(name: str) -> Template:
    shared = {key: source for key, source in SOURCES.items() if key.startswith("_")}
    return parse_template(name, SOURCES[f"{name}.txt"], SOURCES[f"{name}.html"], shared=shared)


class TestCampaigns:
    def test_a_good_campaign_has_no_fault(self) -> None:
        assert faults_of(template("Dear {{ first_name }},\nhello", html="<p>{{ order }}</p>")) == ()

    def test_a_missing_column_is_named_by_part_and_line_with_a_guess(self) -> None:
        (fault,) = faults_of(template("Hello,\n\ndear {{ frist_name }}"))
        assert fault.severity is Severity.ERROR
        assert fault.where == "spring (text), line 3"
        assert fault.what == "the audience has no column 'frist_name'; it has: first_name, order."
        assert "'first_name'" in fault.next_step

    def test_a_guarded_missing_column_is_only_a_warning(self) -> None:
        (fault,) = faults_of(template("Hello {{ city|default('') }}"))
        assert fault.severity is Severity.WARNING

    def test_what_mailbot_provides_needs_no_column(self) -> None:
        text = " ".join(f"{{{{ {name} }}}}" for name in PROVIDED_FIELDS)
        assert faults_of(template(text)) == ()

    @pytest.mark.parametrize(
        "subject",
        ["How to unsubscribe", "UNSUBSCRIBE?", "Ｕｎｓｕｂｓｃｒｉｂｅ now", "Stop: unsubscribe!"],
    )
    def test_a_subject_with_the_opt_out_word_is_refused(self, subject: str) -> None:
        """Every auto-reply that quotes it would opt its owner out."""
        faults = faults_of(template(subject=subject))
        (fault,) = [fault for fault in faults if fault.severity is Severity.ERROR]
        assert fault.severity is Severity.ERROR
        assert "auto-reply" in fault.next_step

    def test_words_of_the_vocabulary_count_whole_or_anywhere_as_their_language_writes(self) -> None:
        words = ["abmelden", "配信停止"]
        assert words_in("Jetzt ABMELDEN?", words) == ["abmelden"]
        assert words_in("Vorabmeldend", words) == []
        assert words_in("メルマガ配信停止のお知らせ", words) == ["配信停止"]

    @pytest.mark.parametrize(
        "subject", ["Re: your order", "RE : tea", "Fwd: news", "AW: Tee", "fw: x"]
    )
    def test_a_subject_that_pretends_to_answer_is_refused(self, subject: str) -> None:
        (fault,) = faults_of(template(subject=subject))
        assert "7704(a)(2)" in fault.next_step

    @pytest.mark.parametrize(
        "subject", ["Regarding tea", "Report: the harvest", "Reise: Darjeeling"]
    )
    def test_an_honest_subject_is_not(self, subject: str) -> None:
        assert subject_faults(subject) == []

    def test_the_from_of_order_status_is_refused_in_any_spelling(self) -> None:
        (fault,) = faults_of(template(), sender="Orders@SHOP.example")
        assert "order status" in fault.what

    @pytest.mark.parametrize("postal_address", ["", "   ", "Hamburg"])
    def test_a_postal_address_must_be_one(self, postal_address: str) -> None:
        (fault,) = faults_of(template(), postal_address=postal_address)
        assert fault.where == "postal_address"

    def test_html_alone_is_refused(self) -> None:
        (fault,) = faults_of(template(" \n", html="<p>Hello</p>"))
        assert "no text part" in fault.what

    def test_all_faults_are_told_at_once(self) -> None:
        bad = template("{{ a }}", "Re: unsubscribe {{ b }}")
        assert len(faults_of(bad, sender="orders@shop.example", postal_address="")) == 6


class TestOrderStatusLint:
    @pytest.mark.parametrize(
        ("subject", "word"),
        [
            ("Your order, and 20% off the next", "20% off"),
            ("Summer SALE: your order is on its way", "summer sale"),
            ("A coupon for you", "coupon"),
            ("Your order and a special offer", "special offer"),
            ("Ihre Bestellung und 10 € Rabatt", "rabatt"),
        ],
    )
    def test_a_subject_that_reads_as_an_offer_is_refused(self, subject: str, word: str) -> None:
        (fault,) = order_status_faults(template("It is on its way.", subject))
        assert fault.severity is Severity.ERROR
        assert repr(word) in fault.what
        assert "16 CFR 316.3" in fault.next_step

    def test_an_offer_in_the_opening_is_refused_and_further_down_a_warning(self) -> None:
        (opening,) = order_status_faults(template("Hello,\n\ndiscounts wait for you!", "Order 7"))
        assert opening.severity is Severity.ERROR
        down = "Hello,\n\nyour order\nis on\nits way.\n\nBye\n\nSee our deals."
        (fault,) = order_status_faults(template(down, "Order 7"))
        assert fault.severity is Severity.WARNING

    def test_the_html_is_read_as_people_see_it(self) -> None:
        html = "<head><style>.sale{}</style></head><p>Your <b>order</b></p><p>is on its way</p>"
        assert order_status_faults(template("text", "Order 7", html)) == ()
        (fault,) = order_status_faults(template("text", "Order 7", "<p>Free\n<b>shipping</b></p>"))
        assert "'free shipping'" in fault.what
        (fault,) = order_status_faults(template("text", "Order 7", "<p>Big <b>discount</b></p>"))
        assert fault.where == "spring (html), opening"

    def test_a_page_of_unclosed_tags_is_read_in_linear_time(self) -> None:
        started = time.monotonic()
        order_status_faults(template("text", "Order 7", "<style>" * 30_000))
        assert time.monotonic() - started < 2


class SeenHtml(HTMLParser):
    """Checks that tags are closed in the order they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", TYPES)
class TestTheTemplatesThatShip:
    def test_they_pass_their_own_lint(self, name: str) -> None:
        assert order_status_faults(shipped_template(name)) == ()

    def test_they_know_only_believable_fields_and_need_few(self, name: str) -> None:
        checked = shipped_template(name)
        assert fields_of(checked) <= {*DOCUMENTED, *PROVIDED_FIELDS}
        assert required_fields_of(checked) - PROVIDED_FIELDS <= {"order_number", "amount", "items"}

    @pytest.mark.parametrize("customer", ["Zoë Laurent", ""])
    @pytest.mark.parametrize("is_full", [True, False])
    def test_they_render_with_all_fields_and_with_the_fewest(
        self, name: str, customer: str, is_full: bool
    ) -> None:
        checked = shipped_template(name)
        fields = {
            key: value
            for key, value in BELIEVABLE.items()
            if is_full or key in required_fields_of(checked)
        }
        shop = Shop("Lindenhof Tea", parse_address("help@shop.example"), POSTAL)
        composer = OrderStatusComposer(checked, Sender("Lindenhof Tea", ORDERS), shop)
        composed = composer.compose(
            Recipient(parse_address("zoe@customer.example"), customer, fields),
            "<o.1@shop.example>",
            datetime(2026, 3, 9, tzinfo=UTC),
        )
        message = email.message_from_bytes(composed.message, policy=policy.default)
        text_part, html_part = message.get_body(("plain",)), message.get_body(("html",))
        assert text_part is not None
        assert html_part is not None
        text, html = text_part.get_content(), html_part.get_content()
        assert "LT-1042" in message["Subject"]
        assert subject_faults(message["Subject"]) == []
        for shown in (text, html):
            assert "LT-1042" in shown
            assert "help@shop.example" in shown
            assert POSTAL in shown
            assert "None" not in shown
            assert "{{" not in shown
            assert "{%" not in shown
        assert "\n\n\n" not in text
        parser = SeenHtml()
        parser.feed(html)
        assert parser.open == []


def test_each_field_that_is_documented_is_used_by_some_type() -> None:
    used = {field for name in TYPES for field in fields_of(shipped_template(name))}
    assert set(DOCUMENTED) <= {*used, "name"}  # which every type may have: it stands in To


def test_each_type_of_the_allow_list_ships_in_text_and_html() -> None:
    names = {name.partition(".")[0] for name in SOURCES if not name.startswith("_")}
    assert names == set(TYPES)
    assert all(f"{name}.html" in SOURCES for name in TYPES)
