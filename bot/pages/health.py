"""For machines: whether the process lives, whether it can work, and its figures. No names, no numbers of cases."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from adapters.base import Outside
from bot.app import App
from bot.ready import checks, clocks_apart, loop_age
from storage import figures, findings, migrate
from storage.figures import Figures
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx

QUANTILES: Final = (0.5, 0.9, 0.99, 1.0)
OUTCOMES: Final = ("sent", "unknown", "failed")  #: shown for every platform that is set up, also while there are none


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """503 only for what this process cannot work without; platforms are listed and change nothing."""
    app: App = request.app.state.tsunagi
    said = await checks(app)
    wrong = [name for name, why in said.items() if why != "ok"]
    body: dict[str, Any] = {"ready": not wrong, "checks": said}
    if said["database"] == "ok":
        body |= {"database": await _database(app), "audit": await _audit(app), "platforms": await _platforms(app)}
    return JSONResponse(body, 503 if wrong else 200)


async def metrics(request: Request) -> Response:
    """Prometheus' text form. While the database is away there is little to count, and that is said."""
    app: App = request.app.state.tsunagi
    registry = CollectorRegistry()
    registry.register(_Alive(loop_age(app), all(why == "ok" for why in (await checks(app)).values())))
    try:
        registry.register(_Shown(await _counted(app), tuple(app.deliverer.adapters)))
    except (DatabaseUnavailable, DatabaseReadOnly):
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


# -- ready?


async def _database(app: App) -> dict[str, Any]:
    """Its version, which may be ahead of this program's while a newer one takes over; its clock less this machine's."""
    version, apart = await app.store.read(migrate.serves), await clocks_apart(app)
    return {"version": version, "program": migrate.head(), "clock_ahead_seconds": _seconds(apart)}


async def _audit(app: App) -> dict[str, Any]:
    """When the last one ended, by whichever process; null before the first."""
    last, counted = await app.store.read(lambda tx: (findings.last_audit(tx), findings.count(tx)))
    age = None if last is None else app.clock.here() - last.at
    return {"at": last.at.isoformat() if last else None, "age_seconds": _seconds(age), "findings": counted}


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 3)


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


@dataclass(frozen=True, slots=True)
class _Counted:
    """One moment's figures."""

    figures: Figures
    now: datetime
    findings: dict[str, int]
    audit_age: timedelta | None
    clocks_apart: timedelta | None


async def _counted(app: App) -> _Counted:
    def count(tx: Tx) -> tuple[Figures, datetime, dict[str, int], findings.Audit | None]:
        now = app.clock.now(tx)
        return figures.figures(tx, now), now, findings.count(tx), findings.last_audit(tx)

    counted, now, found, last = await app.store.read(count)
    return _Counted(counted, now, found, app.clock.here() - last.at if last else None, await clocks_apart(app))


class _Alive(Collector):
    """What can be said without the database."""

    def __init__(self, age: timedelta | None, ready: bool) -> None:
        self.age, self.ready = age, ready

    def collect(self) -> Iterable[Metric]:
        age = float("inf") if self.age is None else self.age.total_seconds()
        yield _one("tsunagi_loop_age_seconds", "How long ago the loop last turned", age)
        yield _one("tsunagi_ready", "Whether this process can work", float(self.ready))


class _Shown(Collector):
    """One moment's figures as gauges."""

    def __init__(self, counted: _Counted, platforms: tuple[str, ...]) -> None:
        self.counted, self.now, self.platforms = counted, counted.now, platforms

    def collect(self) -> Iterable[Metric]:
        f = self.counted.figures
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
        found = {(kind,): count for kind, count in self.counted.findings.items()}
        yield _by("tsunagi_findings_open", "What the auditor has found and is still so", ("kind",), found)
        age = self.counted.audit_age
        yield _one(
            "tsunagi_audit_age_seconds",
            "How long ago an audit ended",
            float("inf") if age is None else age.total_seconds(),
        )
        if (apart := self.counted.clocks_apart) is not None:
            yield _one("tsunagi_clock_ahead_seconds", "The database's clock less this machine's", apart.total_seconds())

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
