"""Two windows of one browser are one session: a page speaks only for the person it was made for, and says so when that is over."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bot import sign
from bot.clock import real
from bot.pages.frame import COOKIE
from storage import cases
from tests.bot.test_pages import Browser, served, signed_in  # noqa: F401  # a fixture
from tests.town import Town

PLACES = ("/chat?room=me", "/board", "/cases", "/today", "/town", "/intake", "/stuck", "/handover", "/help")


async def become(town: Town, browser: Browser, who: str) -> None:
    """What another window does at the door."""
    token = await town.app.store.transact(lambda tx: sign.begin(tx, who, real()))
    browser.client.cookies.delete(COOKIE)
    browser.client.cookies.set(COOKIE, token)


async def test_every_form_says_for_whom_it_was_made(lite: Town, served: Any) -> None:  # noqa: F811
    number = await lite.accepted()
    takahashi = await signed_in(lite, served, "takahashi")
    for place in (*PLACES, f"/cases/{number}"):
        forms = re.findall(r'<form[^>]*method="post".*?</form>', (await takahashi.get(place)).text, re.DOTALL)
        assert forms and [form for form in forms if 'name="as" value="takahashi"' not in form] == [], place


async def test_words_of_a_window_that_has_become_somebody_else_are_not_taken(
    lite: Town,
    served: Any,  # noqa: F811
) -> None:
    number = await lite.accepted()
    before = await lite.lines(number)
    browser = await signed_in(lite, served, "suzuki")
    await become(lite, browser, "ishii")
    old = {"as": "suzuki", "room": "me"}
    for path, fields in (
        ("/chat/say", {"words": f"緊急 {number}"}),
        ("/intake", {"concern": "elder_care", "urgency": "normal", "district": "北部", "consent": "full", "step": "3"}),
        ("/stuck", {"id": "1", "do": "event:drop"}),
        ("/sign-out", {}),
    ):
        answer = await browser.post(path, **old, **fields)
        assert answer.status_code == 409, path
        assert "この画面は鈴木さんのままです。いまは石井さんになっています。読みなおしてください。" in answer.text, path
        assert "読みなおす" in answer.text
    assert await lite.lines(number) == before
    stakes = await lite.app.store.read(lambda tx: cases.of_staff(tx, lite.sight("suzuki")))
    assert {stake.case.number for stake in stakes} == {number}
    assert (await browser.get("/today")).status_code == 200, "the session is the other person's and goes on"
    assert (await browser.post("/chat/say", **{"as": "ishii", "room": "me", "words": "今日"})).status_code == 303


async def test_a_page_that_renews_itself_learns_of_it(lite: Town, served: Any) -> None:  # noqa: F811
    browser = await signed_in(lite, served, "suzuki")
    live = {"X-Live": "1", "X-As": "suzuki"}
    assert (await browser.get("/today", **live)).status_code == 200
    await become(lite, browser, "ishii")
    answer = await browser.get("/today", **live)
    assert answer.status_code == 409 and "いまは石井さんになっています" in answer.text
    assert (await browser.get("/today")).status_code == 200, "loaded anew it is 石井's own"


async def test_whoever_is_nobody_in_this_town_is_not_named(lite: Town, served: Any) -> None:  # noqa: F811
    browser = await signed_in(lite, served, "suzuki")
    answer = await browser.post("/chat/say", **{"as": "<b>nobody</b>", "room": "me", "words": "今日"})
    assert answer.status_code == 409 and "ほかの方" in answer.text and "<b>nobody" not in answer.text


@pytest.mark.parametrize("place", ["/chat?room=me", "/today"])
async def test_words_after_the_session_has_ended_are_said_not_to_be_sent(lite: Town, served: Any, place: str) -> None:  # noqa: F811
    """The door says so, and afterwards leads back to where they were written."""
    browser = await signed_in(lite, served, "suzuki")
    browser.client.cookies.delete(COOKIE)
    fields = {"csrftoken": browser.client.cookies["csrftoken"], "as": "suzuki", "words": "今日"}
    answer = await browser.client.post("/chat/say", data=fields, headers={"Referer": f"http://127.0.0.1:8080{place}"})
    door = answer.headers["location"]
    assert answer.status_code == 303 and parse_qs(urlsplit(door).query) == {"next": [place], "unsent": ["1"]}
    page = (await browser.get(door)).text
    assert "いま書いたことばは、まだ送られていません" in page and f'name="next" value="{place}"' in page
    elsewhere = await browser.client.post(
        "/chat/say", data=fields, headers={"Referer": "https://elsewhere.example/today"}
    )
    assert parse_qs(urlsplit(elsewhere.headers["location"]).query) == {"unsent": ["1"]}
