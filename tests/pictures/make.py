"""`make pictures`: each mail, and the public page, at three widths on one sheet in docs/images/."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Final

from PIL import Image

from tests.pictures.browser import SCHEMES, WIDTHS, chromium, shown
from tests.pictures.mails import Mail, all_mails
from tests.pictures.public_pages import pictured_pages

FOLDER: Final = Path(__file__).parent.parent.parent / "docs" / "images"
_GAP, _BETWEEN = 24, (128, 128, 128)
_SHEET_WIDTH, _COLOURS = 1400, 64


def everything() -> list[Mail]:
    """Each mail, and the public page in each language."""
    return [*all_mails(), *pictured_pages()]


def main(folder: Path = FOLDER) -> None:
    """Write one sheet for each."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = everything()  # before the browser: its own event loop lets no other run
    with chromium() as browser:
        for mail in wanted:
            pictures = {}
            for width in WIDTHS:
                for scheme in SCHEMES:
                    with shown(browser, mail.page, width, scheme) as page:
                        taken = Image.open(io.BytesIO(page.picture()))
                        pictures[width, scheme] = taken.convert("RGB")
            narrow, middle, wide = ([pictures[width, one] for one in SCHEMES] for width in WIDTHS)
            sheet = _below(_beside([*middle, *narrow]), _beside(wide))
            small = sheet.quantize(_COLOURS, dither=Image.Dither.NONE)
            small.save(folder / f"{mail.name.replace('_', '-')}.png", optimize=True)
            sys.stdout.write(f"{mail.name}\n")


def _beside(pictures: list[Image.Image]) -> Image.Image:
    """In one row, as wide as the sheet."""
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) + 1)
    height = max(picture.height for picture in pictures) + _GAP
    row = Image.new("RGB", (width, height), _BETWEEN)
    left = _GAP
    for picture in pictures:
        row.paste(picture, (left, _GAP))
        left += picture.width + _GAP
    scale = _SHEET_WIDTH / width
    return row.resize((_SHEET_WIDTH, round(height * scale)), Image.Resampling.LANCZOS)


def _below(above: Image.Image, below: Image.Image) -> Image.Image:
    sheet = Image.new("RGB", (_SHEET_WIDTH, above.height + below.height + _GAP // 2), _BETWEEN)
    sheet.paste(above, (0, 0))
    sheet.paste(below, (0, above.height))
    return sheet


if __name__ == "__main__":
    main()
