"""Words as people type them: without a number, by 目印, misspelt, too long, twice, at the wrong door, taken back."""

import asyncio

import pytest

from storage import marks, people, tables
from tests.town import Town
from workflow import number as numbers


async def offered(town: Town) -> str:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    return number


async def state(town: Town, number: str, no: int = 1) -> str:
    return (await town.case(number)).handoff(no).state  # type: ignore[union-attr]


# -- which case, which handoff


async def test_the_number_may_be_left_out_when_one_question_is_open(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", "引受")
    assert await state(town, number) == "accepted"
    await town.says("ishii", "会えました")
    assert await state(town, number) == "active"


async def test_with_two_open_questions_the_answer_is_a_choice_and_a_digit_answers_it(town: Town) -> None:
    first, second = await offered(town), await offered(town)
    asked = await town.refused("ishii", "引受", "WhichCase")
    assert [c.says for c in asked.choices] == [f"引受 {first}#1", f"引受 {second}#1", "一覧"]
    await town.says("ishii", "２")
    assert (await state(town, first), await state(town, second)) == ("offered", "accepted")
    await town.refused("ishii", "7", "UnknownWords")


async def test_one_number_may_stand_for_several_handoffs(town: Town) -> None:
    number = await offered(town)
    await town.says("suzuki", f"依頼 {number} 債務 ともしび")
    asked = await town.refused("ishii", f"引受 {number}", "WhichHandoff")
    assert [c.says for c in asked.choices] == [f"引受 {number}#1", f"引受 {number}#2"]
    await town.says("ishii", f"引受 {number}#2")
    assert (await state(town, number, 1), await state(town, number, 2)) == ("offered", "accepted")
    await town.refused("ishii", f"引受 {number}#9", "NoOfferWaiting")


async def test_a_reader_knows_a_case_by_its_own_mark(town: Town) -> None:
    number = await offered(town)
    case = await town.case(number)
    shown = await town.says("ishii", number)
    word = await town.app.store.read(lambda tx: marks.words_of(tx, "ishii")[case.id])
    assert word in town.place.marks and word in shown.text + str(shown.facts) + (shown.title or "")
    assert (await town.tries("ishii", word)).number == number
    await town.says("ishii", f"{word} 引受")
    assert await state(town, number) == "accepted"
    other = await town.app.store.read(lambda tx: marks.words_of(tx, "suzuki").get(case.id))
    assert (await town.tries("tanaka", word)).refused == "UnknownWords" and other != ""


async def test_next_asks_the_days_questions_one_after_another(town: Town) -> None:
    first = await offered(town)
    await town.later(hours=1)
    second = await offered(town)
    card = await town.tries("ishii", "つぎへ")
    assert card.number == first
    await town.says("ishii", next(c.says for c in card.messages[0].choices if c.says.startswith("引受")))
    card = await town.tries("ishii", "次")
    assert card.number == second
    assert (await town.tries("mori", "つぎへ")).number is None, "nothing waits for her"


@pytest.mark.parametrize(
    "typed",
    ["{n}", "{plain}", "{wide}", "{spaced}", "№{n}です"],
    ids=["hyphens", "plain", "full-width", "spaces", "in a sentence"],
)
async def test_a_number_is_read_however_it_is_typed(lite: Town, typed: str) -> None:
    number = await offered(lite)
    plain = number.replace("-", "")
    wide = "".join(chr(ord(c) + 0xFEE0) for c in plain)
    said = typed.format(n=number, plain=plain, wide=wide, spaced=number.replace("-", " "))
    assert (await lite.tries("ishii", f"引受 {said}")).refused is None
    assert await state(lite, number) == "accepted"


async def test_a_wrong_check_digit_shows_the_near_numbers(town: Town) -> None:
    number = await offered(town)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not numbers.valid(wrong)
    answer = await town.refused("ishii", f"引受 {wrong}", "WrongCheckDigit")
    assert f"引受 {number}" in [c.says for c in answer.choices]
    await town.refused(
        "ishii", "引受 000-001-95" if numbers.valid("000-001-95") else f"引受 {numbers.make(1)}", "NoSuchCase"
    )


async def test_another_agencys_case_stays_theirs(town: Town) -> None:
    """I10."""
    number = await offered(town)
    for words in (number, f"急ぎ {number}", f"依頼 {number} 家計相談 ひばり", f"困りごと {number} 債務 望む"):
        answer = await town.refused("mori", words, "NotYourCase")
        assert "家計" not in answer.text and "鈴木" not in answer.text


# -- what was meant

MEANT = {
    "引受": "引き受けます 引受け ひきうけます 受けます 承ります 引受します 引き受けいたします accept ACCEPT 引受！",
    "辞退": "辞退します 事態 じたい むり 無理です むずかしい お受けできません decline",
    "検討": "健闘 見当 けんとう 考えます 検討でお願いします consider",
}


@pytest.mark.parametrize(("word", "typed"), [(w, t) for w, forms in MEANT.items() for t in forms.split()])
async def test_words_match_by_reading_homophone_and_politeness(lite: Town, word: str, typed: str) -> None:
    number = await offered(lite)
    answered = await lite.tries("ishii", f"{typed} {number}")
    if word == "辞退":
        assert answered.refused == "WordsMissing", "a no wants its code"
    else:
        assert answered.refused is None
    assert await state(lite, number) == {"引受": "accepted", "辞退": "offered", "検討": "considering"}[word]


async def test_other_homophones_are_understood_too(lite: Town) -> None:
    number = await lite.accepted()
    await lite.says("ishii", f"繋がりました {number}")
    await lite.says("ishii", f"一時休止 {number} 7/1")
    await lite.says("ishii", f"再会 {number}")
    await lite.says("ishii", f"会えませんでした {number}")
    await lite.says("ishii", f"少し変化 {number}")
    assert (await lite.lines(number))[-6:] == [
        "handoff.hold",
        "handoff.resume",
        "checkin.missed",
        "handoff.result",
        "checkin.worry",
        "request.concern",
    ]


@pytest.mark.parametrize("typed", ["しんたい", "死体検案", "ひきうける?", "りょうかい"])
async def test_what_only_looks_like_a_word_does_nothing(lite: Town, typed: str) -> None:
    number = await offered(lite)
    await lite.tries("ishii", f"{typed}")
    assert await state(lite, number) in ("offered", "accepted" if typed.startswith("ひきうける") else "offered")


async def test_a_near_miss_is_asked_about(town: Town) -> None:
    number = await offered(town)
    answer = await town.refused("ishii", f"引き請けます {number}", "UnknownWords")
    assert f"引受 {number}" in [c.says for c in answer.choices]
    await town.says("ishii", "1")
    assert await state(town, number) == "accepted"


@pytest.mark.parametrize(
    "typed", ["了解", "了解です", "はい", "OK", "ok", "ＯＫ", "承知しました", "👍", "ありがとうございます"]
)
async def test_politeness_never_accepts(lite: Town, typed: str) -> None:
    number = await offered(lite)
    answered = await lite.tries("ishii", typed)
    assert answered.refused == "PolitenessIsNoAnswer" and await state(lite, number) == "offered"
    assert any(c.says.startswith("引受") for c in answered.messages[0].choices), "the buttons are shown again"


# -- shown first, taken back


async def test_what_reaches_others_is_shown_first(town: Town) -> None:
    number = await town.consented()
    shown = await town.tries("suzuki", f"依頼 {number} 家計相談 ともしび")
    assert [c.says for c in shown.messages[0].choices] == ["送る", "やめる"]
    assert "家計改善ともしび" in str(shown.messages[0].facts)
    assert not (await town.case(number)).handoffs and "offer" not in await town.kinds("ishii")
    await town.says("suzuki", "やめる")
    await town.refused("suzuki", "送る", "NothingToSend")
    await town.tries("suzuki", f"依頼 {number} 家計相談 ともしび")
    await town.tries("suzuki", "送る")
    assert await state(town, number) == "offered"
    await town.refused("suzuki", "送る", "NothingToSend")


async def test_taken_back_within_ten_minutes(town: Town) -> None:
    number = await offered(town)
    await town.says("suzuki", "今日")
    await town.later(minutes=9)
    await town.says("suzuki", "取消")
    assert await state(town, number) == "withdrawn"
    await town.refused("suzuki", "取消", "NothingToUndo")


async def test_not_after_ten_minutes_and_not_after_somebody_acted(town: Town) -> None:
    number = await offered(town)
    await town.later(minutes=11)
    await town.refused("suzuki", "取消", "TooLateToUndo")
    number = await offered(town)
    await town.says("ishii", f"検討 {number}")
    await town.refused("suzuki", "取消", "SomebodyElseActed")
    assert await state(town, number) == "considering"


async def test_what_cannot_be_taken_back_says_so_before(town: Town) -> None:
    number = await town.consented()
    shown = await town.tries("takahashi", f"仮担当 {number}")
    assert "元に戻せません" in shown.messages[0].text
    await town.tries("takahashi", "送る")
    await town.refused("takahashi", "取消", "NothingToUndo")
    await town.refused("mori", "取消", "NothingToUndo")


# -- names


async def test_an_ambiguous_name_becomes_a_choice(town: Town) -> None:
    number = await town.consented()
    answer = await town.refused("suzuki", f"依頼 {number} 介護の調整 地域包括", "WhichAgency")
    assert len(answer.choices) == 2
    await town.says("suzuki", "2")
    assert (await town.case(number)).handoff(1).to_agency == "houkatsu-minami"  # type: ignore[union-attr]
    await town.refused("suzuki", f"依頼 {number} 就労相談 どこにもない機関", "NoSuchAgency")
    answer = await town.refused("suzuki", f"依頼 {number} 就労 ひばり/田", "WhichPerson")
    assert answer.choices


async def test_without_an_agency_the_candidates_are_buttons(town: Town) -> None:
    number = await town.consented()
    answer = await town.says("suzuki", f"依頼 {number} 家計相談")
    assert [c.says.split()[0] for c in answer.choices][-1] == "打診" and len(answer.choices) >= 3
    answer = await town.refused("suzuki", f"依頼 {number} 占い ともしび", "NoSuchDuty")
    await town.refused("suzuki", f"困りごと {number} 宇宙 望む", "NoSuchConcern")


async def test_urgency_and_district_are_taken_in_with_the_concerns(town: Town) -> None:
    number = await town.intake("suzuki", "介護、困窮", "南部 急ぎ")
    case = await town.case(number)
    assert (case.district, case.urgency.value, len(case.issues)) == ("南部", "high", 2)
    assert {i.wish for i in case.issues} == {"unknown"} and {i.status for i in case.issues} == {"open"}
    await town.refused("suzuki", "受付", "WordsMissing")
    await town.refused("suzuki", "受付 宇宙", "NoSuchConcern")
    await town.refused("yamamoto", "受付 介護", "NotYours")
    await town.refused("endo", "受付 介護", "NotYours")


# -- odd things at the door

ODD = {
    "ten thousand letters": "あ" * 10_000,
    "an offer ten thousand letters long": "引受 " + "１" * 10_000,
    "control characters": "引\x07受\x1b[31m",
    "NULs": "\x00\x00引受\x00",
    "emoji": "👨‍👩‍👧‍👦🏳️‍🌈 引受 🙇‍♀️",
    "right-to-left": "\u202e受引\u202c",
    "zero width": "引\u200b受",
    "nothing": "",
    "blanks": " \u3000\t ",
    "an ordinal alone": "#999",
    "a number that is none": "999-999-99",
    "a line of statements": "'; DROP TABLE cases; --",
    "markup": "<script>alert(1)</script>",
    "a lone surrogate": "引受\ud800",
    "an endless digit": "9" * 2_000,
    "braces": "{number} {0} %s %(x)s",
}


#: What the asked side hears; nothing: it was the plain 引受 after all.
HEARD = {
    "ten thousand letters": "TooManyWords", "an offer ten thousand letters long": "TooManyWords", "control characters": None, "NULs": None,
    "zero width": None, "a lone surrogate": None, "a number that is none": "WrongCheckDigit",
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
async def test_whatever_is_typed_is_answered_in_words(lite: Town, odd: str) -> None:
    await offered(lite)
    for who in ("ishii", "suzuki", "nobody-we-know"):
        answered = await lite.tries(who, ODD[odd])
        assert answered.inbox is not None and answered.messages and answered.messages[0].text.strip()
        assert "{" not in answered.messages[0].text.replace(ODD[odd], "")
        if who == "ishii":
            assert answered.refused == HEARD.get(odd, "UnknownWords")


async def test_every_odd_thing_is_kept_by_either_database(town: Town) -> None:
    await offered(town)
    for typed in ODD.values():
        assert (await town.tries("suzuki", typed)).messages[0].text


async def test_letters_without_width_or_sound_are_passed_over(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", f"\u200f引\u200b受\x00 {number}")
    assert await state(town, number) == "accepted"


async def test_the_same_event_twice_is_one(town: Town) -> None:
    """I3, I20."""
    number = await offered(town)
    first = await town.tries("ishii", f"引受 {number}", id="e-1")
    again = await town.tries("ishii", f"引受 {number}", id="e-1")
    assert first.refused is None and again.inbox is None and not again.messages
    both = await asyncio.gather(*(town.tries("suzuki", f"急ぎ {number}", id="e-2") for _ in range(2)))
    assert sorted(a.inbox is None for a in both) == [False, True]
    assert (await town.lines(number)).count("case.urgency") == 1


async def test_the_same_button_twice(town: Town) -> None:
    number = await offered(town)
    letter, card = [(row, card) for row, card in await town.reads("ishii") if row.kind == "offer"][-1]
    says = next(c.says for c in card.choices if c.says.startswith("引受"))
    both = await asyncio.gather(*(town.press("ishii", letter.token or "", says) for _ in range(2)))
    assert sorted(a.refused or "" for a in both) == ["", "AlreadyDone"]
    assert (await town.lines(number)).count("handoff.accept") == 1


async def test_the_button_of_an_old_preview_does_not_send_the_new_one(lite: Town) -> None:
    number = await lite.consented()
    await lite.tries("suzuki", f"依頼 {number} 家計相談 ともしび")
    (old,) = [row for row, card in await lite.reads("suzuki") if any(c.says == "送る" for c in card.choices)]
    await lite.later(minutes=1)
    await lite.tries("suzuki", f"依頼 {number} 就労相談 つばさ")
    assert (await lite.press("suzuki", old.token or "", "送る")).refused == "OldButton"
    assert not (await lite.case(number)).handoffs
    await lite.presses("suzuki", "送る")
    assert [h.duty for h in (await lite.case(number)).handoffs] == ["work"]


async def test_an_old_button_says_that_it_is_old(town: Town) -> None:
    number = await offered(town)
    await town.later(until=town.place.agencies["tomoshibi"].hours.add_days(town.now, 2))
    row = [row for row, _ in await town.reads("ishii") if row.kind == "ring"][-1]
    await town.says("ishii", f"引受 {number}")
    assert (await town.press("ishii", row.token or "", f"引受 {number}#1")).refused == "OldButton"
    assert (await town.press("ishii", "no-such-token-at-all-", "引受")).refused == "OldButton"


async def test_somebody_elses_button_gives_no_right(town: Town) -> None:
    number = await offered(town)
    row, card = [(row, card) for row, card in await town.reads("ishii") if row.kind == "offer"][-1]
    answered = await town.press("mori", row.token or "", card.choices[0].says)
    assert answered.refused == "NotYourCase" and await state(town, number) == "offered"


async def test_nobody_types_forty_lines_a_minute(town: Town) -> None:
    town.app.receiver.flood = 40
    answers = [await town.tries("suzuki", "今日") for _ in range(42)]
    assert [a.refused for a in answers[:40]] == [None] * 40 and answers[-1].refused == "TooFast"
    assert (await town.tries("sato", "今日")).refused is None, "others are heard"


async def test_an_account_nobody_knows_has_three_words(town: Town) -> None:
    number = await offered(town)
    for words in ("今日", number, f"引受 {number}", "一覧", "受付 介護"):
        assert (await town.tries("U-1", words, surface="slack")).refused == "StrangersCannot"
    assert (await town.tries("U-1", "登録 まちがい", surface="slack")).refused == "BadInvite"
    help_ = await town.tries("U-1", "ヘルプ", surface="slack")
    assert help_.messages[0].text
    danger = await town.tries("U-1", "父が倒れました", surface="slack")
    assert danger.refused is None and "119" in danger.messages[0].text


async def test_an_outsiders_words_are_not_kept(town: Town) -> None:
    """workflow.md §6: the inbox of an external platform keeps no raw text."""
    answered = await town.tries("U-1", "母の名前は…", surface="slack")
    rows = await town.app.store.read(lambda tx: tx.execute(tables.inbox.select()).all())
    assert [row.id for row in rows] == [answered.inbox] and "母" not in str(rows)
    assert not await town.app.store.read(lambda tx: tx.execute(tables.texts.select()).all())


@pytest.mark.parametrize("day", ["2/30", "13/1", "0/0", "13月40日", "2026-02-30"])
async def test_a_day_that_is_none_is_said_so(lite: Town, day: str) -> None:
    number = await offered(lite)
    for who, words in (
        ("ishii", f"検討 {number} {day}"), ("ishii", f"空き待ち {number} {day}"), ("suzuki", f"中断 {number} {day}"),
        ("suzuki", f"期限延長 {number} {day}"), ("takahashi", f"会議 {number} 重層 {day}"),
    ):  # fmt: skip
        await lite.refused(who, words, "NoSuchDay")
    assert await state(lite, number) == "offered"


async def test_two_posts_and_the_room_decides_which_is_spoken_for(town: Town) -> None:
    answered = await town.tries("nakajima", "受付 困窮", room="suishin")
    assert (await town.case(answered.number or "")).opened_agency == "suishin"
    answered = await town.tries("nakajima", "受付 困窮")
    assert (await town.case(answered.number or "")).opened_agency == "shakyo"


async def test_a_consultation_taken_in_outside_has_its_number_and_no_content(lite: Town) -> None:
    """§5, §6: outside 受付 gives a number and the way to the web; what it is about is not heard there."""
    await lite.app.store.transact(lambda tx: people.link(tx, "toy", "U-suzuki", "suzuki", lite.now))
    answered = await lite.tries("U-suzuki", "受付 介護 急ぎ", surface="toy")
    assert answered.refused is None and answered.number and "Web" in answered.messages[0].text
    case = await lite.case(answered.number)
    assert (case.lead, case.urgency, case.issues, case.district) == ("suzuki", "high", (), None)
    assert "介護" not in answered.messages[0].text
    await lite.says("suzuki", f"困りごと {answered.number} 介護 望む")
    await lite.refused("suzuki", "受付", "WordsMissing")


async def test_whoever_has_settled_a_trouble_is_offered_the_way_on(lite: Town) -> None:
    number = await lite.consented()
    for said in ("介護 資源なし", "困窮 望まない", "住まい 望む"):
        told = await lite.says("suzuki", f"困りごと {number} {said}")
        assert f"進む {number}" in [c.says for c in told.choices], said
