"""For whoever runs the service: is the process there, can it work, and a few figures."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.app import App, loop_age
from storage import figures
from storage.figures import Figures
from storage.migrate import check_tx
from storage.store import DatabaseAhead, DatabaseBehind, DatabaseReadOnly, DatabaseUnavailable, Tx

SILENT: Final = timedelta(seconds=5)


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """503 only for what this process cannot work without; platforms are listed, and never decide."""
    app: App = request.app.state.tsunagi
    checks = {"database": await _database(app), "loops": _loops(request, app), "disk": _disk(app)}
    ready = all(found == "ok" for found in checks.values())
    platforms = {"web": "ok", "console": "ok"}
    body = {"status": "ready" if ready else "not ready", "checks": checks, "platforms": platforms}
    return JSONResponse(body, 200 if ready else 503)


async def _database(app: App) -> str:
    try:
        await app.store.read(check_tx)
    except (DatabaseUnavailable, DatabaseBehind, DatabaseAhead, DatabaseReadOnly) as wrong:
        return str(wrong)
    return "ok"


def _loops(request: Request, app: App) -> str:
    """Where this process runs no loops (`serve` always does) there is nothing that could fall silent."""
    if not getattr(request.app.state, "loops", False):
        return "ok"
    age = loop_age(app)
    if age is None or age > SILENT:
        return "The loops that ring and send have been silent for more than five seconds."
    return "ok"


def _disk(app: App) -> str:
    """SQLite writes beside its file."""
    url = app.settings.database_url
    if not url.startswith("sqlite"):
        return "ok"
    path = Path(url.removeprefix("sqlite:///"))
    fine = os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
    return "ok" if fine else "The database's disk or file is read-only."


async def metrics(request: Request) -> Response:
    """Counted now, by a few queries: nothing is kept in between."""
    app: App = request.app.state.tsunagi

    def count(tx: Tx) -> tuple[datetime, Figures]:
        now = app.clock.now(tx)
        return now, figures.read(tx, now, now - timedelta(days=1))

    now, found = await app.store.read(count)
    return Response(generate_latest(_registry(app, now, found)), media_type=CONTENT_TYPE_LATEST)


def _registry(app: App, now: datetime, found: Figures) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"tsunagi_{name}", what, labels, registry=registry)

    age = loop_age(app)
    gauge("loop_age_seconds", "Since the loop that rings and sends last turned").set(age.total_seconds() if age else float("nan"))
    gauge("due_lateness_seconds", "How late the oldest timer is that should have rung").set(_since(now, found.oldest_timer))
    gauge("timers_due", "Timers that should have rung").set(found.timers_due)
    oldest = gauge("oldest_due_timestamp_seconds", "When the oldest timer that has not rung was due (0: none)")
    oldest.set(found.oldest_timer.timestamp() if found.oldest_timer else 0)
    gauge("letter_dwell_seconds", "How long the oldest letter that may leave has waited").set(_since(now, found.oldest_letter))
    gauge("letters_waiting", "Letters that may leave and have not").set(found.letters_waiting)
    outcomes = gauge("letters_day", "Letters to platforms outside in the last 24 hours, by what became of them", "platform", "state")
    for (platform, state), number in found.letters.items():
        outcomes.labels(platform, state).set(number)
    waits = gauge("open_waits", "Open waits by kind", "kind")
    for kind, number in found.open_waits.items():
        waits.labels(kind).set(number)
    cases = gauge("open_cases", "Open cases by stage", "stage")
    for stage, number in found.open_cases.items():
        cases.labels(stage).set(number)
    gauge("parked_events", "Events that wait for another try").set(found.parked)
    return registry


def _since(now: datetime, then: datetime | None) -> float:
    return max(0.0, (now - then).total_seconds()) if then else 0.0
