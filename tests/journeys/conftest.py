"""At the end of every journey the town is whole: nothing parked, no ERROR in the log, no promise broken, every card worded."""

import logging
from collections.abc import AsyncIterator

import pytest

from bot.audit import breaches
from bot.reading import Reading
from bot.voice import voice_for
from storage import cases, inbox, letters, tables
from storage.tx import Tx
from tests.town import Town
from workflow.promise import climbs_to


@pytest.fixture
async def town(town: Town, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Town]:
    yield town
    await whole(town, caplog)


@pytest.fixture
async def lite(lite: Town, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Town]:
    yield lite
    await whole(lite, caplog)


async def whole(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    """Fail on whatever a journey has left broken. A journey that wants an ERROR clears `caplog` behind it."""
    errors = [
        r.getMessage() for phase in ("setup", "call") for r in caplog.get_records(phase) if r.levelno >= logging.ERROR
    ]
    assert not errors, errors
    assert not await town.app.store.read(lambda tx: found_broken(tx, town))


def found_broken(tx: Tx, town: Town) -> list[str]:
    place, now = town.app.towns.of(tx), town.clock.now(tx)
    found = [line for line in breaches(tx, now) if not line.startswith("ok")]
    if inbox.count_parked(tx):
        found.append("an event was parked")
    for number in tx.execute(tables.cases.select().with_only_columns(tables.cases.c.number)).scalars().all():
        case = cases.load(tx, number, lock=False)
        assert case is not None
        for wait in case.waits:
            climbed = climbs_to(wait, case, place, now)
            if wait.paused_left is None and climbed and not any(people for _, people in climbed[-2:]):
                found.append(f"{number}: {wait.kind} ends at nobody (I4)")
            if wait.paused_left is None and wait.next_at is None:
                found.append(f"{number}: {wait.kind} will not ring (I4)")
        found += [
            f"{number}: {h.no} ended without a result for its sender (I23)"
            for h in case.handoffs
            if h.ended and not h.ended_at
        ]
    told = tx.execute(
        tables.letters.select().with_only_columns(tables.letters.c.to_staff, tables.letters.c.to_room).distinct()
    ).all()
    rooms = {room for _, room in told}
    for person in place.staff.values():
        if person.code not in {who for who, _ in told} and not rooms & set(person.agencies):
            continue
        voice = voice_for(place, person.language or place.language)
        reading = Reading(tx, place, person, now, voice)
        rows = letters.for_person(tx, person.code, person.agencies, 0, 500, surface="web")
        shown = [(row.kind, reading.card(row)) for row in rows]
        found += [
            f"{person.code} cannot read {kind}"
            for kind, card in shown
            if not card.text or card.text == voice.say("card.unknown")
        ]
        found += [
            f"{person.code}: a place stayed open in {kind}: {card.text}" for kind, card in shown if "{" in card.text
        ]
    return found
