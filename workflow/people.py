"""Who is in the town: agencies, staff, duties, code lists, the roster. One frozen value, made from the town file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from workflow.calendar import Hours
from workflow.ladder import Policy


class Role(StrEnum):
    """What a member of staff is."""

    STAFF = "staff"
    HEAD = "head"
    COORDINATOR = "coordinator"
    OFFICIAL = "official"
    WATCHER = "watcher"
    HOST = "host"
    ADMIN = "admin"
    PRIVACY = "privacy"


#: Volunteers: fewer words, 「難しい」 always fine, calendar days from ten to five.
VOLUNTEERS = frozenset({Role.WATCHER, Role.HOST})

#: Duties that every town has whatever its file says.
LEAD = "lead"
WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Post:
    """A person's place in one agency; somebody may have two."""

    agency: str
    role: Role


@dataclass(frozen=True, slots=True)
class Agency:
    """One of the town's agencies, as its file describes it."""

    code: str
    name: str
    kind: str  #: first_line | coordinating_body | municipality | provider | outreach | host | watcher
    hours: Hours
    fields: tuple[str, ...] = ()
    districts: tuple[str, ...] = ()  #: empty: the whole town
    phone: str = ""
    capacity: int | None = None  #: the agency's own mark (目安), never a refusal
    decides: str = "daily"  #: "weekly": a 受理会議, so a decision takes ten business days
    discreet: bool = False  #: shown as 関係機関 outside
    platforms: tuple[str, ...] = ()  #: allowed here; all when empty
    valid_from: date | None = None
    valid_to: date | None = None

    @property
    def volunteer(self) -> bool:
        return self.kind in ("watcher", "host")


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff or a volunteer."""

    code: str
    name: str
    posts: tuple[Post, ...]
    deputy: str | None = None
    email: str = ""
    chat: tuple[tuple[str, str], ...] = ()  #: (platform, account)
    language: str = ""  #: "ja" | "en"; empty: the town's
    valid_from: date | None = None
    valid_to: date | None = None

    @property
    def agency(self) -> str:
        """The first agency: the one this person speaks for unless they say otherwise."""
        return self.posts[0].agency

    @property
    def agencies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.agency for p in self.posts))

    def has(self, *roles: Role) -> bool:
        return any(p.role in roles for p in self.posts)

    def heads(self, agency: str) -> bool:
        return Post(agency, Role.HEAD) in self.posts

    @property
    def volunteer(self) -> bool:
        return all(p.role in VOLUNTEERS for p in self.posts)

    def serves(self, day: date) -> bool:
        """Say whether a local day lies within this person's time here."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True, slots=True)
class Duty:
    """A 役割 that can be asked for."""

    code: str
    label: str
    fields: tuple[str, ...] = ()  #: agencies of these fields are candidates; empty: any
    meets_person: bool = True  #: 助言 and 後方支援 do not: their first report counts as つながった


@dataclass(frozen=True, slots=True)
class Code:
    """One line of a town's code list (concern, decline, condition, missing)."""

    code: str
    label: str
    short: str = ""
    fields: tuple[str, ...] = ()
    starred: bool = False  #: outside only 「理由はWebで」
    whose: str = "agency"  #: agency | person | engine: whose refusal it is
    lasting: bool = True  #: whether it can change: false means ask again later
    next: str = "candidate"  #: what is proposed: candidate | waitlist | answer | deputy | other | interpreter | consult


@dataclass(frozen=True, slots=True)
class OnCall:
    """A row of the roster: whom to telephone, when."""

    name: str
    phone: str
    staff: str | None = None  #: who gets the card; None: coordinators and the final owner
    days: frozenset[int] = frozenset(range(7))  #: Monday is 0
    start: time = time(0, 0)
    end: time = time(0, 0)  #: equal to start: round the clock; before start: over midnight

    def on(self, local: datetime) -> bool:
        """Say whether this row is on duty at a local moment."""
        clock = local.time()
        if self.start == self.end:
            return local.weekday() in self.days
        if self.start < self.end:
            return local.weekday() in self.days and self.start <= clock < self.end
        if clock >= self.start:
            return local.weekday() in self.days
        return clock < self.end and (local.weekday() - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class Absence:
    """Somebody is away: [start, end) in UTC, and who answers meanwhile."""

    staff: str
    start: datetime
    end: datetime
    deputy: str | None = None


class Quiet(NamedTuple):
    """Hours without pushes that are not urgent, as minutes of the local day; `start` after `end` goes over midnight."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phone:
    label: str
    number: str


@dataclass(frozen=True, slots=True)
class ReportLine:
    """A number to call when abuse is suspected."""

    kind: str  #: child | elder | disability | dv
    label: str
    number: str


@dataclass(frozen=True)
class Town:
    """A municipality: everything that its file says, plus who is away just now."""

    code: str
    name: str
    zone: str
    final_owner: str  #: the official at the end of every ladder; cannot be null
    agencies: Mapping[str, Agency]
    staff: Mapping[str, Staff]
    duties: Mapping[str, Duty]
    concerns: Mapping[str, Code]
    declines: Mapping[str, Code]
    conditions: Mapping[str, Code]
    missing: Mapping[str, Code]
    closings: Mapping[str, Code]
    policies: Mapping[str, Policy]
    stages: Mapping[str, str] = field(default_factory=dict)  #: labels that replace the usual ones
    sentences: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  #: language → key → sentence
    language: str = "ja"
    phones: tuple[Phone, ...] = ()
    oncall: tuple[OnCall, ...] = ()
    reports: tuple[ReportLine, ...] = ()
    marks: tuple[str, ...] = ()
    districts: tuple[str, ...] = ()
    harsh: frozenset[int] = frozenset({1, 2, 7, 8, 12})  #: months when 会えていない is asked again in three days
    limits: Mapping[str, int] = field(default_factory=dict)  #: push_a_day, push_a_week_volunteers, undo_minutes, …
    retention: Mapping[str, int] = field(default_factory=dict)  #: days: letters, inbox, traces
    absences: tuple[Absence, ...] = ()
    quiet: Mapping[str, Quiet] = field(default_factory=dict)  #: by person: when they want no pushes
    version: int = 0
    former: tuple[Mapping[str, Hours], ...] = ()  #: hours by agency that open waits may still be counted in
    outside: frozenset[str] = frozenset()  #: platforms outside that are set up here
    accounts: Mapping[tuple[str, str], str] = field(default_factory=dict)  #: (platform, account) outside → whose it is

    @cached_property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @cached_property
    def body(self) -> Agency:
        """The one coordinating body: 仮担当 of every case that has lost its lead."""
        return next(a for a in self.agencies.values() if a.kind == "coordinating_body")

    @cached_property
    def members(self) -> Mapping[str, tuple[Staff, ...]]:
        """Agency → its staff in the file's order."""
        found: dict[str, list[Staff]] = {code: [] for code in self.agencies}
        for person in self.staff.values():
            for agency in person.agencies:
                found[agency].append(person)
        return {code: tuple(people) for code, people in found.items()}

    @cached_property
    def coordinators(self) -> tuple[Staff, ...]:
        return tuple(s for s in self.staff.values() if s.has(Role.COORDINATOR))

    @cached_property
    def officials(self) -> tuple[Staff, ...]:
        """The final owner first, then the other officials."""
        final = self.staff[self.final_owner]
        return (final, *(s for s in self.staff.values() if s.has(Role.OFFICIAL) and s is not final))

    def heads(self, agency: str) -> tuple[Staff, ...]:
        return tuple(s for s in self.members.get(agency, ()) if s.heads(agency))

    def is_coordinator(self, staff: str) -> bool:
        return self.staff[staff].has(Role.COORDINATOR)

    def agency_of(self, staff: str) -> Agency:
        return self.agency_at(self.staff[staff].agency) if staff in self.staff else self.body

    def agency_at(self, code: str) -> Agency:
        """An agency; for one that has left the town the coordinating body, which has its cases now."""
        return self.agencies.get(code, self.body)

    def hours_of(self, staff: str) -> Hours:
        return self.agency_of(staff).hours

    def hours_at(self, agency: str) -> Hours:
        return self.agency_at(agency).hours

    def away(self, staff: str, at: datetime) -> Absence | None:
        """Find the absence that covers `at`."""
        return next((a for a in self.absences if a.staff == staff and a.start <= at < a.end), None)

    def deputy(self, staff: str, at: datetime) -> str | None:
        """Who answers for this person at `at`: the absence's deputy, else the standing one, if not away too."""
        absence = self.away(staff, at)
        standing = self.staff[staff].deputy if staff in self.staff else None
        for code in (absence.deputy if absence else None, standing):
            if code and code in self.staff and code != staff and not self.away(code, at):
                return code
        return None

    def present(self, people: Iterable[str], at: datetime) -> tuple[str, ...]:
        """Replace whoever is away by their deputy (kept when there is none), each once, in order; who has left is not there."""
        reached: dict[str, None] = {}
        for code in (one for one in people if one in self.staff):
            stand_in = self.deputy(code, at) if self.away(code, at) else None
            reached[stand_in or code] = None
        return tuple(reached)

    def on_duty(self, at: datetime) -> tuple[OnCall, ...]:
        """The roster from the row on duty at `at` onward: whom to ring first, next, …"""
        local = at.astimezone(self.tz)
        now = [row for row in self.oncall if row.on(local)]
        return tuple(now + [row for row in self.oncall if row not in now])

    def candidates(self, duty: str, district: str | None) -> tuple[Agency, ...]:
        """Agencies that could be asked for a duty: field and district first, then the file's order; none for one that is no more."""
        if duty not in self.duties:
            return ()
        fields = self.duties[duty].fields
        if duty == WATCH:
            return tuple(a for a in self.agencies.values() if a.kind == "watcher")
        if duty == LEAD:
            return tuple(a for a in self.agencies.values() if a.kind in ("first_line", "provider", "outreach"))
        fitting = [
            a
            for a in self.agencies.values()
            if a.kind not in ("watcher", "municipality")
            and (a.kind != "host" or set(fields) & set(a.fields))
            and (not fields or set(fields) & set(a.fields))
        ]
        near = [a for a in fitting if not a.districts or district is None or district in a.districts]
        return tuple(near + [a for a in fitting if a not in near])
