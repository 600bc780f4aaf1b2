"""After hours or days down: one message a case and reader, the newest state, urgent first, at the platform's pace; nothing is lost."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from adapters.base import Delivery, Gone, Parcel, Sent
from bot.app import once
from bot.intake import new_case
from bot.record import record
from storage import journal, letters, people, timers
from storage.letters import LetterRow
from storage.people import Quiet, ReaderSettings
from storage.tx import Tx
from tests.databases import Databases
from tests.journeys.rings import rings
from tests.town import START, TOKYO, Town, settled
from tests.toy import Toy
from workflow import facts, stage
from workflow.handoff import offer
from workflow.ladder import Urgency
from workflow.outcome import Act

#: Who reads outside, and as what: a lead, the asked agency's head and another member, a coordinator.
OUTSIDE = ("suzuki", "ishii", "kondo", "takahashi")
SECOND = timedelta(seconds=1)


class Watched(Toy):
    """Knows when each message came."""

    def __init__(self, name: str = "toy") -> None:
        super().__init__(name=name)
        self.town: Town | None = None
        self.at: list[datetime] = []

    async def send(self, parcel: Parcel) -> Delivery:
        assert self.town is not None
        self.at.append(self.town.now)
        return await super().send(parcel)


@pytest.fixture
def toy() -> Watched:
    return Watched()


@pytest.fixture(params=["sqlite", "postgresql"])
async def here(
    request: pytest.FixtureRequest, databases: Databases, tmp_path: Path, toy: Watched
) -> AsyncIterator[Town]:
    url: str = getattr(databases, request.param)(settled)
    town = await Town.found(url, tmp_path, adapters={"toy": toy})
    toy.town = town
    for who in OUTSIDE:
        await town.app.store.transact(lambda tx, who=who: people.link(tx, "toy", f"U-{who}", who, START))  # type: ignore[misc]
    yield town
    await town.close()
    databases.drop(url)


async def asleep(town: Town, **span: float) -> None:
    """Nobody runs; then somebody starts a process, whose loop beats each second until nothing is due within five minutes."""
    await town.app.deliverer.finish()
    town.clock.frozen = town.now + timedelta(**span)
    for _ in range(600):
        await once(town.app)
        await town.app.deliverer.finish()
        _now, due = await town.app.store.read(town.app.due)
        if not (due.timer and due.timer <= town.now) and not any(
            at <= town.now + 300 * SECOND for at in due.letters.values()
        ):
            return
        town.clock.frozen = town.now + SECOND
    raise AssertionError("it never came to rest")


async def outside(town: Town, since: datetime) -> list[LetterRow]:
    """Every letter outside that was written since, answers aside."""

    def read(tx: Tx) -> list[LetterRow]:
        rows = [row for who in OUTSIDE for row in letters.for_person(tx, who, (), 0, 5_000, surface="toy")]
        return [row for row in rows if not row.answer and row.created_at >= since]

    return await town.app.store.read(read)


async def many_offers(town: Town, count: int) -> list[str]:
    """Every fourth case is 鈴木's and offered to ともしび, every twentieth urgent; the others are 田中's, to 社協.

    Decided and recorded as by words, which would take longer.
    """

    def one(tx: Tx, act: Act, n: int, duty: str, agency: str) -> str:
        urgency = Urgency.HIGH if n % 20 == 0 else Urgency.NORMAL
        case = new_case(tx, act.at, act.fresh, act.who, act.agency, urgency, None)
        case = record(tx, stage.open_case(case, ("care", "poverty"), act)).case
        case = record(tx, facts.screen(case, "continue", act)).case
        case = record(tx, facts.consent(case, "full", (), act)).case
        record(tx, offer(case, act.town.duties[duty], [act.town.agencies[agency]], act))
        return case.number

    def work(tx: Tx) -> list[str]:
        place = town.app.towns.of(tx)
        suzuki, tanaka = (
            Act(place.staff[who], town.now, place, "web", town.app.fresh, place.staff[who].agency)
            for who in ("suzuki", "tanaka")
        )
        return [
            one(tx, tanaka, n, "place", "shakyo") if n % 4 else one(tx, suzuki, n, "budget", "tomoshibi")
            for n in range(count)
        ]

    return await town.app.store.transact(work)


async def test_four_hundred_overdue_are_one_message_a_case_and_reader(here: Town, toy: Watched) -> None:
    """(fault 17)"""
    for who in ("kondo", "takahashi"):  # two readers are enough
        await here.app.store.transact(lambda tx, who=who: people.unlink(tx, "toy", f"U-{who}"))  # type: ignore[misc]
    numbers = await many_offers(here, 200)
    await here.app.turner.settle()
    toy.sent.clear()
    toy.at.clear()
    awake = START + timedelta(days=3, hours=3)
    overdue = await here.app.store.read(lambda tx: timers.due(tx, awake, 5_000))
    assert len(overdue) >= 400
    await asleep(here, seconds=(awake - here.now).total_seconds())

    rung = Counter(await here.app.store.read(_rung))
    assert len(rung) == len(overdue) and set(rung.values()) == {1}, (
        "each wait rang once, however many of its rungs had passed"
    )

    found = await outside(here, awake)
    urgent = {row.case_id for row in found if row.urgent}
    assert len(urgent) == 10
    told: dict[tuple[str | None, int | None], set[datetime]] = defaultdict(set)
    for row in found:
        told[row.to_staff, row.case_id].add(row.not_before)
    assert {who for who, _ in told} == {"suzuki", "ishii"} and len({case for _, case in told}) == 50
    assert {len(moments) for moments in told.values()} == {1}, "what one reader hears of one case is in one message"

    for who in OUTSIDE:
        sent = [(at, p.message) for at, p in zip(toy.at, toy.sent, strict=True) if p.to.conversation == f"U-{who}"]
        assert all(b - a >= SECOND for (a, _), (b, _) in pairwise(sent)), "at the platform's pace"
        mine = [row for row in found if row.to_staff == who]
        left = [row.sent_at for row in mine if row.urgent]
        calm = [row.sent_at for row in mine if row.sent_at and not row.urgent]
        assert all(left) and (not calm or max(left) < min(calm)), "urgent first"  # type: ignore[type-var]
    held = [row for row in found if row.state != "sent"]
    morning = datetime(2026, 6, 5, 8, 30, tzinfo=TOKYO)
    assert all(row.not_before <= morning for row in held), "what is soft, or too much for a day, rides in a bundle"
    assert len(held) < len(found) / 2
    words = {who: "".join(m.text for m in toy.to(f"U-{who}")) for who in OUTSIDE}
    by_case = {(await here.case(number)).id: number for number in numbers[::4]}
    for row in found:
        assert row in held or by_case[row.case_id or 0] in words[row.to_staff or ""], (
            "nothing is cut from the end of a long message"
        )


def _rung(tx: Tx) -> list[tuple[int | None, object, object]]:
    found = journal.tail(tx, 0, 50_000)
    return [(line.case_id, line.data["wait"], line.data["handoff"]) for line in found if line.kind == "wait.rung"]


async def test_what_each_reader_gets_of_an_offer_that_ran_through_all_its_rungs(here: Town, toy: Watched) -> None:
    """Half of its time, its end, the head's rung and 回答なし passed in one sleep: the newest alone, each reader once."""
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await asleep(here, days=3)
    assert (await here.case(number)).handoffs[0].state == "expired"
    case = (await here.case(number)).id
    found = [row for row in await outside(here, here.now - timedelta(minutes=5)) if row.case_id == case]
    about = {who: sorted(row.kind for row in found if row.to_staff == who and row.handoff) for who in OUTSIDE}
    assert about == {
        "suzuki": ["expired"], "takahashi": ["expired"], "ishii": ["expired_receiver"], "kondo": ["expired_receiver"],
    }  # fmt: skip
    room = [
        row.kind
        for row, _ in await here.reads("kondo")
        if row.to_room == "tomoshibi" and row.created_at > START + timedelta(days=2)
    ]
    assert room == ["expired_receiver"], "and the agency's room no old reminder"


async def test_the_head_is_told_by_name_and_not_as_one_of_the_room_too(here: Town, toy: Watched) -> None:
    """Slept until the head's rung: the room hears the reminder, the head what is theirs, each once."""
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await asleep(here, days=2, hours=5)
    case = await here.case(number)
    assert case.handoffs[0].state == "offered"
    found = [row for row in await outside(here, here.now - timedelta(minutes=5)) if row.handoff]
    assert [(row.to_staff, row.doc["act"]) for row in sorted(found, key=lambda one: str(one.to_staff))] == [
        ("ishii", "tell"), ("kondo", "remind"),
    ]  # fmt: skip


async def test_what_began_and_ended_meanwhile_stands_in_the_journal_and_today(here: Town, toy: Watched) -> None:
    """Late at t1, answered at t2 by another process, ours away from t0 to t3: nobody is alerted, everything is written (fault 18)."""
    number = await here.supported()
    waiting = next(w for w in (await here.case(number)).waits if w.kind == "checkin")
    await here.later(until=waiting.due_at - timedelta(minutes=1))
    toy.sent.clear()
    since = here.now
    here.clock.frozen = waiting.due_at + timedelta(days=1)  # late, and nobody rang
    await here.says("ishii", f"変わりなし {number}")
    here.clock.frozen = here.now + timedelta(days=1)
    await asleep(here, hours=1)
    rung = [what for row in await outside(here, since) if (what := row.doc.get("what")) == "checkin"]
    assert not rung, "nobody is asked for what has been answered"
    lines = await here.lines(number)
    assert "checkin.calm" in lines and await rings(here, "checkin") == []
    assert "定期確認" not in str(await here.says("ishii", "今日")), "and it is nobody's turn"


async def test_an_offer_that_ended_and_was_made_anew_is_told_as_it_stands(here: Town, toy: Watched) -> None:
    """Away while it was taken back and offered elsewhere: its first readers hear nothing old, the new ones what is theirs (fault 18)."""
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    here.clock.frozen = here.now + timedelta(days=1)
    await here.says("suzuki", f"取下げ {number}")
    await here.says("suzuki", f"依頼 {number} 居場所 社協")
    await asleep(here, days=1)
    found = [row for row in await outside(here, START) if row.to_staff == "ishii" and row.case_id]
    assert [row.kind for row in found if row.state == "sent"] in ([], ["withdrawn"])
    assert {row.state for row in found if row.kind in ("offer", "ring")} <= {"superseded"}
    assert [line for line in await here.lines(number) if line.startswith("handoff.")] == [
        "handoff.offer", "handoff.withdraw", "handoff.offer",
    ]  # fmt: skip


QUIET = ReaderSettings(quiet=Quiet(12 * 60, 13 * 60))


async def test_what_meets_quiet_hours_in_the_queue_waits_for_their_end(here: Town, toy: Watched) -> None:
    """The turn comes a second inside: held until the end, but for what is urgent; no ladder waits for it (fault 28)."""
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.app.store.transact(lambda tx: people.set_reader(tx, "ishii", QUIET))
    noon = datetime(2026, 6, 1, 12, 0, tzinfo=TOKYO)
    here.clock.frozen = noon - 2 * SECOND
    await here.app.turner.settle()
    toy.sent.clear()
    toy.at.clear()

    def letter(n: int, urgent: bool, age: timedelta) -> LetterRow:
        return LetterRow(
            id=here.app.fresh(), kind="phone", surface="toy", doc={"person": "suzuki", "due": noon.isoformat()}, address="U-ishii",
            to_staff="ishii", urgent=urgent, token=f"{n}" * 21, created_at=here.now - age, not_before=here.now, state="pending",
        )  # fmt: skip

    rows = [
        letter(0, True, timedelta()),
        letter(1, True, timedelta()),
        letter(2, True, timedelta()),
        letter(3, False, 3 * SECOND),
    ]
    rows = [replace(row, not_before=row.not_before + i * timedelta(microseconds=1)) for i, row in enumerate(rows)]
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    for _ in range(20):
        await here.app.deliverer.send_due()
        here.clock.frozen = here.now + SECOND
    assert [at >= noon for at in toy.at] == [False, True, True], "urgent ones in their turn, also inside"
    assert [row.why for row in await outside(here, START) if row.state == "pending"] == ["quiet"]
    await here.later(until=datetime(2026, 6, 1, 13, 0, 1, tzinfo=TOKYO))
    assert len(toy.at) == 4 and toy.at[3] == datetime(2026, 6, 1, 13, 0, tzinfo=TOKYO)
    assert (await here.case(number)).wait("react").due_at == datetime(2026, 6, 3, 9, 0, tzinfo=TOKYO)  # type: ignore[union-attr]


async def test_a_letter_that_goes_to_the_next_address_keeps_to_the_quiet_hours(here: Town, toy: Watched) -> None:
    """The first platform refuses at the very moment in which they begin (fault 28)."""
    second = Watched("second")
    second.town = here
    here.app.deliverer.adapters["second"] = second
    here.app.towns._outside |= {"second"}
    await here.app.store.transact(lambda tx: people.link(tx, "second", "V-ishii", "ishii", START + SECOND))
    await here.app.store.transact(lambda tx: people.set_reader(tx, "ishii", QUIET))
    noon = datetime(2026, 6, 1, 12, 0, tzinfo=TOKYO)

    def refuses(parcel: Parcel) -> Delivery:
        here.clock.frozen = noon + SECOND
        return Gone("blocked") if parcel.to.conversation == "U-ishii" else Sent("1")

    toy.says = refuses
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.app.turner.settle()
    assert here.now == noon + SECOND and not second.sent
    await here.later(until=datetime(2026, 6, 1, 13, 0, 5, tzinfo=TOKYO))
    assert [at.astimezone(TOKYO).hour for at in second.at] == [13]
