"""保存と消去: nothing goes by itself; two people erase; what is held back or open stays; figures, chain and certificate outlive it."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, text

from bot import erasing, sign
from bot.audit import breaches
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from bot.sweep import sweep
from bot.town import TownMistake, read
from storage import cases, erasures, journal, letters, monthly, persons, tables, texts
from storage.letters import LetterRow
from storage.tx import Tx
from tests.bot.test_pages import Browser
from tests.town import SAMPLE, START, TOKYO, Town
from workflow import refusals as no
from workflow.case import Request
from workflow.household import Person
from workflow.outcome import Act

STORY = "山田花子さんは桜町3丁目にお住まいで、通帳をなくされた"
OVER = datetime(
    2032, 4, 1, 9, 0, tzinfo=TOKYO
)  #: closed in June 2026: fiscal 2026, and five years from the next April on
SPAN = timedelta(days=200)


@pytest.fixture
async def doors(town: Town) -> AsyncIterator[Any]:
    """A maker of browsers in which somebody is signed in."""
    app, opened = routes(town.app), []

    async def browser(who: str) -> Browser:
        transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 4711), raise_app_exceptions=False)
        opened.append(client := httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080"))
        client.cookies.set(COOKIE, await town.app.store.transact(lambda tx: sign.begin(tx, who, real())))
        await client.get("/help")
        return Browser(client)

    yield browser
    for client in opened:
        await client.aclose()


async def closed(town: Town, words: str = STORY) -> str:
    """A consultation with a story, closed."""
    number = await town.intake("suzuki", "介護 困窮", "北部")
    await town.says("suzuki", f"終結 {number} 情報提供のみ")
    case = await town.case(number)

    def write(tx: Tx) -> None:
        id_, _ = texts.put(tx, case.household, words, "suzuki", town.now)
        persons.add(
            tx,
            Person(
                town.app.fresh(),
                case.household,
                0,
                "山田花子",
                contacts=("0900000000",),
                added_by="suzuki",
                added_at=town.now,
            ),
        )
        told = case.become(signs=id_, danger=True, requests=(Request(1, "talk", "suzuki", town.now),))
        cases.save(tx, case, told, at=town.now)

    await town.app.store.transact(write)
    return number


async def over(town: Town, until: datetime = OVER) -> None:
    """The years go by."""
    while town.now < until:
        await town.app.turner.jump(min(town.now + SPAN, until))


async def listed(town: Town) -> list[list[str]]:
    """What the calendar has put on the list."""
    await erasing.look(town.app)
    return [one.numbers for one in await town.app.store.read(erasures.waiting)]


async def id_of(town: Town, number: str) -> int:
    case = await town.case(number)
    one = await town.app.store.read(lambda tx: erasures.of_household(tx, case.household))
    assert one is not None
    return one.id


def act(town: Town, who: str) -> Act:
    return Act(town.place.staff[who], town.now, town.place, "web", town.app.fresh)


async def erased(town: Town, number: str) -> None:
    """Both people, without their browsers."""
    id_ = await id_of(town, number)
    await town.app.store.transact(lambda tx: erasing.propose(tx, id_, town.place.staff["matsui"], town.place, town.now))
    await town.app.store.transact(lambda tx: erasing.confirm(tx, id_, act(town, "watanabe")))


async def sound(town: Town) -> bool:
    found = await town.app.store.read(lambda tx: list(breaches(tx, town.now)))
    return not [line for line in found if line.startswith("breach")]


async def test_two_people_erase_what_nobody_needs_any_more(town: Town, doors: Any) -> None:
    """From the calendar's list to the certificate, by the pages; what is left is what is counted."""
    number = await closed(town)
    other = await closed(town, "もうひとつの話")
    store = town.app.store
    case = await town.case(number)
    await over(town, OVER - timedelta(hours=10))
    assert await listed(town) == [], "the last day of the period is kept"
    await over(town)
    assert sorted(await listed(town)) == sorted([[number], [other]])
    assert await store.read(lambda tx: texts.get(tx, case.signs or 1)) == STORY, "the calendar erases nothing"
    before = await store.read(lambda tx: erasing.figures_of(tx, town.place))
    privacy, official, lead = [await doors(who) for who in ("matsui", "watanabe", "suzuki")]
    assert (await lead.get("/retention")).status_code == 403
    assert number in (await privacy.get("/retention")).text
    page = f"/retention/{await id_of(town, number)}"
    assert "消去するもの" in (await privacy.get(page)).text
    assert "消去を提案する" in (await privacy.get(page)).text
    for path, said in (("/retention", "May be erased"), (page, "What would be erased")):
        english = (await privacy.get(f"{path}?lang=en")).text.split("<main")[1].split("</main>")[0]
        assert said in english and not re.search("[ぁ-ん]", english), path
    assert (await official.post(page, do="confirm", sure="yes")).headers["location"].endswith("said=NotProposed")
    assert (await privacy.post(page, do="propose")).headers["location"].endswith("said=proposed")
    assert (await privacy.post(page, do="confirm", sure="yes")).headers["location"].endswith("said=AnotherErases")
    assert "別の方が確かめて" in (await privacy.get(f"{page}?said=AnotherErases")).text
    assert (await official.post(page, do="confirm")).headers["location"].endswith("said=NotSure")
    assert (await lead.post(page, do="confirm", sure="yes")).status_code == 403
    assert await store.read(lambda tx: texts.get(tx, case.signs or 1)) == STORY
    assert (await official.post(page, do="confirm", sure="yes")).headers["location"].endswith("said=erased")
    assert (await official.post(page, do="confirm", sure="yes")).headers["location"].endswith("said=ErasedAlready")
    shown = (await official.get(page)).text
    assert "消去証明" in shown and "松井" in shown and "渡辺" in shown and number in shown
    # Gone: the key, the words, the keyed hash, letters, waits, flags. The chain is whole.
    assert STORY not in shown and await store.read(lambda tx: texts.get(tx, case.signs or 1)) is None
    row = await store.read(
        lambda tx: tx.execute(select(tables.households).where(tables.households.c.id == case.household)).one()
    )
    assert (row.key, row.hash) == (None, None)
    sealed = select(tables.texts.c.sealed).where(tables.texts.c.household == case.household)
    assert set(await store.read(lambda tx: tx.execute(sealed).scalars().all())) == {b""}
    left = await town.case(number)
    assert (left.signs, left.requests, left.waits) == (None, (), ())
    assert (left.stage, left.closed_at, left.district, left.opened_agency) == (
        "closed",
        case.closed_at or left.closed_at,
        "北部",
        case.opened_agency,
    )
    assert [i.concern for i in left.issues] == [i.concern for i in case.issues] and left.closing_reason == "info_only"
    assert (await town.lines(number))[-1] == "case.erased" and await sound(town)
    # The certificate is a line of the town's own chain.
    one = await store.read(lambda tx: erasures.get(tx, int(page.rsplit("/", 1)[1])))
    lines = [x for x in await store.read(lambda tx: journal.tail(tx, 0, 5_000)) if x.kind == "town.erased"]
    assert one and one.line == lines[0].seq and one.digest == lines[0].data["digest"] and lines[0].actor == "watanabe"
    assert lines[0].data["proposed_by"] == "matsui" and lines[0].data["numbers"] == [number]
    assert one.gone and one.gone["texts"] == 1 and one.gone["keys"] == 1
    # Statistics survive, month by month.
    assert await store.read(lambda tx: erasing.figures_of(tx, town.place)) == before
    kept = await store.read(monthly.kept)
    assert {(f.month, f.name): n for f, n in kept.items()} == {("2026-06", "danger"): 1, ("2026-06", "request"): 1}
    # 再相談 is answered kindly, and the other household is as it was.
    answer = await town.refused("suzuki", f"再相談 {number}", "OnlyFigures")
    assert "統計だけ" in answer.text and any(c.says == "受付" for c in answer.choices)
    assert "消去済み" in (await official.get(f"/cases/{number}")).text
    assert await listed(town) == [[other]]
    assert "再相談" not in (await official.get("/retention")).text
    opened = await town.case(other)
    assert await store.read(lambda tx: texts.get(tx, opened.signs or 1)) == "もうひとつの話"
    assert await town.says("suzuki", f"再相談 {other}")


async def test_who_comes_again_in_the_period_stays_whole(town: Town) -> None:
    """The last closing counts, and an open case keeps everything."""
    number = await closed(town)
    await over(town, START + timedelta(days=4 * 365))
    await town.says("suzuki", f"再相談 {number}")
    await over(town)
    assert await listed(town) == []
    again = (await town.app.store.read(lambda tx: erasures.numbers(tx, 0))) or None
    assert again is None
    second = next(n for n in await _numbers(town) if n != number)
    await town.says("suzuki", f"終結 {second} 情報提供のみ")
    assert await listed(town) == [], "closed just now"
    await over(town, datetime(2038, 4, 1, 9, 0, tzinfo=TOKYO))
    assert await listed(town) == [[number, second]], "one list entry a household"
    await erased(town, second)
    assert await sound(town)


async def _numbers(town: Town) -> list[str]:
    return await town.app.store.read(lambda tx: list(tx.execute(select(tables.cases.c.number)).scalars()))


async def test_what_is_held_back_is_on_no_list_and_a_hold_stops_a_proposal(town: Town, doors: Any) -> None:
    number, held = await closed(town), await closed(town)
    privacy = await doors("ogawa")
    form = {"do": "hold", "number": held.replace("-", ""), "reason": "dispute", "words": "係争中のため"}
    assert (await privacy.post("/retention", **form)).headers["location"].endswith("said=held")
    assert (await privacy.post("/retention", **form)).headers["location"].endswith("said=OnHold")
    assert (await privacy.post("/retention", **form | {"reason": "mood"})).headers["location"].endswith("said=WhyHeld")
    assert (await privacy.post("/retention", **form | {"number": "1"})).headers["location"].endswith("said=NoSuchCase")
    await over(town)
    assert await listed(town) == [[number]]
    shown = (await privacy.get("/retention")).text
    assert "係争中のため" in shown and "争いごと" in shown
    every = select(tables.erasures.c.household)
    assert len(await town.app.store.read(lambda tx: tx.execute(every).all())) == 1, (
        "what is held back is never put on it"
    )
    # A hold after the proposal stops it: the second person finds nothing to confirm.
    page = f"/retention/{(id_ := await id_of(town, number))}"
    await privacy.post(page, do="propose")
    await town.app.store.transact(lambda tx: erasing.hold(tx, number, "inquiry", "", act(town, "matsui")))
    official = await doors("watanabe")
    assert (await official.post(page, do="confirm", sure="yes")).headers["location"].endswith("said=NotProposed")
    assert await town.app.store.read(lambda tx: erasures.get(tx, id_)) is None and await listed(town) == []
    one = (await town.app.store.read(erasures.holds))[0]
    assert (await official.post("/retention", do="lift", id=str(one.id))).headers["location"].endswith("said=lifted")
    assert await listed(town) == [[number]]
    assert [x.kind for x in await town.app.store.read(lambda tx: journal.tail(tx, 0, 5_000)) if x.kind.startswith("town.h")] == [
        "town.hold", "town.hold", "town.hold_lifted",
    ]  # fmt: skip


async def test_a_proposal_can_be_taken_back_and_one_that_was_opened_again_is_stopped(town: Town) -> None:
    number = await closed(town)
    await over(town)
    await listed(town)
    id_, me, store = await id_of(town, number), town.place.staff["matsui"], town.app.store
    await store.transact(lambda tx: erasing.propose(tx, id_, me, town.place, town.now))
    await store.transact(lambda tx: erasing.take_back(tx, id_, me, town.now))
    await store.transact(lambda tx: erasing.propose(tx, id_, me, town.place, town.now))
    await town.says("suzuki", f"再相談 {number}")
    with pytest.raises(no.OpenAgain):
        await store.transact(lambda tx: erasing.confirm(tx, id_, act(town, "watanabe")))
    assert await listed(town) == []
    with pytest.raises(no.KeepersOnly):
        await store.transact(lambda tx: erasing.hold(tx, number, "other", "", act(town, "takahashi")))


async def test_an_erasure_and_a_new_consultation_at_once_come_to_one_of_the_two(town: Town) -> None:
    """Whoever has the case first: it is erased and 再相談 is answered so, or it is open again and nothing is erased."""
    number = await closed(town)
    case = await town.case(number)
    await over(town)
    await listed(town)
    id_, store = await id_of(town, number), town.app.store
    await store.transact(lambda tx: erasing.propose(tx, id_, town.place.staff["matsui"], town.place, town.now))
    answered, gone = await asyncio.gather(
        town.tries("suzuki", f"再相談 {number}"),
        store.transact(lambda tx: erasing.confirm(tx, id_, act(town, "watanabe"))),
        return_exceptions=True,
    )
    key = await store.read(lambda tx: texts.forgotten(tx, case.household))
    assert not isinstance(answered, BaseException)
    assert (answered.refused == "OnlyFigures") == key == (not isinstance(gone, BaseException))
    assert await sound(town)


async def test_two_confirm_at_once_and_one_certificate_is_made(town: Town) -> None:
    number = await closed(town)
    await over(town)
    await listed(town)
    id_, store = await id_of(town, number), town.app.store
    await store.transact(lambda tx: erasing.propose(tx, id_, town.place.staff["matsui"], town.place, town.now))
    found = await asyncio.gather(
        *(
            store.transact(lambda tx, who=who: erasing.confirm(tx, id_, act(town, who)))
            for who in ("watanabe", "ogawa")
        ),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in found) == ["Erasure", "ErasedAlready"] or sorted(
        type(one).__name__ for one in found
    ) == ["ErasedAlready", "Erasure"]
    lines = [x.kind for x in await store.read(lambda tx: journal.tail(tx, 0, 5_000))]
    assert lines.count("town.erased") == lines.count("case.erased") == 1 and await sound(town)


async def test_the_database_itself_wants_two_people(town: Town) -> None:
    number = await closed(town)
    await over(town)
    await listed(town)
    id_ = await id_of(town, number)
    alone = text("UPDATE erasures SET proposed_by = 'matsui', confirmed_by = 'matsui', done_at = 1 WHERE id = :id")
    with pytest.raises(Exception, match="two_people"):
        await town.app.store.transact(lambda tx: tx.connection.execute(alone, {"id": id_}))


# -- copies of chats


@pytest.mark.parametrize("days", [31, 0, 400])
def test_a_town_that_keeps_chats_longer_is_refused_with_the_line(days: int) -> None:
    words = SAMPLE.read_text("utf-8") + f"\n[limits]\npush_a_day = 3\nretention_chat_days = {days}\n"
    with pytest.raises(TownMistake, match=r"retention_chat_days」は 8 から 30") as refused:
        read(words)
    assert refused.value.line == len(words.splitlines())


async def test_copies_of_chats_are_gone_after_thirty_days(town: Town) -> None:
    """Words to the bot, words among colleagues, what is kept of letters outside; the record and what is still asked stay."""
    store = town.app.store
    await town.says("suzuki", "おはようございます", room="houkatsu-kita")
    number = await town.consented("suzuki")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")

    def outside(id_: int, **more: Any) -> LetterRow:
        at = START + timedelta(minutes=id_)
        return LetterRow(
            id_,
            "absence",
            "toy",
            {},
            at,
            at,
            to_staff="suzuki",
            state="sent",
            sent_at=at,
            address="U-1",
            ref="7",
            **more,
        )

    await store.transact(lambda tx: letters.write(tx, [outside(1), outside(2, live=True)]))
    await town.app.turner.jump(START + timedelta(days=29))
    await sweep(town.app)
    assert await _kept(town) == (True, {1, 2})
    await town.app.turner.jump(START + timedelta(days=31))
    await sweep(town.app)
    said, out = await _kept(town)
    assert not said and out == {2}, "a copy that still shows buttons goes when they have gone"
    posts = await store.read(lambda tx: tx.execute(select(tables.room_posts)).all())
    assert posts == [] and (await town.case(number)).open and await sound(town)
    assert (await sweep(town.app)).chats == 0


async def _kept(town: Town) -> tuple[bool, set[int]]:
    """Whether words of anybody are left, and which of the letters outside."""

    def look(tx: Tx) -> tuple[bool, set[int]]:
        words = tx.execute(
            select(tables.texts.c.id).where(
                tables.texts.c.household.is_(None), tables.texts.c.at < START + timedelta(days=1)
            )
        )
        out = tx.execute(select(tables.letters.c.id).where(tables.letters.c.surface == "toy"))
        return bool(words.all()), set(out.scalars())

    return await town.app.store.read(look)
