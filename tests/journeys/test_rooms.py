"""An agency's shared channel outside: told once, answered by anybody of theirs, and how each person wants to be told."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from adapters.base import (
    Address,
    Chose,
    Inbound,
    Moved,
    Reachable,
    Said,
    Sender,
    What,
)
from bot.pace import Push, Pushed, leaves_at
from bot.receive import Answered
from bot.record import from_room, send
from storage import letters, people, tables
from storage.letters import LetterRow
from storage.people import Quiet, ReaderSettings
from storage.tx import Tx
from tests.databases import Databases
from tests.journeys.conftest import whole
from tests.properties.values import the_town
from tests.town import TOKYO, Town, sample, settled
from tests.toy import Toy
from workflow.outcome import Act, Notice, Reader

ROOM = "C-tomoshibi"  #: where 家計改善ともしび talks: 石井, who heads it, and 近藤
THEIRS = {"ishii": "U-ishii", "kondo": "U-kondo"}


class Outside:
    """A town with a toy platform, where ともしび shares a channel."""

    def __init__(self, town: Town, toy: Toy) -> None:
        self.town = town
        self.toy = toy

    async def link(self, who: str, account: str, platform: str = "toy") -> None:
        await self.town.app.store.transact(lambda tx: people.link(tx, platform, account, who, self.town.now))

    async def link_room(self, agency: str = "tomoshibi", conversation: str = ROOM, platform: str = "toy") -> None:
        at = self.town.now
        await self.town.app.store.transact(
            lambda tx: people.link_room(tx, platform, conversation, agency, "takahashi", at)
        )

    async def offered(self) -> str:
        """鈴木 asks ともしび for 家計相談, and it leaves."""
        number = await self.town.consented()
        await self.town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
        await self.leave()
        return number

    async def leave(self) -> None:
        """Let everything leave that may by now, at its conversation's pace."""
        await self.town.later(minutes=1)

    async def hears(self, account: str, what: What, conversation: str = ROOM, platform: str = "toy") -> Answered:
        """Something happens in the channel."""
        event = Inbound(
            secrets.token_hex(8), Sender(platform, account), Address(platform, conversation), what, private=False
        )
        return await self.town.app.receiver.receive(event)

    async def taps(self, account: str, label: str, conversation: str = ROOM) -> Answered:
        """Somebody presses a button of the newest card in the channel."""
        choice = next(c for m in reversed(self.toy.to(conversation)) for c in m.choices if c.label == label)
        return await self.hears(account, Chose(choice.token), conversation)

    async def letters(self, surface: str = "toy") -> list[LetterRow]:
        def work(tx: Tx) -> list[LetterRow]:
            ids = tx.execute(select(tables.letters.c.id).where(tables.letters.c.surface == surface)).scalars().all()
            return [row for id_ in sorted(ids) if (row := letters.get(tx, id_))]

        return await self.town.app.store.read(work)

    async def news(self, surface: str = "toy") -> list[tuple[str, str | None, str | None]]:
        """(kind, to whom, to which room) of all that is not an answer."""
        return [(one.kind, one.to_staff, one.to_room) for one in await self.letters(surface) if not one.answer]


async def opened(url: str, var: Path) -> Outside:
    toy = Toy()
    town = await Town.found(url, var, adapters={"toy": toy, "line": Toy(name="line")})
    here = Outside(town, toy)
    await here.link_room()
    for who, account in THEIRS.items():
        await here.link(who, account)
    return here


@pytest.fixture
async def outside(database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Outside]:
    here = await opened(database, tmp_path)
    yield here
    await whole(here.town, caplog)
    await here.town.close()


@pytest.fixture
async def here(databases: Databases, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Outside]:
    """The same on SQLite alone."""
    url = databases.sqlite(settled)
    found = await opened(url, tmp_path)
    yield found
    await whole(found.town, caplog)
    await found.town.close()
    databases.drop(url)


# -- told once, answered by anybody


async def test_an_offer_goes_to_the_agencys_channel_once_and_to_nobody_privately(outside: Outside) -> None:
    number = await outside.offered()
    assert await outside.news() == [("offer", None, "tomoshibi")]
    (card,) = outside.toy.to(ROOM)
    assert number in f"{card.text}{card.title}{card.facts}"
    assert "引き受けます" in [c.label for c in card.choices]
    assert "offer" in await outside.town.kinds("ishii"), "inside it is in the room as ever"


async def test_anybody_of_the_agency_takes_it_and_alone_is_answered(outside: Outside) -> None:
    number = await outside.offered()
    taken = await outside.taps("U-kondo", "引き受けます")
    assert taken.refused is None and taken.number == number
    handoff = (await outside.town.case(number)).handoff(1)
    assert handoff is not None and (handoff.state, handoff.holder) == ("accepted", "kondo")
    await outside.leave()
    answer = next(p for p in outside.toy.sent if p.message.text == taken.messages[0].text)
    assert (answer.to.conversation, answer.only) == (ROOM, "U-kondo")


async def test_of_two_taps_at_once_the_first_wins_and_the_other_hears_who(outside: Outside) -> None:
    """I3."""
    number = await outside.offered()
    both = await asyncio.gather(outside.taps("U-kondo", "引き受けます"), outside.taps("U-ishii", "引き受けます"))
    assert sorted(one.refused or "" for one in both) == ["", "AlreadyTaken"]
    holder = next(h.holder for h in (await outside.town.case(number)).handoffs if h.held)
    late = next(one for one in both if one.refused)
    assert outside.town.place.staff[holder or ""].name in late.messages[0].text
    assert (await outside.town.lines(number)).count("handoff.accept") == 1


async def test_who_is_in_the_channel_from_elsewhere_takes_nothing(here: Outside) -> None:
    number = await here.offered()
    await here.link("mori", "U-mori")
    assert (await here.taps("U-mori", "引き受けます")).refused is not None
    assert not [h for h in (await here.town.case(number)).handoffs if h.held]


async def test_words_in_the_channel_are_their_speakers(here: Outside) -> None:
    number = await here.town.consented()
    await here.town.says("suzuki", f"依頼 {number} 居場所 社協")
    await here.link_room("shakyo", "C-shakyo")
    await here.link("nakajima", "U-nakajima")  # 社協ながれ and 重層推進室
    assert (await here.hears("U-nakajima", Said(f"引受 {number}"), "C-shakyo")).refused is None
    handoff = (await here.town.case(number)).handoff(1)
    assert handoff is not None and (handoff.holder, handoff.to_agency) == ("nakajima", "shakyo")


async def test_who_is_of_two_agencies_speaks_for_the_channels(here: Outside) -> None:
    number = await here.town.consented()
    await here.link_room("suishin", "C-body")
    await here.link("nakajima", "U-nakajima")
    for words in (f"依頼 {number} 家計相談 ともしび", "送る"):
        assert (await here.hears("U-nakajima", Said(words), "C-body")).refused is None
    handoff = (await here.town.case(number)).handoff(1)
    assert handoff is not None and (handoff.sender, handoff.from_agency) == ("nakajima", "suishin")


async def test_whoever_is_named_alone_is_told_privately(here: Outside) -> None:
    number = await here.town.consented()
    await here.town.says("suzuki", f"依頼 {number} 家計相談 ともしび/近藤")
    await here.leave()
    assert ("offer", "kondo", None) in await here.news()
    assert not here.toy.to(ROOM)


async def test_whoever_is_named_beside_the_channel_is_told_alone_too(here: Outside) -> None:
    """A head to whom silence has climbed, somebody on the roster: what is theirs does not drown in a channel."""
    town = here.town

    def work(tx: Tx) -> None:
        place, to = town.app.towns.of(tx), (Reader("room", "tomoshibi"), Reader("staff", "ishii"))
        notice = Notice("phone", to, data={"person": "suzuki"}, urgent=True)
        send(tx, [notice], Act(None, town.now, place, "clock", town.app.fresh))

    await town.app.store.transact(work)
    await here.leave()
    assert len(here.toy.to(ROOM)) == len(here.toy.to("U-ishii")) == 1 and not here.toy.to("U-kondo")


async def test_free_words_in_the_channel_are_kept_nowhere(here: Outside) -> None:
    """workflow.md §6: what is typed outside is neither stored nor posted in the agency's room inside."""
    await here.hears("U-kondo", Said("きのうのお客さまの山田花子さんのことですが"))

    def everything(tx: Tx) -> str:
        kept = (tables.inbox, tables.letters, tables.room_posts, tables.texts)
        return repr([tx.connection.execute(select(table)).all() for table in kept])

    assert "山田花子" not in await here.town.app.store.read(everything)


# -- strangers


async def test_who_is_not_linked_is_told_how_and_alone(outside: Outside) -> None:
    number = await outside.offered()
    for what in (Said("今日"), Said(f"引受 {number}")):
        assert (await outside.hears("U-nobody", what)).refused == "StrangersCannot"
    answered = await outside.taps("U-nobody", "引き受けます")
    assert answered.refused == "StrangersCannot"
    await outside.leave()
    told = [p for p in outside.toy.sent if p.only == "U-nobody"]
    assert len(told) == 3 and all("登録" in p.message.text for p in told)
    assert all(number not in p.message.text for p in told)
    assert not [h for h in (await outside.town.case(number)).handoffs if h.held]


async def test_a_stranger_who_writes_to_us_alone_is_answered_there(here: Outside) -> None:
    event = Inbound("one", Sender("toy", "U-new"), Address("toy", "U-new"), Said("登録 BCDF-GHJK"))
    assert (await here.town.app.receiver.receive(event)).refused == "BadInvite"
    await here.leave()
    (told,) = here.toy.to("U-new")
    assert "合言葉" in told.text


async def test_danger_words_of_a_stranger_bring_the_numbers_at_once(outside: Outside) -> None:
    answered = await outside.hears("U-nobody", Said("助けて 人が倒れています"))
    assert answered.refused is None
    await outside.leave()
    (told,) = [p for p in outside.toy.sent if p.only == "U-nobody"]
    assert "119" in told.message.text


async def test_a_strangers_flood_is_met_with_silence(here: Outside) -> None:
    here.town.app.receiver.flood = 3
    for _ in range(8):
        await here.hears("U-nobody", Said("やあ"))
    await here.leave()
    assert len([p for p in here.toy.sent if p.only == "U-nobody"]) == 3


async def test_in_a_group_of_line_nothing_is_decided(here: Outside) -> None:
    """platforms.md §2.3."""
    number = await here.offered()
    await here.link("kondo", "U-line", "line")
    answered = await here.hears("U-line", Said(f"引受 {number}"), "G-1", "line")
    assert answered.refused == "OnlyPrivate" and number not in answered.messages[0].text
    assert not [h for h in (await here.town.case(number)).handoffs if h.held]
    assert "119" in (await here.hears("U-line", Said("助けて"), "G-1", "line")).messages[0].text


# -- when


async def leaves(here: Outside) -> list[str]:
    return [
        f"{one.not_before.astimezone(TOKYO):%m-%d %H:%M}"
        for one in await here.letters()
        if one.to_room and not one.answer
    ]


async def test_a_rooms_news_wait_until_the_agency_opens(here: Outside) -> None:
    number = await here.town.consented()
    here.town.clock.frozen = datetime(2026, 6, 5, 21, 0, tzinfo=TOKYO)  # a Friday evening
    await here.town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    opens = here.town.place.agencies["tomoshibi"].hours.next_open(here.town.now).astimezone(TOKYO)
    assert (opens.month, opens.day) == (6, 8)
    assert await leaves(here) == [f"{opens:%m-%d %H:%M}"]


async def test_urgent_news_leave_at_once(here: Outside) -> None:
    number = await here.town.consented()
    await here.town.says("suzuki", f"急ぎ {number}")
    here.town.clock.frozen = datetime(2026, 6, 5, 21, 0, tzinfo=TOKYO)
    await here.town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    assert await leaves(here) == ["06-05 21:00"]


async def test_the_channel_is_in_nobodys_noise_budget(here: Outside) -> None:
    for _ in range(5):
        number = await here.town.consented()
        await here.town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    assert await leaves(here) == ["06-01 09:00"] * 5
    counted = await here.town.app.store.read(
        lambda tx: letters.push_times(tx, ["kondo"], here.town.now - timedelta(days=1))
    )
    assert counted == []


# -- where it goes when the channel takes nothing


async def test_a_channel_that_is_gone_is_left_and_its_members_are_told_privately(outside: Outside) -> None:
    await outside.town.app.store.transact(lambda tx: people.room_gone(tx, "toy", ROOM))
    await outside.offered()
    assert sorted(await outside.news()) == [("offer", "ishii", None), ("offer", "kondo", None)]
    await outside.hears("U-admin", Reachable(True))
    await outside.offered()
    assert (await outside.news())[-1] == ("offer", None, "tomoshibi")


async def test_who_throws_us_out_of_a_group_has_not_blocked_us(outside: Outside) -> None:
    await outside.hears("U-ishii", Reachable(False))
    await outside.offered()
    assert ("offer", "ishii", None) in await outside.news(), "石井 is still reached"


async def test_what_the_channel_did_not_take_goes_to_the_members(outside: Outside) -> None:
    """What the deliverer calls for a letter that came back."""
    await outside.offered()
    (letter,) = [one for one in await outside.letters() if not one.answer]

    def gone(tx: Tx) -> list[LetterRow]:
        people.room_gone(tx, "toy", ROOM)
        town = outside.town
        found = from_room(tx, letter, town.app.towns.of(tx), town.now, town.app.fresh)
        letters.write(tx, found)
        return found

    found = await outside.town.app.store.transact(gone)
    assert sorted((one.to_staff, one.address) for one in found) == [("ishii", "U-ishii"), ("kondo", "U-kondo")]
    assert len({one.token for one in (letter, *found)}) == 3
    await outside.leave()
    assert len(outside.toy.to("U-kondo")) == 1


async def test_another_channel_of_the_agency_comes_before_private_lines(here: Outside) -> None:
    here.town.clock.frozen = here.town.now + timedelta(minutes=1)
    await here.link_room(conversation="C-second")
    await here.offered()
    assert len(here.toy.to(ROOM)) == 1 and not here.toy.to("C-second")
    await here.town.app.store.transact(lambda tx: people.room_gone(tx, "toy", ROOM))
    await here.offered()
    assert len(here.toy.to("C-second")) == 1 and not here.toy.to("U-kondo")


async def test_a_group_that_becomes_a_supergroup_stays_the_agencys(outside: Outside) -> None:
    """Both signals come: the old conversation says where to, the new one from where (platforms.md §9, row 32)."""
    number = await outside.offered()
    for _ in range(2):
        await outside.hears("U-ishii", Moved("C-super"))
    found = await outside.town.app.store.read(lambda tx: people.rooms_of(tx, "tomoshibi"))
    assert [room.conversation for room in found] == ["C-super"]
    assert (await outside.hears("U-kondo", Said(f"引受 {number}"), "C-super")).refused is None
    await outside.offered()
    assert len(outside.toy.to("C-super")) >= 1


async def test_a_channel_of_a_platform_that_the_agency_forbids_is_not_used(
    databases: Databases, tmp_path: Path
) -> None:
    url = databases.sqlite()
    doc = sample()
    next(a for a in doc["agency"] if a["code"] == "tomoshibi")["platforms"] = ["mail"]
    toy = Toy()
    town = await Town.found(url, tmp_path, doc=doc, adapters={"toy": toy})
    here = Outside(town, toy)
    await here.link_room()
    await here.offered()
    assert await here.news() == []
    await town.close()
    databases.drop(url)


# -- how a person wants to be told


async def test_ones_first_choice_is_where_one_is_told(outside: Outside) -> None:
    await outside.link("suzuki", "U-line-suzuki", "line")
    await outside.link("suzuki", "U-suzuki")
    town = outside.town

    async def first() -> str:
        number = await outside.offered()
        await town.says("kondo", f"引受 {number}")
        await outside.leave()
        newest = max(
            [*await outside.letters(), *await outside.letters("line")],
            key=lambda one: one.id if one.to_staff == "suzuki" else 0,
        )
        return newest.surface

    usual = await first()
    other = {"line": "toy", "toy": "line"}[usual]
    await town.app.store.transact(lambda tx: people.set_reader(tx, "suzuki", ReaderSettings((other, usual))))
    assert await first() == other


async def test_quiet_hours_hold_what_is_not_urgent(outside: Outside) -> None:
    town = outside.town
    await outside.link("suzuki", "U-suzuki")
    quiet = ReaderSettings(quiet=Quiet(8 * 60, 13 * 60))
    await town.app.store.transact(lambda tx: people.set_reader(tx, "suzuki", quiet))
    calm, urgent = await town.consented(), await town.consented()
    await town.says("suzuki", f"急ぎ {urgent}")
    for number in (calm, urgent):
        await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
        await town.says("kondo", f"引受 {number}")
    told = [one for one in await outside.letters() if one.to_staff == "suzuki" and not one.answer]
    assert {f"{one.not_before.astimezone(TOKYO):%H:%M}" for one in told if not one.urgent} == {"13:00"}
    assert {f"{one.not_before.astimezone(TOKYO):%H:%M}" for one in told if one.urgent} == {"09:00"}


#: The agency is open on weekdays from 08:30 to 17:15; bundles leave at 08:30, 12:00 and 16:30.
QUIET = [
    ("outside of them at once", (12, 13), "01 10:00", "01 10:00"),
    ("their first minute", (12, 13), "01 12:00", "01 13:00"),
    ("their last minute", (12, 13), "01 12:59", "01 13:00"),
    ("the minute after", (12, 13), "01 13:00", "01 13:00"),
    ("over midnight, in the evening", (22, 9), "01 23:00", "02 09:00"),
    ("over midnight, early", (22, 9), "02 08:40", "02 09:00"),
    ("over midnight before a weekend", (22, 9), "05 23:00", "08 09:00"),
    ("until midnight", (16, 0), "01 16:30", "02 08:30"),
    ("all through the opening hours: when they end", (8, 18), "01 10:00", "01 18:00"),
]


@pytest.mark.parametrize(("quiet", "earliest", "leaves"), [row[1:] for row in QUIET], ids=[row[0] for row in QUIET])
def test_when_it_leaves_in_quiet_hours(quiet: tuple[int, int], earliest: str, leaves: str) -> None:
    at = datetime.strptime(f"2026-06-{earliest}", "%Y-%m-%d %H:%M").replace(tzinfo=TOKYO)
    hours = the_town().agencies["minamo"].hours
    push = Push(False, False, False, hours, Quiet(quiet[0] * 60, quiet[1] * 60))
    assert f"{leaves_at(at, push, [], None, the_town()).astimezone(TOKYO):%d %H:%M}" == leaves
    assert leaves_at(at, push._replace(urgent=True), [], None, the_town()) == at


def test_no_push_leaves_in_quiet_hours_whatever_came_before() -> None:
    """Budget and quiet hours hold together, soft or not: nothing leaves inside, nothing before it may."""
    town = the_town()
    hours = town.agencies["minamo"].hours
    start = datetime(2026, 6, 1, 0, 0, tzinfo=TOKYO)
    for begin, end in ((0, 24 * 60 - 1), (12 * 60, 13 * 60), (20 * 60, 10 * 60), (8 * 60, 17 * 60)):
        for soft in (False, True):
            others: list[Pushed] = []
            for step in range(40):
                earliest = start + timedelta(minutes=137 * step)
                at = leaves_at(earliest, Push(False, soft, False, hours, Quiet(begin, end)), others, step, town)
                minute = at.astimezone(TOKYO).hour * 60 + at.astimezone(TOKYO).minute
                inside = begin <= minute < end if begin < end else minute >= begin or minute < end
                assert at >= earliest and not inside, (begin, end, soft, earliest, at)
                others.append(Pushed(at, step, False))
