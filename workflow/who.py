"""Relations between people and a case: lead, holder, sender, receiver, approver … looked up when they are needed, never stored."""

from collections.abc import Iterable
from datetime import datetime

from workflow.case import Case, Handoff, Proposal
from workflow.people import Role, Staff, Town

#: Who answers an offer that was made to their agency.
ANSWERING = (Role.STAFF, Role.HEAD, Role.COORDINATOR, Role.WATCHER, Role.HOST)


def lead(case: Case, town: Town) -> tuple[str, ...]:
    """The lead, or every coordinator of the case while the coordinating body holds it (仮担当)."""
    return (case.lead,) if case.lead else coordinators(case, town)


def coordinators(case: Case, town: Town) -> tuple[str, ...]:
    """The coordinators of a case: of a restricted one whoever was named (見る調整役), else all but members of a barred agency.

    Where none of them is left the final owner stands in: a ladder always ends at a human.
    """
    found = [c for c in town.coordinators if not serves(c, case.barred)]
    if case.restricted:
        found = [c for c in found if c.code == case.overseer]
    return codes(found) or (town.final_owner,)


def serves(person: Staff, agencies: Iterable[str]) -> bool:
    """Say whether somebody belongs to one of these agencies."""
    return not set(agencies).isdisjoint(person.agencies)


def codes(people: Iterable[Staff]) -> tuple[str, ...]:
    return tuple(p.code for p in people)


def receivers(handoff: Handoff, town: Town, at: datetime) -> tuple[str, ...]:
    """Who may answer an offer: the person named and their deputy, else (or once they have left) staff and head of the agency."""
    if handoff.to_staff and handoff.to_staff in town.staff:
        deputy = town.deputy(handoff.to_staff, at)
        return (handoff.to_staff, deputy) if deputy else (handoff.to_staff,)
    members = town.members.get(handoff.to_agency, ())
    return codes(m for m in members if any(p.agency == handoff.to_agency and p.role in ANSWERING for p in m.posts))


def approvers(case: Case, town: Town, proposal: Proposal | None = None) -> tuple[str, ...]:
    """Who may approve, in order: a coordinator, another, the head of the coordinating body, an official.

    Never the proposer, never the lead: a second person decides (workflow.md §1, I5).
    """
    proposal = proposal or case.proposal
    partial = {case.lead, proposal.by if proposal else None}
    beyond = (p for p in (*town.heads(town.body.code), *town.officials) if not serves(p, case.barred))
    order = (*coordinators(case, town), *codes(beyond))
    return tuple(dict.fromkeys(code for code in order if code not in partial))


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
            return coordinators(case, town)
        case "coordinator2":
            return coordinators(case, town)[1:]
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
            return coordinator or me == case.lead or stands_in(me, case.lead, town, at)
        case "coordinator":
            return coordinator
        case "holder" if handoff:
            return coordinator or me == handoff.holder or stands_in(me, handoff.holder, town, at)
        case "sender" if handoff:
            # Once the sender has left the town, the lead answers for them.
            left = handoff.sender not in town.staff and me == case.lead
            return coordinator or me == handoff.sender or left or stands_in(me, handoff.sender, town, at)
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


def stands_in(me: str, absent: str | None, town: Town, at: datetime) -> bool:
    """A deputy acts while the person is away."""
    return bool(absent and absent in town.staff and town.away(absent, at) and town.deputy(absent, at) == me)
