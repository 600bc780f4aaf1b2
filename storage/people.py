"""The town as it was loaded, who is away, and the ways in: accounts, invites, sessions. And a demonstration's clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from storage import tables
from storage.codec import of
from storage.prepared import Prepared
from storage.store import Tx
from storage.upsert import insert_new, insert_or_update
from workflow.people import Absence, Agency, Staff

_M: Final = tables.municipality
_S: Final = tables.staff
_A: Final = tables.absences
_L: Final = tables.links
_I: Final = tables.invites
_SESSIONS: Final = tables.sessions
_CLOCK: Final = tables.demo_clock


class StillLeads(Exception):
    """These people leave the town file but still lead open cases: {codes}."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        self.codes = codes
        super().__init__(f"These people leave the town file but still lead open cases: {', '.join(codes)}.")


# The town

_TOWN_DOC: Final = Prepared(select(_M.c.doc, _M.c.version))
_TOUCH_TOWN: Final = Prepared(update(_M).where(_M.c.id == 1).values(version=_M.c.version + 1))
_TOWN_VERSION: Final = Prepared(select(_M.c.version))
_LOCK_TOWN: Final = Prepared(select(_M.c.version).with_for_update())
_PUT_TOWN: Final = Prepared(insert_or_update(_M, ("id",), "code", "name", "final_owner", "doc", "version"))
_PUT_AGENCY: Final = Prepared(insert_or_update(tables.agencies, ("code",), "name", "active"))
_PUT_STAFF: Final = Prepared(insert_or_update(_S, ("code",), "name", "active", "agency", "doc"))
_LEADING: Final = (
    select(tables.cases.c.lead)
    .where(tables.cases.c.lead_active == 1, tables.cases.c.lead.not_in(bindparam("staying", expanding=True)))
    .distinct()
    .order_by(tables.cases.c.lead)
)
_STAFF_LEAVE: Final = (
    update(_S).where(_S.c.active == 1, _S.c.code.not_in(bindparam("staying", expanding=True))).values(active=0)
)
_AGENCIES_LEAVE: Final = (
    update(tables.agencies)
    .where(tables.agencies.c.code.not_in(bindparam("staying", expanding=True)))
    .values(active=False)
)
_ACTIVE: Final = select(_S.c.code).where(_S.c.active == 1).order_by(_S.c.code)


def town_doc(tx: Tx) -> tuple[dict[str, Any], int] | None:
    """Read the town file as it was loaded and its version; None before the first."""
    row = tx.execute(_TOWN_DOC).first()
    return (row[0], row[1]) if row else None


def town_version(tx: Tx) -> int:
    """Read the version alone: what tells a process to read the town again. 0 before the first."""
    return int(tx.execute(_TOWN_VERSION).scalar() or 0)


def _touch(tx: Tx) -> None:
    """Tell every process to read the town again: who is away and who is linked belong to it."""
    tx.execute(_TOUCH_TOWN)


def put_town(
    tx: Tx,
    doc: Mapping[str, Any],
    agencies: Iterable[Agency],
    staff: Iterable[Staff],
    final_owner: str,
    *,
    code: str,
    name: str,
) -> int:
    """Keep a town and answer its version; who is no longer in it becomes inactive.

    Raises StillLeads while somebody who leaves leads an open case.
    """
    version = int(tx.execute(_LOCK_TOWN).scalar() or 0) + 1
    places, people = list(agencies), list(staff)
    tx.execute(_PUT_AGENCY, [{"code": a.code, "name": a.name, "active": True} for a in places])
    tx.execute(_PUT_STAFF, [_staff_row(person) for person in people])
    tx.execute(_PUT_TOWN, {
        "id": 1, "code": code, "name": name, "final_owner": final_owner, "doc": dict(doc), "version": version,
    })  # fmt: skip
    _leave(tx, [person.code for person in people], [place.code for place in places])
    return version


def active(tx: Tx) -> list[str]:
    """List the codes of everybody who is in the town now."""
    return list(tx.execute(_ACTIVE).scalars())


def _staff_row(person: Staff) -> dict[str, Any]:
    doc = of(Staff).dump(person)
    return {"code": person.code, "name": person.name, "active": 1, "agency": person.agency, "doc": doc}


def _leave(tx: Tx, people: list[str], places: list[str]) -> None:
    """Make inactive whoever is not named; the foreign key of `cases.lead` stands behind the kind answer."""
    if leading := tuple(tx.execute(_LEADING, {"staying": people}).scalars()):
        raise StillLeads(leading)
    tx.execute(_STAFF_LEAVE, {"staying": people})
    tx.execute(_AGENCIES_LEAVE, {"staying": places})


# Who is away


class AbsenceRow(NamedTuple):
    id: int
    absence: Absence
    made_by: str
    made_at: datetime


_ABSENCES: Final = Prepared(
    select(_A.c.id, _A.c.staff, _A.c.start, _A.c.end, _A.c.deputy, _A.c.made_by, _A.c.made_at)
    .where(_A.c.cancelled_at.is_(None), _A.c.end > bindparam("after"))
    .order_by(_A.c.start, _A.c.id)
)
_AWAY: Final = Prepared(insert(_A).returning(_A.c.id))
_BACK: Final = Prepared(update(_A).where(_A.c.id == bindparam("of_id"), _A.c.cancelled_at.is_(None)))


def absence_rows(tx: Tx, after: datetime) -> list[AbsenceRow]:
    """List the absences that end after a moment."""
    rows = tx.execute(_ABSENCES, {"after": after})
    return [AbsenceRow(id_, Absence(who, start, end, deputy), by, at) for id_, who, start, end, deputy, by, at in rows]


def absences(tx: Tx, after: datetime) -> tuple[Absence, ...]:
    """List them as the town wants them."""
    return tuple(row.absence for row in absence_rows(tx, after))


def add_absence(tx: Tx, absence: Absence, by: str, at: datetime) -> int:
    """Keep an absence and answer its id."""
    _touch(tx)
    row = {"staff": absence.staff, "start": absence.start, "end": absence.end, "deputy": absence.deputy}
    return int(tx.execute(_AWAY, row | {"made_by": by, "made_at": at}).scalar_one())


def cancel_absence(tx: Tx, absence: int, at: datetime) -> bool:
    """Take an absence back; False when somebody has done so already."""
    _touch(tx)
    return tx.execute(_BACK, {"of_id": absence, "cancelled_at": at}).rowcount == 1


# Linked accounts

_LINK: Final = Prepared(insert_or_update(_L, ("platform", "account"), "staff", "linked_at"))
_LINKED: Final = Prepared(
    select(_L.c.staff)
    .join(_S, _S.c.code == _L.c.staff)
    .where(_L.c.platform == bindparam("platform"), _L.c.account == bindparam("account"), _S.c.active == 1)
)
_LINKS_OF: Final = Prepared(
    select(_L.c.platform, _L.c.account).where(_L.c.staff == bindparam("staff")).order_by(_L.c.linked_at)
)
_ALL_LINKS: Final = Prepared(select(_L.c.staff, _L.c.platform, _L.c.account).order_by(_L.c.staff, _L.c.linked_at))
_UNLINK: Final = Prepared(
    delete(_L).where(_L.c.platform == bindparam("platform"), _L.c.account == bindparam("account"))
)


def link(tx: Tx, platform: str, account: str, staff: str, at: datetime) -> None:
    """Link an account abroad to a person; an account belongs to one."""
    _touch(tx)
    tx.execute(_LINK, {"platform": platform, "account": account, "staff": staff, "linked_at": at})


def linked(tx: Tx, platform: str, account: str) -> str | None:
    """Find whose account this is; nobody who has left the town."""
    found = tx.execute(_LINKED, {"platform": platform, "account": account}).scalar()
    return None if found is None else str(found)


def links_of(tx: Tx, staff: str) -> list[tuple[str, str]]:
    """List a person's (platform, account), the oldest first."""
    return [(platform, account) for platform, account in tx.execute(_LINKS_OF, {"staff": staff})]


def links(tx: Tx) -> dict[str, tuple[tuple[str, str], ...]]:
    """Everybody's accounts, each person's oldest first: part of the town that a process keeps in memory."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for staff, platform, account in tx.execute(_ALL_LINKS):
        found[staff] = (*found.get(staff, ()), (platform, account))
    return found


def unlink(tx: Tx, platform: str, account: str) -> bool:
    _touch(tx)
    return tx.execute(_UNLINK, {"platform": platform, "account": account}).rowcount == 1


# Invites


class Invite(NamedTuple):
    staff: str
    kind: str  #: code | paper


_INVITE: Final = Prepared(insert(_I))
_PEEK: Final = Prepared(
    select(_I.c.staff, _I.c.kind).where(
        _I.c.hash == bindparam("hash"), _I.c.used_at.is_(None), _I.c.expires > bindparam("now")
    )
)
_USE: Final = Prepared(
    update(_I)
    .where(_I.c.hash == bindparam("of_hash"), _I.c.used_at.is_(None), _I.c.expires > bindparam("now"))
    .values(used_at=bindparam("now"))
    .returning(_I.c.staff, _I.c.kind)
)


def add_invite(tx: Tx, hash: str, staff: str, kind: str, expires: datetime, made_by: str) -> None:
    """Keep the hash of a one-time code; the code itself is nowhere."""
    tx.execute(_INVITE, {"hash": hash, "staff": staff, "kind": kind, "expires": expires, "made_by": made_by})


def peek_invite(tx: Tx, hash: str, now: datetime) -> Invite | None:
    """Look at an invite without using it up."""
    row = tx.execute(_PEEK, {"hash": hash, "now": now}).first()
    return Invite(*row) if row else None


def use_invite(tx: Tx, hash: str, now: datetime) -> Invite | None:
    """Use an invite up; None when it is unknown, used or too old."""
    row = tx.execute(_USE, {"of_hash": hash, "now": now}).first()
    return Invite(*row) if row else None


# Sessions


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody signed in."""

    hash: str
    staff: str
    made_at: datetime
    seen_at: datetime
    expires: datetime


_NEW_SESSION: Final = Prepared(insert(_SESSIONS))
_SESSION: Final = (
    select(_SESSIONS.c.hash, _SESSIONS.c.staff, _SESSIONS.c.made_at, _SESSIONS.c.seen_at, _SESSIONS.c.expires)
    .join(_S, _S.c.code == _SESSIONS.c.staff)
    .where(_SESSIONS.c.ended_at.is_(None), _SESSIONS.c.expires > bindparam("now"), _S.c.active == 1)
)
_BY_HASH: Final = Prepared(_SESSION.where(_SESSIONS.c.hash == bindparam("hash")))
_BY_STAFF: Final = Prepared(_SESSION.where(_SESSIONS.c.staff == bindparam("staff")).order_by(_SESSIONS.c.made_at))
_TOUCH: Final = update(_SESSIONS).where(_SESSIONS.c.hash == bindparam("of_hash"), _SESSIONS.c.ended_at.is_(None))
_END: Final = Prepared(_TOUCH)
_END_ALL: Final = Prepared(
    update(_SESSIONS).where(_SESSIONS.c.staff == bindparam("of_staff"), _SESSIONS.c.ended_at.is_(None))
)


def open_session(tx: Tx, hash: str, staff: str, at: datetime, expires: datetime) -> None:
    tx.execute(_NEW_SESSION, {"hash": hash, "staff": staff, "made_at": at, "seen_at": at, "expires": expires})


def session(tx: Tx, hash: str, now: datetime) -> Session | None:
    """Find a live session of somebody who is in the town."""
    row = tx.execute(_BY_HASH, {"hash": hash, "now": now}).first()
    return Session(*row) if row else None


def sessions_of(tx: Tx, staff: str, now: datetime) -> list[Session]:
    return [Session(*row) for row in tx.execute(_BY_STAFF, {"staff": staff, "now": now})]


def touch_session(tx: Tx, hash: str, at: datetime, expires: datetime | None = None) -> None:
    """Note that a session was used, and let it live longer when `expires` is given."""
    later = {} if expires is None else {"expires": expires}
    tx.execute(_TOUCH, {"of_hash": hash, "seen_at": at, **later})


def end_session(tx: Tx, hash: str, at: datetime) -> bool:
    return tx.execute(_END, {"of_hash": hash, "ended_at": at}).rowcount == 1


def end_sessions(tx: Tx, staff: str, at: datetime) -> int:
    """Sign somebody out everywhere."""
    return tx.execute(_END_ALL, {"of_staff": staff, "ended_at": at}).rowcount


# The clock of a demonstration


class DemoClock(NamedTuple):
    """Town time then was real time then; between turns it runs at real pace."""

    town_at: datetime
    real_at: datetime


_CLOCK_ROW: Final = Prepared(select(_CLOCK.c.town_at, _CLOCK.c.real_at))
_NEW_CLOCK: Final = Prepared(insert_new(_CLOCK))
_TURN: Final = Prepared(update(_CLOCK).where(_CLOCK.c.id == 1))


def demo_clock(tx: Tx) -> DemoClock | None:
    """Read the demonstration's clock; None: this database is not a demonstration."""
    row = tx.execute(_CLOCK_ROW).first()
    return DemoClock(*row) if row else None


def mark_demo(tx: Tx, town_at: datetime, real_at: datetime) -> None:
    """Make this database a demonstration; one that is one already keeps its clock."""
    tx.execute(_NEW_CLOCK, {"id": 1, "town_at": town_at, "real_at": real_at})


def set_demo_clock(tx: Tx, town_at: datetime, real_at: datetime) -> bool:
    """Turn the clock; False where there is none to turn."""
    return tx.execute(_TURN, {"town_at": town_at, "real_at": real_at}).rowcount == 1
