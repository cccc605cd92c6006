"""Wrong links are counted for each client, in bounded memory."""

from __future__ import annotations

from mailbot.web.limits import _MOST_CLIENTS, WrongLinks


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_a_minute_and_one_more_each_time_some_have_leaked() -> None:
    seconds = Seconds()
    links = WrongLinks(6, seconds)
    assert [links.are_too_many("a") for _ in range(8)] == [False] * 6 + [True] * 2
    seconds.now += 10
    assert [links.are_too_many("a") for _ in range(2)] == [False, True]
    seconds.now += 3600
    assert [links.are_too_many("a") for _ in range(7)] == [False] * 6 + [True]


def test_who_keeps_on_trying_is_let_in_again_at_the_same_pace() -> None:
    seconds = Seconds()
    links = WrongLinks(60, seconds)
    let_in = 0
    for _ in range(600):
        seconds.now += 0.1
        let_in += not links.are_too_many("a")
    assert 60 + 59 <= let_in <= 60 + 60


def test_a_million_clients_take_no_more_room_than_the_bound() -> None:
    links = WrongLinks(1, Seconds())
    for number in range(_MOST_CLIENTS + 500):
        links.are_too_many(str(number))
    assert len(links._buckets) == _MOST_CLIENTS
    assert links.are_too_many(str(_MOST_CLIENTS + 499)), "the newest are remembered"
    assert not links.are_too_many("0"), "the oldest is forgotten"
