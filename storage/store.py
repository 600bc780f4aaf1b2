"""The transaction: one plain function `work(tx)` on either database, run to its commit or not at all.

SQLite: one writer thread under BEGIN IMMEDIATE, up to 32 waiting works to a COMMIT. PostgreSQL: one
transaction each over asyncpg (READ COMMITTED). `work` may be run twice, so it has no effect but through `tx`.
"""

import asyncio
import queue
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast, overload

import asyncpg
from asyncpg.exceptions import PostgresError, TargetServerAttributeNotMatched
from sqlalchemy import Connection, CursorResult, Engine, Row, SelectBase, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.concurrency import await_, greenlet_spawn

from storage.prepared import Answer, Prepared, Write, transaction, travels, write, write_together
from storage.seal import Keys

T = TypeVar("T")
DialectName: TypeAlias = Literal["sqlite", "postgresql"]
Flags: TypeAlias = frozenset[str]
Result: TypeAlias = CursorResult[*tuple[Any, ...]]
Record: TypeAlias = Row[*tuple[Any, ...]]
Parameters: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

GROUP: Final = 32  #: works that share a COMMIT
TRIES: Final = 4
BUSY_SECONDS: Final = 10
POOL: Final = 8  #: connections of a process to PostgreSQL, readers included
STATEMENTS: Final = 500  #: prepared statements kept by a connection
#: A process that is stopped or cut off in the middle of a work keeps what it has locked for so long; then the work is undone.
HELD_SECONDS: Final = 5
PORT: Final = 5432  #: of a host that names none
BEGIN: Final = "BEGIN"
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class DatabaseUnavailable(Exception):
    """The database cannot be reached or cannot commit: {why}."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The database cannot be reached or cannot commit: {why}.")


class DatabaseReadOnly(Exception):
    """The database takes no changes: {why}."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The database takes no changes: {why}.")


class BadAddress(ValueError):
    """A database address looks like sqlite:///path/to/file.db or postgresql://user@host/name (several: host:port,host:port)."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class DatabaseBehind(Exception):
    """The database is at version {found}, this program needs {head}: run `tsunagi migrate`."""

    def __init__(self, found: str, head: str) -> None:
        self.found, self.head = found, head
        super().__init__(f"The database is at version {found}, this program needs {head}: run `tsunagi migrate`.")


class DatabaseAhead(Exception):
    """The database is at version {found}, which this program ({head}) does not know: run the newer program."""

    def __init__(self, found: str, head: str) -> None:
        self.found, self.head = found, head
        super().__init__(
            f"The database is at version {found}, which this program ({head}) does not know: run the newer program."
        )


class Tx:
    """What a work is handed: statements go through it, and whom the commit should wake."""

    __slots__ = ("_connection", "_promised", "_savepoints", "_writes", "begun", "dialect", "flags", "keys")

    def __init__(
        self, connection: Connection, dialect: DialectName, keys: Keys, flags: set[str], *, begun: bool = True
    ) -> None:
        self._connection = connection
        self.dialect = dialect
        self.keys = keys
        self.flags = flags
        self.begun = begun  #: the database knows of a transaction; False: before the first statement that needs one
        self._savepoints: list[int] = []  #: that we are in: how many writes had been put before each
        self._promised = 0  #: how many of them, the innermost, nothing was written in yet
        self._writes: dict[Any, Write] = {}  #: by table, those that have not left yet

    @property
    def connection(self) -> Connection:
        """For statements of one's own, inside the transaction."""
        self._begin()
        return self._connection

    @overload
    def execute(self, statement: Prepared, parameters: Parameters = None) -> Answer: ...

    @overload
    def execute(self, statement: Any, parameters: Parameters = None) -> Result: ...

    def execute(self, statement: Any, parameters: Parameters = None) -> Answer | Result:
        """Run a statement, or the one of a pair that is this dialect's.

        What was put before goes first, but for a prepared one that reads other tables.
        """
        if type(statement) is Prepared:
            if self._writes and not (statement.reads and self._writes.keys().isdisjoint(statement.tables)):
                self.settle()
            if self._promised and not statement.reads:
                self._begin_savepoints()
            if not (self.begun or statement.only_reads):
                self._begin()
            return statement.run(self._connection, self.dialect, parameters)
        self.settle()
        if type(statement) is dict:
            statement = statement[self.dialect]
        if self._promised and not isinstance(statement, SelectBase):
            self._begin_savepoints()
        return self.connection.execute(statement, parameters)

    def put(
        self, statement: Prepared, rows: Sequence[Mapping[str, Any]], *, missed: type[Exception] | None = None
    ) -> None:
        """Write rows and hear nothing of it; `missed` is raised when a row that it means is not there.

        On PostgreSQL it leaves together with what else is put, at the latest before the commit; what is wrong with it is raised then.
        """
        one = Write(statement, rows, missed)
        if self.dialect == "sqlite":
            self._write(one)
            return
        waiting = self._writes.get(statement.table)
        if waiting is not None and not self._savepoints and (both := waiting.joined(one)) is not None:
            self._writes[statement.table] = both
            return
        alone = not travels(one)
        if alone or waiting is not None:
            self.settle()
        if alone:
            self._write(one)
        else:
            self._writes[statement.table] = one

    def settle(self) -> None:
        """Let go what has been put."""
        if self._writes:
            self._begin_savepoints()
            self._let_go(len(self._writes))

    def settle_alone(self) -> None:
        """Let go all that has been put, as the only statement that writes anything: it is a transaction by itself."""
        if self._writes:
            writes, self._writes = list(self._writes.values()), {}
            write_together(self._connection, writes)

    def _begin(self) -> None:
        if not self.begun:
            transaction(self._connection, BEGIN)
            self.begun = True

    def _let_go(self, count: int) -> None:
        """Send the first so many of what has been put."""
        if count:
            self._begin()
            tables = list(self._writes)[:count]
            write_together(self._connection, [self._writes.pop(table) for table in tables])

    def _write(self, one: Write) -> None:
        if self._promised:
            self._begin_savepoints()
        self._begin()
        write(self._connection, self.dialect, one)

    def flag(self, name: Literal["timers", "letters", "journal"]) -> None:
        """Ask that the loop of this name be woken when the transaction has committed."""
        self.flags.add(name)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside when an exception leaves it. It costs nothing until something is written inside.

        The names are few, so that drivers keep the statements prepared; SQLAlchemy's own count up for ever.
        """
        depth = len(self._savepoints)
        self._savepoints.append(len(self._writes))
        self._promised += 1
        try:
            yield
        except BaseException:
            if self._over:
                self._writes.clear()
            elif self._promised:
                self._writes = dict(islice(self._writes.items(), self._savepoints[depth]))
            else:
                self._writes.clear()
                self._savepoint("ROLLBACK TO SAVEPOINT", depth)
                self._savepoint("RELEASE SAVEPOINT", depth)
            raise
        else:
            # On PostgreSQL it goes with the transaction, which saves a round trip.
            if not self._promised and self.dialect == "sqlite":
                self._savepoint("RELEASE SAVEPOINT", depth)
        finally:
            self._savepoints.pop()
            self._promised = max(0, self._promised - 1)

    @property
    def _over(self) -> bool:
        """Say whether the database has ended the transaction by itself: the connection is lost, or SQLite's disk is full.

        To ask for a savepoint then would hide why, and SQLAlchemy would ask on a new connection.
        """
        gone = self._connection.invalidated
        return gone or (self.dialect == "sqlite" and not _driver(self._connection).in_transaction)

    def _savepoint(self, verb: str, depth: int) -> None:
        self._begin()
        _savepoint(verb, depth).run(self._connection, self.dialect, None)

    def _begin_savepoints(self) -> None:
        """Begin those that were promised, each behind what had been put before it."""
        gone = 0
        while self._promised:
            depth = len(self._savepoints) - self._promised
            self._let_go(self._savepoints[depth] - gone)
            gone = self._savepoints[depth]
            self._savepoint("SAVEPOINT", depth)
            self._promised -= 1


@cache
def _savepoint(verb: str, depth: int) -> Prepared:
    return Prepared(text(f"{verb} work_{depth}"))


Work: TypeAlias = Callable[[Tx], T]


class Store:
    """The database of one municipality, as seen by one process."""

    dialect: DialectName

    def __init__(self, url: str, *, readers: int = 4, keys: Keys) -> None:
        """Take `sqlite:///path` or `postgresql://…`; nothing is opened before the first work."""
        self.url = address(url)
        self.keys = keys
        self._callbacks: list[Callable[[Flags], None]] = []
        self._base: _Sqlite | _Postgres
        if self.url.get_backend_name() == "sqlite":
            self.dialect = "sqlite"
            self._base = _Sqlite(self.url, readers, keys, self._tell)
        else:
            self.dialect = "postgresql"
            self._base = _Postgres(self.url, readers, keys, self._tell)

    async def transact(self, work: Work[T]) -> T:
        """Run a work to its commit and answer what it returned; what it raised undoes it and is raised here.

        Raises DatabaseUnavailable or DatabaseReadOnly when nothing could be kept.
        """
        return await self._base.transact(work)

    async def read(self, work: Work[T], *, apart: bool = False) -> T:
        """Run a work that only reads, on one snapshot and never in the writer's way.

        `apart`: each of its statements may have a snapshot of its own, which saves PostgreSQL two journeys.
        """
        return await self._base.read(work, apart)

    async def close(self) -> None:
        """Finish the works in hand and let go of every connection."""
        await self._base.close()

    def on_commit(self, callback: Callable[[Flags], None]) -> None:
        """Call back in the event loop after commits that raised flags, with those."""
        self._callbacks.append(callback)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines behind (writer, reader): for event hooks that record statements."""
        return self._base.engines

    def _tell(self, flags: Flags) -> None:
        for callback in self._callbacks:
            callback(flags)


def address(url: str) -> URL:
    """Read a database address; PostgreSQL's plain form means asyncpg, and several hosts are tried in turn. Raises BadAddress."""
    try:
        found = make_url(_SEVERAL.sub(_apart, url))
    except (ArgumentError, ValueError):
        raise BadAddress from None
    match found.get_backend_name():
        case "sqlite":
            if found.database in (None, "", ":memory:"):
                raise BadAddress
            return found.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return found.set(drivername="postgresql+asyncpg")
    raise BadAddress


#: libpq writes several hosts as user@host:port,host:port/name; SQLAlchemy takes them one by one behind the question mark.
_SEVERAL: Final = re.compile(
    r"(?<=://)(?P<who>[^/?@]*@)?(?P<hosts>[\w.-]+(?::\d+)?(?:,[\w.-]+(?::\d+)?)+)(?P<name>/[^?]*)?(?:\?(?P<more>.*))?$"
)


def _apart(found: re.Match[str]) -> str:
    hosts = [host if re.search(r":\d+$", host) else f"{host}:{PORT}" for host in found["hosts"].split(",")]
    given = "&".join([*(f"host={host}" for host in hosts), *filter(None, [found["more"]])])
    return f"{found['who'] or ''}{found['name'] or '/'}?{given}"


# SQLite


def sqlite_engine(url: URL, *, readers: int = 0) -> Engine:
    """Make the writer's engine, or with `readers` one that only reads."""
    path = Path(cast(str, url.database)).absolute()
    if not readers:
        path.parent.mkdir(parents=True, exist_ok=True)
    target = f"{path.as_uri()}?mode={'ro' if readers else 'rwc'}"

    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver begins nothing by itself; we do, with IMMEDIATE.
        connection = sqlite3.connect(
            target,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        for pragma in _PRAGMAS if not readers else _READER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, pool_size=readers or 1, max_overflow=0, poolclass=QueuePool)
    begin = "BEGIN" if readers else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32768", "temp_store=MEMORY")
_READER_PRAGMAS: Final = ("query_only=ON", "cache_size=-16384", "temp_store=MEMORY")


@dataclass(slots=True)
class _Job(Generic[T]):
    """A work on its way to a connection and back to whoever waits for it."""

    work: Work[T]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    apart: bool  #: it needs no transaction
    result: T | None = None
    error: BaseException | None = None
    flags: set[str] = field(default_factory=set)
    begun: bool = False
    committing: bool = False

    @classmethod
    def of(cls, work: Work[T], apart: bool = False) -> "_Job[T]":
        loop = asyncio.get_running_loop()
        return cls(work, loop, loop.create_future(), apart)

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(cast(T, self.result))

    def too_late(self) -> None:
        if not self.begun and not self.future.done():
            self.future.set_exception(DatabaseUnavailable("all its connections are busy"))


class _OneRaised(Exception):
    """A work of a group raised: the group is undone, and each goes on its own."""


class _Sqlite:
    """One thread writes; a few others read."""

    def __init__(self, url: URL, readers: int, keys: Keys, tell: Callable[[Flags], None]) -> None:
        self._writer = sqlite_engine(url)
        self._reader = sqlite_engine(url, readers=readers)
        self._keys = keys
        self._tell = tell
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="tsunagi-read")
        self.engines = (self._writer, self._reader)

    async def transact(self, work: Work[T]) -> T:
        job = _Job.of(work)
        self._start()
        self._jobs.put(job)
        return await job.future

    async def read(self, work: Work[T], apart: bool) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, work)

    async def close(self) -> None:
        if self._thread:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        await asyncio.to_thread(self._threads.shutdown)
        # The last to leave folds the log into the file, which a reader may not.
        self._reader.dispose()
        self._writer.dispose()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_for_ever, name="tsunagi-write", daemon=True)
                self._thread.start()

    def _read(self, work: Work[T]) -> T:
        with in_words(), self._reader.connect() as connection, connection.begin():
            return work(Tx(connection, "sqlite", self._keys, set()))

    def _write_for_ever(self) -> None:
        connection: Connection | None = None
        going = True
        while going:
            jobs, going = self._waiting()
            if not jobs:
                continue
            try:
                connection = connection or self._writer.connect()
                self._write(connection, jobs)
            except BaseException as error:
                _drop(connection)
                connection = None
                worded = _worded(error)
                for job in jobs:
                    job.error = job.error or worded
            self._answer(jobs)
        if connection is not None:
            connection.close()

    def _waiting(self) -> tuple[list[_Job[Any]], bool]:
        """Wait for a work and take those that wait behind it; False at the end of the queue."""
        found = [self._jobs.get()]
        with suppress(queue.Empty):
            while found[-1] is not None and len(found) < GROUP:
                found.append(self._jobs.get_nowait())
        jobs = [job for job in found if job is not None]
        return [job for job in jobs if not job.future.cancelled()], len(jobs) == len(found)

    def _write(self, connection: Connection, jobs: Sequence[_Job[Any]]) -> None:
        """Run a group in one transaction. When a work raises, all begin anew, each in a savepoint: it loses its own alone."""
        with suppress(_OneRaised):
            with connection.begin():
                for job in jobs:
                    try:
                        job.result = job.work(Tx(connection, "sqlite", self._keys, job.flags))
                    except BaseException as error:
                        raise _OneRaised from error
            return
        self._write_apart(connection, jobs)

    def _write_apart(self, connection: Connection, jobs: Sequence[_Job[Any]]) -> None:
        with connection.begin():
            for job in jobs:
                job.flags.clear()
                tx = Tx(connection, "sqlite", self._keys, job.flags)
                try:
                    with tx.savepoint():
                        job.result = job.work(tx)
                except BaseException as error:
                    # A full disk and the like make SQLite end the whole transaction: then nobody's work is kept.
                    if not _driver(connection).in_transaction:
                        raise
                    job.error = _worded(error)

    def _answer(self, jobs: Sequence[_Job[Any]]) -> None:
        """Tell each loop once, whatever the number of its works."""
        for loop in dict.fromkeys(job.loop for job in jobs):
            own = [job for job in jobs if job.loop is loop]
            with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
                loop.call_soon_threadsafe(self._settle, own)

    def _settle(self, jobs: Sequence[_Job[Any]]) -> None:
        flags = frozenset().union(*(job.flags for job in jobs if job.error is None))
        for job in jobs:
            job.settle()
        if flags:
            self._tell(flags)


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _drop(connection: Connection | None) -> None:
    """Let a connection go that has failed, whatever state it is in."""
    if connection is not None:
        with suppress(Exception):
            connection.invalidate()
        with suppress(Exception):
            connection.close()


# PostgreSQL


class _Postgres:
    """A few connections write and a few read, each with a worker that takes one whole work after another."""

    def __init__(self, url: URL, readers: int, keys: Keys, tell: Callable[[Flags], None]) -> None:
        readers = min(readers, POOL // 2)
        self._writer = _Workers(url, POOL - readers, keys, tell, held=HELD_SECONDS)
        self._reader = _Workers(url, readers, keys, tell, snapshot=SNAPSHOT)
        self.engines = (self._writer.engine.sync_engine, self._reader.engine.sync_engine)

    async def transact(self, work: Work[T]) -> T:
        for left in reversed(range(TRIES)):
            job = _Job.of(work)
            try:
                with in_words():
                    return await self._writer.run(job)
            except DatabaseUnavailable as error:
                # A lost answer to COMMIT is not asked again here: the caller decides whether to come back.
                if not left or job.committing or not _lost(error):
                    raise
            except DBAPIError as error:
                if not left or _state(error) not in _RACES:
                    raise
        raise AssertionError("the last try answers or raises")

    async def read(self, work: Work[T], apart: bool) -> T:
        try:
            with in_words():
                return await self._reader.run(_Job.of(work, apart))
        except DatabaseUnavailable as error:
            if not _lost(error):
                raise
        with in_words():
            return await self._reader.run(_Job.of(work, apart))

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()


class _Workers:
    """Workers of one event loop, each with a connection. A work goes on to its end, also when whoever asked has gone."""

    def __init__(
        self, url: URL, size: int, keys: Keys, tell: Callable[[Flags], None], *, snapshot: str = "", held: int = 0
    ) -> None:
        # The driver begins nothing by itself; we do.
        self.engine = postgres_engine(url, size, held=held, isolation_level="AUTOCOMMIT")
        self._size = size
        self._keys = keys
        self._tell = tell
        self._snapshot = (
            snapshot  #: how a work begins that sees one; "": each of its statements sees what has been kept by then
        )
        self._jobs: asyncio.Queue[_Job[Any] | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._idle = 0
        self._age = 0  #: grows when a connection was lost: those made before are not trusted any more

    async def run(self, job: _Job[T]) -> T:
        """Run a job. Raises what its work raised, and DatabaseUnavailable when no connection was free for too long."""
        waits = self._jobs.qsize() >= self._idle
        if waits and len(self._tasks) < self._size:
            # One greenlet for all the works of a worker: a new one each time costs as much as three journeys.
            self._tasks.append(asyncio.create_task(greenlet_spawn(self._work_for_ever)))
            waits = False
        timer = job.loop.call_later(BUSY_SECONDS, job.too_late) if waits else None
        self._jobs.put_nowait(job)
        try:
            return await job.future
        finally:
            if timer:
                timer.cancel()

    async def close(self) -> None:
        """Finish the works in hand and those that wait, then let go of the connections."""
        for _ in self._tasks:
            self._jobs.put_nowait(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.engine.dispose()

    def _work_for_ever(self) -> None:
        connection: Connection | None = None
        age = self._age
        while (job := self._next()) is not None:
            if job.future.done():
                continue
            if age != self._age:
                _drop(connection)
                connection, age = None, self._age
            job.begun = True
            try:
                if connection is None:
                    connection = connect(self.engine)
                if job.apart:
                    job.result = job.work(Tx(connection, "postgresql", self._keys, job.flags))
                    continue
                self._run(connection, job)
            except BaseException as error:
                job.error = error
                if connection is not None and connection.invalidated:
                    self._age += 1
                if isinstance(error, asyncio.CancelledError):  # the loop ends
                    _drop(connection)
                    raise
            finally:
                job.settle()
        if connection is not None:
            connection.close()

    def _next(self) -> _Job[Any] | None:
        if not self._jobs.empty():
            return self._jobs.get_nowait()
        self._idle += 1
        try:
            return await_(self._jobs.get())
        finally:
            self._idle -= 1

    def _run(self, connection: Connection, job: _Job[T]) -> None:
        """Run a work in a transaction, which begins where it needs one.

        What is read before that, without a lock, sees what has been kept by then, inside a transaction or not; and what is put to
        the end without a word in between is one statement, which is kept or not without BEGIN and COMMIT: two journeys less.
        """
        tx = Tx(connection, "postgresql", self._keys, job.flags, begun=bool(self._snapshot))
        try:
            if self._snapshot:
                transaction(connection, self._snapshot)
            result = job.work(tx)
            if tx.begun:
                tx.settle()
            else:
                job.committing = True
                tx.settle_alone()
            if tx.begun:
                job.committing = True
                transaction(connection, "COMMIT")
            job.result = result
            if job.flags:
                self._tell(frozenset(job.flags))
        except BaseException:
            if tx.begun:
                _undo(connection)
            raise
        finally:
            connection.rollback()  # what SQLAlchemy takes for a transaction, when it has run a statement itself


def _undo(connection: Connection) -> None:
    if not connection.invalidated:
        with suppress(DBAPIError):
            transaction(connection, "ROLLBACK")


async def _in_turn(*, host: Any = None, port: Any = None, **given: Any) -> Any:
    """Try several hosts one after another, each for its share of the time: the driver leaves it all to one that is silent.

    Raises OSError or PostgresError of the last one.
    """
    hosts = list(zip(host, port, strict=True)) if isinstance(host, list) else [(host, port)]
    given["timeout"] /= len(hosts)
    for left, (one, at) in zip(reversed(range(len(hosts))), hosts, strict=True):
        try:
            return await asyncpg.connect(host=one, port=at, **given)
        except TargetServerAttributeNotMatched as other:
            if not left:
                raise ConnectionError(str(other)) from other
        except (OSError, PostgresError):
            if not left:
                raise
    raise AssertionError("the last one answers or raises")


_SESSION: Final = {
    "application_name": "tsunagi",
    "jit": "off",
    # Planned once: left to itself PostgreSQL plans some of our statements anew each time, an eighth of what it does in all.
    "plan_cache_mode": "force_generic_plan",
}


def _held(seconds: int) -> dict[str, str]:
    return {"idle_in_transaction_session_timeout": f"{seconds}s"} if seconds else {}


def postgres_engine(url: URL, size: int, *, held: int = 0, **options: Any) -> AsyncEngine:
    """Make an engine. PostgreSQL ends its transactions in which nothing is said for `held` seconds (0: as it is set there)."""
    return create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        connect_args={
            "prepared_statement_cache_size": STATEMENTS,
            "statement_cache_size": STATEMENTS,
            "max_cached_statement_lifetime": 0,
            "server_settings": {**_SESSION, **_held(held)},
            "timeout": BUSY_SECONDS,
            "async_creator_fn": _in_turn,
        },
        **options,
    )


async def run(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    """Run a work on a connection of its own. Raises DatabaseUnavailable when there is none to be had."""

    def whole() -> T:
        with connect(engine) as connection:
            return work(connection)

    return await greenlet_spawn(whole)


def connect(engine: AsyncEngine) -> Connection:
    """Open a connection inside a greenlet. Raises DatabaseUnavailable."""
    try:
        return engine.sync_engine.connect()
    except (OSError, PostgresError) as error:
        raise DatabaseUnavailable("it does not answer") from error
    except DBAPIError as error:  # it answers, and says no: closed for now, a password that was changed
        raise DatabaseUnavailable("it takes no connection of ours") from error


def _lost(error: DatabaseUnavailable) -> bool:
    """Say whether a connection went away in use: the pool has thrown it out, another one may do."""
    return isinstance(error.__cause__, DBAPIError) and error.__cause__.connection_invalidated


_RACES: Final = ("40001", "40P01")  #: serialization failure, deadlock: one of the two may simply begin again


# Errors in words


def _state(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


@contextmanager
def in_words() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        worded = _worded(error)
        if worded is error:
            raise
        raise worded from error


#: By the class of SQLSTATE.
_POSTGRES_GONE: Final = {
    "08": "the connection was lost",
    "53": "it has no room left, on its disk or for connections",
    "57": "the connection was lost",
    "58": "its disk reports an error",
}
_SQLITE_GONE: Final = {
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
    sqlite3.SQLITE_IOERR: "its disk reports an error",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_NOTADB: "its file is not a database",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
}


def _worded(error: BaseException) -> BaseException:
    """Turn a failure of the database itself into one of ours; anything else stays what it is."""
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        state = _state(error)
        if code == sqlite3.SQLITE_READONLY or state == "25006":
            return DatabaseReadOnly("it is read-only")
        if why := _SQLITE_GONE.get(code):
            return DatabaseUnavailable(why)
        if why := _POSTGRES_GONE.get(state[:2]):
            return DatabaseUnavailable(why)
        if error.connection_invalidated:
            return DatabaseUnavailable("the connection was lost")
        return error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return DatabaseUnavailable(_SQLITE_GONE.get(code, "its file cannot be opened"))
    return error
