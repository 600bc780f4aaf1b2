"""SQLite: one thread writes under BEGIN IMMEDIATE, up to 32 waiting works to a COMMIT; a few others read."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from storage.job import BUSY_SECONDS, STATEMENTS, Job, drop
from storage.seal import Keys
from storage.trouble import in_words, worded
from storage.tx import Flags, Tx, Work, driver

T = TypeVar("T")

GROUP: Final = 32  #: works that share a COMMIT


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


class _OneRaised(Exception):
    """A work of a group raised: the group is undone, and each goes on its own."""


class Sqlite:
    """One thread writes; a few others read."""

    def __init__(self, url: URL, readers: int, keys: Keys, tell: Callable[[Flags], None]) -> None:
        self._writer = sqlite_engine(url)
        self._reader = sqlite_engine(url, readers=readers)
        self._keys = keys
        self._tell = tell
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="tsunagi-read")
        self.engines = (self._writer, self._reader)

    async def transact(self, work: Work[T]) -> T:
        job = Job.of(work)
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
                drop(connection)
                connection = None
                ours = worded(error)
                for job in jobs:
                    job.error = job.error or ours
            self._answer(jobs)
        if connection is not None:
            connection.close()

    def _waiting(self) -> tuple[list[Job[Any]], bool]:
        """Wait for a work and take those that wait behind it; False at the end of the queue."""
        found = [self._jobs.get()]
        with suppress(queue.Empty):
            while found[-1] is not None and len(found) < GROUP:
                found.append(self._jobs.get_nowait())
        jobs = [job for job in found if job is not None]
        return [job for job in jobs if not job.future.cancelled()], len(jobs) == len(found)

    def _write(self, connection: Connection, jobs: Sequence[Job[Any]]) -> None:
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

    def _write_apart(self, connection: Connection, jobs: Sequence[Job[Any]]) -> None:
        with connection.begin():
            for job in jobs:
                job.flags.clear()
                tx = Tx(connection, "sqlite", self._keys, job.flags)
                try:
                    with tx.savepoint():
                        job.result = job.work(tx)
                except BaseException as error:
                    # A full disk and the like make SQLite end the whole transaction: then nobody's work is kept.
                    if not driver(connection).in_transaction:
                        raise
                    job.error = worded(error)

    def _answer(self, jobs: Sequence[Job[Any]]) -> None:
        """Tell each loop once, whatever the number of its works."""
        for loop in dict.fromkeys(job.loop for job in jobs):
            own = [job for job in jobs if job.loop is loop]
            with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
                loop.call_soon_threadsafe(self._settle, own)

    def _settle(self, jobs: Sequence[Job[Any]]) -> None:
        flags = frozenset().union(*(job.flags for job in jobs if job.error is None))
        for job in jobs:
            job.settle()
        if flags:
            self._tell(flags)
