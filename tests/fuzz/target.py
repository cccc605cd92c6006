"""What one fuzzed input has to stand: reading, recognising and describing raise nothing, and keep
to their bounds.

Run by tests/fuzz/fuzzer.py under atheris; `check` alone is an ordinary function, and a crash that
was found becomes a test that calls it.
"""

from __future__ import annotations

import json
import time
from typing import Final

from mailbot.core.address import MAX_ADDRESS_CHARS
from mailbot.core.inbound_message import (
    MAX_BODY_BYTES,
    MAX_SUBJECT_CHARS,
    InboundMessage,
    read_message,
)
from mailbot.core.person import Person
from mailbot.core.reading.header_fields import MAX_HEADER_BYTES
from mailbot.core.reading.mime_parts import MAX_PARTS
from mailbot.core.reading.written_lines import written_lines
from mailbot.core.recognition import (
    Facts,
    Verdict,
    describe,
    mentions,
    needs_body,
    recognise,
)
from mailbot.core.verdicts import OurMessage
from mailbot.data import load_vocabulary
from tests.fuzz import seeds

OURS: Final = OurMessage(7, Person(seeds.PERSON, seeds.PERSON), "bob@example.net", "campaign")
FACTS: Final = Facts(
    help_address=seeds.HELP,
    own_domains=frozenset({"shop.example"}),
    own_lists=frozenset({"help.shop.example"}),
    token_keys=seeds.KEYS,
    our_messages={"<campaign-1@shop.example>": OURS, "outbox:7": OURS},
    authserv_ids=frozenset({"mx.shop.example"}),
    vocabulary=load_vocabulary(),
)
# Far above what any input needs under instrumentation, far below what a square of its size takes.
SECONDS_AT_ALL: Final = 0.25
SECONDS_A_BYTE: Final = 60e-6
ROUNDS: Final = 3


def check(raw: bytes) -> None:
    """Raises where any promise about these bytes is broken."""
    seconds = _seconds_of_reading(raw)
    for _ in range(ROUNDS - 1):
        if seconds > _most_seconds(raw):  # something else may have been busy
            seconds = min(seconds, _seconds_of_reading(raw))
    assert seconds <= _most_seconds(raw), f"{seconds:.2f} s for {len(raw)} bytes"


def _most_seconds(raw: bytes) -> float:
    return SECONDS_AT_ALL + SECONDS_A_BYTE * len(raw)


def _seconds_of_reading(raw: bytes) -> float:
    started = time.process_time()
    _read(raw)
    return time.process_time() - started


def _read(raw: bytes) -> None:
    whole, header_only = read_message(raw), read_message(raw, is_whole=False)
    _keeps_its_bounds(whole)
    _keeps_its_bounds(header_only)
    assert header_only.body == b""
    assert header_only.parts == ()
    assert whole.subject == header_only.subject
    assert whole.digest == header_only.digest
    verdict = recognise(whole, FACTS)
    _is_told_in_full(verdict)
    if not needs_body(header_only, FACTS):
        assert recognise(header_only, FACTS) == verdict
    assert not needs_body(whole, FACTS)
    for message in (whole, header_only):
        found = mentions(message, FACTS)
        assert len(found.message_ids) <= 100
        assert len(found.outbox_ids) <= 100
    written_lines(whole)


def _keeps_its_bounds(message: InboundMessage) -> None:
    assert len(message.subject) <= MAX_SUBJECT_CHARS
    assert len(message.body) <= MAX_BODY_BYTES
    assert len(message.parts) <= MAX_PARTS
    assert sum(len(part.body) for part in message.parts) <= 2 * MAX_BODY_BYTES
    header = sum(len(value) for values in message.fields.values.values() for value in values)
    assert header <= MAX_HEADER_BYTES
    for address in (*(box.address for box in message.from_mailboxes), *message.recipients):
        assert len(address.text) <= MAX_ADDRESS_CHARS
        address.envelope.encode("utf-8")  # no half character gets out
    for text in (message.subject, message.from_text, message.message_id, message.return_path or ""):
        text.encode("utf-8")


def _is_told_in_full(verdict: Verdict) -> None:
    told = describe(verdict)
    written = json.dumps(told, ensure_ascii=False)
    written.encode("utf-8")
    assert json.loads(written) == told
