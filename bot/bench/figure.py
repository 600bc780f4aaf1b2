"""What a measure tells: one line a figure, and what is going on meanwhile."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import uvloop

ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the answer; None where a figure does not apply."""

    name: str
    database: str
    clients: int | None = None
    engine_per_s: float | None = None
    reference_per_s: float | None = None
    ratio: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_ms: float | None = None
    note: str = ""


#: Where to put files, the servers by kind, whether small figures will do.
Measure: TypeAlias = Callable[[Path, dict[str, str], bool], Iterator[Figure]]


def line(f: Figure) -> str:
    """A figure as people read it."""
    shown = [f"{f.name:<9}{f.database:<11}"]
    if f.engine_per_s is not None:
        shown.append(f"{f.engine_per_s:>9.0f}/s")
    if f.ratio is not None:
        shown.append(f"reference {f.reference_per_s:>8.0f}/s  ratio {f.ratio:.2f}")
    shown += [
        f"{label} {value:.2f} ms"
        for label, value in (("p50", f.p50_ms), ("p99", f.p99_ms), ("cpu", f.cpu_ms))
        if value is not None
    ]
    return "  ".join([*shown, f.note]).rstrip()


def compared(
    name: str, kind: str, engine: Sequence[float], reference: Sequence[float], *, clients: int | None = None,
    times: Sequence[float] = (), cpu: Sequence[float] = (), note: str,
) -> Figure:  # fmt: skip
    """The medians of rounds, engine and reference in turn; `times` in seconds, `cpu` in milliseconds."""
    ours, theirs = statistics.median(engine), statistics.median(reference)
    return Figure(
        name, kind, clients, round(ours, 1), round(theirs, 1), round(ours / theirs, 3), ms(times, 0.5), ms(times, 0.99),
        round(statistics.median(cpu), 3) if cpu else None, note,
    )  # fmt: skip


def ms(times: Sequence[float], share: float) -> float | None:
    """The value under which this share of some seconds lies, in milliseconds; None of none."""
    ranked = sorted(times)
    return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1000, 2) if ranked else None


def doing(what: str) -> None:
    """Say on stderr what is going on: some of it takes minutes."""
    print(f"… {what}", file=sys.stderr, flush=True)


def as_known(figures: AsyncGenerator[Figure]) -> Iterator[Figure]:
    """Hand on each figure when it is known; interrupted, the measure still clears up behind itself."""

    async def following() -> Figure | None:
        return await anext(figures, None)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            while figure := runner.run(following()):
                yield figure
        finally:
            runner.run(figures.aclose())


async def looks(seconds: float, pause: float) -> AsyncIterator[None]:
    """Moments to look again, for so many seconds."""
    end = time.monotonic() + seconds
    yield
    while time.monotonic() < end:
        await asyncio.sleep(pause)
        yield
