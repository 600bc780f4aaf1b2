"""The reference: the statements that the engine issued, recorded by an event hook and replayed by the raw driver.

One transaction a command, and one for the cases that ring together, even where the engine groups them. No SQL is written twice.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from bot.app import App

CLIENTS: Final = 8
Statement: TypeAlias = tuple[str, Any, bool]  #: text, parameters, executemany


@contextmanager
def recorder(app: "App") -> Iterator[list[Statement]]:
    """What is said to the database meanwhile; for what is said one after another."""
    heard: list[Statement] = []
    with _hearing(app.store.engines, lambda _, statement: heard.append(statement)):
        yield heard


@contextmanager
def rings_recorder(app: "App") -> Iterator[list[list[Statement]]]:
    """What each transaction of rings says to the database, several at a time: each begins by loading its cases."""
    found: list[list[Statement]] = []
    last: dict[int, list[Statement]] = {}  #: of each connection
    first = ""

    def hear(connection: object, statement: Statement) -> None:
        nonlocal first
        words = statement[0].partition(" IN (")[0]  # however many cases it names
        first = first or words
        if words == first:
            last[id(connection)] = []
            found.append(last[id(connection)])
        last[id(connection)].append(statement)

    with _hearing(app.store.engines[:1], hear):
        yield found


@contextmanager
def _hearing(engines: Sequence[Engine], hear: Callable[[object, Statement], None]) -> Iterator[None]:
    def each(
        connection: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool
    ) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT")):
            hear(connection, (statement, list(parameters) if many else parameters, many))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", each)
    try:
        yield
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", each)


async def replay(kind: str, url: str, commands: Sequence[Sequence[Statement]]) -> tuple[float, float]:
    """Replay each in a transaction, eight clients on PostgreSQL; answer how long it took, and its CPU, in seconds."""
    used = time.process_time()
    if kind == "sqlite":
        took = await asyncio.to_thread(_sqlite, url.removeprefix("sqlite:///"), commands)
    else:
        took = await _postgres(url, commands)
    return took, time.process_time() - used


def _sqlite(path: str, commands: Sequence[Sequence[Statement]]) -> float:
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


async def _postgres(url: str, commands: Sequence[Sequence[Statement]]) -> float:
    pool = await asyncpg.create_pool(url, min_size=CLIENTS, max_size=CLIENTS, statement_cache_size=500)

    async def client(mine: Sequence[Sequence[Statement]]) -> None:
        async with pool.acquire() as connection:
            for command in mine:
                await play(connection, command)

    try:
        began = time.perf_counter()
        # A client replays whole cases, as in the engine's run, so that no two wait for one row.
        await asyncio.gather(*(client(commands[n::CLIENTS]) for n in range(CLIENTS)))
        return time.perf_counter() - began
    finally:
        await pool.close()


async def play(connection: Any, command: Sequence[Statement]) -> None:
    """One command or transaction of rings by asyncpg; as the engine does, without BEGIN and COMMIT where only the last one writes."""
    async with nullcontext() if _reads(command[:-1]) else connection.transaction():
        for statement, parameters, many in command:
            if many:
                await connection.executemany(statement, parameters)
            else:
                await connection.fetch(statement, *parameters)


def _reads(statements: Sequence[Statement]) -> bool:
    return all(text.startswith(("SELECT", "WITH found")) and "FOR UPDATE" not in text for text, _, _ in statements)
