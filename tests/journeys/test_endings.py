"""Closing in its three ways, resting, coming back, 逝去; and the facts that a stage asks for."""

from datetime import datetime
from pathlib import Path

import pytest

from adapters.base import Caps, Delivery, Parcel, Refused, Sent, Unknown
from storage import people
from tests.journeys.rings import due, rings
from tests.journeys.test_every_edge import untangling, watching
from tests.town import TOKYO, Town, sample


async def waits(town: Town, number: str) -> list[str]:
    return [w.kind for w in (await town.case(number)).waits]


# -- (a) at once


@pytest.mark.parametrize("reason", ["情報提供のみ", "誤登録", "重複"])
async def test_what_was_only_a_question_the_lead_closes_alone(town: Town, reason: str) -> None:
    number = await town.intake()
    await town.says("suzuki", f"終結 {number} {reason}")
    case = await town.case(number)
    assert not case.open and not case.waits


async def test_not_so_when_somebody_has_accepted_or_danger_was_suspected(town: Town) -> None:
    number = await town.accepted()
    await town.refused("suzuki", f"終結 {number} 情報提供のみ", "FactsMissing")
    number = await town.intake()
    await town.says("suzuki", f"虐待 {number} 高齢")
    assert "abuse" in await town.kinds("watanabe") and "abuse" in await town.kinds("takahashi")
    refusal = await town.refused("suzuki", f"終結 {number} 情報提供のみ", "FactsMissing")
    assert refusal.choices, "it says what to do"


async def test_beyond_the_intake_the_same_reason_needs_a_second_person(town: Town) -> None:
    number = await untangling(town)
    await town.says("suzuki", f"終結 {number} 情報提供のみ")
    assert (await town.case(number)).open and await waits(town, number) == ["movement_untangling", "closing_notice"]


async def test_what_leads_have_closed_alone_stands_in_the_coordinators_weekly_list(town: Town) -> None:
    first, second = await town.intake(), await town.intake("sato")
    await town.says("suzuki", f"終結 {first} 情報提供のみ")
    await town.later(days=2)
    await town.says("sato", f"終結 {second} 誤登録")
    await town.later(until=datetime(2026, 6, 8, 8, 29, tzinfo=TOKYO))
    assert "closings_wanted" not in await town.kinds("takahashi")
    await town.later(minutes=2)
    for who in ("takahashi", "shimizu"):
        card = await town.last(who, "closings_wanted")
        assert [a for a, _ in card.facts] == [first, second] and "2件" in card.text
        assert "鈴木さん 6/1(月)" in card.facts[0][1] and card.facts[1][1].startswith("誤登録")
    assert "closings_wanted" not in await town.kinds("suzuki")
    await town.presses("takahashi", second)
    third = await town.intake()
    await town.later(days=21)
    await town.says("suzuki", f"終結 {third} 重複")
    await town.later(days=14)
    assert (await town.kinds("takahashi")).count("closings_wanted") == 2, "a week without one has no list"
    assert [a for a, _ in (await town.last("takahashi", "closings_wanted")).facts] == [third]


# -- (b) a second person


async def test_the_lead_proposes_and_a_second_person_approves_after_the_notice(town: Town) -> None:
    number = await town.supported()
    refusal = await town.refused("suzuki", f"終結 {number}", "WordsMissing")
    assert "死亡" not in [c.label for c in refusal.choices]
    await town.says("suzuki", f"終結 {number} 目標達成・安定")
    assert "closing_proposed" in await town.kinds("ishii")
    assert await due(town, number, "closing_notice") == "06-08 09:00"
    await town.refused("takahashi", f"承認 {number}", "DayOutOfRange")
    await town.later(business_days=5, minutes=1)
    assert "approve_please" in await town.kinds("takahashi")
    await town.refused("suzuki", f"承認 {number}", "SecondPersonNeeded")
    await town.refused("ishii", f"承認 {number}", "SecondPersonNeeded")
    await town.says("takahashi", "承認")
    case = await town.case(number)
    assert case.stage == "closed" and not case.waits and {h.state for h in case.handoffs} == {"completed"}
    assert "closed" in await town.kinds("ishii")
    await town.refused("suzuki", f"移す {number} 支援", "CaseClosed")


async def test_what_comes_next_is_what_the_words_have_opened_and_never_past(lite: Town) -> None:
    number = await lite.supported()
    await lite.later(days=35)
    before = (await lite.tries("suzuki", f"終結 {number} 目標達成・安定")).messages[0]
    told = await lite.presses("suzuki", "送る")
    assert "decision" in [w.kind for w in (await lite.case(number)).waits if w.due_at < lite.now]
    assert dict(told.facts)["つぎは"] == "区切りのお知らせ 7/13(月) 9:00"
    assert "区切りのお知らせは 7/13(月) 9:00 までです。" in before.text


async def test_no_timer_closes_anything(town: Town) -> None:
    """I5."""
    number = await town.supported()
    await town.says("suzuki", f"終結 {number} 目標達成・安定")
    await town.later(days=60)
    assert (await town.case(number)).open
    assert [who for _, _, who in await rings(town, "approval")][:3] == ["takahashi", "shimizu", "watanabe ogawa"]


async def test_whoever_proposed_does_not_approve(town: Town) -> None:
    number = await town.supported()
    await town.says("takahashi", f"終結 {number} 転出")
    await town.later(business_days=5, minutes=1)
    await town.refused("takahashi", f"承認 {number}", "SecondPersonNeeded")
    assert "approve_please" in await town.kinds("shimizu")
    await town.says("aoki", f"承認 {number}")
    assert not (await town.case(number)).open


async def test_anybodys_unease_stops_a_closing(town: Town) -> None:
    number = await watching(town)
    await town.says("suzuki", f"終結 {number} 目標達成・安定")
    await town.says("yamamoto", f"気がかり {number}")
    assert "closing_stopped" in await town.kinds("suzuki")
    assert (await town.case(number)).proposal is None and "closing_notice" not in await waits(town, number)
    await town.refused("takahashi", f"承認 {number}", "NothingToAnswer")


async def test_unease_at_any_other_time_is_the_leads_today(town: Town) -> None:
    number = await watching(town)
    await town.says("yamamoto", f"気がかり {number}")
    assert "concern_wanted" in await town.kinds("suzuki") and await due(town, number, "talk") == "06-01 17:15"


async def test_no_contact_is_no_reason_without_its_procedure(town: Town) -> None:
    number = await town.supported()
    refusal = await town.refused("suzuki", f"終結 {number} 連絡不通", "FactsMissing")
    assert refusal.choices
    await town.says("suzuki", f"終結 {number} 連絡不通 手順済")
    proposal = (await town.case(number)).proposal
    assert proposal is not None and proposal.procedure


async def test_nothing_is_closed_while_an_offer_is_open(town: Town) -> None:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    await town.refused("suzuki", f"終結 {number} 転出", "FactsMissing")


async def test_a_proposal_is_taken_back(town: Town) -> None:
    number = await town.supported()
    await town.says("suzuki", f"終結 {number} 転出")
    await town.refused("suzuki", f"終結 {number} 転出", "AlreadyDone")
    await town.says("suzuki", "取消")
    assert (await town.case(number)).proposal is None


async def test_a_proposal_that_would_leave_nobody_is_refused(databases: object, tmp_path: object) -> None:
    """Two possible approvers: one leads, the other proposes."""
    doc = sample()
    kept = {"takahashi", "watanabe"}
    doc["staff"] = [
        s
        for s in doc["staff"]
        if s["code"] in kept
        or not any(p["role"] in ("coordinator", "official") or p["agency"] == "suishin" for p in s.get("posts") or [s])
    ]
    town = await Town.found(databases.sqlite(), tmp_path, doc=doc)  # type: ignore[attr-defined]
    number = await town.intake("watanabe")
    await town.refused("takahashi", f"終結 {number} 転出", "ProposedByLeadPlease")
    await town.says("watanabe", f"終結 {number} 転出")
    await town.close()


# -- (c) 逝去


async def test_after_a_death_nobody_is_asked_anything_but_the_approver(town: Town) -> None:
    """I27."""
    number = await watching(town)
    await town.says("suzuki", f"依頼 {number} 就労相談 つばさ")
    await town.says("suzuki", f"相談 {number}")
    seen = {who: len(await town.kinds(who)) for who in ("ishii", "yamamoto", "sato", "inoue", "fujiwara")}
    await town.says("suzuki", f"逝去 {number}")
    case = await town.case(number)
    assert await waits(town, number) == ["approval"] and not case.asked
    await town.refused("suzuki", f"依頼 {number} 居場所 社協", "DeceasedQuiet")
    await town.refused("suzuki", f"移す {number} 支援", "DeceasedQuiet")
    await town.refused("suzuki", f"急ぎ {number}", "DeceasedQuiet")
    await town.refused("suzuki", f"逝去 {number}", "DeceasedQuiet")
    await town.later(days=100)
    for who, before in seen.items():
        assert set((await town.kinds(who))[before:]) <= {"death"}, who
        for _, card in await town.reads(who):
            if card.number == number and card.kind != "answer":
                assert not card.choices, f"{who} still has buttons on {card.title}"
    await town.says("takahashi", f"承認 {number}")
    assert not (await town.case(number)).open, "without notice"


async def test_a_death_may_not_be_written_outside(town: Town) -> None:
    number = await town.accepted()
    answered = await town.tries("suzuki", f"逝去 {number}", surface="console")
    assert answered.refused is None
    await town.refused("ishii", f"逝去 {number}", "LeadOnly")


# -- resting


async def test_a_case_rests_with_its_roles_and_comes_back_with_them(town: Town) -> None:
    number = await watching(town)
    await town.says("yamamoto", f"会えた {number}")
    await town.says("suzuki", f"依頼 {number} 就労相談 つばさ")
    await town.says("suzuki", f"中断 {number} 7/1")
    assert await due(town, number, "approval") == "06-03 09:00", "two business days, no notice"
    await town.refused("suzuki", f"承認 {number}", "SecondPersonNeeded")
    await town.says("takahashi", f"承認 {number}")
    case = await town.case(number)
    assert case.stage == "suspended" and {h.state for h in case.handoffs} == {"on_hold", "withdrawn"}
    assert "withdrawn" in await town.kinds("sato") and "suspended" in await town.kinds("ishii")
    assert (
        set(await waits(town, number)) == {"recheck", "decision"}
        and await due(town, number, "recheck") == "07-01 17:15"
    )
    await town.later(until=datetime(2026, 7, 1, 18, tzinfo=TOKYO))
    assert "ring:recheck" in await town.kinds("suzuki") and "ring:on_hold" not in await town.kinds("ishii")
    await town.says("suzuki", f"再開 {number}")
    case = await town.case(number)
    assert case.stage == "watching" and [h.state for h in case.handoffs] == ["active", "active", "withdrawn"]
    assert "case_resumed" in await town.kinds("yamamoto")


async def test_a_rest_has_a_day_within_three_months(town: Town) -> None:
    number = await untangling(town)
    await town.refused("suzuki", f"中断 {number} 2026-12-01", "DayOutOfRange")
    await town.refused("suzuki", f"中断 {number} 2/30", "NoSuchDay")
    await town.says("suzuki", f"中断 {number}")
    proposal = (await town.case(number)).proposal
    assert proposal is not None and proposal.recheck == datetime(2026, 7, 1, 9, tzinfo=TOKYO)


async def test_a_case_taken_in_again_from_its_rest_forgets_no_role(town: Town) -> None:
    number = await town.supported()
    await town.says("suzuki", f"中断 {number} 7/1")
    await town.says("takahashi", f"承認 {number}")
    await town.says("suzuki", f"移す {number} 受付 別世帯")
    assert "on_hold" in await waits(town, number)
    await town.says("ishii", f"再開 {number}")
    assert (await town.case(number)).handoff(1).state == "active"  # type: ignore[union-attr]


# -- coming back


async def test_a_closed_case_opens_its_next_episode_and_keeps_its_own_dates(town: Town) -> None:
    """I18."""
    number = await town.intake("suzuki", "介護", "北部")
    await town.refused("suzuki", f"再相談 {number}", "NotFromHere")
    await town.says("suzuki", f"終結 {number} 情報提供のみ")
    before = await town.case(number)
    await town.later(days=400)
    answered = await town.tries("suzuki", f"再相談 {number}")
    assert answered.number is not None and answered.number != number
    after = await town.case(answered.number)
    assert (after.previous, after.household, after.lead) == (before.id, before.household, "suzuki")
    assert [i.concern for i in after.issues] == ["elder_care"] and after.district == "北部"
    assert await town.case(number) == before


async def test_the_coordinators_part_ends_and_the_case_goes_on(town: Town) -> None:
    number = await town.supported()
    await town.refused("suzuki", f"区切り {number}", "CoordinatorsOnly")
    await town.says("takahashi", f"区切り {number}")
    case = await town.case(number)
    assert case.coordination == "ended" and case.stage == "support" and case.held
    assert "coordination_ended" in await town.kinds("ishii")


# -- the city's own


async def test_a_conference_asked_of_the_city_is_convened(town: Town) -> None:
    number = await town.consented()
    await town.says("takahashi", f"会議 {number} 支援 6/10 14時")
    assert "conference_asked" in await town.kinds("watanabe")
    await town.refused("takahashi", f"招集 {number}", "OfficialsOnly")
    await town.says("watanabe", "招集")
    assert "conference" not in await waits(town, number)
    assert "conference" in await town.kinds("takahashi") and "convened" in await town.kinds("shimizu")


async def test_a_decision_after_the_fact_is_waited_for(town: Town) -> None:
    number = await town.supported()
    assert await due(town, number, "decision") == "07-01 09:00"
    await town.refused("suzuki", f"決定 {number}", "OfficialsOnly")
    await town.says("watanabe", "決定")
    assert "decision" not in await waits(town, number) and "decided" in await town.kinds("suzuki")


async def test_a_review_is_counted_from_the_last_one(town: Town) -> None:
    number = await town.supported()
    await town.later(days=70)
    await town.says("suzuki", f"見直し {number}")
    wait = (await town.case(number)).wait("plan_review")
    assert wait is not None and wait.opened_at == town.now


# -- what a stage asks for


async def test_a_stage_that_lacks_facts_names_them_all_with_the_words_that_help(town: Town) -> None:
    number = await town.intake()
    refusal = await town.refused("suzuki", f"移す {number} ほぐし", "FactsMissing")
    assert {c.says.split()[0] for c in refusal.choices} == {"見立て", "同意"}
    await town.presses("suzuki", refusal.choices[0].label)
    await town.says("suzuki", f"同意 {number} なし")
    await town.says("suzuki", f"進む {number}")
    refusal = await town.refused("suzuki", f"進む {number}", "FactsMissing")
    assert [c.says for c in refusal.choices] == [f"会議なし {number}"]
    await town.says("suzuki", "1")
    await town.says("suzuki", f"進む {number}")
    refusal = await town.refused("suzuki", f"進む {number}", "FactsMissing")
    assert f"困りごと {number} 介護 資源なし" in [c.says for c in refusal.choices]
    await town.refused("suzuki", f"移す {number} 見守り", "NotFromHere")
    await town.refused("suzuki", f"移す {number}", "NoSuchStage")


async def test_watching_needs_a_watcher_an_interval_signs_and_nothing_urgent(town: Town) -> None:
    number = await town.supported()
    refusal = await town.refused("suzuki", f"移す {number} 見守り", "FactsMissing")
    assert {c.says.split()[0] for c in refusal.choices} == {"依頼", "間隔", "サイン"}
    await town.says("suzuki", f"困りごと {number} 債務 望む 急ぎ")
    assert (await town.case(number)).issue("debt").urgent  # type: ignore[union-attr]
    again = await town.refused("suzuki", f"移す {number} 見守り", "FactsMissing")
    assert len(again.choices) > len(refusal.choices)


async def test_going_back_to_the_intake_needs_a_reason(town: Town) -> None:
    number = await untangling(town)
    refusal = await town.refused("suzuki", f"移す {number} 受付", "ReasonMissing")
    assert len(refusal.choices) >= 3


class Post:
    """A platform outside that takes everything."""

    name = "post"
    inside = False
    caps = Caps(buttons=4, label=20, text=2_000)

    def __init__(self) -> None:
        self.taken: list[Parcel] = []
        self.answer: Delivery | None = None  #: what becomes of letters; None: they arrive

    async def send(self, parcel: Parcel) -> Delivery:
        self.taken.append(parcel)
        return self.answer or Sent(parcel.key)


@pytest.mark.parametrize("fate", [Unknown("timeout"), Refused("blocked")])
async def test_a_notice_that_may_not_have_arrived_gives_the_time_once_more(
    databases: object, tmp_path: Path, fate: Delivery
) -> None:
    """Five business days are counted from delivery; an unknown or failed letter extends them."""
    post = Post()
    town = await Town.found(databases.sqlite(), tmp_path, adapters={"post": post})  # type: ignore[attr-defined]
    number = await town.supported()
    await town.app.store.transact(lambda tx: people.link(tx, "post", "U-ishii", "ishii", town.now))
    post.answer = fate
    await town.says("suzuki", f"終結 {number} 目標達成・安定")
    await town.later(minutes=0)
    await town.later(business_days=5, minutes=1)
    refusal = await town.refused("takahashi", f"承認 {number}", "DayOutOfRange")
    assert "6/15(月) 9:00" in refusal.text
    await town.later(until=datetime(2026, 6, 15, 9, 1, tzinfo=TOKYO))
    await town.says("takahashi", f"承認 {number}")
    assert not (await town.case(number)).open
    await town.close()


async def test_a_notice_that_leaves_later_is_counted_from_then(database: str, tmp_path: Path) -> None:
    """A push of Friday evening leaves on Monday morning: so the five days begin there."""
    post = Post()
    town = await Town.found(database, tmp_path, adapters={"post": post})
    number = await town.supported()
    await town.app.store.transact(lambda tx: people.link(tx, "post", "U-ishii", "ishii", town.now))
    await town.later(until=datetime(2026, 6, 5, 18, 0, tzinfo=TOKYO))
    await town.says("suzuki", f"終結 {number} 目標達成・安定")
    await town.later(until=datetime(2026, 6, 8, 9, 0, tzinfo=TOKYO))
    await town.later(until=datetime(2026, 6, 12, 17, 20, tzinfo=TOKYO))
    refusal = await town.refused("takahashi", f"承認 {number}", "DayOutOfRange")
    assert "6/15(月) 9:00" in refusal.text
    await town.close()


async def test_letters_that_have_not_left_are_not_sent_after_a_death(database: str, tmp_path: Path) -> None:
    """I27: outside, a coordinator's command waits for its undo; then it is not sent any more."""
    post = Post()
    town = await Town.found(database, tmp_path, adapters={"post": post})
    await town.app.store.transact(lambda tx: people.link(tx, "post", "U-ishii", "ishii", town.now))
    number = await town.consented()
    await town.says("takahashi", f"依頼 {number} 家計相談 ともしび")
    assert not post.taken
    await town.says("suzuki", f"逝去 {number}")
    await town.later(days=3)
    assert not [p for p in post.taken if "家計相談" in p.message.text]
    await town.close()
