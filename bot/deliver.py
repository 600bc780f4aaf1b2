"""The door for letters going out: leased, sent outside any transaction, finished with the lease's token."""

import asyncio
import hashlib
import logging
import secrets
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, NamedTuple, TypeAlias

from adapters.base import (
    Adapter,
    Address,
    Delivery,
    Gone,
    Later,
    Message,
    Parcel,
    Refused,
    Sent,
    Unknown,
    fit,
    together,
)
from bot.clock import Clock
from bot.pace import pause, quiet_until
from bot.reading import Reading
from bot.record import INSIDE, elsewhere, from_room, once_more, send
from bot.towns import Towns
from bot.voice import voice_for
from storage import beats, cases, letters, paces, people, turns
from storage.letters import LetterRow
from storage.store import Store
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.turns import Turn
from storage.tx import Tx
from workflow.outcome import Act, Notice, Reader
from workflow.people import Quiet, Town
from workflow.sight import EVERYTHING

log = logging.getLogger(__name__)

BATCH: Final = 50  #: letters under way to one platform
LEASE_SECONDS: Final = 60.0
TOGETHER: Final = 10  #: letters that leave as one message: of more a platform would cut the end
REST: Final = 0.5  #: seconds until a platform that has had all it takes in a second is asked again
AGAIN: Final = timedelta(minutes=1)
#: Under its key a letter goes again so often when nobody can say whether it arrived.
TRIES: Final = 5
LOST: Final = 500  #: looked at in one beat
MICRO: Final = timedelta(microseconds=1)
#: Who has had the first message of a case lately waits for the others' first.
LATELY: Final = timedelta(hours=1)
QUOTA: Final = "quota"
UNWORDED: Final = 3  #: tries after which a coordinator hears of a letter that must arrive and cannot be worded
LAST_WORDING: Final = 8  #: … and after which it has failed: a day later
#: The same letter, the same key, whichever process sends it.
KEYS: Final = uuid.UUID("6a1f7f5e-6e0e-4d53-9a43-7d6f6e7b9c10")


Conversation: TypeAlias = tuple[str, str]  #: (surface, address)


class Rendered(NamedTuple):
    """Letters as the one message that leaves."""

    message: Message
    says: Mapping[int, tuple[str, ...]]  #: what each button says, by its letter and its place there
    face: str  #: a hash of what is shown: the same face needs no edit
    versions: Mapping[int, int]  #: of the cases that it shows
    moving: bool  #: some handoff that it is about goes on: what is true of it will change


class Leaving(NamedTuple):
    """An answer that its own writer sends."""

    letter: LetterRow
    shown: Rendered


class _Fate(NamedTuple):
    """What became of a bundle, and who waits for it to be written down."""

    bundle: Sequence[LetterRow]
    outcome: Delivery
    shown: Rendered | None
    kept: "asyncio.Future[None]"


class Deliverer:
    """Sends what is pending, urgent first; letters of one person and one moment leave as one message.

    Conversations go side by side, so that a slow one holds up nobody else; each at its platform's pace.
    """

    def __init__(
        self, store: Store, clock: Clock, towns: Towns, fresh: Callable[[], int], adapters: dict[str, Adapter]
    ) -> None:
        self.store = store
        self.clock = clock
        self.towns = towns
        self.fresh = fresh
        self.adapters = adapters
        self._under_way: dict[asyncio.Task[None], Conversation] = {}
        self._fates: list[_Fate] = []  #: to be written down
        self._writing: asyncio.Task[None] | None = None
        self._away = False  #: nothing could be written down lately, and the log knows
        self._rests: dict[str, float] = {}  #: platform → monotonic second before which its pace is not looked at again

    def at_once(self, tx: Tx, town: Town, letter: LetterRow, now: datetime) -> Leaving | None:
        """Lease an answer as it is written, for `post` behind the commit: nobody has to look for it.

        None where it has to wait for its turn like any other: its platform counts by the second, or has no place free.
        """
        adapter = self.adapters.get(letter.surface)
        if adapter is None or adapter.caps.second or self._busy()[letter.surface] >= BATCH:
            return None
        shown, until = self._said(tx, town, [letter], now), now + timedelta(seconds=LEASE_SECONDS)
        leased = replace(letter, state="leased", lease=secrets.token_hex(8), lease_until=until, tries=1)
        return Leaving(leased, shown) if shown else None

    def post(self, leaving: Leaving) -> None:
        """Begin to send an answer that was leased as it was written."""
        self._begin([leaving.letter], leaving.shown)

    async def send_due(self) -> int:
        """Send what may leave now, to its end; answer how many letters were looked at."""
        await self.finish()
        room = dict.fromkeys(self.platforms, BATCH)
        looked, taken = await self.store.transact(lambda tx: self._take(tx, room, BATCH))
        await asyncio.gather(*(self._send(*one) for one in taken))
        return looked

    async def start_due(self, platforms: Collection[str]) -> int:
        """Begin to send what may leave to these now: nobody waits for a platform that is slow to answer, nor it for another.

        A platform takes the next when half of its places are free, so that a long queue is not sorted for each letter.
        """
        busy, now = self._busy(), monotonic()
        ready = {
            name: name in platforms and busy[name] <= BATCH // 2 and self._rests.get(name, 0) <= now
            for name in self.platforms
        }
        return await self._start({name: BATCH - busy[name] if yes else 0 for name, yes in ready.items()}, 0)

    async def _start(self, room: Mapping[str, int], others: int) -> int:
        if not others and not any(room.values()):
            return 0
        looked, taken = await self.store.transact(lambda tx: self._take(tx, room, others))
        for bundle, shown in taken:
            self._begin(bundle, shown)
        return looked

    def _busy(self) -> Counter[str]:
        return Counter(surface for surface, _ in list(self._under_way.values()))  # a copy: works run in another thread

    def _begin(self, bundle: list[LetterRow], shown: Rendered | None) -> None:
        task = asyncio.create_task(self._sent_aside(bundle, shown))
        self._under_way[task] = _conversation(bundle[0])
        task.add_done_callback(self._under_way.pop)

    async def finish(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._under_way)

    async def _sent_aside(self, bundle: list[LetterRow], shown: Rendered | None) -> None:
        try:
            await self._send(bundle, shown)
        except (DatabaseUnavailable, DatabaseReadOnly) as trouble:
            if not self._away:  # the lease runs out: its fate is unknown, and said so
                log.error("what became of letters could not be written down: %s", trouble)
            self._away = True
        except Exception:
            log.exception("a letter's fate could not be written down: %s", bundle[0].id)

    # -- whose turn it is

    @property
    def platforms(self) -> tuple[str, ...]:
        """Those outside, where letters have to be brought."""
        return tuple(name for name, adapter in self.adapters.items() if not adapter.inside)

    def _take(
        self, tx: Tx, room: Mapping[str, int], others: int
    ) -> tuple[int, list[tuple[list[LetterRow], Rendered | None]]]:
        """Lease what is due, answers as they will be shown; what its conversation is not free for is lined up."""
        now = self.clock.now(tx)
        paced = {name: most for name in room if room[name] and (most := self.adapters[name].caps.second)}
        room = {**room, **{name: min(room[name], paces.room(tx, name, now, most)) for name, most in paced.items()}}
        leased = letters.lease(tx, now, room, others, LEASE_SECONDS)
        taken: list[list[LetterRow]] = []
        crowded: dict[Conversation, list[LetterRow]] = defaultdict(list)
        talking = {*self._under_way.values()}
        town = self.towns.of(tx) if leased else None
        for bundle in self._bundles(_awake(tx, leased, town, now)):
            conversation, gap = _conversation(bundle[0]), self._gap(bundle[0])
            busy = conversation in crowded or conversation in talking
            if gap and (busy or not paces.take(tx, *conversation, now, now + gap)):
                crowded[conversation] += bundle
            else:
                taken.append(bundle)
        for conversation, waiting in crowded.items():
            leaving = [row.case_id for bundle in taken for row in bundle if _conversation(row) == conversation]
            self._line_up(tx, *conversation, waiting, Counter(leaving), now)
        leaves = Counter(bundle[0].surface for bundle in taken)
        for name, most in paced.items():
            paces.spend(tx, name, now, most, leaves[name])
            if leaves[name] >= room[name]:
                self._rests[name] = monotonic() + REST
        return len(leased), [(bundle, self._said(tx, town, bundle, now)) for bundle in taken]

    def _said(self, tx: Tx, town: Town | None, bundle: list[LetterRow], now: datetime) -> Rendered | None:
        """An answer was worded, its buttons with it, when it was written: nothing is looked up for it, nothing kept."""
        adapter = self.adapters.get(bundle[0].surface)
        if adapter is None or town is None or not bundle[0].answer:
            return None
        try:
            return rendered(tx, town, now, bundle, adapter)
        except (LookupError, ValueError, TypeError, AttributeError):
            return None  # tried again, and heard of, by itself

    def _gap(self, letter: LetterRow) -> timedelta | None:
        """The pace of where it goes (platforms.md §5); an answer that somebody waits for goes at once."""
        adapter = self.adapters.get(letter.surface)
        if adapter is None or adapter.inside or letter.answer or not letter.address:
            return None
        return timedelta(seconds=adapter.caps.gap(letter.address))

    def _line_up(
        self, tx: Tx, surface: str, address: str, leased: list[LetterRow], told: Counter[int | None], now: datetime
    ) -> None:
        """Give all that waits there a moment of its own: urgent first, then the first of every case before any second.

        What is late for one person leaves together, what is urgent with the rest of its case: after a night that we slept
        through nobody's phone rings ten times.
        """
        gap = self._gap(leased[0]) or timedelta()
        at = max(now + gap, paces.free_at(tx, surface, address) or now)
        told.update(letters.lately(tx, surface, address, now - LATELY))
        ranked: list[tuple[tuple[bool, int, datetime, int], LetterRow]] = []
        for letter in sorted([*letters.queue(tx, surface, address, now), *leased], key=lambda one: one.id):
            before = told[letter.case_id] if letter.case_id else 0
            ranked.append(((not letter.urgent, before, letter.created_at, letter.id), letter))
            told[letter.case_id] += 1
        slots: dict[object, datetime] = {}
        placed = []
        turns = self._turns([letter for _, letter in sorted(ranked, key=lambda one: one[0])])
        for letter, turn in turns:
            if turn not in slots:
                slots[turn] = at
                at += gap
            if letter.state == "leased" or letter.not_before != slots[turn]:
                placed.append((letter, slots[turn]))
        letters.put_back(tx, placed)

    def _bundles(self, rows: Iterable[LetterRow]) -> list[list[LetterRow]]:
        """What is due for one person leaves together, urgent things with their moment's; in a room and as an answer each alone."""
        found: dict[object, list[LetterRow]] = defaultdict(list)
        for row in rows:
            alone = row.id if row.answer or row.to_room or row.surface in INSIDE else 0
            moment = row.not_before if row.urgent else None
            found[row.surface, row.address, row.to_staff, row.urgent, moment, self._again(row), alone].append(row)
        return [few for bundle in found.values() for few in _few(bundle)]

    def _turns(self, rows: Sequence[LetterRow]) -> Iterable[tuple[LetterRow, object]]:
        """What leaves in one turn: a message's fill of a person's cases; of what is urgent a case; in a room each alone."""
        sizes = Counter((row.to_staff, row.case_id or row.id) for row in rows)
        filled: Counter[str | None] = Counter()
        turns: dict[tuple[str | None, int], object] = {}
        for row in rows:
            case = (row.to_staff, row.case_id or row.id)
            if row.to_room or row.urgent:
                yield row, (case if not row.to_room else row.id)
            elif again := self._again(row):
                yield row, (row.to_staff, "again", again)
            else:
                if case not in turns:
                    filled[row.to_staff] += sizes[case]
                    turns[case] = (row.to_staff, "", (filled[row.to_staff] - 1) // TOGETHER)
                yield row, turns[case]

    def _again(self, letter: LetterRow) -> datetime | None:
        """The moment of what goes again under its key: with what it left with, nothing else, for a key stands for one message."""
        tried = letter.tries - (letter.state == "leased")
        adapter = self.adapters.get(letter.surface)
        return letter.not_before if tried > 0 and adapter is not None and adapter.caps.again else None

    # -- one message

    async def _send(self, bundle: list[LetterRow], shown: Rendered | None) -> None:
        first = bundle[0]
        adapter = self.adapters.get(first.surface)
        if adapter is None:
            await self._settled(bundle, Gone(f"no adapter for {first.surface}"), None)
            return
        if shown is None:
            bundle, shown = await self._worded(bundle, adapter)
        if shown is None:
            return
        outcome = await self._handed(adapter, Address(first.surface, first.address or ""), shown.message, first)
        await self._settled(bundle, outcome, shown)

    async def _handed(self, adapter: Adapter, to: Address, message: Message, letter: LetterRow) -> Delivery:
        parcel = Parcel(
            to, message, str(uuid.uuid5(KEYS, f"{letter.id}")), self.clock.now(),
            reply=_reply(letter), only=letter.doc.get("only", ""),
        )  # fmt: skip
        try:
            return await adapter.send(parcel)
        except Exception as broken:  # an adapter that raises has a defect; its letter may have left
            log.exception("an adapter raised: %s", adapter.name)
            return Unknown(type(broken).__name__)

    async def _worded(self, bundle: list[LetterRow], adapter: Adapter) -> tuple[list[LetterRow], Rendered | None]:
        """Render what leaves. What a defect of ours keeps from being worded never left: it waits, and the others leave."""
        try:
            return bundle, await self.store.transact(lambda tx: self._rendered(tx, bundle, adapter))
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception:
            log.exception("not worded: letters %s", ", ".join(str(letter.id) for letter in bundle))
        mute = [
            letter for letter in bundle if len(bundle) == 1 or not await self._can_be_worded(letter, adapter)
        ] or bundle
        await self.store.transact(lambda tx: self._unwritten(tx, mute))
        rest = [letter for letter in bundle if letter not in mute]
        return await self._worded(rest, adapter) if rest else ([], None)

    async def _can_be_worded(self, letter: LetterRow, adapter: Adapter) -> bool:
        try:
            await self.store.read(lambda tx: rendered(tx, self.towns.of(tx), self.clock.now(tx), [letter], adapter))
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception:
            return False
        return True

    def _unwritten(self, tx: Tx, mute: Sequence[LetterRow]) -> None:
        """Put them off, each time for longer; of one that must arrive the coordinators hear, and after the last try it failed."""
        now = self.clock.now(tx)
        for letter in mute:
            assert letter.lease is not None
            again = now + pause(letter.tries - 1)
            state: letters.State = "pending" if letter.tries < LAST_WORDING else "failed"
            kept = letters.finish(
                tx, letter.id, letter.lease, state=state, at=now, why=letters.UNWRITTEN, not_before=again
            )
            if kept and letter.must and letter.tries == UNWORDED:
                town = self.towns.of(tx)
                notice = Notice("unwritten", _coordinators(town), data={"number": self._number(tx, letter)})
                send(tx, [notice], Act(None, now, town, "clock", self.fresh), cause="letter.unwritten")

    def _number(self, tx: Tx, letter: LetterRow) -> str:
        """The number of its case for all coordinators; of a restricted one it is not theirs."""
        found = cases.refs(tx, EVERYTHING, ids=[letter.case_id], limit=1) if letter.case_id else []
        return next((case.number for case in found if not case.restricted), "")

    def _rendered(self, tx: Tx, bundle: list[LetterRow], adapter: Adapter) -> Rendered:
        """Render what leaves, and remember what each of its buttons says: a tap brings the button's name alone."""
        shown = rendered(tx, self.towns.of(tx), self.clock.now(tx), bundle, adapter)
        for letter in bundle:
            version = shown.versions.get(letter.case_id or 0, letter.case_version)
            letters.showing(tx, letter, shown.says[letter.id], version, bundle[0].not_before)
        self._count_on(tx, bundle[0], [say for letter in bundle for say in shown.says[letter.id]], shown.message)
        return shown

    def _count_on(self, tx: Tx, first: LetterRow, says: list[str], message: Message) -> None:
        """Choices without a button go by their number, which answers what was brought last; an open preview stays open."""
        if first.to_staff is None or len(message.choices) == len(says):
            return
        turn = turns.of(tx, first.to_staff)
        if turn is None or not turn.preview:
            turns.keep(tx, Turn(first.to_staff, first.address or "", self.clock.now(tx), choices=says))

    # -- what became of it

    async def _settled(self, bundle: Sequence[LetterRow], outcome: Delivery, shown: Rendered | None) -> None:
        """Write down what became of it, in one transaction with what has come back while the last one was written."""
        fate = _Fate(bundle, outcome, shown, asyncio.get_running_loop().create_future())
        self._fates.append(fate)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_down())
        await fate.kept

    async def _write_down(self) -> None:
        while self._fates:
            fates, self._fates = self._fates, []
            if len(fates) > 1 and await self._written(fates) is None:
                continue
            for fate in fates:  # one that cannot be written takes no other with it
                broken = await self._written([fate])
                if broken is not None and not fate.kept.done():
                    fate.kept.set_exception(broken)

    async def _written(self, fates: Sequence[_Fate]) -> Exception | None:
        try:
            await self.store.transact(lambda tx: self._finish(tx, fates))
        except Exception as broken:
            return broken
        self._away = False
        for fate in fates:
            if not fate.kept.done():
                fate.kept.set_result(None)
        return None

    def _finish(self, tx: Tx, fates: Sequence[_Fate]) -> None:
        now = self.clock.now(tx)
        left = [(row, fate.outcome.ref) for fate in fates if isinstance(fate.outcome, Sent) for row in fate.bundle]
        letters.sent(tx, left, now)
        for fate in fates:
            self._finish_one(tx, fate.bundle, fate.outcome, fate.shown, now)

    def _finish_one(
        self, tx: Tx, bundle: Sequence[LetterRow], outcome: Delivery, shown: Rendered | None, now: datetime
    ) -> None:
        for letter in bundle:
            assert letter.lease is not None
            match outcome:
                case Sent(ref):
                    if shown is not None and ref and self._kept_true(letter, shown.message):
                        letters.copy(tx, letter.id, live=True, face=shown.face)
                case Later(after):
                    later = now + max(after, AGAIN)
                    paces.hold(tx, letter.surface, letter.address or "", now + min(after, paces.LONGEST))
                    letters.finish(
                        tx, letter.id, letter.lease, state="pending", at=now, why=letters.PACED, not_before=later
                    )
                case Unknown(why):
                    self._unsure(tx, letter, why, now, now + AGAIN)
                case Gone(_, Address() as moved) if letter.address:
                    people.moved(tx, letter.surface, letter.address, moved.conversation)
                    letters.moved(tx, letter.surface, letter.address, moved.conversation)
                    letters.finish(tx, letter.id, letter.lease, state="pending", at=now, not_before=now)
                    letters.readdress(tx, letter.id, moved.conversation)
                case Gone(why) | Refused(why):
                    if isinstance(outcome, Gone) and outcome.closed:
                        self._closed(tx, letter.surface, why, now)
                    if letters.finish(tx, letter.id, letter.lease, state="failed", at=now, why=why):
                        self._elsewhere(tx, letter, outcome, now)

    def _unsure(self, tx: Tx, letter: LetterRow, why: str, now: datetime, again: datetime) -> None:
        """It may have arrived: its adapter says so, has raised, or whoever sent it never came back (house.md, walk 3).

        Under a key that its platform knows it goes again from `again` on, and changes nothing if it had arrived. Else it is unknown
        and goes no second time by itself; what has to arrive goes once more, marked as that. No ladder's clock waits for it.
        """
        assert letter.lease is not None
        if self._keyed(letter, now):
            letters.finish(tx, letter.id, letter.lease, state="pending", at=now, why=why, not_before=again)
        elif letters.finish(tx, letter.id, letter.lease, state="unknown", at=now, why=why) and letter.must:
            letters.write(tx, once_more(tx, letter, self.towns.of(tx), now, self.fresh, max(again, now)))

    def _keyed(self, letter: LetterRow, now: datetime) -> bool:
        """Whether the try in doubt carried a key that its platform still knows: an answer to an event carries none (LINE)."""
        adapter = self.adapters.get(letter.surface)
        if adapter is None or letter.lease_until is None or letter.tries >= TRIES or _reply(letter):
            return False
        since = now - letter.lease_until + timedelta(seconds=LEASE_SECONDS)
        return max(since, timedelta()) < adapter.caps.again  # a clock that was put back makes it no younger than now

    def _kept_true(self, letter: LetterRow, message: Message) -> bool:
        """Whether this copy has buttons that can grow old where it lies."""
        caps = self.adapters[letter.surface].caps
        return bool(message.choices) and letter.case_id is not None and not letter.answer and (caps.edit or caps.follow)

    def _elsewhere(self, tx: Tx, letter: LetterRow, outcome: Delivery, now: datetime) -> None:
        """What could not be brought goes to the next address: a person's own, or, for a room, its members'."""
        town = self.towns.of(tx)
        if letter.answer:
            return
        if isinstance(outcome, Gone) and not outcome.closed:
            self._left(tx, letter, town, now)
        elif letter.to_room:  # the place is there: it is the platform, or this message
            town = replace(town, outside=town.outside - {letter.surface})
        if letter.to_room:
            letters.write(tx, from_room(tx, letter, town, now, self.fresh))
        elif (again := elsewhere(letter, town, now, self.fresh)) is not None:
            letters.write(tx, [again])

    def _left(self, tx: Tx, letter: LetterRow, town: Town, now: datetime) -> None:
        """Leave an address alone that takes nothing, until somebody speaks from there; the coordinators hear of it once."""
        address = letter.address or ""
        if letter.to_room:
            room = people.room(tx, letter.surface, address)
            known = room is not None and room.reachable and people.room_gone(tx, letter.surface, address)
        else:
            person = town.staff.get(letter.to_staff or "")
            known = person is not None and (letter.surface, address) in person.chat
            known = known and people.reachable(tx, letter.surface, address, False)
        if known:
            to = tuple(Reader("staff", one.code) for one in town.coordinators) or (Reader("staff", town.final_owner),)
            whose = {"agency": letter.to_room} if letter.to_room else {"person": letter.to_staff}
            notice = Notice("address_gone", to, data={"platform": letter.surface, **whose}, soft=True)
            send(tx, [notice], Act(None, now, town, "clock", self.fresh), cause="address.gone")

    def _closed(self, tx: Tx, surface: str, why: str, now: datetime) -> None:
        """A whole platform takes nothing: the coordinators hear of it once, of a spent quota once a month."""
        town = self.towns.of(tx)
        today = now.astimezone(town.tz).replace(hour=0, minute=0, second=0, microsecond=0)
        since = today.replace(day=1) if why == QUOTA else today
        if beats.claim(tx, f"closed:{surface}:{why}", since, now):
            notice = Notice("platform_closed", _coordinators(town), data={"platform": surface, "why": why})
            send(tx, [notice], Act(None, now, town, "clock", self.fresh), cause="platform.closed")

    async def recover(self) -> int:
        """What was leased by somebody who never came back may have arrived.

        What is for a platform that is no longer set up is found here too, to go elsewhere; and what a clock that was put back
        would hold up.
        """
        await self._start(dict.fromkeys(self.platforms, 0), BATCH)
        return await self.store.transact(self.settle_lost)

    def settle_lost(self, tx: Tx) -> int:
        """Settle what was leased by somebody who never came back; answer how many letters."""
        now = self.clock.now(tx)
        paces.clock_put_back(tx, now)
        letters.clock_put_back(tx, now)
        lost = letters.lost(tx, now, LEASE_SECONDS, LOST)
        for letter in lost:  # from its own moment on: what left as one message goes as one
            self._unsure(tx, letter, "lease", now, letter.not_before)
        return len(lost)


def _coordinators(town: Town) -> tuple[Reader, ...]:
    return tuple(Reader("staff", one.code) for one in town.coordinators) or (Reader("staff", town.final_owner),)


def rendered(tx: Tx, town: Town, now: datetime, bundle: Sequence[LetterRow], adapter: Adapter) -> Rendered:
    """Render letters of one reader as one message, from the present state."""
    first = bundle[0]
    person = town.staff[first.to_staff or town.final_owner]
    voice = voice_for(town, person.language or town.language, outside=not adapter.inside)
    reading = Reading(tx, town, person, now, voice)
    shown = reading.messages(bundle)
    title = voice.say("bundle.title", count=len(shown))
    message = shown[0] if len(shown) == 1 else together(shown, title)
    seen = (message, *message.cards) if adapter.caps.cards else (message,)
    face = hashlib.sha256("".join(map(repr, seen)).encode()).hexdigest()[:16]
    named = [_named(one, f"{row.token}") for one, row in zip(shown, bundle, strict=True)]
    whole = fit(named[0] if len(named) == 1 else together(named, title), adapter.caps)
    about = {row.case_id for row in bundle if row.case_id and not row.answer}
    known = {id_: case for id_ in about if (case := reading.case(id_))}
    versions = {id_: case.version for id_, case in known.items()}
    handoffs = [known[row.case_id].handoff(row.handoff) for row in bundle if row.handoff and row.case_id in known]
    moving = any(one is not None and not one.ended for one in handoffs)
    says = {row.id: tuple(c.says for c in one.choices) for one, row in zip(shown, bundle, strict=True)}
    return Rendered(whole, says, face, versions, moving)


def _named(message: Message, token: str) -> Message:
    """Name each button by its letter and its place there: what is left of a bundle goes on when a part of it is over."""
    return replace(message, choices=tuple(replace(c, token=f"{token}{i}") for i, c in enumerate(message.choices)))


def _reply(letter: LetterRow) -> str:
    """What lets this try answer the event itself: it is good for one."""
    found: str = letter.doc.get("reply", "") if letter.tries < 2 else ""
    return found


def _conversation(letter: LetterRow) -> Conversation:
    return letter.surface, letter.address or ""


def _awake(tx: Tx, leased: list[LetterRow], town: Town | None, now: datetime) -> list[LetterRow]:
    """Put back what met its reader's quiet hours while it waited for its turn: it leaves as they end. No clock waits for it."""
    if town is None or not town.quiet:
        return leased
    ends = {row.id: quiet_until(now, _quiet(row, town), town) for row in leased}
    letters.put_back(tx, [(row, ends[row.id]) for row in leased if ends[row.id] > now], why="quiet")
    return [row for row in leased if ends[row.id] <= now]


def _quiet(row: LetterRow, town: Town) -> Quiet | None:
    return None if row.urgent or row.answer or row.to_room else town.quiet.get(row.to_staff or "")


def _few(bundle: list[LetterRow]) -> Iterable[list[LetterRow]]:
    """Cut a bundle where one message would be too long, between two cases.

    Each message has a moment of its own: that is what keeps its letters together afterwards.
    """
    if len(bundle) <= TOGETHER:
        return [bundle]
    cases: dict[int, list[LetterRow]] = defaultdict(list)
    for row in bundle:
        cases[row.case_id or row.id].append(row)
    found: list[list[LetterRow]] = [[]]
    for rows in cases.values():
        if found[-1] and len(found[-1]) + len(rows) > TOGETHER:
            found.append([])
        found[-1] += [replace(row, not_before=row.not_before + len(found) * MICRO) for row in rows]
    return found
