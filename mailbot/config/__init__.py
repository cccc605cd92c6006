"""The settings: one annotated TOML file, read once, every fault told at once.

settings.py  the tables and their defaults        values.py   what one value must look like
reading.py   file and environment → Settings      faults.py   pydantic's errors in plain words
secrets.py   passwords and keys, never in that    dkim_keys.py  the keys that sign our mail
"""

from __future__ import annotations

from mailbot.config.public import PublicSettings
from mailbot.config.reading import load, load_public_page
from mailbot.config.secrets import (
    check_secrets,
    load_dkim_keys,
    load_person_key,
    load_token_keys,
    read_relay_secret,
    read_secret,
    secret_path,
)
from mailbot.config.settings import (
    AcknowledgementsSettings,
    AudienceSettings,
    CampaignsSettings,
    DaemonSettings,
    DkimSettings,
    DnsSettings,
    KeysSettings,
    LogSettings,
    MailboxSettings,
    OrderStatusSettings,
    PublicPageSettings,
    RelaySettings,
    SenderSettings,
    Settings,
    ShopSettings,
    StoreSettings,
    TokenKeySettings,
)

__all__ = [
    "AcknowledgementsSettings",
    "AudienceSettings",
    "CampaignsSettings",
    "DaemonSettings",
    "DkimSettings",
    "DnsSettings",
    "KeysSettings",
    "LogSettings",
    "MailboxSettings",
    "OrderStatusSettings",
    "PublicPageSettings",
    "PublicSettings",
    "RelaySettings",
    "SenderSettings",
    "Settings",
    "ShopSettings",
    "StoreSettings",
    "TokenKeySettings",
    "check_secrets",
    "load",
    "load_dkim_keys",
    "load_person_key",
    "load_public_page",
    "load_token_keys",
    "read_relay_secret",
    "read_secret",
    "secret_path",
]
