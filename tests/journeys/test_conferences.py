"""The two conferences: called without kind or content, pledged before they open, and what they decide becomes real."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from bot import sign
from bot.clock import real
from bot.pages import routes
from bot.pages.frame import COOKIE
from storage import conferences, items, people, plans, tables
from storage.tx import Tx
from tests.bot.test_pages import Browser
from tests.journeys.conftest import whole
from tests.town import START, Town
from tests.toy import Slate
from workflow.conference import Conference
from workflow.plan import KINDS, Plan

OUTSIDE = ("suzuki", "mori", "takahashi", "matsumoto", "watanabe")
#: Of what is said, and of what kind a conference is, nothing leaves the house.
SECRET = "夜中に出歩いて隣の家をたたく"
KIND = re.compile("支援会議|重層的|106|守秘|同意なし|支援決定待ち")


class Desks:
    """A town, its pages, and a platform outside that keeps what it was handed."""

    def __init__(self, town: Town, slate: Slate) -> None:
        self.town, self.slate = town, slate
        self.app = routes(town.app)
        self.opened: dict[str, Browser] = {}

    async def at(self, who: str) -> Browser:
        if who not in self.opened:
            token = await self.town.app.store.transact(lambda tx: sign.begin(tx, who, real()))
            transport = httpx2.ASGITransport(app=self.app, client=("127.0.0.1", 4711), raise_app_exceptions=False)
            client = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
            client.cookies.set(COOKIE, token)
            self.opened[who] = Browser(client)
            await self.opened[who].get("/help")
        return self.opened[who]

    async def sees(self, who: str, path: str, status: int = 200) -> str:
        answer = await (await self.at(who)).get(path)
        assert answer.status_code == status, (who, path, answer.status_code)
        return answer.text

    async def does(self, who: str, path: str, status: int = 303, /, **fields: Any) -> str:
        browser = await self.at(who)
        data = {"csrftoken": browser.client.cookies.get("csrftoken", ""), **fields}
        answer = await browser.client.post(path, data=data)
        assert answer.status_code == status, (who, fields, answer.status_code, answer.text[-600:])
        return answer.headers.get("location", "") or answer.text

    async def of(self, number: str) -> Conference:
        """The newest conference about a case."""
        case = await self.town.case(number)
        return (await self.town.app.store.read(lambda tx: conferences.of_case(tx, case.id)))[0]

    def said_outside(self) -> str:
        return "\n".join(
            f"{p.message.title} {p.message.text} {p.message.facts} {[c.label for c in p.message.choices]}"
            for p in self.slate.sent
        )


@pytest.fixture
async def desks(database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Desks]:
    slate = Slate()
    town = await Town.found(database, tmp_path, adapters={"slate": slate})
    for who in OUTSIDE:
        await town.app.store.transact(lambda tx, w=who: people.link(tx, "slate", f"U-{w}", w, START))  # type: ignore[misc]
    found = Desks(town, slate)
    yield found
    for browser in found.opened.values():
        await browser.client.aclose()
    await town.later(days=1)
    assert not (leaked := KIND.findall(found.said_outside())), leaked
    assert SECRET not in found.said_outside()
    await whole(town, caplog)
    await town.close()


async def refused_by_the_person(town: Town) -> str:
    """A consultation whose person does not agree to sharing."""
    number = await town.intake("suzuki", "介護 ひきこもり", "北部")
    for words in (f"見立て {number} 続ける", f"同意 {number} なし", f"移す {number} ほぐし"):
        await town.says("suzuki", words)
    return number


async def convened(desks: Desks, number: str) -> str:
    """The city convenes with 鈴木, 森 and 高橋; the page of the conference."""
    await desks.town.says("takahashi", f"会議 {number} 支援 6/10 14時")
    fields = {"kind": "support_106_6", "cases": number, "day": "2026-06-10", "time": "14:00", "place": "city"}
    return await desks.does(
        "watanabe", "/conferences", **fields, member=["suzuki", "takahashi"], also="森"
    )  # fmt: skip


async def test_without_consent_the_city_convenes_and_only_the_pledged_read(desks: Desks) -> None:
    """domain.md §1.4, §4.2; I8, I12, I26."""
    town = desks.town
    number = await refused_by_the_person(town)
    refusal = await town.refused("takahashi", f"会議 {number} 重層 6/10 14時", "ConsentForConference")
    assert "支援会議" in refusal.text and f"会議 {number} 支援" in [c.says for c in refusal.choices]
    outside = (await town.tries("U-takahashi", f"会議 {number} 重層 6/10 14時", surface="slate")).messages[0]
    assert not KIND.search(outside.text + str(outside.choices))
    path = await convened(desks, number)
    assert not (await town.case(number)).requests and (await town.case(number)).conference_at is not None

    await town.later(minutes=3)
    for who in ("suzuki", "mori", "takahashi"):
        (told,) = [m for m in desks.slate.to(f"U-{who}") if m.title == "会議の予定"]
        assert number in told.text and "6/10(水) 14:00" in told.text
        assert [c.label for c in told.choices] == ["行けます", "行けません"]
    assert "conference" not in await town.kinds("shimizu") and "convened" in await town.kinds("shimizu")

    await town.presses("mori", "行けます")
    await town.refused("mori", f"出席 {number}", "AlreadyDone")
    await town.refused("ishii", f"出席 {number}", "NothingToAnswer")
    assert "行けます、とお返事" in str((await town.last("mori", "conference")).facts)
    for who in ("takahashi", "mori", "watanabe"):
        assert "守秘の確認" in await desks.sees(who, path)
        await desks.does(who, path, do="pledge")
    assert "conference_answer" in await town.kinds("watanabe")

    await desks.does("takahashi", path, 422, do="said", case=number, text=SECRET)  # not held yet
    await desks.does("watanabe", path, do="hold")
    await desks.does("takahashi", path, do="said", case=number, kind="hearsay", text=SECRET)
    await desks.does("suzuki", path, 422, do="said", case=number, text="わたしも")  # has not pledged
    assert SECRET in await desks.sees("mori", path) and SECRET in await desks.sees("watanabe", path)
    lead = await desks.sees("suzuki", path)
    assert SECRET not in lead and "困りごと" not in lead and 'id="pledge"' in lead
    await desks.sees("shimizu", path, 404)
    for who in ("shimizu", "suzuki"):
        assert SECRET not in await desks.sees(who, f"/cases/{number}"), "what a 支援会議 heard stays with its members"
    for who in ("takahashi", "watanabe"):
        theirs = await desks.sees(who, f"/cases/{number}")
        assert SECRET in theirs and "no-print" in theirs[: theirs.index(SECRET)].rpartition("<div")[2], "never on paper"
    sitting = (await desks.of(number)).id
    (item,) = await town.app.store.read(lambda tx: items.of_conference(tx, sitting))
    assert (item.basis, item.conference, item.kind) == ("art106_6", sitting, "hearsay")
    open_to = {
        who: sitting in await town.app.store.read(lambda tx, w=who: conferences.of_member(tx, w))  # type: ignore[misc]
        for who in ("mori", "suzuki", "shimizu")
    }
    assert open_to == {"mori": True, "suzuki": False, "shimizu": False}

    team = re.search(r'<section class="card" id="conferences".*?</section>', await desks.sees("shimizu", f"/cases/{number}"), re.S)  # fmt: skip
    assert team and "支援会議" not in team[0] and "6/10(水) 14:00" in team[0] and path not in team[0]
    assert path in await desks.sees("suzuki", f"/cases/{number}")
    assert "守秘" not in await desks.sees("shimizu", f"/cases/{number}"), "nor does the story tell of it"

    assert "data-print" not in await desks.sees("mori", path) and "no-print" in await desks.sees("mori", path)
    assert "data-print" in await desks.sees("watanabe", path), "the city keeps the documents"

    await desks.does(
        "takahashi", path, do="decide", case=number, kind="role", duty="outreach", who="hibari/mori", until="2026-07-31"
    )  # fmt: skip
    made = (await town.case(number)).handoffs[-1]
    assert (made.state, made.holder, made.basis, made.duty) == ("accepted", "mori", "art106_6", "outreach")
    assert made.proxy is not None and made.proxy.means == "meeting" and "proxy_told" in await town.kinds("mori")
    wrong = await desks.does("takahashi", path, 422, do="decide", case=number, kind="plan", plan="coordination")
    assert "同意" in wrong
    for _ in range(2):
        await desks.does("takahashi", path, do="decide", case=number, kind="plan", plan="outreach", text="会える関係に")
    case = await town.case(number)
    kept = await town.app.store.read(lambda tx: plans.of_case(tx, case.id))
    assert [(p.version, p.to_at is None) for p in kept] == [(2, True), (1, False)] and case.decision == ""
    assert kept[0].doc["roles"] == [["outreach", "hibari", "mori"]]
    page = await desks.sees("shimizu", f"/cases/{number}")
    assert "アウトリーチ 第2版" in page and "会える関係に" not in page, (
        "words of a 支援会議 stay there; codes are a plan's"
    )
    assert "会える関係に" in await desks.sees("takahashi", path)
    await desks.does("ogawa", path, do="close")
    await desks.does("takahashi", path, 422, do="said", case=number, text="あとから")
    assert SECRET in await desks.sees("mori", path), "its members go on reading it"


async def test_a_conference_of_the_coordinator_is_answered_moved_and_called_off(desks: Desks) -> None:
    town = desks.town
    number = await town.accepted()
    await town.refused("suzuki", f"会議 {number} 重層 6/10 14時", "CoordinatorsOnly")
    await town.says("takahashi", f"会議 {number} 重層 6/10 14時")
    assert {m.staff for m in (await desks.of(number)).members} == {"takahashi", "suzuki", "ishii"}
    await town.says("ishii", "出席")
    await town.says("takahashi", f"会議 {number} 重層 6/11 10時")
    assert "6/11(木) 10:00" in (await town.last("ishii", "conference")).text
    sitting = await desks.of(number)
    assert sitting.member("ishii").answer is None, "everybody is asked again"  # type: ignore[union-attr]
    await town.says("suzuki", f"行けません {number}")
    await town.refused("takahashi", f"会議 {number} 重層 5/20", "DayOutOfRange")
    path = f"/conferences/{sitting.id}"
    await desks.does("suzuki", path, 422, do="cancel")
    await desks.does("takahashi", path, do="cancel")
    assert "conference_cancelled" in await town.kinds("ishii")
    assert "conference_cancelled" not in await town.kinds("suzuki"), "who does not come need not hear"
    card = await town.last("ishii", "conference")
    assert not card.choices and "取りやめ" in str(card.facts)
    assert (await town.case(number)).conference == "", "whether to confer is decided anew"
    await town.refused("ishii", f"出席 {number} {sitting.id}", "ConferenceOver")


async def test_a_head_sends_somebody_else(desks: Desks) -> None:
    town = desks.town
    number = await refused_by_the_person(town)
    path = await convened(desks, number)
    await town.says("mori", "欠席")
    assert "conference_answer" in await town.kinds("matsumoto")
    seen = await desks.sees("matsumoto", path)
    assert "支援会議" not in seen and "106" not in seen and "困りごと" not in seen
    await desks.does("fujiwara", path, 422, do="substitute", instead="mori", person="tanaka")
    await desks.does("matsumoto", path, do="substitute", instead="mori", person="yoshida")
    assert "conference" in await town.kinds("yoshida")
    await town.says("yoshida", "行けます")
    await desks.sees("mori", path, 404)
    await desks.does("mori", path, 404, do="pledge")


async def test_two_conferences_at_once_are_told_apart(desks: Desks) -> None:
    town = desks.town
    first, second = await town.consented(), await town.consented()
    for number in (first, second):
        await town.says("takahashi", f"会議 {number} 重層 6/10 14時")
    which = await town.refused("suzuki", "出席", "WhichConference")
    assert len(which.choices) == 2
    await town.says("suzuki", which.choices[0].says)
    await town.says("suzuki", "欠席")
    answers = [(await desks.of(n)).member("suzuki") for n in (first, second)]
    assert {a.answer for a in answers if a} == {"come", "cannot"}


async def test_what_a_conference_plans_is_put_before_the_city(desks: Desks) -> None:
    """支援決定 and 事後承認 in one list with their clocks; how many came after the fact is counted (domain.md, rule 5)."""
    town = desks.town
    late, number = await town.supported(), await town.consented()
    where = await desks.does(
        "takahashi", "/conferences", kind="coordination", cases=number, day="2026-06-10", time="14:00", member=["suzuki"]
    )  # fmt: skip
    again = await desks.does(
        "takahashi", "/conferences", kind="coordination", cases=number, day="2026-06-10", time="14:00", member=["suzuki"]
    )  # fmt: skip
    assert where == again, "a form sent twice calls once"
    await desks.does("takahashi", where, do="hold")
    await desks.does(
        "takahashi", where, do="decide", case=number, kind="plan", plan="coordination", text="落ち着いて暮らす"
    )
    await desks.does(
        "takahashi", where, do="decide", case=number, kind="gather", who="houkatsu-kita/suzuki", until="2026-06-20"
    )
    await desks.does(
        "takahashi", where, do="record", case=number, direction="support", day="2026-07-10", text="見守りながら"
    )
    await desks.does("takahashi", where, 422, do="decide", case=number, kind="move", stage="watching")
    await desks.does("takahashi", where, 422, do="decide", case=number, kind="nothing")
    shown = await desks.sees("suzuki", where)
    assert "落ち着いて暮らす" in shown and "見守りながら" in shown and "7/10(金)" in shown and "6/20(土)まで" in shown
    assert "落ち着いて暮らす" in await desks.sees("suzuki", f"/cases/{number}")
    queue = await desks.sees("watanabe", "/conferences")
    assert f"決定 {number}" in queue and f"決定 {late}" in queue and "事後承認 1件・支援のまえの決定 0件" in queue
    said = await town.says("watanabe", "要対応")
    assert {n: w.split()[0] for n, w in said.facts} == {number: "支援決定待ち", late: "事後承認待ち"}
    assert "事後承認 1件" in said.text
    await town.says("watanabe", f"決定 {number}")
    await town.says("watanabe", "決定")
    assert (await town.case(number)).decision == (await town.case(late)).decision == "made"
    assert "事後承認 1件・支援のまえの決定 1件" in await desks.sees("watanabe", "/conferences")


async def test_a_consent_taken_back_shuts_the_agenda_at_the_next_look(desks: Desks) -> None:
    town = desks.town
    number = await town.consented()
    where = await desks.does("takahashi", "/conferences", kind="coordination", cases=number, day="2026-06-10", member=["mori"])  # fmt: skip
    assert "介護のこと" in await desks.sees("mori", where)
    await town.says("suzuki", f"同意 {number} 撤回")
    assert "介護のこと" not in await desks.sees("mori", where)


async def test_what_cannot_be_called_is_said_and_calls_nobody(desks: Desks) -> None:
    town = desks.town
    number = await town.consented()
    for who, fields in (
        ("takahashi", {"cases": "999-999-99"}), ("takahashi", {"cases": ""}), ("takahashi", {"cases": number, "day": "2/30"}),
        ("takahashi", {"cases": number, "day": "2026-05-01"}), ("takahashi", {"cases": number, "also": "だれか"}),
        ("takahashi", {"cases": number, "also": "上田"}), ("takahashi", {"cases": number, "kind": "support_106_6"}),
        ("watanabe", {"cases": number, "kind": "coordination"}), ("suzuki", {"cases": number}),
    ):  # fmt: skip
        await desks.does(who, "/conferences", 422, **fields)
    assert await town.app.store.read(_count) == 0
    await desks.sees("takahashi", "/conferences/999", 404)
    await desks.sees("takahashi", "/conferences/abc", 404)


def _count(tx: Tx) -> int:
    return int(tx.execute(select(func.count()).select_from(tables.conferences)).scalar_one())


async def test_of_a_kind_one_version_is_the_current_one(town: Town) -> None:
    """I12, as a property: whatever is planned, every kind of a case or person has one current version, and 1, 2, 3 … behind it."""
    number, chance = await town.consented(), Random(12)
    case = await town.case(number)
    model: dict[tuple[str, int | None], int] = {}

    for n in range(40):
        kind, person = chance.choice(KINDS), chance.choice((None, 7, 8))
        model[kind, person] = model.get((kind, person), 0) + 1
        version = model[kind, person]

        def work(tx: Tx, kind: str = kind, person: int | None = person, n: int = n, version: int = version) -> None:
            at = START + timedelta(minutes=n)
            plans.keep(tx, Plan(9_000 + n, case.id, kind, version, at, "takahashi", at, person=person))

        await town.app.store.transact(work)
        kept = await town.app.store.read(lambda tx: plans.of_case(tx, case.id))
        current = [(p.kind, p.person, p.version) for p in kept if p.to_at is None]
        assert sorted(current, key=str) == sorted(((k, p, v) for (k, p), v in model.items()), key=str)
    for person in (None, 7):

        def doubled(tx: Tx, person: int | None = person) -> None:
            row = plans.of_case(tx, case.id)[0]
            other = {c.name: getattr(row, c.name) for c in tables.plans.columns} | {
                "id": 1,
                "person": person,
                "version": 99,
                "to_at": None,
            }
            tx.execute(tables.plans.insert().values(other))

        with pytest.raises(IntegrityError):
            await town.app.store.transact(doubled)
