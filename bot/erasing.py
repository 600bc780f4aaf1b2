"""保存と消去: the calendar lists whose period is over, one person proposes, another destroys; nothing is erased by itself."""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final, NamedTuple

from bot.record import record
from storage import cases, erasures, journal, monthly, texts
from storage.erasures import Erasure, Gone, Hold
from storage.tx import Tx
from workflow import calendar, retention
from workflow import monthly as figures
from workflow import refusals as no
from workflow.case import Case
from workflow.outcome import Act, Entry, Outcome
from workflow.people import Staff, Town
from workflow.retention import Standing

if TYPE_CHECKING:
    from bot.app import App

SOME: Final = 100  #: households a transaction
YEARS: Final = "retention_years"  #: of the town file's [limits]


class Household(NamedTuple):
    """One with its cases, locked in ascending id and then the household."""

    id: int
    cases: list[Case]
    standing: Standing


async def look(app: "App") -> int:
    """Put those whose period is over on the list, and take off it whose is not any more; answer how many were added."""
    added = 0
    while True:
        some = await app.store.transact(lambda tx: _add_some(tx, app))
        added += some
        if some < SOME:
            break
    for one in await app.store.read(erasures.waiting):
        await app.store.transact(lambda tx: _still(tx, app, one))  # noqa: B023 - done before the next
    return added


def _add_some(tx: Tx, app: "App") -> int:
    town, now = app.towns.of(tx), app.clock.now(tx)
    day = retention.closed_before(_today(town, now), town.limits[YEARS])
    found = erasures.due(tx, calendar.instant(day, time(0), town.tz), SOME)
    for one in found:
        erasures.add(tx, app.fresh(), one, now)
    return len(found)


def _still(tx: Tx, app: "App", one: Erasure) -> None:
    town, now = app.towns.of(tx), app.clock.now(tx)
    try:
        _must(town, now, standing(tx, one.household, town).standing)
    except no.Refusal as why:
        erasures.stop(tx, one.household, _stopped(why), now)


def standing(tx: Tx, household: int, town: Town) -> Household:
    """How a household stands, until the commit: whoever opens its next episode asks whether it is forgotten, behind the same lock."""
    known = [i for i, _ in erasures.numbers(tx, household)]
    whole = [case for i in known if (case := cases.load(tx, i, lock=True))]
    gone = texts.forgotten(tx, household, lock=True)
    whole += cases.load_several(
        tx, {i for i, _ in erasures.numbers(tx, household)} - set(known)
    )  # opened while we waited
    closed = [case.closed_at for case in whole if case.closed_at]
    last = None if any(case.open for case in whole) else max(closed).astimezone(town.tz).date()
    return Household(household, whole, Standing(last, erasures.held(tx, household), gone))


def _must(town: Town, now: datetime, standing: Standing) -> None:
    retention.must_be_erasable(standing, _today(town, now), town.limits[YEARS])


def propose(tx: Tx, id: int, by: Staff, town: Town, now: datetime) -> Erasure:
    """One person has looked through it. Raises a Refusal."""
    retention.must_keep(by)
    one = _there(tx, id)
    _must(town, now, standing(tx, one.household, town).standing)
    if not erasures.propose(tx, id, by.code, now):
        raise no.AlreadyDone(state="")
    _line(tx, "town.erasure_proposed", {"erasure": id, "numbers": one.numbers}, by, now)
    return one


def take_back(tx: Tx, id: int, by: Staff, now: datetime) -> Erasure:
    """A proposal is a candidate again. Raises a Refusal."""
    retention.must_keep(by)
    one = _there(tx, id)
    if not erasures.take_back(tx, id):
        raise no.AlreadyDone(state="")
    _line(tx, "town.erasure_taken_back", {"erasure": id, "numbers": one.numbers}, by, now)
    return one


def confirm(tx: Tx, id: int, act: Act) -> Erasure:
    """The second person: destroy the household's key and all that is read with it, and write the certificate. Raises a Refusal."""
    assert act.by is not None
    one = _there(tx, id)
    if one.proposed_by is None:
        raise no.NotProposed
    retention.must_be_second(act.by, one.proposed_by)
    found = standing(tx, one.household, act.town)
    _must(act.town, act.at, found.standing)
    lost = figures.lost(found.cases, act.town.tz)
    gone = _destroyed(tx, found.cases, one, act)
    data = {
        "erasure": id,
        "numbers": one.numbers,
        "gone": gone.counts,
        "digest": gone.digest,
        "proposed_by": one.proposed_by,
    }
    line = _line(tx, "town.erased", data, act.by, act.at)
    monthly.keep(tx, lost)  # behind the town's journal, which one at a time writes
    if not erasures.done(tx, id, act.by.code, act.at, gone, line):
        raise no.ErasedAlready
    return _there(tx, id)


def _destroyed(tx: Tx, of: Sequence[Case], one: Erasure, act: Act) -> Gone:
    gone = erasures.destroy(tx, one.household, [case.id for case in of])
    for case in of:
        out = Outcome(case, act).note("case.erased", erasure=one.id, digest=gone.digest)
        out.case = retention.only_figures(case)
        record(tx, out)
    return gone


def hold(tx: Tx, number: str, reason: str, words: str, act: Act) -> Hold:
    """保全: nothing of this household is erased until it is lifted; a proposal under way ends. Raises a Refusal."""
    assert act.by is not None
    retention.must_keep(act.by)
    case = cases.load(tx, number, lock=False)
    if case is None:
        raise no.NoSuchCase(number=number)
    found = standing(tx, case.household, act.town)
    if found.standing.gone:
        raise no.OnlyFigures(number=number)
    if found.standing.held:
        raise no.OnHold
    text = texts.put(tx, case.household, words, act.by.code, act.at)[0] if words else None
    one = Hold(act.fresh(), case.household, reason, text, act.by.code, act.at)
    erasures.hold(tx, one)
    stopped = erasures.stop(tx, case.household, "hold", act.at)
    of = [each.number for each in found.cases]
    _line(tx, "town.hold", {"hold": one.id, "numbers": of, "reason": reason, "stopped": stopped}, act.by, act.at)
    return one


def lift(tx: Tx, id: int, by: Staff, now: datetime) -> None:
    """Raises a Refusal."""
    retention.must_keep(by)
    one = erasures.lift(tx, id, by.code, now)
    if one is None:
        raise no.AlreadyDone(state="")
    of = [number for _, number in erasures.numbers(tx, one.household)]
    _line(tx, "town.hold_lifted", {"hold": id, "numbers": of}, by, now)


def figures_of(tx: Tx, town: Town) -> dict[figures.Figure, int]:
    """Every figure of every month: what can be counted now, and what was kept of what was erased."""
    whole = cases.load_several(tx, cases.all_ids(tx))
    return figures.count(whole, town.tz) + monthly.kept(tx)


def _there(tx: Tx, id: int) -> Erasure:
    if (one := erasures.get(tx, id)) is None:
        raise no.NotProposed
    return one


def _stopped(why: no.Refusal) -> str:
    return "hold" if isinstance(why, no.OnHold) else "open"


def _line(tx: Tx, kind: str, data: dict[str, object], by: Staff, at: datetime) -> int:
    return journal.append_town(tx, Entry(kind, data=data), by.code, "web", at)


def _today(town: Town, now: datetime) -> date:
    return now.astimezone(town.tz).date()
