"""Relations between people and a case: lead, holder, sender, receiver, approver … looked up when they are needed, never stored."""

from collections.abc import Iterable
from datetime import datetime

from workflow.case import Case, Handoff, Proposal
from workflow.people import Role, Staff, Town


def lead(case: Case, town: Town) -> tuple[str, ...]:
    """The lead, or every coordinator while the coordinating body holds the case (仮担当)."""
    return (case.lead,) if case.lead else codes(town.coordinators)


def codes(people: Iterable[Staff]) -> tuple[str, ...]:
    return tuple(p.code for p in people)


def receivers(handoff: Handoff, town: Town, at: datetime) -> tuple[str, ...]:
    """Who may answer an offer: the person named and their deputy, else (or once they have left) staff and head of the agency."""
    if handoff.to_staff and handoff.to_staff in town.staff:
        deputy = town.deputy(handoff.to_staff, at)
        return (handoff.to_staff, deputy) if deputy else (handoff.to_staff,)
    answering = (Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.WATCHER, Role.HOST)
    members = town.members.get(handoff.to_agency, ())
    return codes(m for m in members if any(p.agency == handoff.to_agency and p.role in answering for p in m.posts))


def approvers(case: Case, town: Town, proposal: Proposal | None = None) -> tuple[str, ...]:
    """Who may approve, in order: a coordinator, another, the head of the coordinating body, an official.

    Never the proposer, never the lead: a second person decides (workflow.md §1, I5).
    """
    proposal = proposal or case.proposal
    barred = {case.lead, proposal.by if proposal else None}
    order = (*town.coordinators, *town.heads(town.body.code), *town.officials)
    return tuple(dict.fromkeys(p.code for p in order if p.code not in barred))


def team(case: Case, town: Town) -> tuple[str, ...]:
    """Lead, holders, watchers and 見届け役, each once."""
    people = [*lead(case, town)]
    people += [h.holder for h in case.held if h.holder]
    people += [h.sender for h in case.handoffs if h.asked or h.awaits_result or h.state == "accepted"]
    return tuple(dict.fromkeys(people))


def _agency_of(relation: str, case: Case, handoff: Handoff | None, town: Town) -> str:
    """The agency whose head a rung means: the asked or holding one, else the lead's."""
    if handoff and relation in ("receiver", "holder", "head"):
        return handoff.to_agency
    if handoff and relation == "sender":
        return handoff.from_agency
    return town.staff[case.lead].agency if case.lead else town.body.code


def reach(
    relation: str, case: Case, town: Town, at: datetime, *, handoff: Handoff | None = None, owner: str = "lead"
) -> tuple[str, ...]:
    """Find the people behind a rung's relation. An empty answer is passed over by the ladder (deputy: none, skip)."""
    if relation == "owner":
        relation = owner
    match relation:
        case "lead":
            return lead(case, town)
        case "holder" if handoff:
            return (handoff.holder,) if handoff.holder else receivers(handoff, town, at)
        case "sender" if handoff:
            return (handoff.sender,) if handoff.sender in town.staff else lead(case, town)
        case "sender":
            return lead(case, town)
        case "receiver" if handoff:
            return receivers(handoff, town, at)
        case "deputy":
            owners = reach(owner, case, town, at, handoff=handoff)
            deputy = town.deputy(owners[0], at) if len(owners) == 1 else None
            return (deputy,) if deputy else ()
        case "head":
            return codes(town.heads(_agency_of(owner, case, handoff, town)))
        case "coordinator":
            return codes(town.coordinators)
        case "coordinator2":
            return codes(town.coordinators[1:])
        case "body_head":
            return codes(town.heads(town.body.code))
        case "official":
            return codes(town.officials)
        case "final":
            return (town.final_owner,)
        case "approver":
            return approvers(case, town)[:1]
        case "next_approver":
            return approvers(case, town)[1:2]
        case "team":
            return team(case, town)
        case "roster":
            return roster(town, at)[:1]
    return ()


def roster(town: Town, at: datetime) -> tuple[str, ...]:
    """Whom to ring, in order, from the row on duty; rows without a member of staff stand for coordinators and final owner."""
    found: list[str] = []
    for row in town.on_duty(at):
        found += [row.staff] if row.staff else [*codes(town.coordinators), town.final_owner]
    return tuple(dict.fromkeys(found or [*codes(town.coordinators), town.final_owner]))


def stands(
    relation: str, speaker: Staff, case: Case, town: Town, at: datetime, *, handoff: Handoff | None = None
) -> bool:
    """Say whether the speaker is in this relation: the actors of the graphs.

    A coordinator may do whatever lead, holder or sender may (workflow.md §1, §5).
    """
    me = speaker.code
    coordinator = speaker.has(Role.COORDINATOR)
    match relation:
        case "lead":
            return coordinator or me == case.lead or _stands_in(me, case.lead, town, at)
        case "coordinator":
            return coordinator
        case "holder" if handoff:
            return coordinator or me == handoff.holder or _stands_in(me, handoff.holder, town, at)
        case "sender" if handoff:
            # Once the sender has left the town, the lead answers for them.
            left = handoff.sender not in town.staff and me == case.lead
            return coordinator or me == handoff.sender or left or _stands_in(me, handoff.sender, town, at)
        case "receiver" if handoff:
            return me in receivers(handoff, town, at) or (
                handoff.to_staff is not None and speaker.heads(handoff.to_agency)
            )
        case "head":
            return bool(handoff) and speaker.heads(handoff.to_agency) if handoff else speaker.has(Role.HEAD)
        case "approver":
            return me in approvers(case, town)
        case "team":
            return coordinator or me in team(case, town)
        case "staff" | "official":
            return speaker.has(Role(relation))
    return False


def _stands_in(me: str, absent: str | None, town: Town, at: datetime) -> bool:
    """A deputy acts while the person is away."""
    return bool(absent and absent in town.staff and town.away(absent, at) and town.deputy(absent, at) == me)


def knows(speaker: Staff, case: Case, town: Town, at: datetime) -> bool:
    """Say whether this person may open the case: they lead, hold, sent, are asked, or it is their post's duty."""
    # The head of the coordinating body stands in the ladders of every case, and among its approvers.
    if speaker.has(Role.COORDINATOR, Role.OFFICIAL) or speaker.heads(town.body.code):
        return True
    if speaker.code in team(case, town) or speaker.code == case.opened_by:
        return True
    if any((h.asked or h.held) and speaker.code in receivers(h, town, at) for h in case.handoffs):
        return True
    agencies = {h.to_agency for h in case.held} | ({town.staff[case.lead].agency} if case.lead else set())
    if any(speaker.heads(a) for a in agencies):
        return True
    return any(
        _stands_in(speaker.code, p, town, at)
        for p in (*lead(case, town), *(h.holder for h in case.held), *(h.sender for h in case.asked))
    )
