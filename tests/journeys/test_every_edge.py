"""Every edge of the three graphs, each by a short walk through the real doors; and every event has a word and a button."""

from collections.abc import Awaitable, Callable

import pytest

from adapters.base import Message
from bot.commands import BOOK, FORMS
from bot.commands.lead import ISSUE_BUTTONS
from bot.words import match, take_apart
from storage import journal
from tests.town import Town
from workflow.path import EVENTS, GRAPHS, Graph, moves

Walk = Callable[[Town], Awaitable[str]]
Key = tuple[Graph, str | None, str, str]
WALKS: dict[Key, Walk] = {}


def walk(graph: Graph, source: str | None, event: str, dest: str) -> Callable[[Walk], Walk]:
    def enter(made: Walk) -> Walk:
        assert (graph, source, event, dest) not in WALKS
        WALKS[(graph, source, event, dest)] = made
        return made

    return enter


async def say(town: Town, *lines: tuple[str, str]) -> None:
    for who, words in lines:
        await town.says(who, words)


# -- where the walks begin


async def intake(town: Town) -> str:
    return await town.intake()


async def untangling(town: Town) -> str:
    number = await town.consented()
    await town.says("suzuki", f"移す {number} ほぐし")
    return number


async def divided(town: Town) -> str:
    number = await untangling(town)
    await say(town, ("suzuki", f"会議なし {number}"), ("suzuki", f"移す {number} 役割分担"))
    return number


async def supported(town: Town) -> str:
    return await town.supported()


async def watching(town: Town) -> str:
    number = await supported(town)
    await say(
        town, ("suzuki", f"依頼 {number} 見守り 民生委員北部"), ("yamamoto", f"引受 {number}"), ("suzuki", f"間隔 {number} 1か月"),
        ("suzuki", f"サイン {number} 雨戸が昼も閉まったまま"), ("suzuki", f"移す {number} 見守り"),
    )  # fmt: skip
    return number


BEGIN: dict[str, Walk] = {
    "intake": intake, "untangling": untangling, "role_division": divided, "support": supported, "watching": watching,
}  # fmt: skip


async def suspended(town: Town, stage: str) -> str:
    number = await BEGIN[stage](town)
    await say(town, ("suzuki", f"中断 {number} 1か月後"), ("takahashi", f"承認 {number}"))
    return number


async def proposed(town: Town, stage: str) -> str:
    """A closing is proposed; whatever was still asked or due is as it was."""
    number = await (suspended(town, "untangling") if stage == "suspended" else BEGIN[stage](town))
    await town.says("suzuki", f"終結 {number} 転出")
    return number


async def offered(town: Town) -> str:
    number = await town.consented()
    await town.says("suzuki", f"依頼 {number} 家計相談 ともしび")
    return number


async def considering(town: Town) -> str:
    number = await offered(town)
    await town.says("ishii", f"検討 {number}")
    return number


async def asked(town: Town) -> str:
    number = await offered(town)
    await town.says("ishii", f"質問 {number} 連絡の方法")
    return number


async def waitlisted(town: Town) -> str:
    number = await offered(town)
    await town.says("ishii", f"空き待ち {number} 10日後")
    return number


async def conditional(town: Town) -> str:
    number = await offered(town)
    await town.says("ishii", f"条件引受 {number} 同行あり")
    return number


async def accepted(town: Town) -> str:
    return await town.accepted()


async def active(town: Town) -> str:
    number = await town.accepted()
    await town.says("ishii", f"つながった {number}")
    return number


async def on_hold(town: Town) -> str:
    number = await active(town)
    await town.says("ishii", f"一時休み {number} 2週間後")
    return number


STATES: dict[str, Walk] = {
    "offered": offered, "considering": considering, "info_requested": asked, "waitlisted": waitlisted, "conditional": conditional,
    "accepted": accepted, "active": active, "on_hold": on_hold,
}  # fmt: skip


def then(begin: Walk, *lines: tuple[str, str]) -> Walk:
    """A walk: a beginning, then lines with {n} for the number."""

    async def made(town: Town) -> str:
        number = await begin(town)
        await say(town, *((who, words.format(n=number)) for who, words in lines))
        return number

    return made


def enter(graph: Graph, event: str, begins: dict[str, Walk], sources: str, dest: str, *lines: tuple[str, str]) -> None:
    for source in sources.split():
        walk(graph, source, event, dest or source)(then(begins[source], *lines))


# -- the case

walk("case", None, "open", "intake")(intake)
enter(
    "case",
    "untangle",
    {**BEGIN, "intake": Town.consented},
    "intake role_division support watching",
    "untangling",
    ("suzuki", "移す {n} ほぐし"),
)
walk("case", "untangling", "reintake", "intake")(then(untangling, ("suzuki", "移す {n} 受付 別世帯")))


@walk("case", "suspended", "reintake", "intake")
async def _taken_in_again(town: Town) -> str:
    number = await suspended(town, "untangling")
    await town.says("suzuki", f"移す {number} 受付 受け直し")
    return number


enter(
    "case",
    "divide",
    BEGIN,
    "untangling support",
    "role_division",
    ("suzuki", "会議なし {n}"),
    ("suzuki", "移す {n} 役割分担"),
)
walk("case", "role_division", "support", "support")(supported)
walk("case", "watching", "support", "support")(then(watching, ("suzuki", "移す {n} 支援")))
walk("case", "intake", "support", "support")(
    then(active, ("suzuki", "困りごと {n} 介護 資源なし"), ("suzuki", "移す {n} 支援"))
)
walk("case", "support", "watch", "watching")(watching)
for _stage in BEGIN:
    walk("case", _stage, "suspend", "suspended")(lambda town, s=_stage: suspended(town, s))


def _back(stage: str) -> Walk:
    async def resumed(town: Town) -> str:
        number = await suspended(town, stage)
        await town.says("suzuki", f"再開 {number}")
        return number

    return resumed


def _closed(stage: str) -> Walk:
    async def closed(town: Town) -> str:
        number = await proposed(town, stage)
        await town.later(business_days=5, minutes=1)
        await town.says("takahashi", f"承認 {number}")
        return number

    return closed


for _stage in BEGIN:
    walk("case", "suspended", "resume", _stage)(_back(_stage))
for _stage in (*BEGIN, "suspended"):
    walk("case", _stage, "propose_closing", _stage)(lambda town, s=_stage: proposed(town, s))
    walk("case", _stage, "close", "closed")(_closed(_stage))
walk("case", "intake", "close_at_once", "closed")(then(intake, ("suzuki", "終結 {n} 情報提供のみ")))


# -- a handoff

walk("handoff", None, "offer", "offered")(offered)
walk("handoff", "offered", "consider", "considering")(considering)
enter("handoff", "ask", STATES, "offered considering", "info_requested", ("ishii", "質問 {n} 連絡の方法"))
for _state in ("offered", "considering"):
    walk("handoff", "info_requested", "answer", _state)(
        then(STATES[_state], ("ishii", "質問 {n} 連絡の方法"), ("suzuki", "回答 {n} 平日の午後に電話できます"))
    )
enter("handoff", "waitlist", STATES, "offered considering", "waitlisted", ("ishii", "空き待ち {n} 10日後"))
enter("handoff", "place_free", STATES, "waitlisted", "offered", ("ishii", "空きました {n}"))
enter(
    "handoff", "accept_if", STATES, "offered considering waitlisted", "conditional", ("ishii", "条件引受 {n} 同行あり")
)
enter("handoff", "agree", STATES, "conditional", "accepted", ("suzuki", "条件了承 {n}"))
enter("handoff", "without", STATES, "conditional", "offered", ("suzuki", "条件なしで {n}"))
enter("handoff", "accept", STATES, "offered considering info_requested waitlisted", "accepted", ("ishii", "引受 {n}"))
_ASKED = "offered considering info_requested waitlisted conditional"
_HELD = "accepted active on_hold"
enter("handoff", "decline", STATES, _ASKED, "declined", ("ishii", "辞退 {n} 対象外"))
enter("handoff", "withdraw", STATES, _ASKED, "withdrawn", ("suzuki", "取下げ {n}"))
enter("handoff", "withdraw", STATES, _HELD, "withdrawn", ("takahashi", "取下げ {n}"))
enter("handoff", "mistake", STATES, _ASKED, "mistake", ("suzuki", "誤登録 {n}"))
enter("handoff", "mistake", STATES, _HELD, "mistake", ("takahashi", "誤登録 {n}"))
enter("handoff", "connect", STATES, "accepted", "active", ("ishii", "つながった {n}"))
enter("handoff", "hold", STATES, "accepted active", "on_hold", ("ishii", "一時休み {n} 2週間後"))
for _state in ("accepted", "active"):
    walk("handoff", "on_hold", "resume", _state)(
        then(STATES[_state], ("ishii", "一時休み {n} 2週間後"), ("ishii", "再開 {n}"))
    )
enter("handoff", "complete", STATES, "active on_hold", "completed", ("ishii", "役割終了 {n}"))
enter("handoff", "fail", STATES, _HELD, "failed", ("ishii", "つながらず {n}"))
enter("handoff", "release", STATES, _HELD, "released", ("ishii", "戻す {n}"))


def _silent(begin: Walk) -> Walk:
    async def silent(town: Town) -> str:
        number = await begin(town)
        await town.later(business_days=9)
        return number

    return silent


for _state in ("offered", "considering"):
    walk("handoff", _state, "expire", "expired")(_silent(STATES[_state]))


# -- an issue

OPEN: Walk = Town.consented
walk("issue", None, "note", "open")(then(OPEN, ("suzuki", "困りごと {n} 債務 望む")))
walk("issue", "open", "hold", "held")(accepted)
walk("issue", "gap", "hold", "held")(then(offered, ("suzuki", "困りごと {n} 困窮 資源なし"), ("ishii", "引受 {n}")))
walk("issue", "held", "drop", "open")(then(active, ("ishii", "戻す {n}")))
walk("issue", "open", "mark_gap", "gap")(then(OPEN, ("suzuki", "困りごと {n} 介護 資源なし")))
walk("issue", "open", "not_wanted", "not_wanted")(then(OPEN, ("suzuki", "困りごと {n} 介護 望まない")))
walk("issue", "gap", "not_wanted", "not_wanted")(
    then(OPEN, ("suzuki", "困りごと {n} 介護 資源なし"), ("suzuki", "困りごと {n} 介護 望まない"))
)
walk("issue", "open", "settle", "settled")(then(OPEN, ("suzuki", "困りごと {n} 介護 解決")))
walk("issue", "held", "settle", "settled")(then(active, ("suzuki", "困りごと {n} 困窮 解決")))
walk("issue", "gap", "settle", "settled")(
    then(OPEN, ("suzuki", "困りごと {n} 介護 資源なし"), ("suzuki", "困りごと {n} 介護 解決"))
)
for _status, _said in (("gap", "資源なし"), ("not_wanted", "望まない"), ("settled", "解決")):
    walk("issue", _status, "raise", "open")(
        then(OPEN, ("suzuki", f"困りごと {{n}} 介護 {_said}"), ("suzuki", "困りごと {n} 介護 もう一度"))
    )


#: What to say about 介護 so that an issue has this status; the held one is 困窮.
STATUSES_OF_ISSUE = {
    "open": "",
    "held": "",
    "gap": "介護 資源なし",
    "not_wanted": "介護 望まない",
    "settled": "介護 解決",
}
CONCERNS = {"介護": "elder_care", "困窮": "income"}


def test_the_table_holds_every_edge_of_the_graphs() -> None:
    edges = {(graph, e.source, e.event, e.dest) for graph, found in GRAPHS.items() for e in found}
    assert set(WALKS) == edges


@pytest.mark.parametrize("key", WALKS, ids=lambda k: "-".join(str(part or "new") for part in k))
async def test_the_town_walks_this_edge(lite: Town, key: Key) -> None:
    graph, source, event, dest = key
    number = await WALKS[key](lite)
    case = await lite.case(number)
    written = await lite.app.store.read(lambda tx: journal.read(tx, case.id))
    assert (f"{graph}.{event}", source, dest) in [(line.kind, line.source, line.dest) for line in written]
    assert not case.open or case.waits  # I25


#: Events that no word causes: the engine or the clock does them.
WITHOUT_WORD = {"handoff.expire", "issue.hold", "issue.drop"}


async def buttons(town: Town, *shown: Message) -> set[str]:
    """Everything that the buttons before these people say, as the command they mean."""
    cards = [card for who in town.place.staff for _, card in await town.reads(who)]
    says = [c.says for made in (*cards, *shown) for c in made.choices]
    return {found[0] for said in says if (found := match(take_apart(said).rest, FORMS))}


def commands_of(event: str) -> set[str]:
    return {name for name, one in BOOK.items() if event in one.events}


@pytest.mark.parametrize("event", [f"{graph}.{event}" for graph in GRAPHS for event in EVENTS[graph]])
def test_every_event_has_a_word(event: str) -> None:
    """I29."""
    assert bool(commands_of(event)) is (event not in WITHOUT_WORD)


@pytest.mark.parametrize("state", STATES)
async def test_every_event_of_a_handoff_has_a_button_where_it_is_legal(lite: Town, state: str) -> None:
    """I29: on a card, or beside the case's number."""
    number = await STATES[state](lite)
    shown = [await lite.says(who, number) for who in ("suzuki", "ishii", "takahashi")]
    found = await buttons(lite, *shown)
    for event in moves("handoff", state):
        assert event == "expire" or commands_of(f"handoff.{event}") & found, f"no button for {event} in {state}"


@pytest.mark.parametrize("stage", [*BEGIN, "suspended"])
async def test_every_event_of_a_case_has_a_button_where_it_is_legal(lite: Town, stage: str) -> None:
    """I29: the approver's stand on the card that asks them."""
    number = await (suspended(lite, "untangling") if stage == "suspended" else BEGIN[stage](lite))
    shown = [await lite.says("suzuki", number), (await lite.tries("suzuki", f"終結 {number}")).messages[0]]
    found = await buttons(lite, *shown)
    for event in set(moves("case", stage)) - {"suspend", "close"}:
        assert commands_of(f"case.{event}") & found, f"no button for {event} in {stage}"


@pytest.mark.parametrize("status", list(STATUSES_OF_ISSUE))
async def test_every_event_of_an_issue_has_a_button_where_it_is_legal(lite: Town, status: str) -> None:
    """I29."""
    number = await lite.accepted()
    if word := STATUSES_OF_ISSUE[status]:
        await lite.says("suzuki", f"困りごと {number} {word}")
    concern = "困窮" if status == "held" else "介護"
    menu = (await lite.says("suzuki", number)).choices
    assert f"困りごと {number}" in [c.says for c in menu]
    listed = (await lite.tries("suzuki", f"困りごと {number}")).messages[0].choices
    chosen = next(c.says for c in listed if lite.place.concerns[CONCERNS[concern]].label == c.label)
    said = [c.says.split()[-1] for c in (await lite.tries("suzuki", chosen)).messages[0].choices]
    for event in set(moves("issue", status)) - WITHOUT_WORD - {"hold", "drop"}:
        assert any(ISSUE_BUTTONS.get(word) == event for word in said), f"no button for {event} on {status}"


async def test_a_consultation_begins_and_begins_again_by_a_button(lite: Town) -> None:
    """I29: case.open, case.suspend and case.close, whose buttons stand elsewhere."""
    begun = await lite.refused("suzuki", "受付", "WordsMissing")
    assert commands_of("case.open") & await buttons(lite, begun)
    number = await lite.says("suzuki", begun.choices[0].says) and await suspended(lite, "untangling")
    assert "approve" in await buttons(lite)
    await lite.says("suzuki", f"終結 {number} 転出")
    await lite.later(business_days=6)
    await lite.presses("takahashi", "承認します")
    await lite.says("takahashi", "送る")
    closed = await lite.refused("suzuki", f"移す {number} 支援", "CaseClosed")
    assert f"再相談 {number}" in [c.says for c in closed.choices]
