"""What one fuzzed input has to stand: reading, recognising and describing raise nothing.

Run by tests/fuzz/run.py under atheris; `check` alone is an ordinary function, and a crash that was
found becomes a test that calls it.
"""

from __future__ import annotations

import json
from typing import Final

from mailbot.core.inbound_message import MAX_BODY_BYTES, MAX_SUBJECT_CHARS, read_message
from mailbot.core.person import Person
from mailbot.core.reading.mime_parts import MAX_PARTS
from mailbot.core.reading.written_lines import written_lines
from mailbot.core.recognition import Facts, describe, mentions, needs_body, recognise
from mailbot.core.tokens import TokenKey, TokenKeys
from mailbot.core.verdicts import OurMessage
from mailbot.data import load_vocabulary

OURS: Final = OurMessage(7, Person("0" * 32, "0" * 32), "bob@example.net", "campaign")
FACTS: Final = Facts(
    help_address="help@shop.example",
    own_domains=frozenset({"shop.example"}),
    own_lists=frozenset({"help.shop.example"}),
    token_keys=TokenKeys((TokenKey(1, bytes(range(32))),)),
    our_messages={"<campaign-1@shop.example>": OURS, "outbox:7": OURS},
    authserv_ids=frozenset({"mx.shop.example"}),
    vocabulary=load_vocabulary(),
)


def check(raw: bytes) -> None:
    """Raises where any promise about these bytes is broken."""
    whole, header_only = read_message(raw), read_message(raw, is_whole=False)
    assert len(whole.subject) <= MAX_SUBJECT_CHARS
    assert len(whole.body) <= MAX_BODY_BYTES
    assert len(whole.parts) <= MAX_PARTS
    assert whole.subject == header_only.subject
    verdict = recognise(whole, FACTS)
    told = describe(verdict)
    assert json.loads(json.dumps(told)) == told
    if not needs_body(header_only, FACTS):
        assert recognise(header_only, FACTS).name == verdict.name
    found = mentions(whole, FACTS)
    assert len(found.message_ids) <= 100
    assert len(found.outbox_ids) <= 100
    written_lines(whole)
