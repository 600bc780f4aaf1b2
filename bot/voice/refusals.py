"""Every "no" in words: what happened, why, and what can be done, as buttons."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from adapters.base import Choice, Message
from bot.voice.buttons import short
from bot.voice.speech import Voice
from workflow import refusals as no
from workflow.case import Case
from workflow.path import HANDOFF_STATES, STAGES
from workflow.refusals import Refusal

Pair = tuple[str, str]  #: label, says
MOST: Final = 12


def word(refusal: Refusal, voice: Voice, now: datetime, *, number: str = "", case: Case | None = None) -> Message:
    """Word a refusal for the person who asked; its own choices first, then the words that help in general.

    `case` lets FactsMissing name every issue that nobody holds.
    """
    name = type(refusal).__name__
    number = str(refusal.about.get("number") or number or (case.number if case else ""))
    words = {"number": number, **_words(refusal, voice, now)}
    key = _key(name, refusal, voice, words)
    text = voice.say(key, **words)
    if isinstance(refusal, no.FactsMissing):
        facts = _missing(refusal)
        lines = [voice.say("refusal.FactsMissing.line", fact=voice.say(f"fact.{g}")) for g in facts]
        text = "\n".join([voice.say(key, **(words | {"n": len(facts)})), *lines])
    return Message(text, choices=tuple(_choices(refusal, voice, number, case)))


def _key(name: str, refusal: Refusal, voice: Voice, words: Mapping[str, str]) -> str:
    """Pick the wording that fits what is known."""
    about = refusal.about
    key = f"refusal.{name}"
    match refusal:
        case no.NoSuchCase() | no.WrongCheckDigit() | no.WhichCase() if not refusal.choices:
            key += ".none"
        case no.NoSuchDay() | no.NoSuchCode() if not about.get("text"):
            key += ".none"
        case no.NothingToUndo() if about.get("command"):
            key += ".command"
        case no.WordsMissing() if voice.has(f"{key}.{about.get('what')}"):
            key += f".{about['what']}"
        case no.DayOutOfRange() if about.get("notice"):
            key += ".notice"
        case no.DayOutOfRange() if about.get("past"):
            key += ".past"
        case no.ConsentForConference() | no.ConsentForPlan() if voice.outside:
            key += ".outside"
        case no.NotYours() if not words.get("whose"):
            key += ".role"
        case no.LeadOnly() if not about.get("lead"):
            key += ".interim"
        case no.NotFromHere() if about.get("graph") == "handoff":
            key += ".handoff"
        case no.AlreadyTaken() if about.get("at"):
            key += ".at"
    return key if voice.has(key) else "refusal.unknown"


# -- the places of a sentence


def _words(refusal: Refusal, voice: Voice, now: datetime) -> dict[str, str]:
    found = {"body": voice.agency(voice.town.body.code)}
    for key, value in refusal.about.items():
        made = _word(key, value, refusal, voice, now)
        if made:
            found[key] = made
    about = refusal.about
    whose = [
        voice.agency(str(about["agency"])) if about.get("agency") else "",
        voice.person(str(about["holder"])) if about.get("holder") else "",
    ]
    found["whose"] = " ".join(filter(None, whose))
    if "list" in about:
        found.setdefault("word", str(about["list"]))
    return repeated(found, voice)


def repeated(found: dict[str, str], voice: Voice) -> dict[str, str]:
    """What was typed is said again inside; outside never (workflow.md §6)."""
    return found | {"text": voice.say("refusal.that_word")} if voice.outside and found.get("text") else found


def _word(key: str, value: object, refusal: Refusal, voice: Voice, now: datetime) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, datetime):
        return voice.moment(value, now)
    if isinstance(value, tuple | list):
        return _several(key, [str(v) for v in value], voice)
    text = str(value)
    match key:
        case "holder" | "person" | "lead" | "by":
            return voice.person(text)
        case "agency":
            return voice.agency(text)
        case "duty" | "stage" | "conference_state":
            return voice.label(key, text)
        case "state":
            return _state(text, refusal, voice)
        case "what":
            return voice.say(f"missing.{text}") if voice.has(f"missing.{text}") else voice.say("missing.other")
    return text


def _several(key: str, values: list[str], voice: Voice) -> str:
    match key:
        case "approvers":
            return voice.join([voice.person(v) for v in values])
        case "actors":
            return voice.join([voice.label("relation", v) for v in values])
        case "agencies" | "candidates":
            return voice.join([voice.agency(v) for v in values])
    return voice.join(values)


def _state(state: str, refusal: Refusal, voice: Voice) -> str:
    """A state of whichever graph the refusal speaks of, or what AlreadyDone says of the case's own facts."""
    graph = refusal.about.get("graph")
    for kind, known in (("stage", STAGES), ("handoff_state", HANDOFF_STATES)):
        if state in known and graph in (None, "case" if kind == "stage" else "handoff"):
            return voice.label(kind, state)
    if graph == "issue":
        return voice.label("issue_status", state)
    return next((label for kind in ("done", "urgency") if (label := voice.label(kind, state)) != state), state)


# -- what can be done


def _choices(refusal: Refusal, voice: Voice, number: str, case: Case | None) -> Iterable[Choice]:
    own = [Choice(short(label), says) for label, says in refusal.choices]
    made = HELP.get(type(refusal))
    pairs = list(made(refusal, voice, number, case)) if made else []
    if not own and not pairs and isinstance(refusal, _LOOK):
        pairs = _look(voice, number)
    seen: dict[str, Choice] = {}
    for choice in (*own, *(Choice(short(label), says) for label, says in pairs)):
        seen.setdefault(choice.says, choice)
    return list(seen.values())[: max(MOST, len(own))]


Help = Callable[[Refusal, Voice, str, Case | None], Iterable[Pair]]


def _button(voice: Voice, name: str, says: str, **words: object) -> Pair:
    return voice.say(f"button.{name}", **words), says


def _look(voice: Voice, number: str) -> list[Pair]:
    """See how it stands, or go on with the day."""
    seen = [_button(voice, "show", number)] if number else []
    return [*seen, _button(voice, "next", "つぎへ")]


_LOOK: Final = (
    no.NotFromHere, no.OfferSettled, no.OfferEnded, no.NoOfferWaiting, no.AlreadyDone, no.AlreadyTaken, no.AlreadyAsked, no.OwnerAlready,
    no.OldButton, no.SomebodyElseActed, no.NothingToAnswer, no.NothingToSend, no.NothingToUndo, no.DeceasedQuiet,
)  # fmt: skip


def _list(_r: Refusal, voice: Voice, _n: str, _c: Case | None) -> Iterable[Pair]:
    yield _button(voice, "list", "一覧")


def _ask_coordinator(_r: Refusal, voice: Voice, number: str, _c: Case | None) -> Iterable[Pair]:
    yield _button(voice, "ask_coordinator", f"相談 {number}".strip())


def _undone(refusal: Refusal, voice: Voice, number: str, case: Case | None) -> Iterable[Pair]:
    return _ask_coordinator(refusal, voice, number, case) if refusal.about.get("command") else _look(voice, number)


def _help(_r: Refusal, voice: Voice, _n: str, _c: Case | None) -> Iterable[Pair]:
    yield _button(voice, "help", "ヘルプ")
    yield _button(voice, "today", "今日")


def _reopen(_r: Refusal, voice: Voice, number: str, _c: Case | None) -> Iterable[Pair]:
    yield _button(voice, "reopen", f"再相談 {number}".strip())


def _begin_anew(_r: Refusal, voice: Voice, _n: str, _c: Case | None) -> Iterable[Pair]:
    yield _button(voice, "intake", "受付")


def _no_basis(refusal: Refusal, voice: Voice, number: str, _c: Case | None) -> Iterable[Pair]:
    agency = refusal.about.get("agency", "")
    yield _button(voice, "consent_full", f"同意 {number} あり {agency}".strip())
    yield _button(voice, "basis", f"根拠 {number} {agency}".strip())
    yield _button(voice, "probe", f"打診 {number} {refusal.about.get('duty', '')}".strip())


def _city(_r: Refusal, voice: Voice, number: str, _c: Case | None) -> Iterable[Pair]:
    """Without consent the road is the city's. Which conference it is stays inside (workflow.md §6)."""
    if not voice.outside:
        yield _button(voice, "ask_city", f"会議 {number} 支援")
        yield _button(voice, "consent_full", f"同意 {number} あり")


def _declined_lately(refusal: Refusal, voice: Voice, number: str, _c: Case | None) -> Iterable[Pair]:
    duty = str(refusal.about.get("duty", ""))
    named = refusal.about.get("candidates", ())
    for code in named if isinstance(named, tuple | list) else ():
        says = " ".join(filter(None, ("依頼", number, duty, str(code))))
        yield _button(voice, "offer_to", says, agency=voice.agency(str(code)))


def _danger(_r: Refusal, voice: Voice, _n: str, _c: Case | None) -> Iterable[Pair]:
    yield _button(voice, "danger", "緊急")


def _answers(_r: Refusal, voice: Voice, number: str, _c: Case | None) -> Iterable[Pair]:
    yield _button(voice, "accept", f"引受 {number}".strip())
    yield _button(voice, "decline", f"辞退 {number}".strip())


#: The codes a reason may be, with the words that say them.
LOWERING: Final = {"calmer": "落ち着いた", "handled": "対応済み", "mistake": "まちがい"}
REINTAKE: Final = {"retake": "受け直し", "other_household": "別世帯", "wrong_desk": "窓口ちがい", "other": "その他"}


def _reasons(refusal: Refusal, voice: Voice, number: str, _c: Case | None) -> Iterable[Pair]:
    """The reasons of the list that is asked for, each as the whole words."""
    match refusal.about.get("list"):
        case "lowering":
            return [(voice.label("lowering", code), f"通常 {number} {said}") for code, said in LOWERING.items()]
        case "reintake":
            return [(voice.label("reintake", code), f"移す {number} 受付 {said}") for code, said in REINTAKE.items()]
    return []


# -- FactsMissing: the words of workflow.md §5 that supply each fact


def _missing(refusal: Refusal) -> tuple[str, ...]:
    found = refusal.about.get("missing", ())
    return tuple(str(g) for g in found) if isinstance(found, tuple | list) else ()


def _facts(refusal: Refusal, voice: Voice, number: str, case: Case | None) -> Iterable[Pair]:
    for guard in _missing(refusal):
        if guard == "issues_covered":
            yield from _uncovered(voice, number, case)
            continue
        yield from (_button(voice, name, says.format(n=number)) for name, says in SUPPLIES.get(guard, ()))


SUPPLIES: Final[Mapping[str, tuple[Pair, ...]]] = {
    "screened": (
        ("screen_continue", "見立て {n} 続ける"),
        ("screen_refer", "見立て {n} 他機関へ"),
        ("screen_inform", "見立て {n} 情報提供"),
    ),
    "consent_recorded": (
        ("consent_full", "同意 {n} あり"),
        ("consent_refused", "同意 {n} なし"),
        ("consent_pending", "同意 {n} 未"),
    ),
    "issues_have_wish": (("issues", "困りごと {n}"),),
    "conference_decided": (("conference_none", "会議なし {n}"),),
    "lead_accepted": (("lead_offer", "担当替え {n}"),),
    "one_agency_holds_all": (("offer", "依頼 {n}"),),
    "watcher_accepted": (("watcher", "依頼 {n} 見守り"),),
    "interval_set": (("interval", "間隔 {n} 1か月"),),
    "warning_signs": (("signs", "サイン {n}"),),
    "no_urgent_issue": (("issues", "困りごと {n}"),),
    "no_open_offer": (("withdraw", "取下げ {n}"),),
    "no_accepted_handoff": (("show", "{n}"),),
    "no_danger": (("ask_coordinator", "相談 {n}"),),
    "tracks_ended": (("ask_coordinator", "相談 {n}"),),
    "no_contact_procedure": (("ask_coordinator", "相談 {n}"),),
}


def _uncovered(voice: Voice, number: str, case: Case | None) -> Iterable[Pair]:
    """For every issue that nobody holds: ask somebody, or say that there is no resource, or that it is not wanted."""
    if case is None or not case.issues:
        yield _button(voice, "issues", f"困りごと {number}")
    for issue in case.issues if case else ():
        if issue.status != "open":
            continue
        concern = voice.label("short", issue.concern)
        town = voice.town.concerns.get(issue.concern)
        said = (town.short or town.label) if town else issue.concern
        yield _button(voice, "gap", f"困りごと {number} {said} 資源なし", concern=concern)
        yield _button(voice, "not_wanted", f"困りごと {number} {said} 望まない", concern=concern)
    yield _button(voice, "offer", f"依頼 {number}")


HELP: Final[Mapping[type[Refusal], Help]] = {
    no.NoSuchCase: _list, no.WrongCheckDigit: _list, no.WhichCase: _list, no.NotYourCase: _ask_coordinator, no.UnknownWords: _help,
    no.TooManyWords: _help, no.NotYours: _ask_coordinator, no.CoordinatorsOnly: _ask_coordinator, no.HeadsOnly: _ask_coordinator,
    no.OfficialsOnly: _ask_coordinator, no.LeadOnly: _ask_coordinator, no.TooLateToUndo: _ask_coordinator, no.CoordinatorDecides: _ask_coordinator,
    no.ExtendedTwice: _ask_coordinator, no.NobodyLeftToApprove: _ask_coordinator, no.SecondPersonNeeded: _ask_coordinator,
    no.CaseClosed: _reopen, no.OnlyFigures: _begin_anew, no.NoBasis: _no_basis, no.DeclinedLately: _declined_lately, no.StrangersCannot: _danger, no.BadInvite: _danger,
    no.ReasonMissing: _reasons, no.FactsMissing: _facts, no.ConsideredAlready: _answers, no.AskedTwiceAlready: _answers,
    no.ProposedByLeadPlease: _ask_coordinator, no.ConsentForConference: _city, no.NotAMember: _ask_coordinator,
    no.NothingToUndo: _undone,
}  # fmt: skip
