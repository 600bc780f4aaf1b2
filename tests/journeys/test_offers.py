"""Asking and answering: one agency, several at once, anonymously, late, with questions and conditions, no and no again."""

import asyncio
from datetime import timedelta

import pytest

from tests.journeys.rings import due, moment, rings
from tests.town import Town


async def offered(town: Town, duty: str = "家計相談", agency: str = "ともしび") -> str:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} {duty} {agency}")
    return number


async def state(town: Town, number: str, no: int = 1) -> str:
    handoff = (await town.case(number)).handoff(no)
    assert handoff is not None
    return handoff.state


async def kinds_of(town: Town, number: str) -> list[str]:
    return [w.kind for w in (await town.case(number)).waits]


# -- offering moves nothing


async def test_an_offer_moves_nothing_until_a_named_person_accepts(town: Town) -> None:
    """I2."""
    number = await town.consented()
    await town.says("takahashi", f"担当替え {number} つばさ")
    assert (await town.case(number)).lead == "suzuki"
    assert "offer" in await town.kinds("sato")
    await town.says("sato", f"引受 {number}")
    case = await town.case(number)
    assert (case.lead, case.interim) == ("sato", None)
    assert "accepted" in await town.kinds("takahashi") and "lead_changed" in await town.kinds("suzuki")


async def test_without_a_basis_there_is_only_an_anonymous_ask(town: Town) -> None:
    """I26."""
    number = await town.intake()
    answer = await town.refused("suzuki", f"依頼 {number} 家計相談 ともしび", "NoBasis")
    assert {c.says.split()[0] for c in answer.choices} >= {"同意", "根拠", "打診"}
    await town.says("suzuki", f"根拠 {number} ともしび 106条の6")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    assert (await town.case(number)).handoff(1).basis == "art106_6"  # type: ignore[union-attr]
    await town.refused("suzuki", f"依頼 {number} 家計相談 社協", "NoBasis")


async def test_consent_for_some_agencies_covers_only_these(town: Town) -> None:
    number = await town.intake()
    await town.says("suzuki", f"同意 {number} あり ともしび つばさ")
    await town.refused("suzuki", f"依頼 {number} 居場所 社協", "NoBasis")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await town.says("suzuki", f"依頼 {number} 就労相談 つばさ")
    await town.says("suzuki", f"同意 {number} 撤回 ともしび")
    assert (await state(town, number, 1), await state(town, number, 2)) == ("withdrawn", "offered")
    assert "withdrawn" in await town.kinds("ishii")
    await town.says("suzuki", f"同意 {number} 撤回")
    assert await state(town, number, 2) == "withdrawn"


async def test_consent_withdrawn_takes_back_what_rested_on_it(town: Town) -> None:
    number = await town.consented()
    await town.says("takahashi", f"依頼 {number} 家計相談 ともしび")
    await town.says("suzuki", f"根拠 {number} つばさ 生命")
    await town.says("suzuki", f"依頼 {number} 就労相談 つばさ")
    await town.says("suzuki", f"同意 {number} 撤回")
    assert (await state(town, number, 1), await state(town, number, 2)) == ("withdrawn", "offered")
    assert "withdrawn" in await town.kinds("takahashi"), "whoever asked hears how it ended (I23)"
    assert "next_step" in await kinds_of(town, number)


async def test_the_other_answers_about_consent_are_kept_too(town: Town) -> None:
    number = await town.intake()
    for said, kept in (("なし", "refused"), ("聞かない", "not_sought"), ("未", "pending")):
        await town.says("suzuki", f"同意 {number} {said}")
        consent = (await town.case(number)).consent
        assert consent is not None and consent.state == kept
    assert await due(town, number, "consent") == "06-12 09:00"
    await town.says("suzuki", f"同意 {number} あり")
    assert "consent" not in await kinds_of(town, number)


async def test_the_role_of_ones_own_agency_is_offered_and_accepted_in_one(town: Town) -> None:
    number = await town.intake()
    await town.says("suzuki", f"依頼 {number} 介護の調整 地域包括支援センター北")
    handoff = (await town.case(number)).handoff(1)
    assert handoff is not None and (handoff.state, handoff.holder, handoff.basis) == ("accepted", "suzuki", "own")


# -- several at once


async def test_of_several_the_first_wins_and_the_others_are_thanked(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"一斉依頼 {number} 家計相談 ともしび つばさ 社協")
    await town.says("sato", f"引受 {number}")
    assert [await state(town, number, n) for n in (1, 2, 3)] == ["withdrawn", "accepted", "withdrawn"]
    thanks = await town.last("ishii", "stood_down")
    assert "つばさ" in thanks.text + str(thanks.facts)
    late = await town.refused("ishii", f"引受 {number}", "AlreadyTaken")
    assert "つばさ" in late.text and "佐藤" in late.text


async def test_two_at_once_and_exactly_one_wins(town: Town) -> None:
    """I3: a race is settled by the row."""
    number = await town.consented()
    await town.says("suzuki", f"一斉依頼 {number} 家計相談 ともしび つばさ")
    both = await asyncio.gather(town.tries("ishii", f"引受 {number}"), town.tries("sato", f"引受 {number}"))
    assert sorted(a.refused or "" for a in both) == ["", "AlreadyTaken"]
    winner = next(h for h in (await town.case(number)).handoffs if h.held)
    told = next(a for a in both if a.refused).messages[0].text
    assert town.place.staff[winner.holder or ""].name in told
    assert (await town.lines(number)).count("handoff.accept") == 1


async def test_two_colleagues_at_once_in_one_room(town: Town) -> None:
    number = await offered(town)
    both = await asyncio.gather(town.tries("ishii", f"引受 {number}"), town.tries("kondo", f"引受 {number}"))
    assert sorted(a.refused or "" for a in both) == ["", "AlreadyTaken"]
    assert (await town.lines(number)).count("handoff.accept") == 1


async def test_an_ask_of_several_is_taken_back_whole(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"一斉依頼 {number} 家計相談 ともしび つばさ 社協")
    await town.says("suzuki", "取消")
    assert {await state(town, number, n) for n in (1, 2, 3)} == {"withdrawn"}


# -- anonymously


async def test_an_anonymous_ask_binds_nobody_and_fills_the_board(town: Town) -> None:
    number = await town.intake("suzuki", "困窮", "北部")
    await town.says("suzuki", f"打診 {number} 家計相談 北部")
    card = await town.last("ishii", "capacity_ask")
    assert number not in card.text + str(card.facts) + str(card.choices), "it shows no case number"
    for who, label in (("ishii", "可"), ("sato", "満"), ("hasegawa", "要相談")):
        says = next(c for c in (await town.last(who, "capacity_ask")).choices if c.says.endswith(label)).says
        await town.says(who, says)
    assert (await town.kinds("suzuki")).count("capacity_answer") == 3
    await town.refused("ishii", "空き 可", "NothingToAnswer")
    assert not (await town.case(number)).handoffs


# -- late


async def test_an_acceptance_after_the_time_is_thanked_and_becomes_a_new_offer(town: Town) -> None:
    number = await offered(town)
    await town.later(business_days=4)
    assert await state(town, number) == "expired"
    assert "expired" in await town.kinds("suzuki") and "expired_receiver" in await town.kinds("ishii")
    thanks = await town.says("kondo", f"引受 {number}")
    assert "ありがとう" in thanks.text
    assert await state(town, number) == "expired", "never a resurrection"
    assert "late_accept" in await town.kinds("takahashi")
    await town.refused("kondo", f"引受 {number}", "AlreadyDone")
    await town.says("takahashi", f"このままお願いする {number}")
    case = await town.case(number)
    assert [(h.state, h.holder) for h in case.handoffs] == [("expired", None), ("accepted", "kondo")]
    assert not case.need("budget").stuck


async def test_while_the_row_says_offered_an_acceptance_counts_even_past_due(town: Town) -> None:
    number = await offered(town)
    await town.later(until=town.place.agencies["tomoshibi"].hours.add_days(town.now, 2) + timedelta(hours=3))
    assert (await town.case(number)).wait("react").due_at < town.now  # type: ignore[union-attr]
    await town.says("ishii", f"引受 {number}")
    assert await state(town, number) == "accepted"


async def test_the_last_candidate_never_expires(town: Town) -> None:
    """workflow.md §2: the offer stays open and the coordinator owns the wait; the hours are still the receiver's."""
    number = await offered(town, "通訳", "国際")
    assert (await town.case(number)).handoff(1).last_candidate  # type: ignore[union-attr]
    assert await due(town, number, "react") == "06-05 10:00", "Monday, Wednesday, Friday from ten"
    assert "通訳" in (await town.says("maeda", "つぎへ")).text + str((await town.says("maeda", "つぎへ")).facts)
    await town.later(days=30)
    assert await state(town, number) == "offered"
    wait = (await town.case(number)).wait("react")
    assert wait is not None and wait.owner == "coordinator"
    assert [who for _, _, who in await rings(town, "react")][-1] == "takahashi shimizu nakajima"
    await town.says("maeda", f"引受 {number}")
    assert await state(town, number) == "accepted"


# -- questions, conditions, places


async def test_the_receivers_clock_stands_still_while_a_question_is_open(town: Town) -> None:
    number = await offered(town)
    await town.later(hours=3)
    await town.says("ishii", f"質問 {number} 連絡の方法 電話は何時ごろがよいですか")
    assert "question" in await town.kinds("suzuki")
    wait = (await town.case(number)).wait("react")
    assert wait is not None and wait.paused_left == 11 * 60, "fourteen open hours less three"
    await town.later(days=1)
    assert not await rings(town, "react")
    await town.says("suzuki", f"回答 {number} 平日の午後に")
    # 11 open hours from Tuesday 12:00: four on Tuesday, seven on Wednesday.
    assert await due(town, number, "react") == "06-03 17:00"
    assert "answered" in await town.kinds("ishii")


async def test_after_the_answer_there_is_at_least_a_business_day(town: Town) -> None:
    number = await offered(town)
    await town.later(until=town.now.replace(day=2, hour=16))
    await town.says("ishii", f"質問 {number} 連絡の方法")
    await town.says("suzuki", f"回答 {number} 午後に")
    assert await due(town, number, "react") == "06-03 16:00", "only one hour was left"
    await town.says("suzuki", f"急ぎ {number}")
    await town.says("ishii", f"質問 {number} 急ぐ理由")
    await town.says("suzuki", f"回答 {number} 家賃の期日です")
    await town.refused("ishii", f"質問 {number} その他", "AskedTwiceAlready")


async def test_raising_the_urgency_shortens_a_clock_that_stands_still(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", f"質問 {number} 連絡の方法")
    await town.says("suzuki", f"急ぎ {number}")
    wait = (await town.case(number)).wait("react")
    assert wait is not None and wait.paused_left == 4 * 60


async def test_a_condition_is_agreed_to(town: Town) -> None:
    number = await offered(town)
    answer = await town.refused("kondo", f"条件引受 {number}", "WordsMissing")
    assert len(answer.choices) == len(town.place.conditions)
    await town.says("kondo", f"条件引受 {number} 初回合同")
    card = await town.last("suzuki", "conditional")
    assert "初回合同" in card.text + str(card.facts)
    await town.presses("suzuki", "この条件でお願いする")
    await town.says("suzuki", "送る")
    handoff = (await town.case(number)).handoff(1)
    assert handoff is not None and (handoff.state, handoff.holder) == ("accepted", "kondo")
    assert "agreed" in await town.kinds("kondo")


async def test_without_the_condition_the_offer_goes_on_with_what_was_left(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", f"検討 {number}")
    await town.later(business_days=2)
    await town.says("ishii", f"条件引受 {number} 同行あり")
    case = await town.case(number)
    waiting = {w.kind for w in case.waits if w.paused_left is None and w.handoff}
    assert waiting == {"condition"}, "the receiver's own clock stands still"
    await town.says("suzuki", f"条件なしで {number}")
    assert await state(town, number) == "offered"
    assert await due(town, number, "react") == "06-05 17:00", "three of five days were left"
    assert "without" in await town.kinds("ishii")


async def test_a_place_becomes_free(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", f"空き待ち {number} 6/19")
    assert await due(town, number, "waitlist") == "06-19 17:00"
    assert "waitlisted" in await town.kinds("suzuki")
    await town.refused("ishii", f"検討 {number}", "NotFromHere")
    await town.says("ishii", f"空きました {number}")
    assert await state(town, number) == "offered" and "place_free" in await town.kinds("suzuki")
    await town.says("ishii", f"引受 {number}")


async def test_time_to_think_is_given_once_and_within_the_towns_time(town: Town) -> None:
    number = await offered(town)
    await town.refused("ishii", f"検討 {number} 6/30", "DayOutOfRange")
    await town.refused("ishii", f"検討 {number} 2/30", "NoSuchDay")
    await town.refused("ishii", f"検討 {number} 13月40日", "NoSuchDay")
    await town.says("ishii", f"検討 {number} 6/8")
    assert await due(town, number, "decide") == "06-08 17:00", "the fifth business day, to its end"
    await town.says("ishii", f"質問 {number} 連絡の方法")
    await town.says("suzuki", f"回答 {number} 午後に")
    assert await state(town, number) == "considering"
    assert "検討中" in (await town.says("suzuki", number)).text + str((await town.says("suzuki", number)).facts)


# -- no, and no again


async def test_a_no_has_a_code_and_yields_the_next_step(town: Town) -> None:
    """I14."""
    number = await offered(town)
    answer = await town.refused("ishii", f"辞退 {number}", "WordsMissing")
    assert len(answer.choices) == len(town.place.declines)
    await town.says("ishii", f"辞退 {number} 定員")
    card = await town.last("suzuki", "declined")
    assert any(c.says.startswith(f"依頼 {number} budget") for c in card.choices), "the next candidates are buttons"
    assert await due(town, number, "next_step") == "06-03 09:00"
    await town.refused("suzuki", f"依頼 {number} 家計相談 ともしび", "DeclinedLately")
    await town.later(days=31)
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")


async def test_an_agency_that_lacked_information_may_be_asked_again_at_once(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", f"辞退 {number} 情報不足")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")


async def test_the_second_no_goes_to_the_coordinator(town: Town) -> None:
    """I15."""
    number = await offered(town)
    await town.says("ishii", f"辞退 {number} 定員")
    assert "declined" not in await town.kinds("takahashi")
    await town.says("suzuki", f"依頼 {number} 家計相談 つばさ")
    await town.says("sato", f"辞退 {number} 対象外")
    wait = (await town.case(number)).wait("next_step")
    assert wait is not None and wait.owner == "coordinator"
    assert "declined" in await town.kinds("takahashi")


async def test_after_a_no_whoever_asked_names_the_next_step(town: Town) -> None:
    """§3: the sender's or the coordinator's: what 高橋 has asked is not put on the lead's desk."""
    number = await town.consented()
    await town.says("takahashi", f"依頼 {number} 家計相談 ともしび")
    await town.says("suzuki", f"依頼 {number} 就労相談 つばさ")
    await town.says("ishii", f"辞退 {number} 定員")
    await town.says("sato", f"辞退 {number} 定員")
    owners = {w.subject: w.owner for w in (await town.case(number)).waits if w.kind == "next_step"}
    assert owners == {"budget": "coordinator", "work": "lead"}


async def test_silence_and_a_no_count_alike(town: Town) -> None:
    number = await offered(town)
    await town.later(business_days=4)
    await town.says("suzuki", f"依頼 {number} 家計相談 つばさ")
    await town.says("sato", f"辞退 {number} 定員")
    wait = (await town.case(number)).wait("next_step")
    assert wait is not None and wait.owner == "coordinator"


async def test_a_role_that_bounces_to_a_former_holder_is_the_coordinators(town: Town) -> None:
    """I15."""
    number = await offered(town)
    await town.says("ishii", f"引受 {number}")
    await town.says("ishii", f"戻す {number}")
    assert (await town.case(number)).wait("next_step").owner == "coordinator"  # type: ignore[union-attr]
    await town.says("takahashi", f"依頼 {number} 家計相談 ともしび")
    await town.says("ishii", f"辞退 {number} 定員")
    assert (await town.case(number)).wait("next_step").owner == "coordinator"  # type: ignore[union-attr]


async def test_a_no_pressed_by_mistake_is_put_right(town: Town) -> None:
    number = await offered(town)
    await town.says("ishii", f"辞退 {number} 対象外")
    await town.says("ishii", "取消")
    assert "decline_taken_back" in await town.kinds("suzuki")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    assert await state(town, number, 2) == "offered"


async def test_a_volunteer_says_it_is_difficult_and_nobody_asks_why(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 見守り 民生委員北部")
    card = await town.last("yamamoto", "offer")
    assert [c.says.split()[0] for c in card.choices] == ["引受", "難しい"]
    await town.says("yamamoto", "難しいです")
    assert await state(town, number) == "declined"
    told = await town.last("suzuki", "declined")
    assert "その他" not in told.text + str(told.facts)


# -- taking back


async def test_before_acceptance_the_sender_takes_it_back_afterwards_the_coordinator_decides(town: Town) -> None:
    number = await offered(town)
    await town.says("suzuki", f"取下げ {number}")
    assert await state(town, number) == "withdrawn" and "withdrawn" in await town.kinds("ishii")
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await town.says("ishii", f"引受 {number}")
    await town.says("suzuki", f"取下げ {number}#2")
    assert await state(town, number, 2) == "accepted", "it is the coordinator's to decide"
    assert await due(town, number, "withdrawal") == "06-02 09:00"
    await town.refused("suzuki", f"そのまま {number}", "CoordinatorsOnly")
    await town.says("takahashi", f"そのまま {number}")
    assert "withdrawal_refused" in await town.kinds("suzuki") and "withdrawal" not in await kinds_of(town, number)
    await town.says("suzuki", f"取下げ {number}#2")
    await town.says("takahashi", f"取下げ {number}#2")
    assert await state(town, number, 2) == "withdrawn"
    assert (await town.case(number)).wait("next_step").owner == "coordinator"  # type: ignore[union-attr]
    assert (await town.kinds("ishii"))[-1] == "withdrawn"


# -- by proxy


async def test_an_answer_given_by_phone_is_written_down_and_the_person_may_object(town: Town) -> None:
    number = await offered(town)
    await town.says("suzuki", f"代理 {number} ともしび/近藤 引受 電話")
    handoff = (await town.case(number)).handoff(1)
    assert handoff is not None and (handoff.state, handoff.holder) == ("accepted", "kondo")
    assert handoff.proxy is not None and (handoff.proxy.by, handoff.proxy.means) == ("suzuki", "phone")
    assert "proxy_told" in await town.kinds("kondo")
    await town.presses("kondo", "ちがいます")
    assert "proxy_objected" in await town.kinds("takahashi")
    assert (await town.case(number)).wait("withdrawal") is not None
    await town.says("takahashi", f"誤登録 {number}")
    assert await state(town, number) == "mistake"


async def test_after_two_business_days_nobody_objects_any_more(town: Town) -> None:
    number = await offered(town)
    await town.says("suzuki", f"代理 {number} ともしび/近藤 引受 FAX")
    await town.later(business_days=3)
    await town.refused("kondo", f"ちがいます {number}", "DayOutOfRange")


async def test_a_no_written_down_for_somebody_is_told_and_can_be_objected_to(town: Town) -> None:
    number = await offered(town)
    await town.says("takahashi", f"代理 {number} ともしび/近藤 辞退 定員")
    assert "proxy_told" in await town.kinds("kondo")
    await town.says("kondo", f"ちがいます {number}")
    wait = (await town.case(number)).wait("next_step")
    assert wait is not None and wait.owner == "coordinator", "the coordinator puts it right"


async def test_only_sender_and_coordinator_write_down_for_others(town: Town) -> None:
    number = await offered(town)
    await town.refused("sato", f"代理 {number} ともしび/近藤 引受", "NotYourCase")
    await town.refused("kondo", f"代理 {number} ともしび/石井 引受", "NotYours")


# -- inside an agency


async def test_a_head_gives_an_open_offer_to_a_member(town: Town) -> None:
    number = await offered(town, "就労相談", "ひばり")
    await town.refused("mori", f"割当 {number} 吉田", "HeadsOnly")
    await town.says("matsumoto", f"割当 {number} 原田")
    handoff = (await town.case(number)).handoff(1)
    assert handoff is not None and (handoff.state, handoff.holder) == ("accepted", "harada")
    assert "assigned" in await town.kinds("harada")
    await town.says("matsumoto", f"割当 {number} 石川")
    assert (await town.case(number)).handoff(1).holder == "ishikawa"  # type: ignore[union-attr]
    assert "assigned_away" in await town.kinds("harada")


async def test_a_head_holds_until_the_next_member_takes_over(town: Town) -> None:
    number = await offered(town, "就労相談", "ひばり")
    await town.says("mori", f"引受 {number}")
    await town.says("matsumoto", f"預かる {number}")
    assert await due(town, number, "head_holds") == "06-15 09:00"
    assert "first_contact" not in await kinds_of(town, number)
    await town.says("harada", f"引受 {number}")
    handoff = (await town.case(number)).handoff(1)
    assert handoff is not None and handoff.holder == "harada" and not handoff.held_by_head
    assert "taken_over" in await town.kinds("matsumoto")
    assert "first_contact" in await kinds_of(town, number) and "head_holds" not in await kinds_of(town, number)


async def test_everything_at_once(town: Town) -> None:
    first, second = await offered(town), await offered(town)
    shown = await town.tries("ishii", "まとめて引受")
    assert shown.refused == "WordsMissing" and [c.says for c in shown.messages[0].choices] == [
        "まとめて引受 はい",
        "つぎへ",
    ]
    await town.says("ishii", "1")
    assert (await state(town, first), await state(town, second)) == ("accepted", "accepted")


# -- urgency


async def test_an_emergency_offer_reaches_receiver_head_and_coordinator_together(town: Town) -> None:
    number = await town.intake("suzuki", "介護 困窮", "緊急")
    await town.says("suzuki", f"根拠 {number} ひばり 生命")
    await town.says("suzuki", f"依頼 {number} 就労相談 ひばり")
    for who in ("mori", "matsumoto", "takahashi"):
        card = await town.last(who, "offer")
        assert any("04-0000" in value for _, value in card.facts), f"{who} sees numbers to dial"
    await town.later(hours=3)
    assert await state(town, number) == "expired", "two hours of wall-clock time"
    assert moment((await town.case(number)).handoff(1).ended_at) == "06-01 11:00"  # type: ignore[union-attr, arg-type]


async def test_raising_the_urgency_arms_every_wait_anew(town: Town) -> None:
    number = await offered(town)
    await town.says("suzuki", f"依頼 {number} 就労相談 つばさ")
    await town.says("sato", f"引受 {number}")
    before = {w.kind: w.due_at for w in (await town.case(number)).waits}
    await town.later(hours=1)
    await town.says("sato", f"急ぎ {number}")  # anyone on the case may raise it
    case = await town.case(number)
    after = {w.kind: w.due_at for w in case.waits}
    assert after.keys() == before.keys()
    assert all(after[k] < before[k] for k in ("react", "first_contact", "movement_intake"))
    assert await due(town, number, "react") == "06-01 15:00"
    assert {w.urgency.value for w in case.waits} == {"high"}
    for who in ("suzuki", "ishii"):
        assert "urgency_raised" in await town.kinds(who)


async def test_lowering_needs_the_lead_and_a_code(town: Town) -> None:
    number = await offered(town)
    await town.says("suzuki", f"急ぎ {number}")
    await town.refused("ishii", f"通常 {number} 落ち着いた", "LeadOnly")
    await town.refused("suzuki", f"通常 {number}", "WordsMissing")
    due_high = await due(town, number, "react")
    await town.says("suzuki", f"通常 {number} 落ち着いた")
    assert await due(town, number, "react") == due_high, "lowering touches only new waits"


async def test_a_late_offer_becomes_an_emergency_and_rings_the_new_ladder_at_once(town: Town) -> None:
    number = await offered(town)
    await town.later(until=town.place.agencies["tomoshibi"].hours.add_days(town.now, 2) + timedelta(hours=1))
    await town.says("suzuki", f"緊急 {number}")
    await town.later(minutes=1)
    assert (await rings(town, "react"))[-1] == (moment(town.now - timedelta(minutes=1)), "roster", "#tomoshibi ogawa")
    await town.later(hours=2)
    assert await state(town, number) == "expired"


@pytest.mark.parametrize(
    ("code", "label", "says"),
    [
        ("情報不足", "家計改善ともしびにもう一度", "budget tomoshibi"),
        ("通訳が必要", "通訳つきで家計改善ともしびに", "budget tomoshibi 再度"),
        ("担当不在", "代理の石井さんに", "budget tomoshibi/ishii 再度"),
    ],
)
async def test_a_no_proposes_what_its_code_says(lite: Town, code: str, label: str, says: str) -> None:
    """Declines help (workflow.md §2): the code names the next step, and its button does it."""
    number = await lite.consented()
    await lite.says("suzuki", f"依頼 {number} 家計相談 ともしび/近藤")
    await lite.says("kondo", f"辞退 {number} {code}")
    card = await lite.last("suzuki", "declined")
    assert (card.choices[0].label, card.choices[0].says) == (label, f"依頼 {number} {says}")
    assert [c.style for c in card.choices].count("primary") == 1 and len(card.choices) > 2
    await lite.presses("suzuki", label)
    await lite.says("suzuki", "送る")
    assert await state(lite, number, 2) == "offered"
