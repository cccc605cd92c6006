"""The API as a process."""

from __future__ import annotations

import asyncio

import structlog

from mailbot.config import Settings, load_token_keys
from mailbot.lists.hand import Hand
from mailbot.log import configure as configure_log
from mailbot.outbound.letterhead import Letterhead
from mailbot.outbound.order_status import HandOver
from mailbot.outbound.order_status_types import OrderStatusTypes
from mailbot.web import serving
from mailbot.web.api.app import api_app
from mailbot.web.sockets import listening

log = structlog.get_logger()


def run(settings: Settings, hand: Hand) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Raises ConfigError, TemplateError or ListenError where it cannot even start.
    """
    configure_log(settings.log.level, settings.log.format, own_addresses=settings.own_addresses)
    handing = HandOver(
        OrderStatusTypes(settings.order_status.templates_dir),
        hand.person_key,
        Letterhead.of(settings, load_token_keys(settings)),
    )
    sockets = listening(settings.api.listen, what="The API", table="api")
    try:
        asyncio.run(serving.serve(
            api_app(settings, hand, handing), sockets, name="api",
            patience=settings.api.timeout_seconds, most_connections=settings.api.connections,
        ))  # fmt: skip
    finally:
        for listener in sockets:
            listener.close()
    log.info("api_stopped")
    return 0
