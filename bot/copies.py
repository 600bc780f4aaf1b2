"""Every copy of a card tells the truth: what was sent is changed where it lies, or followed by what has become of it."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from adapters.base import Adapter, Address, Delivery, Editor, Gone, Later, Ref, Refused, Sent, Unknown
from bot.aside import Aside
from bot.clock import Clock
from bot.deliver import Rendered, rendered
from bot.record import following, new_token
from bot.towns import Towns
from storage import journal, letters
from storage.letters import LetterRow
from storage.store import Store
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.tx import Tx

log = logging.getLogger(__name__)

BATCH: Final = 20
LEASE_SECONDS: Final = 60.0
#: Changing a card twice changes nothing: what may have arrived is simply done again.
UNSURE: Final = timedelta(seconds=30)
#: What cannot be worded will not be for a while.
UNWRITTEN: Final = timedelta(minutes=30)


class Copies:
    """Looks for copies whose case has changed since they were shown."""

    def __init__(
        self, store: Store, clock: Clock, towns: Towns, fresh: Callable[[], int], adapters: dict[str, Adapter]
    ) -> None:
        self.store = store
        self.clock = clock
        self.towns = towns
        self.fresh = fresh
        self.adapters = adapters
        self.aside = Aside(self.keep_true, "a copy could not be kept true; the next beat looks again")

    async def keep_true(self, limit: int = BATCH) -> int:
        """Change what is not true any more; answer how many copies were looked at."""
        stale = await self.store.transact(lambda tx: letters.lease_stale(tx, self.clock.now(tx), limit, LEASE_SECONDS))
        for letter in stale:
            await self._look(letter)
        return len(stale)

    async def _look(self, letter: LetterRow) -> None:
        adapter = self.adapters.get(letter.surface)
        if adapter is None:
            await self.store.transact(lambda tx: letters.copy(tx, letter.id, live=False))
            return
        try:
            shown = await self.store.transact(lambda tx: self._shown(tx, letter, adapter))
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception:  # a defect of ours: it stays as it is for a while, and the others are looked at
            log.exception("a copy could not be worded anew: %s", letter.id)
            await self.store.transact(lambda tx: self._unwritten(tx, letter))
            return
        outcome: Delivery = Sent()
        if shown.face != letter.face and isinstance(adapter, Editor):
            outcome = await self._edited(adapter, letter, shown)
        await self.store.transact(lambda tx: self._keep(tx, letter, adapter, shown, outcome))

    def _shown(self, tx: Tx, letter: LetterRow, adapter: Adapter) -> Rendered:
        """The message that this copy is a part of, as it is true now.

        What will be changed gets buttons of a new name: a tap on an old one in this moment is answered as old, never as another.
        """
        bundle = [replace(one, token=new_token()) for one in letters.bundle_of(tx, letter) or [letter]]
        shown = rendered(tx, self.towns.of(tx), self.clock.now(tx), bundle, adapter)
        if shown.face != letter.face and isinstance(adapter, Editor):
            for one in bundle:  # of the version that it shows so far: what cannot be changed now is looked at again
                letters.showing(tx, one, shown.says[one.id], one.case_version, one.not_before)
        return shown

    async def _edited(self, adapter: Editor, letter: LetterRow, shown: Rendered) -> Delivery:
        to = Address(letter.surface, letter.address or "")
        try:
            return await adapter.edit(Ref(to, letter.ref or ""), shown.message)
        except Exception as broken:  # an adapter that raises has a defect
            log.exception("an adapter raised: %s", letter.surface)
            return Refused(type(broken).__name__)

    def _keep(self, tx: Tx, letter: LetterRow, adapter: Adapter, shown: Rendered, outcome: Delivery) -> None:
        now = self.clock.now(tx)
        version = shown.versions.get(letter.case_id or 0, letter.case_version)
        own = shown.says.get(letter.id, ())
        open_, over = bool(own), not {*own} & {*letter.doc.get("says", ())}
        match outcome:
            case Sent():
                followed = adapter.caps.follow and over
                live = (open_ and not followed) or (adapter.caps.edit and shown.moving)
                letters.copy(tx, letter.id, live=live, face=shown.face, version=version, why="")
                if followed:
                    self._follow(tx, letter)
            case Later(after):
                letters.copy(tx, letter.id, live=True, again=now + max(after, timedelta(seconds=1)))
            case Unknown():
                letters.copy(tx, letter.id, live=True, again=now + UNSURE)
            case Gone() | Refused():
                letters.copy(tx, letter.id, live=False, version=version)
                if open_:
                    self._follow(tx, letter)

    def _unwritten(self, tx: Tx, letter: LetterRow) -> None:
        letters.copy(tx, letter.id, live=True, again=self.clock.now(tx) + UNWRITTEN, why=letters.UNWRITTEN)

    def _follow(self, tx: Tx, letter: LetterRow) -> None:
        """A new message instead of a change; whoever caused the change has been answered already."""
        if letter.case_id is not None and letter.to_staff != journal.last_actor(tx, letter.case_id):
            letters.write(tx, following(tx, letter, self.towns.of(tx), self.clock.now(tx), self.fresh))
