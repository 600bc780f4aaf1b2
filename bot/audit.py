"""The auditor: promises looked for by queries of their own, apart from the engine that keeps them."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from storage import journal, promises
from storage.store import Tx


def breaches(tx: Tx, now: datetime) -> Iterator[str]:
    """Yield one line a finding; lines that begin with "ok" say what was checked and found whole."""
    counted = promises.counts(tx)
    broken = list(journal.verify(tx))
    for breach in broken:
        yield f"breach: the journal of {breach.number or 'the town'} does not hold at line {breach.seq} ({breach.what})"
    yield from _found(promises.without_one_lead(tx), "has no lead, or two (I1)")
    yield from _found(promises.without_open_wait(tx), "has no open wait (I25)")
    yield from _found(promises.silent_waits(tx), "has an open wait that nothing will ring (I4)")
    yield from _found(promises.overdue_timers(tx, now - timedelta(minutes=5)), "has a timer that should have rung")
    yield from _found(promises.offers_without_basis(tx), "has an offer without a basis (I26)")
    yield from _found(promises.asked_after_death(tx), "still asks somebody after 逝去 (I27)")
    if not broken:
        yield f"ok: {counted.lines} journal lines, every chain whole"
    yield f"ok: looked at {counted.open} open and {counted.closed} closed cases, {counted.waits} open waits"
    yield f"ok: pushes a person and day, p95: {promises.pushes_p95(tx)}"


def _found(numbers: list[str], what: str) -> Iterator[str]:
    for number in numbers:
        yield f"breach: {number} {what}"
