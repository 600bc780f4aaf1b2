"""The sample town, grown: weeks of its own clock in which its people say real words through the real door. Nothing is inserted."""

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.base import Address, Inbound, Said, Sender
from bot import anchors, intake, town
from bot.app import App, make
from bot.clock import Clock, real
from bot.fresh import counting
from bot.intake import Told
from bot.operate import keep_town
from bot.receive import Answered
from bot.settings import Settings
from storage import agreements, cases, items, people, persons, texts
from storage.address import address
from storage.migrate import upgrade
from storage.seal import Keys
from storage.sqlite import sqlite_engine
from storage.tx import Tx
from workflow.case import Case, Handoff
from workflow.consent import Missing
from workflow.handoff import next_candidates
from workflow.household import Person
from workflow.outcome import Act
from workflow.people import WATCH, Town
from workflow.sight import EVERYTHING
from workflow.who import approvers, receivers

TOKYO: Final = ZoneInfo("Asia/Tokyo")
BEGIN: Final = datetime(2026, 4, 1, 9, 0, tzinfo=TOKYO)
NOW: Final = datetime(2026, 6, 11, 14, 5, tzinfo=TOKYO)
SLOTS: Final = ((9, 40), (13, 20), (16, 10))
SEED: Final = 20260611
FILE: Final = Path(__file__).with_name("nagare.toml")

OFFICIAL: Final = "ogawa"

CONCERNS: Final = (
    "介護 困窮", "ひきこもり 困窮", "障害 子育て", "債務 こころ", "住まい 家族", "介護 ひきこもり", "不登校 家族", "病気 仕事", "子育て 困窮",
    "介護", "困窮 仕事", "障害 仕事", "こころ 家族", "介護 障害 債務",
)  # fmt: skip
WATCH_FOR: Final = (
    "新聞がたまっていないか", "夜に明かりがついているか", "ごみ出しの日に姿が見えるか", "洗濯物がそのままになっていないか", "朝のあいさつに返事があるか",
)  # fmt: skip
#: Concern → the duty that people of ながれ市 ask for.
USUAL: Final = {
    "elder_care": "care", "disability": "disability", "income": "budget", "debt": "debt", "job_search": "work", "housing": "housing",
    "childcare": "childcare", "truancy": "study", "withdrawal": "withdrawal", "mental": "health", "health": "health", "family": "family",
}  # fmt: skip
#: Who came to the last three desks. Nobody of this name lives anywhere.
FOLK: Final = {
    "suzuki": Told("見本 花子", "みほん はなこ", "1942-04-01", "04-0000-0101", "介護を頼みたい。息子のことも心配している。", "person", "full"),
    "tanaka": Told("見本 次郎", "みほん じろう", "1980-11-03", "090-0000-0102", "家賃が2か月分遅れている。仕事をさがしたい。", "person", "full"),
    "sato": Told("見本 三枝", "みほん さえ", "1966-06-20", "", "返済の電話で眠れないとのこと。", "family", "full"),
}  # fmt: skip
#: Agencies that often leave an offer unanswered: somebody has to, or nobody would see silence climb.
SLOW: Final = frozenset({"tomoshibi", "wakaba"})


class Grower:
    """Plays everybody in town, from one seed."""

    def __init__(self, app: App, place: Town, seed: int = SEED) -> None:
        self.app = app
        self.town = place
        self.dice = random.Random(seed)
        self.said = 0
        self.refused: dict[str, int] = {}

    async def say(self, who: str, words: str) -> Answered:
        """One person says one thing, and 送る when asked."""
        answered = await self._once(who, words)
        if answered.messages and any(c.says == "送る" for c in answered.messages[0].choices):
            answered = await self._once(who, "送る")
        if answered.refused:
            self.refused[answered.refused] = self.refused.get(answered.refused, 0) + 1
        return answered

    async def _once(self, who: str, words: str) -> Answered:
        self.said += 1
        event = Inbound(f"grow-{self.said}", Sender("web", who), Address("web", who), Said(words))
        return await self.app.receiver.receive(event)

    async def look(self, number: str | None) -> Case | None:
        return await self.app.store.read(lambda tx: cases.load(tx, number or "", lock=False))

    def chance(self, p: float) -> bool:
        return self.dice.random() < p

    # -- one day

    async def day(self, at: datetime, intakes: int) -> None:
        """What people do at one time of one day."""
        for _ in range(intakes):
            await self.take_in()
        for case in await self.app.store.read(_open):
            if case.lead or case.interim:
                await self.go_on(case)

    async def take_in(self) -> None:
        desks = [
            s for s in self.town.staff.values() if self.town.agencies[s.agency].kind == "first_line" and not s.volunteer
        ]
        who = self.dice.choice(desks).code
        urgent = "急ぎ" if self.chance(0.12) else ""
        district = self.dice.choice(self.town.districts) if self.town.districts else ""
        answered = await self.say(who, f"受付 {self.dice.choice(CONCERNS)} {urgent} {district}")
        number = answered.number
        if number is None:
            return
        if self.chance(0.9):
            await self.say(who, f"見立て {number} {self.dice.choice(('続ける', '続ける', '他機関へ'))}")
        await self.consent(who, number)

    async def consent(self, who: str, number: str) -> None:
        kind = self.dice.random()
        if kind < 0.72:
            await self.say(who, f"同意 {number} あり")
        elif kind < 0.85:
            await self.say(who, f"同意 {number} 未")
        else:
            await self.say(who, f"同意 {number} なし")
            for agency in self.dice.sample(
                sorted(a.code for a in self.town.agencies.values() if a.kind == "provider"), 3
            ):
                await self.say(who, f"根拠 {number} {agency} 106条の6")

    # -- one case

    async def go_on(self, case: Case) -> None:
        lead = case.lead or self.town.coordinators[0].code
        for request in case.requests[:1]:
            if self.chance(0.7):
                await self.say(lead, f"話しました {case.number}")
                return
            del request
        if case.proposal:
            await self.second(case)
            return
        if case.consent and case.consent.state == "pending" and self.chance(0.22):
            await self.say(lead, f"同意 {case.number} あり")
        if case.decision == "pending" and self.chance(0.12):
            await self.say(OFFICIAL, f"決定 {case.number}")
        for handoff in case.handoffs:
            if await self.handoff(case, handoff):
                return
        if any(n.stuck for n in case.needs):
            mine = next(n for n in case.needs if n.stuck).to_coordinator
            if self.chance(0.2 if mine else 0.6):
                await self.next_step(case, lead)
            return
        await self.onward(case, lead)

    async def second(self, case: Case) -> None:
        order = approvers(case, self.town)
        due = case.proposal is not None and (case.proposal.asked or case.proposal.notice_until is None)
        if order and due and self.chance(0.6):
            await self.say(order[0], f"承認 {case.number}")

    async def handoff(self, case: Case, handoff: Handoff) -> bool:
        said = f"{case.number}#{handoff.no}"
        now = self.app.clock.now()
        them = receivers(handoff, self.town, now)
        who = handoff.holder or (self.dice.choice(them) if them else "")
        match handoff.state:
            case "offered":
                return await self.answer(handoff, who, said)
            case "considering" if self.chance(0.45):
                await self.say(who, f"引受 {said}" if self.chance(0.75) else f"辞退 {said} 定員")
            case "info_requested" if self.chance(0.7):
                await self.say(handoff.sender, f"回答 {said} お伝えしました")
            case "conditional" if self.chance(0.7):
                await self.say(handoff.sender, f"条件了承 {said}")
            case "waitlisted" if self.chance(0.12):
                await self.say(who, f"空きました {said}")
            case "accepted" if self.chance(0.4):
                await self.say(who, f"つながった {said}" if self.chance(0.72) else f"会えず {said}")
            case "active":
                return await self.check_in(case, handoff, who, said)
            case _:
                return False
        return True

    async def answer(self, handoff: Handoff, who: str, said: str) -> bool:
        slow = 0.1 if handoff.to_agency in SLOW else 0.5
        if not who or not self.chance(slow):
            return False
        kind = self.dice.random()
        if kind < 0.55 or handoff.duty == WATCH:
            await self.say(who, f"引受 {said}")
        elif kind < 0.64:
            await self.say(who, f"検討 {said}")
        elif kind < 0.71:
            await self.say(who, f"質問 {said} ご本人の意向")
        elif kind < 0.77:
            await self.say(who, f"条件引受 {said} 初回合同")
        elif kind < 0.82:
            await self.say(who, f"空き待ち {said}")
        else:
            await self.say(who, f"辞退 {said} {self.dice.choice(('定員', '対象外', '圏域外', '担当不在'))}")
        return True

    async def check_in(self, case: Case, handoff: Handoff, who: str, said: str) -> bool:
        asked = next((w for w in case.waits_of(handoff.id) if w.kind == "checkin" and w.rung > 0), None)
        if asked is None or not self.chance(0.75):
            return False
        kind = self.dice.random()
        word = "変わりなし" if kind < 0.7 else "気になる" if kind < 0.82 else "会えず"
        if word == "会えず" and handoff.duty == WATCH and self.chance(0.5):
            word = "姿は見た"
        await self.say(who, f"{word} {said}")
        return True

    async def next_step(self, case: Case, lead: str) -> None:
        need = next(n for n in case.needs if n.stuck)
        who = self.town.coordinators[0].code if need.to_coordinator else lead
        await self.ask_for(case, need.duty, who)

    async def ask_for(self, case: Case, duty: str, who: str) -> bool:
        act = Act(self.town.staff[who], self.app.clock.now(), self.town, "web", lambda: 0, self.town.staff[who].agency)
        found = next_candidates(case, duty, act, basis_only=True)
        if not found:
            return False
        agency = found[0] if self.chance(0.6) else self.dice.choice(found[:3])
        answered = await self.say(who, f"依頼 {case.number} {duty} {agency.code}")
        return answered.refused is None

    async def onward(self, case: Case, lead: str) -> None:
        number = case.number
        match case.stage:
            case "intake" if not case.screening and self.chance(0.6):
                await self.say(lead, f"見立て {number} 続ける")
            case "intake" if self.chance(0.3):
                await self.say(lead, f"移す {number} ほぐし")
            case "untangling" if self.chance(0.22):
                for one in case.issues:
                    await self.say(
                        lead, f"困りごと {number} {one.concern} {self.dice.choice(('望む', '望む', '未確認'))}"
                    )
                await self.say(lead, f"会議なし {number}")
                await self.say(lead, f"移す {number} 役割分担")
            case "role_division" if self.chance(0.5):
                await self.divide(case, lead)
            case "support" if self.chance(0.12):
                await self.support(case, lead)
            case "watching" if self.chance(0.05):
                await self.say(lead, f"終結 {number} 目標達成・安定")

    async def divide(self, case: Case, lead: str) -> None:
        for one in case.issues:
            named = any(one.no in h.issues and (h.asked or h.held) for h in case.handoffs)
            if one.status != "open" or named:
                continue
            concern = self.town.concerns[one.concern].code
            duty = USUAL.get(concern, "advice")
            if duty not in self.town.duties or not await self.ask_with(case, duty, lead, concern):
                await self.say(lead, f"困りごと {case.number} {concern} 資源なし")
            return
        await self.say(lead, f"移す {case.number} 支援")

    async def ask_with(self, case: Case, duty: str, who: str, concern: str) -> bool:
        act = Act(self.town.staff[who], self.app.clock.now(), self.town, "web", lambda: 0, self.town.staff[who].agency)
        found = next_candidates(case, duty, act, basis_only=True)
        if not found:
            return False
        agency = self.dice.choice(found[:2])
        return (await self.say(who, f"依頼 {case.number} {duty} {agency.code} {concern}")).refused is None

    async def support(self, case: Case, lead: str) -> None:
        number = case.number
        kind = self.dice.random()
        if kind < 0.14:
            await self.say(lead, f"困りごと {number} {self.dice.choice(('債務', '住まい', 'こころ'))} 未確認")
            await self.say(lead, f"移す {number} ほぐし")
        elif kind < 0.18:
            await self.say(lead, f"中断 {number} 1か月後")
        elif not any(h.duty == WATCH and (h.asked or h.held) for h in case.handoffs):
            await self.ask_for(case, WATCH, lead)
        elif case.watchers:
            await self.say(lead, f"間隔 {number} {self.dice.choice(('2週間', '1か月'))}")
            await self.say(lead, f"サイン {number} {self.dice.choice(WATCH_FOR)}")
            await self.say(lead, f"移す {number} 見守り")

    # -- a few things that everybody should be able to see

    async def last_touches(self) -> None:
        """So that a newcomer finds something of everything: a second no, an answer that waits, a new emergency."""
        for who, words in (
            ("suzuki", "受付 介護 ひきこもり 北部"),
            ("tanaka", "受付 困窮 仕事 南部 急ぎ"),
            ("sato", "受付 債務 こころ 急ぎ"),
        ):
            if who not in self.town.staff:
                continue
            answered = await self.say(who, words)
            await self.say(who, f"見立て {answered.number} 続ける")
            await self.say(who, f"同意 {answered.number} あり")
            await self.app.store.transact(partial(self.write_down, who=who, number=answered.number or ""))
            if case := await self.look(answered.number):
                await self.ask_for(case, "disability" if who == "suzuki" else "budget", who)

    def write_down(self, tx: Tx, who: str, number: str) -> None:
        """What the form and the household's page would have kept: people, what they told, and why it may be shared."""
        case, speaker = cases.load(tx, number, lock=True), self.town.staff[who]
        if case is None:
            return
        act = Act(speaker, self.app.clock.now(tx), self.town, "web", self.app.fresh, speaker.agency)
        intake.keep(tx, case, FOLK[who], act)
        if who == "suzuki":
            self.son(tx, case, act)

    def son(self, tx: Tx, case: Case, act: Act) -> None:
        """Of the household whose mother consents: a son whom nobody has met yet."""
        son = persons.add(tx, Person(
            act.fresh(), case.household, 0, "見本 一郎", "みほん いちろう", "1971-09-12", relation="child", language="ja",
            added_by=act.who, added_at=act.at,
        ))  # fmt: skip
        agreements.miss(tx, Missing(0, son.id, case.id, "not_met", "family", True, act.who, act.at))
        for kind, basis, source, words in (
            ("hearsay", "own", "family", "お母さまによると、25年ほど家で過ごしているとのこと。"),
            ("safety", "life", "agency", "夏にお二人とも食事をとれていない日があった。"),
        ):
            text, _ = texts.put(tx, case.household, words, act.who, act.at)
            items.add(tx, case.household, case.id, kind, text, basis, act.who, act.at, person=son.id, source=source)


def _open(tx: Tx) -> list[Case]:
    return [c for row in cases.refs(tx, EVERYTHING, limit=2_000) if (c := cases.load(tx, row.id, lock=False))]


async def grow(
    app: App, clock: Clock, *, seed: int = SEED, end: datetime = NOW, told: Callable[[int, int], None] | None = None
) -> Grower:
    """Play the town from April to `end`; `told` hears (days gone, days in all)."""
    doc = town.read(FILE.read_text(encoding="utf-8"))
    await app.store.transact(lambda tx: keep_town(tx, doc, clock.now(tx)))
    app.receiver.flood = 0
    grower = Grower(app, await app.store.read(app.towns.of), seed)
    intake.digits = lambda: grower.dice.randrange(1_000_000)
    days = list(_business_days(grower.town, end))
    try:
        for i, day in enumerate(days):
            for n, (hour, minute) in enumerate(SLOTS):
                at = day.replace(hour=hour, minute=minute)
                if at >= end:
                    break
                await app.turner.to(at)
                await grower.day(at, intakes=1 if n == 0 or (n == 1 and i % 3 == 0) else 0)
            if told:
                told(i + 1, len(days))
        await app.turner.to(end - timedelta(minutes=65))
        await grower.last_touches()
        await app.turner.to(end)
    finally:
        intake.digits = intake.random_digits
    return grower


def _business_days(place: Town, end: datetime) -> Iterable[datetime]:
    at = BEGIN
    while at < end:
        if place.body.hours.is_open(at.replace(hour=10)):
            yield at
        at += timedelta(days=1)


class NotADemonstration(Exception):
    """This database is not a demonstration; nothing was touched."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class GrowsInAFile(Exception):
    """The sample town grows in an SQLite file only: leave TSUNAGI_DATABASE_URL out, or put sqlite:///path/to/demo.db there."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def grow_if_missing(settings: Settings, *, fresh: bool = False) -> Settings:
    """Grow the sample town into its own file under var/ unless it is there; show progress.

    Raises NotADemonstration for a database that is somebody's own, GrowsInAFile for PostgreSQL.
    """
    if settings.database_url == "sqlite:///var/tsunagi.db":
        settings = settings.model_copy(update={"database_url": "sqlite:///var/demo.db"})
    url = address(settings.database_url)
    if url.get_backend_name() != "sqlite":
        raise GrowsInAFile
    path = Path(url.database or "")
    if path.exists() and not _demonstration(settings.database_url):
        raise NotADemonstration
    if path.exists() and not fresh:
        upgrade(settings.database_url)
        return settings
    path.parent.mkdir(parents=True, exist_ok=True)
    # Grown beside and moved into place, so that an interrupted growth leaves what was there, and nothing half.
    growing = path.with_name(f"{path.name}.growing")
    _unlink(growing)
    asyncio.run(_grow_file(settings.model_copy(update={"database_url": f"sqlite:///{growing}"})))
    _unlink(path)
    # What was written down outside is of the town that was here before.
    ((settings.anchors or path.parent / "anchors") / anchors.DEMO).unlink(missing_ok=True)
    growing.rename(path)
    return settings


def _demonstration(database_url: str) -> bool:
    """Whether this file is a demonstration, of whatever version; it is only read."""
    engine = sqlite_engine(address(database_url), readers=1)
    try:
        with engine.begin() as connection:
            return people.demo_clock(Tx(connection, "sqlite", Keys.of(""), set())) is not None
    except Exception:  # no database, not one of ours, damaged: somebody's own in any case
        return False
    finally:
        engine.dispose()


def _unlink(path: Path) -> None:
    """Remove a database file and what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


async def _grow_file(settings: Settings) -> None:
    upgrade(settings.database_url)
    clock = Clock(frozen=BEGIN)
    app = make(settings, clock=clock, fresh=counting(1_000_000))
    columns = (
        TextColumn("見本の町を育てています"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("日"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("grow", total=None)
        await grow(app, clock, told=lambda done, all_: progress.update(task, completed=done, total=all_))
    await app.store.transact(lambda tx: people.mark_demo(tx, NOW, real()))
    await app.close()
