"""What platforms and people do to a town over months: old buttons, the same event again, forged posts, addresses that are gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from adapters.base import (
    Adapter,
    Address,
    Delivery,
    Gone,
    Parcel,
    Ref,
    Refused,
    Said,
    Sent,
    Unknown,
)
from adapters.line import Line
from adapters.mail import Mail
from adapters.slack import Slack
from adapters.telegram import Telegram
from bot.pages import routes
from storage import inbox, letters, people, tables
from storage.letters import LetterRow
from storage.tx import Tx
from tests.bot.test_outcomes import every, link, post, settle
from tests.bot.test_receive import arrives
from tests.databases import Databases
from tests.fakes import line as of_line
from tests.fakes import slack as of_slack
from tests.fakes.line import LineFake
from tests.fakes.slack import FakeSlack
from tests.town import Town, settled
from tests.toy import Slate, Toy

HOME = "http://127.0.0.1:8080"
SECRET = "a-secret_of-the-town"
NOBODY = "http://127.0.0.1:9"  #: what leaves stays with us
KONDO = {"slack": "U2", "telegram": "4001", "line": f"U{2:032x}", "mail": "kondo", "web": "kondo"}
BUTTONS = json.loads((Path(__file__).parent.parent / "wire" / "buttons.json").read_text("utf-8"))
PRESSES = [(release, one["button"], one) for release, found in BUTTONS.items() if release != "about" for one in found]


class Doors:
    """A town whose hooks are open, and whose platforms answer nothing."""

    def __init__(self, town: Town, client: httpx2.AsyncClient) -> None:
        self.town = town
        self.client = client
        self.numbers = count(100_000)

    async def hook(self, platform: str, headers: dict[str, str], body: bytes) -> int:
        begun = perf_counter()
        answer = await self.client.post(f"/hooks/{platform}", headers=headers, content=body)
        assert perf_counter() - begun < 1
        await self.town.app.deliverer.finish()
        return int(answer.status_code)

    async def slack(self, payload: object, **more: Any) -> int:
        hook = of_slack.hook(payload, **more)
        return await self.hook("slack", dict(hook.headers), hook.body)

    async def line(self, *events: dict[str, Any]) -> int:
        return await self.hook("line", *of_line.hook(*events))

    async def telegram(self, update: dict[str, Any]) -> int:
        return await self.hook("telegram", {"x-telegram-bot-api-secret-token": SECRET}, json.dumps(update).encode())

    async def press(self, door: str, payload: dict[str, Any], token: str, number: str) -> int:
        """Post a button's payload with its places filled in."""
        n = next(self.numbers)
        text = json.dumps(payload)
        for place, value in {
            "token": token,
            "who": KONDO[door],
            "team": of_slack.TEAM,
            "number": number,
            "n": f"{n}",
        }.items():
            text = text.replace(f"{{{place}}}", value).replace(f'"{{{place}:int}}"', value)
        made = json.loads(text)
        match door:
            case "slack":
                return await self.slack(made)
            case "line":
                return await self.line(made)
            case "telegram":
                return await self.telegram(made)
            case "mail":
                page = await self.client.get(made["path"])
                fields = {"csrftoken": self.client.cookies.get("csrftoken", ""), "token": token}
                return (
                    int((await self.client.post(made["path"], data=fields)).status_code)
                    if page.status_code == 200
                    else page.status_code
                )
        await self.town.press("kondo", made["token"], made["says"])
        return 200

    async def answers(self) -> list[str]:
        def work(tx: Tx) -> list[str]:
            ids = tx.execute(select(tables.letters.c.id).where(tables.letters.c.answer)).scalars()
            return [row.doc["text"] for id_ in sorted(ids) if (row := letters.get(tx, id_))]

        return await self.town.app.store.read(work)

    async def rows(self) -> tuple[int, int]:
        """How many events are kept, and how many letters."""

        def work(tx: Tx) -> tuple[int, int]:
            counted = [
                tx.execute(select(func.count()).select_from(t)).scalar_one() for t in (tables.inbox, tables.letters)
            ]
            return counted[0], counted[1]

        return await self.town.app.store.read(work)


@pytest.fixture
async def doors(databases: Databases, tmp_path: Path) -> AsyncIterator[Doors]:
    url = databases.sqlite(settled)
    found, adapters = await opened(url, tmp_path)
    yield found
    await shut(found, adapters)
    databases.drop(url)


async def opened(url: str, var: Path) -> tuple[Doors, dict[str, Any]]:
    adapters: dict[str, Any] = {
        "slack": Slack(of_slack.TOKEN, of_slack.SECRET, "", f"{NOBODY}/api/"),
        "telegram": Telegram("777:x", SECRET, NOBODY, timeout=0.2),
        "line": Line(of_line.TOKEN, of_line.SECRET, NOBODY),
        "mail": Mail("smtp://127.0.0.1:9", "つなぎ <tsunagi@example.jp>", HOME),
    }
    town = await Town.found(url, var, adapters=adapters)
    transport = httpx2.ASGITransport(app=routes(town.app), raise_app_exceptions=False)
    return Doors(town, httpx2.AsyncClient(transport=transport, base_url=HOME)), adapters


async def shut(doors: Doors, adapters: dict[str, Adapter]) -> None:
    await doors.client.aclose()
    await doors.town.close()


async def linked(doors: Doors) -> None:
    accounts = {"slack": f"{of_slack.TEAM}/{KONDO['slack']}", "telegram": KONDO["telegram"], "line": KONDO["line"]}
    for platform, account in accounts.items():
        await doors.town.app.store.transact(
            lambda tx, p=platform, a=account: people.link(tx, p, a, "kondo", doors.town.now)
        )  # type: ignore[misc]


async def offered(town: Town) -> str:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    return number


# -- buttons of before


@pytest.mark.parametrize(("release", "name", "one"), PRESSES, ids=[f"{release} {name}" for release, name, _ in PRESSES])
async def test_a_button_of_any_release_is_heard_or_refused_kindly(
    doors: Doors, release: str, name: str, one: dict[str, Any]
) -> None:
    """Every payload that our buttons ever had: of a living letter it acts, of one that is gone it is told so (fault 13)."""
    await linked(doors)
    number = await offered(doors.town)
    door, payload = one["door"], one["payload"]
    for token in ("an-old-token-of-0123450", "an-old-token-of-012345", "引受", "x" * 300):
        assert await doors.press(door, payload, token, number) in (200, 404)
        assert (await doors.town.case(number)).handoffs[0].state == "offered"
    if door not in ("mail", "web"):
        assert "ようすが変わりました" in (await doors.answers())[-1]
    token = await living(doors, door, number)
    assert await doors.press(door, payload, token, number) == 200
    handoff = (await doors.town.case(number)).handoffs[0]
    assert (handoff.state, handoff.holder) == ("accepted", "kondo")
    assert not await doors.town.app.store.read(inbox.count_parked)


async def living(doors: Doors, door: str, number: str) -> str:
    """A letter with the offer's buttons, as it was sent to 近藤 on that platform: the name of 引き受けます."""
    town = doors.town
    case = await town.case(number)
    (offer, *_) = [row for row, _ in await town.reads("kondo") if row.kind == "offer"]
    says = [f"引受 {number}#1", f"辞退 {number}#1"]
    row = replace(
        offer, id=town.app.fresh(), surface=door, to_staff="kondo", to_room=None, address=KONDO[door], token="living-token-0123456789"[:21],
        doc=offer.doc | {"says": says}, case_version=case.version,
    )  # fmt: skip
    await town.app.store.transact(lambda tx: letters.write(tx, [row]))
    return f"{row.token}0"


async def test_a_button_of_before_a_new_hand_moves_nothing(doors: Doors) -> None:
    """The first agency is asked, says no, the next one takes it: whoever presses the first card is told so (fault 12)."""
    town = doors.town
    number = await offered(town)
    first = next(row for row, _ in await town.reads("ishii") if row.kind == "offer")
    await town.says("ishii", f"辞退 {number} 定員")
    await town.says("suzuki", f"依頼 {number} 家計相談 つばさ")
    await town.says("sato", f"引受 {number}")
    taken = next(row for row, _ in await town.reads("sato") if row.kind == "offer")
    await town.says("sato", f"戻す {number}")
    await town.says("takahashi", f"依頼 {number} 家計相談 社協ながれ")
    before, lines = (await town.case(number)).handoffs, await town.lines(number)
    for who, letter in (("ishii", first), ("kondo", first), ("sato", taken)):
        for words in ("引受", "辞退", "検討", "つながった"):
            answered = await town.press(who, letter.token or "", f"{words} {number}#{letter.doc.get('no', 1)}")
            assert answered.refused or answered.messages[0].choices, (who, words)
    assert (await town.case(number)).handoffs == before and await town.lines(number) == lines


# -- the same event again, in any order, and from anybody


async def test_slack_posts_one_word_four_times(databases: Databases, tmp_path: Path) -> None:
    """At once, after three seconds, a minute, five; the process is another by then: one transition, one answer (fault 5)."""
    url, slack = databases.sqlite(settled), FakeSlack()
    doors, adapters = await opened(url, tmp_path)
    await linked(doors)
    number = await offered(doors.town)
    slack.port = 9  # type: ignore[attr-defined]
    said = slack.says(KONDO["slack"], f"引受 {number}")
    answers = len(await doors.answers())
    for n, later in enumerate((0, 3, 60, 300)):
        at = doors.town.now + timedelta(seconds=later)
        if n == 2:
            await shut(doors, adapters)
            doors, adapters = await opened(url, tmp_path)
        doors.town.clock.frozen = at
        more = {} if n == 0 else {"x_slack_retry_num": f"{n}", "x_slack_retry_reason": "http_timeout"}
        assert await doors.slack(said, **more) == 200
    assert len(await doors.answers()) == answers + 1
    assert (await doors.town.lines(number)).count("handoff.accept") == 1
    await shut(doors, adapters)
    databases.drop(url)


async def test_what_line_tells_late_does_not_undo_what_came_after(doors: Doors) -> None:
    """Blocked and taken back, told the other way round, and once more: the later moment holds, each is heard once (fault 8)."""
    await linked(doors)
    line, account = LineFake(), KONDO["line"]
    blocked = line.event("unfollow", account, replies=False)
    back = line.event("follow", account, follow={"isUnblocked": True})
    assert blocked["timestamp"] < back["timestamp"]

    async def reached() -> bool:
        rows = await doors.town.app.store.read(lambda tx: people.link_rows(tx, "kondo"))
        return next(row.reachable for row in rows if row.platform == "line")

    assert await doors.line(back) == 200
    assert await doors.line(LineFake.again(blocked)) == 200 and await reached()
    kept = await doors.rows()
    assert await doors.line(LineFake.again(back), LineFake.again(blocked)) == 200
    assert await reached() and await doors.rows() == kept
    assert await doors.line(line.event("unfollow", account, replies=False)) == 200 and not await reached()
    number = await offered(doors.town)
    said = line.says(account, f"引受 {number}")
    assert [await doors.line(said), await doors.line(LineFake.again(said))] == [200, 200]
    assert (await doors.town.lines(number)).count("handoff.accept") == 1
    assert await reached(), "who speaks from there can be written to there"


async def test_who_cannot_prove_where_it_comes_from_leaves_no_trace(doors: Doors) -> None:
    """Unsigned, wrongly signed, six minutes old, without the secret token: 401, no row, no reply (fault 14)."""
    await linked(doors)
    number = await offered(doors.town)
    slack, line = FakeSlack(), LineFake()
    slack.port = 9  # type: ignore[attr-defined]
    said = slack.says(KONDO["slack"], f"引受 {number}")
    update = {"update_id": 1, "message": {
        "message_id": 1, "date": 1780000000, "text": f"引受 {number}", "chat": {"id": 4001, "type": "private"},
        "from": {"id": 4001, "is_bot": False, "first_name": "x"},
    }}  # fmt: skip
    headers, body = of_line.hook(line.says(KONDO["line"], f"引受 {number}"))
    before = await doors.rows()
    tries = [
        await doors.slack(said, age=360), await doors.slack(said, secret="another"),
        await doors.hook("slack", {"content-type": "application/json"}, json.dumps(said).encode()),
        await doors.hook("telegram", {}, json.dumps(update).encode()),
        await doors.hook("telegram", {"x-telegram-bot-api-secret-token": "guessed"}, json.dumps(update).encode()),
        await doors.hook("line", {}, body), await doors.hook("line", headers | {"x-line-signature": of_line.sign(body, "another")}, body),
    ]  # fmt: skip
    assert tries == [401] * 7
    assert await doors.rows() == before
    assert (await doors.town.case(number)).handoffs[0].state == "offered"


# -- addresses


@pytest.fixture
async def toys() -> dict[str, Toy]:
    return {name: Toy(name=name) for name in ("toy", "other")}


@pytest.fixture
async def here(databases: Databases, tmp_path: Path, toys: dict[str, Toy]) -> AsyncIterator[Town]:
    url = databases.sqlite(settled)
    town = await Town.found(url, tmp_path, adapters={**toys})
    yield town
    await town.close()
    databases.drop(url)


async def test_a_used_up_month_sends_everybody_elsewhere_and_says_so_once(here: Town, toys: dict[str, Toy]) -> None:
    """The first that cannot be pushed goes to the next address like the fifth; the coordinators hear of it once (fault 31)."""
    for who in ("ishii", "kondo"):
        await link(here, who, "toy", "other")
    toys["toy"].says = lambda _parcel: Gone("quota", closed=True)
    for _ in range(3):
        await post(here, "toy", urgent=True)
        await post(here, "toy", who="kondo", urgent=True)
    for _ in range(8):
        await settle(here, seconds=5)
    assert [row.state for row in await every(here) if row.surface == "other"] == ["sent"] * 6, "each, and at once"
    titles = [m.title for m in await here.news("takahashi")]
    assert titles.count("届けられない連絡先があります") == 1
    rows = await every(here)
    assert {row.tries for row in rows if row.surface == "toy"} == {1}, "no back-off: it is not asked again"


@pytest.mark.parametrize("why", ["bot was blocked", "user_disabled", "address"])
async def test_an_address_that_is_gone_is_left_alone(here: Town, toys: dict[str, Toy], why: str) -> None:
    """Blocked: the letter goes another way at once, later ones go there first, the coordinators hear of it once (fault 33)."""
    await link(here, "ishii", "toy", "other")
    toys["toy"].says = lambda _parcel: Gone(why)
    numbers = [await here.consented(), await here.consented()]
    for number in numbers:
        await here.says("suzuki", f"急ぎ {number}")
        await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
        await here.later(minutes=2)
    assert len(toys["toy"].sent) == 1 and len(toys["other"].sent) == 2
    told = [m for m in await here.news("takahashi") if m.title == "連絡先の確認をお願いします"]
    assert len(told) == 1 and "石井さん" in told[0].text
    toys["toy"].says = Toy().says
    assert (await arrives(here, "toy", "U-ishii", Said("今日"), "back")).refused is None
    number = await here.consented()
    await here.says("suzuki", f"急ぎ {number}")
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.later(minutes=2)
    assert number in f"{toys['toy'].sent[-1].message}", "who speaks from there can be written to there"


async def test_a_refusal_nobody_knows_disables_nobody(here: Town, toys: dict[str, Toy]) -> None:
    """An unknown 403: this letter goes another way, the next one is tried where it belongs (fault 33)."""
    await link(here, "ishii", "toy", "other")
    outcomes: list[Delivery] = [Refused("403 not today")]
    toys["toy"].says = lambda parcel: outcomes.pop() if outcomes else Sent(parcel.key)
    for _ in range(2):
        await post(here, "toy", urgent=True)
        await settle(here, seconds=5)
    await settle(here, seconds=5)
    assert [(row.surface, row.state) for row in await every(here)] == [
        ("toy", "failed"),
        ("other", "sent"),
        ("toy", "sent"),
    ] or [(row.surface, row.state) for row in await every(here)] == [
        ("toy", "failed"),
        ("toy", "sent"),
        ("other", "sent"),
    ]
    rows = await here.app.store.read(lambda tx: people.link_rows(tx, "ishii"))
    assert all(row.reachable for row in rows)


async def test_a_group_that_moves_takes_its_letters_along(here: Town, toys: dict[str, Toy]) -> None:
    """Three letters are under way to the old id: each is shown once at the new one, whoever tells it first (fault 32)."""
    await here.app.store.transact(lambda tx: people.link_room(tx, "toy", "C-old", "tomoshibi", "takahashi", here.now))
    toy = toys["toy"]
    toy.caps = replace(toy.caps, gap=lambda _conversation: 0.0)

    def says(parcel: Parcel) -> Delivery:
        moved = parcel.to.conversation == "C-old"
        return Gone("moved", Address("toy", "C-new")) if moved else Sent(parcel.key)

    toy.says = says
    rows = [
        LetterRow(
            id=here.app.fresh(), kind="phone", surface="toy", doc={"person": "suzuki", "due": here.now.isoformat()}, address="C-old",
            to_room="tomoshibi", token=f"token-of-{n}", created_at=here.now, not_before=here.now, state="pending", urgent=True,
        )
        for n in range(3)
    ]  # fmt: skip
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    for _ in range(4):
        await settle(here, seconds=5)
    assert [p.to.conversation for p in toy.sent].count("C-new") == 3 == len({p.key for p in toy.sent})
    assert {row.state for row in await every(here)} == {"sent"}
    found = await here.app.store.read(lambda tx: people.rooms_of(tx, "tomoshibi"))
    assert [room.conversation for room in found] == ["C-new"]


async def test_a_group_of_telegram_hears_twenty_a_minute_at_most(here: Town, toys: dict[str, Toy]) -> None:
    """A storm into one group keeps its pace, first of each case first (fault 30)."""
    toy, begin = toys["toy"], here.now
    toy.caps = replace(toy.caps, gap=Telegram.caps.gap)
    left: list[float] = []

    def says(parcel: Parcel) -> Delivery:
        left.append((here.now - begin).total_seconds())
        return Sent(parcel.key)

    toy.says = says
    rows = [
        LetterRow(
            id=here.app.fresh(), kind="phone", surface="toy", doc={"person": "suzuki", "due": here.now.isoformat()}, address="-1001",
            to_room="tomoshibi", token=f"token-of-{n}", created_at=here.now, not_before=here.now, state="pending",
        )
        for n in range(50)
    ]  # fmt: skip
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    await here.later(minutes=4)
    assert len(left) == 50
    assert all(sum(at <= one < at + 60 for one in left) <= 20 for at in left)


# -- edits


async def test_whichever_edit_arrives_first_the_card_ends_true(databases: Databases, tmp_path: Path) -> None:
    """The first change is slow and nobody knows whether it arrived; the second comes before it: the last word is the truth (fault 35)."""
    url, slate = databases.sqlite(settled), Slate()
    here = await Town.found(url, tmp_path, adapters={"slate": slate})
    await link(here, "ishii", "slate")
    number = await offered(here)
    await here.later(minutes=3)
    edits, slow = slate.edit, asyncio.Event()

    async def delayed(ref: Ref, message: Any) -> Delivery:
        slate.edit = edits  # type: ignore[method-assign]
        await slow.wait()
        await edits(ref, message)  # it arrives after the second, and its answer is lost
        return Unknown("time-out")

    slate.edit = delayed  # type: ignore[method-assign]
    await here.says("kondo", f"引受 {number}")
    first = asyncio.create_task(here.app.copies.keep_true())
    await asyncio.sleep(0)
    await here.says("kondo", f"つながった {number}")
    here.clock.frozen = here.now + timedelta(seconds=61)  # another process takes it over
    await here.app.copies.keep_true()
    slow.set()
    await first
    for _ in range(3):
        here.clock.frozen = here.now + timedelta(minutes=1)
        await here.app.copies.keep_true()
    (now,) = slate.shown("U-ishii")
    wanted = next(card for row, card in await here.reads("ishii") if row.kind == "offer").message()
    assert [*now.facts][:1] == [*wanted.facts][:1] and "引き受けます" not in [c.label for c in now.choices]
    assert len(slate.sent) == 1
    await here.close()
    databases.drop(url)


async def test_an_open_card_that_was_deleted_comes_once_more(databases: Databases, tmp_path: Path) -> None:
    """Its message is gone and it still asks: one new message, and no second (fault 35)."""
    url, slate = databases.sqlite(settled), Slate()
    here = await Town.found(url, tmp_path, adapters={"slate": slate})
    await link(here, "ishii", "slate")
    number = await offered(here)
    await here.later(minutes=3)
    slate.edited = lambda _ref: Gone("message not found")
    await here.says("kondo", f"検討 {number} 6/4")
    for _ in range(8):
        await here.later(hours=3)
    offers = [m for m in slate.to("U-ishii") if "引き受けます" in [c.label for c in m.choices]]
    assert len(offers) == 2 and "検討" in str(offers[1]), "once more, as it is true now"
    assert len(slate.edits) == 1, "what was deleted is not tried again"
    await here.close()
    databases.drop(url)
