"""What a command is handed: who speaks, what they said, and how to find the case, handoff, agency, person or day they meant.

Everything ambiguous becomes a choice (workflow.md §5): a finder that cannot decide raises a Refusal with choices.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TypeVar

from rapidfuzz import fuzz

from adapters.base import Choice, Message
from bot.voice import Voice, voice_for
from bot.voice.buttons import Buttons
from bot.voice.cards import card
from bot.voice.scene import Scene
from bot.words import Words, at_local, find_clock, find_day, fold
from storage import cases, marks, texts
from storage.cases import CaseRow
from storage.tx import Tx
from workflow import number as numbers
from workflow import refusals as no
from workflow.calendar import Hours
from workflow.case import Case, Handoff, Wait
from workflow.outcome import Act, Notice
from workflow.path import edge, moves
from workflow.people import Agency, Code, Duty, Role, Staff, Town
from workflow.sight import Sight
from workflow.who import receivers, stands

T = TypeVar("T")

#: Meant as a day, even when there is none like it (2/30): then no usual day is put in its place.
DATED = re.compile(r"\d{1,2}\s?[/月]\s?\d{1,2}|\d{4}-\d{1,2}-\d{1,2}")

MOST_CHOICES = 5
#: How many of somebody's cases are looked through for the one open question that a bare word may answer.
LOOKED_THROUGH = 80


@dataclass(slots=True)
class Reply:
    """An answer that moves no case: a list, a page of help, a call; with what it tells to others."""

    message: Message
    number: str | None = None
    notices: tuple[Notice, ...] = ()
    calls: tuple[Wait, ...] = ()
    refused: str | None = None
    must: bool = False  #: numbers to dial: it goes once more, marked, when it may or may not have arrived


@dataclass(slots=True)
class Ask:
    """One request of one speaker, inside one transaction."""

    tx: Tx
    town: Town
    speaker: Staff
    agency: str  #: the one they speak for
    now: datetime
    surface: str
    inside: bool
    words: Words
    rest: str  #: what stands behind the command's word
    fresh: Callable[[], int]
    room: str | None = None
    confirmed: bool = False
    account: str = ""  #: the speaker's account on this surface
    tried: dict[str, deque[float]] = field(default_factory=dict)  #: codes brought lately, by account
    command: str = ""
    call: int | None = None  #: the wait without a case whose card was pressed
    cached: list[Case] | None = None
    dropped: bool = False  #: words were written beside the command outside, and not kept (workflow.md §6)
    lock: bool = True  #: the rows of cases that are named, until the end; without it who was slower begins anew
    seen: Case | None = None  #: the case this was about, for the sentence of a refusal

    @property
    def sight(self) -> Sight:
        """Whose eyes every list is for."""
        return Sight(self.speaker, self.town, self.now)

    def act(self) -> Act:
        return Act(self.speaker, self.now, self.town, self.surface, self.fresh, self.agency)

    @property
    def tokens(self) -> list[str]:
        return [t for t in re.split(r"[\s,、・/｜|]+", self.rest) if t]

    @property
    def today(self) -> date:
        return self.now.astimezone(self.town.tz).date()

    # -- cases

    def case(self) -> Case:
        """The case that the words name: by number, by 目印, or the only one it can be."""
        found = self.named_case()
        if found is None:
            raise no.WhichCase(choices=self._which(self.mine()))
        return self.allowed(found)

    def named_case(self) -> Case | None:
        if self.words.number:
            return self._by_number(self.words.number)
        for token in self.words.tokens:
            case_id = marks.case_for_mark(self.tx, self.speaker.code, token)
            if case_id is not None and not self.sight.hides(found := self.load(case_id)):
                self.rest = " ".join(t for t in self.tokens if t != token)
                return found
        return None

    def _by_number(self, number: str) -> Case:
        if not numbers.valid(number):
            raise no.WrongCheckDigit(number=number, choices=self._near(number))
        found = cases.load(self.tx, number, lock=self.lock)
        if found is None or self.sight.hides(found):
            raise self.no_such(number)
        return found

    def no_such(self, number: str) -> no.NoSuchCase:
        """What is said of a number that does not exist, and of a case that nobody else is to know of."""
        return no.NoSuchCase(number=number, choices=self._near(number))

    def load(self, case_id: int) -> Case:
        """Read a case by its id."""
        found = cases.load(self.tx, case_id, lock=self.lock)
        if found is None:
            raise no.NoSuchCase(number="")
        return found

    def _near(self, number: str) -> tuple[tuple[str, str], ...]:
        """Cases of this speaker whose number is one digit away: 「こちらのことでしょうか」."""
        mine = {row.number for row in self.rows()}
        if self.sight.everything:
            mine |= {row.number for row in cases.find_numbers(self.tx, self.sight, numbers.neighbours(number))}
        near = [n for n in numbers.neighbours(number) if n in mine][:3]
        word = self.words.rest.strip()
        return tuple((n, f"{word} {n}".strip()) for n in near)

    def allowed(self, case: Case) -> Case:
        if not self.sight.knows(case):
            raise no.NotYourCase(number=case.number)
        self.seen = case
        return case

    def mine(self) -> list[Case]:
        """The cases that this person leads, holds, sent or is asked about, oldest first."""
        if self.cached is None:
            self.cached = self._load_mine()
        return self.cached

    def rows(self) -> list[CaseRow]:
        """Their cases as light rows, each once, the nearest due first."""
        stakes = cases.of_staff(self.tx, self.sight)
        return list({stake.case.id: stake.case for stake in stakes}.values())

    def _load_mine(self) -> list[Case]:
        return cases.load_several(self.tx, [row.id for row in self.rows()[:LOOKED_THROUGH]])

    def _which(self, found: Iterable[Case]) -> tuple[tuple[str, str], ...]:
        said = self.words.rest.strip()
        return tuple((self.named(c), f"{said} {c.number}") for c in list(found)[:MOST_CHOICES])

    def mark(self, case_id: int) -> str:
        """This reader's own 目印 for a case."""
        return marks.mark_for(self.tx, self.speaker.code, case_id, self.town.marks)

    def named(self, case: Case) -> str:
        return f"{case.number} {self.mark(case.id)}".strip()

    # -- handoffs

    def pick(
        self, *events: str, duty: str | None = None, where: Callable[[Handoff], bool] | None = None
    ) -> tuple[Case, Handoff]:
        """The handoff that the words mean: the one of the number that this event and speaker fit, else a choice.

        Without a number: the only one in all of the speaker's cases.
        """
        named = self.named_case()
        if named is None:
            return self._only(events, duty, where)
        case = self._answerable(named)
        fitting = self._fitting(case, events, duty, where)
        if self.words.ordinal is not None:
            chosen = next((h for h in case.handoffs if h.no == self.words.ordinal), None)
            if chosen is None:
                raise no.NoOfferWaiting(number=case.number)
            return case, chosen
        if len(fitting) > 1:
            raise no.WhichHandoff(number=case.number, choices=self._handoff_choices(case, fitting))
        if fitting:
            return case, fitting[0]
        return case, self._nearest_miss(case, duty)

    def _answerable(self, case: Case) -> Case:
        """Whoever was asked may answer, also late: they hear what became of the offer, not what became of the case."""
        if any(set(self.speaker.agencies) & {h.to_agency} for h in case.handoffs):
            self.seen = case
            return case
        return self.allowed(case)

    def _fitting(
        self, case: Case, events: Sequence[str], duty: str | None, where: Callable[[Handoff], bool] | None
    ) -> list[Handoff]:
        fitting = []
        for handoff in case.handoffs:
            if duty and handoff.duty != duty:
                continue
            if where is not None:
                if where(handoff):
                    fitting.append(handoff)
                continue
            for event in events:
                if event in moves("handoff", handoff.state) and self._may(case, handoff, event):
                    fitting.append(handoff)
                    break
        own = [
            h for h in fitting if self.speaker.code in (h.holder, h.to_staff) or h.to_agency in self.speaker.agencies
        ]
        return own if own and self.speaker.has(Role.COORDINATOR) else fitting

    def _may(self, case: Case, handoff: Handoff, event: str) -> bool:
        actors = edge("handoff", event, handoff.state).actors
        return any(stands(a, self.speaker, case, self.town, self.now, handoff=handoff) for a in actors)

    def _nearest_miss(self, case: Case, duty: str | None) -> Handoff:
        """Nothing fits: the newest handoff that concerns the speaker, so that the domain says why not."""
        mine = [
            h for h in case.handoffs
            if (duty is None or h.duty == duty)
            and (self.speaker.code in (h.holder, h.sender, h.to_staff) or h.to_agency in self.speaker.agencies)
        ]  # fmt: skip
        found = mine or [h for h in case.handoffs if duty is None or h.duty == duty]
        if not found:
            raise no.NoOfferWaiting(number=case.number)
        return found[-1]

    def _only(
        self, events: Sequence[str], duty: str | None, where: Callable[[Handoff], bool] | None
    ) -> tuple[Case, Handoff]:
        found = [(c, h) for c in self.mine() if c.open for h in self._fitting(c, events, duty, where)]
        mine = [(c, h) for c, h in found if self._personally(c, h, events)]
        found = mine or found
        if not found:
            raise no.NothingToAnswer()
        if len(found) > 1:
            said = self.words.rest.strip()
            choices = tuple((self._labelled(c, h), f"{said} {c.number}#{h.no}") for c, h in found[:MOST_CHOICES])
            raise no.WhichCase(choices=choices, count=len(found))
        case, handoff = found[0]
        locked = self.load(case.id)
        return locked, next(h for h in locked.handoffs if h.id == handoff.id)

    def _personally(self, case: Case, handoff: Handoff, events: Sequence[str]) -> bool:
        me = self.speaker.code
        if handoff.asked and not {"agree", "without", "answer", "withdraw", "mistake"} & set(events):
            return me == handoff.to_staff or (handoff.to_staff is None and handoff.to_agency in self.speaker.agencies)
        return me in ((handoff.sender,) if handoff.asked else (handoff.holder,))

    def _handoff_choices(self, case: Case, found: Sequence[Handoff]) -> tuple[tuple[str, str], ...]:
        said = self.words.rest.strip()
        return tuple(
            (self._labelled(case, h, with_number=False), f"{said} {case.number}#{h.no}") for h in found[:MOST_CHOICES]
        )

    def _labelled(self, case: Case, handoff: Handoff, *, with_number: bool = True) -> str:
        duty = self.voice.label("duty", handoff.duty)
        return f"{self.named(case)} {duty}" if with_number else f"{duty} {self.voice.agency(handoff.to_agency)}"

    def only_case(self, fits: Callable[[Case], bool], candidates: Iterable[int] = ()) -> Case:
        """The case named, or the only one that fits: for words about a case (承認, 気がかり, 話しました)."""
        named = self.named_case()
        if named is not None:
            return self.allowed(named)
        found = [c for c in self.mine() if c.open and fits(c)]
        known = {c.id for c in found}
        found += [c for i in candidates if i not in known and (c := cases.load(self.tx, i, lock=False)) and fits(c)]
        if not found:
            raise no.NothingToAnswer()
        if len(found) > 1:
            raise no.WhichCase(choices=self._which(found), count=len(found))
        return self.load(found[0].id)

    def waiting_for(self, *kinds: str) -> list[int]:
        """Cases with such an open wait, whoever leads them: where somebody beside the team has to act."""
        return [found.case.id for found in cases.open_waits(self.tx, self.sight, kinds=kinds, limit=LOOKED_THROUGH)]

    # -- codes, agencies, people

    def duty(self, text: str) -> Duty:
        return self._one(text, self.town.duties, lambda d: (d.code, d.label), no.NoSuchDuty, no.WhichDuty)

    def find_agency(self, text: str) -> Agency:
        shown = self.town.agencies
        return self._one(text, shown, lambda a: (a.code, a.name), no.NoSuchAgency, no.WhichAgency)

    def person(self, text: str, agency: str | None = None) -> Staff:
        """Somebody by code, name or a part of it; 「北/鈴木」 or a person of the given agency."""
        pool = {s.code: s for s in (self.town.members.get(agency, ()) if agency else self.town.staff.values())}
        text = text.removesuffix("さん")
        return self._one(text, pool, lambda s: (s.code, s.name), no.NoSuchPerson, no.WhichPerson)

    def _one(
        self, text: str, pool: Mapping[str, T], names: Callable[[T], tuple[str, str]],
        none: type[no.Refusal], several: type[no.Refusal],
    ) -> T:  # fmt: skip
        """Exact code or name, else the unique one that contains the text, else choices (never a guess)."""
        wanted = fold(text)
        if not wanted:
            raise none(text=text, choices=self._named_choices(list(pool.values())[:MOST_CHOICES], names, text))
        exact = [x for x in pool.values() if wanted in map(fold, names(x))]
        part = exact or [x for x in pool.values() if any(wanted in fold(n) for n in names(x))]
        if len(part) == 1:
            return part[0]
        if part:
            raise several(text=text, choices=self._named_choices(part[:MOST_CHOICES], names, text))
        near = sorted(pool.values(), key=lambda x: -max(fuzz.ratio(wanted, fold(n)) for n in names(x)))
        close = [x for x in near if max(fuzz.ratio(wanted, fold(n)) for n in names(x)) >= 50][:3]
        raise none(text=text, choices=self._named_choices(close, names, text))

    def _named_choices(
        self, found: Iterable[T], names: Callable[[T], tuple[str, str]], instead_of: str
    ) -> tuple[tuple[str, str], ...]:
        """The same words with each possible name in place of what was typed."""
        return tuple((names(x)[1], self.resay(instead_of, names(x)[0])) for x in found)

    def resay(self, instead_of: str, name: str) -> str:
        """Say the same again with one part replaced (or added)."""
        number = f"{self.words.number or ''}{f'#{self.words.ordinal}' if self.words.ordinal else ''}"
        body = self.words.rest
        body = body.replace(instead_of, name, 1) if instead_of and instead_of in body else f"{body} {name}"
        head, _, tail = body.partition(" ")
        return " ".join(filter(None, (head, number, tail.strip())))

    def code(self, text: str, codes: Mapping[str, Code], word: str = "") -> Code:
        """A line of a code list by code, label or part of it; without text: the whole list as choices."""
        return self._one(text, codes, lambda c: (c.code, c.label), no.NoSuchCode, no.NoSuchCode)

    def concerns(self, tokens: Iterable[str]) -> tuple[str, ...]:
        """Concern codes by code, label or short name."""
        return tuple(dict.fromkeys(self.concern(t).code for t in tokens))

    def concern(self, text: str) -> Code:
        known = self.town.concerns
        short = next((c for c in known.values() if fold(text) in (fold(c.short), fold(c.code))), None)
        if short:
            return short
        return self._one(text, known, lambda c: (c.code, c.label), no.NoSuchConcern, no.NoSuchConcern)

    # -- days

    def day(self, *, required: bool = True, hours: Hours | None = None) -> datetime | None:
        """The moment a day in the words means: its clock time if said, else the end of that business day in these hours.

        Without `hours` those of the agency spoken for.
        """
        found = find_day(self.rest, self.today)
        if found is None:
            if required or DATED.search(self.rest):
                raise no.NoSuchDay(text=self.rest)
            return None
        clock = find_clock(re.sub(r"\d{1,4}[-/.年月]\d{1,2}([-/.月日]\d{1,2}日?)?", " ", self.rest))
        if clock:
            return at_local(found, clock, self.town.tz)
        hours = hours or self.town.agencies[self.agency or self.town.body.code].hours
        return hours.end_of_day(at_local(found, (0, 0), self.town.tz))

    def text(self, household: int | None, text: str) -> int | None:
        """Seal what somebody wrote; only inside, and only its id travels."""
        if text.strip() and not self.inside:
            self.dropped = True
        if not text.strip() or not self.inside:
            return None
        return texts.put(self.tx, household, text.strip(), self.speaker.code, self.now)[0]

    # -- answers

    @property
    def voice(self) -> Voice:
        return voice_for(self.town, self.speaker.language or self.town.language, outside=not self.inside)

    def told(
        self,
        key: str,
        *,
        number: str | None = None,
        notices: tuple[Notice, ...] = (),
        calls: tuple[Wait, ...] = (),
        **params: object,
    ) -> Reply:
        """A one-sentence answer."""
        return Reply(Message(self.voice.say(key, number=number or "", **params)), number, notices, calls)

    def card_of(self, case: Case, wait: Wait, *, left: int = 0) -> Message:
        """One open question as its card; `left` says how many more there are."""
        handoff = case.handoff(wait.handoff) if wait.handoff else None
        kind = "offer" if wait.kind in ("react", "decide") and handoff else "ring"
        data = {"what": wait.kind, "act": "ask", "due": wait.due_at.isoformat(), "subject": wait.subject}
        made = card(
            kind, data, case, handoff, wait, reader=self.speaker, room=None, town=self.town, at=self.now, voice=self.voice,
            mark=self.mark(case.id),
        ).message()  # fmt: skip
        more = (Choice(self.voice.say("button.next", count=left), "つぎへ", "quiet"),) if left > 0 else ()
        return replace(made, choices=(*made.choices, *more))

    def summary(self, case: Case) -> Message:
        """A case at a glance."""
        made = card(
            "summary", {}, case, None, None, reader=self.speaker, room=None, town=self.town, at=self.now, voice=self.voice,
            mark=self.mark(case.id),
        )  # fmt: skip
        message = made.message()
        return replace(message, choices=(*message.choices, *self._own_buttons(case)))

    def _own_buttons(self, case: Case) -> Iterable[Choice]:
        """What this reader may do here beside the answers that are asked for: every event has a button (I29)."""
        if not case.open or case.deceased:
            return
        mine = [h for h in case.handoffs if (h.asked or h.held) and self._concerns_me(h)]
        named = [h for h in mine if self.words.ordinal in (None, h.no)]
        if len(named) == 1:
            yield from self._buttons_of(case, named[0])
        else:
            yield from (
                Choice(self._labelled(case, h, with_number=False), f"{case.number}#{h.no}")
                for h in named[:MOST_CHOICES]
            )
        if stands("lead", self.speaker, case, self.town, self.now):
            yield Choice(self.voice.say("button.issues"), f"困りごと {case.number}")
            yield Choice(self.voice.label("stage", "suspended"), f"中断 {case.number}", "quiet")
            yield Choice(self.voice.label("stage", "closed"), f"終結 {case.number}", "quiet")

    def _concerns_me(self, handoff: Handoff) -> bool:
        me = self.speaker
        if me.has(Role.COORDINATOR):
            return True
        if handoff.held:
            return me.code in (handoff.holder, handoff.sender)
        return me.code in (handoff.sender, *receivers(handoff, self.town, self.now))

    def _buttons_of(self, case: Case, handoff: Handoff) -> Iterable[Choice]:
        scene = Scene(
            "summary", {}, case, handoff, None, self.speaker, None, self.town, self.now, self.voice, self.mark(case.id)
        )  # fmt: skip
        held: tuple[str, ...] = ("connect", "attempt", "calm", "worry", "hold", "resume", "complete", "release", "fail")
        asked: tuple[str, ...] = ("accept", "accept_if", "consider", "ask", "place_free", "waitlist", "decline")
        asked = (*asked, "answer", "agree", "without")
        if self.speaker.volunteer:
            held, asked = ("calm", "worry", "seen", "missed", "cannot"), ("accept", "decline_plain")
        return (
            Buttons(scene)
            .add(*(held if handoff.held else asked), "withdraw", "mistake", quiet=("withdraw", "mistake"))
            .done()
        )
