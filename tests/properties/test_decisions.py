"""The same promises on plain values, thousands of steps a second: people decide at random, waits ring in their order."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.properties.life import CHECKS, PEOPLE
from tests.properties.values import NOW, Ids, the_town
from workflow import checkin, facts, report, stage
from workflow import handoff as decisions
from workflow.case import Case, Handoff, Wait
from workflow.ladder import Urgency
from workflow.outcome import Act, Outcome
from workflow.path import STAGES
from workflow.people import LEAD, WATCH
from workflow.refusals import Refusal
from workflow.ring import ring
from workflow.who import approvers, receivers

CLOSINGS = ("goal_reached", "moved_away", "info_only", "mistake", "no_contact", "person_wish")


class Paper:
    """A few cases on paper, a clock, and everything that was decided."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.place = the_town()
        self.town = SimpleNamespace(now=NOW)
        self.accepted: Counter[tuple[int, int]] = Counter()
        self.fresh = Ids()
        self.cases: list[Case] = []
        self.kinds: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.rung: set[tuple[int, int]] = set()
        self.story: list[str] = []
        self.agencies = tuple(self.place.agencies.values())

    # -- somebody does something

    def act(self, who: str | None) -> Act:
        by = self.place.staff[who] if who else None
        return Act(by, self.town.now, self.place, "web", self.fresh, by.agency if by else "")

    def open(self) -> None:
        who = self.chance.choice(("suzuki", "sato", "mori", "tamura", "takahashi", "ito"))
        urgency = self.chance.choice((Urgency.NORMAL, Urgency.NORMAL, Urgency.HIGH, Urgency.EMERGENCY))
        bare = Case(
            id=self.fresh(), number=f"case {len(self.cases) + 1}", household=1, stage="intake", urgency=urgency, opened_at=self.town.now,
            opened_by=who, opened_agency=self.place.staff[who].agency, district=self.chance.choice((None, "北部", "南部")),
        )  # fmt: skip
        out = stage.open_case(bare, tuple(self.chance.sample(list(self.place.concerns), 2)), self.act(who))
        self.keep(None, out)
        walk = list(self.walk())
        for decide in walk[: self.chance.choice((0, 2, 2, 3, 5, len(walk) - 1, len(walk)))]:
            self.keep(self.cases[-1], decide(self.cases[-1], self.act(who)))

    def walk(self) -> Iterator[Callable[[Case, Act], Outcome]]:
        """A case's straight way, of which it goes some steps."""
        place = self.place
        yield lambda c, a: facts.consent(c, "full", (), a)
        yield lambda c, a: facts.screen(c, "continue", a)
        yield lambda c, a: stage.move(c, "untangling", a)
        yield lambda c, a: facts.no_conference(c, a)
        yield lambda c, a: stage.move(c, "role_division", a)
        for i in (0, 1):
            yield lambda c, a, i=i: facts.judge_issue(c, c.issues[i].concern, "mark_gap", a)  # type: ignore[misc]
        yield lambda c, a: stage.move(c, "support", a)
        yield lambda c, a: decisions.offer_accepted(
            c, place.duties[WATCH], place.agencies["minsei-kita"], "yamamoto", a
        )
        yield lambda c, a: facts.set_interval(c, "1mo", a)
        yield lambda c, a: facts.set_signs(c, 7, a)
        yield lambda c, a: stage.move(c, "watching", a)

    def step(self) -> None:
        alive = [c for c in self.cases if c.open]
        case = self.chance.choice(alive if alive and self.chance.random() < 0.97 else self.cases)
        who, decide = self.chance.choice(list(self.could(case)))
        if self.chance.random() < 0.1:
            who = self.chance.choice(PEOPLE)  # somebody else altogether
        try:
            out = decide(self.act(who))
        except Refusal as refusal:
            self.refused[type(refusal).__name__] += 1
            return
        self.keep(case, out)

    def keep(self, was: Case | None, out: Outcome) -> None:
        """Write an outcome down as `bot/record.py` would, and look at every promise."""
        case = replace(out.case, version=out.case.version + 1)
        self.cases = (
            [*(c for c in self.cases if c.id != case.id), case]
            if was is None
            else [case if c.id == case.id else c for c in self.cases]
        )
        start = out.before.seq
        lines = [
            SimpleNamespace(kind=e.kind, actor=out.act.who, data=e.data, seq=start + i, at=out.act.at, source=e.source, dest=e.dest)
            for i, e in enumerate(out.entries, start=1)
        ]  # fmt: skip
        told = [
            SimpleNamespace(
                to_staff=r.code if r.kind == "staff" else None, to_room=r.code if r.kind == "room" else None, handoff=n.handoff, kind=n.kind, answer=False, doc=n.data,
            )
            for n in out.notices for r in n.to
        ]  # fmt: skip
        self.kinds.update(line.kind for line in lines)
        self.story.append(
            f"{out.act.at:%m/%d %H:%M} {out.act.who} {case.number}: {' '.join(f'{line.kind}{dict(line.data)}' for line in lines)}"
        )
        self.whole(was, out, case)
        try:
            for check in CHECKS:
                check(self, was, case, lines, told)  # type: ignore[arg-type]
        except AssertionError as broken:
            mine = [line for line in self.story if f" {case.number}:" in line]
            raise AssertionError("\n".join([str(broken), *mine[-25:]])) from None

    def whole(self, was: Case | None, out: Outcome, case: Case) -> None:
        """No wait is lost on the way: each is open, or ended with a reason; only journalled things change."""
        kept, ended = {w.id for w in case.waits}, {w.id for w in out.closed}
        assert {w.id for w in was.waits} <= kept | ended if was else True, f"{case.number}: a wait vanished"
        assert not kept & ended and all(w.closed_at for w in out.closed)
        if was and (was.stage, was.lead, was.interim, [h.state for h in was.handoffs]) != (
            case.stage, case.lead, case.interim, [h.state for h in case.handoffs],
        ):  # fmt: skip
            assert out.entries, f"{case.number} changed without a line"
        assert len({h.no for h in case.handoffs}) == len(case.handoffs)
        for line in out.entries:
            assert all(not isinstance(v, str) or len(v) < 60 for v in line.data.values()), (
                f"a story in the journal: {line}"
            )

    # -- what could be done

    def could(self, case: Case) -> Iterator[tuple[str, Callable[[Act], Outcome]]]:
        chance, town, at = self.chance, self.place, self.town.now
        lead = case.lead or "takahashi"
        duty = town.duties[chance.choice((*list(town.duties)[2:], LEAD, WATCH))]
        agencies = chance.sample(self.agencies, chance.choice((1, 1, 1, 2, 3)))
        day = at + timedelta(days=chance.choice((1, 3, 20, 60, 100)))
        yield lead, lambda a: decisions.offer(case, duty, agencies, a)
        yield lead, lambda a: decisions.offer(case, town.duties[WATCH], [town.agencies["minsei-kita"]], a)
        yield (
            lead,
            lambda a: decisions.offer(case, duty, agencies[:1], a, to_staff=town.members[agencies[0].code][0].code),
        )
        yield "takahashi", lambda a: decisions.offer(case, town.duties[LEAD], agencies[:1], a)
        yield lead, lambda a: decisions.offer_accepted(case, duty, town.agencies[town.staff[a.who].agency], a.who, a)
        yield lead, lambda a: facts.screen(case, "continue", a)
        named = tuple(a.code for a in agencies)
        state = chance.choice(("full", "full", "full", "partial", "refused", "pending", "withdrawn"))
        yield lead, lambda a: facts.consent(case, state, named if state == "partial" else (), a)
        yield lead, lambda a: facts.basis(case, named[0], chance.choice(("law", "life", "consent")), a)
        concern = chance.choice([i.concern for i in case.issues] + list(town.concerns)[:2])
        for event in ("mark_gap", "not_wanted", "settle", "raise"):
            yield lead, lambda a, event=event: facts.judge_issue(case, concern, event, a)  # type: ignore[misc]
        yield lead, lambda a: facts.note_issue(case, concern, "wanted", a)
        yield lead, lambda a: facts.no_conference(case, a)
        yield "takahashi", lambda a: facts.conference(case, chance.choice(("support", "layered")), day, a)
        yield "ogawa", lambda a: facts.convene(case, a)
        yield "watanabe", lambda a: facts.decide_support(case, a)
        yield (
            lead,
            lambda a: facts.set_interval(case, chance.choice(("14d", "1mo", "3mo")), a, lengthen=chance.random() < 0.5),
        )
        yield lead, lambda a: facts.set_signs(case, 7, a)
        yield lead, lambda a: facts.reviewed(case, a)
        yield (
            lead,
            lambda a: facts.set_urgency(case, chance.choice(list(Urgency)), a, code=chance.choice(("", "calmer"))),
        )
        yield lead, lambda a: facts.request(case, chance.choice(("talk", "phone", "concern")), a)
        yield lead, lambda a: facts.talked(case, a)
        yield "takahashi", lambda a: facts.extend(case, day, a)
        if chance.random() < 0.15:
            yield (
                lead,
                lambda a: stage.propose_closing(case, chance.choice(CLOSINGS), a, procedure=chance.random() < 0.5),
            )
            yield "takahashi", lambda a: facts.interim(case, a)
            yield "takahashi", lambda a: facts.end_coordination(case, a)
            kind = chance.choice(report.KINDS)
            yield chance.choice((lead, "yamamoto", "ogawa")), lambda a: report.suspect(case, kind, a)
            if chance.random() < 0.3:
                yield lead, lambda a: stage.record_death(case, a)
            yield lead, lambda a: stage.propose_suspension(case, day, a)
        if case.reports and chance.random() < 0.1:
            one, to = chance.choice(case.reports), chance.choice(report.TO)
            made = at - timedelta(hours=chance.choice((0, 1, 60, 400)))
            yield chance.choice((lead, "ogawa", "ishii")), lambda a: report.reported(case, one, to, "phone", made, a)
            yield chance.choice((lead, "ogawa")), lambda a: report.seen_safe(case, one, a)
            if chance.random() < 0.3:
                yield chance.choice((lead, "ogawa")), lambda a: report.end(case, one, chance.choice(report.ENDS), a)
        yield from self.onward(case, lead)
        if case.proposal:
            for who in (*approvers(case, town)[:3], case.proposal.by, lead):  # the last two may not
                yield who, lambda a: stage.approve(case, a)
            yield lead, lambda a: chance.choice((stage.object_, stage.withdraw_proposal))(case, a)
        for handoff in case.handoffs:
            found = list(self.about(case, handoff))
            yield from found
            yield from found

    def onward(self, case: Case, lead: str) -> Iterator[tuple[str, Callable[[Act], Outcome]]]:
        """Along the path: to anywhere, and a few times to where it may well go."""
        forward = {
            "intake": "untangling",
            "untangling": "role_division",
            "role_division": "support",
            "support": "watching",
            "suspended": case.left,
        }
        for to in (*self.chance.sample(STAGES, 2), *(forward.get(case.stage) or "intake",) * 3):
            yield lead, lambda a, to=to: stage.move(case, to, a, reason="retake")  # type: ignore[misc]
        if case.stage == "intake" and not case.handoffs:
            yield lead, lambda a: stage.propose_closing(case, "info_only", a)
        if case.stage in ("role_division", "support") and any(i.status == "open" for i in case.issues):
            concern = next(i.concern for i in case.issues if i.status == "open")
            yield from ((lead, lambda a: facts.judge_issue(case, concern, "mark_gap", a)),) * 3

    def about(self, case: Case, h: Handoff) -> Iterator[tuple[str, Callable[[Act], Outcome]]]:
        chance, town, at = self.chance, self.place, self.town.now
        day = at + timedelta(days=chance.choice((1, 2, 5, 40, 100)))
        asked = chance.choice(receivers(h, town, at) or ("mori",))
        members = [m.code for m in town.members[h.to_agency]]
        head = next((m.code for m in town.heads(h.to_agency)), "takahashi")
        holder = h.holder or asked
        if h.asked:
            yield asked, lambda a: decisions.accept(case, h, a)
            yield asked, lambda a: decisions.consider(case, h, chance.choice((None, day)), a)
            yield asked, lambda a: decisions.ask(case, h, "wish", a)
            yield asked, lambda a: decisions.waitlist(case, h, chance.choice((None, day)), a)
            yield asked, lambda a: decisions.place_free(case, h, a)
            yield asked, lambda a: decisions.accept_if(case, h, "schedule", a)
            yield asked, lambda a: decisions.decline(case, h, chance.choice(list(town.declines)), a)
            yield h.sender, lambda a: decisions.answer(case, h, a)
            yield h.sender, lambda a: decisions.agree(case, h, a)
            yield h.sender, lambda a: decisions.without(case, h, a)
            said = chance.choice(("accept", "decline", "consider"))
            yield h.sender, lambda a: decisions.record_proxy(case, h, said, asked, "phone", a, code="other")
            if chance.random() < 0.3:
                yield h.sender, lambda a: decisions.withdraw(case, h, a)
                yield h.sender, lambda a: decisions.mistake(case, h, a)
            yield head, lambda a: decisions.assign(case, h, chance.choice(members), a)
        elif h.held:
            yield holder, lambda a: decisions.connect(case, h, a)
            yield holder, lambda a: decisions.attempt(case, h, a)
            for contact in ("calm", "calm", "worry", "seen", "missed"):
                yield holder, lambda a, contact=contact: checkin.report(case, h, contact, a)  # type: ignore[misc]
            yield holder, lambda a: checkin.cannot(case, h, a)
            yield holder, lambda a: checkin.correct(case, h, a)
            yield case.lead or "takahashi", lambda a: checkin.agree_cadence(case, h, "2mo", a)
            yield holder, lambda a: decisions.hold(case, h, day, a)
            yield holder, lambda a: decisions.resume(case, h, a)
            if chance.random() < 0.5:
                ends = (decisions.complete, decisions.fail, decisions.release)
                yield holder, lambda a: chance.choice(ends)(case, h, a)
                yield h.sender, lambda a: decisions.withdraw(case, h, a)
                yield (
                    "takahashi",
                    lambda a: chance.choice((decisions.withdraw, decisions.keep, decisions.mistake))(case, h, a),
                )
            yield head, lambda a: decisions.hold_for(case, h, a)
            yield head, lambda a: decisions.assign(case, h, chance.choice(members), a)
            yield chance.choice(members), lambda a: decisions.take_over(case, h, a)
            if h.proxy:
                yield h.proxy.person, lambda a: decisions.object_to_proxy(case, h, a)
        else:
            yield asked, lambda a: decisions.late_accept(case, h, a)
            yield asked, lambda a: decisions.take_back_decline(case, h, a)
            yield "takahashi", lambda a: decisions.take_late(case, h, a)

    # -- the clock

    def turn(self, span: timedelta, *, asleep: bool = False) -> None:
        until = self.town.now + span
        if asleep:
            self.town.now = until
        for _ in range(3_000):
            due = self.next_due()
            if due is None or due[0] > until:
                break
            self.town.now = max(self.town.now, due[0])
            self.ring(due[1], due[2])
        else:
            raise AssertionError("the clock never comes to rest")
        self.town.now = until

    def next_due(self) -> tuple[datetime, Case, Wait] | None:
        ringing = [(w.next_at, c, w) for c in self.cases for w in c.waits if w.next_at]
        return min(ringing, key=lambda found: (found[0], found[2].id), default=None)

    def ring(self, case: Case, wait: Wait) -> None:
        """One timer; a rung of one wait rings once, and after it the wait rings later or is over."""
        assert (wait.id, wait.rung) not in self.rung, f"{case.number}: {wait.kind} rang its rung {wait.rung} twice"
        self.rung.add((wait.id, wait.rung))
        out = ring(case, wait, self.act(None))
        after = next((w for w in out.case.waits if w.id == wait.id), None)
        assert after is None or (after.next_at and after.next_at > self.town.now), (
            f"{case.number}: {wait.kind} rings again at once"
        )
        assert out.case.stage == case.stage, "I5: the clock moves no case"
        assert out.case.lead == case.lead, "I2: the clock changes no lead"
        self.keep(case, out)


SPANS = (*(timedelta(hours=h) for h in (0.3, 1, 3, 3, 9, 9, 24, 24, 24, 72, 72)), timedelta(days=9))


def live(seed: int, steps: int) -> Paper:
    chance = Random(seed)
    paper = Paper(chance)
    for _ in range(3):
        paper.open()
    for _ in range(steps):
        dice = chance.random()
        if dice < 0.03 and sum(c.open for c in paper.cases) < 4:
            paper.open()
        elif dice < 0.92:
            paper.step()
        else:
            paper.turn(chance.choice(SPANS), asleep=chance.random() < 0.25)
    return paper


SWEEP = os.environ.get("HYPOTHESIS_PROFILE") == "sweep"
SEEDS: Any = st.integers(0, 2**32)


@settings(max_examples=1_000 if SWEEP else 20, phases=(Phase.explicit, Phase.generate))
@given(SEEDS)
def test_every_promise_holds_whatever_is_decided(seed: int) -> None:
    live(seed, 250)


def test_these_lives_go_everywhere() -> None:
    """The random lives reach every edge of the three graphs and every kind of wait: a property that visits nothing proves nothing."""
    from workflow.ladder import DEFAULTS
    from workflow.path import EVENTS

    kinds: Counter[str] = Counter()
    waited: set[str] = set()
    for seed in itertools.count(1):
        paper = live(seed, 250)
        kinds += paper.kinds
        waited |= {str(w.kind) for c in paper.cases for w in c.waits}
        never = {f"{g}.{e}" for g, events in EVENTS.items() for e in events} - set(kinds)
        if not never or seed == 160:
            break
    assert not never, f"never happened: {sorted(never)}"
    assert "wait.rung" in kinds and len(waited & set(DEFAULTS)) > 12
