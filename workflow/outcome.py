"""What a decision answers: the case as it becomes, what is written of it, what is told to whom."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self, TypeAlias

from workflow.case import Case, Handoff, Issue, Need, Opening, Wait
from workflow.ladder import Urgency
from workflow.path import ENDED, HELD, step
from workflow.people import LEAD, Role, Staff, Town
from workflow.promise import settle
from workflow.sight import Sight
from workflow.who import codes, coordinators, serves

#: What lets whom it reaches into a restricted case, and for how long: a ladder, and the questions of an office.
LETS_IN: Final = frozenset({"ring", "approve_please", "conference_asked", "conference", "abuse"})
LET_IN_FOR: Final = timedelta(days=14)
#: 緊急閲覧 is told to those who watch over it, whatever they may know themselves.
CASE_OPENED: Final = "case_opened"

Data: TypeAlias = Mapping[
    str, object
]  #: plain values only: codes, numbers, ISO dates, ids of texts; never a sentence about a person


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody (or the clock) does something now."""

    by: Staff | None  #: None: the clock
    at: datetime
    town: Town
    surface: str  #: web, console, slack … or "auto"
    fresh: Callable[[], int]  #: a new id, increasing in time
    agency: str = ""  #: the agency that the speaker speaks for

    @property
    def who(self) -> str:
        return self.by.code if self.by else "clock"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: `kind` is machine.event or noun.fact."""

    kind: str
    source: str | None = None
    dest: str | None = None
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a notice is for: a person, or everybody in an agency's room."""

    kind: Literal["staff", "room"]
    code: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What to tell to whom. `kind` names the sentence or the card in bot/voice."""

    kind: str
    to: tuple[Reader, ...]
    handoff: int | None = None
    wait: int | None = None
    data: Data = field(default_factory=dict)
    urgent: bool = False  #: a HIGH or EMERGENCY matter: no budget, no bundle, no quiet hours
    must: bool = False  #: an escalation: it goes once more, elsewhere, when its fate is unknown
    soft: bool = False  #: rides in the next bundle outside
    command: bool = False  #: caused by a coordinator's command: leaves after the undo minutes outside


class Outcome:
    """A decision in the making, and then its answer. Only `done()` makes it whole: it sets the next waits.

    Handoffs leave and enter states through `move` alone, so that lead, issues, needs and the sender's result follow by themselves.
    """

    def __init__(self, case: Case, act: Act) -> None:
        self.before = case  #: what the decision saw; its version is the expected one
        self.case = case
        self.act = act
        self.entries: list[Entry] = []
        self.notices: list[Notice] = []
        self.closed: list[Wait] = []  #: waits that ended, with why
        self.again: set[tuple[str, int | None]] = set()  #: (kind, handoff): close the present wait, open the next
        #: a due time that somebody named, by kind, handoff and subject (None: whichever)
        self.due: dict[tuple[str, int | None, str | None], datetime] = {}
        self.answer: dict[str, object] = {}  #: for the sentence to the speaker

    # -- writing down

    def note(self, kind: str, source: str | None = None, dest: str | None = None, **data: object) -> Self:
        """Add a line to the journal. Data are codes, ids and ISO dates: never a person's story."""
        self.entries.append(Entry(kind, source, dest, data))
        return self

    def become(self, **changes: Any) -> Self:
        """Change the case's own facts."""
        self.case = self.case.become(**changes)
        return self

    def put(self, handoff: Handoff) -> Handoff:
        """Set a handoff in place (new or changed)."""
        others = self.case.handoffs
        if any(h.id == handoff.id for h in others):
            self.become(handoffs=tuple(handoff if h.id == handoff.id else h for h in others))
        else:
            self.become(handoffs=(*others, handoff))
        return handoff

    def set_need(self, need: Need) -> None:
        rest = tuple(n for n in self.case.needs if n.duty != need.duty)
        self.become(needs=(*rest, need))

    def set_issue(self, issue: Issue) -> None:
        others = self.case.issues
        known = any(i.no == issue.no for i in others)
        self.become(issues=tuple(issue if i.no == issue.no else i for i in others) if known else (*others, issue))

    # -- telling

    def tell(
        self, kind: str, *to: str | Reader, handoff: Handoff | None = None, soft: bool = False, must: bool = False,
        wait: int | None = None, urgent: bool = False, **data: object,
    ) -> Self:  # fmt: skip
        """Say something to people (never to the speaker: they get the answer) or to rooms; `urgent` in a NORMAL case too."""
        readers = tuple(dict.fromkeys(Reader("staff", r) if isinstance(r, str) else r for r in to))
        readers = tuple(
            r for r in self._confided(kind, self._there(readers)) if not (r.kind == "staff" and r.code == self.act.who)
        )
        if readers:
            urgent = urgent or self.case.urgency is not Urgency.NORMAL
            must = must or (self.case.urgency is Urgency.EMERGENCY and not soft)
            command = self.act.by is not None and self.act.by.has(Role.COORDINATOR)
            self.notices.append(
                Notice(kind, readers, handoff.id if handoff else None, wait, data, urgent, must, soft, command)
            )
        return self

    def _there(self, readers: tuple[Reader, ...]) -> tuple[Reader, ...]:
        """Leave out who has left the town; where nobody is left the coordinators hear it: never silence."""
        town = self.act.town
        there = tuple(r for r in readers if (r.code in town.staff if r.kind == "staff" else town.members.get(r.code)))
        if there or not readers:
            return there
        return tuple(Reader("staff", code) for code in codes(town.coordinators) or (town.final_owner,))

    def _confided(self, kind: str, readers: tuple[Reader, ...]) -> tuple[Reader, ...]:
        """Of a case that is not for everybody, leave out whom it is not for; what was a post's goes to its own coordinator."""
        case = self.case
        if not (case.restricted or case.barred) or kind == CASE_OPENED:
            return readers
        kept = tuple(r for r in readers if self._may_hear(kind, r))
        meant = {r.code for r in readers if r not in kept and r.kind == "staff"} & set(
            codes(self.act.town.coordinators)
        )
        own = coordinators(case, self.act.town) if meant or not kept else ()
        return tuple(dict.fromkeys((*kept, *(Reader("staff", code) for code in own))))

    def _may_hear(self, kind: str, reader: Reader) -> bool:
        case, town = self.case, self.act.town
        if reader.kind == "room":
            return reader.code not in case.barred
        person = town.staff[reader.code]
        sight = Sight(person, town, self.act.at)
        if sight.knows(case) or sight.knows(self.before):
            return True
        if not case.restricted or kind not in LETS_IN or serves(person, case.barred):
            return False
        self.let_in(reader.code, kind, LET_IN_FOR, by_itself=True)
        return True

    def let_in(
        self, staff: str, why: str, lasts: timedelta, *, text: int | None = None, by_itself: bool = False
    ) -> Opening:
        """Open a restricted case to somebody beside its team for a while."""
        at = self.act.at
        made = Opening(self.act.fresh(), staff, why, at, at + lasts, text, by_itself)
        self.become(openings=(*(o for o in self.case.openings if o.until > at), made))
        if by_itself:
            self.note("case.let_in", person=staff, until=made.until.isoformat())
        return made

    # -- moving

    def move_case(self, event: str, **data: object) -> Self:
        """Take the case along an edge of its path."""
        source = self.case.stage
        dest = step("case", source, event, left=self.case.left)
        left = source if dest == "suspended" else None
        self.become(stage=dest, left=left, stage_at=self.act.at)
        if source == "suspended":
            self.become(recheck=None)
        return self.note(f"case.{event}", source, dest, **data)

    def move_issue(self, issue: Issue, event: str, **changes: Any) -> Issue:
        dest = step("issue", issue.status, event)
        moved = issue.become(status=dest, **changes)
        self.set_issue(moved)
        self.note(f"issue.{event}", issue.status, dest, issue=issue.no, concern=issue.concern)
        return moved

    def move(self, handoff: Handoff, event: str, *, data: Data | None = None, **changes: Any) -> Handoff:
        """Take a handoff along an edge, with all that follows from it for lead, issues, need and sender."""
        dest = step("handoff", handoff.state, event, left=handoff.left)
        back = dest in ("info_requested", "conditional", "on_hold")
        moved = handoff.become(
            state=dest, left=handoff.state if back else None, ended_at=self.act.at if dest in ENDED else None
        )
        moved = self.put(moved.become(**changes))
        self.note(f"handoff.{event}", handoff.state, dest, handoff=moved.no, duty=moved.duty, **(data or {}))
        if dest in HELD and handoff.state not in HELD:
            self._begun(moved)
        if dest in ENDED:
            self._ended(moved, was_held=handoff.state in HELD)
        return moved

    def _begun(self, handoff: Handoff) -> None:
        """Somebody has accepted: its issues are held, the need is answered, a lead changes hands."""
        for issue in self.case.issues:
            if issue.no in handoff.issues and issue.status in ("open", "gap"):
                self.move_issue(issue, "hold")
        self.answer_need(handoff, "accepted")
        if handoff.duty == LEAD:
            self._lead_to(handoff)

    def _ended(self, handoff: Handoff, *, was_held: bool) -> None:
        """It is over: its issues are open again unless somebody else holds them; a lost lead goes to the body."""
        for issue in self.case.issues:
            elsewhere = any(issue.no in h.issues and h.held for h in self.case.handoffs)
            if issue.no in handoff.issues and issue.status == "held" and not elsewhere:
                self.move_issue(issue, "drop")
        if handoff.duty == LEAD and was_held and self.case.open and self.case.lead == handoff.holder:
            self.to_body(f"handoff_{handoff.state}")

    def _lead_to(self, handoff: Handoff) -> None:
        before = self.case.lead
        old = [h for h in self.case.handoffs if h.duty == LEAD and h.held and h.id != handoff.id]
        self.become(lead=handoff.holder, interim=None, interim_since=None)
        for one in old:
            # Completed because the lead has passed on; the holder is no longer the lead, so nothing falls to the body.
            if one.state == "accepted":
                one = self.move(one, "connect", connected_at=one.connected_at or self.act.at)
            done = self.move(one, "complete", result_at=one.result_at or self.act.at)
            self.tell("completed_told", done.sender, handoff=done, soft=True)
        self.note("case.lead", before, handoff.holder)

    def to_body(self, why: str) -> Self:
        """Make the coordinating body 仮担当 at once: no instant without a lead (I1)."""
        body = self.act.town.body.code
        self.note("case.interim", self.case.lead, body, why=why)
        self.become(lead=None, interim=body, interim_since=self.act.at)
        return self.tell("interim", *codes(self.act.town.coordinators), why=why, must=True)

    def answer_need(self, handoff: Handoff, answer: str, *, code: str = "") -> Need:
        """Write down what an agency said, and who names the next step when nobody holds the need."""
        need = self.case.need(handoff.duty)
        asked = list(need.asked)
        for i in range(len(asked) - 1, -1, -1):
            if asked[i].agency == handoff.to_agency and asked[i].answer not in ("declined", "expired"):
                asked[i] = asked[i].become(answer=answer, code=code, answered_at=self.act.at)
                break
        no = answer in ("declined", "expired")
        need = need.become(asked=tuple(asked), hops=need.hops + no)
        if answer == "accepted":
            need = need.become(stuck=False, to_coordinator=False, why="", bounced=False)
        self.set_need(need)
        return need

    def stick(self, handoff: Handoff, why: str, *, coordinator: bool = False) -> Need:
        """Nobody holds this need now: whoever asked names the next step, or the coordinator (workflow.md §2, §3)."""
        need = self.case.need(handoff.duty)
        live = any(h.asked or h.held for h in self.case.of_duty(handoff.duty))
        if not live:
            second = need.hops >= 2 or need.bounced
            sender, town = handoff.sender, self.act.town
            theirs = sender != self.case.lead and sender in town.staff and town.is_coordinator(sender)
            self.set_need(need.become(stuck=True, to_coordinator=coordinator or second or theirs, why=why))
        return self.case.need(handoff.duty)

    # -- the promise

    def renew(self, kind: str, handoff: int | None = None, due: datetime | None = None) -> Self:
        """The present wait of this kind is answered; the next one begins (at `due` when somebody named it)."""
        self.again.add((kind, handoff))
        return self.name_due(kind, handoff, due)

    def name_due(self, kind: str, handoff: int | None, due: datetime | None, subject: str | None = None) -> Self:
        """Give one wait its due time; where several of a kind stand side by side the subject says which."""
        if due is not None:
            self.due[(kind, handoff, subject)] = due
        return self

    def named_due(self, kind: str, handoff: int | None, subject: str) -> datetime | None:
        return self.due.get((kind, handoff, subject)) or self.due.get((kind, handoff, None))

    def done(self) -> Self:
        """Set the next waits: what the state of the case demands and nothing else (workflow/promise.py)."""
        settle(self)
        return self
