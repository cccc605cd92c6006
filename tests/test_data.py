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
        "class = 3\n",
        "[[class]]\nlanguage = 'de'\nforms = ['post']\n",
        "[[class]]\nlanguage = 'de'\nname = 'post'\nforms = ['post']\nunless = ['paket']\n",
        "[[class]]\nlanguage = 'de'\nname = 'Die Post'\nforms = ['post']\n",
        "[[class]]\nlanguage = 'de'\nname = 'post'\nforms = []\n",
        "[[class]]\nlanguage = 'de'\nname = 'post'\nforms = 'post'\n",
        "[[class]]\nlanguage = 'de'\nname = 'post'\nforms = ['{post}']\n",
        "[[entry]]\nlanguage = 'de'\nform = 'weg mit {nothing}'\n",
        "[[entry]]\nlanguage = 'xx'\nform = '{mail}'\n",
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
        "Write one of anywhere, beginning, whole_subject, with_object, before_object."
    )


def test_a_missing_or_undecodable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        load_vocabulary(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[[entry]]\nform = "d\xe9sabonner"\n')
    with pytest.raises(InputError, match="UTF-8"):
        load_vocabulary(latin)


def test_an_admins_class_is_named_in_braces_and_makes_rows_of_forms(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text(
        '[[class]]\nlanguage = "xx"\nname = "post"\nforms = ["bref", "brefa"]\n'
        '[[class]]\nlanguage = "xx"\nname = "end"\nforms = ["stans", "hold op med"]\n'
        '[[entry]]\nlanguage = "xx"\nform = "{end} {post}"\n'
        '[[off]]\nlanguage = "xx"\nform = "no such form"\n'
    )
    words = load_vocabulary(path)
    for subject in ("Stans bref!", "Hold op med brefa"):
        assert words.find(subject), subject
    assert not words.find("Stans!") and not words.find("bref")


def test_an_admin_may_add_words_to_a_shipped_class(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text('[[class]]\nlanguage = "en"\nname = "ads"\nforms = ["tealetters"]\n')
    subject = "I am fed up with your tealetters"
    assert load_vocabulary().find(subject) is None
    assert load_vocabulary(path).find(subject) is not None


def test_a_class_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text(
        '[[class]]\nlanguage = "xx"\nname = "post"\nforms = ["bref"]\n'
        '[[entry]]\nlanguage = "xx"\nform = "stans {pots}"\n'
    )
    with pytest.raises(InputError) as told:
        load_vocabulary(path)
    assert str(told.value) == (
        f"{path}, entry 1: 'stans {{pots}}' names the class {{pots}}, which is not there. "
        "Known for 'xx' are {post}."
    )


def test_a_form_that_stands_for_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    listed = ", ".join(f'"word{n}"' for n in range(40))
    path.write_text(
        f'[[class]]\nlanguage = "xx"\nname = "post"\nforms = [{listed}]\n'
        '[[entry]]\nlanguage = "xx"\nform = "{post} {post}"\n'
    )
    with pytest.raises(InputError, match="more than 1000 forms"):
        load_vocabulary(path)
