"""What leaves as one message is still several: each part goes on, or is over, by itself."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.base import Choice, Chose, Message, Said
from storage import people
from tests.bot.test_receive import arrives
from tests.databases import Databases
from tests.town import START, Town, settled
from tests.toy import Toy, following


@pytest.fixture
def toy() -> Toy:
    return following()


@pytest.fixture
async def here(databases: Databases, tmp_path: Path, toy: Toy) -> AsyncIterator[Town]:
    """近藤さん of ともしび reads on a platform where nothing can be changed."""
    url = databases.sqlite(settled)
    town = await Town.found(url, tmp_path, adapters={"toy": toy})
    await town.app.store.transact(lambda tx: people.link(tx, "toy", "U-kondo", "kondo", START))
    yield town
    await town.close()
    databases.drop(url)


async def two_offers(here: Town) -> list[str]:
    numbers = [await here.consented() for _ in range(2)]
    for number in numbers:
        await here.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await here.later(minutes=10)
    return numbers


async def two_questions(here: Town, toy: Toy) -> list[Choice]:
    """変わりなし of each of two check-ins that came together."""
    for _ in range(2):
        await here.supported(holder="kondo")
    for _ in range(60):
        await here.later(days=1)
        calm = [choice for choice in toy.to("U-kondo")[-1].choices if "変わりなし" in choice.label]
        if len(calm) == 2:
            return calm
    raise AssertionError("they never came together")


async def test_the_second_question_is_answered_after_the_first(here: Town, toy: Toy) -> None:
    for i, choice in enumerate(await two_questions(here, toy)):
        answered = await arrives(here, "toy", "U-kondo", Chose(choice.token), f"tap-{i}")
        assert answered.refused is None, answered.messages


async def test_an_answered_question_is_not_answered_again(here: Town, toy: Toy) -> None:
    first, _ = await two_questions(here, toy)
    assert (await arrives(here, "toy", "U-kondo", Chose(first.token), "tap")).refused is None
    assert (await arrives(here, "toy", "U-kondo", Chose(first.token), "again")).refused == "OldButton"


@pytest.mark.parametrize("taken", [0, 1])
async def test_it_is_said_who_took_one_of_two(here: Town, toy: Toy, taken: int) -> None:
    numbers = await two_offers(here)
    (both,) = toy.to("U-kondo")
    assert all(number in both.text for number in numbers)
    await here.says("ishii", f"引受 {numbers[taken]}", surface="web")
    await here.app.turner.settle()
    await here.later(days=1, hours=3)
    followed = [message for message in toy.to("U-kondo")[1:] if "石井さん" in message.text + str(message.facts)]
    assert [numbers[taken] in message.text for message in followed] == [True]
    assert numbers[1 - taken] not in followed[0].text


async def test_what_changes_nothing_on_the_second_card_is_not_told(here: Town, toy: Toy) -> None:
    _, second = await two_offers(here)
    await here.says("suzuki", f"困りごと {second} 住まい 望む", surface="web")
    await here.app.turner.settle()
    await here.later(hours=2)
    assert len(toy.to("U-kondo")) == 1


async def test_a_number_means_what_was_brought_last(here: Town, toy: Toy) -> None:
    """More choices than buttons: they are numbered through the whole message, and the number answers."""
    toy.caps = replace(toy.caps, buttons=3)
    first, second = await two_offers(here)
    (both,) = toy.to("U-kondo")
    place = _places(both, "引き受けます")[1]
    answered = await arrives(here, "toy", "U-kondo", Said(str(place)), "digit")
    assert (answered.refused, answered.number) == (None, second)
    states = {number: (await here.case(number)).handoffs[0].state for number in (first, second)}
    assert states == {first: "offered", second: "accepted"}


async def test_a_number_means_nothing_of_what_was_brought_elsewhere(here: Town, toy: Toy) -> None:
    toy.caps = replace(toy.caps, buttons=3)
    numbers = await two_offers(here)
    (both,) = toy.to("U-kondo")
    answered = await here.tries("kondo", str(_places(both, "引き受けます")[1]))
    assert answered.refused is not None
    assert [(await here.case(number)).handoffs[0].state for number in numbers] == ["offered", "offered"]


def _places(message: Message, label: str) -> list[int]:
    """The numbers under which a choice is listed."""
    listed = [line.partition(". ") for line in message.text.splitlines()]
    return [int(number) for number, dot, words in listed if dot and number.isdecimal() and words.startswith(label)]
