"""Every (state, event, role) of the three graphs is a legal move exactly as its edge says, or a refusal in words. No holes."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from bot.__main__ import main
from bot.voice import voice_for
from bot.voice.refusals import word
from tests.properties.values import IS, NOW, ROLES, act, handoff, proposed, settled, the_case, the_town
from workflow import facts, refusals, stage
from workflow import handoff as decisions
from workflow.case import Case, Handoff, Issue
from workflow.outcome import Act, Outcome
from workflow.path import ACTIVE_STAGES, ASKED, EVENTS, FINAL, GRAPHS, HELD, INITIAL, OPEN_STAGES, STATES, step
from workflow.refusals import Refusal

LATER = NOW + timedelta(days=2)


def worded(refusal: Refusal) -> None:
    """The refusal has a sentence of its own in both languages, without a place left open."""
    for language in ("ja", "en"):
        voice = voice_for(the_town(), language)
        text = word(refusal, voice, NOW, number="385-267-52").text
        assert text.strip(), (language, refusal)
        assert "{" not in text and text != voice.say("refusal.unknown"), (language, text)


def judged(decide: Callable[[], Outcome], legal: bool) -> Outcome | None:
    """Legal: a whole outcome. Otherwise a Refusal and nothing else, in words."""
    if legal:
        return decide()
    with pytest.raises(Refusal) as found:
        decide()
    worded(found.value)
    return None


def allowed(graph: str, state: str | None, event: str, role: str) -> bool:
    """What the published edges say of this triple."""
    return any(e.event == event and e.source == state and IS[role] & set(e.actors) for e in GRAPHS[graph])  # type: ignore[index]


# -- つなぎ


def expiring(case: Case, h: Handoff, a: Act) -> Outcome:
    """What a ring does inside its outcome."""
    out = Outcome(case, a)
    decisions.expire(out, h)
    return out.done()


ANSWERS: dict[str, Callable[[Case, Handoff, Act], Outcome]] = {
    "consider": lambda c, h, a: decisions.consider(c, h, LATER, a),
    "ask": lambda c, h, a: decisions.ask(c, h, "wish", a),
    "answer": decisions.answer,
    "waitlist": lambda c, h, a: decisions.waitlist(c, h, LATER, a),
    "place_free": decisions.place_free,
    "accept_if": lambda c, h, a: decisions.accept_if(c, h, "schedule", a),
    "agree": decisions.agree,
    "without": decisions.without,
    "accept": decisions.accept,
    "decline": lambda c, h, a: decisions.decline(c, h, "at_capacity", a),
    "withdraw": decisions.withdraw,
    "expire": expiring,
    "connect": decisions.connect,
    "hold": lambda c, h, a: decisions.hold(c, h, LATER, a),
    "resume": decisions.resume,
    "complete": decisions.complete,
    "fail": decisions.fail,
    "release": decisions.release,
    "mistake": decisions.mistake,
}


def test_every_event_of_a_handoff_has_a_decision() -> None:
    assert {"offer", *ANSWERS} == set(EVENTS["handoff"])


@pytest.mark.parametrize("role", ROLES)
def test_who_may_offer(role: str) -> None:
    case, town = the_case("untangling"), the_town()
    legal = bool(IS[role] & {"lead", "coordinator"})
    out = judged(lambda: decisions.offer(case, town.duties["disability"], [town.agencies["hibari"]], act(role)), legal)
    if out:
        assert out.case.handoffs[-1].state == "offered"
        assert out.case.lead == case.lead, "I2: an offer moves nothing"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("event", list(ANSWERS))
@pytest.mark.parametrize("state", STATES["handoff"])
def test_every_state_event_and_role_of_a_handoff(state: str, event: str, role: str) -> None:
    h = handoff(state)
    case = the_case("support", h)
    h = case.handoff(1)
    if event == "withdraw" and state in HELD and role == "sender":
        # After acceptance a sender's 取下げ becomes the coordinator's wait; nothing moves.
        asked = decisions.withdraw(case, h, act(role)).case
        assert asked.handoff(1).state == state and asked.wait("withdrawal", h.id)
        return
    legal = allowed("handoff", state, event, role)
    out = judged(lambda: ANSWERS[event](case, h, act(role)), legal)
    if out is None:
        return
    moved = out.case.handoff(1)
    assert moved.state == step("handoff", state, event, left=h.left)
    assert any(e.kind == f"handoff.{event}" and (e.source, e.dest) == (state, moved.state) for e in out.entries)
    assert out.case.waits, "I25: an open case has an open wait"
    if moved.state in FINAL["handoff"] and role != "sender":
        told = {r.code for n in out.notices for r in n.to}
        assert h.sender in told, "I23: every handoff that ended tells its sender"
    if event == "accept":
        assert moved.holder == act(role).who, "acceptance names a person"


@pytest.mark.parametrize("left", ["offered", "considering"])
def test_an_answer_goes_back_to_the_state_that_was_left(left: str) -> None:
    case = the_case("support", handoff("info_requested", left=left))
    assert decisions.answer(case, case.handoff(1), act("sender")).case.handoff(1).state == left


@pytest.mark.parametrize("left", ["accepted", "active"])
def test_a_role_comes_back_to_the_state_that_was_left(left: str) -> None:
    case = the_case("support", handoff("on_hold", left=left))
    assert decisions.resume(case, case.handoff(1), act("holder")).case.handoff(1).state == left


@pytest.mark.parametrize("state", ["offered", "considering"])
def test_the_last_candidate_never_expires(state: str) -> None:
    case = the_case("support", handoff(state, last_candidate=True))
    with pytest.raises(refusals.NotFromHere):
        expiring(case, case.handoff(1), act("clock"))


@pytest.mark.parametrize("event", list(ANSWERS))
@pytest.mark.parametrize("state", STATES["handoff"])
def test_whoever_comes_too_late_hears_what_happened_before_who_may(state: str, event: str) -> None:
    """The state is judged before the person: even a stranger to the case hears that it is settled."""
    case = the_case("support", handoff(state))
    if event in {e.event for e in GRAPHS["handoff"] if e.source == state}:
        return
    with pytest.raises(Refusal) as found:
        ANSWERS[event](case, case.handoff(1), act("receiver"))
    settled_in = (
        refusals.AlreadyTaken,
        refusals.OfferEnded,
        refusals.NotFromHere,
        refusals.AlreadyDone,
        refusals.NotYours,
    )
    assert isinstance(found.value, settled_in)
    worded(found.value)


# -- the case


def moving(to: str) -> Callable[[Case, Act], Outcome]:
    return lambda case, a: stage.move(case, to, a, reason="retake")


def approving(kind: str) -> Callable[[Case, Act], Outcome]:
    return lambda case, a: stage.approve(proposed(case, kind) if case.open else case, a)


def coming_back(case: Case, a: Act) -> Outcome:
    """再開 says the stage that a suspended case left; elsewhere there is nothing to resume."""
    return stage.move(case, case.left or "intake", a)


PATH: dict[str, Callable[[Case, Act], Outcome]] = {
    "untangle": moving("untangling"),
    "reintake": moving("intake"),
    "divide": moving("role_division"),
    "support": moving("support"),
    "watch": moving("watching"),
    "suspend": approving("suspend"),
    "resume": coming_back,
    "propose_closing": lambda c, a: stage.propose_closing(c, "goal_reached", a),
    "close": approving("close"),
    "close_at_once": lambda c, a: stage.propose_closing(c, "info_only", a),
}


@cache
def ready(state: str, event: str) -> Case:
    """A case in which every guard of the event is content."""
    # 再開 says the stage that was left; every other event is tried towards a stage that was not.
    case = the_case(state, left="untangling") if (state, event) == ("suspended", "support") else the_case(state)
    if event == "support" and state == "intake":
        # One agency holds everything: the watcher and one role.
        case = settled(replace(case, handoffs=tuple(h for h in case.handoffs if h.duty in ("outreach", "watch"))))
    if event == "close_at_once":
        # Otherwise the same words only propose: in INTAKE alone they close.
        case = settled(replace(case, handoffs=()))
    if event in ("support", "watch") or state == "watching":
        case = replace(case, issues=tuple(replace(i, status="gap") for i in case.issues))
    return case


def test_every_event_of_a_case_has_a_decision() -> None:
    assert {"open", *PATH} == set(EVENTS["case"])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("event", list(PATH))
@pytest.mark.parametrize("state", STATES["case"])
def test_every_state_event_and_role_of_a_case(state: str, event: str, role: str) -> None:
    case = ready(state, event)
    if event == "close_at_once" and state != "intake" and state != "closed":
        # The words 終結 … 情報提供のみ only propose there: the edge is propose_closing's.
        out = judged(lambda: PATH[event](case, act(role)), allowed("case", state, "propose_closing", role))
        assert out is None or out.case.stage == state
        return
    legal = allowed("case", state, event, role)
    out = judged(lambda: PATH[event](case, act(role)), legal)
    if out is None:
        return
    assert out.case.stage == step("case", state, event, left=case.left)
    assert any(e.kind == f"case.{event}" and (e.source, e.dest) == (state, out.case.stage) for e in out.entries)
    if out.case.open:
        assert out.case.waits, "I25"
        assert (out.case.lead is None) != (out.case.interim is None), "I1"
    else:
        assert not out.case.waits and not out.case.held and not out.case.asked
        assert role not in ("clock", "stranger"), "I5: no timer and no bot ever closes a case"


@pytest.mark.parametrize("role", ROLES)
def test_who_may_open_a_case(role: str) -> None:
    bare = replace(
        the_case("intake"), handoffs=(), waits=(), issues=(), needs=(), lead=None, consent=None, screening="", version=0
    )
    may = role not in (
        "watcher",
        "admin",
        "privacy",
        "clock",
        "stranger",
    )  # everybody else is staff, head, coordinator or official
    out = judged(lambda: stage.open_case(bare, ("disability",), act(role)), may)
    if out:
        assert out.case.lead == act(role).who, "I1: the speaker leads from the first instant"
        assert out.case.wait("screening")


@pytest.mark.parametrize("left", ACTIVE_STAGES)
def test_a_suspended_case_comes_back_to_the_stage_that_it_left(left: str) -> None:
    case = the_case("suspended", left=left)
    assert stage.move(case, left, act("lead")).case.stage == left


@pytest.mark.parametrize("by", ["lead", "coordinator"])
@pytest.mark.parametrize("kind", ["suspend", "close"])
@pytest.mark.parametrize("state", OPEN_STAGES)
def test_nobody_approves_what_they_proposed_and_no_lead_what_they_lead(state: str, kind: str, by: str) -> None:
    case = proposed(the_case(state), kind, act(by).who)
    for role in (by, "lead"):
        judged(lambda role=role: stage.approve(case, act(role)), False)


# -- a strand of troubles


#: hold and drop follow from a handoff: whoever judges an issue so is refused.
ISSUES: dict[str, Callable[[Case, Act], Outcome]] = {
    event: (lambda c, a, event=event: facts.judge_issue(c, "housing", event, a))
    for event in ("mark_gap", "not_wanted", "settle", "raise", "hold", "drop")
}


def test_every_event_of_an_issue_has_a_decision() -> None:
    assert {"note", *ISSUES} == set(EVENTS["issue"])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("event", ["note", *ISSUES])
@pytest.mark.parametrize("state", [None, *STATES["issue"]])
def test_every_state_event_and_role_of_an_issue(state: str | None, event: str, role: str) -> None:
    case = the_case("untangling")
    if state is not None:
        case = replace(case, issues=(*case.issues, Issue(3, "housing", status=state)))
    if event == "note":
        # Noting what is there already sets its wish (and raises what had been put away): never a second issue.
        out = judged(
            lambda: facts.note_issue(case, "housing", "wanted", act(role)), bool(IS[role] & {"lead", "coordinator"})
        )
        if out:
            found = [i for i in out.case.issues if i.concern == "housing"]
            assert len(found) == 1 and found[0].status == ("held" if state == "held" else "open")
        return
    legal = state is not None and allowed("issue", state, event, role)
    out = judged(lambda: ISSUES[event](case, act(role)), legal)
    if out:
        assert out.case.issue("housing").status == step("issue", state or "", event)


@pytest.mark.parametrize("state", ["open", "gap"])
def test_an_acceptance_holds_the_issues_that_it_names_and_its_end_drops_them(state: str) -> None:
    case = the_case("support", handoff("offered"))
    case = replace(case, issues=(replace(case.issues[0], status=state), case.issues[1]))
    taken = decisions.accept(case, case.handoff(1), act("receiver")).case
    assert taken.issues[0].status == "held"
    given = decisions.release(taken, taken.handoff(1), act("receiver")).case
    assert given.issues[0].status == "open"


# -- as published


def test_the_published_graph_is_the_edges(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["graph", "--format", "json"])
    assert ended.value.code == 0
    shown = {m["name"]: m for m in json.loads(capsys.readouterr().out)["machines"]}
    assert list(shown) == ["case", "handoff", "issue"]
    for name, edges in GRAPHS.items():
        machine = shown[name]
        assert (machine["initial"], tuple(machine["final"])) == (INITIAL[name], FINAL[name])
        assert tuple(s["id"] for s in machine["states"]) == STATES[name]
        assert all(s["label"] for s in machine["states"])
        rows = [(t["from"], t["event"], t["to"]) for t in machine["transitions"]]
        assert len(set(rows)) == len(rows), "one row per (from, event, to)"
        assert rows == [(e.source, e.event, e.dest) for e in edges]
        for row, edge in zip(machine["transitions"], edges, strict=True):
            assert (row["actors"], row["guards"]) == (list(edge.actors), list(edge.guards))
            assert row["actors"], "somebody may"
            assert "any" not in (row["from"], row["to"])


def test_the_published_figure_has_every_edge(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["graph", "--format", "mermaid"])
    drawn = capsys.readouterr().out
    for edges in GRAPHS.values():
        for edge in edges:
            assert f"{edge.source or '[*]'} --> {edge.dest} : {edge.event}" in drawn


#: workflow.md §1 and §2, written down once more by hand: the source's tables, not the code's.
SPECIFIED = {
    "case": """
        open - intake | untangle intake untangling | untangle role_division untangling | untangle support untangling
        untangle watching untangling | reintake untangling intake | reintake suspended intake | divide untangling role_division
        divide support role_division | support role_division support | support watching support | support intake support
        watch support watching | suspend intake suspended | suspend untangling suspended | suspend role_division suspended
        suspend support suspended | suspend watching suspended | resume suspended intake | resume suspended untangling
        resume suspended role_division | resume suspended support | resume suspended watching
        propose_closing intake intake | propose_closing untangling untangling | propose_closing role_division role_division
        propose_closing support support | propose_closing watching watching | propose_closing suspended suspended
        close intake closed | close untangling closed | close role_division closed | close support closed
        close watching closed | close suspended closed | close_at_once intake closed""",
    "issue": """
        note - open | hold open held | hold gap held | drop held open | mark_gap open gap | not_wanted open not_wanted
        not_wanted gap not_wanted | settle open settled | settle held settled | settle gap settled | raise gap open
        raise not_wanted open | raise settled open""",
}  # fmt: skip


@pytest.mark.parametrize("name", list(SPECIFIED))
def test_the_edges_are_those_of_the_specification(name: str) -> None:
    wanted = {tuple(row.split()) for line in SPECIFIED[name].splitlines() for row in line.split("|") if row.strip()}
    assert {(e.event, e.source or "-", e.dest) for e in GRAPHS[name]} == wanted  # type: ignore[index]


def test_the_edges_of_a_handoff_are_those_of_the_specification() -> None:
    every: set[tuple[str, str, str]] = {
        ("offer", "-", "offered"),
        ("consider", "offered", "considering"),
        ("place_free", "waitlisted", "offered"),
    }
    every |= {("ask", s, "info_requested") for s in ("offered", "considering")}
    every |= {("answer", "info_requested", s) for s in ("offered", "considering")}
    every |= {("waitlist", s, "waitlisted") for s in ("offered", "considering")}
    every |= {("accept_if", s, "conditional") for s in ("offered", "considering", "waitlisted")}
    every |= {("agree", "conditional", "accepted"), ("without", "conditional", "offered")}
    every |= {("accept", s, "accepted") for s in ("offered", "considering", "info_requested", "waitlisted")}
    every |= {
        (e, s, d)
        for e, d in (("decline", "declined"), ("withdraw", "withdrawn"), ("mistake", "mistake"))
        for s in ASKED
    }
    every |= {
        (e, s, d)
        for e, d in (("withdraw", "withdrawn"), ("mistake", "mistake"), ("fail", "failed"), ("release", "released"))
        for s in HELD
    }
    every |= {("expire", s, "expired") for s in ("offered", "considering")} | {("connect", "accepted", "active")}
    every |= {("hold", s, "on_hold") for s in ("accepted", "active")} | {
        ("resume", "on_hold", s) for s in ("accepted", "active")
    }
    every |= {("complete", s, "completed") for s in ("active", "on_hold")}
    assert {(e.event, e.source or "-", e.dest) for e in GRAPHS["handoff"]} == every
