"""Need to know (domain.md §1.11): through whose eyes a list is made, why somebody may know a case, what is hidden from the others.

`Sight` decides about one case; storage/sight.py says the same of many in SQL, and a test holds the two together.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from workflow.case import Case, Opening
from workflow.people import Role, Staff, Town
from workflow.who import ANSWERING, coordinators, receivers, serves, stands_in

#: Posts that look at every case which is not restricted: by their duty in its ladders and decisions.
POSTS: Final = (Role.COORDINATOR, Role.OFFICIAL)
#: A count below this may point at somebody.
SUPPRESSED: Final = 5


class All(Enum):
    """The engine's own eyes: auditor, ladders, benchmarks. Never a person's."""

    EVERYTHING = "everything"


EVERYTHING: Final = All.EVERYTHING


class Why(NamedTuple):
    """The reason for which somebody may know a case; `until`, when it ends by itself."""

    code: str  #: lead holder sender receiver overseer deputy opened let_in coordinator official body_head opener head colleague
    until: datetime | None = None


@dataclass(frozen=True)
class Sight:
    """A reader in their town at a moment: all that decides which cases they may know."""

    me: Staff
    town: Town
    at: datetime

    def why(self, case: Case) -> Why | None:
        """Find why this person may know the case; None: they may not. What is theirs in person comes first.

        Of a restricted case a post is no reason, and a member of a barred agency has no reason but what they do in person.
        """
        if found := self._in_person(case) or self._opened(case):
            return found
        if serves(self.me, case.barred):
            return None
        if found := self._asked(case):
            return found
        return None if case.restricted else self._by_post(case)

    def knows(self, case: Case) -> bool:
        confided = case.restricted or case.barred  # else a post that looks at everything is enough
        return (self.everything and not confided) or self.why(case) is not None

    def hides(self, case: Case) -> bool:
        """Say whether the case has to be to this person as if it were not there. Whose offer has ended hears what became of it."""
        if not (case.restricted or case.barred) or self.knows(case):
            return False
        if serves(self.me, case.barred):
            return True
        turned_down = (h for h in case.handoffs if h.ended and h.accepted_at is None)
        return case.restricted and not any(self.me.code in receivers(h, self.town, self.at) for h in turned_down)

    def _in_person(self, case: Case) -> Why | None:
        me = self.me.code
        if me == case.lead:
            return Why("lead")
        if any(h.holder == me for h in case.held):
            return Why("holder")
        if any(h.sender == me for h in case.handoffs if h.asked or h.awaits_result or h.state == "accepted"):
            return Why("sender")
        return Why("overseer") if case.restricted and me in coordinators(case, self.town) else None

    def _opened(self, case: Case) -> Why | None:
        mine: list[Opening] = [o for o in case.openings if o.staff == self.me.code and o.until > self.at]
        newest = max(mine, key=lambda o: o.until, default=None)
        return Why("let_in" if newest.let_in else "opened", newest.until) if newest else None

    def _asked(self, case: Case) -> Why | None:
        me = self.me.code
        if any(h.asked and me in receivers(h, self.town, self.at) for h in case.handoffs):
            return Why("receiver")
        first = (case.overseer,) if case.restricted else ()
        interim = () if case.lead or case.restricted else self.town.coordinators
        leading = (case.lead, *(c.code for c in interim if not serves(c, case.barred)))
        theirs = (*first, *leading, *(h.holder for h in case.held), *(h.sender for h in case.asked))
        return Why("deputy") if any(stands_in(me, p, self.town, self.at) for p in theirs) else None

    def _by_post(self, case: Case) -> Why | None:
        me, town = self.me, self.town
        for role in POSTS:
            if me.has(role):
                return Why(role.value)
        # The head of the coordinating body stands in the ladders of every case, and among its approvers.
        if me.heads(town.body.code):
            return Why("body_head")
        if me.code == case.opened_by:
            return Why("opener")
        leading = town.staff.get(case.lead or "")
        if any(me.heads(a) for a in (*(h.to_agency for h in case.held), *((leading.agency,) if leading else ()))):
            return Why("head")
        return Why("colleague") if any(me.code in receivers(h, town, self.at) for h in case.held) else None

    # -- what storage/sight.py asks

    @cached_property
    def everything(self) -> bool:
        """Say whether a post of theirs looks at every case that is not restricted."""
        return self.me.has(*POSTS) or self.me.heads(self.town.body.code)

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """The agencies in whose name they answer an offer to all."""
        return tuple(dict.fromkeys(p.agency for p in self.me.posts if p.role in ANSWERING))

    @cached_property
    def headed(self) -> tuple[str, ...]:
        return tuple(p.agency for p in self.me.posts if p.role is Role.HEAD)

    @cached_property
    def deputy_of(self) -> tuple[str, ...]:
        """Whose offers by name they may answer."""
        return tuple(p for p in self.town.staff if self.town.deputy(p, self.at) == self.me.code)

    @cached_property
    def stands_for(self) -> tuple[str, ...]:
        """Who is away and has them as deputy."""
        return tuple(p for p in self.deputy_of if self.town.away(p, self.at))


#: Through whose eyes: a person's, or the engine's.
Eyes: TypeAlias = Sight | All


def countable(count: int, sight: Sight, *, leaves: bool = False) -> int | None:
    """A count of cases as it may be shown; None stands for 「5未満」.

    One to four may point at a household: only coordinators and officials see them, and nobody in what leaves the system.
    """
    exact = count == 0 or count >= SUPPRESSED or (sight.me.has(*POSTS) and not leaves)
    return count if exact else None
