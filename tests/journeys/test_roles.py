"""Holding a role: first contact, check-ins, worries, rest, the end; and the result that comes back to whoever sent it."""

from datetime import datetime, timedelta

import pytest

from tests.journeys.rings import due, rings
from tests.journeys.test_every_edge import watching
from tests.town import TOKYO, Town
from workflow.case import Handoff


async def handoff(town: Town, number: str, no: int = 1) -> Handoff:
    found = (await town.case(number)).handoff(no)
    assert found is not None
    return found


async def active(town: Town) -> str:
    number = await town.accepted()
    await town.says("ishii", f"つながった {number}")
    return number


async def watched(town: Town) -> str:
    """In 見守り, with a watcher who has been there once."""
    number = await watching(town)
    await town.says("yamamoto", f"会えた {number}")
    return number


async def waits(town: Town, number: str) -> list[str]:
    return [w.kind for w in (await town.case(number)).waits]


async def test_the_sender_watches_until_the_result_has_come_back(town: Town) -> None:
    """I23."""
    number = await town.accepted()
    assert (await town.kinds("suzuki")) == ["accepted"]
    await town.says("ishii", f"会えた {number}")
    assert (await handoff(town, number)).state == "active" and "result" in await waits(town, number)
    assert await town.kinds("suzuki") == ["accepted", "connected"]
    await town.later(days=31)
    await town.presses("ishii", "会えた・変わりなし")
    assert "result" not in await waits(town, number)
    assert (await town.kinds("suzuki"))[-1] == "result"
    assert await due(town, number, "checkin") == "08-03 09:00"


async def test_a_role_that_does_not_meet_the_person_reports_once(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 助言 ともしび")
    await town.says("ishii", f"引受 {number}")
    await town.says("ishii", f"つながった {number}")
    assert (await handoff(town, number)).result_at == town.now and "result" not in await waits(town, number)


async def test_a_worry_at_the_first_meeting_is_not_lost(town: Town) -> None:
    number = await town.accepted()
    await town.says("ishii", f"気になる {number}")
    assert (await handoff(town, number)).state == "active"
    assert "worry" in await town.kinds("suzuki") and "talk" in await waits(town, number)


async def test_the_third_time_nobody_was_met_outreach_is_proposed(town: Town) -> None:
    number = await town.accepted()
    for n in (1, 2):
        await town.says("ishii", f"会えず {number}")
        assert (await handoff(town, number)).attempts == n and "outreach_proposed" not in await town.kinds("takahashi")
        await town.later(business_days=3)
    await town.says("ishii", f"留守 {number}")
    card = await town.last("takahashi", "outreach_proposed")
    assert any("若者ステーション若葉" in c.label for c in card.choices), "the proposal names who could go there"
    assert (await handoff(town, number)).state == "accepted", "a human decides"


async def test_not_met_twice_is_a_safety_check_the_same_day(town: Town) -> None:
    number = await active(town)
    await town.says("ishii", f"会えず {number}")
    assert await due(town, number, "checkin") == "06-08 09:00", "asked again in a week"
    await town.later(days=7)
    await town.says("ishii", f"会えず {number}")
    assert await due(town, number, "safety") == "06-08 17:15", "the same day"
    assert "safety" in await town.kinds("takahashi") and "safety" in await town.kinds("suzuki")
    await town.says("takahashi", f"話しました {number}")
    assert "safety" not in await waits(town, number)
    assert "request_answered" in await town.kinds("ishii")


async def test_in_a_harsh_month_the_question_comes_again_in_three_days(town: Town) -> None:
    await town.later(until=datetime(2026, 7, 6, 9, tzinfo=TOKYO))
    number = await active(town)
    await town.says("ishii", f"会えず {number}")
    assert await due(town, number, "checkin") == "07-09 09:00"


async def test_having_met_after_all_ends_the_safety_check(town: Town) -> None:
    number = await active(town)
    await town.says("ishii", f"会えず {number}")
    await town.says("ishii", f"会えず {number}")
    await town.says("ishii", f"変わりなし {number}")
    assert "safety" not in await waits(town, number)


async def test_the_interval_grows_only_by_a_humans_yes(town: Town) -> None:
    number = await active(town)
    await town.refused("suzuki", f"間隔 {number} 2か月", "LengthenByProposalOnly")
    for _ in range(3):
        await town.says("ishii", f"変わりなし {number}")
        await town.later(days=31)
    assert (await handoff(town, number)).lengthen and (await handoff(town, number)).cadence == ""
    card = await town.last("suzuki", "lengthen_proposed")
    assert [c.says for c in card.choices] == [f"間隔 {number} 2か月 延ばす", f"間隔 {number} 3か月 延ばす"]
    await town.refused("suzuki", f"間隔 {number} 12か月 延ばす", "DayOutOfRange")
    await town.says("suzuki", f"間隔 {number} 3か月 延ばす")
    assert (await handoff(town, number)).cadence == "3mo" and "lengthened" in await town.kinds("ishii")


async def test_a_short_interval_stays_short_when_it_is_urgent(town: Town) -> None:
    number = await watching(town)
    await town.says("suzuki", f"間隔 {number} 毎週")
    await town.says("suzuki", f"急ぎ {number}")
    await town.says("yamamoto", f"変わりなし {number}")
    assert await due(town, number, "checkin", "watch") == "06-08 10:00", "a week, not HIGH's two"


async def test_a_watcher_has_four_answers_and_no_forms(town: Town) -> None:
    number = await watched(town)
    await town.later(days=30, hours=2)
    card = await town.last("yamamoto", "ring")
    assert [c.says.split()[0] for c in card.choices] == [
        "変わりなし",
        "気になる",
        "姿は見た",
        "会えず",
        "電話",
        "難しい",
    ]
    await town.presses("yamamoto", "姿や明かりは見た")
    assert "checkin.seen" in await town.lines(number)
    await town.later(days=31)
    await town.says("yamamoto", "難しいです")
    assert "checkin_cannot" in await town.kinds("suzuki")
    assert (await handoff(town, number, 2)).state == "active", "a difficult week ends nothing"


async def test_a_silent_watcher_is_missed_by_deputy_lead_and_coordinator(town: Town) -> None:
    number = await watched(town)
    assert await due(town, number, "checkin", "watch") == "07-01 10:00"
    await town.says("ishii", f"役割終了 {number}")
    await town.later(days=40)
    assert [(at, who) for at, _, who in await rings(town, "checkin")][:5] == [
        ("07-01 10:00", "yamamoto"),
        ("07-03 10:00", "yamamoto"),
        ("07-05 10:00", "abe"),
        ("07-06 10:00", "suzuki"),
        ("07-08 10:00", "takahashi shimizu nakajima"),
    ], "calendar days, ten to five"


async def test_a_phone_call_wanted_at_a_check_in_is_the_leads_today(town: Town) -> None:
    number = await active(town)
    await town.later(days=30)
    await town.presses("ishii", "電話がほしい")
    assert "phone_wanted" in await town.kinds("suzuki")
    await town.presses("suzuki", "話しました")
    assert "talk" not in await waits(town, number) and "request_answered" in await town.kinds("ishii")


async def test_an_answer_is_taken_back_and_the_question_is_open_again(town: Town) -> None:
    number = await active(town)
    await town.says("ishii", f"気になる {number}")
    await town.says("ishii", "まちがえた")
    assert "talk" not in await waits(town, number) and "checkin_corrected" in await town.kinds("suzuki")
    assert (await town.case(number)).wait("checkin").due_at == town.now + timedelta(minutes=1)  # type: ignore[union-attr]


async def test_a_role_rests_and_comes_back(town: Town) -> None:
    number = await active(town)
    await town.refused("ishii", f"一時休み {number} 12/1", "DayOutOfRange")
    await town.says("ishii", f"一時休み {number} 7/1")
    assert (
        await waits(town, number) == ["movement_intake", "on_hold"]
        and await due(town, number, "on_hold") == "07-01 17:00"
    )
    assert "on_hold" in await town.kinds("suzuki")
    await town.says("ishii", f"再開 {number}")
    assert (await handoff(town, number)).state == "active" and "resumed" in await town.kinds("suzuki")


async def test_a_released_role_is_the_coordinators_for_two_business_days(town: Town) -> None:
    number = await active(town)
    await town.says("ishii", f"戻す {number}")
    assert "released_told" in await town.kinds("takahashi") and "released_told" in await town.kinds("suzuki")
    wait = (await town.case(number)).wait("next_step")
    assert wait is not None and wait.owner == "coordinator" and await due(town, number, "next_step") == "06-03 09:00"
    assert {i.status for i in (await town.case(number)).issues} == {"open"}


async def test_a_released_lead_falls_to_the_coordinating_body_in_the_same_breath(town: Town) -> None:
    """I1."""
    number = await town.consented()
    await town.says("takahashi", f"担当替え {number} つばさ")
    await town.says("sato", f"引受 {number}")
    await town.says("sato", f"戻す {number}")
    case = await town.case(number)
    assert (case.lead, case.interim) == (None, "suishin") and await due(town, number, "interim") == "06-15 09:00"
    assert "interim" in await town.kinds("shimizu")
    await town.says("shimizu", f"担当替え {number} 社協/坂本")
    await town.says("sakamoto", f"引受 {number}")
    assert (await town.case(number)).lead == "sakamoto"
    assert "interim" not in await waits(town, number)


async def test_interim_at_a_word_of_the_coordinator(town: Town) -> None:
    number = await town.consented()
    await town.refused("suzuki", f"仮担当 {number}", "CoordinatorsOnly")
    await town.says("takahashi", f"仮担当 {number}")
    assert (await town.case(number)).interim == "suishin" and "interim" in await town.kinds("suzuki")
    await town.refused("takahashi", f"仮担当 {number}", "AlreadyDone")


async def test_somebody_who_is_neither_hears_whose_it_is(town: Town) -> None:
    number = await active(town)
    refusal = await town.refused("kondo", f"役割終了 {number}", "NotYours")
    assert "石井" in refusal.text
    await town.refused("mori", f"つながった {number}", "NotYourCase")


async def test_a_deputy_acts_while_the_holder_is_away(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび/近藤")
    await town.says("kondo", f"引受 {number}")
    await town.says("kondo", "不在 今日 6/30")
    await town.says("ishii", f"つながった {number}")
    await town.later(days=7, until=datetime(2026, 6, 9, 9, tzinfo=TOKYO))
    assert (await handoff(town, number)).state == "active" and (await handoff(town, number)).holder == "kondo"


async def test_an_offer_to_a_person_who_is_away_reaches_the_deputy(town: Town) -> None:
    number = await town.consented()
    await town.says("mori", "不在 今日 6/30")
    await town.says("suzuki", f"依頼 {number} 就労相談 ひばり/森")
    await town.later(business_days=2)
    assert "ring:react" in await town.kinds("yoshida")
    await town.says("yoshida", f"引受 {number}")
    assert (await handoff(town, number)).holder == "yoshida"


async def test_while_the_lead_is_away_the_deputy_is_asked(town: Town) -> None:
    number = await town.consented()
    await town.says("fujiwara", "不在 鈴木 今日 6/30")
    await town.later(business_days=4)
    assert "ring:movement_intake" in await town.kinds("tanaka")
    await town.says("tanaka", f"困りごと {number} 債務 望む")
    await town.refused("saito", f"困りごと {number} 債務 望む", "NotYourCase")


async def test_a_coordinator_is_not_absent_without_a_deputy(town: Town) -> None:
    await town.says("takahashi", "不在 明日 6/5")
    await town.says("aoki", "不在 清水 明日 6/5 代理 青木")
    await town.refused("sato", "不在 井上 明日 6/5 代理 木村", "HeadsOnly")
    await town.refused("sato", "不在 明日 2/30", "NoSuchDay")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("不在 明日 昨日", "FirstThenLastDay"), ("不在 6/12 6/10", "FirstThenLastDay"), ("不在 明日 6/3 6/5", "FirstThenLastDay"),
        ("不在 5/20 5/25", "FirstThenLastDay"), ("不在 昨日", "FirstThenLastDay"), ("休み 5/10", "FirstThenLastDay"),
        ("休み 2/30", "NoSuchDay"), ("不在 明日 2028-01-01", "DayOutOfRange"),
    ],
)  # fmt: skip
async def test_no_day_of_an_absence_is_passed_over(lite: Town, words: str, name: str) -> None:
    await lite.refused("suzuki", words, name)
    assert not (await lite.app.store.read(lite.app.towns.of)).absences


@pytest.mark.parametrize(
    "words", ["不在 6/3-6/5", "不在 6/3〜6/5", "不在 6月3日～6月5日", "不在 6/3から6/5まで", "不在 昨日 6/5"]
)
async def test_an_absence_lasts_until_the_end_of_its_last_day(lite: Town, words: str) -> None:
    await lite.says("suzuki", words)
    (away,) = (await lite.app.store.read(lite.app.towns.of)).absences
    assert away.end.astimezone(lite.place.tz).isoformat() == "2026-06-06T00:00:00+09:00"


async def test_a_name_before_the_days_of_somebody_who_is_no_head_is_asked_about(town: Town) -> None:
    """「不在 井上 明日」: 井上's absence, or one's own with 井上 as deputy? Nothing is guessed, nothing unknown is passed over."""
    refusal = await town.refused("sato", "不在 井上 明日", "WhoseAbsence")
    assert "井上" in refusal.text and refusal.choices[0].says == "不在 明日 代理 inoue"
    await town.refused("sato", "不在 いのうええ 明日", "NoSuchPerson")
    await town.says("sato", refusal.choices[0].says)
    assert "absence" in await town.kinds("inoue")
    place = await town.app.store.read(town.app.towns.of)
    assert [(a.staff, a.deputy) for a in place.absences] == [("sato", "inoue")]
    await town.says("sato", "不在 6/10から 6/12まで 井上")
    await town.says("fujiwara", "不在 鈴木 6/20 お願いします")
    place = await town.app.store.read(town.app.towns.of)
    assert [(a.staff, a.deputy) for a in place.absences][1:] == [("sato", "inoue"), ("suzuki", "tanaka")]


async def test_a_volunteer_rests_whenever_they_like(town: Town) -> None:
    number = await watched(town)
    await town.later(until=datetime(2026, 6, 30, 12, tzinfo=TOKYO))
    await town.says("yamamoto", "お休み")
    assert "absence" in await town.kinds("suzuki")
    await town.later(days=2)
    assert [who for _, _, who in await rings(town, "checkin")][-1] != "yamamoto"
    assert "ring:checkin" in await town.kinds("abe"), "the deputy is asked meanwhile"
    assert (await handoff(town, number, 2)).holder == "yamamoto"


async def test_a_wait_is_given_a_later_day_twice_at_most(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"期限延長 {number} 6/10")
    assert await due(town, number, "movement_intake") == "06-10 17:15"
    await town.says("suzuki", f"期限延長 {number} 6/17")
    await town.refused("suzuki", f"期限延長 {number} 6/24", "ExtendedTwice")
    await town.refused("suzuki", f"期限延長 {number} 2027-01-01", "ExtendedTwice")
    await town.refused("sato", f"期限延長 {number} 6/24", "NotYourCase")


@pytest.mark.parametrize(
    ("said", "falls_due"),
    [("6/10", "06-10 16:00"), ("6/10 9:00", "06-10 10:00"), ("6/10 15:30", "06-10 15:30"), ("6/9", "06-10 16:00"), ("6/9 14:00", "06-10 10:00")],
)  # fmt: skip
async def test_a_later_day_lies_in_the_hours_of_whoever_has_to_act(lite: Town, said: str, falls_due: str) -> None:
    """§3: business time of the receiving agency; the 国際交流サロン is open on Mondays, Wednesdays and Fridays from ten to four."""
    number = await lite.consented("suzuki")
    await lite.says("suzuki", f"依頼 {number} 通訳 国際交流サロン")
    await lite.says("takahashi", f"期限延長 {number}#1 {said}")
    assert await due(lite, number, "react") == falls_due


async def test_time_asked_for_lies_in_ones_own_hours(lite: Town) -> None:
    number = await lite.consented("suzuki")
    await lite.says("suzuki", f"依頼 {number} 通訳 国際交流サロン")
    await lite.says("nguyen", f"検討 {number} 6/3 9:00")
    assert await due(lite, number, "decide") == "06-03 10:00"


async def test_only_the_coordinator_extends_what_is_not_the_leads(town: Town) -> None:
    number = await town.accepted()
    await town.says("takahashi", f"期限延長 {number} 6/12")
    await town.says("takahashi", f"期限延長 {number} 6/15")
    found = {w.kind: w.extended for w in (await town.case(number)).waits}
    assert sum(found.values()) == 2


async def test_of_several_waits_alike_only_the_one_named_gets_a_later_day(town: Town) -> None:
    number = await town.consented()
    for duty, agency, who in (("家計相談", "ともしび", "ishii"), ("就労相談", "つばさ", "sato")):
        await town.says("suzuki", f"依頼 {number} {duty} {agency}")
        await town.says(who, f"辞退 {number} 定員")
    await town.says("suzuki", f"相談 {number}")
    before = await town.case(number)
    talk = next(w for w in before.waits if w.kind == "talk")
    refusal = await town.refused("suzuki", f"期限延長 {number} 6/10 next_step", "WhichWait")
    assert [c.label for c in refusal.choices][:2] == ["家計相談", "就労相談"]
    await town.says("suzuki", refusal.choices[1].says)
    after = {w.subject: w.due_at for w in (await town.case(number)).waits if w.kind == "next_step"}
    first = {w.subject: w.due_at for w in before.waits if w.kind == "next_step"}
    assert after["work"] > first["work"] and after["budget"] == first["budget"]
    await town.says("takahashi", f"相談 {number}")
    refusal = await town.refused("takahashi", f"期限延長 {number} 6/2 talk", "WhichWait")
    await town.says("takahashi", refusal.choices[0].says)
    moved = [w.due_at > talk.due_at for w in (await town.case(number)).waits if w.kind == "talk"]
    assert sorted(moved) == [False, True]


async def test_a_later_day_is_taken_back(town: Town) -> None:
    """§5: 取消 is only ever another legal move, here extend back."""
    number = await town.intake()
    before = await due(town, number, "screening")
    await town.says("suzuki", f"期限延長 {number} 6/10")
    assert await due(town, number, "screening") == "06-10 17:15" != before
    await town.says("suzuki", "取消")
    assert await due(town, number, "screening") == before
    await town.refused("suzuki", "取消", "NothingToUndo")


async def test_the_button_of_a_later_day_moves_its_own_wait(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await town.says("ishii", f"辞退 {number} 定員")
    await town.says("suzuki", f"同意 {number} 未")
    await town.later(until=datetime(2026, 6, 15, 12, tzinfo=TOKYO))
    card = await town.last("suzuki", "ring")
    later = next(c for c in card.choices if c.says.startswith("期限延長"))
    kind = later.says.split()[-1]
    await town.says("suzuki", later.says)
    changed = [w for w in (await town.case(number)).waits if w.extended]
    assert [w.subject or w.kind for w in changed] == [kind]


async def test_after_downtime_only_the_newest_state_is_told(town: Town) -> None:
    number = await town.accepted()
    await town.app.turner.jump(town.now + timedelta(days=14))
    found = await rings(town, "first_contact")
    assert [(act, who) for _, act, who in found] == [
        ("remind", "ishii"),
        ("tell", "suzuki"),
        ("queue", "takahashi shimizu nakajima"),
    ]
    assert len({at for at, _, _ in found}) == 1
    await town.later(days=1)
    assert len(await rings(town, "first_contact")) == 3
    assert await waits(town, number) == ["movement_intake", "first_contact", "queue", "queue"]
