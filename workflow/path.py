"""The three graphs as data: a case's path, a handoff, an issue.

One tuple of edges makes the machine, the published graph, the triple test and the help page. Guards and actors are names:
`case.py`, `handoff.py` know what they mean. The machine only checks the move; races are settled by row counts elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from transitions import EventData, Machine, MachineError

from workflow.refusals import NotFromHere

Graph = Literal["case", "handoff", "issue"]


@dataclass(frozen=True, slots=True)
class Edge:
    """One legal move. `back` marks a move to whatever state was left (resume, answer)."""

    event: str
    source: str | None  #: None: the opening edge
    dest: str
    actors: tuple[str, ...]
    guards: tuple[str, ...] = ()
    back: bool = False


def _edges(
    event: str, sources: Iterable[str | None], dest: str | None, actors: str, guards: str = "", *, back: bool = False
) -> Iterator[Edge]:
    for source in sources:
        yield Edge(event, source, dest or source or "", tuple(actors.split()), tuple(guards.split()), back)


ACTIVE_STAGES = ("intake", "untangling", "role_division", "support", "watching")
OPEN_STAGES = (*ACTIVE_STAGES, "suspended")
STAGES = (*OPEN_STAGES, "closed")

CASE: tuple[Edge, ...] = (
    *_edges("open", (None,), "intake", "staff head coordinator official", "duplicates_shown"),
    *_edges("untangle", ("intake",), "untangling", "lead coordinator", "screened consent_recorded"),
    *_edges("untangle", ("role_division", "support", "watching"), "untangling", "lead coordinator"),
    *_edges("reintake", ("untangling", "suspended"), "intake", "lead coordinator", "reason_given"),
    *_edges(
        "divide", ("untangling", "support"), "role_division", "lead coordinator", "issues_have_wish conference_decided"
    ),
    *_edges("support", ("role_division", "watching"), "support", "coordinator lead", "issues_covered lead_accepted"),
    *_edges("support", ("intake",), "support", "coordinator lead", "issues_covered lead_accepted one_agency_holds_all"),
    *_edges(
        "watch",
        ("support",),
        "watching",
        "lead coordinator",
        "watcher_accepted interval_set warning_signs no_urgent_issue",
    ),
    *_edges("suspend", ACTIVE_STAGES, "suspended", "approver", "second_person recheck_date"),
    *(e for stage in ACTIVE_STAGES for e in _edges("resume", ("suspended",), stage, "lead coordinator", back=True)),
    *_edges("propose_closing", OPEN_STAGES, None, "lead coordinator", "reason_given no_open_offer tracks_ended"),
    *_edges("close", OPEN_STAGES, "closed", "approver", "proposed second_person notice_over no_objection tracks_ended"),
    *_edges(
        "close_at_once", ("intake",), "closed", "lead coordinator", "reason_for_at_once no_accepted_handoff no_danger"
    ),
)

#: Where an offer still waits for its answer, where somebody holds it, and where it has ended.
ASKED = ("offered", "considering", "info_requested", "waitlisted", "conditional")
HELD = ("accepted", "active", "on_hold")
ENDED = ("declined", "withdrawn", "expired", "released", "completed", "failed", "mistake")
HANDOFF_STATES = (*ASKED, *HELD, *ENDED)

HANDOFF: tuple[Edge, ...] = (
    *_edges("offer", (None,), "offered", "lead coordinator", "basis_for_receiver"),
    *_edges("consider", ("offered",), "considering", "receiver", "date_within_wait once"),
    *_edges("ask", ("offered", "considering"), "info_requested", "receiver", "two_questions_at_most"),
    *(e for s in ("offered", "considering") for e in _edges("answer", ("info_requested",), s, "sender", back=True)),
    *_edges("waitlist", ("offered", "considering"), "waitlisted", "receiver"),
    *_edges("place_free", ("waitlisted",), "offered", "receiver"),
    *_edges("accept_if", ("offered", "considering", "waitlisted"), "conditional", "receiver", "condition_given"),
    *_edges("agree", ("conditional",), "accepted", "sender coordinator"),
    *_edges("without", ("conditional",), "offered", "sender coordinator"),
    *_edges("accept", ("offered", "considering", "info_requested", "waitlisted"), "accepted", "receiver head"),
    *_edges("decline", ASKED, "declined", "receiver", "decline_reason"),
    *_edges("withdraw", ASKED, "withdrawn", "sender coordinator"),
    *_edges("withdraw", HELD, "withdrawn", "coordinator"),
    *_edges("expire", ("offered", "considering"), "expired", "clock", "not_last_candidate"),
    *_edges("connect", ("accepted",), "active", "holder"),
    *_edges("hold", ("accepted", "active"), "on_hold", "holder coordinator", "hold_date"),
    *(e for s in ("accepted", "active") for e in _edges("resume", ("on_hold",), s, "holder coordinator", back=True)),
    *_edges("complete", ("active", "on_hold"), "completed", "holder coordinator"),
    *_edges("fail", HELD, "failed", "holder coordinator"),
    *_edges("release", HELD, "released", "holder coordinator"),
    *_edges("mistake", ASKED, "mistake", "sender"),
    *_edges("mistake", HELD, "mistake", "coordinator"),
)

ISSUE_STATES = ("open", "held", "gap", "not_wanted", "settled")

ISSUE: tuple[Edge, ...] = (
    *_edges("note", (None,), "open", "lead coordinator"),
    *_edges("hold", ("open", "gap"), "held", "engine"),
    *_edges("drop", ("held",), "open", "engine"),
    *_edges("mark_gap", ("open",), "gap", "lead coordinator"),
    *_edges("not_wanted", ("open", "gap"), "not_wanted", "lead coordinator"),
    *_edges("settle", ("open", "held", "gap"), "settled", "lead coordinator"),
    *_edges("raise", ("gap", "not_wanted", "settled"), "open", "lead coordinator"),
)

GRAPHS: dict[Graph, tuple[Edge, ...]] = {"case": CASE, "handoff": HANDOFF, "issue": ISSUE}
STATES: dict[Graph, tuple[str, ...]] = {"case": STAGES, "handoff": HANDOFF_STATES, "issue": ISSUE_STATES}
FINAL: dict[Graph, tuple[str, ...]] = {"case": ("closed",), "handoff": ENDED, "issue": ()}
INITIAL: dict[Graph, str] = {"case": "intake", "handoff": "offered", "issue": "open"}
EVENTS: dict[Graph, tuple[str, ...]] = {g: tuple(dict.fromkeys(e.event for e in edges)) for g, edges in GRAPHS.items()}


class _Traveller:
    """What the shared machine drives: a state, and the state it would go back to."""

    def __init__(self, state: str, left: str | None) -> None:
        self.state = state
        self.left = left


def _came_from(dest: str) -> Callable[[EventData], bool]:
    return lambda event: isinstance(event.model, _Traveller) and event.model.left == dest


@cache
def _machine(graph: Graph) -> Machine:
    """Build a graph's machine once: a machine per model would cost 140 µs and 30–85 kB each."""
    machine = Machine(
        model=None, states=list(STATES[graph]), initial=None, auto_transitions=False, send_event=True, queued=False
    )
    for edge in GRAPHS[graph]:
        if edge.source is not None:
            back: list[str | Callable[..., bool | None]] = [_came_from(edge.dest)] if edge.back else []
            machine.add_transition(edge.event, edge.source, edge.dest, conditions=back or None)
    return machine


def step(graph: Graph, state: str, event: str, *, left: str | None = None) -> str:
    """Say where `event` leads from `state`; `left` is the state that a way back returns to.

    Raises NotFromHere when the graph has no such edge.
    """
    traveller = _Traveller(state, left)
    found = _machine(graph).events.get(event)
    # transitions answers False, not an exception, when a condition says no; both are "not from here".
    try:
        moved = found is not None and found.trigger(traveller)
    except MachineError:
        moved = False
    if not moved:
        raise NotFromHere(graph=graph, state=state, event=event)
    return traveller.state


@cache
def edge(graph: Graph, event: str, source: str | None) -> Edge:
    """Find the edge of `event` out of `source` (the first, where ways back differ only in where they lead)."""
    for one in GRAPHS[graph]:
        if one.event == event and one.source == source:
            return one
    raise NotFromHere(graph=graph, state=source or "", event=event)


def moves(graph: Graph, state: str) -> tuple[str, ...]:
    """List the events that leave `state`, in the graph's order."""
    return tuple(dict.fromkeys(e.event for e in GRAPHS[graph] if e.source == state))
