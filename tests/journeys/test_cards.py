"""A card stays true: what was answered stays in it, on every copy, for as long as it is so."""

from datetime import datetime

from tests.journeys.test_roles import active
from tests.town import TOKYO, Town


async def asked(town: Town) -> str:
    """A check-in that is open at its holder, deputy, lead and coordinators: six days late."""
    number = await active(town)
    await town.later(until=datetime(2026, 7, 9, 12, tzinfo=TOKYO))
    return number


async def test_a_settled_check_in_keeps_the_chosen_answer_on_every_copy(town: Town) -> None:
    await asked(town)
    readers = [w for w in ("ishii", "suzuki", "takahashi") if "ring:checkin" in await town.kinds(w)]
    assert {"ishii", "suzuki"} <= set(readers)
    await town.presses("ishii", "会えた・気になる")
    for who in readers:
        card = await town.last(who, "ring")
        shown = "\n".join(f"{a} {b}" for a, b in card.facts)
        assert "会えた・気になる" in shown and "石井さん 7/9(木) 12:00" in shown, (who, card)
        assert [c.says for c in card.choices] == (["取消"] if who == "ishii" else []), who
    await town.later(minutes=11)
    assert not (await town.last("ishii", "ring")).choices, "ten minutes"


async def test_an_answer_that_was_taken_back_is_not_shown_as_one(town: Town) -> None:
    await asked(town)
    await town.presses("ishii", "会えていない")
    await town.says("ishii", "取消")
    card = await town.last("suzuki", "ring")
    assert "取り消されました" in "\n".join(v for _, v in card.facts)
    await town.later(minutes=2)
    await town.presses("ishii", "会えた・変わりなし")
    shown = [card.message().facts for row, card in await town.reads("ishii") if row.kind == "ring"]
    assert "会えた・変わりなし" in shown[-1][0][1] and "会えていない" not in str(shown)


async def test_a_check_in_that_nobody_answered_claims_no_answer(town: Town) -> None:
    number = await asked(town)
    await town.says("takahashi", f"期限延長 {number}#1 7/20 checkin")
    await town.later(minutes=1)
    await town.says("ishii", f"変わりなし {number}")
    card = next(card.message() for row, card in await town.reads("ishii") if row.doc.get("what") == "checkin")
    assert "お返事" not in card.text and "済みました" in "\n".join(v for _, v in card.facts)


async def test_the_answer_cannot_be_taken_back_once_somebody_has_acted_on_it(town: Town) -> None:
    number = await asked(town)
    await town.presses("ishii", "会えた・気になる")
    assert (await town.last("ishii", "ring")).choices
    await town.says("suzuki", f"話しました {number}")
    assert not (await town.last("ishii", "ring")).choices
    await town.refused("ishii", "取消", "SomebodyElseActed")


async def test_the_card_of_a_call_says_who_has_reached_them(town: Town) -> None:
    await town.says("yamamoto", "緊急")
    await town.says("yamamoto", "電話")
    await town.presses("ogawa", "電話した・つながった")
    await town.later(minutes=1)
    await town.says("takahashi", "話しました")
    for who in ("takahashi", "ogawa"):
        card = await town.last(who, "danger")
        assert "小川" in card.text and not card.choices
    card = await town.last("shimizu", "phone_wanted")
    assert "高橋" in card.text and "山本" in card.text and not card.choices
