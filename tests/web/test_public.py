"""What the public page answers, and what it hands to the door."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest
import structlog

from mailbot.core.tokens import TokenKey, TokenKeys, sign_opt_out, verify_undo_ticket
from mailbot.core.wishes import Wish, WishKind
from mailbot.web.health import HEALTHY
from tests.web.conftest import (
    ANN,
    KEYS,
    ONE_CLICK,
    TOKEN,
    Clock,
    Notebook,
    SettingsMaker,
    Visitor,
    VisitorMaker,
)

PAGE = f"/u/{TOKEN}"
CODE = "kJ3_x-" + "a1" * 13


def ticket_in(answer: httpx.Response) -> str:
    found = re.search(r'name="ticket" value="([a-z2-7]+)"', answer.text)
    assert found, answer.text
    return found[1]


class TestOneClick:
    async def test_the_mail_programs_button_leaves(
        self, visitor: Visitor, door: Notebook, clock: Clock
    ) -> None:
        answer = await visitor.client.post(PAGE, data=ONE_CLICK)
        assert (answer.status_code, answer.text) == (200, "Unsubscribed.\n")
        [wish] = door.wishes
        assert wish == Wish(wish.wish_id, WishKind.LEAVE, TOKEN, clock.now, "one_click")
        assert re.fullmatch("[0-9a-f]{32}", wish.wish_id)

    async def test_multipart_is_heard_as_well(self, visitor: Visitor, door: Notebook) -> None:
        """RFC 8058 §3.2 recommends multipart/form-data, and allows the other."""
        body = {name: (None, value) for name, value in ONE_CLICK.items()}
        answer = await visitor.client.post(PAGE, files=body)
        assert answer.request.headers["content-type"].startswith("multipart/form-data")
        assert answer.status_code == 200
        assert [wish.source for wish in door.wishes] == ["one_click"]

    @pytest.mark.parametrize(
        "body",
        [
            "list-unsubscribe=one-click",
            "x=1&List-Unsubscribe=One-Click",
            "List-Unsubscribe=One-Click&",
        ],
    )
    async def test_another_case_and_more_fields_are_heard(
        self, visitor: Visitor, door: Notebook, body: str
    ) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        answer = await visitor.client.post(PAGE, content=body, headers=headers)
        assert answer.status_code == 200
        assert len(door.wishes) == 1

    async def test_no_cookie_and_no_redirect(self, visitor: Visitor) -> None:
        answer = await visitor.client.post(PAGE, data=ONE_CLICK, headers={"Cookie": "a=b"})
        assert "set-cookie" not in answer.headers
        assert "location" not in answer.headers

    async def test_a_token_in_capitals_is_the_same_token(
        self, visitor: Visitor, door: Notebook
    ) -> None:
        answer = await visitor.client.post(f"/u/{TOKEN.upper()}", data=ONE_CLICK)
        assert answer.status_code == 200
        assert [wish.token for wish in door.wishes] == [TOKEN]

    async def test_a_token_of_a_revoked_key_is_taken(
        self, visiting: VisitorMaker, door: Notebook
    ) -> None:
        """The daemon holds it for a person to decide; the customer is not sent away."""
        leaked = TokenKeys((TokenKey(1, bytes(range(1, 33)), True), TokenKey(2, bytes(32))))
        answer = await visiting(keys=leaked).client.post(PAGE, data=ONE_CLICK)
        assert answer.status_code == 200
        assert [wish.token for wish in door.wishes] == [TOKEN]

    async def test_a_door_that_is_closed_promises_nothing(
        self, visitor: Visitor, door: Notebook
    ) -> None:
        door.is_open = False
        for fields in (ONE_CLICK, {"do": "leave"}):
            answer = await visitor.client.post(PAGE, data=fields)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "nothing was changed" in answer.text
        assert (await visitor.get("/health")).status_code == 503
        door.is_open = True
        assert (await visitor.client.post(PAGE, data=ONE_CLICK)).status_code == 200
        health = await visitor.get("/health")
        assert (health.status_code, health.text) == (200, HEALTHY)


class TestLookingOnly:
    @pytest.mark.parametrize(
        "method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"]
    )
    @pytest.mark.parametrize("path", [PAGE, f"/b/{TOKEN}", f"/c/{CODE}"])
    async def test_nothing_but_post_changes_anything(
        self, visitor: Visitor, door: Notebook, method: str, path: str
    ) -> None:
        """Link scanners open everything."""
        answer = await visitor.client.request(method, path)
        expected = {"GET": 200, "HEAD": 200, "OPTIONS": 204}.get(method, 405)
        assert answer.status_code == expected
        if expected in (204, 405):
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
        assert door.wishes == []

    async def test_the_page_shows_one_button_and_nothing_of_the_person(
        self, visitor: Visitor
    ) -> None:
        shown = (await visitor.get(PAGE)).text
        assert shown.count("<button") == 1
        assert ANN not in shown
        assert "script" not in shown
        assert "Hollow &amp; Finch &lt;Teas&gt;" in shown
        assert 'href="mailto:help@hollowandfinch.example"' in shown
        assert 'href="https://hollowandfinch.example"' in shown

    async def test_every_right_link_gets_the_same_page(self, visitor: Visitor) -> None:
        other = sign_opt_out(KEYS, "cd" * 16)
        first, second = await visitor.get(PAGE), await visitor.get(f"/u/{other}")
        assert first.text.replace(TOKEN, "…") == second.text.replace(other, "…")

    async def test_robots_are_sent_away(self, visitor: Visitor) -> None:
        assert (await visitor.get("/robots.txt")).text == "User-agent: *\nDisallow: /\n"


class TestTheButton:
    async def test_it_leaves_and_offers_to_undo(
        self, visitor: Visitor, door: Notebook, clock: Clock
    ) -> None:
        answer = await visitor.press(PAGE, do="leave")
        assert answer.status_code == 200
        assert "You get no more offers" in answer.text
        [wish] = door.wishes
        assert (wish.kind, wish.source) == (WishKind.LEAVE, "page")
        ticket = verify_undo_ticket(KEYS, ANN, ticket_in(answer))
        assert (ticket.wish_id, ticket.heard_at) == (wish.wish_id, clock.now)

    @pytest.mark.parametrize("minutes", [0, 60])
    async def test_undo_names_the_wish_that_it_takes_back(
        self, visitor: Visitor, door: Notebook, clock: Clock, minutes: int
    ) -> None:
        ticket = ticket_in(await visitor.press(PAGE, do="leave"))
        clock.now += timedelta(minutes=minutes)
        answer = await visitor.press(PAGE, do="undo", ticket=ticket)
        assert (answer.status_code, "Taken back" in answer.text) == (200, True)
        left, undone = door.wishes
        assert (undone.kind, undone.undoes, undone.token) == (WishKind.UNDO, left.wish_id, TOKEN)
        assert undone.wish_id != left.wish_id

    async def test_after_an_hour_it_asks_for_a_mail_instead(
        self, visitor: Visitor, door: Notebook, clock: Clock
    ) -> None:
        ticket = ticket_in(await visitor.press(PAGE, do="leave"))
        clock.now += timedelta(hours=1, seconds=1)
        answer = await visitor.press(PAGE, do="undo", ticket=ticket)
        assert answer.status_code == 410
        assert f'href="../b/{TOKEN}"' in answer.text
        assert [wish.kind for wish in door.wishes] == [WishKind.LEAVE]

    async def test_a_ticket_is_good_for_its_own_person_only(
        self, visitor: Visitor, door: Notebook
    ) -> None:
        ticket = ticket_in(await visitor.press(PAGE, do="leave"))
        other = sign_opt_out(KEYS, "cd" * 16)
        for wrong in (ticket[:-1], "", "x", TOKEN, "a" * 5000):
            assert (await visitor.press(PAGE, do="undo", ticket=wrong)).status_code == 400
        assert (await visitor.press(f"/u/{other}", do="undo", ticket=ticket)).status_code == 400
        assert len(door.wishes) == 1

    @pytest.mark.parametrize("fields", [{}, {"do": "come_back"}, {"do": "LEAVE"}, {"x": "y"}])
    async def test_a_form_of_another_kind_changes_nothing_and_says_so(
        self, visitor: Visitor, door: Notebook, fields: dict[str, str]
    ) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        body = httpx.QueryParams(fields)
        answer = await visitor.client.post(PAGE, content=str(body), headers=headers)
        assert answer.status_code == 400
        assert "Nothing was changed" in answer.text
        assert door.wishes == []


class TestComingBack:
    async def test_it_asks_for_a_mail_and_brings_nobody_back_by_itself(
        self, visitor: Visitor, door: Notebook
    ) -> None:
        assert "<button" in (await visitor.get(f"/b/{TOKEN}")).text
        answer = await visitor.press(f"/b/{TOKEN}", do="come_back")
        assert (answer.status_code, "Look into your mailbox" in answer.text) == (200, True)
        assert [(wish.kind, wish.token) for wish in door.wishes] == [(WishKind.COME_BACK, TOKEN)]

    async def test_the_link_in_that_mail_shows_a_button_that_confirms(
        self, visitor: Visitor, door: Notebook
    ) -> None:
        assert "<button" in (await visitor.get(f"/c/{CODE}")).text
        assert door.wishes == []
        answer = await visitor.press(f"/c/{CODE}", do="confirm")
        assert answer.status_code == 200
        [wish] = door.wishes
        assert (wish.kind, wish.code, wish.token) == (WishKind.CONFIRM, CODE, "")

    @pytest.mark.parametrize("code", ["short", "x" * 129, "with%20blank-and-more", "%00" * 20])
    async def test_what_cannot_be_a_code_is_a_wrong_link(
        self, visitor: Visitor, door: Notebook, code: str
    ) -> None:
        assert (await visitor.press(f"/c/{code}", do="confirm")).status_code == 404
        assert door.wishes == []

    async def test_made_up_codes_are_limited_before_they_fill_the_door(
        self, visitor: Visitor, door: Notebook
    ) -> None:
        answers = [(await visitor.press(f"/c/{CODE}{n}", do="confirm")) for n in range(40)]
        assert [answer.status_code for answer in answers].count(429) == 10
        assert len(door.wishes) == 30


class TestWrongLinks:
    @pytest.mark.parametrize(
        "token",
        [
            TOKEN[:-1], TOKEN + "a", TOKEN[::-1], "x", "0" * 47, "%F0%9F%8D%B5" * 10, "%00" + TOKEN,
            TOKEN + "%00", "." , "a" * 3000, "%25" * 20,
            sign_opt_out(TokenKeys((TokenKey(1, bytes(32)),)), ANN),
            sign_opt_out(TokenKeys((TokenKey(9, bytes(range(1, 33))),)), ANN),
        ],
    )  # fmt: skip
    async def test_a_wrong_link_never_says_that_anybody_is_out(
        self, visitor: Visitor, door: Notebook, token: str
    ) -> None:
        for answer in (
            await visitor.get(f"/u/{token}"),
            await visitor.client.post(f"/u/{token}", data=ONE_CLICK),
            await visitor.get(f"/b/{token}"),
        ):
            assert answer.status_code == 404
            assert "help@hollowandfinch.example" in answer.text
            assert "You get no more" not in answer.text
        assert door.wishes == []

    @pytest.mark.parametrize(
        "path", ["/", "/u", "/u/", f"//u/{TOKEN}", f"/u/{TOKEN}/", f"/u//{TOKEN}", f"/u/{TOKEN}/x",
                 "/.env", "/u/..%2f..%2fetc%2fpasswd", "/docs", "/favicon.ico"],
    )  # fmt: skip
    async def test_other_paths_are_no_page_and_no_redirect(
        self, visitor: Visitor, door: Notebook, path: str
    ) -> None:
        url = httpx.URL("http://page.example").copy_with(raw_path=path.encode())
        for method in ("GET", "POST"):
            answer = await visitor.client.request(method, url)
            assert answer.status_code == 404
            assert "location" not in answer.headers
        assert door.wishes == []

    async def test_who_tries_many_has_to_wait_and_others_do_not(
        self, visiting: VisitorMaker, clock: Clock, door: Notebook
    ) -> None:
        visitor = visiting()

        async def try_one(client: str, path: str = "/u/wrong") -> int:
            headers = {"X-Forwarded-For": client}
            return (await visitor.client.get(path, headers=headers)).status_code

        assert [await try_one("192.0.2.1") for _ in range(31)] == [404] * 30 + [429]
        assert await try_one("192.0.2.2") == 404
        # A provider's proxy opens wrong links of some, and presses the button for all.
        answer = await visitor.client.post(
            PAGE, data=ONE_CLICK, headers={"X-Forwarded-For": "192.0.2.1"}
        )
        assert (answer.status_code, len(door.wishes)) == (200, 1)
        assert await try_one("192.0.2.1", PAGE) == 200
        clock.seconds += 2.1
        assert await try_one("192.0.2.1") == 404
        assert await try_one("192.0.2.1") == 429

    async def test_right_links_are_never_limited(self, visitor: Visitor, door: Notebook) -> None:
        for _ in range(100):
            assert (await visitor.client.post(PAGE, data=ONE_CLICK)).status_code == 200
        assert len(door.wishes) == 100
        assert len({wish.wish_id for wish in door.wishes}) == 100


class TestEveryAnswer:
    @pytest.mark.parametrize("path", [PAGE, "/u/wrong", "/nothing", "/health", "/robots.txt"])
    async def test_it_is_kept_nowhere_framed_nowhere_and_told_to_nobody(
        self, visitor: Visitor, path: str
    ) -> None:
        headers = (await visitor.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-robots-tag"] == "noindex, nofollow"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "script-src" not in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy

    async def test_the_log_tells_each_wish_and_never_the_link(self, visitor: Visitor) -> None:
        with structlog.testing.capture_logs() as events:
            await visitor.client.post(PAGE, data=ONE_CLICK)
            await visitor.get("/u/" + TOKEN[:-2])
        assert [(event["event"], event["kind"]) for event in events] == [("wish_taken", "leave")]
        assert events[0]["person"] == ANN[:12]
        assert TOKEN[:20] not in str(events)

    async def test_a_bug_is_a_friendly_page_without_a_traceback(
        self, visitor: Visitor, door: Notebook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def break_down(wish: Wish) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(door, "hand_in", break_down)
        answer = await visitor.press(PAGE, do="leave")
        assert answer.status_code == 500
        assert "nothing was changed" in answer.text
        assert "RuntimeError" not in answer.text
        assert answer.headers["referrer-policy"] == "no-referrer"

    async def test_a_url_with_a_path_answers_there_and_at_the_root(
        self, visiting: VisitorMaker, settings_with: SettingsMaker, door: Notebook
    ) -> None:
        """Web servers in front strip the path, or they do not."""
        settings = settings_with()
        moved = settings.public.model_copy(update={"url": "https://shop.example/mail/out"})
        visitor = visiting(settings.model_copy(update={"public": moved}))
        for path in (f"/mail/out{PAGE}", PAGE):
            assert (await visitor.client.post(path, data=ONE_CLICK)).status_code == 200
        assert len(door.wishes) == 2
        assert (await visitor.get(f"/other{PAGE}")).status_code == 404
