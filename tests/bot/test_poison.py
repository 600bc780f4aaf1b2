"""What a defect of ours spoils stays small: it is tried again by and by, told once, and the others go on."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import deliver, remind
from bot.app import make
from bot.audit import audit
from bot.deliver import LAST_WORDING, UNWORDED
from bot.reading import Reading
from bot.record import new_token
from bot.settings import Settings
from storage import findings, letters, tables, timers
from storage.letters import LetterRow
from storage.tx import Tx
from tests.databases import Databases
from tests.town import Town, settled
from tests.toy import Slate, Toy
from workflow import ring as ringing
from workflow.case import Case


@pytest.fixture
async def toy() -> Toy:
    return Toy()


@pytest.fixture(params=["sqlite", "postgresql"])
async def here(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path, toy: Toy) -> AsyncIterator[Town]:
    url: str = getattr(databases, request.param)(settled)
    town = await Town.found(url, tmp_path, adapters={"toy": toy, "slate": Slate()})
    yield town
    await town.close()
    databases.drop(url)


async def hundred(town: Town) -> list[str]:
    """A hundred consultations, all to be screened by tomorrow."""
    return [await town.intake() for _ in range(100)]


async def rung(town: Town) -> set[int]:
    """The cases of which some timer has rung."""
    fired = tables.timers.select().where(tables.timers.c.fired_at.is_not(None))
    return {row.case_id for row in await town.app.store.read(lambda tx: tx.execute(fired).all())}


async def found(town: Town) -> list[tuple[str, str | None]]:
    return [(one.kind, one.number) for one in await town.app.store.read(findings.standing)]


async def told(town: Town) -> list[str]:
    return [m.title for m in await town.news("takahashi") if m.title == "見まわりで気づいたこと"]


async def test_one_case_that_cannot_be_rung_holds_up_none_of_a_hundred(
    here: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """(fault 19) Also across a restart: it is a row. It rings by itself when the defect is gone."""
    numbers = await hundred(here)
    bad = await here.case(numbers[42])
    whole = ringing.ring

    def falls(case: Case, *rest: Any, **more: Any) -> Any:
        if case.id == bad.id:
            raise KeyError("a defect of ours")
        return whole(case, *rest, **more)

    monkeypatch.setattr(remind, "ring", falls)
    here.clock.frozen = here.place.body.hours.add_days(here.now, 1)
    assert await here.app.reminder.ring_due() >= 99
    assert len(await rung(here)) == 99 and bad.id not in await rung(here)
    assert await here.app.reminder.ring_due() == 0
    assert len([r for r in caplog.records if "could not be rung" in r.message]) == 1, "it waits"
    await audit(here.app)
    assert await found(here) == [("ring", bad.number)] and len(await told(here)) == 1

    settings = Settings(database_url=here.app.settings.database_url, secret_key="x" * 40, _env_file=None)  # type: ignore[arg-type,call-arg]
    restarted = make(settings, clock=here.clock, var=tmp_path)
    assert await restarted.reminder.ring_due() == 0
    assert len([r for r in caplog.records if "could not be rung" in r.message]) == 1, "another process knows it"
    tries = []
    for _ in range(6):
        again = await here.app.store.read(timers.next_due)
        assert again is not None
        tries.append((again - here.now).total_seconds() / 60)
        here.clock.frozen = again
        await restarted.reminder.ring_due()
        await audit(here.app)
        # Whatever else rings meanwhile is due after it.
        await here.app.reminder.ring_due()
    assert tries[:3] == [1, 5, 30] and not await told(here), "told once"
    monkeypatch.setattr(remind, "ring", whole)
    await here.later(hours=7)
    assert bad.id in await rung(here)
    await audit(here.app)
    assert await found(here) == []
    caplog.clear()
    await restarted.close()


async def test_what_somebody_moves_is_not_held_back(here: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer set anew begins anew: what failed on the old state is nobody's business."""
    number = await here.intake()
    whole = ringing.ring

    def falls(*_: Any, **__: Any) -> Any:
        raise KeyError("a defect of ours")

    monkeypatch.setattr(remind, "ring", falls)
    here.clock.frozen = here.place.body.hours.add_days(here.now, 1)
    for _ in range(5):
        await here.app.reminder.ring_due()
        here.clock.frozen = here.now + timedelta(hours=2)
    monkeypatch.setattr(remind, "ring", whole)
    await here.says("takahashi", f"期限延長 {number} 3日後")
    live = tables.timers.select().where(tables.timers.c.fired_at.is_(None), tables.timers.c.cancelled_at.is_(None))
    rows = await here.app.store.read(lambda tx: tx.execute(live).all())
    assert rows and {(row.tries, row.retry_at) for row in rows} == {(0, None)}


@pytest.mark.parametrize("others", [0, 3], ids=["alone", "among others"])
async def test_a_timer_whose_question_is_settled_is_settled_too(
    here: Town, caplog: pytest.LogCaptureFixture, others: int
) -> None:
    """Nothing of ours leaves one behind; a hand in the database does. It rings nobody and is not tried again."""
    bad = await here.case(await here.intake())
    sound = [await here.case(await here.intake()) for _ in range(others)]
    stale = tables.timers.update().where(tables.timers.c.case_id == bad.id).values(rung=7)
    await here.app.store.transact(lambda tx: tx.execute(stale))
    here.clock.frozen = here.place.body.hours.add_days(here.now, 1)
    await here.app.reminder.ring_due()
    rows = await here.app.store.read(lambda tx: tx.execute(tables.timers.select()).all())
    mine = [row for row in rows if row.case_id == bad.id]
    assert all(row.fired_at and not row.tries for row in mine) and mine
    assert "wait.rung" not in await here.lines(bad.number)
    assert {case.id for case in sound} <= await rung(here)
    assert not [r for r in caplog.records if "could not be rung" in r.message]


# -- letters


def push(here: Town, n: int, **facts: Any) -> LetterRow:
    return replace(
        LetterRow(
            id=here.app.fresh(), kind="phone", surface="toy", doc={"person": "suzuki", "due": here.now.isoformat()}, address="U-ishii",
            to_staff="ishii", token=new_token(), created_at=here.now + timedelta(seconds=n), not_before=here.now, state="pending",
        ),
        **facts,
    )  # fmt: skip


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Letters of one kind fall over our own feet when they are worded."""
    card = Reading.card

    def falls(self: Reading, letter: LetterRow) -> Any:
        if letter.kind == "spoilt":
            raise AttributeError("a defect of ours")
        return card(self, letter)

    monkeypatch.setattr(Reading, "card", falls)
    return monkeypatch


async def test_a_letter_that_cannot_be_worded_waits_and_the_others_of_its_bundle_leave(
    here: Town, toy: Toy, mute: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """(fault 19) It never left, so nobody calls its fate unknown; it leaves when the defect is gone."""
    rows = [push(here, 0), push(here, 1, kind="spoilt"), push(here, 2)]
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    await here.app.turner.settle()
    assert len(toy.sent) == 1 and "2件" in f"{toy.sent[0].message.title}"
    one = await here.app.store.read(lambda tx: letters.get(tx, rows[1].id))
    assert one is not None and (one.state, one.why, one.not_before) == (
        "pending",
        "unwritten",
        here.now + timedelta(minutes=1),
    )
    await audit(here.app)
    assert await found(here) == [("unwritten", None)] and len(await told(here)) == 1
    await here.later(minutes=2)
    await audit(here.app)
    assert len(toy.sent) == 1 and not await told(here)
    mute.undo()
    await here.app.store.transact(
        lambda tx: tx.execute(tables.letters.update().where(tables.letters.c.id == rows[1].id).values(kind="phone"))
    )
    await here.later(minutes=10)
    assert len(toy.sent) == 2
    await audit(here.app)
    assert await found(here) == []
    caplog.clear()


async def test_of_one_that_must_arrive_the_coordinators_hear_the_number_and_no_more(
    here: Town, mute: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """(fault 19) Told once; a day later it has failed and is on the page of what is stuck."""
    number = await here.intake()
    case = await here.case(number)
    row = push(here, 0, kind="spoilt", must=True, urgent=True, case_id=case.id)
    await here.app.store.transact(lambda tx: letters.write(tx, [row]))
    await here.later(minutes=1)
    assert not [m for m in await here.news("takahashi") if m.title == "書き上げられないお知らせ"]
    await here.later(minutes=6)
    (message,) = [m for m in await here.news("takahashi") if m.title == "書き上げられないお知らせ"]
    assert number in message.text
    await here.later(days=2)
    assert not [m for m in await here.news("takahashi") if m.title == "書き上げられないお知らせ"]
    kept = await here.app.store.read(lambda tx: letters.get(tx, row.id))
    assert kept is not None and (kept.state, kept.why, kept.tries) == ("failed", "unwritten", LAST_WORDING)
    assert UNWORDED < LAST_WORDING
    caplog.clear()


async def test_an_answer_that_cannot_be_worded_takes_nobody_with_it(
    here: Town, toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer is worded as it is leased: one without a text leaves the lease of all the others alone."""
    rows = [
        push(here, 0, answer=True, kind="answer", doc={"text": 7, "facts": [], "choices": []}),
        push(here, 1, address="U-kondo", to_staff="kondo"),
    ]
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    await here.app.turner.settle()
    assert [parcel.to.conversation for parcel in toy.sent] == ["U-kondo"]
    caplog.clear()


async def test_a_copy_that_cannot_be_worded_anew_does_not_spin(
    here: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """(fault 19) It stays as it is and the others are changed; it is a finding, and changed when the defect is gone."""
    ids = {number: (await here.case(number)).id for number in [await here.intake() for _ in range(2)]}
    first, second = ids.values()
    rows = [
        push(here, 0, surface="slate", state="sent", case_id=id_, case_version=0, live=True, ref="R", face="old", not_before=here.now + timedelta(seconds=id_ % 7))
        for id_ in (first, second)
    ]  # fmt: skip
    await here.app.store.transact(lambda tx: letters.write(tx, rows))
    whole = deliver.rendered

    def falls(tx: Tx, *rest: Any) -> Any:
        if any(row.case_id == first for row in rest[2]):
            raise AttributeError("a defect of ours")
        return whole(tx, *rest)

    monkeypatch.setattr("bot.copies.rendered", falls)
    assert await here.app.copies.keep_true() == 2 and await here.app.copies.keep_true() == 0
    slate = here.app.deliverer.adapters["slate"]
    assert isinstance(slate, Slate) and len(slate.edits) == 1
    assert len([r for r in caplog.records if "worded anew" in r.message]) == 1
    await audit(here.app)
    assert await found(here) == [("unwritten", next(iter(ids)))]
    monkeypatch.setattr("bot.copies.rendered", whole)
    here.clock.frozen = here.now + timedelta(minutes=31)
    await here.app.copies.keep_true()
    await audit(here.app)
    assert await found(here) == [] and len(slate.edits) == 2
    caplog.clear()
