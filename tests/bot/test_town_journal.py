"""What changes the town itself is written down as well: who did it, where, and about whom; in codes, never an account or a word."""

import dataclasses
from typing import Any

import httpx2
import pytest

from bot import sign
from bot.audit import breaches
from bot.clock import real
from bot.operate import keep_town
from bot.pages import routes
from bot.pages.frame import COOKIE
from storage import journal
from storage.journal import Line
from tests.town import Town, sample


async def lines(town: Town) -> list[Line]:
    found = await town.app.store.read(lambda tx: journal.tail(tx, 0, 5_000))
    return [line for line in found if line.case_id is None]


async def told(town: Town) -> list[tuple[str, str | None, str, dict[str, Any]]]:
    """Every line but the first town's, and the chain is whole."""
    assert not [b for b in await town.app.store.read(lambda tx: list(breaches(tx, town.now))) if b.startswith("breach")]
    return [(line.kind, line.actor, line.surface, dict(line.data)) for line in (await lines(town))[1:]]


async def test_the_town_file_is_a_line(town: Town) -> None:
    (first,) = await lines(town)
    assert (first.kind, first.actor, first.surface, first.data["version"]) == ("town.load", None, "console", 1)
    await town.app.store.transact(lambda tx: keep_town(tx, sample(), town.now))
    ((kind, actor, surface, data),) = await told(town)
    assert (kind, actor, surface, data["version"]) == ("town.load", None, "console", 2)


async def test_who_is_away_and_who_is_back_are_lines(town: Town) -> None:
    await town.says("fujiwara", "不在 鈴木 明日 6/5")
    transport = httpx2.ASGITransport(app=routes(town.app), client=("127.0.0.1", 4711), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        client.cookies.set(COOKIE, await town.app.store.transact(lambda tx: sign.begin(tx, "suzuki", real())))
        away = (await client.get("/town")).text.split('name="id" value="')[1].split('"')[0]
        form = {"csrftoken": client.cookies.get("csrftoken", ""), "id": away}
        assert (await client.post("/town/back", data=form)).status_code == 303
    await town.says("yamamoto", "休み")
    found = await told(town)
    assert [one[:3] for one in found] == [
        ("town.absence", "fujiwara", "web"), ("town.back", "suzuki", "web"), ("town.absence", "yamamoto", "web"),
    ]  # fmt: skip
    assert found[0][3] == {"person": "suzuki", "start": "2026-06-02", "end": "2026-06-05", "deputy": "tanaka"}


async def test_an_invitation_and_the_account_it_links_are_lines(town: Town) -> None:
    code = await town.app.store.transact(lambda tx: sign.invite(tx, "mori", "paper", "takahashi", town.now, "web"))
    answered = await town.tries("U-4711", f"登録 {code}", surface="toy")
    assert answered.refused is None
    assert await told(town) == [
        ("town.invite", "takahashi", "web", {"person": "mori", "kind": "paper"}),
        ("town.link", "mori", "toy", {"person": "mori", "platform": "toy", "holds": True}),
    ]
    written = " ".join(str(dataclasses.asdict(line)) for line in await lines(town))
    assert code not in written and code.replace("-", "") not in written and "U-4711" not in written


async def test_what_is_refused_is_no_line(town: Town) -> None:
    await town.refused("sato", "不在 6/12 6/10", "FirstThenLastDay")
    await town.refused("takahashi", "登録 000-000-000", "BadInvite")
    assert await told(town) == []


@pytest.mark.parametrize("asked", ["", "99999"])
async def test_an_absence_that_is_none_is_not_taken_back(lite: Town, asked: str) -> None:
    transport = httpx2.ASGITransport(app=routes(lite.app), client=("127.0.0.1", 4711), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        client.cookies.set(COOKIE, await lite.app.store.transact(lambda tx: sign.begin(tx, "suzuki", real())))
        await client.get("/town")
        form = {"csrftoken": client.cookies.get("csrftoken", ""), "id": asked}
        assert (await client.post("/town/back", data=form)).status_code == 403
    assert await told(lite) == []
