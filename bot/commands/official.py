"""Words of the city's own desk: the decision on support, convening the 支援会議 (社福法106条の6); and whoever is called answers."""

from bot.ask import Ask
from bot.commands.book import command
from bot.words import whole_number
from storage import cases, conferences
from workflow import conference as decisions
from workflow import facts
from workflow import refusals as no
from workflow.conference import Conference
from workflow.outcome import Outcome


@command("決定 番号", "official", also="けってい 支援決定 decide")
def decide(ask: Ask) -> Outcome:
    """支援決定 by the city; after the fact it settles the 事後承認."""
    case = ask.only_case(lambda c: c.decision in ("asked", "pending"), ask.waiting_for("decision"))
    return facts.decide_support(case, ask.act())


@command("招集 番号", "official", also="召集 しょうしゅう convene")
def convene(ask: Ask) -> Outcome:
    """Convene the 支援会議 that a coordinator asked for, with those at work on the case; others are chosen on its page."""
    case = ask.only_case(lambda c: any(r.kind == "conference" for r in c.requests), ask.waiting_for("conference"))
    asked = [r.by for r in case.requests if r.kind == "conference"]
    if not asked:
        raise no.NothingToAnswer()
    wished = case.conference_at if case.conference_at and case.conference_at > ask.now else None
    members = decisions.usual_members(case, ask.town, *asked)
    called = decisions.call(decisions.SUPPORT, [case], members, ask.day(required=False) or wished, ask.act())
    conferences.insert_one(ask.tx, called.conference)
    return called.outcomes[0]


# -- whoever is called


@command("出席 番号", "asked", also="行けます しゅっせき いけます 出席します")
def attend(ask: Ask) -> Outcome:
    """Come to the conference one is called to."""
    return _answer(ask, "come")


@command("欠席 番号", "asked", also="行けません けっせき いけません 欠席します")
def cannot_attend(ask: Ask) -> Outcome:
    """Not be able to come; whoever called it hears, and one's head may send somebody else."""
    return _answer(ask, "cannot")


def _answer(ask: Ask, said: str) -> Outcome:
    meant = _meant(ask, said)
    whole = [case for i in meant.cases if (case := cases.load(ask.tx, i, lock=ask.lock)) is not None]
    known = conferences.load(ask.tx, meant.id) or meant
    answered = decisions.answer(known, whole, said, ask.act())
    conferences.save(ask.tx, known, answered.conference)
    return answered.outcomes[0]


def _meant(ask: Ask, said: str) -> Conference:
    """The conference whose button was pressed, or that the number names, or the only one whose answer is still open.

    Of others nobody is told that there are any.
    """
    mine = [c for c in conferences.of_staff(ask.tx, ask.speaker.code) if c.convened_by != ask.speaker.code]
    named = ask.named_case()
    found = [c for c in mine if c.state == "planned" and (named is None or named.id in c.cases)]
    pressed = next((n for t in ask.tokens if (n := whole_number(t)) is not None), None)
    answers = [(c, me.answer) for c in found if (me := c.member(ask.speaker.code))]
    open_ = [c for c, given in answers if given is None] or [c for c, given in answers if given != said]
    meant = next((c for c in mine if c.id == pressed), None)
    if meant is None and len(open_) == 1:
        meant = open_[0]
    if meant is None and len(open_) > 1:
        word = ask.words.rest.split(" ")[0]
        raise no.WhichConference(choices=tuple(_choice(ask, c, word) for c in open_))
    if meant is None and not found:
        raise no.NothingToAnswer()
    return meant or found[0]


def _choice(ask: Ask, one: Conference, word: str) -> tuple[str, str]:
    case = ask.load(one.cases[0])
    when = ask.voice.moment(one.at, ask.now) if one.at else ""
    return f"{ask.named(case)} {when}".strip(), f"{word} {case.number} {one.id}"
