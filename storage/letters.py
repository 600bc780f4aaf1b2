"""Letters: notices on their way to one reader on one surface, leased for sending, finished with the lease's token."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
    union_all,
    update,
)

from storage import seal, tables
from storage.prepared import Prepared, names_of, several
from storage.tx import Tx

_T: Final = tables.letters

#: Why a letter waits that could have left: its conversation's pace.
PACED: Final = "pace"
#: In a letter's doc: it has gone once more, for the first may have arrived.
RESENT: Final = "resent"
#: … or because it could not be worded; of a copy outside: it could not be worded anew.
UNWRITTEN: Final = "unwritten"

#: In the doc of an answer: what it says, sealed. A program from before reads what lies beside it.
SHUT: Final = "shut"
SAYS_NOTHING: Final[dict[str, Any]] = {"text": "", "title": None, "facts": [], "choices": [], "says": []}

#: By how much the clocks of two machines may differ.
SKEW: Final = timedelta(minutes=1)

State: TypeAlias = Literal["pending", "leased", "sent", "unknown", "failed", "superseded"]


@dataclass(frozen=True, slots=True)
class LetterRow:
    """One letter."""

    id: int
    kind: str
    surface: str  #: web, console, slack …
    doc: dict[str, Any]  #: what bot/voice made of it, or what it needs to make it
    created_at: datetime
    not_before: datetime
    to_staff: str | None = None  #: a person …
    to_room: str | None = None  #: … or an agency's room
    address: str | None = None  #: the account or conversation abroad
    case_id: int | None = None
    handoff: int | None = None
    wait: int | None = None
    urgent: bool = False
    must: bool = False  #: goes once more, marked, elsewhere where it can, when it may or may not have arrived
    token: str | None = None  #: what its buttons carry
    case_version: int | None = None  #: the version that its buttons were shown at
    inbox_id: int | None = None  #: the words it answers
    answer: bool = False  #: an answer to one's own words; only that person sees it
    by_staff: str | None = None  #: who caused it
    state: State = "pending"
    lease: str | None = None
    lease_until: datetime | None = None
    tries: int = 0
    ref: str | None = None  #: the platform's own id of what was sent
    why: str = ""
    sent_at: datetime | None = None
    cause: str = ""  #: kind of the journal line behind it
    live: bool = False  #: a copy outside that still shows buttons: it is kept true
    face: str = ""  #: a hash of what that copy shows

    @property
    def resent(self) -> bool:
        return RESENT in self.doc


_NAMES: Final = tuple(f.name for f in fields(LetterRow))
_COLUMNS: Final = tuple(_T.c[name] for name in _NAMES)
_INSERT: Final = Prepared(insert(_T))
_BY_ID: Final = Prepared(select(*_COLUMNS).where(_T.c.id == bindparam("id")))
_BY_TOKEN: Final = Prepared(select(*_COLUMNS).where(_T.c.token == bindparam("token")))
#: Only what leaves has an address, and only that is in the index on it.
_OUTSIDE: Final = _T.c.address.is_not(None)
_BUNDLE: Final = Prepared(
    select(*_COLUMNS)
    .where(
        _T.c.to_staff == bindparam("staff"),
        _T.c.surface == bindparam("surface"),
        _T.c.not_before == bindparam("moment"),
        _OUTSIDE,
    )
    .order_by(_T.c.id)
)
_ANSWER_TO: Final = Prepared(
    select(*_COLUMNS)
    .where(_T.c.to_staff == bindparam("staff"), _T.c.inbox_id == bindparam("inbox"), _T.c.answer)
    .order_by(_T.c.id.desc())
    .limit(1)
)
_LEASED: Final = {
    "state": "leased",
    "lease": bindparam("new_lease"),
    "lease_until": bindparam("until"),
    "tries": _T.c.tries + 1,
}


@cache
def _lease(free: tuple[str, ...], known: tuple[str, ...], strange: bool) -> Prepared:
    """So many for each platform that has room, and for those that nobody knows any more: these take a look at all that waits."""
    places = [_T.c.surface == tables.constant(name) for name in free]
    others = [_T.c.surface.not_in([tables.constant(name) for name in known]) if known else true()] if strange else []

    def taken(due: ColumnElement[Any]) -> Any:
        ready = [
            select(_T.c.id)
            .where(_T.c.state == tables.constant("pending"), place, due <= bindparam("now", type_=tables.Moment()))
            .order_by(_T.c.urgent.desc(), _T.c.not_before, _T.c.case_id, _T.c.id)
            .limit(bindparam(f"room_{i}"))
            .with_for_update(skip_locked=True)
            .subquery()
            for i, place in enumerate((*places, *others))
        ]
        which = union_all(*(select(one.c.id) for one in ready))
        return update(_T).where(_T.c.id.in_(which)).values(_LEASED).returning(*_COLUMNS)

    # SQLite would rather look up what is due and sort it: all of a long queue.
    return Prepared(
        {
            "sqlite": taken(type_coerce(_T.c.not_before, tables.Id) + literal_column("0")),
            "postgresql": taken(_T.c.not_before),
        }
    )


_LEASE_REST: Final = Prepared(
    update(_T)
    .where(
        _T.c.state == tables.constant("pending"),
        _T.c.surface == bindparam("of_surface"),
        _T.c.case_id == bindparam("of_case"),
        _T.c.to_staff == bindparam("of_staff"),
        _T.c.not_before <= bindparam("now"),
    )
    .values(_LEASED)
    .returning(*_COLUMNS)
)
_LEASE_ONE: Final = Prepared(
    update(_T)
    .where(_T.c.id == bindparam("of_id"), _T.c.state == tables.constant("pending"))
    .values(_LEASED)
    .returning(*_COLUMNS)
)
_FINISH: Final = Prepared(
    update(_T).where(
        _T.c.id == bindparam("of_id"), _T.c.lease == bindparam("of_lease"), _T.c.state == tables.constant("leased")
    ),
    keys=("of_id",),
)
_UNDER_WAY: Final = _T.c.state == tables.constant("leased")
#: Leased by somebody who never came back.
OF_LOST: Final = select(_T.c.id).where(_UNDER_WAY, _T.c.lease_until < bindparam("now"))
_LOST: Final = Prepared(
    select(*_COLUMNS)
    .where(_UNDER_WAY, or_(_T.c.lease_until < bindparam("now"), _T.c.lease_until > bindparam("never")))
    .order_by(_T.c.lease_until, _T.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_PUT_BACK_CLOCK: Final = Prepared(
    update(_T)
    .where(
        _T.c.state == tables.constant("pending"),
        _T.c.created_at > bindparam("after"),
        or_(_T.c.why == PACED, tables.is_true(_T.c.urgent), _T.c.answer),
    )
    .values(not_before=bindparam("now"), created_at=bindparam("now"))
)
_STUCK: Final = Prepared(
    select(*_COLUMNS).where(_T.c.state.in_((tables.constant("unknown"), tables.constant("failed")))).order_by(_T.c.id)
)
_AGAIN: Final = Prepared(
    update(_T)
    .where(_T.c.id == bindparam("of_id"), _T.c.state.in_(("unknown", "failed")))
    .values(state="pending", not_before=bindparam("now"), lease=None, lease_until=None, why="")
)
_GIVE_UP: Final = Prepared(
    update(_T)
    .where(_T.c.id == bindparam("of_id"), _T.c.state.in_(("pending", "unknown")))
    .values(state="failed", why=bindparam("because"))
)
_SUPERSEDE: Final = Prepared(
    update(_T)
    .where(
        _T.c.state == tables.constant("pending"),
        _T.c.id < bindparam("than"),
        _T.c.surface == bindparam("of_surface"),
        _T.c.kind == bindparam("of_kind"),
        _T.c.case_id == bindparam("of_case"),
        func.coalesce(_T.c.handoff, 0) == func.coalesce(bindparam("of_handoff", type_=tables.Id), 0),
        func.coalesce(_T.c.to_staff, "") == bindparam("of_staff"),
        func.coalesce(_T.c.to_room, "") == bindparam("of_room"),
    )
    .values(state="superseded")
)
_STAND_DOWN: Final = Prepared(
    update(_T)
    .where(
        _T.c.state == tables.constant("pending"),
        _T.c.case_id == bindparam("of_case"),
        _T.c.handoff == bindparam("of_handoff"),
    )
    .values(state="superseded")
)
_SILENCE: Final = Prepared(
    update(_T).where(_T.c.state == "pending", _T.c.case_id == bindparam("of_case")).values(state="superseded")
)
_GONE: Final = select(tables.staff.c.code).where(tables.staff.c.active == 0)
_SILENCE_GONE: Final = Prepared(
    update(_T).where(_T.c.state == "pending", _T.c.to_staff.in_(_GONE)).values(state="superseded", why="left")
)
_PUSHES: Final = Prepared(
    select(func.count())
    .select_from(_T)
    .where(
        _T.c.to_staff == bindparam("staff"),
        _T.c.sent_at >= bindparam("since"),
        _T.c.state.in_(("sent", "unknown")),
        _T.c.surface.not_in(("web", "console")),
        ~_T.c.answer,
    )
)
_PUT_BACK: Final = Prepared(
    update(_T)
    .where(
        _T.c.id == bindparam("of_id"),
        or_(_T.c.state == tables.constant("pending"), _T.c.lease == bindparam("mine")),
    )
    .values(
        state="pending",
        lease=None,
        lease_until=None,
        tries=_T.c.tries - bindparam("less"),
        not_before=bindparam("slot"),
        why=bindparam("because"),
    )
)
_QUEUE: Final = Prepared(
    select(*_COLUMNS)
    .where(
        _T.c.state == tables.constant("pending"),
        _T.c.surface == bindparam("surface"),
        _T.c.address == bindparam("address"),
        or_(_T.c.not_before <= bindparam("now"), _T.c.why == PACED),
    )
    .order_by(_T.c.id)
)
_LATELY: Final = Prepared(
    select(_T.c.case_id, func.count())
    .where(
        _T.c.surface == bindparam("surface"), _T.c.address == bindparam("address"), _T.c.sent_at >= bindparam("since")
    )
    .group_by(_T.c.case_id)
)
#: Copies outside that are not true any more.
OF_STALE: Final = (
    select(_T.c.id)
    .join(tables.cases, tables.cases.c.id == _T.c.case_id)
    .where(
        tables.is_true(_T.c.live),
        _T.c.case_version < tables.cases.c.version,
        or_(_T.c.lease_until.is_(None), _T.c.lease_until <= bindparam("now")),
    )
)
#: + 0: the few live ones are sorted; in the order of the key SQLite would go through all letters.
_STALE: Final = OF_STALE.order_by(_T.c.id + 0).limit(bindparam("limit")).with_for_update(skip_locked=True, of=_T)
_LEASE_STALE: Final = Prepared(
    update(_T)
    .where(_T.c.id.in_(_STALE))
    .values(lease=bindparam("new_lease"), lease_until=bindparam("until"))
    .returning(*_COLUMNS)
)
_COPY: Final = Prepared(update(_T).where(_T.c.id == bindparam("of_id"), _T.c.state == tables.constant("sent")))
_ONE_READDRESSED: Final = Prepared(update(_T).where(_T.c.id == bindparam("of_id")))
_SHOWING: Final = Prepared(update(_T).where(_T.c.id == bindparam("of_id")))
_READDRESS: Final = Prepared(
    update(_T)
    .where(
        _T.c.state.in_((tables.constant("pending"), tables.constant("unknown"), tables.constant("failed"))),
        _T.c.surface == bindparam("of_surface"),
        _T.c.address == bindparam("of_address"),
    )
    .values(address=bindparam("now_at"))
)
_NEXT: Final = Prepared(select(func.min(_T.c.not_before)).where(_T.c.state == tables.constant("pending")))
_WAITING: Final = Prepared(
    select(func.count(), func.min(_T.c.created_at)).where(_T.c.state == tables.constant("pending"))
)


def next_to(platform: str) -> Select[Any]:
    """Ask when the next pending letter to a platform may go."""
    here = (_T.c.state == tables.constant("pending"), _T.c.surface == tables.constant(platform))
    return select(func.min(_T.c.not_before)).where(*here)


def write(tx: Tx, rows: Sequence[LetterRow]) -> None:
    """Keep letters; those that are pending wake the loop that sends."""
    if rows:
        tx.put(_INSERT, [_row(tx, letter) for letter in rows])
        if any(letter.state == "pending" for letter in rows):
            tx.flag("letters")


def lease(tx: Tx, now: datetime, room: Mapping[str, int], others: int, seconds: float) -> list[LetterRow]:
    """Take pending letters for sending, urgent ones and then the longest due first; all share one lease.

    `room`: how many at most, or a few more, for each platform that is set up; `others`: for those that are not.
    """
    if not others and not any(room.values()):
        return []
    until = now + timedelta(seconds=seconds)
    token = secrets.token_hex(8)
    free = {name: count for name, count in room.items() if count > 0}
    limits = {f"room_{i}": count for i, count in enumerate((*free.values(), others) if others else free.values())}
    statement = _lease(tuple(free), tuple(room), others > 0)
    new = {"now": now, "new_lease": token, "until": until}
    found = sorted(_letters(tx, tx.execute(statement, new | limits)), key=_order)
    for name, most in free.items():
        here = [letter for letter in found if letter.surface == name]
        last = here[-1] if len(here) >= most else None
        if last and last.case_id and last.to_staff:  # what one person hears of one case is not cut in two
            whose = {"of_surface": name, "of_case": last.case_id, "of_staff": last.to_staff}
            found += _letters(tx, tx.execute(_LEASE_REST, new | whose))
    return sorted(found, key=_order)


def _order(letter: LetterRow) -> tuple[bool, datetime, int, int]:
    return (not letter.urgent, letter.created_at, letter.case_id or 0, letter.id)


def put_back(tx: Tx, slots: Sequence[tuple[LetterRow, datetime]], why: str = PACED) -> None:
    """Let letters wait for their turn; one that was leased has not been tried."""
    rows = [
        {
            "of_id": letter.id,
            "mine": letter.lease or "",
            "less": int(letter.state == "leased"),
            "slot": slot,
            "because": why,
        }
        for letter, slot in slots
    ]
    if rows:
        tx.execute(_PUT_BACK, rows)
        tx.flag("letters")


def queue(tx: Tx, surface: str, address: str, now: datetime) -> list[LetterRow]:
    """List what would have left for a conversation by now but for its pace."""
    return _letters(tx, tx.execute(_QUEUE, {"surface": surface, "address": address, "now": now}))


def lately(tx: Tx, surface: str, address: str, since: datetime) -> dict[int | None, int]:
    """Count what has gone to a conversation since a moment, by case."""
    return dict(tuple(row) for row in tx.execute(_LATELY, {"surface": surface, "address": address, "since": since}))


def lease_stale(tx: Tx, now: datetime, limit: int, seconds: float) -> list[LetterRow]:
    """Take copies outside whose case has changed since they were shown."""
    until = now + timedelta(seconds=seconds)
    given = {"now": now, "limit": limit, "new_lease": secrets.token_hex(8), "until": until}
    return sorted(_letters(tx, tx.execute(_LEASE_STALE, given)), key=lambda letter: letter.id)


def copy(
    tx: Tx, id: int, *, live: bool, face: str | None = None, version: int | None = None, again: datetime | None = None,
    why: str | None = None,
) -> None:  # fmt: skip
    """Keep what a copy shows now; `live` False: it will not change any more. `again`: nobody looks at it before then."""
    changes: dict[str, Any] = {"live": live, "lease": None, "lease_until": again}
    if why is not None:
        changes["why"] = why
    if face is not None:
        changes["face"] = face
    if version is not None:
        changes["case_version"] = version
    tx.execute(_COPY, {"of_id": id, **changes})


def lease_one(tx: Tx, id: int, now: datetime, seconds: float) -> LetterRow | None:
    """Take this letter: the answer that goes at once with the handle the platform gave."""
    until = now + timedelta(seconds=seconds)
    found = _letters(tx, tx.execute(_LEASE_ONE, {"of_id": id, "new_lease": secrets.token_hex(8), "until": until}))
    return found[0] if found else None


def finish(
    tx: Tx,
    id: int,
    lease: str,
    *,
    state: State,
    at: datetime,
    ref: str | None = None,
    why: str = "",
    not_before: datetime | None = None,
) -> bool:
    """Write down what became of a leased letter; False when the lease is no longer its own.

    `pending` with `not_before` is Later; `sent` and `unknown` carry the moment in `sent_at`.
    """
    changes: dict[str, Any] = {"state": state, "ref": ref, "why": why, "lease": None, "lease_until": None}
    if state in ("sent", "unknown"):
        changes["sent_at"] = at
    if not_before is not None:
        changes["not_before"] = not_before
    if state == "pending":
        tx.flag("letters")
    return tx.execute(_FINISH, {"of_id": id, "of_lease": lease, **changes}).rowcount == 1


def sent(tx: Tx, rows: Sequence[tuple[LetterRow, str | None]], at: datetime) -> None:
    """Write down that leased letters have left, each with what the platform calls it; those of another's lease stay."""
    done = {"state": "sent", "why": "", "lease": None, "lease_until": None, "sent_at": at}
    if rows:
        tx.put(_FINISH, [{"of_id": row.id, "of_lease": row.lease, "ref": ref, **done} for row, ref in rows])


def lost(tx: Tx, now: datetime, seconds: float, limit: int) -> list[LetterRow]:
    """Find what was leased by somebody who never came back, and lock it: `finish` it under its lease.

    `seconds`: how long a lease lasts; one of twice that length was taken before the clock was put back.
    """
    given = {"now": now, "never": now + timedelta(seconds=2 * seconds), "limit": limit}
    return _letters(tx, tx.execute(_LOST, given))


def clock_put_back(tx: Tx, now: datetime) -> int:
    """Let go what waits for its turn at a moment that was near before the clock was put back; answer how many.

    Such a letter was written later than now: the letter itself shows it.
    """
    return tx.execute(_PUT_BACK_CLOCK, {"now": now, "after": now + SKEW}).rowcount


def get(tx: Tx, id: int) -> LetterRow | None:
    found = _letters(tx, tx.execute(_BY_ID, {"id": id}))
    return found[0] if found else None


def by_token(tx: Tx, token: str) -> LetterRow | None:
    """Find the letter whose button was tapped."""
    found = _letters(tx, tx.execute(_BY_TOKEN, {"token": token}))
    return found[0] if found else None


def bundle_of(tx: Tx, letter: LetterRow) -> list[LetterRow]:
    """List the letters that left with this one as one message, itself among them."""
    given = {"staff": letter.to_staff, "surface": letter.surface, "moment": letter.not_before}
    return _letters(tx, tx.execute(_BUNDLE, given))


def answer_to(tx: Tx, staff: str, inbox: int) -> LetterRow | None:
    """Find what somebody was answered to these words."""
    found = _letters(tx, tx.execute(_ANSWER_TO, {"staff": staff, "inbox": inbox}))
    return found[0] if found else None


def for_person(
    tx: Tx,
    staff: str,
    rooms: Sequence[str],
    after: int = 0,
    limit: int = 100,
    *,
    surface: str | None = None,
    case_id: int | None = None,
    latest: bool = False,
) -> list[LetterRow]:
    """List what a person may read after a letter: their own and their rooms', oldest first.

    Somebody else's answer stays theirs, in a shared room too. `latest` takes the last `limit` instead of the first.
    """
    mine = or_(
        _T.c.to_staff == staff,
        and_(_T.c.to_room.in_(list(rooms)), or_(~_T.c.answer, _T.c.by_staff == staff)),
    )
    found = select(*_COLUMNS).where(mine, _T.c.id > after, _T.c.state != "superseded")
    if surface is not None:
        found = found.where(_T.c.surface == surface)
    if case_id is not None:
        found = found.where(_T.c.case_id == case_id)
    rows = _letters(tx, tx.execute(found.order_by(_T.c.id.desc() if latest else _T.c.id).limit(limit)))
    return rows[::-1] if latest else rows


def of_case(tx: Tx, case_id: int, limit: int | None, *, outside: bool = False) -> list[LetterRow]:
    """List the newest letters about a case (None: all), newest first; `outside`: those that had to be brought somewhere."""
    found = select(*_COLUMNS).where(_T.c.case_id == case_id)
    if outside:
        found = found.where(_T.c.surface.not_in(("web", "console")))
    return _letters(tx, tx.execute(found.order_by(_T.c.created_at.desc(), _T.c.id.desc()).limit(limit)))


def newest_in(tx: Tx, staff: str, room: str | None) -> LetterRow | None:
    """Find the newest letter of one room, or (room None) of a person's own."""
    where = _T.c.to_room == room if room else and_(_T.c.to_staff == staff, _T.c.to_room.is_(None))
    mine = and_(where, _T.c.surface == "web", or_(~_T.c.answer, _T.c.by_staff == staff), _T.c.state != "superseded")
    found = _letters(tx, tx.execute(select(*_COLUMNS).where(mine).order_by(_T.c.id.desc()).limit(1)))
    return found[0] if found else None


def stuck(tx: Tx) -> list[LetterRow]:
    """List letters that failed or whose fate is unknown."""
    return _letters(tx, tx.execute(_STUCK))


def retry(tx: Tx, id: int, now: datetime) -> bool:
    """Send a stuck letter again."""
    tx.flag("letters")
    return tx.execute(_AGAIN, {"of_id": id, "now": now}).rowcount == 1


def give_up(tx: Tx, id: int, why: str) -> bool:
    """Let a letter be: it will not be sent any more."""
    return tx.execute(_GIVE_UP, {"of_id": id, "because": why}).rowcount == 1


def pushes_today(tx: Tx, staff: str, since: datetime) -> int:
    """Count what has reached a person abroad since a moment, answers to their own words aside."""
    return int(tx.execute(_PUSHES, {"staff": staff, "since": since}).scalar_one())


def supersede(tx: Tx, newer: LetterRow) -> int:
    """Drop pending letters that say the same to the same reader on the same surface, only older; answer how many."""
    return tx.execute(_SUPERSEDE, {
        "than": newer.id, "of_surface": newer.surface, "of_kind": newer.kind, "of_case": newer.case_id,
        "of_handoff": newer.handoff, "of_staff": newer.to_staff or "", "of_room": newer.to_room or "",
    }).rowcount  # fmt: skip


def stand_down(tx: Tx, case_id: int, handoff: int) -> int:
    """Drop the pending letters about a handoff that is over."""
    return tx.execute(_STAND_DOWN, {"of_case": case_id, "of_handoff": handoff}).rowcount


def push_times(tx: Tx, staff: Iterable[str], since: datetime) -> list[tuple[str, datetime, int | None, bool]]:
    """List (person, when, case, urgent) of what went or will go to some people abroad from a moment on: the budget's memory."""
    return [
        (person, when, case, urgent)
        for some in several(sorted(set(staff)))
        for person, when, case, urgent in tx.execute(_push_times(some.size), some.named | {"since": since})
    ]


@cache
def _push_times(size: int) -> Prepared:
    return Prepared(
        select(_T.c.to_staff, _T.c.not_before, _T.c.case_id, _T.c.urgent).where(
            _T.c.to_staff.in_(names_of(size)),
            _T.c.not_before >= bindparam("since"),
            _OUTSIDE,
            _T.c.surface.not_in(("web", "console")),
            _T.c.state.in_(("pending", "leased", "sent", "unknown")),
            ~_T.c.answer,
        )
    )


def silence(tx: Tx, case_id: int) -> int:
    """Drop every pending letter of a case: after 逝去 nothing unsent goes out."""
    return tx.execute(_SILENCE, {"of_case": case_id}).rowcount


def silence_gone(tx: Tx) -> int:
    """Drop what is pending for people who are in the town no more; answer how many."""
    return tx.execute(_SILENCE_GONE).rowcount


def moved(tx: Tx, surface: str, old: str, new: str) -> int:
    """Readdress what has not left yet to a conversation that has another id now; answer how many."""
    return tx.execute(_READDRESS, {"of_surface": surface, "of_address": old, "now_at": new}).rowcount


def readdress(tx: Tx, id: int, address: str) -> None:
    """Send one letter elsewhere on its platform."""
    tx.execute(_ONE_READDRESSED, {"of_id": id, "address": address})


def showing(tx: Tx, letter: LetterRow, says: Sequence[str], version: int | None, moment: datetime) -> None:
    """Remember under a letter's token what each of its buttons says, by its place, before anybody can tap it.

    What leaves as one message has one `moment` (`bundle_of`).
    """
    changes = {
        "doc": _doc(tx, letter.answer, letter.doc | {"says": list(says)}),
        "case_version": version,
        "token": letter.token,
        "not_before": moment,
    }
    tx.execute(_SHOWING, {"of_id": letter.id, **changes})


def next_due(tx: Tx) -> datetime | None:
    """Find when the next pending letter may go."""
    found: datetime | None = tx.execute(_NEXT).scalar()
    return found


def waiting(tx: Tx) -> tuple[int, datetime | None]:
    """Count the pending letters and find when the oldest was written."""
    count, oldest = tx.execute(_WAITING).one()
    return count, oldest


def _letters(tx: Tx, rows: Iterable[Any]) -> list[LetterRow]:
    return [of_row(tx, row) for row in rows]


def of_row(tx: Tx, row: Any) -> LetterRow:
    """The letter of a row, with what an answer says opened."""
    letter = LetterRow(*row)
    if SHUT not in letter.doc:
        return letter
    rest = {name: value for name, value in letter.doc.items() if name != SHUT}
    return replace(letter, doc=rest | seal.opened(tx.keys, letter.doc[SHUT]))


def _row(tx: Tx, letter: LetterRow) -> dict[str, Any]:
    return {name: getattr(letter, name) for name in _NAMES} | {"doc": _doc(tx, letter.answer, letter.doc)}


def _doc(tx: Tx, answer: bool, doc: dict[str, Any]) -> dict[str, Any]:
    """An answer repeats what somebody typed, and its buttons say it again: both are sealed. Others hold codes alone."""
    if not answer or "text" not in doc:
        return doc
    return doc | SAYS_NOTHING | {SHUT: seal.shut(tx.keys, {name: doc[name] for name in SAYS_NOTHING if name in doc})}
