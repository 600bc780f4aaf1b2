"""Telegram once more, against a Bot API that others wrote (telemelya): a code, a card, a tap, the card as it ends."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiohttp import web

from adapters.base import Address, Choice, Chose, Hook, Inbound, Linking, Message, Parcel, Ref, Said, Sent
from adapters.telegram import Telegram

for needed in ("telemelya", "fakeredis", "moto"):
    pytest.importorskip(needed, reason="pip install telemelya fakeredis[lua] moto[server,s3]")

TOKEN, SECRET, SUZUKI = "777:AAE-town", "a-secret_of-the-town", 4001
OFFER = Message("就労相談の依頼です。 <385-267-52>", "返事", (), (Choice("引き受ける", "引受", "primary", "k" * 22),))

#: telemelya keeps its state in a Redis and its files in an S3; both run in its own process.
SERVER = """
import os, sys, threading
port, redis, s3 = map(int, sys.argv[1:])
os.environ.update(REDIS_URL=f"redis://127.0.0.1:{redis}/0", MINIO_ENDPOINT=f"127.0.0.1:{s3}", NO_PROXY="127.0.0.1")
from fakeredis import TcpFakeServer
from moto.server import ThreadedMotoServer
threading.Thread(target=TcpFakeServer(("127.0.0.1", redis)).serve_forever, daemon=True).start()
ThreadedMotoServer("127.0.0.1", s3, verbose=False).start()
import uvicorn
from telemelya.server.app import app
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
"""


@pytest.fixture(scope="module")
def telemelya() -> Iterator[str]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [str(s.getsockname()[1]) for s in taken]
    for s in taken:
        s.close()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", SERVER, *ports], **quiet)
    yield f"http://127.0.0.1:{ports[0]}"
    process.kill()
    process.wait()


async def ready(line: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await line.get("/")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)


async def test_a_code_a_card_a_tap_and_the_card_as_it_ends(telemelya: str) -> None:
    bot, kept = Telegram(TOKEN, SECRET, telemelya), []

    async def hand(event: Inbound) -> None:
        kept.append(event)

    async def door(request: web.Request) -> web.Response:
        # telemelya has no secret: the header that Telegram would send is put on here
        ack = await bot.take(Hook({"x-telegram-bot-api-secret-token": SECRET}, await request.read()), hand)
        return web.Response(status=ack.status)

    app = web.Application()
    app.router.add_post("/hooks/telegram", door)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with httpx.AsyncClient(base_url=telemelya, trust_env=False, headers={"Authorization": "Bearer x"}) as line:
        await ready(line)

        async def happens(**what: Any) -> None:
            asked = {"chat_id": SUZUKI, **what}
            (await line.post("/api/v1/test/send_update", params={"bot_token": TOKEN}, json=asked)).raise_for_status()

        assert isinstance(await bot.who(), Sent)
        assert isinstance(await bot.post_to("http://{}:{}/hooks/telegram".format(*runner.addresses[0][:2])), Sent)
        await happens(text="/start LINKCODE9")
        await happens(text="今日")
        card = await bot.send(Parcel(Address("telegram", str(SUZUKI)), OFFER, "", datetime(2026, 6, 1, tzinfo=UTC)))
        assert isinstance(card, Sent)
        await happens(callback_data="k" * 22, callback_message_id=int(card.ref.partition(":")[2]))
        await bot.heed(kept[-1])
        assert await bot.edit(Ref(kept[-1].address, card.ref), Message("みどり さんが引き受けました。")) == card
        seen = (await line.get("/api/v1/test/responses", params={"bot_token": TOKEN})).json()["responses"]
    await bot.close()
    await runner.cleanup()

    assert [e.what for e in kept] == [Linking("LINKCODE9"), Said("今日"), Chose("k" * 22)]
    assert {(e.sender.account, e.address.conversation, e.private) for e in kept} == {(str(SUZUKI), str(SUZUKI), True)}
    assert [s["method"] for s in seen] == ["sendMessage", "answerCallbackQuery", "editMessageText"]
    assert seen[0]["text"] == "<b>返事</b>\n就労相談の依頼です。 &lt;385-267-52&gt;"
    assert seen[2]["text"] == "みどり さんが引き受けました。" and seen[2]["reply_markup"] == {"inline_keyboard": []}
