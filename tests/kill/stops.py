"""Where a process is ended: around every statement that its drivers are handed, and inside a platform's answer.

Put on from outside, at the drivers' own connections: what the product runs is what runs without.
"""

import json
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event

from adapters.base import Caps, Delivery, Message, Parcel, Ref, Sent
from storage.store import Store

_DEEDS: Final = re.compile(r"\b(INSERT INTO|(?<!FOR )UPDATE|DELETE FROM|FROM) (\w+)")
_BARE: Final = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


def words_of(statement: str) -> str:
    """What a statement does, in a few words: `UPDATE letters`, `INSERT journal + INSERT waits`."""
    if statement.startswith(_BARE):
        return " ".join(statement.split()[:2])
    deeds = _DEEDS.findall(statement)
    written = [f"{verb.split()[0]} {table}" for verb, table in deeds if verb != "FROM"]
    return " + ".join(dict.fromkeys(written)) or f"SELECT {deeds[0][1] if deeds else '1'}"


class Stops:
    """Counts the boundaries that a door comes to, and ends this process at one of them."""

    def __init__(self, at: int | None = None, say: Callable[[Any], None] = lambda _: None) -> None:
        self.names: list[str] = []
        self._at = at  #: which boundary it ends at, from 0; None: none
        self._say = say
        self._door = ""

    def open(self, door: str) -> None:
        """Count from here on."""
        self._door = door

    def shut(self) -> None:
        self._door = ""

    def __call__(self, where: str) -> None:
        if not self._door:
            return
        name = f"{self._door} {len(self.names):02d} {where}"
        self.names.append(name)
        if self._at == len(self.names) - 1:
            self._say({"killed": name})
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # it is delivered before this begins

    def listen(self, store: Store) -> None:
        """Hear what a store's drivers are handed from now on."""
        for engine in store.engines:
            event.listen(engine, "connect", self._connected)

    def _connected(self, connection: Any, record: Any) -> None:
        if hasattr(connection, "driver_connection"):  # SQLAlchemy's coat over asyncpg's
            connection._connection = _Asyncpg(connection._connection, self)
        else:
            record.dbapi_connection = _Sqlite(connection, self)


@dataclass
class _Over:
    """Something of a driver's, with stops around what it is asked to run."""

    _it: Any
    _stop: Stops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._it, name)


@dataclass
class _Sqlite(_Over):
    reads: bool = False  #: what it has begun keeps nothing

    def cursor(self) -> Any:
        return _Cursor(self._it.cursor(), self._stop, self)

    def commit(self) -> None:
        if self._it.in_transaction:
            what = "end of reading" if self.reads else "COMMIT"
            self._stop(f"before {what}")
            self._it.commit()
            self._stop(f"after {what}")


@dataclass
class _Cursor(_Over):
    _of: _Sqlite

    def execute(self, statement: str, *given: Any) -> Any:
        if statement.startswith("BEGIN"):
            self._of.reads = statement == "BEGIN"
        return self._around(self._it.execute, statement, *given)

    def executemany(self, statement: str, *given: Any) -> Any:
        return self._around(self._it.executemany, statement, *given)

    def _around(self, run: Callable[..., Any], statement: str, *given: Any) -> Any:
        self._stop(f"before {words_of(statement)}")
        found = run(statement, *given)
        self._stop(f"after {words_of(statement)}")
        return found


class _Asyncpg(_Over):
    async def execute(self, statement: str, *given: Any, **how: Any) -> Any:
        return await self._around(self._it.execute(statement, *given, **how), statement)

    async def executemany(self, statement: str, *given: Any, **how: Any) -> Any:
        return await self._around(self._it.executemany(statement, *given, **how), statement)

    async def fetch(self, statement: str, *given: Any, **how: Any) -> Any:
        return await self._around(self._it.fetch(statement, *given, **how), statement)

    async def prepare(self, statement: str, *given: Any, **how: Any) -> Any:
        return _Statement(await self._it.prepare(statement, *given, **how), self._stop, statement, self._it)

    async def _around(self, run: Awaitable[Any], statement: str) -> Any:
        return await _around(run, statement, self._stop, self._it)


@dataclass
class _Statement(_Over):
    _text: str
    _of: Any  #: its connection

    async def fetch(self, *given: Any) -> Any:
        return await _around(self._it.fetch(*given), self._text, self._stop, self._of)


async def _around(run: Awaitable[Any], statement: str, stop: Stops, connection: Any) -> Any:
    what = words_of(statement)
    if not connection.is_in_transaction() and not what.startswith((*_BARE, "SELECT")):
        what = f"COMMIT of {what}"  # what is written outside of a transaction is one by itself
    stop(f"before {what}")
    found = await run
    stop(f"after {what}")
    return found


@dataclass
class Wire:
    """A platform that keeps what it took in a file: it outlives whoever sent it."""

    name: str
    path: Path
    stop: Stops
    caps: Caps
    inside: bool = False

    async def send(self, parcel: Parcel) -> Delivery:
        self.stop(f"before send on {self.name}")
        self._keep("send", parcel.to.conversation, parcel.key, parcel.message)
        self.stop(f"inside send on {self.name}: accepted, not answered")
        return Sent(parcel.key)

    def _keep(self, deed: str, conversation: str, key: str, message: Message) -> None:
        facts = [list(fact) for fact in message.facts]
        line = [
            deed,
            self.name,
            conversation,
            key,
            message.title,
            message.text,
            facts,
            [c.label for c in message.choices],
        ]
        with self.path.open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


class SlackLike(Wire):
    """Changes what it has sent; knows no key: what is sent twice is there twice."""

    async def edit(self, ref: Ref, message: Message) -> Delivery:
        self.stop(f"before edit on {self.name}")
        self._keep("edit", ref.address.conversation, ref.id, message)
        self.stop(f"inside edit on {self.name}: accepted, not answered")
        return Sent(ref.id)


def platforms(path: Path, stop: Stops) -> dict[str, Wire]:
    """One that edits and knows no key, one that knows a key and cannot edit."""
    slack = Caps(buttons=6, label=40, text=4_000, edit=True)
    line = Caps(buttons=6, label=40, text=4_000, follow=True, again=timedelta(hours=24))
    return {"slack": SlackLike("slack", path, stop, slack), "line": Wire("line", path, stop, line)}
