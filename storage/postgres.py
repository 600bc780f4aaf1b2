"""PostgreSQL over asyncpg: a few connections write and a few read, one transaction a work (READ COMMITTED)."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg
from asyncpg.exceptions import PostgresError, TargetServerAttributeNotMatched
from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import await_, greenlet_spawn

from storage.job import BUSY_SECONDS, STATEMENTS, Job, drop
from storage.prepared import transaction
from storage.seal import Keys
from storage.trouble import DatabaseUnavailable, in_words, state
from storage.tx import Flags, Tx, Work

T = TypeVar("T")

TRIES: Final = 4
POOL: Final = 8  #: connections of a process, readers included
#: A process that is stopped or cut off in the middle of a work keeps what it has locked for so long; then the work is undone.
HELD_SECONDS: Final = 5
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Postgres:
    """A few connections write and a few read, each with a worker that takes one whole work after another."""

    def __init__(self, url: URL, readers: int, keys: Keys, tell: Callable[[Flags], None]) -> None:
        readers = min(readers, POOL // 2)
        self._writer = _Workers(url, POOL - readers, keys, tell, held=HELD_SECONDS)
        self._reader = _Workers(url, readers, keys, tell, snapshot=SNAPSHOT)
        self.engines = (self._writer.engine.sync_engine, self._reader.engine.sync_engine)

    async def transact(self, work: Work[T]) -> T:
        for left in reversed(range(TRIES)):
            job = Job.of(work)
            try:
                with in_words():
                    return await self._writer.run(job)
            except DatabaseUnavailable as error:
                # A lost answer to COMMIT is not asked again here: the caller decides whether to come back.
                if not left or job.committing or not _lost(error):
                    raise
            except DBAPIError as error:
                if not left or state(error) not in _RACES:
                    raise
        raise AssertionError("the last try answers or raises")

    async def read(self, work: Work[T], apart: bool) -> T:
        try:
            with in_words():
                return await self._reader.run(Job.of(work, apart))
        except DatabaseUnavailable as error:
            if not _lost(error):
                raise
        with in_words():
            return await self._reader.run(Job.of(work, apart))

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
        self._jobs: asyncio.Queue[Job[Any] | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._idle = 0
        self._age = 0  #: grows when a connection was lost: those made before are not trusted any more

    async def run(self, job: Job[T]) -> T:
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
                drop(connection)
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
                    drop(connection)
                    raise
            finally:
                job.settle()
        if connection is not None:
            connection.close()

    def _next(self) -> Job[Any] | None:
        if not self._jobs.empty():
            return self._jobs.get_nowait()
        self._idle += 1
        try:
            return await_(self._jobs.get())
        finally:
            self._idle -= 1

    def _run(self, connection: Connection, job: Job[T]) -> None:
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
