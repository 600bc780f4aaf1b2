"""How each kind of wait begins, at each urgency: the shortest walks there, on Monday 1 June 2026 at nine."""

from collections.abc import Awaitable, Callable

from tests.journeys.test_every_edge import say, suspended, watching
from tests.town import Town

Walk = Callable[[Town, str], Awaitable[str]]
URGENT = {"normal": "", "high": "急ぎ", "emergency": "緊急"}
WALKS: dict[str, Walk] = {}


def begins(kind: str) -> Callable[[Walk], Walk]:
    def enter(made: Walk) -> Walk:
        WALKS[kind] = made
        return made

    return enter


def after(begin: Walk, *lines: tuple[str, str]) -> Walk:
    async def made(town: Town, urgency: str) -> str:
        number = await begin(town, urgency)
        await say(town, *((who, words.format(n=number)) for who, words in lines))
        return number

    return made


@begins("screening")
async def taken_in(town: Town, urgency: str) -> str:
    return await town.intake("suzuki", "介護 困窮", URGENT[urgency])


@begins("movement_watching")
async def watcher_gone(town: Town, urgency: str) -> str:
    number = await watching(town)
    if urgency != "normal":
        await town.says("suzuki", f"{URGENT[urgency]} {number}")
    await town.says("takahashi", f"取下げ {number}#2")
    return number


@begins("recheck")
async def resting(town: Town, urgency: str) -> str:
    number = await suspended(town, "untangling")
    if urgency != "normal":
        await town.says("suzuki", f"{URGENT[urgency]} {number}")
    return number


consented = after(taken_in, ("suzuki", "見立て {n} 続ける"), ("suzuki", "同意 {n} あり"))
offered = after(consented, ("suzuki", "依頼 {n} 家計相談 ともしび"))
accepted = after(offered, ("ishii", "引受 {n}"))
active = after(accepted, ("ishii", "つながった {n}"))
untangling = after(consented, ("suzuki", "移す {n} ほぐし"))
divided = after(untangling, ("suzuki", "会議なし {n}"), ("suzuki", "移す {n} 役割分担"))
supported = after(
    divided, ("suzuki", "困りごと {n} 介護 資源なし"), ("suzuki", "困りごと {n} 困窮 資源なし"), ("suzuki", "移す {n} 支援")
)  # fmt: skip

WALKS |= {
    "react": offered,
    "decide": after(offered, ("ishii", "検討 {n}")),
    "decide_weekly": after(consented, ("suzuki", "依頼 {n} 居場所 社協"), ("hasegawa", "検討 {n}")),
    "answer_question": after(offered, ("ishii", "質問 {n} 連絡の方法")),
    "condition": after(offered, ("ishii", "条件引受 {n} 同行あり")),
    "next_step": after(offered, ("ishii", "辞退 {n} 対象外")),
    "next_step of the coordinator": after(active, ("ishii", "戻す {n}")),
    "movement_intake": consented,
    "movement_untangling": untangling,
    "movement_role_division": divided,
    "movement_support": supported,
    "queue": after(active, ("ishii", "戻す {n}"), ("suzuki", "困りごと {n} 介護 望む")),
    "first_contact": accepted,
    "first_contact_again": after(accepted, ("ishii", "会えず {n}")),
    "checkin": active,
    "checkin_missed": after(active, ("ishii", "会えず {n}")),
    "safety": after(active, ("ishii", "会えず {n}"), ("ishii", "会えず {n}")),
    "withdrawal": after(accepted, ("suzuki", "取下げ {n}")),
    "on_hold": after(accepted, ("ishii", "一時休み {n} 2週間後")),
    "talk": after(consented, ("suzuki", "気がかり {n}")),
    "conference": after(consented, ("takahashi", "会議 {n} 支援 6/10")),
    "head_holds": after(offered, ("kondo", "引受 {n}"), ("ishii", "預かる {n}")),
    "closing_notice": after(consented, ("suzuki", "終結 {n} 転出")),
    "approval": after(consented, ("suzuki", "終結 {n} 転出")),
    "plan_review": supported,
    "decision": supported,
    "consent": after(taken_in, ("suzuki", "同意 {n} 未")),
    "interim": after(consented, ("takahashi", "仮担当 {n}")),
    "waitlist": after(offered, ("ishii", "空き待ち {n} 10日後")),
    "result": active,
    "report": after(consented, ("suzuki", "虐待 {n} 高齢")),
    "child_safety": after(consented, ("suzuki", "虐待 {n} 子ども"), ("suzuki", "通報済 {n} 児相")),
    "report_follow": after(consented, ("suzuki", "虐待 {n} 高齢"), ("suzuki", "通報済 {n} 市町村")),
}  # fmt: skip

#: A walk's wait, where it is not called like the walk.
KIND = {
    "decide_weekly": "decide", "next_step of the coordinator": "next_step", "first_contact_again": "first_contact",
    "checkin_missed": "checkin",
}  # fmt: skip
