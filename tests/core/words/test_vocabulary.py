"""The words as data: where in a subject each counts, and what stands around it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbot.core.errors import InputError
from mailbot.core.words.folding import plain
from mailbot.core.words.misspellings import is_nearly_the_word
from mailbot.core.words.subject_prefixes import end_of_prefixes, is_forward, is_reply
from mailbot.core.words.vocabulary import THE_WORD, Boundary, Entry, Vocabulary, Where
from mailbot.data import load_vocabulary

SHIPPED = load_vocabulary()


def vocabulary(*entries: Entry, **more: Any) -> Vocabulary:
    return Vocabulary(entries, **more)


class TestWhere:
    def test_anywhere_is_anywhere_as_a_word(self) -> None:
        words = vocabulary(Entry("de", ("keine werbung",)))
        assert words.find("Bitte KEINE  Werbung mehr!")
        assert not words.find("keine werbungskosten")

    def test_a_whole_subject_may_have_prefixes_tags_and_courtesies(self) -> None:
        words = vocabulary(
            Entry("de", ("stopp",), Where.WHOLE_SUBJECT), courtesies=("bitte", "vielen dank")
        )
        for subject in ("Stopp", "AW: [Tee] stopp!", "Bitte stopp, vielen Dank", "Re[2]: STOPP"):
            assert words.find(subject), subject
        assert not words.find("stopp die Lieferung")

    def test_with_object_needs_one_near(self) -> None:
        words = vocabulary(
            Entry("de", ("abbestell*",), Where.WITH_OBJECT, objects=("newsletter*", "werbung"))
        )
        assert words.find("Newsletter bitte abbestellen")
        assert words.find("abbestellung des Newsletters")
        assert not words.find("Bestellung abbestellen")
        assert not words.find("abbestellen " + "und noch viel mehr Text " * 4 + "newsletter")

    def test_before_object_is_the_same_clause_and_a_few_words(self) -> None:
        words = vocabulary(
            Entry("de", ("nicht",), Where.BEFORE_OBJECT, objects=("loschen", "abmeld*"))
        )
        assert words.find("Bitte nicht aus dem Newsletter löschen")
        assert words.find("nicht abmelden")
        assert not words.find("Das will ich nicht, bitte löschen")
        assert not words.find("löschen nicht")
        assert not words.find("nicht eins zwei drei vier fünf sechs löschen")

    def test_unless_takes_the_entry_back(self) -> None:
        words = vocabulary(Entry("es", ("dar de baja",), unless=("cuenta", "*kurs*")))
        assert words.find("quiero dar de baja")
        assert not words.find("quiero dar de baja mi cuenta")
        assert not words.find("dar de baja Sprachkurse")

    def test_the_beginning_comes_after_prefixes_and_courtesies(self) -> None:
        words = vocabulary(
            refusals=(Entry("en", ("do not unsubscribe",), Where.BEGINNING),),
            courtesies=("hello",),
        )
        assert words.refuses("Re: Hello, do not unsubscribe me")
        assert not words.refuses("You do not unsubscribe me")

    def test_scripts_without_blanks_match_inside(self) -> None:
        words = vocabulary(Entry("ja", ("配信停止",), boundary=Boundary.SUBSTRING))
        assert words.find("メルマガ配信停止希望")

    def test_what_is_not_certain_says_so_and_a_certain_form_wins(self) -> None:
        words = vocabulary(
            Entry("en", ("remove",), Where.WHOLE_SUBJECT, is_certain=False),
            Entry("en", ("unsubscribe",)),
        )
        doubtful, certain = words.find("remove"), words.find("unsubscribe")
        assert doubtful is not None and not doubtful.is_certain
        assert certain is not None and certain.is_certain

    def test_a_hit_knows_whether_it_stands_alone(self) -> None:
        for subject, is_whole, is_alone in (
            ("unsubscribe", True, True),
            ("Unsubscribe!!", True, True),
            ("Re: unsubscribe please", False, True),
            ("unsubscribe my aunt", False, False),
        ):
            hit = SHIPPED.find(subject)
            assert hit is not None
            assert (hit.is_whole, hit.is_alone) == (is_whole, is_alone), subject


class TestSpelling:
    @pytest.mark.parametrize(
        "subject",
        ["desabonnement", "DÉSABONNEMENT", "De\u0301sabonnement", "désa\u00adbonnement",
         "ｄésabonnement", "désabonnement\u200b"],
    )  # fmt: skip
    def test_accents_width_and_the_invisible_change_nothing(self, subject: str) -> None:
        assert SHIPPED.find(subject)

    def test_a_latin_word_amid_chinese_is_a_word(self) -> None:
        assert THE_WORD.find("请unsubscribe我的邮箱")
        assert THE_WORD.find("unsubscribe希望")
        assert not THE_WORD.find("1unsubscribe2")

    @pytest.mark.parametrize(
        "word",
        ["unsubcribe", "unsuscribe", "unsubsribe", "unsubscirbe", "usubscribe", "unsubscrib",
         "unsubscribbe", "nsubscribe", "unsubscride", "insubscribe", "unsubscibe"],
    )  # fmt: skip
    def test_typing_errors_are_known(self, word: str) -> None:
        assert is_nearly_the_word(word)

    @pytest.mark.parametrize(
        "word",
        ["unsubscribe", "subscribe", "resubscribe", "subscriber", "unsubscribed", "describe",
         "inscribe", "unsubstantial", "prescribe"],
    )  # fmt: skip
    def test_other_words_are_no_typing_errors(self, word: str) -> None:
        assert not is_nearly_the_word(word)

    def test_one_error_in_a_long_form_is_known_and_its_opposite_is_not(self) -> None:
        assert SHIPPED.is_typo_of_a_form(plain("отписатся"))
        assert SHIPPED.is_typo_of_a_form("uitschriven")
        for opposite in ("anmeldung", "підписатися", "aanmelden", "bestellen", "inschrijven"):
            assert not SHIPPED.is_typo_of_a_form(plain(opposite)), opposite


class TestPrefixes:
    @pytest.mark.parametrize(
        ("subject", "proper"),
        [("Re: unsubscribe", "unsubscribe"), ("AW: WG: x", "x"), ("[Tea] Re: [Tea] x", "x"),
         ("RE[3]: x", "x"), ("回复：x", "x"), ("Odp: Sv: x", "x"), ("really: x", "really: x")],
    )  # fmt: skip
    def test_are_found_in_many_languages(self, subject: str, proper: str) -> None:
        text = plain(subject)
        assert text[end_of_prefixes(text) :] == proper

    def test_tell_answers_from_forwards(self) -> None:
        assert is_reply("re: x") and not is_reply("fwd: x") and not is_reply("repair: x")
        assert is_forward("wg: x") and is_forward("re: fwd: x") and not is_forward("fw x")


class TestData:
    def test_the_twelve_languages_and_more_are_shipped(self) -> None:
        languages = {entry.language for entry in SHIPPED.entries}
        assert languages >= {"en", "de", "fr", "es", "pt", "it", "nl", "pl", "sv", "ru", "ja", "zh"}
        assert len(languages) >= 20

    def test_no_opposite_wish_is_an_opt_out(self) -> None:
        """Who wants to come back writes one of these."""
        for entry in SHIPPED.come_back:
            for form in entry.forms:
                assert not SHIPPED.find(form.replace("*", "")), form

    def test_every_refusal_is_refused_and_no_bare_form_is(self) -> None:
        for entry in SHIPPED.refusals:
            if not entry.where.has_objects:
                for form in entry.forms:
                    assert SHIPPED.refuses(form.replace("*", "")), form
        for entry in SHIPPED.entries:
            if not entry.where.has_objects:
                for form in entry.forms:
                    assert not SHIPPED.refuses(form.replace("*", "")), form

    def test_objects_go_with_their_where_and_forms_are_neither_empty_nor_endless(self) -> None:
        for wrong in (
            {"forms": ("x" * 81,)},
            {"forms": ("u",)},
            {"forms": ()},
            {"forms": ("*a",)},
            {"forms": ("stop",), "objects": ("mail",)},
            {"forms": ("stop",), "where": Where.WITH_OBJECT},
        ):
            with pytest.raises(InputError):
                Entry("en", **wrong)


@given(st.text(max_size=300))
def test_any_text_can_be_asked(text: str) -> None:
    SHIPPED.find(text)
    SHIPPED.refuses(text)
    SHIPPED.sounds_like_a_robot(text)
    SHIPPED.core_of(text)


def test_time_grows_with_the_subject_and_no_faster() -> None:
    """Four times the text, well under sixteen times the time."""

    def seconds(size: int) -> float:
        text = "stop abbestell remove do not отмен " * (size // 35)
        best = 9.0
        for _ in range(5):
            started = time.perf_counter()
            SHIPPED.find(text)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds(4000) < 8 * seconds(1000) + 0.002


class TestWhoWritesAroundAForm:
    @pytest.mark.parametrize(
        "subject",
        ["Abmelden anna@example.org", "BAJA ana@example.org 4711", "Re: [Tee] stop #1234",
         "unsuscribe anna@example.org"],
    )  # fmt: skip
    def test_their_address_and_numbers_say_nothing_else(self, subject: str) -> None:
        core = "".join(SHIPPED.core_of(subject))
        hit = SHIPPED.find(subject)
        assert (hit is not None and hit.is_alone) or SHIPPED.is_misspelling(core)

    def test_a_sudden_no_is_still_a_refusal(self) -> None:
        for subject in (
            "Wait, don't unsubscribe me",
            "Oops, do not unsubscribe me",
            "No, don't unsubscribe",
        ):
            assert SHIPPED.refuses(subject), subject


def test_what_an_answer_adds_behind_a_dash_is_a_subject_of_its_own() -> None:
    for subject in (
        "Re: Spring offers -20% - stop please",
        "AW: Nur noch heute versandkostenfrei - abbestellen!",
        "RE: Vuelta al cole 15% – baja por favor",
    ):
        assert SHIPPED.find(subject), subject
    for subject in ("Spring offers - stop", "Re: door stop - where is it?", "Re: stop - order 12"):
        assert not SHIPPED.find(subject), subject


def test_what_was_answered_takes_back_nothing_of_what_was_added() -> None:
    words = vocabulary(Entry("nl", ("uitschrijven",), unless=("school",)))
    assert words.find("Re: Terug naar school 15% - uitschrijven graag")
    assert not words.find("Re: Winter - uitschrijven van school")
    assert not words.find("Terug naar school - uitschrijven")
