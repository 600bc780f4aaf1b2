"""緊急, 相談 and 電話 without a case: numbers at once, the roster every fifteen minutes, until a human says they have reached somebody."""

from datetime import datetime

import pytest

from storage import waits
from tests.town import TOKYO, Town


async def calls(town: Town) -> list[str]:
    return [w.kind for w in await town.app.store.read(waits.loose)]


@pytest.mark.parametrize("word", ["緊急", "至急", "助けて", "死にたい", "人が倒れた", "火事です", "emergency"])
async def test_danger_gives_numbers_at_once_and_never_claims_to_have_reached_anyone(lite: Town, word: str) -> None:
    answer = await lite.says("yamamoto", word)
    assert "119" in answer.text and "110" in answer.text and "まだ誰にも伝わっていません" in answer.text
    assert "04-0000-0000" in answer.text, "by day the city's desk"
    assert [c.says.split()[0] for c in answer.choices] == ["電話した", "電話出ない"]
    for who in ("takahashi", "shimizu", "nakajima", "ogawa"):
        assert "danger" in await lite.kinds(who)


async def test_every_fifteen_minutes_the_next_row_until_somebody_is_reached(town: Town) -> None:
    await town.says("yamamoto", "緊急")
    before = {who: (await town.kinds(who)).count("danger") for who in ("ogawa", "takahashi", "watanabe")}
    assert before == {"ogawa": 1, "takahashi": 1, "watanabe": 0}
    for minutes, who in ((15, "takahashi"), (15, "watanabe"), (15, "ogawa")):
        await town.later(minutes=minutes)
        assert (await town.kinds(who)).count("danger") == before[who] + 1, who
        before[who] += 1
    await town.presses("watanabe", "電話した・つながった")
    assert not await calls(town)
    for who in ("takahashi", "ogawa", "yamamoto"):
        assert "reached" in await town.kinds(who)
    told = (await town.kinds("ogawa")).count("danger")
    await town.later(days=2)
    assert (await town.kinds("ogawa")).count("danger") == told


async def test_nobody_answered_the_next_row_at_once(town: Town) -> None:
    await town.says("yamamoto", "緊急")
    await town.later(minutes=1)
    await town.presses("ogawa", "電話した・出ない")
    assert (await town.kinds("takahashi")).count("danger") == 2
    await town.presses("yamamoto", "電話した・つながった")
    assert not await calls(town)


async def test_two_dangers_are_two_and_one_press_ends_one(town: Town) -> None:
    await town.says("yamamoto", "緊急")
    await town.says("hirano", "緊急")
    await town.presses("yamamoto", "電話した・つながった")
    assert len(await calls(town)) == 1
    told = (await town.kinds("watanabe")).count("danger")
    await town.later(hours=1)
    assert (await town.kinds("watanabe")).count("danger") > told, "the other one still rings"
    await town.says("takahashi", "電話した")
    await town.refused("takahashi", "電話した", "NothingToAnswer")


async def test_of_two_dangers_a_typed_word_asks_which(town: Town) -> None:
    await town.says("yamamoto", "緊急")
    await town.says("hirano", "緊急")
    asked = await town.refused("takahashi", "電話した", "WhichPerson")
    assert len(asked.choices) == 2
    await town.says("takahashi", "1")
    assert len(await calls(town)) == 1
    await town.says("takahashi", "電話した")
    assert not await calls(town)


async def test_at_night_the_row_on_duty_comes_first(town: Town) -> None:
    await town.later(until=datetime(2026, 6, 5, 22, tzinfo=TOKYO))
    answer = await town.says("yamamoto", "助けて")
    assert "04-0000-0001" in answer.text and "当直" in answer.text
    assert "danger" in await town.kinds("watanabe") and "danger" not in await town.kinds("ogawa")


@pytest.mark.parametrize("words", ["たすけて", "緊急", "父が倒れました"])
async def test_an_unlinked_account_is_told_the_numbers_and_nobody_is_rung(town: Town, words: str) -> None:
    """workflow.md §3: the roster's wait is for linked people; nobody could call an account back that nobody knows."""
    answered = await town.tries("U-1", words, surface="line")
    message = answered.messages[0]
    assert answered.refused is None and "119" in message.text and "まだ誰にも伝わっていません" in message.text
    assert not message.choices and not await calls(town)
    assert await town.kinds("takahashi") == []


async def test_danger_words_beside_a_command_are_the_command(town: Town) -> None:
    number = await town.accepted()
    await town.says("ishii", f"緊急 {number}")
    assert (await town.case(number)).urgency == "emergency" and not await calls(town)
    for who in ("suzuki", "takahashi"):
        assert "urgency_raised" in await town.kinds(who)


async def test_the_one_on_duty_is_away_and_the_deputy_is_told(town: Town) -> None:
    await town.says("ogawa", "不在 今日 代理 岡田")
    await town.says("yamamoto", "緊急")
    assert "danger" in await town.kinds("okada")


@pytest.mark.parametrize(("word", "kind"), [("相談", "talk"), ("電話がほしい", "phone")])
async def test_a_talk_is_wanted_today_and_climbs_until_somebody_has_talked(town: Town, word: str, kind: str) -> None:
    await town.says("yamamoto", word)
    assert await calls(town) == [kind]
    assert f"{kind}_wanted" in await town.kinds("takahashi")
    await town.later(days=1)
    assert (await town.kinds("takahashi")).count(f"{kind}_wanted") == 2
    await town.later(days=1)
    assert f"{kind}_wanted" in await town.kinds("watanabe")
    await town.presses("takahashi", "話しました")
    assert not await calls(town) and "reached" in await town.kinds("yamamoto")


async def test_about_a_case_it_is_the_leads(town: Town) -> None:
    number = await town.accepted()
    await town.says("ishii", f"相談 {number}")
    assert "talk_wanted" in await town.kinds("suzuki") and not await calls(town)
    await town.says("suzuki", "話しました")
    assert "request_answered" in await town.kinds("ishii")
    await town.refused("suzuki", f"話しました {number}", "NothingToAnswer")
