"""Mails that no mutation finds: their tokens are signed. Seeds beside those of tests/messages."""

from __future__ import annotations

from typing import Final

from mailbot.core.tokens import (
    TokenKey,
    TokenKeys,
    opt_out_address,
    return_path_address,
    sign_opt_out,
    sign_return_path,
    sign_undo,
    undo_address,
)

HELP: Final = "help@shop.example"
PERSON: Final = "0" * 32
OLD: Final = bytes(range(1, 33))
NEW: Final = TokenKey(2, bytes(range(32)))
KEYS: Final = TokenKeys((TokenKey(1, OLD, is_revoked=True), NEW))
_BEFORE_THE_LEAK: Final = TokenKeys((TokenKey(1, OLD),))

OPT_OUT: Final = opt_out_address(HELP, sign_opt_out(KEYS, PERSON))
REVOKED: Final = opt_out_address(HELP, sign_opt_out(_BEFORE_THE_LEAK, PERSON))
UNDO: Final = undo_address(HELP, sign_undo(KEYS, PERSON))
RETURN_PATH: Final = return_path_address(HELP, sign_return_path(KEYS, 7))

_FROM: Final = "From: Ann <ann@example.org>\n"
_CHECKED: Final = "Authentication-Results: mx.shop.example; spf=fail; dkim=none (no) ; dmarc=fail\n"
_TEXTS: Final = {
    "opt-out-token": f"{_FROM}To: {OPT_OUT}\nSubject:\n\n",
    "opt-out-token of two": f"From: a@b.example, c@d.example\nTo: {OPT_OUT.upper()}\n\n",
    "opt-out-token in a subject": f"{_FROM}Subject: {OPT_OUT.split('@', maxsplit=1)[0]}\n\n",
    "opt-out-token revoked": f"{_FROM}Cc: {REVOKED}\nSubject: unsubscribe\n\n",
    "undo": f"{_FROM}To: {UNDO}\nSubject: resubscribe\n\n",
    "delivery-report": (
        f"From: MAILER-DAEMON@x.example\nTo: {RETURN_PATH}\nReturn-Path: <>\n\n"
        "<ann@example.org>: 550 5.1.1 user unknown\n"
    ),
    "feedback-report": (
        "From: x@y.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=b"
        "\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\n--b\n"
        "Content-Type: text/rfc822-headers\n\nMessage-ID: <campaign-1@shop.example>\n"
        f"Return-Path: <{RETURN_PATH}>\nList-Unsubscribe: <mailto:{OPT_OUT}>\n\n--b--\n"
    ),
    "word-in-subject": f"{_CHECKED}{_FROM}To: {HELP}\nSubject: unsubscribe\n\n",
}
MAILS: Final = {name: text.encode() for name, text in _TEXTS.items()}
