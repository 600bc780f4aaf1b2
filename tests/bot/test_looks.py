"""Every look is kept: before a page is sent, in a chain that shows what was changed; who saw what; and what got out."""

import asyncio
import csv
import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot import anchors, sign
from bot.anchors import anchor
from bot.app import make
from bot.audit import audit, audit_all, breaches
from bot.clock import Clock, real
from bot.looks import keep
from bot.operate import journal as exported
from bot.operate import verify
from bot.pages import routes
from bot.pages.frame import COOKIE
from bot.settings import Settings
from storage import breaches as register
from storage import findings, journal, looks, people
from storage.looks import End, Look
from storage.tx import Tx
from tests.databases import Databases
from tests.town import START, Town, settled
from tests.toy import Toy
from workflow import breach as law

NUMBER = re.compile(r"(?<![\d-])\d{3}-\d{3}-\d{2}(?![\d-])")
DAY = START.date()


class Browser:
    """Somebody's browser."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def get(self, url: str, **headers: str) -> httpx2.Response:
        return await self.client.get(url, headers=headers)

    async def post(self, url: str, **fields: str) -> httpx2.Response:
        return await self.client.post(url, data={"csrftoken": self.client.cookies.get("csrftoken", ""), **fields})


@pytest.fixture
async def served(town: Town) -> AsyncIterator[Any]:
    """The application over the sample town on each database, and a maker of signed-in browsers."""
    app = routes(town.app)
    opened: list[httpx2.AsyncClient] = []

    async def browser(who: str) -> Browser:
        transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 4711), raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
        opened.append(client)
        client.cookies.set(COOKIE, await town.app.store.transact(lambda tx: sign.begin(tx, who, real())))
        await client.get("/help")
        return Browser(client)

    yield browser
    for client in opened:
        await client.aclose()


async def kept(town: Town) -> list[tuple[str | None, str, str, list[str]]]:
    """Every look: who, what, where, of which cases."""
    rows = await sql(town, "SELECT staff, kind, page, numbers FROM looks ORDER BY day, seq")
    return [(staff, kind, page, re.findall(NUMBER, numbers)) for staff, kind, page, numbers in rows]


async def sql(town: Town, words: str) -> list[Any]:
    """What somebody does who has the database in their hands."""

    def work(tx: Tx) -> list[Any]:
        done = tx.connection.exec_driver_sql(words)
        return list(done) if done.returns_rows else []

    return await town.app.store.transact(work)


async def unlocked(town: Town) -> None:
    """… and takes off the lock first."""
    if town.app.store.dialect == "sqlite":
        await sql(town, "DROP TRIGGER looks_stay_as_they_are")
        await sql(town, "DROP TRIGGER looks_lose_no_row")
    else:
        await sql(town, "ALTER TABLE looks DISABLE TRIGGER USER")


async def said(town: Town) -> list[str]:
    """What `tsunagi verify` says of chains that do not hold; timers that nobody rang are another matter."""
    found = anchors.read(town.app.anchors / anchors.FILE)
    lines = await town.app.store.read(lambda tx: list(breaches(tx, town.now, found)))
    return [line for line in lines if line.startswith("breach: the ")]


# -- what is seen is kept, before it is sent


async def test_every_page_that_shows_a_case_is_a_look_with_all_its_numbers(town: Town, served: Any) -> None:
    """I11: reading counts. What stands in the page stands in the row; a page without a case is no look."""
    number, other = await town.accepted(), await town.consented()
    await town.says("suzuki", f"依頼 {other} 家計相談 ともしび")
    suzuki, ishii = await served("suzuki"), await served("ishii")
    await suzuki.post("/chat/say", words="一覧", room="me")
    assert await kept(town) == []
    town.clock.frozen = town.now + timedelta(days=1)  # something waits by now
    pages = (
        (suzuki, "/cases", "/cases", "view"), (suzuki, f"/cases?q={number}00", "/cases", "search"), (suzuki, "/board", "/board", "view"),
        (suzuki, f"/cases/{number}", "/cases/{number}", "view"), (suzuki, "/today", "/today", "view"),
        (suzuki, "/today/print", "/today/print", "export"), (suzuki, "/handover", "/handover", "export"),
        (suzuki, "/chat?room=me", "/chat", "view"), (ishii, "/chat?room=tomoshibi", "/chat", "view"),
    )  # fmt: skip
    for browser, path, template, kind in pages:
        before = len(await kept(town))
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        (row,) = (await kept(town))[before:]
        who = "suzuki" if browser is suzuki else "ishii"
        shown = set(NUMBER.findall(answer.text.split("<main")[1])) & {number, other}
        assert row[:3] == (who, kind, template) and set(row[3]) == shown, path
        assert shown or kind == "search", path
    before = len(await kept(town))
    for path in ("/help", "/ways", "/town", "/links", f"/cases/{number[:-1]}{(int(number[-1]) + 1) % 10}"):
        await suzuki.get(path)
    assert len(await kept(town)) == before
    assert await said(town) == []


async def test_what_cannot_be_kept_is_not_shown(town: Town, served: Any, caplog: pytest.LogCaptureFixture) -> None:
    number = await town.accepted()
    suzuki = await served("suzuki")
    await sql(town, "ALTER TABLE look_days RENAME TO gone")
    for path in (f"/cases/{number}", "/cases", "/board", "/today", "/chat?room=me"):
        answer = await suzuki.get(path)
        assert (answer.status_code, number in answer.text) == (503, False), path
        assert "書きとめられません" in answer.text and "119" in answer.text
    assert (await suzuki.get("/help")).status_code == 200
    caplog.clear()
    await sql(town, "ALTER TABLE gone RENAME TO look_days")
    assert number in (await suzuki.get(f"/cases/{number}")).text
    assert len(await kept(town)) == 1


async def test_an_open_page_is_one_look_until_something_new_is_on_it(town: Town, served: Any) -> None:
    """A page renews itself each time anything changes; the header alone opens nothing unseen."""
    first = await town.consented()
    suzuki, takahashi = await served("suzuki"), await served("takahashi")
    await suzuki.get("/cases", **{"x-live": "1"})
    assert len(await kept(town)) == 1
    for _ in range(3):
        await suzuki.get("/cases", **{"x-live": "1"})
    assert len(await kept(town)) == 1
    second = await town.consented()
    assert second in (await suzuki.get("/cases", **{"x-live": "1"})).text
    assert [row[3] for row in await kept(town)] == [[first], [second]]
    await takahashi.get("/cases", **{"x-live": "1"})
    await suzuki.get("/cases")
    town.clock.frozen = town.now + timedelta(days=1)
    await suzuki.get("/cases", **{"x-live": "1"})
    assert [row[0] for row in await kept(town)] == ["suzuki", "suzuki", "takahashi", "suzuki", "suzuki"]


async def test_words_outside_are_looks_when_they_show_something(
    town: Town, databases: Databases, tmp_path: Path
) -> None:
    """番号, 一覧, 今日 in a chat; what decides, calls or is refused is in the journal or shows nothing."""
    number = await town.accepted()
    for words in (number, "一覧", "ヘルプ"):
        assert (await town.tries("suzuki", words, surface="console")).refused is None
    await town.tries("ishii", "了解", surface="console")  # is shown the open question
    await town.tries("suzuki", f"急ぎ {number}", surface="console")
    await town.tries("ishii", number[:-2] + "00", surface="console")
    assert await kept(town) == [
        ("suzuki", "view", "console:show", [number]), ("suzuki", "view", "console:list", [number]), ("ishii", "view", "console:next", [number]),
    ]  # fmt: skip
    assert await said(town) == []


async def test_the_journal_on_the_command_line_is_an_export(lite: Town) -> None:
    number = await lite.intake("suzuki")
    settings = Settings(database_url=f"sqlite:///{lite.app.store.url.database}", _env_file=None)  # type: ignore[call-arg]
    assert await asyncio.to_thread(exported, settings, number)
    assert [row[:3] for row in await kept(lite)] == [(None, "export", "console:journal")]


# -- the chain


async def looked(town: Town, count: int, day: date = DAY) -> None:
    for place in range(count):
        await keep(town.app.store, day, [Look(town.now, "suzuki", "view", "/board", (f"385-267-{place:02}",))])


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ("UPDATE looks SET staff = 'tanaka' WHERE seq = 3", "at look 3 (hash)"),
        ("DELETE FROM looks WHERE seq = 2", "at look 3 (seq)"),
        ("DELETE FROM looks WHERE seq = 5", "at look 4 (head)"),
        ("DELETE FROM look_days", "at look 0 (head)"),
    ],
)
async def test_what_was_changed_or_taken_away_is_found(town: Town, harm: str, found: str) -> None:
    """I11: by verify at once, and by the auditor's next rounds (of an old look by the night's)."""
    await looked(town, 5)
    with pytest.raises(Exception, match="append-only"):
        await sql(town, "DELETE FROM looks WHERE seq = 2")
    assert await said(town) == []
    await unlocked(town)
    await sql(town, harm)
    assert any(found in line for line in await said(town)), await said(town)
    if "look_days" in harm:
        return
    await audit(town.app)
    await audit_all(town.app)
    standing = await town.app.store.read(findings.standing)
    assert [(one.kind, one.key) for one in standing if one.kind == "looks"] == [("looks", DAY.isoformat())]
    await audit(town.app)
    assert any(one.kind == "looks" for one in await town.app.store.read(findings.standing)), "found is found"
    if harm.startswith("UPDATE"):
        await sql(town, "UPDATE looks SET staff = 'suzuki' WHERE seq = 3")
        await audit(town.app)
        assert not [one for one in await town.app.store.read(findings.standing) if one.kind == "looks"]


async def test_the_minutes_round_looks_at_the_newest_and_counts_the_rest(town: Town) -> None:
    await looked(town, 6)
    await unlocked(town)
    lately = lambda: town.app.store.read(lambda tx: looks.verify_lately(tx, 2, 3))  # noqa: E731
    assert await lately() == []
    await sql(town, "UPDATE looks SET page = '/help' WHERE seq = 2")
    assert await lately() == []
    await sql(town, "DELETE FROM looks WHERE seq = 1")
    assert [one.what for one in await lately()] == ["count"]
    await sql(town, "UPDATE looks SET page = '/help' WHERE seq = 5")
    assert {one.what for one in await lately()} == {"hash", "count"}


async def test_what_is_written_down_outside_finds_a_chain_that_was_made_anew(town: Town) -> None:
    """Whoever can write the database can make a whole new chain; the file and the mail outside say otherwise."""
    await looked(town, 3)
    assert await anchor(town.app) == 0, "the day is not over"
    town.clock.frozen = town.now + timedelta(days=1)
    assert await anchor(town.app) == 1
    assert await anchor(town.app) == 0
    (line,) = anchors.read(town.app.anchors / anchors.FILE)
    assert (line.day, line.seq) == (DAY.isoformat(), 3)
    assert (town.app.anchors / anchors.FILE).stat().st_mode & 0o777 == 0o600
    await looked(town, 1)
    assert await said(town) == [], "who began to read before midnight comes behind"
    assert await anchor(town.app) == 1
    assert [one.seq for one in anchors.read(town.app.anchors / anchors.FILE)] == [3, 4]
    await unlocked(town)
    await sql(town, "DELETE FROM looks")
    await sql(town, "DELETE FROM look_days")
    await looked(town, 5)
    assert {line.split(" are")[0] for line in await said(town)} == {f"breach: the looks of {DAY}"}
    assert len(await said(town)) == 2
    anchors.append(town.app.anchors / anchors.FILE, [End("2026-05-01", 1, "0" * 64)])
    assert len(await said(town)) == 3, "a day of which nothing is left"


async def test_the_privacy_officer_gets_the_anchor_by_mail(databases: Databases, tmp_path: Path) -> None:
    url, mail = databases.sqlite(settled), Toy()
    town = await Town.found(url, tmp_path, adapters={"mail": mail})
    await looked(town, 2)
    town.clock.frozen = town.now + timedelta(days=1)
    assert await anchor(town.app) == 1
    await town.app.turner.settle()
    (message,) = mail.to("matsui@example.jp")
    (line,) = anchors.read(town.app.anchors / anchors.FILE)
    assert len(mail.sent) == 1 and message.facts == ((line.day, f"2件\n{line.head}"),)
    await town.close()
    databases.drop(url)


@pytest.mark.postgres
async def test_ten_readers_at_once_keep_the_chain_whole(databases: Databases, tmp_path: Path) -> None:
    """Two processes' worth of readers: each look is there once, and the chain holds."""
    url = databases.postgresql(settled)
    towns = [await Town.found(url, tmp_path) for _ in range(2)]
    day = DAY

    def look(one: int) -> Look:
        return Look(towns[0].now, f"reader-{one}", "view", "/board", ("385-267-52",))

    for turn in range(3):
        await asyncio.gather(*(keep(towns[i % 2].app.store, day, [look(turn * 10 + i)]) for i in range(10)))
    rows = await kept(towns[0])
    assert sorted(str(row[0]) for row in rows) == sorted(f"reader-{i}" for i in range(30))
    assert await said(towns[0]) == []
    for town in towns:
        await town.close()
    databases.drop(url)


# -- who saw what


async def test_who_saw_what_by_case_and_by_person(town: Town, served: Any) -> None:
    number, other = await town.accepted(), await town.intake()
    suzuki, matsui = await served("suzuki"), await served("matsui")
    await suzuki.get(f"/cases/{number}")
    await suzuki.get(f"/cases/{other}")
    await suzuki.get("/cases")
    by_case = (await matsui.get(f"/looks?number={number}")).text
    assert "鈴木さん" in by_case and "相談のページ" in by_case
    assert "ほか1件" in by_case and other not in by_case, "another case on the same page is not this question's"
    assert "同意・根拠を書きとめた" in by_case, "from the journal"
    by_person = (await matsui.get("/looks?staff=suzuki")).text
    assert number in by_person and other in by_person
    assert "この条件の記録はありません" in (await matsui.get("/looks?staff=ishii&from=2026-01-01&to=2026-01-31")).text
    again = (await matsui.get(f"/looks?number={number}")).text
    assert "松井さん" in again, "to look up who looked is a look"
    for typed in ("385-267-53", "abc"):
        wrong = await matsui.get(f"/looks?number={typed}")
        assert wrong.status_code == 422 and "見つかりませんでした" in wrong.text
    assert (await matsui.get(f"/looks?number={number}&from=2026-06-02&to=2026-06-01")).status_code == 422
    assert "調べる" in (await matsui.get("/looks?from=nonsense&page=-1&number=")).text


async def test_a_list_of_looks_is_paged(town: Town, served: Any) -> None:
    await looked(town, 120)
    matsui = await served("matsui")
    first = (await matsui.get("/looks?staff=suzuki")).text
    assert first.count('id="look-') == 50 and "次の50件" in first and "前の50件" not in first
    last = (await matsui.get("/looks?staff=suzuki&page=3")).text
    assert last.count('id="look-') == 20 and "前の50件" in last and "次の50件" not in last


async def test_the_file_is_itself_a_look(town: Town, served: Any) -> None:
    number = await town.accepted()
    suzuki, matsui = await served("suzuki"), await served("matsui")
    await suzuki.get(f"/cases/{number}")
    answer = await matsui.get(f"/looks/export?number={number}")
    assert answer.content.startswith(b"\xef\xbb\xbf") and "attachment" in answer.headers["content-disposition"]
    assert number not in answer.headers["content-disposition"]
    head, *lines = csv.reader(answer.text.lstrip("\ufeff").splitlines())
    assert head[0] == "いつ" and ["鈴木さん", "suzuki", "ご覧になった", "相談のページ", number] in [
        line[1:6] for line in lines
    ]
    assert (await kept(town))[-1] == ("matsui", "export", "/looks/export", [number])
    assert (await matsui.get("/looks/export")).headers["content-type"].startswith("text/html"), "nothing was asked for"


async def test_who_has_no_right_is_refused(town: Town, served: Any) -> None:
    """A coordinator looks at one case at a time; staff, heads and volunteers at none."""
    number = await town.accepted()
    for who in ("suzuki", "endo", "yamamoto"):
        browser = await served(who)
        for path in (f"/looks?number={number}", "/looks", f"/looks/export?number={number}", "/breaches"):
            assert (await browser.get(path)).status_code == 403, (who, path)
        assert (await browser.post("/breaches", what="x")).status_code == 403
    coordinator = await served("takahashi")
    assert (await coordinator.get(f"/looks?number={number}")).status_code == 200
    assert (await coordinator.get("/looks?staff=suzuki")).status_code == 422
    assert (await coordinator.get("/breaches")).status_code == 403
    assert f"/looks?number={number}" in (await coordinator.get(f"/cases/{number}")).text
    for who in ("matsui", "ogawa"):
        browser = await served(who)
        assert (await browser.get("/looks?staff=suzuki")).status_code == 200
        assert "/looks" in (await browser.get("/help")).text and (await browser.get("/breaches")).status_code == 200


# -- what got out


def test_the_two_reports_have_their_days() -> None:
    """Act art. 68, Rules art. 43-44: the first in three to five days, the final one in thirty, sixty where somebody meant it."""
    known = date(2026, 6, 1)
    assert law.clocks(known, malicious=False) == law.Clocks(date(2026, 6, 3), date(2026, 6, 5), date(2026, 6, 30))
    assert law.clocks(known, malicious=True).final == date(2026, 7, 30)
    assert law.must_report(1, sensitive=True, malicious=False) and law.must_report(1, sensitive=False, malicious=True)
    assert law.must_report(101, sensitive=False, malicious=False) and not law.must_report(
        100, sensitive=False, malicious=False
    )


async def test_a_breach_is_written_down_and_its_reports_are_awaited(town: Town, served: Any) -> None:
    number = await town.intake()
    matsui = await served("matsui")
    story = "封筒を取りちがえて送りました"
    entry = {
        "found": "2026-06-01",
        "what": story,
        "numbers": number.replace("-", ""),
        "persons": "2",
        "sensitive": "yes",
    }
    wrong = await matsui.post(
        "/breaches", **entry | {"persons": "たくさん", "numbers": "385-267-53", "found": "2026-06-02"}
    )
    assert wrong.status_code == 422 and wrong.text.count("field-error") == 3 and story in wrong.text
    assert (await matsui.post("/breaches", **entry)).status_code == 303
    page = (await matsui.get("/breaches")).text
    assert story in page and "できれば6月3日(水)まで" in page and "6月5日(金)まで" in page and "6月30日(火)まで" in page
    assert f"/looks?number={number}&amp;from=" in page
    town.clock.frozen = town.now + timedelta(days=5)
    assert 'class="chip late"' in (await matsui.get("/breaches")).text
    (id_,) = [one.id for one in await town.app.store.read(register.every)]
    for step in ("reported_first_at", "reported_first_at", "closed_at"):
        assert (await matsui.post("/breaches", id=str(id_), do=step)).status_code == 303
    page = (await matsui.get("/breaches")).text
    assert 'class="chip late"' not in page and "閉じました" in page
    lines = [
        line
        for line in await town.app.store.read(lambda tx: journal.tail(tx, 0, 500))
        if line.kind.startswith("town.breach")
    ]
    assert [line.kind for line in lines] == ["town.breach", "town.breach_step", "town.breach_step"]
    assert all(story not in str(line.data) for line in lines) and lines[0].data == {"breach": id_}
    assert story not in str(await sql(town, "SELECT * FROM breaches")), "sealed"
    assert await said(town) == []


async def test_verify_holds_the_town_against_its_own_file(lite: Town, databases: Databases) -> None:
    """A demonstration that lies beside it has another one."""
    await looked(lite, 2)
    path = Path(str(lite.app.store.url.database))
    settings = Settings(database_url=f"sqlite:///{path}", anchors=lite.app.anchors, _env_file=None)  # type: ignore[call-arg]
    anchors.append(lite.app.anchors / anchors.DEMO, [End("2026-05-01", 1, "0" * 64)])
    assert await lite.app.store.read(lambda tx: anchors.place(tx, lite.app.anchors).name) == "anchors.txt"
    sound, lines = await asyncio.to_thread(verify, settings)
    assert sound and "ok: 2 looks on 1 days, every chain whole" in lines
    anchors.append(lite.app.anchors / anchors.FILE, [End(DAY.isoformat(), 2, "0" * 64)])
    sound, lines = await asyncio.to_thread(verify, settings)
    assert not sound and any("written down outside" in line for line in lines)
    await lite.app.store.transact(lambda tx: people.mark_demo(tx, START, real()))
    assert await lite.app.store.read(lambda tx: anchors.place(tx, lite.app.anchors).name) == "demo-anchors.txt"


async def test_a_process_keeps_its_anchors_where_it_is_told_to(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/town.db", anchors=tmp_path / "share", _env_file=None)  # type: ignore[call-arg]
    for given, place in ((settings, "share"), (settings.model_copy(update={"anchors": None}), "var/anchors")):
        app = make(given, clock=Clock(frozen=START), var=tmp_path / "var")
        assert app.anchors == tmp_path / place
        await app.close()
