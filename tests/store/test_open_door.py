"""The folder of the door, as its process makes it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mailbot.config import load_public_page
from mailbot.core.errors import DoorClosed
from mailbot.store.door import open_door
from tests.web.conftest import SETTINGS


def configured(tmp_path: Path, spool: Path) -> Path:
    config = tmp_path / "mailbot.toml"
    config.write_text(SETTINGS.replace("[log]", f'spool = "{spool}"\n[log]'))
    return config


def test_the_daemons_group_may_remove_what_it_recorded_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        open_door(load_public_page(configured(tmp_path, tmp_path / "spool")))
    finally:
        os.umask(before)
    mode = stat.S_IMODE((tmp_path / "spool").stat().st_mode)
    assert mode & 0o7777 == 0o2770


def test_the_rights_that_an_admin_gave_a_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    open_door(load_public_page(configured(tmp_path, tmp_path / "spool")))
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(DoorClosed, match="the folder for wishes cannot be made"):
        open_door(load_public_page(configured(tmp_path, tmp_path / "gone" / "spool")))
