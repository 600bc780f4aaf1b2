"""The pages through their door: who may see what, forms without a script, sentences instead of errors."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from bot import receive, sign
from bot.ask import Ask
from bot.audit import audit
from bot.clock import real
from bot.pages import demo, live, routes
from bot.pages.frame import COOKIE, desk, local
from storage import cases, conversation, letters, people
from storage.letters import LetterRow
from storage.trouble import DatabaseUnavailable
from tests.databases import Databases
from tests.town import Town
from workflow.outcome import Outcome


class Browser:
    """Somebody's browser: it keeps cookies and fills in what a form hides."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def get(self, url: str, **headers: str) -> httpx2.Response:
        return await self.client.get(url, headers=headers)

    async def post(self, url: str, *, csrf: str | None = None, **fields: str) -> httpx2.Response:
        """Post a form; its csrftoken is the browser's own unless another is given."""
        mine = csrf if csrf is not None else self.client.cookies.get("csrftoken", "")
        return await self.client.post(url, data={"csrftoken": mine, **fields})

    async def say(self, words: str, room: str = "me", back: str = "") -> str:
        """Say something and read the page that comes back."""
        answer = await self.post("/chat/say", words=words, room=room, back=back)
        assert answer.status_code == 303, answer.text
        return (await self.get(answer.headers["location"])).text


@pytest.fixture
async def served(lite: Town) -> AsyncIterator[Any]:
    """The application over the sample town, and a maker of browsers."""
    app = routes(lite.app)
    opened: list[httpx2.AsyncClient] = []

    def browser(host: str = "127.0.0.1", **options: Any) -> Browser:
        transport = httpx2.ASGITransport(app=app, client=(host, 4711), raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=transport, base_url=f"http://{host}:8080", **options)
        opened.append(client)
        return Browser(client)

    yield browser
    for client in opened:
        await client.aclose()


async def signed_in(town: Town, served: Any, who: str) -> Browser:
    token = await town.app.store.transact(lambda tx: sign.begin(tx, who, real()))
    browser: Browser = served()
    browser.client.cookies.set(COOKIE, token)
    await browser.get("/help")
    return browser


def button(html: str, label: str) -> str:
    """The value of the last button of this label."""
    found = re.findall(
        rf'name="(?:token|words)" value="([^"]+)"[^>]*>(?:<svg.*?</svg>)?<span>{re.escape(label)}</span>',
        html,
        re.DOTALL,
    )
    assert found, f"no button 「{label}」"
    return str(found[-1])


# -- the door


async def test_nothing_is_shown_without_a_session(served: Any) -> None:
    visitor = served()
    for path in (
        "/",
        "/chat",
        "/board",
        "/cases",
        "/cases/385-267-52",
        "/today",
        "/town",
        "/intake",
        "/stuck",
        "/handover",
        "/help",
    ):
        answer = await visitor.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in"), path
    assert (await visitor.get("/events")).status_code == 204
    for path in ("/sign-in", "/healthz", "/metrics", "/static/tokens.css"):
        assert (await visitor.get(path)).status_code == 200, path


async def test_a_code_opens_once_and_only_by_post(lite: Town, served: Any) -> None:
    code = await lite.app.store.transact(lambda tx: sign.invite(tx, "suzuki", "code", None, lite.now, "console"))
    visitor = served()
    page = await visitor.get(f"/sign-in?code={code}&next=%2Ftoday")
    assert code in page.text
    assert COOKIE not in visitor.client.cookies
    answer = await visitor.post("/sign-in", code=code, next="/today")
    assert (answer.status_code, answer.headers["location"]) == (303, "/today")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    again = served()
    await again.get("/sign-in")
    assert (await again.post("/sign-in", code=code)).status_code == 422


async def test_codes_are_not_guessed_in_a_row(served: Any) -> None:
    visitor = served()
    await visitor.get("/sign-in")
    tries = [(await visitor.post("/sign-in", code=f"00000000{i}")).status_code for i in range(7)]
    assert tries == [422] * 5 + [429] * 2


async def test_one_chooses_whom_to_be_only_here_and_only_in_a_demonstration(lite: Town, served: Any) -> None:
    visitor = served()
    await visitor.get("/sign-in")
    assert (await visitor.post("/sign-in", who="suzuki")).status_code == 422
    await lite.app.store.transact(lambda tx: people.mark_demo(tx, lite.now, real()))
    assert "見本の入口" in (await visitor.get("/sign-in")).text
    far = served("192.0.2.7")
    assert 'value="suzuki"' not in (await far.get("/sign-in")).text
    assert (await far.post("/sign-in", who="suzuki")).status_code == 422
    assert (await visitor.post("/sign-in", who="suzuki")).status_code == 303
    assert "鈴木" in (await visitor.get("/chat")).text


async def test_signing_out_ends_the_session(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    kept = suzuki.client.cookies.get(COOKIE)
    assert (await suzuki.post("/sign-out")).status_code == 303
    suzuki.client.cookies.set(COOKIE, kept)
    assert (await suzuki.get("/chat")).status_code == 303


@pytest.mark.parametrize(
    "address", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere", "javascript:x", "/a\nb", ""]
)
def test_no_way_back_leads_elsewhere(address: str) -> None:
    assert local(address) == ""


# -- the guards


async def test_every_answer_is_shielded(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    answer = await suzuki.get("/chat")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=\"", answer.text)
    assert "immutable" in (await suzuki.get("/static/tsunagi.css?v=x")).headers["cache-control"]


async def test_a_form_of_somebody_else_is_not_taken(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    assert (await suzuki.post("/chat/say", csrf="made-up", words="受付 介護")).status_code == 403
    assert (await suzuki.post("/chat/say", csrf="偽", words="受付 介護")).status_code == 400
    crossing = await suzuki.client.post(
        "/chat/say", data={"words": "受付 介護"}, headers={"sec-fetch-site": "cross-site"}
    )
    assert crossing.status_code == 400
    assert not await lite.app.store.read(lambda tx: conversation.letters(tx, "suzuki", None, 5))


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"words=" + b"a" * 1_000_001, 413), (b"words=%ff%fe", 400), (b"\xff\xfe", 400)],
)
async def test_what_cannot_be_read_gets_a_sentence(lite: Town, served: Any, body: bytes, status: int) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    answer = await suzuki.client.post(
        "/chat/say", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == status
    assert "お" in answer.text
    assert "Traceback" not in answer.text


async def test_errors_are_sentences(lite: Town, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    assert "見つかりませんでした" in (await suzuki.get("/nowhere")).text
    assert (await suzuki.get("/chat/say")).status_code == 405
    assert (await suzuki.get("/cases/not-a-number")).status_code == 404
    assert (await suzuki.get("/stuck")).status_code == 403

    async def gone(_work: object) -> None:
        raise DatabaseUnavailable("it does not answer")

    monkeypatch.setattr(lite.app.store, "read", gone)
    answer = await suzuki.get("/board")
    assert answer.status_code == 503
    assert "119" in answer.text


# -- the chat


async def test_words_are_answered_in_the_room_where_they_were_said(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    html = await suzuki.say("受付 介護 北部")
    assert "受付 介護 北部" in html
    assert "を受け付けました" in html
    shared = await suzuki.say("今日", room="houkatsu-kita")
    assert "あなたにだけ見えています" in shared
    tanaka = await signed_in(lite, served, "tanaka")
    assert "あなたの番" not in (await tanaka.get("/chat?room=houkatsu-kita")).text.split('id="log"')[1]


async def test_the_same_form_posted_twice_does_nothing_twice(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    for _ in range(2):
        answer = await suzuki.post("/chat/say", words="受付 介護", room="me", nonce="abc")
        assert answer.status_code == 303
    letters = await lite.app.store.read(lambda tx: conversation.letters(tx, "suzuki", None, 9))
    assert [row.kind for row in letters] == ["answer"]


async def test_an_offer_is_pressed_and_everybodys_card_tells_the_truth(lite: Town, served: Any) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 障害福祉の利用相談 ひばり")
    mori = await signed_in(lite, served, "mori")
    rooms = (await mori.get("/chat?room=me")).text
    assert "未読 1件" in rooms
    html = (await mori.get("/chat?room=hibari")).text
    pressed = button(html, "引き受けます")
    answer = await mori.post("/chat/say", token=pressed, room="hibari", nonce="n1")
    assert answer.headers["location"] == "/chat?room=hibari"
    after = (await mori.get("/chat?room=hibari")).text
    assert "森さんが引き受けました" in after
    assert "未読 " not in (await mori.get("/chat?room=me")).text
    case = await lite.case(number)
    assert [h.state for h in case.handoffs] == ["accepted"]


async def test_colleagues_write_to_each_other(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    html = await suzuki.say("きのうの会議の紙を机に置きました", room="houkatsu-kita")
    assert "会議の紙" in html
    tanaka = await signed_in(lite, served, "tanaka")
    assert "未読 1件" in (await tanaka.get("/chat?room=me")).text
    assert "会議の紙" in (await tanaka.get("/chat?room=houkatsu-kita")).text


# -- board, case, today


async def test_a_case_shows_itself_by_right(lite: Town, served: Any) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 障害福祉の利用相談 ひばり")
    suzuki = await signed_in(lite, served, "suzuki")
    mine = (await suzuki.get(f"/cases/{number}")).text
    assert "困りごとと役割" in mine
    assert "鈴木さんが受け付けました" in mine
    assert 'role="img"' in mine
    mori = await signed_in(lite, served, "mori")
    asked = (await mori.get(f"/cases/{number}")).text
    assert "引き受けます" in asked
    assert "困りごとと役割" not in asked
    assert "鈴木さんが受け付けました" not in asked
    stranger = await signed_in(lite, served, "tamura")
    assert (await stranger.get(f"/cases/{number}")).status_code == 404


async def test_a_refusal_on_the_case_page_stands_there_with_its_choices(lite: Town, served: Any) -> None:
    number = await lite.intake()
    suzuki = await signed_in(lite, served, "suzuki")
    html = await suzuki.say(f"移す {number} ほぐし", room=f"case:{number}", back=f"/cases/{number}")
    assert "あと" in html.split('id="answer"')[1]
    assert f"見立て {number}" in html
    other = (await suzuki.get("/board")).text
    assert "へのお返事" not in other


async def test_the_board_puts_what_is_late_first_and_keeps_to_ones_own(lite: Town, served: Any) -> None:
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 障害福祉の利用相談 ひばり")
    await lite.later(business_days=3)
    takahashi = await signed_in(lite, served, "takahashi")
    html = (await takahashi.get("/board")).text
    assert f'href="/cases/{number}"' in html
    assert "返事がまだ" in html
    assert f'href="/cases/{number}"' not in (await takahashi.get("/board?urgency=high")).text
    assert (await takahashi.get("/board?district=%00&urgency=nonsense&agency=nobody&stage=x&open=y")).status_code == 200
    tamura = await signed_in(lite, served, "tamura")
    assert number not in (await tamura.get("/board")).text
    watcher = await signed_in(lite, served, "yamamoto")
    assert (await watcher.get("/board")).status_code == 403


async def test_every_page_opens_in_both_languages(lite: Town, served: Any) -> None:
    number = await lite.accepted()
    takahashi = await signed_in(lite, served, "takahashi")
    pages = ("/chat", "/chat?room=me", "/board", "/cases", f"/cases?q={number}", f"/cases/{number}", "/today", "/today/print",
             "/handover", "/town", "/intake", "/stuck", "/help")  # fmt: skip
    for path in pages:
        for lang in ("ja", "en"):
            answer = await takahashi.get(f"{path}{'&' if '?' in path else '?'}lang={lang}")
            assert answer.status_code in (200, 303), path
            if answer.status_code == 200:
                assert f'<html lang="{lang}"' in answer.text, path
                assert answer.text.count("<h1") == 1 or "phone-only" in answer.text, path


async def test_a_volunteer_sees_one_question(lite: Town, served: Any) -> None:
    yamamoto = await signed_in(lite, served, "yamamoto")
    assert (await yamamoto.get("/")).headers["location"] == "/today"
    html = (await yamamoto.get("/today")).text
    assert "one-question" in html or "card" in html
    assert 'href="/board"' not in html


async def test_an_absence_is_said_and_taken_back(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    sure = (await suzuki.get("/town?who=suzuki&start=2026-06-02&end=2026-06-03&deputy=")).text
    assert "不在 2026-06-02 2026-06-03" in sure
    await suzuki.post("/chat/say", words="不在 2026-06-02 2026-06-03", back="/town")
    html = (await suzuki.get("/town")).text
    taken = re.search(r'name="id" value="(\d+)"', html)
    assert taken
    stranger = await signed_in(lite, served, "tamura")
    assert (await stranger.post("/town/back", id=taken[1])).status_code == 403
    assert (await suzuki.post("/town/back", id=taken[1])).status_code == 303
    town = await lite.app.store.read(lite.app.towns.of)
    assert town.absences == ()


async def test_an_invitation_shows_its_code_once(lite: Town, served: Any) -> None:
    takahashi = await signed_in(lite, served, "takahashi")
    made = await takahashi.post("/town/invite", who="mori", kind="paper")
    code = re.search(r"\d{3}-\d{3}-\d{3}", made.text)
    assert code
    assert "data-events" not in made.text
    assert "この入口は、このパソコンでしか開けません" in made.text
    lite.app.settings = lite.app.settings.model_copy(update={"base_url": "https://tsunagi.example.jp"})
    takahashi.client.cookies.set(f"__Host-{COOKIE}", takahashi.client.cookies[COOKIE])  # by https it has another name
    elsewhere = (await takahashi.post("/town/invite", who="mori", kind="code")).text
    assert "https://tsunagi.example.jp/sign-in?code=" in elsewhere and "このパソコンでしか" not in elsewhere
    newcomer = served()
    await newcomer.get("/sign-in")
    assert (await newcomer.post("/sign-in", code=code[0])).status_code == 303
    suzuki = await signed_in(lite, served, "suzuki")
    assert (await suzuki.post("/town/invite", who="mori", kind="code")).status_code == 403


# -- taking in


async def test_intake_says_what_is_missing_and_opens_once(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    empty = await suzuki.post("/intake", step="1")
    assert empty.status_code == 422
    assert 'id="errors"' in empty.text
    fields = {
        "concern": "介護", "urgency": "normal", "district": "北部", "consent": "full", "name": "架空 花子", "contact": "04-0000-9999",
        "nonce": "n-1",
    }  # fmt: skip
    concern = next(c.code for c in lite.place.concerns.values() if c.short == "介護")
    fields["concern"] = concern
    opened = await suzuki.post("/intake", step="3", **fields)
    assert opened.status_code == 303, opened.text
    assert opened.headers["location"].startswith("/cases/")
    html = (await suzuki.get(opened.headers["location"])).text
    assert "架空 花子" in html
    twice = await suzuki.post("/intake", step="3", **fields)
    assert twice.headers["location"] == opened.headers["location"]
    again = await suzuki.post("/intake", step="2", **fields | {"nonce": "n-2"})
    assert "同じ方かもしれない" in again.text
    seen = await lite.app.store.transact(
        lambda tx: list(tx.connection.exec_driver_sql("SELECT kind FROM looks WHERE page = '/intake'"))
    )
    assert [tuple(row) for row in seen] == [("search",)]


@pytest.mark.parametrize("field", ["name", "birth", "contact", "story"])
@pytest.mark.parametrize("step", ["1", "2", "3"])
async def test_intake_cuts_nothing_unseen(lite: Town, served: Any, field: str, step: str) -> None:
    """One letter too many: the form says so and keeps every field; nothing is opened. As much as fits is kept whole."""
    suzuki = await signed_in(lite, served, "suzuki")
    chosen = {
        "concern": "elder_care",
        "urgency": "normal",
        "district": "北部",
        "consent": "full",
        "step": step,
        "nonce": "n-3",
    }
    written = {"name": "架空 花子", "birth": "1950-04-01", "contact": "04-0000-9999", "story": "朝から\n電気がつかない"}
    too_long = await suzuki.post("/intake", **chosen, **written | {field: "あ" * 2_001})
    assert too_long.status_code == 422 and f'href="#{field}"' in too_long.text and "2,001字" in too_long.text
    assert "あ" * 2_001 in too_long.text
    assert all(text in too_long.text for name, text in written.items() if name != field)
    assert all(
        f'name="{name}" value="{value}"' in too_long.text
        for name, value in chosen.items()
        if name not in ("step", "nonce")
    )
    assert not await lite.app.store.read(lambda tx: cases.of_staff(tx, lite.sight("suzuki")))
    if step == "3":
        fits = "あ\r\n" * 666 + "い" * 668
        opened = await suzuki.post("/intake", **chosen, **written | {field: fits})
        assert opened.status_code == 303 and "い" * 668 in (await suzuki.get(opened.headers["location"])).text


async def test_whoever_may_take_in_a_consultation_finds_the_form(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    for place in ("/board", "/cases", "/today"):
        assert '<a class="button" href="/intake">相談を受け付ける</a>' in (await suzuki.get(place)).text, place
    assert '<a class="button thread" href="/intake">くわしく書く</a>' in await suzuki.say("受付")
    assert 'href="/intake"' not in (await (await signed_in(lite, served, "yamamoto")).get("/today")).text


async def test_a_room_that_is_not_mine_is_not_mistaken_for_another(lite: Town, served: Any) -> None:
    suzuki = await signed_in(lite, served, "suzuki")
    assert (await suzuki.get("/chat?room=tomoshibi")).status_code == 404
    assert (await suzuki.get("/chat?room=houkatsu-kita")).status_code == 200
    assert (await suzuki.get("/chat")).status_code == 200


async def test_today_names_no_day_that_is_past(lite: Town, served: Any) -> None:
    """What others have let pass is not what comes next."""
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    suzuki = await signed_in(lite, served, "suzuki")
    for _ in range(12):
        calm = re.search(r"いま、あなたの番はありません。つぎは (\d+)/(\d+)", (await suzuki.get("/today")).text)
        assert calm is None or (int(calm[1]), int(calm[2])) >= (lite.now.month, lite.now.day), (calm, lite.now)
        await lite.later(days=1)


async def test_a_decision_stands_with_the_official_and_the_lead_sees_whose_turn_it_is(lite: Town, served: Any) -> None:
    number = await lite.supported()
    await lite.later(days=35)
    lead = (await (await signed_in(lite, served, "suzuki")).get("/today")).text
    mine, _, theirs = lead.partition('id="theirs"')
    assert "支援決定" not in mine and "支援決定" in theirs and number in theirs
    official = (await (await signed_in(lite, served, "watanabe")).get("/today")).text
    assert "支援決定" in official.partition('id="theirs"')[0]


async def test_a_closed_case_misses_nobody(lite: Town, served: Any) -> None:
    """What nobody holds any more is told as it was: not as something to do."""
    number = await lite.supported()
    suzuki = await signed_in(lite, served, "suzuki")
    assert "資源がありません" in (await suzuki.get(f"/cases/{number}")).text
    await lite.says("suzuki", f"終結 {number} 目標達成・安定")
    await lite.later(business_days=5, minutes=1)
    await lite.says("takahashi", f"承認 {number}")
    page = (await suzuki.get(f"/cases/{number}")).text
    assert "終結したときのようすです" in page and "終結時: 資源なし" in page
    assert "担い手がいません" not in page and "資源がありません" not in page and 'class="gap-row"' not in page


async def test_ones_own_words_are_shown_with_names_and_not_without_end(lite: Town, served: Any) -> None:
    number = await lite.consented()
    suzuki = await signed_in(lite, served, "suzuki")
    assert f"依頼 {number} 家計相談 家計改善ともしび" in await suzuki.say(f"依頼 {number} budget tomoshibi")
    back = await suzuki.say("あ" * 9_000, room="board", back="/board")
    assert "あ" * 120 + "…" in back and "あ" * 121 not in back


# -- what is stuck


async def test_what_is_stuck_is_tried_again_or_given_up(
    lite: Town, served: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Words that met a defect: once more while it lasts, once more when it is mended; others are let go."""

    def falls(ask: Ask) -> Outcome:
        raise KeyError("a defect of ours")

    number = await lite.consented()
    whole = receive.BOOK["offer"]
    monkeypatch.setitem(receive.BOOK, "offer", replace(whole, run=falls))
    for duty in ("家計相談", "就労相談"):
        await lite.tries("suzuki", f"依頼 {number} {duty} ともしび")
    takahashi = await signed_in(lite, served, "takahashi")
    listed = (await takahashi.get("/stuck")).text
    mended, dropped = re.findall(r'name="id" value="(\d+)"', listed)
    assert f'<span class="no">{mended}</span>' in listed, "what the operator types after `tsunagi retry`"
    assert "内部の不具合" in listed and "KeyError" not in listed

    async def act(id_: str, do: str) -> str:
        answer = await takahashi.post("/stuck", id=id_, do=do)
        return (await takahashi.get(answer.headers["location"])).text

    assert "まだうまくいきません" in await act(mended, "event:again")
    assert f'value="{mended}"' in (await takahashi.get("/stuck")).text
    monkeypatch.setitem(receive.BOOK, "offer", whole)
    assert "お返事はご本人に届いています" in await act(mended, "event:again")
    assert any(choice.says == "送る" for _, card in await lite.reads("suzuki") for choice in card.choices)
    assert "もう片づいていました" in await act(mended, "event:again")
    assert "ここで閉じました" in await act(dropped, "event:drop")
    html = (await takahashi.get("/stuck")).text
    assert "とまっているできごとはありません" in html
    suzuki = await signed_in(lite, served, "suzuki")
    assert (await suzuki.post("/stuck", id=dropped, do="event:again")).status_code == 403
    caplog.clear()


async def test_what_the_auditor_found_stands_first_and_stays_for_a_day(lite: Town, served: Any) -> None:
    """Kinds, counts and numbers; nothing of what a consultation holds."""
    takahashi = await signed_in(lite, served, "takahashi")
    assert "見まわりは、まだありません" in (await takahashi.get("/stuck")).text
    number = await lite.intake()
    await lite.app.store.transact(
        lambda tx: tx.connection.exec_driver_sql("UPDATE timers SET tries = 1, retry_at = due_at")
    )
    await audit(lite.app)
    before, html = "届かなかった手紙", (await takahashi.get("/stuck")).text
    assert html.index("いまは出せないお知らせ") < html.index(before) and f"/cases/{number}" in html and "いまも" in html
    english = (await takahashi.get("/stuck?lang=en")).text
    assert "Notices that cannot be made now" in english and "still so" in english and "Last round" in english
    await lite.app.store.transact(
        lambda tx: tx.connection.exec_driver_sql("UPDATE timers SET tries = 0, retry_at = NULL")
    )
    await audit(lite.app)
    assert "おさまりました" in (await takahashi.get("/stuck")).text
    lite.clock.frozen = lite.now + timedelta(days=1, minutes=1)
    assert "気になることは見つかっていません" in (await takahashi.get("/stuck")).text


async def test_what_was_said_outside_is_not_offered_again(
    lite: Town, served: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Words from outside are not kept, so nobody can hear them once more: the page does not promise it."""

    def falls(ask: Ask) -> Outcome:
        raise KeyError("a defect of ours")

    await lite.app.store.transact(lambda tx: people.link(tx, "post", "suzuki", "suzuki", lite.now))
    monkeypatch.setitem(receive.BOOK, "today", replace(receive.BOOK["today"], run=falls))
    await lite.tries("suzuki", "今日", surface="post")
    takahashi = await signed_in(lite, served, "takahashi")
    html = (await takahashi.get("/stuck")).text
    assert "event:drop" in html and "event:again" not in html
    assert "ご本人から、もう一度お願いします" in html
    caplog.clear()


async def test_a_case_says_what_became_of_its_letters(lite: Town, served: Any) -> None:
    """To whom, what about, where, what has become of it, in plain words; and the list of what is stuck says the same."""
    number = await lite.accepted()
    case = await lite.case(number)
    fates: dict[str, tuple[letters.State, str, dict[str, Any]]] = {
        "届けました": ("sent", "", {}),
        "届いたかどうか、わかりません": ("unknown", "lease", {}),
        "届きませんでした(LINEでブロックされています)": ("failed", "bot was blocked", {}),
        "届きませんでした(LINEの今月の通数を使い切っています)": ("failed", "quota", {}),
        "届けるのをやめました(高橋さん)": ("failed", "given up: takahashi", {}),
        "送る前に、用が済みました": ("superseded", "", {}),
        "これから届けます": ("pending", "", {letters.RESENT: True}),
    }
    rows = [
        LetterRow(
            id=lite.app.fresh(), kind="ring", surface="line", doc={"what": "first_contact"} | doc, created_at=lite.now, not_before=lite.now,
            to_staff="ishii", address="U1", case_id=case.id, token=f"token-of-{n:04}", state=state, why=why,
        )
        for n, (state, why, doc) in enumerate(fates.values())
    ]  # fmt: skip
    await lite.app.store.transact(lambda tx: letters.write(tx, rows))
    takahashi = await signed_in(lite, served, "takahashi")
    html = (await takahashi.get(f"/cases/{number}")).text
    told = html[html.index('id="letters"') :]
    assert all(words in told for words in fates) and "石井さん" in told and "初回の連絡" in told
    assert told.count("再送") == 1 and "LINE" in told
    stuck = (await takahashi.get("/stuck")).text
    assert all(words in stuck for words in list(fates)[1:4]) and "初回の連絡" in stuck
    english = (await takahashi.get(f"/cases/{number}?lang=en")).text
    assert "It did not arrive (blocked on LINE)" in english and "Nobody knows whether it arrived" in english


async def test_older_letters_are_a_page_away(lite: Town, served: Any) -> None:
    number = await lite.accepted()
    case = await lite.case(number)
    rows = [
        LetterRow(
            id=lite.app.fresh(), kind="offer", surface="mail", doc={}, created_at=lite.now + timedelta(seconds=n), not_before=lite.now,
            to_staff="ishii", address="a@example.jp", case_id=case.id, token=f"token-of-{n:04}", state="sent", sent_at=lite.now,
        )
        for n in range(25)
    ]  # fmt: skip
    await lite.app.store.transact(lambda tx: letters.write(tx, rows))
    takahashi = await signed_in(lite, served, "takahashi")
    html = (await takahashi.get(f"/cases/{number}")).text
    assert html.count('id="letter-') == 20 and f"/cases/{number}?letters=40#letters" in html
    html = (await takahashi.get(f"/cases/{number}?letters=40")).text
    assert html.count('id="letter-') == 25 and "letters=60" not in html


# -- the demonstration's clock, health


async def test_a_turning_clock_is_told_calmly(lite: Town) -> None:
    """Many commits while the clock turns: an open page hears of them now and then, and of the end."""
    for _ in range(4):
        number = await lite.consented()
        await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    turning = demo.Turning(lite.app)
    feed = live.Feed(lite.app, turning)
    heard = 0
    at_rest = asyncio.Event()

    async def window() -> None:
        nonlocal heard
        async for _ in feed.listen(missed=False):
            heard += 1
            if not turning.busy:
                at_rest.set()

    commits: list[object] = []
    lite.app.store.on_commit(commits.append)
    listening = asyncio.create_task(window())
    await lite.app.store.read(lambda tx: None)
    await turning.start(await desk(visitor(lite)), lite.now + timedelta(days=90))
    await turning.ended(60)
    await asyncio.wait_for(at_rest.wait(), 5)
    assert len(commits) > 40
    assert heard <= 5
    feed.stop()
    await listening


def visitor(town: Town) -> Request:
    """Somebody who asks, without a browser."""
    pages = Starlette()
    pages.state.tsunagi = town.app
    return Request({"type": "http", "app": pages, "headers": [], "query_string": b"", "path": "/", "method": "GET"})


async def test_only_a_demonstration_turns_its_clock(
    lite: Town, served: Any, databases: Databases, tmp_path: Path
) -> None:
    visitor = served()
    assert (await visitor.get("/demo/clock")).status_code == 404
    assert (await visitor.client.post("/demo/clock", json={"advance": "1h"})).status_code == 404
    await lite.app.store.transact(lambda tx: people.mark_demo(tx, lite.now, real()))
    before = (await visitor.get("/demo/clock")).json()["now"]
    answer = await visitor.client.post("/demo/clock", json={"advance": "2d3h"})
    assert answer.status_code == 200
    assert answer.json()["now"] > before
    assert (await visitor.client.post("/demo/clock", json={"advance": "nonsense"})).status_code == 422
    far = served("192.0.2.7")
    assert (await far.client.post("/demo/clock", json={"advance": "1h"})).status_code == 404


async def test_health_is_told_in_words(lite: Town, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = served()
    assert (await visitor.get("/healthz")).status_code == 200
    assert b"tsunagi_" in (await visitor.get("/metrics")).content

    async def gone(_work: object) -> None:
        raise DatabaseUnavailable("it does not answer")

    monkeypatch.setattr(lite.app.store, "read", gone)
    answer = await visitor.get("/readyz")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
