"""What breaks is ours to mend: a kind answer, the event is kept, and it is tried once more."""

from dataclasses import replace

import pytest

from bot import receive
from bot.ask import Ask
from bot.commands import BOOK
from storage import inbox
from tests.town import Town
from workflow.outcome import Outcome


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """引受 falls over its own feet."""

    def falls(ask: Ask) -> Outcome:
        raise KeyError("a defect of ours")

    monkeypatch.setitem(receive.BOOK, "accept", replace(BOOK["accept"], run=falls))
    return monkeypatch


async def test_an_event_that_breaks_us_is_kept_and_answered_kindly(
    town: Town, broken: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    answered = await town.tries("ishii", f"引受 {number}")
    assert answered.refused is None and answered.messages[0].text and "KeyError" not in answered.messages[0].text
    (kept,) = await town.app.store.read(inbox.parked)
    assert kept.arrival.speaker == "ishii" and "KeyError" in kept.error
    assert (await town.case(number)).handoff(1).state == "offered", "nothing of it happened"  # type: ignore[union-attr]
    assert (await town.tries("ishii", "今日")).refused is None, "the next words are heard"
    broken.undo()
    assert await town.app.receiver.again(kept.id)
    assert (await town.case(number)).handoff(1).holder == "ishii"  # type: ignore[union-attr]
    assert not await town.app.receiver.again(kept.id), "once"
    assert "accepted" in await town.kinds("suzuki")
    caplog.clear()


async def test_the_same_event_again_is_not_kept_twice(
    town: Town, broken: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    for _ in range(2):
        await town.tries("ishii", f"引受 {number}", id="e-7")
    kept = await town.app.store.read(inbox.parked)
    assert len(kept) == 1
    broken.undo()
    assert await town.app.receiver.again(kept[0].id)
    caplog.clear()


async def test_a_press_that_breaks_us_is_kept_too(
    town: Town, broken: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await town.presses("ishii", "引き受けます")
    (kept,) = await town.app.store.read(inbox.parked)
    broken.undo()
    assert await town.app.receiver.again(kept.id)
    assert (await town.case(number)).handoff(1).holder == "ishii"  # type: ignore[union-attr]
    caplog.clear()
