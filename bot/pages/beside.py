"""A case at a glance: the panel beside a conversation, and the pieces that the case's own page shares with it."""

from typing import Final

from bot.pages.frame import Desk, View, guards, urgency
from bot.voice.scene import Scene
from workflow.case import Case, Handoff, Wait
from workflow.report import seen_by
from workflow.who import reach

STATIONS: Final = ("intake", "untangling", "role_division", "support", "watching")


def scene(found: Desk, case: Case, wait: Wait | None = None, handoff: Handoff | None = None, mark: str = "") -> Scene:
    return Scene("page", {}, case, handoff, wait, found.me, None, found.town, found.now, found.voice, mark)


def chip(found: Desk, case: Case, wait: Wait) -> View:
    """A wait's chip; its share in tenths, so that a page does not change every minute."""
    made = scene(found, case).chip(wait)
    return {**made, "share": round(float(str(made["share"])), 1)}


def lead_name(found: Desk, lead: str | None, interim: str | None) -> str:
    """主担当 in one word: the agency's name, 仮 while the body holds it."""
    if lead and lead in found.town.staff:
        return found.voice.agency(found.town.staff[lead].agency)
    return found.t("{agency}(仮)", agency=found.voice.agency(interim)) if interim else ""


def wait_label(found: Desk, case: Case, wait: Wait) -> str:
    """「家計相談の返事」: whose or what wait it is."""
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    label = found.voice.label("wait", wait.kind)
    duty = handoff.duty if handoff else wait.subject if wait.kind == "next_step" else ""
    return found.t("{duty} {what}", duty=found.voice.label("duty", duty), what=label) if duty else label


def owners(found: Desk, case: Case, wait: Wait) -> str:
    """Whose turn it is, by name where it is one or two, else by what they are."""
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    people = reach(wait.owner, case, found.town, found.now, handoff=handoff, owner=wait.owner)
    if handoff and wait.owner in ("receiver", "holder", "head"):
        agency = found.voice.agency(handoff.to_agency)
        return f"{agency} {found.voice.person(people[0])}" if len(people) == 1 else agency
    if len(people) in (1, 2):
        return found.voice.people(people)
    return found.voice.label("relation", wait.owner)


def stations_small(found: Desk, case: Case) -> View:
    here = STATIONS.index(case.stage) if case.stage in STATIONS else -1
    shown = [
        {
            "stage": stage, "label": found.voice.label("stage", stage),
            "state": "now" if i == here else "visited" if i < here or here < 0 else "todo",
        }
        for i, stage in enumerate(STATIONS)
    ]  # fmt: skip
    return {"sentence": found.t("いまは{stage}です", stage=found.voice.label("stage", case.stage)), "stations": shown}


def role_rows(found: Desk, case: Case) -> list[View]:
    """Each duty and who holds it; a need that nobody holds is a gap."""
    rows: list[View] = []
    for handoff in (*case.held, *case.asked):
        kind = "done" if handoff.held else "soon"
        rows.append({
            "text": found.voice.label("duty", handoff.duty),
            "wait": {"kind": kind, "text": found.voice.agency(handoff.to_agency), "share": 0.5},
        })  # fmt: skip
    for need in case.needs:
        if need.stuck:
            rows.append(
                {"text": found.voice.label("duty", need.duty), "wait": {"kind": "gap", "text": found.t("担い手なし")}}
            )
    return rows


def holders(found: Desk, case: Case) -> list[View]:
    """主担当 and every 見届け役."""
    voice = found.voice
    name = voice.person(case.lead) if case.lead else voice.agency(case.interim)
    lead = found.town.staff.get(case.lead or "")
    detail = voice.agency(lead.agency) if lead else found.t("仮担当")
    rows: list[View] = [{"label": found.t("主担当"), "name": name, "detail": detail}]
    for handoff in case.handoffs:
        if handoff.state == "accepted" or handoff.awaits_result:
            until = found.t("{agency}の報告まで", agency=voice.agency(handoff.to_agency))
            if handoff.state == "accepted":
                until = found.t("{agency}がつながるまで", agency=voice.agency(handoff.to_agency))
            rows.append({"label": found.t("見届け役"), "name": voice.person(handoff.sender), "detail": until})
    return rows


def panel(found: Desk, case: Case, mark: str) -> View:
    """What stands beside the conversation."""
    case = seen_by(found.me, case, found.town, found.now)
    held = holders(found, case)
    waits = sorted(case.waits, key=lambda w: w.due_at)[:5]
    return {
        "number": case.number, "mark": mark, "guards": guards(found, case.restricted, case.flags), "urgency": urgency(found, case.urgency.value), "href": f"/cases/{case.number}",
        "path": stations_small(found, case),
        "facts": [{"label": h["label"], "value": h["name"], "note": h["detail"], "strong": i == 0} for i, h in enumerate(held)],
        "waits": [
            {"label": wait_label(found, case, w), "text": owners(found, case, w), "wait": chip(found, case, w)} for w in waits
        ],
        "roles": role_rows(found, case),
    }  # fmt: skip
