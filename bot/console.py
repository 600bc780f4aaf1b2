"""The console: `tsunagi say` and `tsunagi chat`, the same door as every platform."""

import asyncio
import getpass
import json
import secrets
import sys

from adapters.base import Address, Inbound, Message, Said, Sender
from adapters.console import as_json as message_json
from adapters.console import lines
from bot import sign
from bot.app import App, make
from bot.looks import named
from bot.operate import at_head, person
from bot.reading import Reading
from bot.receive import Answered
from bot.settings import Settings
from bot.voice import voice_for
from storage import letters, looks, people, reads
from storage.looks import Look
from storage.tx import Tx

#: Where `say` remembers how far somebody has read on the console.
ROOM = "console"


class NotSignedIn(Exception):
    """The code was not right, used already, or too old: ask for another with `tsunagi invite`."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def say(settings: Settings, who: str, text: str, *, as_json: bool) -> str:
    """Say one thing and answer what reached the speaker because of it; without words, what came since the last time."""
    at_head(settings)

    async def whole() -> str:
        app = make(settings)
        try:
            staff = await _signed_in(app, who)
            answered, messages = await exchange(app, staff, text)
            return _as_json(answered, messages) if as_json else "\n\n".join(map(lines, messages))
        finally:
            await app.close()

    return asyncio.run(whole())


async def _signed_in(app: App, who: str) -> str:
    """Outside a demonstration the console asks once for the code of `tsunagi invite` and then knows this account."""
    staff, demo, known = await app.store.read(
        lambda tx: (person(app.towns.of(tx), who), people.demo_clock(tx), people.linked(tx, "console", _account(who)))
    )
    if demo is not None or known == staff:
        return staff
    code = getpass.getpass("合言葉: ") if sys.stdin.isatty() else sys.stdin.readline().strip()

    def link(tx: Tx) -> bool:
        now = app.clock.now(tx)
        found = sign.use(tx, code, now, "code", "paper")
        return found is not None and found.staff == staff and sign.link(tx, found, False, "console", _account(who), now)

    if not await app.store.transact(link):
        raise NotSignedIn
    return staff


def _account(who: str) -> str:
    return f"{getpass.getuser()}:{who}"


async def exchange(app: App, staff: str, text: str) -> tuple[Answered, list[Message]]:
    """Send words through the door and read everything that reached the speaker by them."""
    answered = Answered(None)
    if text.strip():
        event = Inbound(
            id=secrets.token_hex(12),
            sender=Sender("console", staff),
            address=Address("console", staff),
            what=Said(text),
        )
        answered = await app.receiver.receive(event)
    return answered, await app.store.transact(lambda tx: _reached(tx, app, staff, answered))


def _reached(tx: Tx, app: App, staff: str, answered: Answered) -> list[Message]:
    town, now = app.towns.of(tx), app.clock.now(tx)
    me = town.staff[staff]
    since = reads.of(tx, staff).get(ROOM, 0)
    found = letters.for_person(tx, staff, me.agencies, since, 500, surface="web")
    if answered.inbox is not None:
        found = [row for row in found if row.inbox_id == answered.inbox]
    else:
        found = [row for row in found if not row.answer]
        if found:
            reads.seen(tx, staff, ROOM, found[-1].id)
    messages = Reading(tx, town, me, now, voice_for(town, me.language or town.language)).messages(found)
    if answered.inbox is None and (shown := named([(one.title, one.text, one.facts) for one in messages])):
        look = Look(now, staff, "view", "console:news", tuple(shown))
        looks.write(tx, now.astimezone(town.tz).date(), [look], lock=True)
    return messages


def _as_json(answered: Answered, messages: list[Message]) -> str:
    return json.dumps(
        {"case": answered.number, "refused": answered.refused, "answers": [message_json(m) for m in messages]},
        ensure_ascii=False,
    )


def chat(settings: Settings, who: str) -> None:
    """Talk until end of input; a bare digit presses a button."""
    at_head(settings)

    async def whole() -> None:
        app = make(settings)
        try:
            staff = await _signed_in(app, who)
            _answered, messages = await exchange(app, staff, "")
            for message in messages[-5:]:
                print(lines(message), end="\n\n")
            while True:
                try:
                    text = await asyncio.to_thread(input, "> ")
                except EOFError:
                    return
                for message in (await exchange(app, staff, text))[1]:
                    print(lines(message), end="\n\n")
        finally:
            await app.close()

    asyncio.run(whole())
