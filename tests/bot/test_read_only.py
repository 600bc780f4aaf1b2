"""A disk that becomes read-only under a running `serve`: who looks at a case or writes gets a sentence, nothing half is kept.

No case is shown whose look cannot be kept; what shows none is read on.

Without the right to mount anything the database itself is told to take no changes: the errors are those of such a disk.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from bot import sign
from bot.app import once
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from storage import journal, promises
from storage.trouble import DatabaseReadOnly
from tests.town import Town


async def becomes(town: Town, *, read_only: bool) -> None:
    """What the kernel does to a broken disk: whoever writes may not, through this connection or the next."""
    store = town.app.store
    if store.dialect == "sqlite":
        (event.listen if read_only else event.remove)(store.engines[0], "connect", refuse_writing)
        said = f"PRAGMA query_only = {'ON' if read_only else 'OFF'}"
    else:
        said = f"SET SESSION CHARACTERISTICS AS TRANSACTION READ {'ONLY' if read_only else 'WRITE'}"
    with suppress(DatabaseReadOnly):  # then the connection is dropped, and the next one may write again
        await store.transact(lambda tx: tx.connection.exec_driver_sql(said))


def refuse_writing(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


@pytest.fixture
async def pages(town: Town) -> AsyncIterator[Any]:
    transport = httpx2.ASGITransport(app=routes(town.app), client=("127.0.0.1", 4711), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        client.cookies.set(COOKIE, await town.app.store.transact(lambda tx: sign.begin(tx, "suzuki", real())))
        await client.get("/help")
        yield client


async def says(pages: Any, words: str) -> Any:
    return await pages.post(
        "/chat/say", data={"csrftoken": pages.cookies.get("csrftoken"), "words": words, "room": "me"}
    )


async def test_a_healthy_database_is_ready(pages: Any) -> None:
    assert (await pages.get("/readyz")).json()["checks"]["database"] == "ok"


async def test_cases_and_words_get_a_sentence_and_the_rest_is_read_on(town: Town, pages: Any) -> None:
    number = await town.consented("suzuki")
    before, last = await town.case(number), await town.app.store.read(journal.newest)
    await becomes(town, read_only=True)
    said = await says(pages, f"終結 {number} 転出")
    assert said.status_code == 503 and "書きこめません" in said.text and "119" in said.text
    with pytest.raises(DatabaseReadOnly):
        await town.tries("suzuki", "受付 介護")
    for path in ("/board", f"/cases/{number}", "/today"):
        shown = await pages.get(path)
        assert (shown.status_code, number in shown.text, "119" in shown.text) == (503, False, True), path
    for path in ("/town", "/help"):
        assert (await pages.get(path)).status_code == 200, path
    assert (await pages.get("/readyz")).json()["checks"]["database"] != "ok" and (
        await pages.get("/readyz")
    ).status_code == 503
    assert (await pages.get("/healthz")).status_code == 200
    assert (await town.case(number), await town.app.store.read(journal.newest)) == (before, last)
    await becomes(town, read_only=False)
    assert (await says(pages, "今日")).status_code == 303
    assert (await town.says("suzuki", f"急ぎ {number}")).text


async def test_the_loop_says_once_what_is_wrong_and_rings_when_it_works_again(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """One sentence, no traceback; the timers are not to blame and none of them is set aside."""
    number = await town.intake("suzuki")
    town.clock.frozen = town.place.body.hours.add_days(town.now, 2)
    await becomes(town, read_only=True)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert await once(town.app) == 0
    assert [(r.getMessage(), r.exc_info) for r in caplog.records] == [
        ("The database takes no changes: it is read-only.", None)
    ]
    assert not await town.app.store.read(promises.unringable_timers)
    await becomes(town, read_only=False)
    assert await once(town.app) > 0 and "wait.rung" in await town.lines(number)
