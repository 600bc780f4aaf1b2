"""The one place that turns somebody's sight into SQL: what workflow/sight.py says of one case, said of many.

Every list, search, board and count of cases takes `Eyes` and has these conditions; nothing else decides what a list holds.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, false, or_, select, true, type_coerce, union_all

from storage import tables
from workflow.path import ASKED, HELD
from workflow.sight import EVERYTHING, Eyes

_T: Final = tables.cases
_H: Final = tables.handoffs
_O: Final = tables.openings
_S: Final = tables.staff
_OPENED: Final = ~_T.c.restricted
_NOW: Final = bindparam("sight_at", type_=tables.Moment())
#: The 結果 has not come back: what `Handoff.awaits_result` reads off the handoff's own facts.
_AWAITED: Final = and_(
    _H.c.state.in_(HELD),
    type_coerce(_H.c.doc, Text).contains('"connected_at":'),
    type_coerce(_H.c.doc, Text).not_like('%"result_at":%'),
)


class Seer(NamedTuple):
    """What the conditions of a sight are made of; their moment comes with each question (`moment`).

    Somebody's seer stays the same for a long time, so that a statement with it can be made once and kept.
    """

    me: str
    agencies: tuple[str, ...]
    answers: tuple[str, ...]
    headed: tuple[str, ...]
    deputy_of: tuple[str, ...]
    stands_for: tuple[str, ...]
    everything: bool
    final: bool  #: the final owner
    coordinators: tuple[tuple[str, tuple[str, ...]], ...]  #: of the town, with their agencies


def seer(eyes: Eyes) -> Seer | None:
    """Find what somebody's conditions are made of; None: the engine's eyes."""
    if eyes is EVERYTHING:
        return None
    me, town = eyes.me, eyes.town
    return Seer(
        me.code, me.agencies, eyes.answers, eyes.headed, eyes.deputy_of, eyes.stands_for, eyes.everything,
        me.code == town.final_owner, tuple((c.code, c.agencies) for c in town.coordinators),
    )  # fmt: skip


def moment(eyes: Eyes) -> dict[str, datetime]:
    """The parameter that every statement with a sight is executed with."""
    return {} if eyes is EVERYTHING else {_NOW.key: eyes.at}


def known(one: Seer | None) -> ColumnElement[bool]:
    """The cases that somebody may know: `Sight.knows`."""
    return true() if one is None else _known(one, one.everything)


def unhidden(one: Seer | None) -> ColumnElement[bool]:
    """The cases that may be counted before somebody: all but restricted ones and those their agency is barred from."""
    return true() if one is None else _known(one, True)


def _known(one: Seer, everything: bool) -> ColumnElement[bool]:
    """The cheap and common reason first: databases stop at the first that holds."""
    posts = true() if everything else or_(_T.c.opened_by == one.me, _led_from(one), _T.c.id.in_(_held_by(one)))
    here = and_(_not_barred(one.agencies), or_(and_(_OPENED, posts), _T.c.id.in_(_asked(one)), *_stands_in(one)))
    return or_(here, _T.c.lead == one.me, _oversees(one), _T.c.id.in_(_in_person(one)))


def _not_barred(agencies: Iterable[str]) -> ColumnElement[bool]:
    """None of these agencies is barred from the case."""
    named = (_T.c.barred.not_like(f"% {_plain(a)} %", escape="\\") for a in agencies)
    return or_(_T.c.barred.is_(None), and_(true(), *named))


def _plain(code: str) -> str:
    return code.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def _in_person(one: Seer) -> Select[Any]:
    found = union_all(
        select(_H.c.case_id).where(_H.c.holder == one.me, _H.c.state.in_(HELD)),
        select(_H.c.case_id).where(_H.c.sender == one.me, or_(_H.c.state.in_((*ASKED, "accepted")), _AWAITED)),
        select(_O.c.case_id).where(_O.c.staff == one.me, _O.c.until > _NOW),
    ).subquery()
    return select(found.c.case_id)


def _oversees(one: Seer) -> ColumnElement[bool]:
    """見る調整役; the final owner where nobody named is a coordinator of this town any more."""
    valid = {code: and_(_T.c.overseer == code, _not_barred(agencies)) for code, agencies in one.coordinators}
    mine = [valid[one.me]] if one.me in valid else []
    if one.final:
        mine.append(~or_(false(), *valid.values()))
    return and_(_T.c.restricted, or_(false(), *mine))


def _receives(one: Seer, states: Iterable[str]) -> Select[Any]:
    """Offers that they answer: by name, as a deputy, or as one of the agency that was asked as a whole."""
    here = select(_S.c.code).where(_S.c.active == 1)
    to_all = or_(_H.c.to_staff.is_(None), _H.c.to_staff.not_in(here))
    by_name = _H.c.to_staff.in_((one.me, *one.deputy_of))
    theirs = or_(by_name, and_(to_all, _H.c.to_agency.in_(one.answers))) if one.answers else by_name
    return select(_H.c.case_id).where(_H.c.state.in_(tuple(states)), theirs)


def _asked(one: Seer) -> Select[Any]:
    away = one.stands_for
    found = [_receives(one, ASKED)]
    if away:
        found.append(select(_H.c.case_id).where(_H.c.holder.in_(away), _H.c.state.in_(HELD)))
        found.append(select(_H.c.case_id).where(_H.c.sender.in_(away), _H.c.state.in_(ASKED)))
    every = union_all(*found).subquery()
    return select(every.c.case_id)


def _stands_in(one: Seer) -> list[ColumnElement[bool]]:
    """For a lead or a coordinator who is away."""
    away = one.stands_for
    if not away:
        return []
    interim = [_not_barred(agencies) for code, agencies in one.coordinators if code in away]
    found = [_T.c.lead.in_(away), and_(_T.c.restricted, _T.c.overseer.in_(away))]
    return [*found, *(and_(_OPENED, _T.c.lead.is_(None), free) for free in interim)]


def _led_from(one: Seer) -> ColumnElement[bool]:
    """Led by somebody of an agency that they head."""
    if not one.headed:
        return false()
    return _T.c.lead.in_(select(_S.c.code).where(_S.c.agency.in_(one.headed), _S.c.active == 1))


def _held_by(one: Seer) -> Select[Any]:
    """Held in an agency that they head, or that answered as a whole with them in it."""
    by_agency = select(_H.c.case_id).where(_H.c.to_agency.in_(one.headed), _H.c.state.in_(HELD))
    every = union_all(*([by_agency] if one.headed else []), _receives(one, HELD)).subquery()
    return select(every.c.case_id)
