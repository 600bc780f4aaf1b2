"""The graphs as data: no way back door, no dead end, no state that nobody reaches."""

from itertools import product

import pytest

from workflow.path import ASKED, EVENTS, FINAL, GRAPHS, HANDOFF_STATES, HELD, INITIAL, STATES, edge, moves, step
from workflow.refusals import NotFromHere
from workflow.stage import GUARDS

TRIED = [(g, s, e) for g in GRAPHS for s, e in product(STATES[g], EVENTS[g])]


@pytest.mark.parametrize(("graph", "state", "event"), TRIED)
def test_the_machine_allows_what_the_edges_say_and_nothing_else(graph, state, event) -> None:  # type: ignore[no-untyped-def]
    edges = [e for e in GRAPHS[graph] if e.event == event and e.source == state]
    if not edges:
        with pytest.raises(NotFromHere):
            step(graph, state, event)
        assert event not in moves(graph, state)
        return
    assert event in moves(graph, state)
    for one in edges:
        assert step(graph, state, event, left=one.dest if one.back else None) == one.dest


@pytest.mark.parametrize("graph", list(GRAPHS))
def test_every_state_is_reached_and_only_final_ones_are_never_left(graph) -> None:  # type: ignore[no-untyped-def]
    reached = {INITIAL[graph]}
    while more := {e.dest for e in GRAPHS[graph] if e.source in reached} - reached:
        reached |= more
    assert reached == set(STATES[graph])
    assert {s for s in STATES[graph] if not moves(graph, s)} == set(FINAL[graph])


@pytest.mark.parametrize("graph", list(GRAPHS))
def test_no_name_leads_to_a_state_by_the_back_door(graph) -> None:  # type: ignore[no-untyped-def]
    for state, dest in product(STATES[graph], repeat=2):
        with pytest.raises(NotFromHere):
            step(graph, state, f"to_{dest}")


def test_a_way_back_leads_nowhere_else() -> None:
    with pytest.raises(NotFromHere):
        step("handoff", "on_hold", "resume", left="offered")
    with pytest.raises(NotFromHere):
        step("handoff", "info_requested", "answer")
    with pytest.raises(NotFromHere):
        step("case", "suspended", "resume", left="closed")


def test_only_the_clock_expires_and_it_does_nothing_else() -> None:
    for edges in GRAPHS.values():
        for one in edges:
            assert ("clock" in one.actors) == (one.event == "expire")
            assert "clock" not in one.actors or one.actors == ("clock",)


def test_nothing_but_the_approver_closes_and_suspends() -> None:
    """I5: and one alone may close at once, where the path allows it."""
    for one in GRAPHS["case"]:
        if one.event in ("close", "suspend"):
            assert one.actors == ("approver",) and "second_person" in one.guards
        if one.dest == "closed":
            assert one.event in ("close", "close_at_once")


def test_the_states_of_a_handoff_are_asked_held_or_ended() -> None:
    assert set(HANDOFF_STATES) == set(ASKED) | set(HELD) | set(FINAL["handoff"])
    assert len(set(HANDOFF_STATES)) == len(ASKED) + len(HELD) + len(FINAL["handoff"])


def test_an_unknown_edge_is_a_refusal() -> None:
    with pytest.raises(NotFromHere):
        edge("case", "dance", "intake")


def test_every_guard_of_the_path_is_asked_somewhere() -> None:
    """Guards that a table judges, and those that are judged where the words are."""
    in_words = {"reason_given", "second_person", "recheck_date", "notice_over", "reason_for_at_once"}
    named = {g for one in GRAPHS["case"] for g in one.guards}
    assert named - in_words == set(GUARDS)
