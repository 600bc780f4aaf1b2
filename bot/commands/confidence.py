"""Words about who may know a case: 限定, 除く, 保護, なぜ. They are said inside alone."""

from collections.abc import Iterable
from typing import Final

from adapters.base import Message
from bot.ask import Ask, Reply
from bot.commands.book import command
from bot.voice.why import worded
from workflow import confidence
from workflow import refusals as no
from workflow.case import Case
from workflow.outcome import Outcome

LIFTED: Final = "解除"
RESTRICTED: Final = {
    "DV等の避難": "shelter", "DV": "shelter", "避難": "shelter", "職員の身内": "kin", "身内": "kin", "著名": "known", "相手方": "opponent",
    "その他": "other",
}  # fmt: skip
FLAGS: Final = {"支援措置": "measures", "避難中": "sheltered"}


@command("限定 番号 理由 調整役", "lead", also="げんてい restrict", inside=True)
def restrict(ask: Ask) -> Outcome:
    """Only the team knows the case from now on, with one coordinator by name; 限定 番号 解除 lifts it."""
    case = ask.case()
    if LIFTED in ask.tokens:
        return confidence.lift(case, ask.act())
    confidence.must_keep(case, ask.act())
    why = next((RESTRICTED[t] for t in ask.tokens if t in RESTRICTED), None)
    if why is None:
        words = [LIFTED] if case.restricted else [w for w, code in RESTRICTED.items() if w == _said(code, RESTRICTED)]
        raise no.WordsMissing(what="restricted", number=case.number, choices=_choices("限定", case, words))
    overseer = _overseer(ask, case, f"限定 {case.number} {_said(why, RESTRICTED)}")
    return confidence.restrict(case, why, overseer, ask.act())


def _said(code: str, words: dict[str, str]) -> str:
    """The first word of a code: what a button says."""
    return next(word for word, meant in words.items() if meant == code)


def _choices(word: str, case: Case, tails: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((tail, f"{word} {case.number} {tail}") for tail in tails)


def _overseer(ask: Ask, case: Case, says: str) -> str:
    """見る調整役: whoever is named, else the speaker who is a coordinator, else the only one; else it is asked."""
    fitting = confidence.overseers(case, ask.town)
    names = {t.removesuffix("さん") for t in ask.tokens}
    named = [c for c in fitting if {c, ask.town.staff[c].name} & names]
    own = [c for c in fitting if c == ask.speaker.code]
    found = named or own or (fitting if len(fitting) == 1 else ())
    if not found:
        choices = tuple((ask.voice.person(c), f"{says} {c}") for c in fitting)
        raise no.WordsMissing(what="overseer", number=case.number, choices=choices)
    return found[0]


@command("除く 番号 機関", "lead", also="のぞく 除外 exclude", heard="覗く", inside=True)
def exclude(ask: Ask) -> Outcome:
    """An agency that serves the other party is not asked, and its people know nothing of the case; … 解除 takes it back."""
    case = ask.case()
    confidence.must_keep(case, ask.act())
    named = [t for t in ask.tokens if t != LIFTED]
    agency = ask.find_agency(named[0] if named else "")
    move = confidence.unbar if LIFTED in ask.tokens else confidence.bar
    return move(case, agency.code, ask.act())


@command("保護 番号 支援措置｜避難中｜解除", "team", also="ほご protect", inside=True)
def protect(ask: Ask) -> Outcome:
    """支援措置 or 避難中, at once: shown wherever the case is, kept off paper; with the first one the case is restricted."""
    case = ask.case()
    act = ask.act()
    if LIFTED in ask.tokens:
        return confidence.unprotect(case, act)
    confidence.must_protect(case, act)
    flag = next((FLAGS[t] for t in ask.tokens if t in FLAGS), None)
    if flag is None:
        words = [w for w, code in FLAGS.items() if code not in case.flags] + ([LIFTED] if case.flags else [])
        raise no.WordsMissing(what="flag", number=case.number, choices=_choices("保護", case, words))
    wanted = confidence.restricts(case)
    overseer = _overseer(ask, case, f"保護 {case.number} {_said(flag, FLAGS)}") if wanted else None
    return confidence.protect(case, flag, overseer, act)


@command("なぜ 番号", "everyone", also="何故 why", inside=True)
def why_(ask: Ask) -> Reply:
    """Why one can see a case. Of one that one may not see the answer is that of a number which does not exist."""
    case = ask.named_case() or ask.case()
    reason = ask.sight.why(case)
    if reason is None:
        raise ask.no_such(case.number)
    return Reply(
        Message(ask.voice.say("did.why", number=case.number, why=worded(reason, ask.voice, ask.now))), case.number
    )
