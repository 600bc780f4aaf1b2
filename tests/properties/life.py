"""A town that lives for a while: people say sensible and silly things, the clock turns, and after each step every promise is looked at.

`INVARIANTS` at the end says which check looks at which invariant of the design (domain.md §9, workflow.md §7). They read rows and
values, and share no code with what keeps the promises.
"""

import asyncio
import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import bindparam, select

from adapters.base import Address, Caps, Delivery, Gone, Inbound, Parcel, Said, Sender, Sent, Unknown
from bot import intake
from bot.audit import breaches
from bot.commands import BOOK
from bot.receive import Answered
from storage import cases, inbox, journal, people, promises, tables, waits
from storage.journal import Line
from storage.tx import Tx
from tests.properties.values import the_doc
from tests.town import START, TOKYO, Town
from workflow.case import Case, Handoff, Wait
from workflow.ladder import Urgency
from workflow.path import HELD
from workflow.people import LEAD, WATCH, Role
from workflow.people import Town as Place
from workflow.who import approvers, reach, receivers

#: Who speaks: of every post, and of agencies that are often asked.
PEOPLE = (
    "suzuki", "tanaka", "fujiwara", "sato", "kimura", "mori", "yoshida", "matsumoto", "ishii", "kondo", "tamura", "nakano",
    "takahashi", "shimizu", "nakajima", "aoki", "watanabe", "ogawa", "yamamoto", "abe", "kobayashi", "sakamoto", "ueda", "endo",
    "matsui", "miyazaki", "hasegawa",
)  # fmt: skip
#: Who has linked an account of the toy platform: three of one agency, a coordinator, a volunteer, a head, an official.
LINKED = ("suzuki", "tanaka", "mori", "ishii", "takahashi", "yamamoto", "ogawa")
AGENCIES = (
    "ひばり",
    "ともしび",
    "若葉",
    "包括支援センター北",
    "つばさ",
    "社協",
    "みなも",
    "やどり木",
    "なぎさ",
    "suishin",
)
DUTIES = (
    "就労相談",
    "家計相談",
    "disability",
    "居場所",
    "見守り",
    "主担当",
    "助言",
    "ひきこもり支援",
    "債務の相談",
    "同行",
)
CONCERNS = ("介護", "困窮", "障害", "こころ", "仕事", "ひきこもり", "債務", "住まい")
#: What nobody may find again in a journal, a letter or on the way out.
SECRET = "やまだはなこ090-1111-2222"
SILLY = (
    "了解です", "はい", "OK", "？", "", " ", "#999", "385-267-5", "１２３−４５６−７８", "'; DROP TABLE cases; --", "<script>alert(1)</script>",
    "\x00\x01\x02", "👨‍👩‍👧‍👦🙏", "\u202eabc\u202c", "引受", "辞退", "あじさい", "99999999999999999999", "移す", "依頼", "2026-13-45", "0",
    "9", "1", "2", "3", "取消", "つぎへ", "今日", "一覧", "ヘルプ", "まとめて引受", "要対応", "持ち件数", "えっと、あれはどうなりましたか",
    "助けて", "電話した", "電話出ない", "招集", "出席", "欠席", "承認", "話しました", "あ" * 2_500,
)  # fmt: skip


class Toy:
    """A platform that takes everything, says it is unsure, or lost the account."""

    name = "toy"
    inside = False
    caps = Caps(buttons=5, label=20, text=2_000)

    def __init__(self) -> None:
        self.weather = "fine"
        self.sent: list[Parcel] = []

    async def send(self, parcel: Parcel) -> Delivery:
        self.sent.append(parcel)
        return {"fine": Sent(parcel.key), "fog": Unknown("time-out"), "gone": Gone("moved")}[self.weather]


class Errors(logging.Handler):
    """Keeps what was logged as an ERROR."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))


@dataclass
class Before:
    """What the checks compare with."""

    line: int = 0
    letter: int = 0
    cases: dict[int, Case] = field(default_factory=dict)


class Life:
    """One town, driven from outside an event loop."""

    def __init__(self, url: str, var: Path) -> None:
        self.runner = asyncio.Runner()
        self.toy = Toy()
        self.errors = Errors()
        logging.getLogger().addHandler(self.errors)
        self.digits, intake.digits = (
            intake.digits,
            itertools.count(100_000, 7_919).__next__,
        )  # the same life, the same numbers
        self.said: list[str] = []
        self.numbers: list[str] = []
        self.before = Before()
        self.accepted: Counter[tuple[int, int]] = Counter()
        self.town: Town = self.run(Town.found(url, var, doc=the_doc(), adapters={"toy": self.toy}))
        self.run(self._link())
        self.place = self.town.place

    def run(self, waiting: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(waiting)

    async def _link(self) -> None:
        def work(tx: Tx) -> None:
            for code in LINKED:
                people.link(tx, "toy", f"U-{code}", code, START)

        await self.town.app.store.transact(work)

    def close(self) -> None:
        try:
            self.run(self.town.close())
        finally:
            intake.digits = self.digits
            logging.getLogger().removeHandler(self.errors)
            self.runner.close()

    def read(self, work: Callable[[Tx], Any]) -> Any:
        return self.run(self.town.app.store.read(work))

    # -- steps

    def say(
        self, who: str, words: str, *, outside: bool = False, room: str | None = None, id: str = "", send: bool = True
    ) -> Answered:
        """Say something; a preview is sent on unless told otherwise."""
        self.said.append(
            f"{self.town.now.astimezone(TOKYO):%m/%d %H:%M} {who}{'@toy' if outside else ''}: {words[:80]!r}"
        )
        answered: Answered = self.run(self._say(who, words, outside, room, id))
        for message in answered.messages:
            assert (message.text or "").strip(), f"an answer without words to {words!r}"
            assert "{" not in message.text, message.text
            assert all(c.label.strip() and c.says.strip() for c in message.choices), message
        if send and answered.messages and any(c.says == "送る" for c in answered.messages[0].choices):
            self._checked()
            return self.say(who, "送る", outside=outside, room=room, send=False)
        if answered.number and answered.refused is None and answered.number not in self.numbers:
            self.numbers.append(answered.number)
        self._checked()
        return answered

    async def _say(self, who: str, words: str, outside: bool, room: str | None, id: str) -> Answered:
        if not outside:
            return await self.town.tries(who, words, room=room, id=id)
        event = Inbound(
            id=id or f"t{len(self.said)}",
            sender=Sender("toy", f"U-{who}"),
            address=Address("toy", f"D-{who}"),
            what=Said(words),
        )
        return await self.town.app.receiver.receive(event)

    def twice(self, who: str, words: str) -> None:
        """The same event once more is nothing at all (I3)."""
        self.say(who, words, id=f"same{len(self.said)}", send=False)
        id_ = f"same{len(self.said) - 1}"
        last = self.read(journal.newest)
        again = self.run(self.town.tries(who, words, id=id_))
        assert again.inbox is None and not again.messages, f"I3: the same event answered twice: {words}"
        assert self.read(journal.newest) == last, f"I3: the same event acted twice: {words}"

    def buttons(self, who: str) -> list[tuple[str, str, str]]:
        """(token, says, label) of everything that this person may press, newest first."""
        found = self.run(self.town.reads(who))
        return [(letter.token or "", c.says, c.label) for letter, card in reversed(found[-25:]) for c in card.choices]

    def press(self, who: str, token: str, says: str) -> None:
        self.said.append(f"{self.town.now.astimezone(TOKYO):%m/%d %H:%M} {who} presses {says!r}")
        answered: Answered = self.run(self.town.press(who, token, says))
        if answered.messages and any(c.says == "送る" for c in answered.messages[0].choices):
            self._checked()
            self.say(who, "送る", send=False)
        if answered.number and answered.refused is None and answered.number not in self.numbers:
            self.numbers.append(answered.number)
        self._checked()

    def turn(self, span: timedelta, *, asleep: bool = False) -> None:
        """The clock goes on; every instant that is due on the way rings, or all of them at once after sleep."""
        self.said.append(f"... {span}{' asleep' if asleep else ''}")
        moment = self.town.now + span
        turner = self.town.app.turner
        self.run(turner.jump(moment) if asleep else turner.to(moment))
        self._checked(turned=True)

    # -- what a sensible person might do now

    def case(self, number: str) -> Case:
        found: Case = self.run(self.town.case(number))
        return found

    def sensible(self, number: str, chance: Random) -> tuple[str, str]:
        """(who, words) that may well be right for a case as it stands: answers first, then what the lead may begin."""
        case, pick = self.case(number), chance.choice
        answers = [one for h in case.handoffs for one in self._about(case, h, self.town.now, pick)] + list(
            self._waited_for(case, pick)
        )
        begun = list(self._could(case, pick))
        return chance.choice(answers if answers and (chance.random() < 0.6 or not case.open) else begun)

    def prepare(self, number: str, chance: Random) -> None:
        """Take a case some way along its path."""
        lead = self.case(number).lead
        assert lead
        steps = [
            f"見立て {number} 続ける",
            f"同意 {number} あり",
            f"依頼 {number} 就労相談 つばさ",
            f"引受 {number}",
            f"依頼 {number} 見守り 民生委員北部",
        ]
        known = [i.concern for i in self.case(number).issues]
        steps += [f"困りごと {number} {c} 資源なし" for c in known] + [f"移す {number} ほぐし", f"会議なし {number}"]
        steps += [
            f"移す {number} 役割分担",
            f"移す {number} 支援",
            f"間隔 {number} 1か月",
            f"サイン {number} 目印",
            f"移す {number} 見守り",
        ]
        for words in steps[: chance.randrange(len(steps) + 4)]:
            self.say("kimura" if words.startswith("引受") else lead, words)

    def _waited_for(self, case: Case, pick: Callable[[Any], Any]) -> Iterator[tuple[str, str]]:
        n, town = case.number, self.place
        lead = case.lead or "takahashi"
        if case.proposal:
            for who in (*approvers(case, town)[:3], lead):
                yield who, f"承認 {n}"
            yield lead, pick((f"提案取下げ {n}", f"気がかり {n}"))
        if case.stage == "suspended":
            yield lead, f"再開 {n}"
        for request in case.requests[:2]:
            yield ("ogawa", f"招集 {n}") if request.kind == "conference" else (lead, f"話しました {n}")
        if case.decision == "pending":
            yield "watanabe", f"決定 {n}"

    def _could(self, case: Case, pick: Callable[[Any], Any]) -> Iterator[tuple[str, str]]:
        n = case.number
        lead = case.lead or "takahashi"
        if not case.open:
            yield lead, f"再相談 {n}"
            yield "takahashi", f"再相談 {n} 仕事"
            return
        first, second = pick(AGENCIES), pick(AGENCIES)
        duty = pick(DUTIES)
        yield from (
            (lead, f"見立て {n} 続ける"),
            (lead, f"同意 {n} {pick(('あり', 'あり', 'なし', '未', '撤回', f'あり {first}'))}"),
        )
        yield (
            lead,
            f"困りごと {n} {pick([i.concern for i in case.issues] + ['仕事'])} {pick(('望む', '望まない', '資源なし', '解決', '未確認', 'もう一度'))}",
        )
        for _ in range(4):
            yield lead, f"依頼 {n} {pick(DUTIES)} {pick(AGENCIES)}"
        yield from ((lead, f"依頼 {n} 見守り 民生委員北部"), (lead, f"一斉依頼 {n} {duty} {first} {second}"))
        yield from (
            (lead, f"会議なし {n}"),
            (lead, f"移す {n} {pick(('ほぐし', '役割分担', '支援', '見守り', '受付 受け直し'))}"),
        )
        yield from (
            (lead, f"進む {n}"),
            (lead, f"間隔 {n} 1か月"),
            (lead, f"サイン {n} {SECRET}"),
            (lead, f"打診 {n} {duty}"),
        )
        yield from ((lead, f"根拠 {n} {first} {pick(('106条の6', '法令', '生命'))}"), (lead, f"候補 {n} {duty}"))
        yield from (
            ("takahashi", f"担当替え {n} {pick(('ひばり/森', '若葉', 'つばさ/佐藤', '包括支援センター北'))} 引越し"),
            ("shimizu", f"期限延長 {n} {pick(('明日', '3日後', '2週間後'))}"), ("takahashi", f"会議 {n} {pick(('支援', '重層'))} 来週水曜 14:00"),
            (pick((lead, "mori", "takahashi", "ishii")), f"{pick(('出席', '欠席'))} {n}"),
            (lead, f"{pick(('急ぎ', '緊急', '通常'))} {n} {pick(('', '落ち着いた'))}"), (lead, f"電話 {n}"), (lead, f"気がかり {n}"),
        )  # fmt: skip
        suspected = pick(("子ども", "高齢", "障害", "DV"))
        if case.reports or pick(range(6)) == 0:
            yield from (
                (pick((lead, "takahashi", "yamamoto")), f"虐待 {n} {suspected}"),
                (
                    pick((lead, "takahashi", "ogawa", "mori")),
                    f"通報済 {n} {suspected} {pick(('児相', '市町村 9:00', '警察 FAX', '本人の意思'))}",
                ),
                (pick((lead, "ogawa", "mori")), f"安全確認 {n} {suspected}"),
                (
                    pick(("ogawa", "watanabe", lead)),
                    f"虐待終了 {n} {suspected} {pick(('虐待ではなかった', '児相へ', '終結'))}",
                ),
            )
        rare = pick(range(12))
        if rare == 0:
            yield from (
                (lead, f"中断 {n} 1か月後"),
                ("takahashi", f"仮担当 {n}"),
                ("takahashi", f"区切り {n}"),
            )
        if rare == 1:
            yield from (
                (lead, f"終結 {n} {pick(('目標達成', '転出', '情報提供のみ', '連絡不通', '誤登録'))}"),
                (lead, f"逝去 {n}"),
            )

    def _about(self, case: Case, h: Handoff, at: datetime, pick: Callable[[Any], Any]) -> Iterator[tuple[str, str]]:
        said = f"{case.number}#{h.no}"
        sender = h.sender
        if h.asked:
            asked = pick(receivers(h, self.place, at) or ("mori",))
            yield asked, f"引受 {said}"
            yield (
                asked,
                pick(
                    (
                        f"条件引受 {said} 日程相談",
                        f"検討 {said}",
                        f"質問 {said} 緊急度の理由",
                        f"空き待ち {said} 2週間後",
                    )
                ),
            )
            yield asked, pick((f"検討 {said}", f"質問 {said} 緊急度の理由", f"辞退 {said} 定員", f"空き待ち {said} 2週間後", f"条件引受 {said} 日程相談",
                               f"質問 {said} その他 {SECRET}", f"辞退 {said} 情報不足", f"空きました {said}"))  # fmt: skip
            yield (
                sender,
                pick(
                    (
                        f"回答 {said} {SECRET}",
                        f"条件了承 {said}",
                        f"条件なしで {said}",
                        f"取下げ {said}",
                        f"誤登録 {said}",
                    )
                ),
            )
            yield sender, f"代理 {case.number} {h.to_agency}/{asked} {pick(('引受', '辞退 定員', '検討'))}"
            for head in self.place.heads(h.to_agency)[:1]:
                yield head.code, f"割当 {said} {asked}"
        elif h.held:
            holder = h.holder or "mori"
            yield holder, f"つながった {said}"
            yield (
                holder,
                pick(
                    (
                        f"変わりなし {said}",
                        f"気になる {said}",
                        f"会えず {said}",
                        f"姿は見た {said}",
                        f"難しいです {said}",
                    )
                ),
            )
            yield (
                holder,
                pick(
                    (
                        f"戻す {said}",
                        f"役割終了 {said}",
                        f"つながらず {said}",
                        f"一時休み {said} 2週間後",
                        f"再開 {said}",
                        "取消",
                    )
                ),
            )
            yield sender, f"取下げ {said}"
            yield "takahashi", pick((f"そのまま {said}", f"取下げ {said}", f"誤登録 {said}"))
            for head in self.place.heads(h.to_agency)[:1]:
                yield head.code, pick((f"預かる {said}", f"割当 {said} {holder}"))
            if h.held_by_head:
                yield pick([m.code for m in self.place.members[h.to_agency]]), f"引受 {said}"
            if h.proxy:
                yield h.proxy.person, f"ちがいます {said}"
        else:
            yield pick(receivers(h, self.place, at) or ("mori",)), pick((f"引受 {said}", f"やはり {said}"))
            if h.late_accept:
                yield "takahashi", f"このままお願いする {said}"

    # -- looking at everything

    def _checked(self, *, turned: bool = False) -> None:
        try:
            self._look(turned=turned)
        except AssertionError as broken:
            raise AssertionError(f"{broken}\n--- what was said\n" + "\n".join(self.said[-40:])) from None
        assert not self.errors.found, "an ERROR was logged:\n" + "\n".join(self.errors.found + self.said[-30:])

    def _look(self, *, turned: bool) -> None:
        now = self.town.now

        def work(tx: Tx) -> tuple[list[Line], list[Any], list[Any], list[Case], list[str], int, list[Wait]]:
            lines = journal.tail(tx, self.before.line, 5_000)
            fresh = list(
                tx.execute(
                    select(tables.letters).where(tables.letters.c.id > self.before.letter).order_by(tables.letters.c.id)
                )
            )
            touched = sorted({line.case_id for line in lines if line.case_id})
            broken = [
                *(f"I1: {n.number} has no lead, or two" for n in promises.without_one_lead(tx)),
                *(f"I25: {n.number} waits for nothing" for n in promises.without_open_wait(tx)),
                *(f"I4: {n.number} has a wait that nothing rings" for n in promises.silent_waits(tx)),
                *(f"I26: {n.number} was offered without a basis" for n in promises.offers_without_basis(tx)),
                *(f"I27: {n.number} still asks after 逝去" for n in promises.asked_after_death(tx)),
                *(f"{n.key}: a timer could not be rung" for n in promises.unringable_timers(tx)),
                *(f"{n.number} has a timer that should have rung" for n in (promises.overdue_timers(tx, now) if turned else ())),
            ]  # fmt: skip
            return (
                lines,
                fresh,
                list(tx.execute(PUSHES, {"since": now - timedelta(days=9)})) if fresh else [],
                cases.load_several(tx, touched),
                broken,
                inbox.count_parked(tx),
                waits.loose(tx),
            )

        lines, fresh, pushes, touched, broken, parked, loose = self.read(work)
        assert not broken, "; ".join(broken)
        assert parked == 0, "an event was parked"
        self.town.place = self.place = self.read(self.town.app.towns.of)
        by_case: dict[int, list[Line]] = defaultdict(list)
        for line in lines:
            if line.case_id:
                by_case[line.case_id].append(line)
        for case in touched:
            told = [letter for letter in fresh if letter.case_id == case.id]
            was = self.before.cases.get(case.id)
            for check in CHECKS:
                check(self, was, case, by_case[case.id], told)
            self.before.cases[case.id] = case
        for wait in loose:
            assert wait.next_at and wait.owner, f"I4: a call that nothing rings: {wait.kind}"
        for look in TOWN_CHECKS:
            look(self, fresh, pushes)
        self._abroad()
        if lines:
            self.before.line = lines[-1].id
        if fresh:
            self.before.letter = max(letter.id for letter in fresh)

    def _abroad(self) -> None:
        for parcel in self.toy.sent:
            text = f"{parcel.message.title} {parcel.message.text} {parcel.message.facts}"
            assert SECRET not in text and "山田" not in parcel.to.conversation, f"I7: told outside: {text}"
        self.toy.sent.clear()

    def finish(self) -> None:
        """At the end of a life: the chains, what was kept, and every card that anybody may read."""

        def work(tx: Tx) -> tuple[list[str], list[str]]:
            everything = [str(r.data) for r in tx.execute(select(tables.journal.c.data))]
            # An answer repeats its own speaker's words to them alone; everything else holds codes and numbers.
            kept = [str(r.doc) for r in tx.execute(select(tables.letters.c.doc).where(~tables.letters.c.answer))]
            kept += [str(r.doc) for r in tx.execute(select(tables.inbox.c.doc))]
            return list(breaches(tx, self.town.now)), [t for t in (*everything, *kept) if SECRET in t]

        found, leaked = self.read(work)
        assert not [line for line in found if not line.startswith("ok")], found
        assert not leaked, f"free text outside of texts: {leaked[:2]}"
        for who in PEOPLE:
            for letter, card in self.run(self.town.reads(who)):
                message = card.message()
                assert message.text.strip() and "{" not in message.text, (letter.kind, message)
        assert not self.errors.found, "\n".join(self.errors.found)


# -- one check an invariant: (life, the case before or None, the case now, its new lines, the letters written with them)

Check = Callable[[Life, Case | None, Case, list[Line], list[Any]], None]
LEAD_MOVES = (
    "case.open", "case.interim", "case.lead", "handoff.accept", "handoff.agree", "handoff.assigned", "handoff.held_by_head",
    "handoff.taken_over",
)  # fmt: skip


def one_lead(life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]) -> None:
    if case.open:
        assert (case.lead is None) != (case.interim is None), (
            f"I1: {case.number}: lead {case.lead}, interim {case.interim}"
        )
        assert case.lead is None or case.lead in life.place.staff, f"I1: {case.number}: a lead who is nobody"
        leads = [h for h in case.held if h.duty == LEAD]
        assert len(leads) <= 1, f"I1: {case.number}: two handoffs hold the lead"
        if leads:
            assert leads[0].holder == case.lead, (
                f"I1: {case.number}: {leads[0].holder} holds the lead, {case.lead} leads"
            )
    for line in lines:
        ended = line.kind.removeprefix("handoff.") in ENDINGS and line.source in HELD and line.data.get("duty") == LEAD
        if ended and was and case.open:
            given = case.handoff(int(str(line.data["handoff"])))
            still = given and given.holder == case.lead and not any(h.duty == LEAD for h in case.held)
            assert not still or was.lead != case.lead, f"I1: {case.number}: {case.lead} leads on after {line.kind}"
    if was and was.open and case.open and (was.lead, was.interim) != (case.lead, case.interim):
        assert any(line.kind in LEAD_MOVES for line in lines), (
            f"I2: {case.number}: the lead moved by {[line.kind for line in lines]}"
        )


def offering_moves_nothing(life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]) -> None:
    kinds = {line.kind for line in lines}
    if was and kinds == {"handoff.offer"}:
        assert (was.lead, was.interim, was.stage) == (case.lead, case.interim, case.stage), (
            f"I2: {case.number}: an offer moved something"
        )


def one_acceptance(life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]) -> None:
    for line in lines:
        if line.kind in ("handoff.accept", "handoff.agree"):
            life.accepted[(case.id, int(str(line.data["handoff"])))] += 1
    twice = [no for (id_, no), n in life.accepted.items() if id_ == case.id and n > 1]
    assert not twice, f"I3: {case.number}: handoff {twice} was accepted twice"
    batches = Counter(h.batch for h in case.handoffs if h.batch and (h.held or h.accepted_at))
    assert not [b for b, n in batches.items() if n > 1], f"I3: {case.number}: two acceptances of one 一斉依頼"
    waiting = [h.no for h in case.handoffs if h.batch in batches and h.asked]
    assert not waiting, f"I3: {case.number}: 一斉依頼 is taken, and {waiting} may still be accepted"
    for h in case.handoffs:
        assert not h.held or h.holder in life.place.staff, f"{case.number}: {h.state} without a holder"


def every_wait_ends_at_a_human(life: Life, was: Case | None, case: Case, _lines: list[Line], _told: list[Any]) -> None:
    now, town = life.town.now, life.place
    assert len({w.key for w in case.waits}) == len(case.waits), (
        f"{case.number}: a wait twice: {sorted(w.kind for w in case.waits)}"
    )
    for wait in case.waits:
        assert wait.owner and wait.due_at, f"I4: {case.number}: {wait.kind} without owner or due time"
        assert wait.next_at or wait.paused_left is not None, f"I4: {case.number}: {wait.kind} has no next rung"
        handoff = case.handoff(wait.handoff) if wait.handoff else None
        last = wait.policy.steps(wait.urgency)[-1]
        humans = [p for r in last.to for p in reach(r, case, town, now, handoff=handoff, owner=wait.owner)]
        assert humans and all(p in town.staff for p in humans), (
            f"I4: {case.number}: {wait.kind} ends at nobody: {last.to}"
        )
        if wait.handoff and wait.kind not in (
            "talk",
            "safety",
            "queue",
        ):  # what a human was asked to look at stays asked
            assert handoff is not None and not handoff.ended, f"{case.number}: {wait.kind} waits for what has ended"


def closed_by_a_human(life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]) -> None:
    for line in lines:
        if line.kind not in ("case.close", "case.close_at_once"):
            continue
        assert line.actor in life.place.staff, f"I5: {case.number} was closed by {line.actor}"
        assert line.data.get("reason") and case.closing_reason, f"I5: {case.number} was closed without a reason"
        if line.kind == "case.close" and was and was.proposal:
            assert line.actor not in (was.proposal.by, was.lead), (
                f"I5: {case.number}: {line.actor} closed what they proposed or lead"
            )
            assert was.proposal.asked or (was.proposal.notice_until and was.proposal.notice_until <= line.at), (
                "I5: the notice was not over"
            )
    if was and was.open and not case.open:
        assert any(line.kind in ("case.close", "case.close_at_once") for line in lines), (
            f"I5: {case.number} closed silently"
        )
    if was and not was.open:
        assert not case.open, f"I6: {case.number} came back from 終結"


def a_no_yields_the_next_step(life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]) -> None:
    for line in lines:
        if line.kind == "handoff.decline":
            assert line.data.get("code") in life.place.declines, f"I14: {case.number}: declined without a code"
    ended = [
        line for line in lines if line.kind in ("handoff.decline", "handoff.expire", "handoff.release", "handoff.fail")
    ]
    if not ended or not case.open or case.deceased:
        return
    for line in ended:
        duty = str(line.data["duty"])
        later = [one for one in lines if one.seq > line.seq]
        need = case.need(duty)
        if any(h.asked or h.held for h in case.of_duty(duty)) or later or case.stage == "suspended":
            continue
        assert need.stuck, f"I14: {case.number}: nobody names the next step for {duty} after {line.kind}"
        assert any(w.kind == "next_step" and w.subject == duty for w in case.waits), (
            f"I14: {case.number}: no wait for the next step"
        )


def twice_refused_goes_to_the_coordinator(
    life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]
) -> None:
    if not case.open or case.deceased:
        return
    for need in case.needs:
        hops = sum(a.answer in ("declined", "expired") for a in need.asked)
        assert need.hops >= hops, f"I15: {case.number}: {need.duty} counts {need.hops} hops, {hops} said no"
        if need.stuck and (need.hops >= 2 or need.bounced or need.why == "released"):
            owners = [w.owner for w in case.waits if w.kind == "next_step" and w.subject == need.duty]
            assert owners == ["coordinator"], (
                f"I15: {case.number}: {need.duty} after {need.hops} hops belongs to {owners}"
            )


#: Waits whose due time nobody names, and how long each may be in an EMERGENCY, by the wall clock (workflow.md §3).
BY_THE_TABLE = {
    "react": timedelta(minutes=30), "answer_question": timedelta(hours=2), "condition": timedelta(hours=4), "next_step": timedelta(hours=2),
    "first_contact": timedelta(hours=6), "screening": timedelta(hours=6),
}  # fmt: skip


def in_business_time(life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]) -> None:
    """I16: a wait that began now falls due while the agency of whoever has to act is open; in an EMERGENCY within hours of any day."""
    now, town = life.town.now, life.place
    known = {w.id for w in was.waits} if was else set()
    if any(line.kind == "wait.extended" for line in lines):
        return  # somebody has named the time
    for wait in case.waits:
        if wait.id in known or wait.opened_at != now or wait.paused_left is not None or wait.kind not in BY_THE_TABLE:
            continue
        late = f"I16: {case.number}: {wait.urgency.value} {wait.kind} of {wait.owner} at {now} is due {wait.due_at}"
        if wait.urgency is Urgency.EMERGENCY:
            handoff = case.handoff(wait.handoff) if wait.handoff else None
            fresh = wait.kind != "react" or (handoff is not None and handoff.offered_at == now)
            assert not fresh or timedelta() <= wait.due_at - now <= BY_THE_TABLE[wait.kind], late
        else:
            agency = whose_hours(wait, case, town)
            assert town.agencies[agency].hours.admits(wait.due_at), f"{late} while {agency} is closed"


def whose_hours(wait: Wait, case: Case, town: Place) -> str:
    """The agency whose clock it is: the receiving one's, the sender's, the lead's; else the coordinating body's."""
    handoff = case.handoff(wait.handoff) if wait.handoff else None
    if handoff and wait.owner in ("receiver", "holder", "head"):
        return handoff.to_agency
    if handoff and wait.owner == "sender":
        return handoff.from_agency
    return town.staff[case.lead].agency if wait.owner == "lead" and case.lead else town.body.code


ENDINGS = ("decline", "withdraw", "expire", "release", "complete", "fail", "mistake")


def the_sender_hears(life: Life, was: Case | None, case: Case, lines: list[Line], told: list[Any]) -> None:
    """I23: the result of every handoff that ended reaches its sender, unless they did it themselves or the person has died."""
    for line in lines:
        if not line.kind.startswith("handoff.") or line.kind.removeprefix("handoff.") not in ENDINGS or case.deceased:
            continue
        h = case.handoff(int(str(line.data["handoff"])))
        assert h is not None
        rooms = life.place.staff[h.sender].agencies if h.sender in life.place.staff else ()
        heard = [t for t in told if t.to_staff == h.sender or (t.to_room in rooms and t.handoff == h.id)]
        assert line.actor == h.sender or heard, (
            f"I23: {case.number}#{h.no} {line.kind} by {line.actor} ({line.data}): {h.sender} was not told"
        )


#: Notices that want something of their reader.
ASKING = frozenset(
    ("offer", "ring", "question", "answered", "conditional", "without", "capacity_ask", "approve_please", "closing_proposed", "safety",
     "worry", "conference", "conference_asked", "conference_answer", "lengthen_proposed", "outreach_proposed", "withdrawal_asked", "urgency_raised",
     "proxy_objected", "late_accept", "moved", "extended", "next_candidates", "expired", "place_free", "waitlisted", "considering",
     "decline_taken_back", "checkin_cannot", "assigned", "proxy_told")
)  # fmt: skip


def quiet_after_death(life: Life, was: Case | None, case: Case, lines: list[Line], told: list[Any]) -> None:
    if not case.deceased or not case.open:
        return
    assert {w.kind for w in case.waits} <= {"approval", "queue"}, (
        f"I27: {case.number} still waits for {[w.kind for w in case.waits]}"
    )
    if was and was.deceased:
        allowed = set(approvers(case, life.place)) | {life.place.final_owner}
        for letter in told:
            asked = letter.kind in ASKING or letter.kind.endswith("_wanted")
            assert not asked or letter.to_staff in allowed, (
                f"I27: {case.number}: {letter.kind} to {letter.to_staff or letter.to_room} after 逝去"
            )


#: The duty of a suspicion of abuse that waits next, and what is told of one.
OF_SUSPICION = frozenset({"report", "child_safety", "report_follow"})
TOLD_OF_IT = frozenset({"abuse", "report_made", "report_seen", "report_ended"})


def suspicions_are_kept(life: Life, was: Case | None, case: Case, lines: list[Line], told: list[Any]) -> None:
    """domain.md §1.8: each waits for its next duty, an official alone ends it, no case closes over it, no volunteer hears of it."""
    standing = [f"{r.kind}:{r.no}" for r in case.reports if r.open and not case.deceased]
    waited = [w.subject for w in case.waits if w.kind in OF_SUSPICION]
    assert sorted(standing) == sorted(waited), f"{case.number}: suspicions {standing}, duties {waited}"
    assert case.open or not any(r.open for r in case.reports), f"{case.number} was closed over a suspicion"
    if was:
        ended = {r.no for r in case.reports if not r.open} - {r.no for r in was.reports if not r.open}
        said = [line for line in lines if line.kind == "report.ended"]
        assert len(said) == len(ended), f"{case.number}: a suspicion was ended silently"
        for line in said:
            assert life.place.staff[str(line.actor)].has(Role.OFFICIAL) and line.data["how"], f"{line.actor} ended one"
    for letter in told:
        if letter.kind in TOLD_OF_IT or (letter.kind == "ring" and letter.doc.get("what") in OF_SUSPICION):
            reader = life.place.staff.get(letter.to_staff or "")
            assert reader and not reader.volunteer, (
                f"{case.number}: {letter.kind} to {letter.to_staff or letter.to_room}"
            )


def an_open_case_waits(_life: Life, _was: Case | None, case: Case, _lines: list[Line], _told: list[Any]) -> None:
    assert bool(case.waits) == case.open, f"I25: {case.number} ({case.stage}) waits for {[w.kind for w in case.waits]}"


def offers_have_a_basis(life: Life, was: Case | None, case: Case, lines: list[Line], _told: list[Any]) -> None:
    """A fresh offer names a basis that the case really has for this receiver; none outlives the consent it stood on."""
    known = {h.id for h in was.handoffs} if was else set()
    consent = case.consent
    agreed = consent.agencies if consent and consent.state == "partial" else ()
    full = consent is not None and consent.state == "full"
    near = {a for line in lines if line.actor in life.place.staff for a in life.place.staff[line.actor].agencies}
    near.add(life.place.staff[case.lead].agency if case.lead else life.place.body.code)
    for h in case.handoffs:
        said = f"I26: {case.number}#{h.no} to {h.to_agency} ({h.state}) on {h.basis!r}, consent {consent}, bases {case.bases}"
        assert h.basis, said
        if h.basis == "consent" and h.asked:
            assert full or h.to_agency in agreed, said
        if h.id not in known:
            bases = {b for a, b in case.bases if a == h.to_agency} | ({"own"} if h.to_agency in near else set())
            assert h.basis == "consent" or h.basis in bases, said


# -- of the whole town: (life, the letters of this step, the pushes of the last days)

TownCheck = Callable[[Life, list[Any], list[Any]], None]
PUSHES = select(tables.letters).where(
    tables.letters.c.surface == "toy", tables.letters.c.not_before > bindparam("since")
)


def told_once(_life: Life, fresh: list[Any], _pushes: list[Any]) -> None:
    twice = Counter(
        (r.to_staff, r.case_id, r.kind, r.handoff, r.wait, r.created_at, str(r.doc))
        for r in fresh
        if r.surface == "toy"
    )
    assert not [k for k, n in twice.items() if n > 1], (
        f"I20: told twice in one breath: {[k for k, n in twice.items() if n > 1]}"
    )


def little_noise(life: Life, _fresh: list[Any], pushes: list[Any]) -> None:
    """Three a person a day, one a case a day, volunteers one a week, beside EMERGENCY, HIGH and answers; the rest in bundles."""
    days: dict[tuple[str, object], set[datetime]] = defaultdict(set)
    cases_: dict[tuple[str, object, int], set[datetime]] = defaultdict(set)
    weeks: dict[str, set[datetime]] = defaultdict(set)
    asked: dict[str, set[datetime]] = defaultdict(set)
    for push in pushes:
        if push.urgent or push.answer or push.doc.get("resent") or push.state in ("superseded", "failed"):
            continue
        # To the minute: a platform's pace (one message a second) takes apart what was said in one breath.
        local = push.not_before.astimezone(TOKYO).replace(second=0, microsecond=0)
        days[(push.to_staff, local.date())].add(local)
        if push.case_id:
            cases_[(push.to_staff, local.date(), push.case_id)].add(local)
        if life.place.staff[push.to_staff].volunteer:
            (asked if push.kind in ("offer", "ring") else weeks)[push.to_staff].add(local)
    for (who, day, case_id), at in cases_.items():
        row = [f"{p.kind} {p.state} {p.created_at:%d %H:%M:%S.%f}→{p.not_before:%H:%M:%S.%f} {p.tries} {p.why}" for p in pushes
               if (p.to_staff, p.case_id, p.not_before.astimezone(TOKYO).date()) == (who, case_id, day)]  # fmt: skip
        assert len(at) <= 1, f"I28: {who} hears of a case twice on {day}: {row}"
    assert all(len(at) <= 3 for at in days.values()), (
        f"I28: more than three a day: {[k for k, v in days.items() if len(v) > 3]}"
    )
    for who, at in weeks.items():
        row = sorted(at - asked[who])  # what rides along with something asked for is no message of its own
        near = [(a, b) for a, b in itertools.pairwise(row) if b - a < timedelta(days=7)]
        assert not near, f"I28: {who}, a volunteer, more than once a week: {near}"


#: Which check looks at which invariant, after every step.
INVARIANTS: dict[str, tuple[Check, ...]] = {
    "I1 one lead": (one_lead,),
    "I2 an offer moves nothing": (offering_moves_nothing, one_lead),
    "I3 one acceptance": (one_acceptance,),
    "I4 every wait ends at a human": (every_wait_ends_at_a_human,),
    "I5 only a human closes, with a reason, two of them": (closed_by_a_human,),
    "I14 a no names the next step": (a_no_yields_the_next_step,),
    "I15 the second no is the coordinator's": (twice_refused_goes_to_the_coordinator,),
    "I16 business time, except in an EMERGENCY": (in_business_time,),
    "I23 the sender hears the result": (the_sender_hears,),
    "I25 an open case waits": (an_open_case_waits,),
    "§1.8 a suspicion of abuse is kept": (suspicions_are_kept,),
    "I26 no offer without a basis": (offers_have_a_basis,),
    "I27 quiet after 逝去": (quiet_after_death,),
}
#: I20 and I28 are about a person's phone, not about a case: looked at in a town alone.
TOWN_INVARIANTS: dict[str, tuple[TownCheck, ...]] = {
    "I20 nothing twice": (told_once,),
    "I28 the noise budget": (little_noise,),
}
CHECKS = tuple(dict.fromkeys(itertools.chain(*INVARIANTS.values())))
TOWN_CHECKS = tuple(itertools.chain(*TOWN_INVARIANTS.values()))

#: The words that anybody may try on anything.
FORMS = tuple(form for command in BOOK.values() for form in command.forms if command.name != "register")
ARGUMENTS = (
    *AGENCIES, *DUTIES, *CONCERNS, "明日", "6/12", "3日後", "2週間後", "来週水曜", "1か月", "定員", "対象外", "日程相談", "続ける", "あり", "支援",
    "見守り", "受付", "鈴木", "ひばり/森", "落ち着いた", "転出", "106条の6", "資源なし", "引受", "2099-01-01", "0", SECRET,
)  # fmt: skip

__all__ = [
    "AGENCIES",
    "ARGUMENTS",
    "CONCERNS",
    "DUTIES",
    "FORMS",
    "LINKED",
    "PEOPLE",
    "SECRET",
    "SILLY",
    "WATCH",
    "Life",
    "replace",
]
