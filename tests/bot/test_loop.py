"""The loop of `work` turns when something is due, not only at its beat."""

import asyncio
import secrets
from datetime import timedelta

from bot.app import BEAT, once
from storage import letters, timers
from storage.letters import LetterRow
from tests.town import Town


async def test_what_is_due_between_two_beats_rings_when_it_is_due(town: Town) -> None:
    number = await town.intake()
    due = await town.app.store.read(timers.next_due)
    assert due is not None
    town.clock.frozen = due - timedelta(seconds=0.05)
    town.app.awake.clear()
    assert await once(town.app) == 0
    async with asyncio.timeout(BEAT * 0.9):
        await town.app.awake.wait()
    town.clock.frozen = due
    assert await once(town.app) == 1 and "wait.rung" in await town.lines(number)


async def test_a_letter_in_the_hands_of_somebody_who_was_killed_is_seen_to_when_the_lease_ends(town: Town) -> None:
    """(fault 2) Not half a minute later."""
    row = LetterRow(
        id=town.app.fresh(), kind="phone", surface="web", doc={"person": "suzuki"}, created_at=town.now, not_before=town.now,
        to_staff="ishii", token=secrets.token_urlsafe(16)[:21], state="leased", lease="theirs", lease_until=town.now + timedelta(seconds=60),
    )  # fmt: skip
    await town.app.store.transact(lambda tx: letters.write(tx, [row]))

    async def state() -> str:
        await once(town.app)
        found = await town.app.store.read(lambda tx: letters.get(tx, row.id))
        assert found is not None
        return found.state

    assert await state() == "leased"
    town.app.beaten["mend"] = asyncio.get_running_loop().time()  # the look for what went wrong was a moment ago
    town.clock.frozen = town.now + timedelta(seconds=61)
    assert await state() == "unknown"
