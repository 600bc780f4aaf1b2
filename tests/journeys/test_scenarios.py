"""Whole stories (domain.md §8), as far as they can be told by words; and the loops L1–L5 of §1.6."""

from datetime import datetime

from tests.journeys.rings import moment
from tests.journeys.test_every_edge import divided, say, suspended, watching
from tests.town import TOKYO, Town


async def stage(town: Town, number: str) -> str:
    return (await town.case(number)).stage


async def test_sc1_a_household_of_two_generations(town: Town) -> None:
    """Declined, unanswered, then a joint conference: the lead never falls between, the coordinator has the task (SC1)."""
    number = await town.intake("suzuki", "介護 ひきこもり", "北部")
    await say(
        town,
        ("suzuki", f"見立て {number} 他機関へ"),
        ("suzuki", f"同意 {number} あり ひばり"),
        ("suzuki", f"移す {number} ほぐし"),
    )
    await town.says("suzuki", f"依頼 {number} ひきこもり支援 ひばり")
    await town.says("mori", f"辞退 {number} 対象外")
    await town.says("suzuki", f"根拠 {number} 若葉 106条の6")
    await town.says("suzuki", f"依頼 {number} ひきこもり支援 若葉")
    assert moment((await town.case(number)).wait("react").due_at) == "06-03 10:00", (
        "closed on Mondays: Tuesday, Wednesday"
    )  # type: ignore[union-attr]
    await town.later(business_days=5)
    case = await town.case(number)
    need = case.need("withdrawal")
    assert (need.hops, need.stuck, need.to_coordinator) == (2, True, True) and case.lead == "suzuki"
    await town.says("takahashi", f"会議 {number} 支援 6/15")
    await town.says("watanabe", f"招集 {number}")
    await town.says("takahashi", f"依頼 {number} アウトリーチ 若葉/田村")
    await town.says("tamura", f"条件引受 {number} 同行あり")
    await town.says("takahashi", f"条件了承 {number}")
    await town.says("suzuki", f"依頼 {number} 介護の調整 地域包括支援センター北 介護")
    await say(town, ("suzuki", f"移す {number} 役割分担"), ("suzuki", f"移す {number} 支援"))
    assert await stage(town, number) == "support" and (await town.case(number)).lead == "suzuki"
    await say(town, ("tamura", f"つながった {number}"), ("suzuki", f"会えた {number}#4"))
    await town.later(days=120)
    before = [h.state for h in (await town.case(number)).held]
    await town.says("suzuki", f"困りごと {number} 債務 望む")
    await town.says("suzuki", f"同意 {number} あり")
    await town.says("suzuki", f"依頼 {number} 債務の相談 ともしび")
    assert await stage(town, number) == "support" and [h.state for h in (await town.case(number)).held] == before
    await town.says("ishii", f"引受 {number}")
    assert (await town.case(number)).issue("debt").status == "held"  # type: ignore[union-attr]


async def test_sc2_the_parent_refuses_and_the_school_begins_beforehand(town: Town) -> None:
    """Support before any plan; a protection track of its own; nobody tells the parent (SC2)."""
    number = await town.intake("nishimura", "ヤングケアラー 介護")
    await say(town, ("nishimura", f"見立て {number} 他機関へ"), ("nishimura", f"同意 {number} なし"))
    await town.says("nishimura", f"虐待 {number} 子ども")
    await town.refused("nishimura", f"依頼 {number} 介護の調整 地域包括支援センター北", "NoBasis")
    await say(
        town,
        ("nishimura", f"根拠 {number} 地域包括支援センター北 法令"),
        ("nishimura", f"依頼 {number} 介護の調整 地域包括支援センター北"),
    )
    await town.says("nishimura", f"依頼 {number} 学習支援 みなも")
    assert await stage(town, number) == "intake" and {h.state for h in (await town.case(number)).handoffs} == {
        "offered",
        "accepted",
    }
    for _, card in await town.reads("suzuki"):
        assert "虐待" not in card.text + str(card.facts)
    await town.refused("nishimura", f"終結 {number} 情報提供のみ", "FactsMissing")


async def test_sc3_nobody_opens_the_door(town: Town) -> None:
    """Outreach before consent; attempts are counted; consent widens what may be offered; a relapse goes back (SC3)."""
    number = await town.intake("suzuki", "近所")
    await say(town, ("suzuki", f"見立て {number} 続ける"), ("suzuki", f"同意 {number} 未"))
    await say(
        town,
        ("suzuki", f"根拠 {number} 若葉 106条の6"),
        ("suzuki", f"依頼 {number} アウトリーチ 若葉"),
        ("tamura", f"引受 {number}"),
    )
    for _ in range(4):
        await town.later(business_days=4)
        await town.says("tamura", f"会えず {number}")
    handoff = (await town.case(number)).handoff(1)
    assert handoff is not None and handoff.attempts == 4 and handoff.state == "accepted"
    await town.later(business_days=4)
    await say(
        town,
        ("tamura", f"会えた {number}"),
        ("suzuki", f"同意 {number} あり"),
        ("suzuki", f"困りごと {number} 住まい 望む"),
    )
    await say(
        town, ("suzuki", f"依頼 {number} 住まいの相談 つばさ"), ("sato", f"引受 {number}"), ("sato", f"会えた {number}")
    )
    await say(
        town,
        ("suzuki", f"困りごと {number} 近所 解決"),
        ("suzuki", f"移す {number} ほぐし"),
        ("suzuki", f"会議なし {number}"),
    )
    await say(
        town,
        ("suzuki", f"移す {number} 役割分担"),
        ("suzuki", f"移す {number} 支援"),
        ("suzuki", f"依頼 {number} 見守り 民生委員北部"),
    )
    await say(
        town,
        ("abe", f"引受 {number}"),
        ("abe", f"会えた {number}"),
        ("suzuki", f"間隔 {number} 1か月"),
        ("suzuki", f"サイン {number} 窓のそと"),
    )
    await town.says("suzuki", f"移す {number} 見守り")
    await town.later(days=31)
    await town.says("abe", f"気になる {number}")
    assert (await stage(town, number)) == "watching", "a worry proposes, a human confirms"
    await town.says("suzuki", f"移す {number} ほぐし")
    assert "moved" in await town.kinds("abe")


async def test_sc4_no_resource_and_a_second_try(town: Town) -> None:
    """A gap is counted, not hidden; a trial that fails blames nobody; fourteen months later the next episode (SC4)."""
    number = await town.intake("sato", "ひきこもり")
    await say(
        town,
        ("sato", f"見立て {number} 続ける"),
        ("sato", f"同意 {number} あり"),
        ("sato", f"困りごと {number} ひきこもり 資源なし"),
    )
    assert (await town.case(number)).issue("withdrawal").status == "gap"  # type: ignore[union-attr]
    await town.later(days=30)
    await say(
        town,
        ("sato", f"依頼 {number} 参加支援 やどり木 ひきこもり"),
        ("ueda", f"引受 {number}"),
        ("ueda", f"会えた {number}"),
    )
    assert (await town.case(number)).issue("withdrawal").status == "held"  # type: ignore[union-attr]
    await town.says("ueda", f"戻す {number}")
    assert (await town.case(number)).issue("withdrawal").status == "open"  # type: ignore[union-attr]
    await say(
        town,
        ("takahashi", f"依頼 {number} 参加支援 社協"),
        ("sakamoto", f"引受 {number}"),
        ("sakamoto", f"会えた {number}"),
    )
    await town.says("sato", f"終結 {number} 目標達成・安定")
    await town.later(business_days=5, minutes=1)
    await town.says("takahashi", f"承認 {number}")
    await town.later(until=datetime(2027, 9, 15, 9, tzinfo=TOKYO))
    answered = await town.tries("sato", f"再相談 {number} 家族")
    assert (await town.case(answered.number or "")).previous == (await town.case(number)).id


async def test_sc6_the_language_is_no_reason_the_second_time(town: Town) -> None:
    """A decline that help can change: an interpreter is asked and the same agency again (SC6)."""
    number = await town.intake("sugiyama", "病気 ことば")
    await say(
        town,
        ("sugiyama", f"見立て {number} 他機関へ"),
        ("sugiyama", f"同意 {number} あり"),
        ("sugiyama", f"依頼 {number} 就労相談 つばさ"),
    )
    await town.says("sato", f"辞退 {number} 通訳が必要")
    card = await town.last("sugiyama", "declined")
    assert "通訳が必要" in str(card.facts)
    await say(
        town,
        ("sugiyama", f"依頼 {number} 通訳 国際"),
        ("nguyen", f"引受 {number}"),
        ("sugiyama", f"依頼 {number} 就労相談 つばさ 再度"),
    )
    await town.says("sato", f"引受 {number}")
    assert [h.state for h in (await town.case(number)).handoffs] == ["declined", "accepted", "accepted"]
    english = await town.last("nguyen", "offer")
    assert english.title and english.title.isascii(), "グエン reads English"


async def test_sc7_an_emergency_on_a_friday_evening(town: Town) -> None:
    """Wall-clock waits over the weekend; silence is visited, not closed (SC7)."""
    await town.later(until=datetime(2026, 6, 5, 17, 40, tzinfo=TOKYO))
    number = await town.intake("sato", "債務 こころ", "緊急")
    assert "emergency_opened" in await town.kinds("takahashi")
    assert moment((await town.case(number)).wait("screening").due_at) == "06-05 23:40"  # type: ignore[union-attr]
    await town.later(hours=15)
    assert {"ring:screening"} <= set(await town.kinds("kimura")) and "ring:screening" in await town.kinds("takahashi")
    await say(
        town,
        ("sato", f"見立て {number} 続ける"),
        ("sato", f"根拠 {number} 保健センター 生命"),
        ("sato", f"依頼 {number} 健康相談 保健センター"),
    )
    card = await town.last("chiba", "offer")
    assert "債務" not in card.text + str(card.facts) and number in str(card.choices)
    await town.says("chiba", f"引受 {number}")
    assert moment((await town.case(number)).wait("first_contact").due_at) == "06-06 14:40"  # type: ignore[union-attr]
    await town.says("chiba", f"会えた {number}")
    await town.refused("takahashi", f"会議 {number} 重層 6/8", "ConsentForConference")
    await town.says("takahashi", f"会議 {number} 支援 6/8")
    for _ in range(3):
        await town.says("chiba", f"会えず {number}")
    assert "safety" in await town.kinds("takahashi")
    await town.refused("sato", f"終結 {number} 連絡不通", "FactsMissing")


async def test_sc10_overload_a_reassignment_and_a_consent_withdrawn_for_one(town: Town) -> None:
    """The present lead stays until somebody accepts; a load is shown, not ranked; one agency leaves (SC10)."""
    number = await town.intake("mori", "障害 子育て")
    await say(town, ("mori", f"見立て {number} 続ける"), ("mori", f"同意 {number} あり"))
    shown = await town.says("takahashi", "持ち件数")
    assert "相談支援ひばり" in str(shown.facts)
    await town.refused("mori", "持ち件数", "HeadsOnly")
    await town.says("takahashi", f"担当替え {number} 保健センター 業務量")
    assert (await town.case(number)).lead == "mori"
    await town.says("sugiyama", f"辞退 {number} 定員")
    assert (await town.case(number)).lead == "mori" and "declined" in await town.kinds("takahashi")
    await say(town, ("mori", f"依頼 {number} 子育ての相談 みなも"), ("mori", f"依頼 {number} 学習支援 保健センター"))
    await town.says("mori", f"同意 {number} 撤回 みなも")
    assert [h.state for h in (await town.case(number)).handoffs] == ["declined", "withdrawn", "offered"]
    await town.refused("nishimura", number, "NotYourCase")


async def test_sc10_the_consent_is_withdrawn_for_one_and_its_role_ends(town: Town) -> None:
    """I9: E loses access at once, the roles of E end, and whoever asked for them hears it (I23)."""
    number = await town.supported()
    await town.says("suzuki", f"依頼 {number} 就労相談 つばさ")
    await town.says("sato", f"引受 {number}")
    await town.says("suzuki", f"同意 {number} 撤回 ともしび")
    assert [h.state for h in (await town.case(number)).handoffs] == ["withdrawn", "accepted"]
    await town.refused("ishii", number, "NotYourCase")
    for who in ("ishii", "takahashi"):
        assert "withdrawn" in await town.kinds(who), who
    step = (await town.case(number)).wait("next_step")
    assert step is not None and (step.owner, step.subject) == ("coordinator", "budget")
    await town.says("suzuki", f"同意 {number} 未")
    assert (await town.case(number)).handoff(2).state == "accepted", "not yet asked is not withdrawn"  # type: ignore[union-attr]


async def test_a_lead_that_changes_keeps_its_reason(town: Town) -> None:
    """担当替え 番号 機関 理由 (domain.md §7.3): a code; whoever leads hears of it, and of the answer."""
    number = await town.intake("mori", "障害 子育て")
    await say(town, ("mori", f"見立て {number} 続ける"), ("mori", f"同意 {number} あり"))
    await town.says("takahashi", f"担当替え {number} 保健センター/杉山 業務量")
    offer = (await town.case(number)).handoff(1)
    assert offer is not None and (offer.why, offer.to_staff) == ("load", "sugiyama")
    told = await town.last("mori", "reassigning")
    assert "業務量" in told.text and "森さんから保健センターに" in told.text
    asked = await town.last("sugiyama", "offer")
    assert "業務量" in str(asked.facts)
    await town.says("sugiyama", f"辞退 {number} 定員")
    assert "declined" in await town.kinds("mori") and "辞退" in (await town.last("mori", "reassigning")).text
    await town.says("takahashi", f"担当替え {number} つばさ 来月から産休に入るため")
    offer = (await town.case(number)).handoff(2)
    assert offer is not None and offer.why == "other"
    assert "産休" not in str((await town.last("mori", "reassigning")).text), "words stay sealed"


# -- the loops (I6)


async def test_l1_nobody_accepts_and_it_is_untangled_again(town: Town) -> None:
    number = await divided(town)
    await say(town, ("suzuki", f"依頼 {number} 家計相談 ともしび"), ("ishii", f"辞退 {number} 対象外"))
    await town.says("suzuki", f"移す {number} ほぐし")
    assert await stage(town, number) == "untangling" and (await town.case(number)).conference == "", (
        "a new conference decides"
    )


async def test_l2_a_holder_leaves_and_the_roles_are_divided_anew(town: Town) -> None:
    number = await town.supported()
    await town.says("ishii", f"戻す {number}")
    assert (await town.case(number)).wait("movement_support") is not None
    await say(
        town,
        ("suzuki", f"移す {number} 役割分担"),
        ("takahashi", f"依頼 {number} 家計相談 社協"),
        ("hasegawa", f"引受 {number}"),
    )
    await town.says("suzuki", f"移す {number} 支援")
    assert [h.state for h in (await town.case(number)).handoffs] == ["released", "accepted"]


async def test_l3_something_new_is_untangled_while_the_roles_go_on(town: Town) -> None:
    number = await town.supported()
    await say(town, ("suzuki", f"困りごと {number} 債務 望む"), ("suzuki", f"移す {number} ほぐし"))
    case = await town.case(number)
    assert (
        case.stage == "untangling" and [h.state for h in case.held] == ["active"] and case.wait("checkin") is not None
    )


async def test_l4_a_relapse_while_watching(town: Town) -> None:
    number = await watching(town)
    await say(
        town,
        ("suzuki", f"移す {number} 支援"),
        ("suzuki", f"移す {number} 見守り"),
        ("suzuki", f"移す {number} ほぐし"),
    )
    assert await stage(town, number) == "untangling" and len((await town.case(number)).held) == 2


async def test_l5_after_a_rest_or_an_end_it_is_taken_in_again(town: Town) -> None:
    number = await suspended(town, "support")
    await town.says("suzuki", f"移す {number} 受付 受け直し")
    assert await stage(town, number) == "intake"
    await town.says("suzuki", f"終結 {number} 転出")
    await town.later(business_days=5, minutes=1)
    await town.says("takahashi", f"承認 {number}")
    answered = await town.tries("suzuki", f"再相談 {number}")
    assert await stage(town, answered.number or "") == "intake" and await stage(town, number) == "closed"
