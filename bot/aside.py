"""Work beside the loop, one at a time: nobody waits for it, and it is not begun again before it has ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from storage.trouble import DatabaseReadOnly, DatabaseUnavailable

log = logging.getLogger(__name__)


class Aside:
    """One such work. What goes wrong in it is said in the log; the next start begins anew."""

    def __init__(self, work: Callable[[], Awaitable[object]], wrong: str) -> None:
        """`wrong`: what the log says when it broke off."""
        self._work = work
        self._wrong = wrong
        self._at_it: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        return self._at_it is not None and not self._at_it.done()

    def start(self) -> None:
        """Begin, unless it is being done."""
        if not self.under_way:
            self._at_it = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Wait for what is under way."""
        if self._at_it is not None:
            await self._at_it

    async def _run(self) -> None:
        try:
            await self._work()
        except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
            log.error("%s", trouble)
        except Exception:
            log.exception("%s", self._wrong)
