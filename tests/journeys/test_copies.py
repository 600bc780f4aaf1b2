"""Every copy of a card tells the truth, wherever it lies: changed in place, or followed by what has become of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.base import Chose, Gone, Later, Refused, Unknown
from storage import people
from tests.bot.test_receive import arrives
from tests.databases import Databases
from tests.town import START, Town, settled
from tests.toy import Slate, Toy, following

SLATE, TOY = "slate", "toy"


@pytest.fixture
async def slate() -> Slate:
    return Slate()


@pytest.fixture
async def toy() -> Toy:
    return following()


@pytest.fixture
async def here(databases: Databases, tmp_path: Path, slate: Slate, toy: Toy) -> AsyncIterator[Town]:
    """石井 and 近藤 of ともしび: one where cards can be changed, one where they cannot."""
    url = databases.sqlite(settled)
    town = await Town.found(url, tmp_path, adapters={SLATE: slate, TOY: toy})
    for platform, who in ((SLATE, "ishii"), (TOY, "kondo")):
        await town.app.store.transact(lambda tx, p=platform, w=who: people.link(tx, p, f"U-{w}", w, START))  # type: ignore[misc]
    yield town
    await town.close()
    databases.drop(url)


async def offered(here: Town) -> str:
    number = await here.consented()
    await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.later(minutes=3)
    return number


async def test_the_other_copy_says_who_has_taken_it(here: Town, slate: Slate, toy: Toy) -> None:
    """近藤 accepts from a platform that changes nothing; 石井's card changes where it lies, without a button left to press."""
    number = await offered(here)
    (card,) = slate.to("U-ishii")
    assert card.choices and number in card.text + str(card.title) + str(card.facts)
    await here.says("kondo", f"引受 {number}", surface="web")
    await here.app.turner.settle()
    (now,) = slate.shown("U-ishii")
    assert "近藤さん" in now.text + str(now.facts) and not [c for c in now.choices if "引き受け" in c.label]
    assert len(slate.sent) == 1, "it was changed, not sent again"
    await here.says("kondo", f"つながった {number}", surface="web")
    await here.app.turner.settle()
    (later,) = slate.shown("U-ishii")
    assert later.text + str(later.facts) != now.text + str(now.facts) and "つながりました" in str(later)


async def test_where_nothing_can_be_changed_one_message_follows(here: Town, slate: Slate, toy: Toy) -> None:
    """In the reader's hours and within their noise budget (one a case a day): with the bundle of the next morning."""
    number = await offered(here)
    assert len(toy.to("U-kondo")) == 1
    await here.says("ishii", f"引受 {number}", surface="web")
    await here.app.turner.settle()
    await here.later(hours=22)
    assert len(toy.to("U-kondo")) == 1, "no telephone rings at night for this"
    await here.later(hours=2)
    first, second = toy.to("U-kondo")
    assert first.choices and not second.choices and "石井さん" in second.text + str(second.facts)
    await here.says("ishii", f"つながった {number}", surface="web")
    await here.app.turner.settle()
    await here.later(days=2)
    assert len(toy.to("U-kondo")) == 2, "said once"


async def test_whoever_did_it_is_not_told_twice(here: Town, toy: Toy) -> None:
    number = await offered(here)
    await here.says("kondo", f"引受 {number}", surface="web")
    await here.app.turner.settle()
    await here.later(days=2)
    assert len(toy.to("U-kondo")) == 1


async def test_a_button_of_before_is_old_and_never_another(here: Town, slate: Slate) -> None:
    """Between the deciding and the changing somebody taps what they still see: the old place may not mean the new button."""
    number = await offered(here)
    (card,) = slate.to("U-ishii")
    slate.edited = lambda _ref: Later(timedelta(seconds=30))  # the new face is on its way
    await here.says("kondo", f"引受 {number}", surface="web")
    await here.app.turner.settle()
    before = await here.lines(number)

    for i, choice in enumerate(card.choices):
        answered = await arrives(here, SLATE, "U-ishii", Chose(choice.token), f"late-{i}")
        assert answered.refused is not None, choice.label
    assert await here.lines(number) == before


@pytest.mark.parametrize("hindrance", [Later(timedelta(seconds=30)), Unknown("time-out")])
async def test_what_could_not_be_changed_now_is_changed_later(
    here: Town, slate: Slate, hindrance: Later | Unknown
) -> None:
    number = await offered(here)
    slate.edited = lambda _ref: hindrance
    await here.says("kondo", f"引受 {number}", surface="web")
    await here.app.turner.settle()
    assert len(slate.edits) == 1
    slate.edited = Slate().edited
    await here.later(minutes=2)
    await here.app.copies.keep_true()
    assert len(slate.edits) == 2
    assert "近藤さん" in str(slate.shown("U-ishii")[0]) and not await here.app.copies.keep_true()


@pytest.mark.parametrize("end", [Gone("message not found"), Refused("cannot edit")])
async def test_a_copy_that_was_deleted_is_left_in_peace(here: Town, slate: Slate, end: Gone | Refused) -> None:
    number = await offered(here)
    slate.edited = lambda _ref: end
    await here.says("kondo", f"引受 {number}", surface="web")
    await here.later(minutes=5)
    assert len(slate.edits) == 1 and not await here.app.copies.keep_true()
    assert len(slate.sent) == 1, "nothing is open on it: no new card is needed"


async def test_nothing_new_is_no_edit(here: Town, slate: Slate) -> None:
    """The case has moved, the card shows the same: nobody's phone is touched."""
    number = await offered(here)
    await here.says("suzuki", f"困りごと {number} 住まい 望む", surface="web")
    await here.app.turner.settle()
    assert slate.edits == [] and not await here.app.copies.keep_true()
