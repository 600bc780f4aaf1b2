"""Words about a suspicion of abuse (workflow/report.py): said inside alone. Outside they are answered with numbers to dial."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from adapters.base import Choice, Message
from bot.ask import Ask, Reply
from bot.commands.book import command
from bot.words import at_local, find_clock, find_day
from workflow import call, report
from workflow import refusals as no
from workflow.case import TRACK, Case, Report
from workflow.outcome import Outcome

#: Whatever is said of these outside, the answer is to telephone.
BY_TELEPHONE: Final = frozenset({"abuse", "reported", "seen_safe", "end_report"})

ABUSED: Final = {
    "子ども": "child", "子供": "child", "こども": "child", "児童": "child", "高齢": "elder", "高齢者": "elder", "障害": "disability",
    "障がい": "disability", "障害者": "disability", "dv": "dv", "配偶者": "dv",
    "child": "child", "elder": "elder", "disability": "disability",
}  # fmt: skip
SPOKEN: Final = {"child": "子ども", "elder": "高齢", "disability": "障害", "dv": "DV"}
TO: Final = {
    "児相": "child_centre", "児童相談所": "child_centre", "市": "municipality", "市町村": "municipality", "市役所": "municipality",
    "警察": "police", "配暴センター": "dv_centre", "本人の意思": "person_wish", "ご本人の意思": "person_wish",
}  # fmt: skip
#: Whom each kind is reported to, the law's first.
ASKED: Final = {
    "child": ("児相", "市町村", "警察"), "elder": ("市町村", "警察"), "disability": ("市町村", "警察"),
    "dv": ("配暴センター", "警察", "本人の意思"),
}  # fmt: skip
MEANS: Final = {"電話": "phone", "FAX": "fax", "fax": "fax", "面談": "meeting", "会議": "meeting"}
ENDED: Final = {
    "児相へ": "to_child_centre", "市町村へ": "to_municipality", "警察へ": "to_police", "虐待ではなかった": "not_abuse", "終結": "settled",
}  # fmt: skip


def numbers(ask: Ask, kinds: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Whom to dial: inside the lines of these kinds, then the town's own; outside the lines' bare numbers, which tell nothing."""
    act = ask.act()
    own = call.numbers(act, on_duty=not call.by_day(act))
    if ask.inside:
        lines = tuple((one.label, one.number) for one in ask.town.reports if one.kind in kinds)
        return tuple(dict.fromkeys((*lines, *own)))
    bare = "・".join(dict.fromkeys(one.number for one in ask.town.reports))
    return (*own, *(((ask.voice.say("row.call"), bare),) if bare else ()))


def telephone(ask: Ask) -> Reply:
    """至急、電話を: what is answered outside, and to words that only sound like it."""
    found = numbers(ask, report.KINDS)
    return Reply(Message(ask.voice.say("call.now"), ask.voice.say("call.now.title"), found), must=True)


@command("虐待 番号 子ども｜高齢｜障害｜DV", "team", also="ぎゃくたい 虐待かも 虐待の疑い abuse", inside=True)
def abuse(ask: Ask) -> Outcome | Reply:
    """Suspected abuse: a track of its own that nobody can decline; telephone first."""
    case = ask.case()
    kind = _kind(ask)
    if kind is None:
        return _whose(ask, case)
    return report.suspect(case, kind, ask.act())


def _whose(ask: Ask, case: Case) -> Reply:
    """The numbers before the question: nobody looks for a word first."""
    voice = ask.voice
    text = f"{voice.say('call.now')}\n{voice.say('refusal.WordsMissing', what=voice.say('missing.abuse'))}"
    choices = tuple(Choice(*pair) for pair in _kinds(ask, f"虐待 {case.number}", report.KINDS))
    shown = Message(text, voice.say("call.now.title"), numbers(ask, report.KINDS), choices)
    return Reply(shown, case.number, refused="WordsMissing", must=True)


def _kind(ask: Ask) -> str | None:
    return next((ABUSED[t.lower()] for t in ask.tokens if t.lower() in ABUSED), None)


def _kinds(ask: Ask, said: str, kinds: Iterable[str], rest: str = "") -> tuple[tuple[str, str], ...]:
    return tuple((ask.voice.label("abuse", kind), f"{said} {SPOKEN[kind]} {rest}".strip()) for kind in kinds)


@command(
    "通報済 番号 先 手段 時刻",
    "team",
    also="通報済み 通報した 通報しました 通告済 通告済み 通告した つうほうずみ reported",
    inside=True,
)
def reported(ask: Ask) -> Outcome:
    """It has been reported: to whom, when, by what means (by telephone unless said)."""
    case, one = _track(ask, "通報済")
    to = next((TO[t] for t in ask.tokens if t in TO), None)
    if to is None:
        said = f"通報済 {case.number} {SPOKEN[one.kind]}"
        raise no.WordsMissing(
            what="report_to", number=case.number,
            choices=tuple((ask.voice.label("report_to", TO[word]), f"{said} {word}") for word in ASKED[one.kind]),
        )  # fmt: skip
    means = next((MEANS[t] for t in ask.tokens if t in MEANS), "phone")
    return report.reported(case, one, to, means, _moment(ask), ask.act())


def _moment(ask: Ask) -> datetime:
    """When it was: now, or the clock time that is said; one that is still to come was yesterday's."""
    day, clock = find_day(ask.rest, ask.today), find_clock(ask.rest)
    if clock is None:
        return ask.now
    found = at_local(day or ask.today, clock, ask.town.tz)
    return found - timedelta(days=1) if day is None and found > ask.now else found


@command("安全確認 番号", "team", also="安全を確認 安全確認済 あんぜんかくにん seen_safe", inside=True)
def seen_safe(ask: Ask) -> Outcome:
    """Somebody has seen the person with their own eyes."""
    case, one = _track(ask, "安全確認")
    return report.seen_safe(case, one, ask.act())


@command("虐待終了 番号 わけ", "official", also="虐待対応終了 手続き終了 end_report", inside=True)
def end_report(ask: Ask) -> Outcome:
    """An official ends the track: to whom it has passed, that it was none, or that it is settled."""
    case, one = _track(ask, "虐待終了")
    how = next((ENDED[t] for t in ask.tokens if t in ENDED), None)
    if how is None:
        said = f"虐待終了 {case.number} {SPOKEN[one.kind]}"
        raise no.WordsMissing(
            what="report_end", number=case.number,
            choices=tuple((ask.voice.label("report_end", code), f"{said} {word}") for word, code in ENDED.items()),
        )  # fmt: skip
    return report.end(case, one, how, ask.act())


def _track(ask: Ask, word: str) -> tuple[Case, Report]:
    """The open track that is meant; whoever need not know of one is told that nothing waits."""

    def known(case: Case) -> list[Report]:
        may = report.aware(ask.speaker, case, ask.town, ask.now)
        return [r for r in case.reports if r.open] if may else []

    may_any = ask.speaker.has(*report.WATCHING)
    case = ask.only_case(lambda c: bool(known(c)), ask.waiting_for(*TRACK) if may_any else ())
    kind, found = _kind(ask), known(case)
    found = [r for r in found if kind in (None, r.kind)]
    if not found:
        raise no.NothingToAnswer()
    if len(found) > 1:
        said = " ".join(t for t in ask.tokens if t != case.number)
        choices = _kinds(ask, f"{word} {case.number}", (r.kind for r in found), said)
        raise no.WordsMissing(what="abuse", number=case.number, choices=choices)
    return case, found[0]
