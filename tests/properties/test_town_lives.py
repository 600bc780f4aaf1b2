"""A town lives: random people say and press sensible and silly things, the clock turns, and every promise holds after every step."""

import itertools
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.databases import Databases
from tests.properties.life import AGENCIES, ARGUMENTS, CONCERNS, FORMS, LINKED, PEOPLE, SILLY, Life

SWEEP = os.environ.get("HYPOTHESIS_PROFILE") == "sweep"
SPANS = st.one_of(
    st.sampled_from((timedelta(minutes=1), timedelta(minutes=31), timedelta(hours=2), timedelta(hours=9), timedelta(days=1))),
    st.sampled_from((timedelta(days=2), timedelta(days=5), timedelta(days=8), timedelta(days=21), timedelta(days=45))),
)


class TownLives(RuleBasedStateMachine):
    """The doors of a town, tried in any order."""

    kind = "sqlite"
    databases: Databases
    var: Path
    lives = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.url: str = getattr(self.databases, self.kind)()
        self.life = Life(self.url, self.var / f"life{next(self.lives)}")

    def teardown(self) -> None:
        try:
            if not self.life.errors.found:
                self.life.finish()
        finally:
            self.life.close()
            self.databases.drop(self.url)

    @initialize(data=st.data())
    def first_consultations(self, data: st.DataObject) -> None:
        for who, said in (("suzuki", "受付 介護 困窮"), ("sato", "受付 仕事 ひきこもり 北部"), ("mori", "受付 障害 急ぎ")):
            self.life.say(who, said)
        for number, who in zip(self.life.numbers, ("suzuki", "sato", "mori"), strict=True):
            if data.draw(st.booleans(), "prepared"):
                self.life.say(who, f"見立て {number} 続ける")
                self.life.say(who, f"同意 {number} あり")

    def pick(self, data: st.DataObject, label: str) -> Any:
        return lambda several: data.draw(st.sampled_from(list(several)), label)

    def number(self, data: st.DataObject) -> str:
        return str(data.draw(st.sampled_from(self.life.numbers[-6:]), "number"))

    @rule(data=st.data(), many=st.integers(1, 4))
    def somebody_sensible(self, data: st.DataObject, many: int) -> None:
        for _ in range(many):
            who, said = self.life.sensible(self.number(data), self.pick(data, "sensible"))
            self.life.say(who, said, send=data.draw(st.integers(0, 9), "send") > 0)

    @rule(data=st.data(), who=st.sampled_from(PEOPLE))
    def somebody_presses(self, data: st.DataObject, who: str) -> None:
        found = self.life.buttons(who)
        if found:
            token, says, _label = data.draw(st.sampled_from(found[:40]), "button")
            self.life.press(who, token, says)

    @rule(who=st.sampled_from(PEOPLE), concerns=st.lists(st.sampled_from(CONCERNS), min_size=1, max_size=3), rest=st.sampled_from(("", "急ぎ", "緊急", "北部")))
    def a_consultation(self, who: str, concerns: list[str], rest: str) -> None:
        self.life.say(who, f"受付 {' '.join(concerns)} {rest}".strip())

    @rule(data=st.data(), who=st.sampled_from(PEOPLE), form=st.sampled_from(FORMS), outside=st.integers(0, 3), numbered=st.integers(0, 3))
    def somebody_tries_a_word(self, data: st.DataObject, who: str, form: str, outside: int, numbered: int) -> None:
        number = self.number(data) if numbered else ""
        ordinal = data.draw(st.sampled_from(("", "", "#1", "#2", "#3", "#77")), "ordinal") if numbered else ""
        rest = data.draw(st.lists(st.sampled_from(ARGUMENTS), max_size=3), "arguments")
        words = " ".join(filter(None, (form, f"{number}{ordinal}", *rest)))
        self.life.say(who, words, outside=not outside and who in LINKED, room=data.draw(st.sampled_from((None, None, self.life.place.staff[who].agency)), "room"))

    @rule(who=st.sampled_from((*PEOPLE, "nobody")), said=st.one_of(st.sampled_from(SILLY), st.text(max_size=60)), outside=st.booleans())
    def somebody_silly(self, who: str, said: str, outside: bool) -> None:
        if outside or said:
            self.life.say(who, said or "？", outside=outside)

    @rule(data=st.data())
    def the_same_event_again(self, data: st.DataObject) -> None:
        self.life.twice(*self.life.sensible(self.number(data), self.pick(data, "again")))

    @rule(who=st.sampled_from(PEOPLE), when=st.sampled_from(("明日 6/30", "6/10 6/20 代理 田中", "3日後")), whose=st.sampled_from(("", "鈴木 ", "森 ")))
    def somebody_is_away(self, who: str, when: str, whose: str) -> None:
        self.life.say(who, f"不在 {whose}{when}")

    @rule(span=SPANS)
    def time_passes(self, span: timedelta) -> None:
        self.life.turn(span)

    @rule(span=SPANS)
    def everybody_sleeps(self, span: timedelta) -> None:
        self.life.turn(span, asleep=True)

    @precondition(lambda self: self.life.numbers)
    @rule(weather=st.sampled_from(("fine", "fine", "fog", "gone")))
    def the_platform_has_moods(self, weather: str) -> None:
        self.life.toy.weather = weather

    @rule(data=st.data(), agencies=st.lists(st.sampled_from(AGENCIES), min_size=2, max_size=3, unique=True))
    def everybody_says_no(self, data: st.DataObject, agencies: list[str]) -> None:
        """A need that is refused again and again."""
        number = self.number(data)
        case = self.life.case(number)
        lead = case.lead or "takahashi"
        for agency in agencies:
            self.life.say(lead, f"依頼 {number} 就労相談 {agency}")
            for h in self.life.case(number).asked:
                who = self.life.place.members[h.to_agency][0].code
                self.life.say(who, f"辞退 {number}#{h.no} 定員")


def lives(kind: str, databases: Databases, tmp_path: Path, examples: int, steps: int) -> None:
    """Let towns live in databases of a kind."""

    class Lives(TownLives):
        pass

    Lives.kind, Lives.databases, Lives.var = kind, databases, tmp_path
    bound = settings(settings() if SWEEP else settings(max_examples=examples, stateful_step_count=steps))
    try:
        run_state_machine_as_test(Lives, settings=bound)
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)
        note(f"{kind}: {examples} lives of {steps} steps")


def test_every_promise_holds_in_lives_on_sqlite(databases: Databases, tmp_path: Path) -> None:
    lives("sqlite", databases, tmp_path, 14, 40)


def test_every_promise_holds_in_lives_on_postgresql(databases: Databases, tmp_path: Path) -> None:
    lives("postgresql", databases, tmp_path, 3, 25)
