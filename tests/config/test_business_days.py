"""Which days are business days, by a country's own holidays."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from mailbot.config import load
from mailbot.config.business_days import business_days
from mailbot.core.errors import ConfigError

MANUAL = Path(__file__).parents[2] / "config" / "mailbot.toml"


def config(folder: Path, *lines: str) -> Path:
    """The manual with these lines under [shop]."""
    text = MANUAL.read_text(encoding="utf-8").replace("[shop]\n", "[shop]\n" + "\n".join(lines), 1)
    path = folder / "mailbot.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("lines", "closed", "open_"),
    [
        ([], ["2026-11-28", "2026-11-29"], ["2026-11-26", "2026-12-25"]),
        (['country = "US"'], ["2026-11-26", "2026-07-03", "2026-11-28"], ["2026-11-27"]),
        (['country = "CA"'], ["2026-07-01", "2026-12-25"], ["2026-06-24", "2026-11-26"]),
        (['country = "CA"', 'subdivision = "QC"'], ["2026-06-24"], ["2026-06-25"]),
        (['country = "DE"'], ["2026-10-03", "2026-12-25", "2027-01-01"], ["2026-11-26"]),
        (['country = "DE"', 'subdivision = "BY"'], ["2027-01-06"], ["2027-01-07"]),
    ],
)
def test_holidays_are_those_of_the_country(
    tmp_path: Path, lines: list[str], closed: list[str], open_: list[str]
) -> None:
    is_business_day = business_days(load(config(tmp_path, *lines)))
    assert [day for day in closed if is_business_day(date.fromisoformat(day))] == []
    assert [day for day in open_ if not is_business_day(date.fromisoformat(day))] == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['country = "Germany"'], "the public holidays of “Germany” are not known"),
        (['country = "US"', 'subdivision = "QC"'], "US has no part “QC”"),
        (['subdivision = "QC"'], "it is a part of no country"),
    ],
)
def test_what_is_no_country_is_refused_by_name(
    tmp_path: Path, lines: list[str], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, *lines))
    assert words in str(caught.value)
