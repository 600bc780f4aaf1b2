"""The transaction: one plain function `work(tx)` on either database, run to its commit or not at all.

`work` may be run twice, so it has no effect but through `tx`. The databases themselves: sqlite.py, postgres.py.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine

from storage.address import address
from storage.postgres import Postgres
from storage.seal import Keys
from storage.sqlite import Sqlite
from storage.tx import DialectName, Flags, Work

T = TypeVar("T")


class Store:
    """The database of one municipality, as seen by one process."""

    dialect: DialectName

    def __init__(self, url: str, *, readers: int = 4, keys: Keys) -> None:
        """Take `sqlite:///path` or `postgresql://…`; nothing is opened before the first work."""
        self.url = address(url)
        self.keys = keys
        self._callbacks: list[Callable[[Flags], None]] = []
        self._base: Sqlite | Postgres
        if self.url.get_backend_name() == "sqlite":
            self.dialect = "sqlite"
            self._base = Sqlite(self.url, readers, keys, self._tell)
        else:
            self.dialect = "postgresql"
            self._base = Postgres(self.url, readers, keys, self._tell)

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
