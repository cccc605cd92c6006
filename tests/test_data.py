"""The shipped vocabulary reads, and an admin's file can only add to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbot.core.errors import InputError
from mailbot.data import load_vocabulary


def test_the_shipped_vocabulary_holds_the_promised_word() -> None:
    assert load_vocabulary().find("please UNSUBSCRIBE me") is not None


def test_the_admins_file_adds_and_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text('[[entry]]\nlanguage = "de"\nform = "abbestellen"\nwhere = "whole_subject"\n')
    words = load_vocabulary(path)
    assert words.find("Abbestellen!") is not None
    assert words.find("Ware abbestellen") is None
    assert words.find("unsubscribe") is not None


@pytest.mark.parametrize(
    "text",
    [
        "[[entry]]\nlanguage = 'de'\n",
        "[[entry]]\nlanguage = 'de'\nform = 'x y'\nwhen = 'now'\n",
        "[[entry]]\nlanguage = 'de'\nform = 'x y'\nwhere = 'there'\n",
        "[[entry]]\nlanguage = 'de'\nform = ''\n",
        "[[entry]]\nlanguage = 'de'\nform = '!!!'\n",
        "[[entry]]\nlanguage = 'de'\nform = 'x y'\nunless = ['']\n",
        "[[entry]]\nlanguage = 'de'\nform = 'x'\nwhere = 'with_object'\nobjects = ['-']\n",
        "[[entry]]\nlanguage = 'de'\nform = 'x y'\ncertain = 'no'\n",
        "[[entry]]\nlanguage = 'de'\nforms = 'x y'\n",
        "entry = 3\n",
        "not toml",
    ],
)
def test_a_faulty_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "words.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"words\.toml"):
        load_vocabulary(path)


def test_a_wrong_choice_is_told_with_the_right_ones(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text("[[entry]]\nlanguage = 'de'\nform = 'x y'\nwhere = 'there'\n")
    with pytest.raises(InputError) as told:
        load_vocabulary(path)
    assert str(told.value) == (
        f"{path}, entry 1: where = 'there' is none of the choices. "
        "Write one of anywhere, beginning, whole_subject, with_object."
    )


def test_a_missing_or_undecodable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        load_vocabulary(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[[entry]]\nform = "d\xe9sabonner"\n')
    with pytest.raises(InputError, match="UTF-8"):
        load_vocabulary(latin)
