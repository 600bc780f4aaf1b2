"""What a town forgets by age, and what it never forgets: the record is whole, pages open, an old button is answered in words."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from adapters.base import Said
from bot import sign
from bot.audit import breaches
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from bot.sweep import Swept, sweep
from storage import beats, inbox, letters, paces, people, tables
from storage.inbox import Arrival
from storage.letters import LetterRow
from storage.tx import Tx
from tests.bot.test_receive import arrives
from tests.databases import Databases
from tests.town import START, Town, sample, settled
from tests.toy import Slate

SLATE = "slate"


@pytest.fixture
def slate() -> Slate:
    return Slate()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def here(
    request: pytest.FixtureRequest, databases: Databases, tmp_path: Path, slate: Slate
) -> AsyncIterator[Town]:
    """石井 of ともしび reads where cards can be changed."""
    url = getattr(databases, request.param)(settled)
    town = await Town.found(url, tmp_path, adapters={SLATE: slate})
    await town.app.store.transact(lambda tx: people.link(tx, SLATE, "U-ishii", "ishii", START))
    yield town
    await town.close()
    databases.drop(url)


def counts(tx: Tx) -> dict[str, int]:
    return {
        str(one.name): tx.execute(select(func.count()).select_from(one)).scalar_one()
        for one in tables.metadata.sorted_tables
    }


async def years(town: Town, count: int) -> None:
    """Nobody says anything for years; the clock goes on."""
    for _ in range(count * 2):
        await town.app.turner.jump(town.now + timedelta(days=183))


async def test_after_years_the_record_is_whole_and_the_rest_is_small(here: Town, slate: Slate) -> None:
    """Growth: letters, events, waits and traces of two years go; what is asked, shown or recorded stays."""
    store = here.app.store
    active = await here.supported()
    asked = await here.consented()
    await here.says("suzuki", f"依頼 {asked} 家計相談 ともしび")
    await here.says("ishii", f"空き待ち {asked} 6/20")
    await here.later(minutes=3)
    closed = await here.intake("suzuki")
    await here.says("suzuki", f"終結 {closed} 情報提供のみ")
    await here.says("suzuki", "おはようございます", room="houkatsu-kita")
    await arrives(here, SLATE, "U-ishii", Said("今日"), "once")
    await store.transact(lambda tx: (sign.begin(tx, "suzuki", START), beats.claim(tx, "08:30", START, START)))
    await store.transact(lambda tx: paces.hold(tx, SLATE, "U-ishii", START))
    old = next(row for row, _ in await here.reads("suzuki") if row.answer and row.doc["says"])
    cards = {row.id for row, _ in await here.reads("ishii") if row.kind == "offer"}
    assert await sweep(here.app) == Swept(0, 0, 0, 0)
    await years(here, 2)
    await store.transact(lambda tx: beats.claim(tx, "08:30", here.now, here.now))
    fresh = await here.consented("suzuki")
    await arrives(here, SLATE, "U-ishii", Said("つぎへ"), "again")
    before = await store.read(counts)
    swept = await sweep(here.app)
    after = await store.read(counts)
    gone = {name: before[name] - after[name] for name in before}
    assert swept.letters == gone["letters"] > 20 and swept.inbox == gone["inbox"] > 10
    assert swept.waits == gone["waits"] > 5 and gone["timers"] >= gone["waits"]
    assert (gone["beats"], gone["sessions"], gone["paces"]) == (1, 1, gone["paces"]) and swept.traces >= 2
    assert gone["texts"] > 5 and gone["room_posts"] == 1 and swept.chats >= 1, "copies of chats"
    kept = ("journal", "cases", "handoffs", "households", "staff", "agencies", "links", "marks")
    assert not any(gone[name] for name in kept)
    assert await sweep(here.app) == Swept(0, 0, 0, 0), "once is enough"
    # The promises hold, the chain too, and whoever looks sees a town.
    assert not [line for line in await store.read(lambda tx: list(breaches(tx, here.now))) if line.startswith("breach")]
    still = {row.id for row, _ in await here.reads("ishii") if row.kind == "offer"}
    assert cards & still, "what is still asked is still shown"
    assert here.app.deliverer.adapters[SLATE] is slate and await store.read(_live) > 0
    transport = httpx2.ASGITransport(app=routes(here.app), client=("127.0.0.1", 4711), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        client.cookies.set(COOKIE, await store.transact(lambda tx: sign.begin(tx, "suzuki", real())))
        for page in (
            "/",
            "/chat?room=me",
            "/chat?room=houkatsu-kita",
            "/board",
            "/cases",
            "/town",
            f"/cases/{active}",
            f"/cases/{closed}",
        ):
            shown = await client.get(page, follow_redirects=True)
            assert shown.status_code == 200, (page, shown.status_code)
        assert "おはようございます" not in (await client.get("/chat?room=houkatsu-kita")).text
    # A late tap is answered in words; an event is the same event for as long as the town says.
    late = await here.press("suzuki", old.token or "", old.doc["says"][0])
    assert late.refused == "OldButton" and late.messages[0].text
    assert (await arrives(here, SLATE, "U-ishii", Said("つぎへ"), "again")).inbox is None
    assert (await arrives(here, SLATE, "U-ishii", Said("今日"), "once")).inbox is not None
    assert (await here.case(fresh)).open
    await here.says("ishii", f"引受 {asked}")


def _live(tx: Tx) -> int:
    return int(tx.execute(select(func.count()).where(tables.letters.c.live)).scalar_one())


def _letter(id_: int, at: timedelta, **changes: object) -> LetterRow:
    moment = START - at
    row = LetterRow(id_, "absence", "web", {}, moment, moment, to_staff="suzuki", state="sent", sent_at=moment)
    return replace(row, **changes)  # type: ignore[arg-type]


async def test_what_somebody_may_still_have_to_see_to_is_kept(lite: Town) -> None:
    """Pending, under way, or failed and on /stuck: however old. Failed and let be, superseded, unknown: they go."""
    long_ago = timedelta(days=2_000)
    rows = [
        _letter(1, long_ago, state="pending", surface="toy"), _letter(2, long_ago, state="leased", surface="toy"),
        _letter(3, long_ago, state="failed", why="blocked"), _letter(4, long_ago, state="failed", why="given up: mori"),
        _letter(5, long_ago, state="superseded"), _letter(6, long_ago, state="unknown"), _letter(7, long_ago),
        _letter(8, timedelta(days=399)),
    ]  # fmt: skip
    await lite.app.store.transact(lambda tx: letters.write(tx, rows))
    assert (await sweep(lite.app)).letters == 4
    left = await lite.app.store.read(lambda tx: set(tx.execute(select(tables.letters.c.id)).scalars()))
    assert left == {1, 2, 3, 8}


async def test_what_left_as_one_message_stays_together(lite: Town) -> None:
    """A copy that still shows buttons is rendered anew with what left beside it."""
    long_ago = timedelta(days=2_000)
    outside = {"surface": "toy", "address": "U-1"}
    rows = [
        _letter(1, long_ago, live=True, **outside),
        _letter(2, long_ago, **outside),
        _letter(3, timedelta(days=1_999), **outside),
    ]
    await lite.app.store.transact(lambda tx: letters.write(tx, rows))
    assert (await sweep(lite.app)).letters == 1
    assert await lite.app.store.read(lambda tx: letters.get(tx, 2)) and not await lite.app.store.read(
        lambda tx: letters.get(tx, 3)
    )


async def test_a_parked_event_waits_for_its_human(lite: Town) -> None:
    moment = START - timedelta(days=2_000)
    parked = Arrival("toy", "1", "U-1", "words", moment)
    done = replace(parked, event_id="2")

    def work(tx: Tx) -> None:
        inbox.park(tx, 1, parked, "KeyError", None)
        inbox.arrive(tx, 2, done)

    await lite.app.store.transact(work)
    assert (await sweep(lite.app)).inbox == 1
    assert [one.id for one in await lite.app.store.read(inbox.parked)] == [1]


async def test_the_periods_are_the_towns(databases: Databases, tmp_path: Path) -> None:
    doc = sample() | {"retention": {"letters": 100, "inbox": 7, "traces": 31}}
    url = databases.sqlite(settled)
    town = await Town.found(url, tmp_path, doc=doc)
    rows = [_letter(1, timedelta(days=101)), _letter(2, timedelta(days=99))]
    await town.app.store.transact(lambda tx: letters.write(tx, rows))
    assert (await sweep(town.app)).letters == 1
    await town.close()
    databases.drop(url)


async def test_stopped_between_two_batches_it_goes_on_where_it_was(lite: Town) -> None:
    """A batch is a transaction of its own: others write between two, and a stop loses none."""
    many = [_letter(i, timedelta(days=2_000)) for i in range(1, 2_301)]
    await lite.app.store.transact(lambda tx: letters.write(tx, many))

    async def left() -> int:
        return (await lite.app.store.transact(counts))[
            "letters"
        ]  # in the writer's turn: behind a batch that is under way

    task = asyncio.create_task(sweep(lite.app))
    for _ in range(100):
        if await left() < len(many):
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() and 0 < (some := await left()) < len(many)
    assert (await sweep(lite.app)).letters == some
