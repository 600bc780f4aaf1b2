"""The auditor: promises looked for by queries of their own, apart from the engine that keeps them. Each finding is told once.

Every minute it looks at what is cheap to ask and at every case that was written of since; once a day at all of them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from time import monotonic
from typing import TYPE_CHECKING, Final

import aiohttp

from adapters import wire
from bot.ready import clocks_apart, ready, watchers
from bot.receive import TRIES
from bot.record import record, send
from storage import cases, findings, journal, looks, promises, timers, waits
from storage.cases import SlowerWriter
from storage.findings import Finding
from storage.looks import End
from storage.promises import Found
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx
from workflow.case import Case, Wait
from workflow.outcome import Act, Notice
from workflow.people import Town
from workflow.promise import climbs_to
from workflow.ring import mend
from workflow.sight import EVERYTHING

if TYPE_CHECKING:
    from bot.app import App

log = logging.getLogger(__name__)

LATE: Final = timedelta(minutes=5)  #: a timer rings within this, a parked event is tried again
LETTERS_LATE: Final = timedelta(
    minutes=15
)  #: a letter leaves within this of its moment, unless its platform's pace holds it
LEASE_LOST: Final = timedelta(minutes=2)  #: somebody says within this what became of a letter whose sender is gone
SILENT: Final = timedelta(minutes=5)  #: an audit ends at least as often
APART: Final = timedelta(seconds=2)  #: two clocks may differ by this
PAGE: Final = 8  #: cases looked at together: some ten milliseconds
REST: Final = 3  #: between the pages of a whole audit: times as long as a page took
STEP: Final = 0.25  #: seconds from the beginning of one page to the next in a minute's audit …
SPREAD: Final = 40.0  #: … in which all of its pages are begun, however many
NAMED: Final = 5  #: numbers in a letter
LOOK_DAYS: Final = 2  #: days of which the looks are gone through: today's and the day's before, whole once a day …
LATELY: Final = 100  #: … and each minute so many of the newest, and whether any is missing

#: Looked for case by case.
BY_CASE: Final = frozenset({"chain", "basis", "death", "nobody", "unreadable"})
#: Looked for all at once, every minute.
EVERYWHERE: Final = frozenset({"lead", "wait", "timer", "ring", "lease", "unwritten", "event", "clock", "looks"})
#: Looked for by a process that has been here long enough to have done something about them.
BY_NOW: Final = frozenset({"late", "letters"})
#: What is wrong with what watches: gone as soon as an audit ends.
OF_AUDITS: Final = frozenset({"audit"})
#: What people wait for in vain meanwhile is told at night too.
URGENT: Final = frozenset({"wait", "timer", "late", "letters", "nobody", "audit"})
REPAIRED: Final = frozenset({"wait", "timer", "lease"})

SAID: Final = {
    "lead": "has no lead, or two (I1)",
    "wait": "has no open wait (I25)",
    "timer": "has an open wait that nothing will ring (I4)",
    "timers": "has two timers for one wait (I4)",
    "late": "has a timer that should have rung",
    "basis": "has an offer without a basis (I26)",
    "death": "still asks somebody after 逝去 (I27)",
}


# -- `tsunagi verify`


def breaches(tx: Tx, now: datetime, anchors: Sequence[End] = ()) -> Iterator[str]:
    """Yield one line a finding; lines that begin with "ok" say what was checked and found whole.

    `anchors`: what was written down of the looks outside the database.
    """
    counted = promises.counts(tx)
    broken = list(journal.verify(tx))
    for breach in broken:
        yield f"breach: the journal of {breach.number or 'the town'} does not hold at line {breach.seq} ({breach.what})"
    for one in (
        *promises.without_one_lead(tx), *promises.without_open_wait(tx), *promises.silent_waits(tx), *promises.doubled_timers(tx),
        *promises.overdue_timers(tx, now - LATE), *promises.offers_without_basis(tx), *promises.asked_after_death(tx),
    ):  # fmt: skip
        yield f"breach: {one.number or 'a call without a case'} {SAID[one.kind]}"
    if not broken:
        yield f"ok: {counted.lines} journal lines, every chain whole"
    yield from _of_looks(tx, anchors)
    yield f"ok: looked at {counted.open} open and {counted.closed} closed cases, {counted.waits} open waits"
    yield f"ok: pushes a person and day, p95: {promises.pushes_p95(tx)}"


def _of_looks(tx: Tx, anchors: Sequence[End]) -> Iterator[str]:
    broken = [*looks.verify(tx), *looks.differing(tx, anchors)]
    for one in broken:
        if one.what == "anchor":
            yield f"breach: the looks of {one.day} are not those that were written down outside the database"
        else:
            yield f"breach: the looks of {one.day} do not hold at look {one.seq} ({one.what})"
    if not broken:
        kept = looks.days(tx)
        held = f", {len(anchors)} days held against what was written down outside" if anchors else ""
        yield f"ok: {sum(one.seq for one in kept)} looks on {len(kept)} days, every chain whole{held}"


# -- the beats


async def audit(app: "App") -> None:
    """Look, repair once what can be repaired, tell a human once, and say outside that all is well when it is."""
    await _audit(app, everything=False)


async def audit_all(app: "App") -> None:
    """The same for every case, closed ones too."""
    await _audit(app, everything=True)


async def heed(app: "App") -> None:
    """Tell when no audit has ended for a while: whoever is left watches the auditor. A new process waits as long first."""
    here, last = app.clock.here(), await app.store.read(findings.last_audit)
    if here - app.began < SILENT or (last is not None and here - last.at < SILENT):
        return

    def silent(tx: Tx) -> None:
        findings.keep(tx, [Found("audit", "audit")], OF_AUDITS, app.clock.now(tx))
        _tell(tx, app, {})

    await app.store.transact(silent)


async def _audit(app: "App", *, everything: bool) -> None:
    seen = await app.store.read(lambda tx: _everywhere(tx, app, everything))
    apart = await clocks_apart(app)
    if apart is not None and abs(apart) > APART:
        seen.found.append(Found("clock", "database"))
    await _by_case(app, seen, everything)
    kinds = EVERYWHERE | BY_CASE | OF_AUDITS | seen.more
    await app.store.transact(lambda tx: findings.keep(tx, seen.found, kinds, app.clock.now(tx)))
    await _repair(app)
    counts = {(one.kind, one.key): one.times for one in seen.found}

    def end(tx: Tx) -> bool:
        _tell(tx, app, counts)
        findings.ended(tx, app.clock.here(), seen.line, seen.before)
        return not findings.standing(tx)

    if await app.store.transact(end) and ready(app):
        await _ping(app.settings.heartbeat_url)


# -- looking


@dataclass(slots=True)
class _Seen:
    found: list[Found]
    more: set[str]  #: kinds that were looked for besides the usual ones
    cases: list[int]  #: to be looked at one by one
    whole: frozenset[int]  #: of which all lines are read again: something was wrong with them
    town: bool  #: the town's own journal too
    line: int  #: the journal's newest
    before: int  #: … at the last audit
    since: int  #: … and at the one before that: ids are not committed in their order, so each line is looked at by two audits


def _everywhere(tx: Tx, app: "App", everything: bool) -> _Seen:
    now, last, line = app.clock.now(tx), findings.last_audit(tx), journal.newest(tx)
    standing = findings.standing(tx)
    found = [
        *promises.without_one_lead(tx), *promises.without_open_wait(tx), *promises.silent_waits(tx),
        *promises.unringable_timers(tx),
        *promises.lost_leases(tx, now - LEASE_LOST), *promises.unwritten_letters(tx),
        *promises.stranded_events(tx, TRIES, now - LATE),
        *promises.broken_looks(tx, LOOK_DAYS, None if everything else LATELY, [one.key for one in standing if one.kind == "looks"]),
    ]  # fmt: skip
    more: set[str] = set()
    if everything or any(one.kind == "timers" for one in standing):
        more.add("timers")
        found += promises.doubled_timers(tx)
    if app.clock.here() - app.began >= LATE:
        more |= BY_NOW
        found += [*promises.late_timers(tx, now - LATE), *promises.late_letters(tx, now - LETTERS_LATE)]
    since = last.before if last else line
    changed = {*journal.changed(tx, since)}
    wrong = frozenset(one.case_id for one in standing if one.kind in BY_CASE and one.case_id is not None)
    ids = sorted(wrong | {id_ for id_ in changed if id_ is not None})
    return _Seen(found, more, ids, wrong, everything or None in changed, line, last.line if last else line, since)


async def _by_case(app: "App", seen: _Seen, everything: bool) -> None:
    """Page by page, spread over the time there is, so that nobody waits for all of them."""
    if seen.town:
        seen.found += await app.store.read(lambda tx: promises.broken_chains(tx, ()))
    step = min(STEP, SPREAD * PAGE / max(1, len(seen.cases)))
    came, due = 0.0, monotonic()
    async for some in _pages(app, None if everything else seen.cases):
        await asyncio.sleep(max(0.0, came if everything else due - monotonic()))
        began = monotonic()
        seen.found += await app.store.read(partial(_of_cases, app=app, some=some, seen=None if everything else seen))
        came, due = REST * (monotonic() - began), due + step


async def _pages(app: "App", ids: Sequence[int] | None) -> AsyncIterator[list[int]]:
    after = 0
    while ids is None:
        some = await app.store.read(lambda tx: promises.some_cases(tx, after, PAGE))  # noqa: B023 - read before it moves
        if not some:
            return
        yield some
        after = some[-1]
    for start in range(0, len(ids), PAGE):
        yield list(ids[start : start + PAGE])


def _of_cases(tx: Tx, app: "App", some: Sequence[int], seen: _Seen | None) -> list[Found]:
    """`seen`: what is new, of which alone the chains are read; None: all of them."""
    whole = [case for case in some if seen is None or case in seen.whole]
    grown = [case for case in some if seen is not None and case not in seen.whole]
    found = [
        *(promises.broken_chains(tx, whole, town=False) if whole else ()),
        *(promises.broken_lately(tx, grown, seen.since) if seen and grown else ()),
        *promises.offers_without_basis(tx, some),
        *promises.asked_after_death(tx, some),
    ]
    town, now = app.towns.of(tx), app.clock.now(tx)
    for case in promises.readable(tx, some):
        if isinstance(case, Found):
            found.append(case)
        elif case.open:
            clocks = (wait for wait in case.waits if wait.paused_left is None)
            mute = [wait for wait in clocks if not _reaches(wait, case, town, now)]
            found += [Found("nobody", str(wait.id), case.id, case.number) for wait in mute]
    return found


def _reaches(wait: Wait, case: Case, town: Town, now: datetime) -> bool:
    """Whether the rungs to come reach anybody of the town; after the last one it is rung again and again."""
    last = len(wait.policy.steps(wait.urgency)) - 1
    ahead = climbs_to(wait.become(rung=min(wait.rung, last)), case, town, now)
    return any(person in town.staff for _, people in ahead for person in people)


# -- repairing


async def _repair(app: "App") -> None:
    for one in await app.store.read(findings.standing):
        if one.kind not in REPAIRED or one.repaired_at is not None:
            continue
        try:
            if await app.store.transact(partial(_mended, app=app, one=one)) and one.kind == "lease":
                await app.deliverer.recover()
        except SlowerWriter:
            continue  # somebody is at the case: the next minute looks again
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception:
            log.exception("a finding could not be repaired: %s %s", one.kind, one.key)


def _mended(tx: Tx, app: "App", one: Finding) -> bool:
    """Repair a case or a wait as it stands under its lock; False when another process has done so."""
    now = app.clock.now(tx)
    if not findings.repair(tx, one, now):
        return False
    case = cases.load(tx, one.case_id, lock=True) if one.case_id is not None else None
    if one.kind == "wait" and case is not None and case.open and not case.waits:
        record(tx, mend(case, Act(None, now, app.towns.of(tx), "auto", app.fresh)))
    if one.kind == "timer":
        id_ = int(one.key)
        wait = next((w for w in case.waits if w.id == id_), None) if case else waits.get(tx, id_, lock=True)
        if wait is not None:
            timers.give_back(tx, wait.id, one.case_id, wait.rung, wait.next_at or max(wait.due_at, now))
    return True


# -- telling


def _tell(tx: Tx, app: "App", counts: dict[tuple[str, str], int]) -> None:
    """One letter of all that nobody was told of yet: kinds, counts and numbers of cases, and nothing of what they hold."""
    now = app.clock.now(tx)
    fresh = [one for one in findings.untold(tx) if one.kind != "server" and findings.tell(tx, one, now)]
    if not fresh:
        return
    numbers = _open(tx, fresh)
    told = [_kind(kind, list(ones), counts, numbers) for kind, ones in groupby(sorted(fresh), key=lambda one: one.kind)]
    urgent = any(one.kind in URGENT for one in fresh)
    town = app.towns.of(tx)
    notice = Notice("findings", watchers(town), data={"found": told}, urgent=urgent)
    send(tx, [notice], Act(None, now, town, "auto", app.fresh), cause="audit.found")


def _open(tx: Tx, fresh: Sequence[Finding]) -> frozenset[str]:
    """The numbers that may stand in a letter to all who watch: those of restricted cases may not."""
    named = {one.number for one in fresh if one.number}
    return frozenset(row.number for row in cases.find_numbers(tx, EVERYTHING, named) if not row.restricted)


def _kind(
    kind: str, ones: Sequence[Finding], counts: dict[tuple[str, str], int], open_: frozenset[str]
) -> dict[str, object]:
    numbers = list(dict.fromkeys(one.number for one in ones if one.number in open_))
    count = sum(counts.get((one.kind, one.key), 1) for one in ones)
    return {"kind": kind, "count": count, "numbers": numbers[:NAMED], "repaired": all(one.repaired_at for one in ones)}


async def _ping(url: str) -> None:
    if not url:
        return
    try:
        await wire.ping(url)
    except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
        log.warning("the heartbeat address could not be reached: %s", type(wrong).__name__)
