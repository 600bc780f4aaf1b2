"""What may have arrived is said so; under a key it goes again, what has to arrive goes once more, marked, and nothing a third time."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from adapters.base import Address, Delivery, Gone, Inbound, Later, Parcel, Said, Sender, Sent, Unknown
from adapters.line import REMEMBERED, Line
from adapters.slack import Slack
from adapters.telegram import Telegram
from bot.app import make
from bot.clock import Clock
from bot.deliver import AGAIN, LEASE_SECONDS, TRIES
from bot.operate import journal
from bot.record import new_token
from bot.settings import Settings
from storage import letters, people, tables
from storage.letters import LetterRow
from storage.tx import Tx
from tests.databases import Databases
from tests.fakes import line as of_line
from tests.fakes import slack as of_slack
from tests.fakes.line import LineFake
from tests.fakes.slack import FakeSlack
from tests.fakes.slack import Fault as SlackFault
from tests.fakes.telegram import FakeTelegram, Mischief
from tests.town import Town, settled
from tests.toy import Toy

#: A platform with keys, like LINE, and two without.
KEYED = "keyed"
PAST = timedelta(seconds=LEASE_SECONDS + 1)


class Dies(BaseException):
    """The process is killed while a platform has its request."""


@pytest.fixture
async def toys() -> dict[str, Toy]:
    toys = {name: Toy(name=name) for name in ("toy", "other", KEYED)}
    toys[KEYED].caps = replace(toys[KEYED].caps, again=REMEMBERED)
    return toys


@pytest.fixture
async def here(databases: Databases, tmp_path: Path, toys: dict[str, Toy]) -> AsyncIterator[Town]:
    url = databases.sqlite(settled)
    town = await Town.found(url, tmp_path, adapters={**toys})
    yield town
    await town.close()
    databases.drop(url)


async def link(here: Town, who: str, *platforms: str) -> None:
    for n, platform in enumerate(platforms):
        at = here.now + timedelta(seconds=n)  # the order in which they are tried
        await here.app.store.transact(lambda tx, p=platform, t=at: people.link(tx, p, f"U-{who}", who, t))  # type: ignore[misc]


async def post(here: Town, surface: str, *, who: str = "ishii", many: int = 1, **more: Any) -> None:
    rows = [
        LetterRow(
            id=here.app.fresh(), kind="phone", surface=surface, doc={"person": "suzuki", "due": here.now.isoformat()}, address=f"U-{who}",
            to_staff=who, token=new_token(), created_at=here.now, not_before=here.now, state="pending", **more,
        )
        for _ in range(many)
    ]  # fmt: skip
    await here.app.store.transact(lambda tx: letters.write(tx, rows))


async def every(here: Town) -> list[LetterRow]:
    """All letters outside, in the order in which they were written."""

    def work(tx: Tx) -> list[LetterRow]:
        ids = tx.execute(
            select(tables.letters.c.id).where(tables.letters.c.surface.not_in(("web", "console")))
        ).scalars()
        return [row for id_ in sorted(ids) if (row := letters.get(tx, id_))]

    return await here.app.store.read(work)


async def states(here: Town) -> list[tuple[str, str]]:
    return [(row.surface, row.state) for row in await every(here)]


async def killed(here: Town, toy: Toy) -> None:
    """A process takes what is due, its platform gets the request, and it is never seen again."""
    before = toy.says

    def dies(parcel: Parcel) -> Delivery:
        raise Dies

    toy.says = dies
    with pytest.raises(Dies):
        await here.app.deliverer.send_due()
    toy.says = before


async def missed(here: Town) -> None:
    """Its lease runs out, and somebody notices."""
    here.clock.frozen = here.now + PAST
    await here.app.deliverer.recover()


async def settle(here: Town, **later: float) -> None:
    here.clock.frozen = here.now + (timedelta(**later) if later else PAST)
    await here.app.deliverer.recover()
    await here.app.deliverer.send_due()


# -- without a key


@pytest.mark.parametrize("how", ["answered", "raised", "killed"])
async def test_what_may_have_arrived_goes_no_second_time_by_itself(
    here: Town, toys: dict[str, Toy], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever says that it is in doubt, the outcome is one (fault 3)."""
    toy = toys["toy"]
    await link(here, "ishii", "toy", "other")
    await post(here, "toy")
    await in_doubt(here, toy, how)
    for _ in range(3):
        await settle(here, hours=1)
    assert await states(here) == [("toy", "unknown")] and len(toy.sent) == 1 and not toys["other"].sent
    caplog.clear()


async def in_doubt(here: Town, toy: Toy, how: str) -> None:
    def raises(parcel: Parcel) -> Delivery:
        raise RuntimeError("a defect")

    if how == "killed":
        await killed(here, toy)
        await missed(here)
        return
    before, toy.says = toy.says, raises if how == "raised" else lambda _parcel: Unknown("time-out")
    await here.app.deliverer.send_due()
    toy.says = before


@pytest.mark.parametrize("how", ["answered", "raised", "killed"])
@pytest.mark.parametrize("second", ["other", "toy"])
async def test_what_has_to_arrive_goes_once_more_marked_and_never_a_third_time(
    here: Town, toys: dict[str, Toy], how: str, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On another surface where the person has one, else where it went, after a minute (fault 3)."""
    toy = toys["toy"]
    await link(here, "ishii", *dict.fromkeys(("toy", second)))
    await post(here, "toy", must=True, urgent=True)
    await in_doubt(here, toy, how)
    toys[second].says = lambda _parcel: Unknown("time-out")
    await settle(here, seconds=AGAIN.total_seconds())
    again = toys[second].sent[-1].message
    assert "再送" in again.text and "再送" not in toy.sent[0].message.text
    for _ in range(3):
        await settle(here, hours=1)
    assert await states(here) == [("toy", "unknown"), (second, "unknown")]
    assert len(toy.sent) + len(toys["other"].sent) == 2
    assert len({p.key for p in (*toy.sent, *toys["other"].sent)}) == 2, "it is another letter"
    caplog.clear()


async def test_a_room_that_may_have_heard_has_its_members_told_too(here: Town, toys: dict[str, Toy]) -> None:
    """石井 is reached elsewhere; who has no other surface is not told twice in the room."""
    await link(here, "ishii", "other")
    await post(here, "toy", must=True, urgent=True)
    await here.app.store.transact(lambda tx: tx.execute(
        tables.letters.update().values(to_staff=None, to_room="tomoshibi", address="C-room")
    ))  # fmt: skip
    toys["toy"].says = lambda _parcel: Unknown("time-out")
    await here.app.deliverer.send_due()
    await settle(here)
    assert await states(here) == [("toy", "unknown"), ("other", "sent")]
    assert "再送" in toys["other"].sent[0].message.text


async def test_the_ladder_climbs_although_nobody_knows_whether_it_arrived(here: Town, toys: dict[str, Toy]) -> None:
    """An unknown letter holds no clock: the coordinator hears of the silence on the day it would have been (fault 3)."""
    toys["toy"].says = lambda _parcel: Unknown("time-out")
    await link(here, "ishii", "toy")
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.later(business_days=3, minutes=1)
    assert "handoff.expire" in await here.lines(number)
    assert "expired" in await here.kinds("takahashi")


async def test_whoever_was_away_too_long_writes_nothing_down(here: Town, toys: dict[str, Toy]) -> None:
    """A process sleeps with a letter in its hands; when it wakes the letter has gone once more, and goes no third time."""
    await link(here, "ishii", "toy", "other")
    await post(here, "toy", must=True, urgent=True)
    wakes, asleep = asyncio.Event(), asyncio.Event()
    toy = toys["toy"]
    sends = toy.send

    async def sleeps(parcel: Parcel) -> Delivery:
        asleep.set()
        await wakes.wait()
        await sends(parcel)
        return outcome

    outcome: Delivery = Unknown("time-out")
    for outcome in (Unknown("time-out"), Gone("blocked")):
        wakes.clear()
        asleep.clear()
        toy.send = sleeps  # type: ignore[method-assign]
        sleeping = asyncio.create_task(here.app.deliverer.send_due())
        await asleep.wait()
        toy.send = sends  # type: ignore[method-assign]
        await settle(here) if outcome == Unknown("time-out") else await missed(here)
        wakes.set()
        await sleeping
        await settle(here)
        if outcome == Unknown("time-out"):
            assert await states(here) == [("toy", "unknown"), ("other", "sent")]
            await post(here, "toy", must=True, urgent=True)
    assert await states(here) == [("toy", "unknown"), ("other", "sent"), ("toy", "unknown"), ("other", "sent")]


# -- under a key


@pytest.mark.parametrize("how", ["raised", "killed"])
async def test_under_a_key_it_goes_again_and_is_shown_once(
    here: Town, toys: dict[str, Toy], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """LINE: the same key, and nobody else is troubled (fault 3)."""
    keyed = toys[KEYED]
    await link(here, "ishii", KEYED, "other")
    await post(here, KEYED, must=True, urgent=True)
    await in_doubt(here, keyed, how)
    await settle(here, minutes=2)
    first, second = keyed.sent
    assert first.key == second.key and "再送" not in second.message.text
    assert await states(here) == [(KEYED, "sent")] and not toys["other"].sent
    caplog.clear()


async def test_a_key_that_was_forgotten_is_none(here: Town, toys: dict[str, Toy]) -> None:
    """A day later LINE would show it twice: it is unknown, and what has to arrive goes once more, marked."""
    await link(here, "ishii", KEYED, "other")
    await post(here, KEYED, must=True, urgent=True)
    await killed(here, toys[KEYED])
    await settle(here, hours=25)
    assert await states(here) == [(KEYED, "unknown"), ("other", "sent")]
    assert "再送" in toys["other"].sent[0].message.text


async def test_what_breaks_whoever_sends_it_is_not_tried_for_ever(here: Town, toys: dict[str, Toy]) -> None:
    await post(here, KEYED)
    for _ in range(TRIES):
        await killed(here, toys[KEYED])
        await missed(here)
    assert await states(here) == [(KEYED, "unknown")] and len(toys[KEYED].sent) == TRIES


async def test_a_key_stands_for_one_message(here: Town, toys: dict[str, Toy]) -> None:
    """What is written while a bundle is in doubt leaves by itself: under the old key nobody would ever see it."""
    keyed = toys[KEYED]
    await post(here, KEYED, many=3)
    await killed(here, keyed)
    here.clock.frozen = here.now + PAST
    await post(here, KEYED, many=2)
    await here.app.deliverer.recover()
    for _ in range(5):
        await here.app.deliverer.send_due()
        here.clock.frozen = here.now + timedelta(seconds=2)
    first, *rest = keyed.sent
    assert sorted(f"{p.message.title}" for p in rest) == ["お知らせ 2件", "お知らせ 3件"]
    same = next(p for p in rest if p.message.title == "お知らせ 3件")
    assert same.key == first.key and len({p.key for p in keyed.sent}) == 2
    assert {state for _, state in await states(here)} == {"sent"}


@pytest.mark.parametrize("surface", ["toy", KEYED])
async def test_an_answer_whose_sender_is_killed_is_unknown(here: Town, toys: dict[str, Toy], surface: str) -> None:
    """It left with what an event lends, once: not even a key makes it the same letter again. Of 緊急 the numbers go once more."""
    toy = toys[surface]
    await link(here, "suzuki", surface)

    sends, taken, never = toy.send, asyncio.Event(), asyncio.Event()

    async def dies(parcel: Parcel) -> Delivery:
        await sends(parcel)
        taken.set()
        await never.wait()
        raise AssertionError

    toy.send = dies  # type: ignore[method-assign]
    for n, words in enumerate(("今日", "緊急")):
        event = Inbound(
            f"E{n}", Sender(surface, "U-suzuki"), Address(surface, "U-suzuki"), Said(words), reply=f"token-{n}"
        )
        await here.app.receiver.receive(event)
        (sending,) = here.app.deliverer._under_way
        await taken.wait()
        taken.clear()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    toy.send = sends  # type: ignore[method-assign]
    await settle(here)
    await settle(here, seconds=AGAIN.total_seconds())
    answers = [row for row in await every(here) if row.answer]
    assert [(row.state, row.resent) for row in answers] == [("unknown", False), ("unknown", False), ("sent", True)]
    assert [p.reply for p in toy.sent if p.to.conversation == "U-suzuki"][:3] == ["token-0", "token-1", ""]
    assert "再送" in toy.sent[-1].message.text and "119" in toy.sent[-1].message.text


# -- over the wire


async def test_whoever_took_it_and_did_not_say_so_shows_one_copy_or_one_marked_more(
    databases: Databases, tmp_path: Path
) -> None:
    """Each platform takes a letter and its answer is lost: LINE shows one; Slack's and Telegram's are unknown (fault 3)."""
    async with LineFake() as line:
        slack, telegram = await FakeSlack().start(), await FakeTelegram(chats={4001: ""}).start()
        adapters = {
            "slack": Slack(of_slack.TOKEN, of_slack.SECRET, "", slack.api_url),
            "telegram": Telegram(telegram.token, "s", telegram.url),
            "line": Line(of_line.TOKEN, of_line.SECRET, line.url),
        }
        url = databases.sqlite(settled)
        here = await Town.found(url, tmp_path, adapters={**adapters})
        slack.next("chat.postMessage", SlackFault(accepts=True, drops=True))
        telegram.next("sendMessage", Mischief(accept=True, cut=True))
        line.fails(of_line.Fault(drop=True, accepted=True))
        whom = {"slack": f"{of_slack.TEAM}/U1", "telegram": "4001", "line": f"U{2:032x}"}
        for surface, account in whom.items():
            await post(here, surface)
            await here.app.store.transact(lambda tx, s=surface, a=account: tx.execute(  # type: ignore[misc]
                tables.letters.update().where(tables.letters.c.surface == s).values(address=a)
            ))  # fmt: skip
        for _ in range(4):
            await settle(here, minutes=5)
        assert sorted(await states(here)) == [("line", "sent"), ("slack", "unknown"), ("telegram", "unknown")]
        assert (len(line.shown), len(slack.messages), len(telegram.texts(4001))) == (1, 1, 1)
        assert [call.status for call in line.calls][-1] == 409
        await here.close()
        databases.drop(url)
        await slack.stop()
        await telegram.stop()


async def test_a_closed_port_is_tried_again_until_it_opens(databases: Databases, tmp_path: Path) -> None:
    """Nobody listens for a while: nothing left, so it waits a little longer each time and is delivered once (fault 4)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    slack = Slack(of_slack.TOKEN, of_slack.SECRET, "", f"http://127.0.0.1:{port}/api/")
    line = Line(of_line.TOKEN, of_line.SECRET, f"http://127.0.0.1:{port}")
    telegram = Telegram("777:x", "s", f"http://127.0.0.1:{port}", timeout=0.5)
    url = databases.sqlite(settled)
    here = await Town.found(url, tmp_path, adapters={"slack": slack, "line": line, "telegram": telegram})
    for surface in ("slack", "line", "telegram"):
        await post(here, surface)
    for _ in range(3):
        await here.app.deliverer.send_due()
        rows = await every(here)
        assert {row.state for row in rows} == {"pending"} and {row.ref for row in rows} == {None}
        assert all(row.not_before > here.now for row in rows), "not at once"
        before = [row.tries for row in rows]
        await here.app.deliverer.send_due()
        assert [row.tries for row in await every(here)] == before
        here.clock.frozen = here.now + timedelta(minutes=2)
    opened = Toy(name="slack"), Toy(name="line"), Toy(name="telegram")
    here.app.deliverer.adapters.update({toy.name: toy for toy in opened})
    for _ in range(3):
        await settle(here, minutes=2)
    assert [len(toy.sent) for toy in opened] == [1, 1, 1]
    assert {state for _, state in await states(here)} == {"sent"}
    for adapter in (slack, line, telegram):
        await adapter.close()
    await here.close()
    databases.drop(url)


async def test_a_platform_that_asks_for_half_a_minute_gets_it_and_nobody_else_waits(
    here: Town, toys: dict[str, Toy], tmp_path: Path
) -> None:
    """One chat is full for thirty seconds: the others' letters leave, a new process keeps the pause, nothing is lost (fault 29)."""
    until = here.now + timedelta(seconds=30)
    sent: list[tuple[str, float]] = []
    begin = here.now

    def says(parcel: Parcel) -> Delivery:
        if parcel.to.conversation == "U-ishii" and here.now < until:
            return Later(until - here.now, "429")
        sent.append((parcel.to.conversation, (here.now - begin).total_seconds()))
        return Sent(parcel.key)

    toys["toy"].says = says
    await post(here, "toy")
    await post(here, "toy", who="kondo")
    await here.app.deliverer.send_due()
    await post(here, "toy", who="sato")
    settings = Settings(database_url=here.app.settings.database_url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    here.clock.frozen = begin + timedelta(seconds=20)
    other = make(settings, clock=Clock(frozen=here.now), adapters={"toy": toys["toy"]}, var=tmp_path)
    await other.deliverer.send_due()
    await other.close()
    assert [who for who, _ in sent] == ["U-kondo", "U-sato"]
    await here.later(minutes=5)
    assert [who for who, _ in sent] == ["U-kondo", "U-sato", "U-ishii"] and sent[-1][1] >= 30


# -- where it is told


async def test_the_journal_tells_what_became_of_each_letter(
    databases: Databases, tmp_path: Path, toys: dict[str, Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--letters` adds a line a letter behind the chain's, in no chain; without it the chain's alone."""
    url = databases.sqlite(settled)
    here = await Town.found(url, tmp_path, adapters={**toys})
    outcomes: dict[str, Delivery] = {"U-ishii": Unknown("time-out"), "U-kondo": Gone("bot was blocked")}
    toys["toy"].says = lambda parcel: outcomes[parcel.to.conversation]
    for who in ("ishii", "kondo"):
        await link(here, who, "toy")
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.later(minutes=5)
    await here.close()
    settings = Settings(database_url=url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    monkeypatch.setattr(Settings, "var", property(lambda _: tmp_path))  # where the town's key lies

    def told(with_letters: bool) -> list[dict[str, Any]]:
        return json.loads(json.dumps(journal(settings, number, with_letters=with_letters)))  # type: ignore[no-any-return]

    chain, both = await asyncio.to_thread(told, False), await asyncio.to_thread(told, True)
    assert both[: len(chain)] == chain and all(line["seq"] and line["hash"] for line in chain)
    lines = both[len(chain) :]
    assert lines and all(line.keys() == chain[0].keys() for line in lines)
    assert all((line["seq"], line["prev"], line["hash"]) == (None, None, None) for line in lines)
    outside = [(line["kind"], line["data"]["to"], line["data"]["why"]) for line in lines if line["surface"] == "toy"]
    assert sorted(outside) == [("letter.failed", "kondo", "bot was blocked"), ("letter.unknown", "ishii", "time-out")]
    assert "U-ishii" not in json.dumps(lines), "an account is nobody's business"
    databases.drop(url)
