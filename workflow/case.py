"""A case as a value: everything one decision looks at. No rules here but what can be read off the value itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from workflow.ladder import Policy, Urgency
from workflow.path import ASKED, ENDED, HELD
from workflow.people import LEAD, WATCH

#: Waits of a track (workflow/report.py): known to those alone who have to act on it.
TRACK = frozenset({"report", "child_safety", "report_follow"})


class Value:
    """A frozen value that can be made anew with some of its facts changed."""

    def become(self, **facts: Any) -> Self:
        """Make it with these facts changed: `dataclasses.replace`, less its setting of every field anew (25 µs for a case).

        Raises TypeError for a fact that it does not have.
        """
        own = self.__dict__
        if not facts.keys() <= own.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(facts.keys() - own.keys())}.")
        fresh = object.__new__(type(self))
        fresh.__dict__.update(own, **facts)
        return fresh


@dataclass(frozen=True)
class Issue(Value):
    """One strand of the troubles, with the person's own wish."""

    no: int  #: 1, 2, 3 … within the case
    concern: str  #: a code of the town's list
    wish: str = "unknown"  #: wanted | not_wanted | unknown
    status: str = "open"
    urgent: bool = False


@dataclass(frozen=True)
class Asked(Value):
    """An agency that was asked for a need, and what it said."""

    agency: str
    at: datetime
    answer: str = ""  #: "", accepted, declined, expired, withdrawn, released, failed, mistake
    code: str = ""  #: of the decline
    answered_at: datetime | None = None


@dataclass(frozen=True)
class Need(Value):
    """(case, duty): who was asked, and how often nobody could."""

    duty: str
    asked: tuple[Asked, ...] = ()
    hops: int = 0  #: declines and silences for this need
    stuck: bool = False  #: somebody has to name the next step
    to_coordinator: bool = False  #: … and that is the coordinator (their own offer, second no, release, bounce)
    why: str = ""  #: what stuck it: declined | expired | released | withdrawn | failed | condition
    bounced: bool = False  #: it went back to a former holder

    def refused_by(self) -> Iterator[Asked]:
        return (a for a in self.asked if a.answer in ("declined", "expired"))


@dataclass(frozen=True)
class Proxy(Value):
    """代理の記録: an answer that somebody else wrote down."""

    by: str
    person: str
    means: str  #: phone | fax | meeting
    at: datetime


@dataclass(frozen=True)
class Handoff(Value):
    """An offer of a duty (or of the lead), and what became of it."""

    id: int
    no: int  #: 1, 2, 3 … within the case
    duty: str
    state: str
    sender: str  #: 見届け役: on until the result has come back
    from_agency: str
    to_agency: str
    offered_at: datetime
    basis: str
    left: str | None = None  #: the state that resume or answer returns to
    to_staff: str | None = None  #: the person named, when one is
    holder: str | None = None
    batch: int | None = None  #: 一斉依頼: the first acceptance wins among its handoffs
    issues: tuple[int, ...] = ()
    meets_person: bool = True
    why: str = ""  #: 担当替え: why the lead is to change (a code)
    keeps: str = ""  #: 力合わせ: what the sender goes on doing (a duty code), or empty
    last_candidate: bool = False
    weekly: bool = False  #: the agency decides in a weekly 受理会議
    until: datetime | None = None  #: 検討 to, 空き待ち review, 一時休み until
    considered: bool = False
    questions: int = 0
    question: str = ""  #: a code of the town's [[missing]]
    condition: str = ""  #: a code of the town's [[condition]]
    accepted_at: datetime | None = None
    connected_at: datetime | None = None
    result_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""  #: a code: decline, release
    text: int | None = None  #: id of a sealed text
    attempts: int = 0  #: 会えず before first contact
    calm: int = 0  #: 会えた・変わりなし in a row
    missed: int = 0  #: 会えていない in a row
    cadence: str = ""  #: a Span between check-ins; empty: the policy's
    ask_again: str = ""  #: policy of the next check-in when it is not the usual one
    lengthen: bool = False  #: the bot has proposed a longer interval, a human has not answered
    withdraw_asked: bool = False  #: the sender asked to take back what was accepted; the coordinator decides
    held_by_head: bool = False  #: a head holds it for an absent or leaving member
    proxy: Proxy | None = None
    late_accept: str | None = None  #: who accepted after it had ended

    @property
    def asked(self) -> bool:
        return self.state in ASKED

    @property
    def held(self) -> bool:
        return self.state in HELD

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def awaits_result(self) -> bool:
        """つながった has been said and the holder's first report has not come back."""
        return self.connected_at is not None and self.result_at is None and self.held


@dataclass(frozen=True)
class Wait(Value):
    """次の約束: what somebody has to do until when, and whom its silence reaches."""

    id: int
    kind: str
    owner: str  #: a relation (lead, receiver, coordinator …), looked up when needed
    opened_at: datetime
    due_at: datetime
    policy: Policy
    handoff: int | None = None
    about: int | None = None  #: the wait that this one was climbed from, the handoff's text …
    rung: int = 0  #: the next rung to ring
    next_at: datetime | None = None  #: when it rings; the live timer
    urgency: Urgency = Urgency.NORMAL
    paused_left: float | None = None  #: open minutes left while the receiver's clock stands still
    extended: int = 0
    was: datetime | None = None  #: its due time before the last 期限延長; what 取消 goes back to
    told: tuple[str, ...] = ()  #: who has been told by this ladder already
    subject: str = ""  #: a person or account, for waits about somebody (相談, 電話, 緊急)
    closed_at: datetime | None = None
    why: str = ""  #: what closed it

    @property
    def key(self) -> tuple[str, int | None, int | None, str]:
        return (self.kind, self.handoff, self.about, self.subject)


@dataclass(frozen=True)
class Consent(Value):
    """The person's agreement that something may be shared."""

    state: str  #: full | partial | pending | refused | withdrawn | not_sought
    agencies: tuple[str, ...] = ()  #: with partial: only these
    at: datetime | None = None


@dataclass(frozen=True)
class Proposal(Value):
    """A closing or a suspension that waits for its second person."""

    kind: str  #: close | suspend
    by: str
    at: datetime
    reason: str
    notice_until: datetime | None = None  #: None: no notice (suspension, 逝去)
    asked: bool = False  #: the notice is over and the approver has been asked
    objections: tuple[str, ...] = ()
    recheck: datetime | None = None
    procedure: bool = False  #: 連絡不通: the logged procedure is there


@dataclass(frozen=True)
class Report(Value):
    """A suspicion of abuse and its statutory track (workflow/report.py)."""

    no: int
    kind: str  #: child | elder | disability | dv
    by: tuple[str, ...]  #: who raised it
    at: datetime
    reported_at: datetime | None = None  #: 通告・通報: the first one
    to: str = ""  #: a code: whom the last report went to
    means: str = ""  #: phone | fax | meeting
    seen_at: datetime | None = None  #: 安全確認: the first one
    ended_at: datetime | None = None
    how: str = ""  #: a code: how an official ended it

    @property
    def open(self) -> bool:
        return self.ended_at is None


@dataclass(frozen=True)
class Request(Value):
    """Something asked beside the path: 相談, 電話, 気がかり, 安否確認, 支援会議."""

    no: int
    kind: str  #: talk | phone | concern | safety | conference
    by: str
    at: datetime
    handoff: int | None = None


@dataclass(frozen=True)
class Opening(Value):
    """Somebody beside the team may know a restricted case for a while."""

    id: int
    staff: str
    why: str  #: a reason of 緊急閲覧, or what let them in: ring, approve_please …
    at: datetime
    until: datetime
    text: int | None = None  #: 緊急閲覧: id of the sealed words
    let_in: bool = False  #: a ladder or a question of their office has reached them; else they opened it themselves


@dataclass(frozen=True)
class Case(Value):
    """One episode of one household."""

    id: int
    number: str
    household: int
    stage: str
    urgency: Urgency
    opened_at: datetime
    opened_by: str
    opened_agency: str
    version: int = 0
    seq: int = 0  #: length of the journal
    head: str = ""  #: hash of its last line
    lead: str | None = None
    interim: str | None = None  #: the coordinating body, when nobody else is
    previous: int | None = None  #: the episode before
    left: str | None = None  #: the stage that resume returns to
    district: str | None = None
    moved_at: datetime | None = None  #: last human act; the "no movement" waits count from here
    stage_at: datetime | None = None
    screening: str = ""  #: continue | refer | inform
    duplicates_shown: bool = True
    consent: Consent | None = None
    bases: tuple[tuple[str, str], ...] = ()  #: (agency, basis) beside consent
    conference: str = ""  #: "" | not_needed | planned
    conference_at: datetime | None = None
    interval: str = ""  #: of the watcher's check-ins, a Span
    signs: int | None = None  #: id of the sealed warning signs
    danger: bool = False
    abuse: bool = False  #: suspected, and not found to be none
    deceased: bool = False
    decision: str = ""  #: "" | asked (支援決定 is waited for) | pending (事後承認) | made
    coordination: str = ""  #: "" | active | ended (区切り)
    proposal: Proposal | None = None
    closing_reason: str = ""
    closed_at: datetime | None = None
    reviewed_at: datetime | None = None
    interim_since: datetime | None = None
    recheck: datetime | None = None  #: of a suspended case
    issues: tuple[Issue, ...] = ()
    needs: tuple[Need, ...] = ()
    requests: tuple[Request, ...] = ()
    reports: tuple[Report, ...] = ()
    restricted: bool = False  #: 限定: known to its team alone (workflow/sight.py)
    overseer: str | None = None  #: 見る調整役: the coordinator of a restricted case
    barred: tuple[str, ...] = ()  #: agencies that serve the other party
    flags: tuple[str, ...] = ()  #: measures (支援措置) | sheltered (避難中)
    openings: tuple[Opening, ...] = ()
    handoffs: tuple[Handoff, ...] = field(default=())
    waits: tuple[Wait, ...] = field(default=())  #: the open ones

    @property
    def open(self) -> bool:
        return self.stage != "closed"

    def handoff(self, no_or_id: int) -> Handoff | None:
        return next((h for h in self.handoffs if no_or_id in (h.id, h.no)), None)

    def of_duty(self, duty: str) -> Iterator[Handoff]:
        return (h for h in self.handoffs if h.duty == duty)

    @property
    def held(self) -> tuple[Handoff, ...]:
        return tuple(h for h in self.handoffs if h.held)

    @property
    def asked(self) -> tuple[Handoff, ...]:
        return tuple(h for h in self.handoffs if h.asked)

    @property
    def lead_handoff(self) -> Handoff | None:
        """The handoff that gave the present lead the lead; None when they opened the case."""
        return next((h for h in self.held if h.duty == LEAD), None)

    @property
    def watchers(self) -> tuple[Handoff, ...]:
        return tuple(h for h in self.held if h.duty == WATCH)

    def need(self, duty: str) -> Need:
        return next((n for n in self.needs if n.duty == duty), Need(duty))

    def issue(self, concern: str) -> Issue | None:
        return next((i for i in self.issues if i.concern == concern), None)

    def wait(self, kind: str, handoff: int | None = None) -> Wait | None:
        return next((w for w in self.waits if w.kind == kind and (handoff is None or w.handoff == handoff)), None)

    def waits_of(self, handoff: int) -> Iterator[Wait]:
        return (w for w in self.waits if w.handoff == handoff)

    @property
    def nearest(self) -> Wait | None:
        """The wait that lists show; a track's are in nobody's list."""
        shown = (w for w in self.waits if w.paused_left is None and w.kind not in TRACK)
        return min(shown, key=lambda w: w.due_at, default=None)

    def agencies(self) -> frozenset[str]:
        """Agencies that hold, watch or are being asked something of this case."""
        asked = {a for h in self.handoffs if h.asked or h.held for a in (h.to_agency, h.from_agency)}
        return frozenset(asked | {self.opened_agency})
