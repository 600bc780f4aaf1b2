"""The town as loaded, who is away, the ways to people and in: accounts, rooms, invites, sessions. A demonstration's clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from storage import tables
from storage.codec import of
from storage.prepared import Prepared
from storage.tx import Tx
from storage.upsert import insert_new, insert_or_update
from workflow.path import ASKED, HELD
from workflow.people import Absence, Agency, Quiet, Staff

_M: Final = tables.municipality
_S: Final = tables.staff
_A: Final = tables.absences
_L: Final = tables.links
_R: Final = tables.rooms
_SET: Final = tables.reader_settings
_I: Final = tables.invites
_SESSIONS: Final = tables.sessions
_CLOCK: Final = tables.demo_clock


class Held(NamedTuple):
    """What somebody who leaves still holds."""

    staff: str
    what: str  #: lead | role | watch | asked (by name) | question (of a receiver's, unanswered) | deputy
    many: int


class StillHolds(Exception):
    """These people leave the town file but still hold something: {held}."""

    def __init__(self, held: Sequence[Held]) -> None:
        self.held = tuple(held)
        self.codes = tuple(dict.fromkeys(one.staff for one in held))
        each = (f"{code} ({', '.join(f'{h.what} {h.many}' for h in held if h.staff == code)})" for code in self.codes)
        super().__init__(f"These people leave the town file but still hold something: {'; '.join(each)}.")


# The town

_TOWN_DOC: Final = Prepared(select(_M.c.doc, _M.c.version))
_TOUCH_TOWN: Final = Prepared(update(_M).where(_M.c.id == 1).values(version=_M.c.version + 1))
_TOWN_VERSION: Final = Prepared(select(_M.c.version))
_LOCK_TOWN: Final = Prepared(select(_M.c.version).with_for_update())
_TOWN_DOC_LOCKED: Final = Prepared(select(_M.c.doc, _M.c.version).with_for_update())
_PUT_DOC: Final = Prepared(update(_M).where(_M.c.id == 1).values(doc=bindparam("new_doc"), version=_M.c.version + 1))
_PUT_TOWN: Final = Prepared(insert_or_update(_M, ("id",), "code", "name", "final_owner", "doc", "version"))
_PUT_AGENCY: Final = Prepared(insert_or_update(tables.agencies, ("code",), "name", "active"))
_PUT_STAFF: Final = Prepared(insert_or_update(_S, ("code",), "name", "active", "agency", "doc"))
_HO: Final = tables.handoffs
_W: Final = tables.waits
_LEAVES: Final[BindParameter[Any]] = bindparam("staying", expanding=True)


def _held(
    what: ColumnElement[str], whose: ColumnElement[str], rows: FromClause, *where: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    return (
        select(whose.label("staff"), what.label("what"), func.count().label("count"))
        .select_from(rows)
        .where(whose.not_in(_LEAVES), *where)
        .group_by(whose, what)
    )


_WATCHES: Final = case((_HO.c.duty == "watch", "watch"), else_="role")
_OPEN_HANDOFFS: Final = _HO.join(
    tables.cases, (tables.cases.c.id == _HO.c.case_id) & (tables.cases.c.stage != "closed")
)
_HOLDING: Final = (
    _held(literal("lead"), tables.cases.c.lead, tables.cases, tables.cases.c.lead_active == 1),
    _held(_WATCHES, _HO.c.holder, _OPEN_HANDOFFS, _HO.c.state.in_(HELD), _HO.c.duty != "lead"),
    _held(literal("asked"), _HO.c.to_staff, _OPEN_HANDOFFS, _HO.c.state.in_(ASKED)),
    _held(
        literal("question"), _HO.c.sender, _W.join(_HO, _HO.c.id == _W.c.handoff),
        _W.c.closed_at.is_(None), _W.c.owner == "sender", _W.c.kind.in_(("answer_question", "condition")),
    ),
    _held(
        literal("deputy"), _A.c.deputy, _A.join(_S, (_S.c.code == _A.c.staff) & _S.c.code.in_(_LEAVES)),
        _A.c.cancelled_at.is_(None), _A.c.end > bindparam("now", type_=tables.Moment()),
    ),
)  # fmt: skip
_STAFF_LEAVE: Final = (
    update(_S).where(_S.c.active == 1, _S.c.code.not_in(bindparam("staying", expanding=True))).values(active=0)
)
_AGENCIES_LEAVE: Final = (
    update(tables.agencies)
    .where(tables.agencies.c.code.not_in(bindparam("staying", expanding=True)))
    .values(active=False)
)
_FROM_FILE: Final = _L.c.how == tables.constant("file")
#: The file moves its own accounts from one person to another; what somebody has linked by a code stays theirs.
_PUT_ACCOUNT: Final = Prepared(insert_or_update(_L, ("platform", "account"), "staff", where=_FROM_FILE))
_ACCOUNTS_LEAVE: Final = delete(_L).where(
    _FROM_FILE, tuple_(_L.c.platform, _L.c.account).not_in(bindparam("staying", expanding=True))
)
_ACTIVE: Final = select(_S.c.code).where(_S.c.active == 1).order_by(_S.c.code)


def town_doc(tx: Tx, *, lock: bool = False) -> tuple[dict[str, Any], int] | None:
    """Read the town file as it was loaded and its version; None before the first. `lock`: nobody else loads one meanwhile."""
    row = tx.execute(_TOWN_DOC_LOCKED if lock else _TOWN_DOC).first()
    return (row[0], row[1]) if row else None


def put_doc(tx: Tx, doc: Mapping[str, Any]) -> None:
    """Keep another document of the same town, which was read with its lock."""
    tx.execute(_PUT_DOC, {"new_doc": dict(doc)})


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
    at: datetime = tables.EPOCH,
) -> int:
    """Keep a town and answer its version; who is no longer in it becomes inactive. Accounts that it names are linked.

    Raises StillHolds while somebody who leaves holds a lead, a role, a watch, an open question or (from that moment on) a
    deputy's duty.
    """
    version = int(tx.execute(_LOCK_TOWN).scalar() or 0) + 1
    places, people = list(agencies), list(staff)
    tx.execute(_PUT_AGENCY, [{"code": a.code, "name": a.name, "active": True} for a in places])
    tx.execute(_PUT_STAFF, [_staff_row(person) for person in people])
    tx.execute(_PUT_TOWN, {
        "id": 1, "code": code, "name": name, "final_owner": final_owner, "doc": dict(doc), "version": version,
    })  # fmt: skip
    _leave(tx, [person.code for person in people], [place.code for place in places], at)
    _put_accounts(tx, people)
    return version


def _put_accounts(tx: Tx, people: list[Staff]) -> None:
    """Link the accounts that the file names; nobody has to confirm them. Those it named before and names no more go."""
    named = {account: person.code for person in people for account in person.chat}
    tx.execute(_ACCOUNTS_LEAVE, {"staying": list(named)})
    rows = [
        {"platform": platform, "account": account, "staff": staff, "how": "file", "linked_at": tables.EPOCH}
        for (platform, account), staff in named.items()
    ]  # the file has no moment: its accounts are the oldest
    if rows:
        tx.execute(_PUT_ACCOUNT, rows)


def active(tx: Tx) -> list[str]:
    """List the codes of everybody who is in the town now."""
    return list(tx.execute(_ACTIVE).scalars())


def _staff_row(person: Staff) -> dict[str, Any]:
    doc = of(Staff).dump(person)
    return {"code": person.code, "name": person.name, "active": 1, "agency": person.agency, "doc": doc}


def held_by_leavers(tx: Tx, staying: Sequence[str], at: datetime) -> list[Held]:
    """List what is held by whoever is not among these: what has to be handed over before they can leave."""
    found = [Held(*row) for one in _HOLDING for row in tx.execute(one, {"staying": list(staying), "now": at})]
    return sorted(found, key=lambda held: held.staff)  # the kinds keep their order


def _leave(tx: Tx, people: list[str], places: list[str], at: datetime) -> None:
    """Make inactive whoever is not named; their sessions open nothing then. The foreign key of `cases.lead` stands behind it."""
    if held := held_by_leavers(tx, people, at):
        raise StillHolds(held)
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


class Link(NamedTuple):
    """Somebody's account abroad; one linked by a paper does nothing until it is confirmed."""

    platform: str
    account: str
    staff: str
    linked_at: datetime
    how: str  #: code | link | file | paper
    confirmed_at: datetime | None
    reachable: bool

    @property
    def holds(self) -> bool:
        return self.how != "paper" or self.confirmed_at is not None


_HOLDS: Final = or_(_L.c.how != tables.constant("paper"), _L.c.confirmed_at.is_not(None))
_LINK: Final = Prepared(
    insert_or_update(
        _L, ("platform", "account"), "staff", "linked_at", "how", "confirmed_by", "confirmed_at", "reachable"
    )
)
_LINK_ROWS: Final = select(*(_L.c[name] for name in Link._fields)).order_by(_L.c.linked_at, _L.c.platform, _L.c.account)
_LINK_ROWS_OF: Final = Prepared(_LINK_ROWS.where(_L.c.staff == bindparam("staff")))
_UNCONFIRMED: Final = Prepared(_LINK_ROWS.where(~_HOLDS))
_CONFIRM: Final = Prepared(
    update(_L)
    .where(
        _L.c.platform == bindparam("of_platform"), _L.c.account == bindparam("of_account"),
        _L.c.staff == bindparam("of_staff"), _L.c.confirmed_at.is_(None),
    )
)  # fmt: skip
_LINKED: Final = Prepared(
    select(_L.c.staff)
    .join(_S, _S.c.code == _L.c.staff)
    .where(_L.c.platform == bindparam("platform"), _L.c.account == bindparam("account"), _S.c.active == 1, _HOLDS)
)
_LINKS_OF: Final = Prepared(
    select(_L.c.platform, _L.c.account).where(_L.c.staff == bindparam("staff"), _HOLDS).order_by(_L.c.linked_at)
)
_ALL_LINKS: Final = Prepared(_LINK_ROWS.join(_S, _S.c.code == _L.c.staff).where(_S.c.active == 1, _HOLDS))
_UNLINK: Final = Prepared(
    delete(_L).where(_L.c.platform == bindparam("platform"), _L.c.account == bindparam("account"))
)


def link(tx: Tx, platform: str, account: str, staff: str, at: datetime, how: str = "code") -> None:
    """Link an account abroad to a person; an account belongs to one. By `paper` it holds when it has been confirmed."""
    _touch(tx)
    row = {"platform": platform, "account": account, "staff": staff, "linked_at": at, "how": how, "reachable": True}
    tx.execute(_LINK, row | {"confirmed_by": None, "confirmed_at": None})


def confirm_link(tx: Tx, platform: str, account: str, staff: str, by: str, at: datetime) -> bool:
    """Say that an account is this person's; False when there is nothing to say any more."""
    _touch(tx)
    which = {"of_platform": platform, "of_account": account, "of_staff": staff}
    return tx.execute(_CONFIRM, which | {"confirmed_by": by, "confirmed_at": at}).rowcount == 1


def link_rows(tx: Tx, staff: str) -> list[Link]:
    """List a person's accounts, the oldest first, those among them that wait for a confirmation too."""
    return [Link(*row) for row in tx.execute(_LINK_ROWS_OF, {"staff": staff})]


def unconfirmed_links(tx: Tx) -> list[Link]:
    """List what was linked by a paper and waits for a head or coordinator, the oldest first."""
    return [Link(*row) for row in tx.execute(_UNCONFIRMED)]


def linked(tx: Tx, platform: str, account: str) -> str | None:
    """Find whose account this is; nobody who has left the town."""
    found = tx.execute(_LINKED, {"platform": platform, "account": account}).scalar()
    return None if found is None else str(found)


def links_of(tx: Tx, staff: str) -> list[tuple[str, str]]:
    """List a person's (platform, account), the oldest first."""
    return [(platform, account) for platform, account in tx.execute(_LINKS_OF, {"staff": staff})]


def links(tx: Tx) -> list[Link]:
    """Everybody's accounts, the oldest first: part of the town that a process keeps in memory."""
    return [Link(*row) for row in tx.execute(_ALL_LINKS)]


def unlink(tx: Tx, platform: str, account: str) -> bool:
    _touch(tx)
    return tx.execute(_UNLINK, {"platform": platform, "account": account}).rowcount == 1


_REACHABLE: Final = Prepared(
    update(_L).where(_L.c.platform == bindparam("of_platform"), _L.c.account == bindparam("of_account"))
)
_MOVED: Final = Prepared(
    update(_L)
    .where(_L.c.platform == bindparam("of_platform"), _L.c.account == bindparam("of_account"))
    .values(account=bindparam("now_at"))
)


def reachable(tx: Tx, platform: str, account: str, yes: bool) -> bool:
    """Note that an account takes no messages (blocked, left), or takes them again; False when it is nobody's."""
    _touch(tx)
    return tx.execute(_REACHABLE, {"of_platform": platform, "of_account": account, "reachable": yes}).rowcount == 1


def moved(tx: Tx, platform: str, old: str, new: str) -> bool:
    """Follow a conversation to its new id, a shared one too; False when it is nobody's and no room."""
    _touch(tx)
    which = {"of_platform": platform, "of_account": old, "now_at": new}
    return (tx.execute(_MOVED, which).rowcount == 1) | _room_moved(tx, platform, old, new)


# Shared conversations


class Room(NamedTuple):
    """A channel or group outside that an agency shares."""

    platform: str
    conversation: str
    agency: str
    linked_at: datetime
    linked_by: str
    reachable: bool


_ROOM_ROWS: Final = select(*(_R.c[name] for name in Room._fields)).order_by(
    _R.c.linked_at, _R.c.platform, _R.c.conversation
)
_ROOMS: Final = Prepared(_ROOM_ROWS)
_ROOMS_OF: Final = Prepared(_ROOM_ROWS.where(_R.c.agency == bindparam("agency")))
_IS_ROOM: Final = (_R.c.platform == bindparam("of_platform"), _R.c.conversation == bindparam("of_conversation"))
_ROOM: Final = Prepared(_ROOM_ROWS.where(*_IS_ROOM))
_PUT_ROOM: Final = Prepared(
    insert_or_update(_R, ("platform", "conversation"), "agency", "linked_at", "linked_by", "reachable")
)
_ROOM_CHANGES: Final = Prepared(update(_R).where(*_IS_ROOM))
_ROOM_LEAVES: Final = Prepared(delete(_R).where(*_IS_ROOM))


def link_room(tx: Tx, platform: str, conversation: str, agency: str, by: str, at: datetime) -> None:
    """Make a shared conversation an agency's; one belongs to one agency, the newest."""
    row = {"platform": platform, "conversation": conversation, "agency": agency, "linked_at": at, "linked_by": by}
    tx.execute(_PUT_ROOM, row | {"reachable": True})


def room(tx: Tx, platform: str, conversation: str) -> Room | None:
    """Find whose shared conversation this is."""
    row = tx.execute(_ROOM, {"of_platform": platform, "of_conversation": conversation}).first()
    return Room(*row) if row else None


def rooms(tx: Tx) -> list[Room]:
    """List every shared conversation, the oldest first."""
    return [Room(*row) for row in tx.execute(_ROOMS)]


def rooms_of(tx: Tx, agency: str) -> list[Room]:
    """List an agency's shared conversations, the oldest first, those that take nothing too."""
    return [Room(*row) for row in tx.execute(_ROOMS_OF, {"agency": agency})]


def unlink_room(tx: Tx, platform: str, conversation: str) -> bool:
    """Let a shared conversation go; False when it was nobody's."""
    return tx.execute(_ROOM_LEAVES, {"of_platform": platform, "of_conversation": conversation}).rowcount == 1


def room_gone(tx: Tx, platform: str, conversation: str) -> bool:
    """Note that a shared conversation takes no messages: its members are told privately. False when it is no room."""
    return _room_reachable(tx, platform, conversation, False)


def room_back(tx: Tx, platform: str, conversation: str) -> bool:
    """Note that a shared conversation takes messages again; False when it is no room."""
    return _room_reachable(tx, platform, conversation, True)


def _room_reachable(tx: Tx, platform: str, conversation: str, yes: bool) -> bool:
    which = {"of_platform": platform, "of_conversation": conversation, "reachable": yes}
    return tx.execute(_ROOM_CHANGES, which).rowcount == 1


def _room_moved(tx: Tx, platform: str, old: str, new: str) -> bool:
    """A group that became a supergroup; heard of twice, in either order, it moves once."""
    if old == new or room(tx, platform, old) is None:
        return False
    unlink_room(tx, platform, new)
    which = {"of_platform": platform, "of_conversation": old, "conversation": new}
    return tx.execute(_ROOM_CHANGES, which).rowcount == 1


# How somebody wants to be told


class ReaderSettings(NamedTuple):
    orders: tuple[str, ...] = ()  #: platforms, the first choice first; those not named follow
    quiet: Quiet | None = None


_SETTINGS: Final = Prepared(
    select(_SET.c.orders, _SET.c.quiet_from, _SET.c.quiet_to).where(_SET.c.staff == bindparam("staff"))
)
_READERS: Final = Prepared(select(_SET.c.staff, _SET.c.orders, _SET.c.quiet_from, _SET.c.quiet_to))
_PUT_SETTINGS: Final = Prepared(insert_or_update(_SET, ("staff",), "orders", "quiet_from", "quiet_to"))


def reader_settings(tx: Tx, staff: str) -> ReaderSettings:
    """Read a person's order of platforms and quiet hours; the usual ones when nothing was set."""
    row = tx.execute(_SETTINGS, {"staff": staff}).first()
    return ReaderSettings() if row is None else _settings(*row)


def readers(tx: Tx) -> dict[str, ReaderSettings]:
    """How everybody wants to be told who has said so: part of the town that a process keeps in memory."""
    return {staff: _settings(*rest) for staff, *rest in tx.execute(_READERS)}


def _settings(orders: Sequence[str], start: int | None, end: int | None) -> ReaderSettings:
    return ReaderSettings(tuple(orders), None if start is None or end is None else Quiet(start, end))


def set_reader(tx: Tx, staff: str, settings: ReaderSettings) -> None:
    """Keep a person's order of platforms and quiet hours."""
    _touch(tx)
    start, end = settings.quiet or (None, None)
    row = {"staff": staff, "orders": list(settings.orders), "quiet_from": start, "quiet_to": end}
    tx.execute(_PUT_SETTINGS, row)


# Invites


class Invite(NamedTuple):
    staff: str
    kind: str  #: code | paper | link | room
    room: str | None = None  #: of kind room: the agency


_INVITE: Final = Prepared(insert(_I))
_PEEK: Final = Prepared(
    select(_I.c.staff, _I.c.kind, _I.c.room).where(
        _I.c.hash == bindparam("hash"), _I.c.used_at.is_(None), _I.c.expires > bindparam("now")
    )
)
_USE: Final = Prepared(
    update(_I)
    .where(_I.c.hash == bindparam("of_hash"), _I.c.used_at.is_(None), _I.c.expires > bindparam("now"))
    .values(used_at=bindparam("now"))
    .returning(_I.c.staff, _I.c.kind, _I.c.room)
)


_SPEND: Final = Prepared(
    update(_I)
    .where(
        _I.c.staff == bindparam("of_staff"),
        _I.c.kind == bindparam("of_kind"),
        _I.c.used_at.is_(None),
        _I.c.expires > bindparam("now"),
    )
    .values(used_at=bindparam("now"))
)


def spend_invites(tx: Tx, staff: str, kind: str, now: datetime) -> None:
    """Use up all of a person's invites of a kind: only the newest counts, and one of a pair ends the other."""
    tx.execute(_SPEND, {"of_staff": staff, "of_kind": kind, "now": now})


def add_invite(
    tx: Tx, hash: str, staff: str, kind: str, expires: datetime, made_by: str, room: str | None = None
) -> None:
    """Keep the hash of a one-time code; the code itself is nowhere. `room`: the agency, of a code for its conversation."""
    row = {"hash": hash, "staff": staff, "kind": kind, "expires": expires, "made_by": made_by, "room": room}
    tx.execute(_INVITE, row)


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
    idle: int | None = None  #: seconds without use that end it
    way: str = ""
    place: str = ""  #: the browser and the machine, in its own words

    @property
    def until(self) -> datetime:
        """When it ends if it is not used any more."""
        return self.expires if self.idle is None else min(self.expires, self.seen_at + timedelta(seconds=self.idle))


_NEW_SESSION: Final = Prepared(insert(_SESSIONS))
_SESSION: Final = (
    select(*(_SESSIONS.c[f.name] for f in fields(Session)))
    .join(_S, _S.c.code == _SESSIONS.c.staff)
    .where(_SESSIONS.c.ended_at.is_(None), _SESSIONS.c.expires > bindparam("now"), _S.c.active == 1)
)
_BY_HASH: Final = Prepared(_SESSION.where(_SESSIONS.c.hash == bindparam("hash")))
_BY_STAFF: Final = Prepared(_SESSION.where(_SESSIONS.c.staff == bindparam("staff")).order_by(_SESSIONS.c.made_at))
_TOUCH: Final = Prepared(
    update(_SESSIONS).where(_SESSIONS.c.hash == bindparam("of_hash"), _SESSIONS.c.ended_at.is_(None))
)
_END: Final = _TOUCH
_END_ALL: Final = Prepared(
    update(_SESSIONS)
    .where(
        _SESSIONS.c.staff == bindparam("of_staff"), _SESSIONS.c.hash != bindparam("but"), _SESSIONS.c.ended_at.is_(None),
        _SESSIONS.c.expires > bindparam("now"),
    )
    .values(ended_at=bindparam("now"))
)  # fmt: skip


def open_session(
    tx: Tx,
    hash: str,
    staff: str,
    at: datetime,
    expires: datetime,
    idle: timedelta | None = None,
    way: str = "",
    place: str = "",
) -> None:
    """Keep a session until `expires`, or until nobody has used it for `idle`."""
    seconds = None if idle is None else int(idle.total_seconds())
    row = {"hash": hash, "staff": staff, "made_at": at, "seen_at": at, "expires": expires, "idle": seconds}
    tx.execute(_NEW_SESSION, row | {"way": way, "place": place})


def session(tx: Tx, hash: str, now: datetime) -> Session | None:
    """Find a live session of somebody who is in the town."""
    row = tx.execute(_BY_HASH, {"hash": hash, "now": now}).first()
    found = Session(*row) if row else None
    return found if found and found.until > now else None


def sessions_of(tx: Tx, staff: str, now: datetime) -> list[Session]:
    found = (Session(*row) for row in tx.execute(_BY_STAFF, {"staff": staff, "now": now}))
    return [one for one in found if one.until > now]


def touch_session(tx: Tx, hash: str, at: datetime) -> None:
    """Note that a session was used."""
    tx.execute(_TOUCH, {"of_hash": hash, "seen_at": at})


def end_session(tx: Tx, hash: str, at: datetime) -> bool:
    return tx.execute(_END, {"of_hash": hash, "ended_at": at}).rowcount == 1


def end_sessions(tx: Tx, staff: str, at: datetime, but: str = "") -> int:
    """Sign somebody out everywhere, or everywhere but here (`but`: a session's hash)."""
    return tx.execute(_END_ALL, {"of_staff": staff, "now": at, "but": but}).rowcount


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
