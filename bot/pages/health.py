"""For machines: whether the process lives, whether it can work, and its figures. No names, no numbers of cases."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from adapters.base import Outside
from bot.app import App, loop_age
from storage import figures
from storage.figures import Figures
from storage.migrate import check_tx
from storage.store import Tx

SILENT: Final = timedelta(seconds=5)
PATIENCE: Final = 3.0  #: seconds given to the database to answer
QUANTILES: Final = (0.5, 0.9, 0.99, 1.0)
OUTCOMES: Final = ("sent", "unknown", "failed")  #: shown for every platform that is set up, also while there are none


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """503 only for what this process cannot work without; platforms are listed and change nothing."""
    app: App = request.app.state.tsunagi
    checks = {"database": await _said(_database(app)), "loops": _loops(app), "disk": await _said(_disk(app))}
    ready = all(said == "ok" for said in checks.values())
    body = {"ready": ready, "checks": checks, "platforms": await _platforms(app) if checks["database"] == "ok" else {}}
    return JSONResponse(body, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    """Prometheus' text form."""
    app: App = request.app.state.tsunagi

    def count(tx: Tx) -> tuple[Figures, datetime]:
        now = app.clock.now(tx)
        return figures.figures(tx, now), now

    counted, now = await app.store.read(count)
    registry = CollectorRegistry()
    registry.register(_Shown(counted, now, loop_age(app), tuple(app.deliverer.adapters)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


# -- ready?


async def _said(check: Awaitable[None]) -> str:
    """ "ok", or the sentence of what is wrong."""
    try:
        await asyncio.wait_for(check, PATIENCE)
    except TimeoutError:
        return f"no answer for {PATIENCE:g} seconds"
    except Exception as wrong:
        return str(wrong) or type(wrong).__name__
    return "ok"


async def _database(app: App) -> None:
    await app.store.read(check_tx)
    if not await app.store.transact(figures.takes_changes):
        raise PermissionError("The database takes no changes.")


def _loops(app: App) -> str:
    age = loop_age(app)
    if age is None:
        return "not begun yet"
    return "ok" if age <= SILENT else f"silent for {age.total_seconds():.0f} seconds"


async def _disk(app: App) -> None:
    await asyncio.to_thread(_write, app.settings.var)


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"ok")
        file.flush()
        os.fsync(file.fileno())


async def _platforms(app: App) -> dict[str, Any]:
    """How the newest letter of each fared; null before the first. `lacks`: settings are missing (`tsunagi check` says which)."""
    last, adapters = await app.store.read(figures.platforms), app.deliverer.adapters
    lacking = {name for name, one in adapters.items() if isinstance(one, Outside) and one.missing()}
    known = dict.fromkeys([*adapters, *last])
    return {name: _result(last.get(name), name in lacking) for name in known}


def _result(last: figures.Result | None, lacks: bool) -> dict[str, str | bool | None] | None:
    found: dict[str, str | bool | None] = {"lacks": True} if lacks else {}
    if last is not None:
        found |= {"last": last.state, "at": last.at.isoformat() if last.at else None}
    return found or None


# -- figures


class _Shown(Collector):
    """One moment's figures as gauges."""

    def __init__(self, counted: Figures, now: datetime, age: timedelta | None, platforms: tuple[str, ...]) -> None:
        self.counted, self.now, self.age, self.platforms = counted, now, age, platforms

    def collect(self) -> Iterable[Metric]:
        f = self.counted
        yield _by("tsunagi_waits_open", "Open waits by kind", ("kind",), {(k,): n for k, n in f.waits.items()})
        yield _by("tsunagi_cases_open", "Open cases by stage", ("stage",), {(k,): n for k, n in f.cases.items()})
        yield _one("tsunagi_timers_live", "Timers that will ring", f.timers)
        yield _one(
            "tsunagi_oldest_due_seconds",
            "How long ago the oldest timer that has not rung was due",
            self._since(f.next_due),
        )
        yield _spread("tsunagi_due_lateness_seconds", "From due to ringing, over the last hour", f.lateness)
        yield _spread(
            "tsunagi_letter_dwell_seconds", "From when a letter may leave to its leaving, over the last hour", f.dwell
        )
        yield _by(
            "tsunagi_letters_lately",
            "Letters of the last hour by platform and outcome",
            ("platform", "outcome"),
            {(name, said): 0 for name in self.platforms for said in OUTCOMES} | f.outcomes,
        )
        yield _one("tsunagi_letters_pending", "Letters waiting to leave", f.pending)
        yield _one(
            "tsunagi_letters_oldest_pending_seconds", "Age of the oldest pending letter", self._since(f.oldest_pending)
        )
        stuck = {(state,): f.stuck.get(state, 0) for state in ("unknown", "failed")}
        yield _by("tsunagi_letters_stuck", "Letters that failed or whose fate is unknown", ("state",), stuck)
        yield _one("tsunagi_inbox_parked", "Events set aside because their work failed", f.parked)
        age = float("inf") if self.age is None else self.age.total_seconds()
        yield _one("tsunagi_loop_age_seconds", "How long ago the loop last turned", age)

    def _since(self, at: datetime | None) -> float:
        return 0.0 if at is None else max(0.0, (self.now - at).total_seconds())


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _by(name: str, about: str, labels: tuple[str, ...], values: dict[Any, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _spread(name: str, about: str, seconds: list[float]) -> Metric:
    """Quantiles; nothing when nothing happened."""
    family = GaugeMetricFamily(name, about, labels=("quantile",))
    ranked = sorted(seconds)
    for share in QUANTILES if ranked else ():
        family.add_metric((f"{share:g}",), ranked[min(len(ranked) - 1, int(share * len(ranked)))])
    return family
