"""`tsunagi bench --name inbound`: hooks of three platforms at an even pace, against two `serve` processes on one PostgreSQL.

People, signing, the platforms' own side and the clock that measures share the machine with the servers.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bot.app import App
from bot.bench.figure import Figure, as_known, doing
from bot.bench.ground import Ground, app_at
from bot.bench.processes import SECRET, Abroad, Serving, begun, cpu, ended, outside, ready
from bot.bench.town import EVENTS, PEOPLE, TEAM, link, people_at_work, peopled
from bot.clock import Clock, real
from storage import inbox, letters
from storage.tx import Tx

PROCESSES: Final = 2
RATE: Final = 200  #: events a second that shall hold
STEP: Final = 50
PROMISED: Final = 0.2  #: seconds to the acknowledgement, of 99 in a hundred
#: What is said, in turn: half are deeds on one's own case.
WORDS: Final = ("変わりなし {number}", "今日", "変わりなし {number}", "つぎへ")


def inbound(place: Path, servers: dict[str, str], quick: bool, minutes: float) -> Iterator[Figure]:
    """Measure at RATE for `minutes`, then in steps until it no longer holds."""
    if "postgresql" not in servers:
        yield Figure("inbound", "postgresql", note="not measured: no PostgreSQL (TSUNAGI_TEST_DATABASE_URL)")
        return
    seconds, step = (3.0, 2.0) if quick else (minutes * 60, 10.0)
    yield from as_known(_measured(Ground("postgresql", place, servers["postgresql"]), seconds, step))


async def _measured(ground: Ground, seconds: float, step: float) -> AsyncGenerator[Figure]:
    async with ground, AsyncExitStack() as stack:
        doing(f"inbound: {PROCESSES} serve processes, hooks at {RATE}/s for {seconds:.0f} s, then in steps")
        url = await ground.migrated()
        app = await stack.enter_async_context(app_at(url, ground.place / "var", 1_000, clock=Clock()))
        numbers = await _town(app)
        abroad = await stack.enter_async_context(outside())
        hooks = [begun("serve", url, ground.place, abroad.environment) for _ in range(PROCESSES)]
        stack.push_async_callback(asyncio.to_thread, ended, *hooks)
        for one in hooks:
            await asyncio.to_thread(ready, one.port)
        # Connections are let go of before the servers do it: no post falls into the gap.
        lines = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=lines))
        crowd = _Crowd(client, hooks, numbers)
        await crowd.speaks(RATE / 4, 2)  # prepared statements, imports
        async for figure in _rounds(app, crowd, abroad, seconds, step):
            yield figure


async def _town(app: App) -> list[str]:
    """People of one agency, each with a case and an account on each platform."""
    codes = await peopled(app)
    numbers = [number for _, number in await people_at_work(app, PEOPLE, codes)]
    await app.store.transact(lambda tx: link(tx, codes, "slack", "telegram", "line"))
    await app.store.transact(
        lambda tx: tx.connection.exec_driver_sql("ANALYZE")
    )  # a town's own has had the time for it
    return numbers


async def _rounds(app: App, crowd: "_Crowd", abroad: Abroad, seconds: float, step: float) -> AsyncIterator[Figure]:
    await _quiet(app)
    told, used = len(abroad.told), cpu(crowd.serving)
    heard = await crowd.speaks(RATE, seconds)
    used = (cpu(crowd.serving) - used) / max(1, heard.sent)
    waiting = (await app.store.read(letters.waiting))[0]
    lost = len(heard.acknowledged - await app.store.read(_kept))
    parked = await app.store.read(inbox.count_parked)
    note = (
        f"{heard.sent} hooks of Slack, Telegram and LINE at {RATE}/s to {PROCESSES} serve processes: "
        f"{heard.not_acknowledged}, {lost} acknowledged and lost, {parked} parked; "
        f"meanwhile {len(abroad.told) - told} answers left, {waiting} waited"
    )
    yield Figure(
        "inbound",
        "postgresql",
        None,
        heard.per_s,
        None,
        None,
        heard.ms(0.5),
        heard.ms(0.99),
        round(used * 1000, 2),
        note,
    )
    first = RATE + STEP if heard.holds else STEP
    held = heard if heard.holds else None
    for rate in itertools.count(first, STEP):
        await _quiet(app)
        now = await crowd.speaks(rate, step)
        if not now.holds:
            break
        held = now
    found = f"holds at {held.rate:.0f}/s (p99 {held.ms(0.99):.0f} ms); " if held else ""
    broke = f"{found}at {now.rate:.0f}/s p99 is {now.ms(0.99):.0f} ms, {now.not_acknowledged} of {now.sent}"
    yield Figure(
        "inbound",
        "postgresql",
        engine_per_s=held.per_s if held else 0.0,
        note=f"saturates: {broke}; steps of {step:.0f} s",
    )


async def _quiet(app: App) -> None:
    """Until what is to be answered has left, or two minutes are over."""
    for _ in range(240):
        if not (await app.store.read(letters.waiting))[0]:
            return
        await asyncio.sleep(0.5)


def _kept(tx: Tx) -> set[str]:
    """The ids of the events of the three platforms that are in the inbox."""
    found = tx.connection.exec_driver_sql("SELECT event_id FROM inbox WHERE platform IN ('slack', 'telegram', 'line')")
    return set(found.scalars())


# -- the people, and how their platforms post what they say


@dataclass(slots=True)
class _Heard:
    """What became of a round."""

    rate: float
    seconds: float = 0.0
    sent: int = 0
    acknowledged: set[str] = field(default_factory=set)  #: ids of events
    refused: Counter[str] = field(default_factory=Counter)  #: what was said instead of yes
    waits: list[float] = field(default_factory=list)  #: seconds from when an event was due to its acknowledgement

    @property
    def not_acknowledged(self) -> str:
        why = ", ".join(f"{count} × {said}" for said, count in sorted(self.refused.items()))
        return f"{self.refused.total()} not acknowledged{f' ({why})' if why else ''}"

    @property
    def holds(self) -> bool:
        return not self.refused and bool(self.waits) and self.at(0.99) <= PROMISED

    @property
    def per_s(self) -> float:
        return round(len(self.waits) / self.seconds, 1)

    def at(self, share: float) -> float:
        ranked = sorted(self.waits)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("inf")

    def ms(self, share: float) -> float:
        return round(self.at(share) * 1000, 1)


class _Crowd:
    """Speaks at an even pace, whether or not it is answered: waits are counted from when an event was due."""

    def __init__(self, client: aiohttp.ClientSession, serving: Sequence[Serving], numbers: Sequence[str]) -> None:
        self._client, self.serving, self._numbers = client, serving, numbers
        self._said = itertools.count()

    async def speaks(self, rate: float, seconds: float) -> _Heard:
        heard = _Heard(rate)
        posts: set[asyncio.Task[None]] = set()
        began = time.perf_counter()
        for i in range(int(rate * seconds)):
            due = began + i / rate
            if (rest := due - time.perf_counter()) > 0:
                await asyncio.sleep(rest)
            posts.add(post := asyncio.create_task(self._post(heard, due)))
            post.add_done_callback(posts.discard)
        await asyncio.gather(*posts)
        heard.seconds = time.perf_counter() - began
        return heard

    async def _post(self, heard: _Heard, due: float) -> None:
        n = next(self._said)
        port = self.serving[(n + n // 12) % len(self.serving)].port
        who = (n // 3 + 67 * (n % 3)) % len(self._numbers)
        name, named, made = POSTS[n % 3]
        event = next(EVENTS)
        body, headers = made(who, WORDS[n % 4].format(number=self._numbers[who]), event)
        heard.sent += 1
        try:
            there = f"http://127.0.0.1:{port}/hooks/{name}"
            async with self._client.post(
                there, data=body, headers={"content-type": "application/json", **headers}
            ) as answer:
                await answer.read()
                if answer.status == 200:
                    heard.waits.append(time.perf_counter() - due)
                    heard.acknowledged.add(named.format(event))
                else:
                    heard.refused[f"{answer.status}"] += 1
        except (aiohttp.ClientError, TimeoutError) as broken:
            heard.refused[type(broken).__name__] += 1


Posted = tuple[bytes, dict[str, str]]


def _slack(who: int, words: str, n: int) -> Posted:
    event = {
        "type": "message",
        "channel": f"D{who:03d}",
        "channel_type": "im",
        "user": f"U{who:03d}",
        "text": words,
        "ts": f"{n}.1",
    }
    body = _json({"type": "event_callback", "team_id": TEAM, "event_id": f"Ev{n}", "event": event})
    stamp = f"{real().timestamp():.0f}"
    signed = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return body, {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={signed}"}


def _telegram(who: int, words: str, n: int) -> Posted:
    me = {"id": 7000 + who, "is_bot": False, "first_name": "p"}
    chat = {"id": 7000 + who, "type": "private"}
    message = {"message_id": n, "date": int(real().timestamp()), "chat": chat, "from": me, "text": words}
    return _json({"update_id": n, "message": message}), {"x-telegram-bot-api-secret-token": SECRET}


def _line(who: int, words: str, n: int) -> Posted:
    event = {
        "type": "message", "mode": "active", "timestamp": int(real().timestamp() * 1000), "webhookEventId": f"01BENCH{n}",
        "source": {"type": "user", "userId": f"Uline{who:03d}"}, "deliveryContext": {"isRedelivery": False},
        "replyToken": f"reply{n}", "message": {"id": f"{n}", "type": "text", "text": words},
    }  # fmt: skip
    body = _json({"destination": "Ubench", "events": [event]})
    return body, {
        "x-line-signature": base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    }


def _json(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()


#: Name, the ids of its events in the inbox, its hook.
POSTS: Final[tuple[tuple[str, str, Callable[[int, str, int], Posted]], ...]] = (
    ("slack", "Ev{}", _slack), ("telegram", "1:{}", _telegram), ("line", "01BENCH{}", _line),
)  # fmt: skip
