"""The harness of the stories: a small town on a real database, its people speaking through the real doors, its clock turned.

await town.says("suzuki", "受付 介護 北部")
await town.later(business_days=3)
assert "期限" in town.last("takahashi").text
"""

import asyncio
import pickle
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from adapters.base import Adapter, Address, Chose, Inbound, Message, Said, Sender
from bot.app import App, make
from bot.clock import Clock
from bot.fresh import counting
from bot.operate import keep_town
from bot.reading import Reading
from bot.receive import Answered
from bot.settings import Settings
from bot.town import Doc, build, read
from bot.voice import voice_for
from storage import cases, journal, letters, people
from storage.seal import Keys
from storage.store import Store
from storage.tx import Tx
from workflow.case import Case
from workflow.people import Town as Place
from workflow.sight import Sight

TOKYO = ZoneInfo("Asia/Tokyo")
#: A Monday morning without holidays near.
START = datetime(2026, 6, 1, 9, 0, tzinfo=TOKYO)
SAMPLE = Path(__file__).parent.parent / "bot" / "demo" / "nagare.toml"


@cache
def _sample() -> bytes:
    return pickle.dumps(read(SAMPLE.read_text(encoding="utf-8")))


def sample() -> Doc:
    """The sample town's document, to be changed at will."""
    made: Doc = pickle.loads(_sample())
    return made


def settled(url: str, doc: Doc | None = None) -> None:
    """Put a town (the sample) into a database: what most stories begin with (`Databases.sqlite(settled)`)."""

    async def whole() -> None:
        store = Store(url, keys=Keys(bytes(32)))
        await store.transact(lambda tx: keep_town(tx, doc or sample()))
        await store.close()

    with ThreadPoolExecutor(1) as thread:  # a test's own loop may be running here
        thread.submit(asyncio.run, whole()).result()


class Town:
    """People who speak, letters they get, and a clock."""

    def __init__(self, app: App, clock: Clock, doc: Doc) -> None:
        self.app = app
        self.clock = clock
        self.place: Place = build(doc, version=0)
        self.seen: dict[str, int] = {}
        self.answers: dict[str, list[Message]] = {}

    @classmethod
    async def found(
        cls,
        url: str,
        var: Path,
        *,
        doc: Doc | None = None,
        at: datetime = START,
        adapters: dict[str, Adapter] | None = None,
    ) -> "Town":
        """A town in a fresh, migrated database: the one that is there already, else this document's, else the sample."""
        settings = Settings(database_url=url, _env_file=None)  # type: ignore[call-arg]
        clock = Clock(frozen=at)
        app = make(settings, clock=clock, fresh=counting(1_000), adapters=adapters, var=var)
        app.receiver.flood = 0
        kept = doc or sample()
        if doc or not await app.store.read(people.town_version):
            await app.store.transact(lambda tx: keep_town(tx, kept))
        return cls(app, clock, kept)

    async def close(self) -> None:
        await self.app.close()

    # -- speaking

    async def says(self, who: str, words: str, *, room: str | None = None, surface: str = "web") -> Message:
        """Say something; the first message back. A preview is sent on by itself, as a person would."""
        answered = await self.tries(who, words, room=room, surface=surface)
        message = answered.messages[0] if answered.messages else Message("")
        if any(c.says == "送る" for c in message.choices):
            answered = await self.tries(who, "送る", room=room, surface=surface)
            message = answered.messages[0]
        assert answered.refused is None, f"{who} 「{words}」 → {answered.refused}: {message.text}"
        return message

    async def tries(
        self, who: str, words: str, *, room: str | None = None, surface: str = "web", id: str = ""
    ) -> Answered:
        """Say something and look at exactly what came back."""
        event = Inbound(
            id=id or secrets.token_hex(8),
            sender=Sender(surface, who),
            address=Address(surface, room or who),
            what=Said(words),
        )
        return await self.app.receiver.receive(event, room=room)

    async def refused(self, who: str, words: str, name: str) -> Message:
        """Say something that is refused by this name, in words."""
        answered = await self.tries(who, words)
        if answered.refused is None and any(c.says == "送る" for c in answered.messages[0].choices):
            answered = await self.tries(who, "送る")
        assert answered.refused == name, f"「{words}」: {answered.refused}, not {name}: {answered.messages[0].text}"
        return answered.messages[0]

    async def presses(self, who: str, label: str, *, room: str | None = None) -> Message:
        """Press the newest button of this label among what this person reads."""
        for letter, card in reversed(await self.reads(who)):
            for choice in card.choices:
                if choice.label == label:
                    answered = await self.press(who, letter.token or "", choice.says, room=room)
                    return answered.messages[0] if answered.messages else Message("")
        raise AssertionError(f"{who} sees no button 「{label}」")

    async def press(self, who: str, token: str, says: str, *, room: str | None = None, id: str = "") -> Answered:
        event = Inbound(
            id=id or secrets.token_hex(8),
            sender=Sender("web", who),
            address=Address("web", room or who),
            what=Chose(token, says),
        )
        return await self.app.receiver.receive(event, room=room)

    # -- reading

    async def reads(self, who: str, after: int = 0) -> list[tuple[letters.LetterRow, Any]]:
        """Everything this person may read, as it is true now: (letter, card)."""
        me = self.place.staff[who]

        def work(tx: Tx) -> list[tuple[letters.LetterRow, Any]]:
            town = self.app.towns.of(tx)
            rows = letters.for_person(tx, who, me.agencies, after, 500, surface="web")
            reading = Reading(tx, town, me, self.clock.now(tx), voice_for(town, me.language or town.language))
            return [(row, reading.card(row)) for row in rows]

        return await self.app.store.read(work)

    async def news(self, who: str) -> list[Message]:
        """What others' words and the clock have told this person since the last look."""
        found = await self.reads(who, self.seen.get(who, 0))
        if found:
            self.seen[who] = found[-1][0].id
        return [card.message() for row, card in found if not row.answer]

    async def last(self, who: str, kind: str | None = None) -> Message:
        """The newest thing told to this person (of one kind)."""
        found = [card for row, card in await self.reads(who) if not row.answer and (kind is None or row.kind == kind)]
        assert found, f"{who} has been told nothing{f' of {kind}' if kind else ''}"
        return found[-1].message()

    async def kinds(self, who: str) -> list[str]:
        """The kinds of all notices that reached this person, oldest first; rings as ring:wait."""
        return [
            f"ring:{row.doc['what']}" if row.kind == "ring" else row.kind
            for row, _ in await self.reads(who)
            if not row.answer
        ]

    async def case(self, number: str) -> Case:
        found = await self.app.store.read(lambda tx: cases.load(tx, number, lock=False))
        assert found is not None
        return found

    async def lines(self, number: str) -> list[str]:
        """The kinds of a case's journal."""
        case = await self.case(number)
        return [line.kind for line in await self.app.store.read(lambda tx: journal.read(tx, case.id))]

    def sight(self, who: str) -> Sight:
        """Whose eyes a list is for."""
        return Sight(self.place.staff[who], self.place, self.now)

    # -- time

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def later(
        self, *, business_days: int = 0, minutes: float = 0, hours: float = 0, days: float = 0, until: datetime | None = None,
        told: Callable[[datetime, int], None] | None = None,
    ) -> int:  # fmt: skip
        """Turn the clock, ringing every due instant on the way; answer how many rang."""
        at = until or self.now + timedelta(minutes=minutes, hours=hours, days=days)
        if business_days:
            at = self.place.body.hours.add_days(at, business_days)
        return await self.app.turner.to(at, told)

    # -- short cuts for beginnings

    async def intake(self, who: str = "suzuki", concerns: str = "介護 困窮", rest: str = "") -> str:
        """Take a consultation in; its number."""
        answered = await self.tries(who, f"受付 {concerns} {rest}".strip())
        assert answered.refused is None and answered.number, answered
        return answered.number

    async def consented(self, who: str = "suzuki", concerns: str = "介護 困窮") -> str:
        """A consultation with screening and consent, ready for offers."""
        number = await self.intake(who, concerns)
        await self.says(who, f"見立て {number} 続ける")
        await self.says(who, f"同意 {number} あり")
        return number

    async def accepted(
        self, duty: str = "家計相談", agency: str = "ともしび", holder: str = "ishii", who: str = "suzuki"
    ) -> str:
        """A consultation with one accepted role."""
        number = await self.consented(who)
        await self.says(who, f"依頼 {number} {duty} {agency}")
        await self.says(holder, f"引受 {number}")
        return number

    async def supported(self, **given: str) -> str:
        """A consultation in 支援 with one active role."""
        number = await self.accepted(**given)
        holder = given.get("holder", "ishii")
        await self.says(holder, f"つながった {number}")
        lead = given.get("who", "suzuki")
        for concern in [i.concern for i in (await self.case(number)).issues if i.status == "open"]:
            await self.says(lead, f"困りごと {number} {concern} 資源なし")
        await self.says(lead, f"移す {number} ほぐし")
        await self.says(lead, f"会議なし {number}")
        await self.says(lead, f"移す {number} 役割分担")
        await self.says(lead, f"移す {number} 支援")
        return number
