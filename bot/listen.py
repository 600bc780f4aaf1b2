"""The door for platforms that have to be asked, or keep a line open: one process at a time listens to each."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from adapters.base import Hooked, Inbound, Listening
from bot.clock import real
from bot.receive import Receiver
from storage import beats
from storage.store import Store
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable

log = logging.getLogger(__name__)

#: For how long a process is the one that listens to a platform, unless it says so again.
LEASE: Final = timedelta(seconds=30)
AGAIN: Final = 5.0  #: seconds until a loop that broke begins anew


async def listen(name: str, adapter: Listening, store: Store, receiver: Receiver, holder: str) -> None:
    """Hand on whatever a platform has, until cancelled; its loop begins anew when it breaks off."""

    async def hand(event: Inbound) -> None:
        await receiver.receive(event)
        if isinstance(adapter, Hooked):
            await adapter.heed(event)

    async def lease() -> bool:
        now = real()
        return await store.transact(lambda tx: beats.take(tx, f"listen:{name}", holder, now, now + LEASE))

    while True:
        try:
            await adapter.listen(hand, lease)
        except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
            log.error("%s", trouble)
        except Exception:
            log.exception("listening to %s broke off; it begins again", name)
        await asyncio.sleep(AGAIN)
