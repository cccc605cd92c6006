"""The door to the holidays library: which days are business days where the shop is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailbot.core.deadlines import IsBusinessDay, is_weekday
from mailbot.core.errors import InputError

if TYPE_CHECKING:
    from mailbot.config.settings import Settings


def business_days(settings: Settings) -> IsBusinessDay:
    """By the public holidays of `shop.country`; Monday to Friday where none is set."""
    shop = settings.shop
    if shop.country is None:
        return is_weekday
    from holidays import country_holidays  # a third of a second: only for who asks

    return country_holidays(shop.country, subdiv=shop.subdivision).is_working_day


def check_country(country: str) -> None:
    """Raises InputError for a country whose holidays are not known."""
    from holidays import list_supported_countries

    if country not in list_supported_countries(include_aliases=False):
        raise InputError(
            f"the public holidays of “{country}” are not known.",
            next_step="Write its two letters of ISO 3166, like US, CA or DE; or leave it out.",
        )


def check_subdivision(country: str | None, subdivision: str) -> None:
    """Raises InputError for a part of a country whose holidays are not known."""
    from holidays import list_supported_countries

    if country is None:
        raise InputError("it is a part of no country.", next_step="Write country as well.")
    known = list_supported_countries(include_aliases=False).get(country, [])
    if subdivision not in known:
        raise InputError(
            f"{country} has no part “{subdivision}” with holidays of its own.",
            next_step=f"Write one of {', '.join(sorted(known))}." if known else "Leave it out.",
        )
