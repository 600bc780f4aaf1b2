"""The door for letters going out: leased, sent outside any transaction, finished with the lease's token."""

import logging
from datetime import timedelta
from itertools import groupby
from typing import Final

from adapters.base import Adapter, Address, Gone, Later, Message, Parcel, Refused, Sent, Unknown, fit
from bot.clock import Clock
from bot.reading import Reading
from bot.towns import Towns
from bot.voice import voice_for
from storage import letters
from storage.letters import LetterRow
from storage.store import Store, Tx

log = logging.getLogger(__name__)

BATCH: Final = 50
LEASE_SECONDS: Final = 60.0
AGAIN: Final = timedelta(minutes=1)


class Deliverer:
    """Sends what is pending, urgent first; letters of one person and one moment leave as one message."""

    def __init__(self, store: Store, clock: Clock, towns: Towns, adapters: dict[str, Adapter]) -> None:
        self.store = store
        self.clock = clock
        self.towns = towns
        self.adapters = adapters

    async def send_due(self, limit: int = BATCH) -> int:
        """Send what may leave now; answer how many letters were taken."""
        leased = await self.store.transact(lambda tx: letters.lease(tx, self.clock.now(tx), limit, LEASE_SECONDS))
        by_reader = groupby(leased, key=lambda row: (row.surface, row.address, row.to_staff, row.not_before))
        for (surface, address, *_), found in by_reader:
            await self._send(surface, address or "", list(found))
        return len(leased)

    async def _send(self, surface: str, address: str, bundle: list[LetterRow]) -> None:
        message = await self.store.read(lambda tx: self._message(tx, bundle))
        adapter = self.adapters.get(surface)
        if adapter is None:
            outcome: Sent | Later | Unknown | Gone | Refused = Gone(f"no adapter for {surface}")
        else:
            now = self.clock.now()
            try:
                outcome = await adapter.send(
                    Parcel(Address(surface, address), fit(message, adapter.caps), f"{bundle[0].id}", now)
                )
            except Exception as broken:  # an adapter that raises has a defect; its letter may have left
                log.exception("an adapter raised: %s", surface)
                outcome = Unknown(type(broken).__name__)
        await self.store.transact(lambda tx: self._finish(tx, bundle, outcome))

    def _message(self, tx: Tx, bundle: list[LetterRow]) -> Message:
        town, now = self.towns.of(tx), self.clock.now(tx)
        person = town.staff[bundle[0].to_staff or town.final_owner]
        adapter = self.adapters.get(bundle[0].surface)
        voice = voice_for(town, person.language or town.language, outside=not (adapter and adapter.inside))
        shown = Reading(tx, town, person, now, voice).messages(bundle)
        if len(shown) == 1:
            return shown[0]
        lines = [m.text for m in shown]
        return Message(
            "\n\n".join(lines),
            voice.say("bundle.title", count=len(shown)),
            choices=tuple(c for m in shown for c in m.choices),
        )

    def _finish(self, tx: Tx, bundle: list[LetterRow], outcome: Sent | Later | Unknown | Gone | Refused) -> None:
        now = self.clock.now(tx)
        for letter in bundle:
            assert letter.lease is not None
            match outcome:
                case Sent(ref):
                    letters.finish(tx, letter.id, letter.lease, state="sent", at=now, ref=ref)
                case Later(after, why):
                    letters.finish(
                        tx,
                        letter.id,
                        letter.lease,
                        state="pending",
                        at=now,
                        why=why,
                        not_before=now + max(after, AGAIN),
                    )
                case Unknown(why):
                    letters.finish(tx, letter.id, letter.lease, state="unknown", at=now, why=why)
                case Gone(why) | Refused(why):
                    letters.finish(tx, letter.id, letter.lease, state="failed", at=now, why=why)

    async def recover(self) -> int:
        """What was leased by somebody who never came back may have arrived: unknown, and said so."""
        return len(await self.store.transact(lambda tx: letters.lost(tx, self.clock.now(tx))))
