"""What the town file names no more while cases are open: a case follows its snapshot, or goes to whoever catches what is left."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from bot.operate import keep_town
from bot.town import Doc
from storage import letters, people, tables
from storage.letters import LetterRow
from storage.people import StillHolds
from storage.tx import Tx
from tests.databases import Databases
from tests.journeys.conftest import whole
from tests.town import Town, sample

#: Every step of a handoff that somebody still waits for, and the words that lead there.
STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "offered": (),
    "considering": (("ishii", "検討 {n} 6/4"),),
    "info_requested": (("ishii", "質問 {n} 連絡の方法"),),
    "waitlisted": (("ishii", "空き待ち {n} 10日後"),),
    "conditional": (("ishii", "条件引受 {n} 同行あり"),),
    "accepted": (("ishii", "引受 {n}"),),
    "active": (("ishii", "引受 {n}"), ("ishii", "つながった {n}")),
    "on_hold": (("ishii", "引受 {n}"), ("ishii", "つながった {n}"), ("ishii", "一時休み {n} 6/10")),
}


def _put_off(tx: Tx) -> int:
    return len(tx.execute(select(tables.timers.c.id).where(tables.timers.c.tries > 0)).all())


def without(kind: str, *codes: str) -> Callable[[Doc], None]:
    def take(doc: Doc) -> None:
        doc[kind] = [one for one in doc[kind] if one["code"] not in codes]
        for person in doc["staff"]:
            person["deputy"] = None if person["deputy"] in codes else person["deputy"]
        if kind == "agency":
            doc["staff"] = [s for s in doc["staff"] if not {p["agency"] for p in s["posts"]} <= set(codes)]

    return take


def no_policy(doc: Doc) -> None:
    doc["waits"] = sample()["waits"]


GOING = {
    "policy": no_policy,
    "deputy": without("staff", "kondo"),
    "person": without("staff", "ishii"),
    "agency": without("agency", "tomoshibi"),
    "duty": without("duty", "budget"),
}


def leaving(doc: Doc, here: Town) -> Callable[[Tx], None]:
    """Load a town file. Who still holds something cannot leave by it; then as a hand in the database would, or a race."""

    def work(tx: Tx) -> None:
        try:
            with tx.savepoint():
                return keep_town(tx, doc, here.now)
        except StillHolds:
            people.put_doc(tx, doc)
        for kind, table in (("staff", tables.staff), ("agency", tables.agencies)):
            gone = table.c.code.not_in([one["code"] for one in doc[kind]])
            tx.execute(update(table).where(gone).values(active=0 if kind == "staff" else False))

    return work


async def steps(here: Town) -> dict[str, str]:
    """A case a step: 石井 of ともしび is asked, or holds."""
    found = {}
    for step, words in STEPS.items():
        number = await here.consented()
        await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
        for who, said in words:
            await here.says(who, said.format(n=number))
        found[step] = number
        handoff = (await here.case(number)).handoffs[0]
        assert handoff.state == step
    return found


@pytest.mark.parametrize("what", GOING)
async def test_a_case_outlives_what_the_town_file_names_no_more(
    databases: Databases, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Policy, deputy, person, agency and duty go at every step of a handoff; somebody still hears of each (fault 37)."""
    doc = sample()
    ishii = next(one for one in doc["staff"] if one["code"] == "ishii")
    ishii["deputy"] = "kondo"
    doc["waits"]["react"]["normal"] = "3bd"
    url = databases.sqlite()
    here = await Town.found(url, tmp_path, doc=doc)
    numbers = await steps(here)
    before = {step: (await here.case(number)).waits for step, number in numbers.items()}
    GOING[what](doc)
    await here.app.store.transact(leaving(doc, here))
    after = await newest(here)
    await here.later(business_days=15)
    for step, number in numbers.items():
        case = await here.case(number)
        assert "wait.rung" in await here.lines(number), step
        heard = await told_since(here, case.id, after)
        assert heard, f"{what} at {step}: silence"
        if what == "policy":
            kept = {w.kind: w.policy for w in before[step]}
            assert all(w.policy == kept[w.kind] for w in case.waits if w.id in {one.id for one in before[step]})
        await here.says("takahashi", number)
    if what == "agency":
        await here.says("suzuki", f"回答 {numbers['info_requested']}")
        assert "answered" in await here.kinds("takahashi"), "whose room is empty is heard by the coordinator"
    assert await here.app.store.read(_put_off) == 0, "every timer could be rung"
    await whole(here, caplog)
    await here.close()
    databases.drop(url)


async def newest(here: Town) -> int:
    rows = await here.app.store.read(lambda tx: [row.id for row in every(tx)])
    return max(rows)


async def told_since(here: Town, case_id: int, after: int) -> set[str]:
    """Who has been told of a case by now: people who are in the town, or rooms that have somebody."""

    def work(tx: Tx) -> set[str]:
        place = here.app.towns.of(tx)
        persons = {
            row.to_staff
            for row in every(tx)
            if row.case_id == case_id and row.id > after and row.to_staff in place.staff
        }
        rooms = {
            row.to_room
            for row in every(tx)
            if row.case_id == case_id and row.id > after and place.members.get(row.to_room or "")
        }
        return {*filter(None, persons), *filter(None, rooms)}

    return await here.app.store.read(work)


def every(tx: Tx) -> list[LetterRow]:
    ids = tx.execute(select(tables.letters.c.id)).scalars()
    return [row for id_ in ids if (row := letters.get(tx, id_))]


async def test_a_ladder_whose_end_has_left_ends_at_the_final_owner(databases: Databases, tmp_path: Path) -> None:
    """A wait's snapshot names people who are all gone: who catches what is left is told, not nobody (fault 37)."""
    doc = sample()
    lone = {"at": "0", "to": ["holder"], "act": "remind", "high": "", "emergency": ""}
    doc["waits"]["first_contact"]["rungs"] = [lone, lone | {"at": "1bd", "to": ["deputy"], "act": "tell"}]
    url = databases.sqlite()
    here = await Town.found(url, tmp_path, doc=doc)
    await here.accepted()
    GOING["agency"](doc)
    await here.app.store.transact(leaving(doc, here))
    await here.later(business_days=9)
    assert "ring:first_contact" in await here.kinds(here.place.final_owner)
    await here.close()
    databases.drop(url)
