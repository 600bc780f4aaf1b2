"""What is deleted by age, a small batch a transaction, so that no table but the record itself grows for ever.

Of each table, what goes and why the rest stays (the periods are the town's, `[retention]`):

| table | |
|---|---|
| journal cases handoffs households household_merges plans | stay: they are the record |
| persons person_hashes items consents consents_missing | stay: they are the record; unreadable once their household is forgotten |
| conferences conference_members conference_cases conference_decisions | stay: they are the record |
| looks look_days breaches | stay: who saw what is kept as long as the record, and what got out with it |
| texts | stay, till their household is erased (storage/erasures.py); what is said in a chat is a copy of it |
| holds erasures monthly_figures disclosures | stay: why something was kept, and what became of the rest |
| capacity_asks marks | stay: parts of their case, a few each |
| municipality agencies staff absences links rooms reader_settings demo_clock | stay: they are the town |
| turns reads leases | stay: one row a person, a person and room, a name |
| letters | go after `letters` days when they are settled and nothing needs them any more (`_NEEDED`); copies of chats sooner |
| copies of chats | letters that left the house, words to the bot and among colleagues go after `retention_chat_days`, 30 at most |
| inbox | what is done goes: from outside after `inbox` days (till then it is the same event), from inside with the letters |
| waits timers | closed ones go after `letters` days with all their timers: no letter asks after them any more |
| beats | go after `traces` days, but the newest of each name, from which a calendar goes on |
| paces | go after `traces` days: a conversation that is free needs no row |
| invites sessions | go `traces` days after they have ended |
| passkeys authenticator_apps recovery_codes | stay while their owner is of the town: they are somebody's keys |
| challenges tries | go when they are over, with the next question asked at the door (storage/ways.py) |

Ids grow with time, so the old ones are walked through from the lowest: no index is needed, and nothing new is looked at.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy import Select, and_, delete, exists, func, or_, select, text, tuple_, update

from storage import figures, tables
from storage.tx import Tx
from workflow.path import ASKED

BATCH: Final = 500  #: rows looked at in a transaction

_L: Final = tables.letters
_I: Final = tables.inbox
_W: Final = tables.waits
_T: Final = tables.timers
_X: Final = tables.texts
_H: Final = tables.handoffs
_C: Final = tables.cases
_B: Final = tables.beats
_P: Final = tables.paces
_IN: Final = tables.invites
_S: Final = tables.sessions
_TURN: Final = tables.turns
_R: Final = tables.room_posts
_SHOWN: Final = _L.alias("shown")
_LATER: Final = _B.alias("later")

_SETTLED: Final = or_(
    _L.c.state.in_(("sent", "superseded", "unknown")),
    and_(_L.c.state == "failed", _L.c.why.like(f"{figures.GIVEN_UP}%")),  # the others wait for somebody on /stuck
)
#: What left as one message is rendered as one again when a part of it changes.
_TOGETHER: Final = tuple_(func.coalesce(_L.c.to_staff, ""), _L.c.surface, _L.c.not_before).in_(
    select(func.coalesce(_SHOWN.c.to_staff, ""), _SHOWN.c.surface, _SHOWN.c.not_before).where(text("shown.live"))
)
_NEEDED: Final = or_(
    _L.c.live,
    _TOGETHER,
    exists().where(_W.c.id == _L.c.wait, _W.c.closed_at.is_(None)),  # it asks something
    exists().where(_H.c.id == _L.c.handoff, _H.c.state.in_(ASKED)),
    and_(_L.c.kind == "closing_proposed", exists().where(_C.c.id == _L.c.case_id, _C.c.stage != "closed")),  # counted
    exists().where(_TURN.c.staff == _L.c.to_staff, _TURN.c.at == _L.c.created_at),  # a preview, choices, an undo
)


class Step(NamedTuple):
    """What a batch did: up to which id it has looked (None: to the end), and how many rows it deleted."""

    last: int | None
    gone: int


#: Looks at a batch of rows behind an id.
Sweep: TypeAlias = Callable[[int, Tx], Step]


def letters(before: datetime) -> Sweep:
    """Delete letters written before a moment that are settled and that nothing needs."""

    def step(after: int, tx: Tx) -> Step:
        old, last = _old(tx, select(_L.c.id, _L.c.created_at).where(_L.c.id > after).order_by(_L.c.id), before)
        gone = tx.execute(delete(_L).where(_L.c.id.in_(old), _SETTLED, ~_NEEDED)).rowcount if old else 0
        return Step(last, gone)

    return step


def inbox(inside: datetime, outside: datetime) -> Sweep:
    """Delete events that are done and were received before a moment, with the words that were said."""
    ours = _I.c.platform.in_(("web", "console"))
    aged = or_(and_(ours, _I.c.received_at < inside), and_(~ours, _I.c.received_at < outside))

    def step(after: int, tx: Tx) -> Step:
        newest = max(inside, outside)
        old, last = _old(tx, select(_I.c.id, _I.c.received_at).where(_I.c.id > after).order_by(_I.c.id), newest)
        if not old:
            return Step(last, 0)
        rows = delete(_I).where(_I.c.id.in_(old), aged, _I.c.state == "done").returning(_I.c.text)
        said = list(tx.execute(rows).scalars())
        if words := [one for one in said if one is not None]:
            tx.execute(delete(_X).where(_X.c.id.in_(words), _X.c.household.is_(None)))
        return Step(last, len(said))

    return step


def waits(before: datetime) -> Sweep:
    """Delete waits that were closed before a moment, with their timers."""

    def step(after: int, tx: Tx) -> Step:
        old, last = _old(tx, select(_W.c.id, _W.c.opened_at).where(_W.c.id > after).order_by(_W.c.id), before)
        closed = (
            list(tx.execute(select(_W.c.id).where(_W.c.id.in_(old), _W.c.closed_at < before)).scalars()) if old else []
        )
        if closed:
            tx.execute(delete(_T).where(_T.c.wait_id.in_(closed)))
            tx.execute(delete(_W).where(_W.c.id.in_(closed)))
        return Step(last, len(closed))

    return step


def said(before: datetime) -> Sweep:
    """Delete words said before a moment to the bot; that something was said stays as long as the inbox does."""
    old = (
        select(_I.c.id, _I.c.text)
        .where(_I.c.text.is_not(None), _I.c.received_at < before, _I.c.state == "done")
        .limit(BATCH)
    )

    def step(after: int, tx: Tx) -> Step:
        rows = tx.execute(old).all()
        tx.execute(update(_I).where(_I.c.id.in_([row.id for row in rows])).values(text=None))
        tx.execute(delete(_X).where(_X.c.id.in_([row.text for row in rows]), _X.c.household.is_(None)))
        return _until_none(len(rows))

    return step


def posts(before: datetime) -> Sweep:
    """Delete what colleagues wrote to each other before a moment."""
    old = select(_R.c.id, _R.c.text).where(_R.c.at < before).order_by(_R.c.id).limit(BATCH)

    def step(after: int, tx: Tx) -> Step:
        rows = tx.execute(old).all()
        tx.execute(delete(_R).where(_R.c.id.in_([row.id for row in rows])))
        tx.execute(delete(_X).where(_X.c.id.in_([row.text for row in rows]), _X.c.household.is_(None)))
        return _until_none(len(rows))

    return step


def copies(before: datetime) -> Sweep:
    """Delete what is kept of letters that left the house before a moment, when nothing needs them any more."""
    left = (_L.c.address.is_not(None), _L.c.not_before < before, _L.c.created_at < before)
    old = select(_L.c.id).where(*left, _SETTLED, ~_NEEDED).limit(BATCH)

    def step(after: int, tx: Tx) -> Step:
        rows = list(tx.execute(old).scalars())
        tx.execute(delete(_L).where(_L.c.id.in_(rows)))
        return _until_none(len(rows))

    return step


def _until_none(gone: int) -> Step:
    """All that is found goes, so that there is nothing to walk past."""
    return Step(0 if gone == BATCH else None, gone)


def traces(before: datetime) -> Sweep:
    """Delete what processes and doors have left behind; small tables, in one go."""
    gone = (
        delete(_B).where(_B.c.instant < before, exists().where(_LATER.c.name == _B.c.name, _LATER.c.instant > _B.c.instant)),
        delete(_P).where(_P.c.free_at < before),
        delete(_IN).where(or_(_IN.c.expires < before, _IN.c.used_at < before)),
        delete(_S).where(or_(_S.c.expires < before, _S.c.ended_at < before)),
    )  # fmt: skip

    def step(after: int, tx: Tx) -> Step:
        return Step(None, sum(tx.execute(statement).rowcount for statement in gone))

    return step


def _old(tx: Tx, found: "Select[tuple[int, datetime]]", before: datetime) -> tuple[list[int], int | None]:
    """The old ones of the next rows, and the last id looked at; None when all that follow are younger, or none does."""
    rows = tx.execute(found.limit(BATCH)).all()
    old = [id_ for id_, at in rows if at < before]
    return old, rows[-1][0] if old and len(rows) == BATCH else None
