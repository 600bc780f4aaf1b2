"""The door for platforms that post: it says yes to what is kept, and never before."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from adapters.base import Ack, Address, Hand, Hook, Inbound, Said, Sender
from bot.pages import routes
from tests.databases import Databases
from tests.town import Town, settled
from tests.toy import Toy


@dataclass
class Post(Toy):
    """Posts whatever its body says; it breaks over an empty one."""

    name: str = "post"

    async def take(self, hook: Hook, hand: Hand) -> Ack:
        if not hook.body:
            raise LookupError("nothing to read")
        await hand(Inbound(hook.body.decode(), Sender("post", "me"), Address("post", "me"), Said("ヘルプ")))
        return Ack()

    async def heed(self, event: Inbound) -> None:
        """It waits for nothing."""


@pytest.fixture
async def town(databases: Databases, tmp_path: Path) -> AsyncIterator[Town]:
    url = databases.sqlite(settled)
    found = await Town.found(url, tmp_path, adapters={"post": Post(), "toy": Toy()})
    yield found
    await found.close()
    databases.drop(url)


@pytest.fixture
async def door(town: Town) -> AsyncIterator[Any]:
    transport = httpx2.ASGITransport(app=routes(town.app))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


async def test_a_hook_gets_a_bare_answer(door: Any) -> None:
    answer = await door.post("/hooks/post", content=b"1")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/hooks/nobody", 404),
        ("POST", "/hooks/toy", 404),
        ("POST", "/hooks/", 404),
        ("GET", "/hooks/post", 405),
    ],
)
async def test_other_doors_are_closed(door: Any, method: str, path: str, status: int) -> None:
    assert (await door.request(method, path)).status_code == status


async def test_an_adapter_that_breaks_says_no_and_is_logged(door: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert (await door.post("/hooks/post", content=b"")).status_code == 500
    assert "a hook broke: post" in caplog.text


async def test_more_than_a_form_may_hold_is_not_read(door: Any) -> None:
    assert (await door.post("/hooks/post", content=b"1" * 1_000_001)).status_code == 413


async def test_while_nothing_can_be_kept_the_answer_is_come_again(town: Town, door: Any) -> None:
    def forbid(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA query_only=ON")

    engine = town.app.store.engines[0]
    event.listen(engine, "connect", forbid)
    await town.app.store.close()
    refused = await door.post("/hooks/post", content=b"2")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    event.remove(engine, "connect", forbid)
    await town.app.store.close()
    assert (await door.post("/hooks/post", content=b"2")).status_code == 200
