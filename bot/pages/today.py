"""A day's work: whose turn it is, in words and buttons; a volunteer sees one question in large letters."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from adapters.base import Choice
from bot.ask import Ask
from bot.commands.lists import open_questions
from bot.looks import named
from bot.pages import naming
from bot.pages.frame import Desk, guards, nonce, show
from bot.reading import as_written
from bot.voice.cards import Card, card
from bot.voice.scene import Scene
from bot.words import take_apart
from storage import cases, letters, marks, texts, waits
from storage.tx import Tx
from workflow.case import Case, Handoff, Wait
from workflow.people import Role
from workflow.who import reach

Turn = tuple[Case, Wait]
#: Answered on their own card: too many answers for a row, or something to read first.
OFFERS: Final = ("react", "decide", "decide_weekly")
#: The case's lead sees to it that it is made; only the official can make it.
DECISIONS: Final = ("decision",)
CHECK_INS: Final = ("checkin", "checkin_missed", "checkin_missed_harsh")
#: What somebody else owes to whoever leads or sent.
THEIRS: Final = (*OFFERS, "answer_question", "condition", "waitlist", "first_contact", "first_contact_again", "withdrawal",
                 "approval", "decision", "conference", "head_holds")  # fmt: skip
#: Whose turn comes from a post rather than from a case of one's own.
OWED: Final = {
    Role.COORDINATOR: ("coordinator", "coordinator2", "approver", "next_approver"),
    Role.OFFICIAL: ("official", "final", "approver", "next_approver"),
    Role.HEAD: ("head", "approver", "next_approver"),
}
LATELY: Final = timedelta(minutes=10)
IN_A_ROW: Final = 3


async def today(found: Desk) -> Response:
    """What is this person's turn, and what they are waiting for."""
    await naming.give(found)
    if found.reader.volunteer:
        view = await found.read(lambda tx: _one_question(tx, found))
        found.looked(*named(view))
        return show(found, "question.html", found.t("今日"), "today", **view)
    view = await found.read(lambda tx: day(tx, found))
    found.looked(*named(view))
    return show(found, "today.html", found.t("今日"), "today", **view)


# -- whose turn


def mine_and_theirs(tx: Tx, found: Desk) -> tuple[list[Turn], list[Turn]]:
    """The open questions of this person, the most pressing first; and what others owe to them."""
    me = found.reader
    ask = Ask(
        tx=tx, town=found.town, speaker=me, agency=me.agency, now=found.now, surface="web", inside=True,
        words=take_apart(""), rest="", fresh=found.app.fresh,
    )  # fmt: skip
    own = ask.mine()
    known = {case.id for case in own}
    owners = [o for role, owed in OWED.items() if me.has(role) for o in owed]
    owed = cases.open_waits(tx, found.sight, owners=owners, limit=200) if owners else []
    decides = me.has(Role.OFFICIAL)
    owed += cases.open_waits(tx, found.sight, kinds=DECISIONS, limit=200) if decides else []
    more = [cases.load(tx, id_, lock=False) for id_ in dict.fromkeys(o.case.id for o in owed) if id_ not in known]
    ask.cached = [*own, *(case for case in more if case)]
    questions = [turn for turn in open_questions(ask) if decides or turn[1].kind not in DECISIONS]
    if decides:
        listed = {wait.id for _, wait in questions}
        questions += [(c, w) for c in ask.cached for w in c.waits if w.kind in DECISIONS and w.id not in listed]
        questions.sort(key=lambda turn: (-turn[1].urgency.rank, turn[1].due_at))
    asked = {wait.id for _, wait in questions}
    theirs = [
        (case, wait) for case in own for wait in case.waits
        if wait.id not in asked and wait.kind in THEIRS and _waits_for(found, case, wait)
    ]  # fmt: skip
    return questions, sorted(theirs, key=lambda turn: turn[1].due_at)


def _waits_for(found: Desk, case: Case, wait: Wait) -> bool:
    """Say whether this person waits for somebody else's answer."""
    me, handoff = found.reader.code, _handoff(case, wait)
    if wait.kind == "answer_question":
        return handoff is not None and me in reach("receiver", case, found.town, found.now, handoff=handoff)
    if wait.kind in DECISIONS:
        return me == case.lead
    if handoff is not None and me in reach(wait.owner, case, found.town, found.now, handoff=handoff):
        return False
    return me == case.lead or (handoff is not None and me == handoff.sender)


def _handoff(case: Case, wait: Wait) -> Handoff | None:
    return case.handoff(wait.handoff) if wait.handoff else None


# -- a turn as a card


def card_of(found: Desk, case: Case, wait: Wait, mark: str) -> Card:
    """The card of one wait as its reader sees it now."""
    handoff = _handoff(case, wait)
    kind = "offer" if wait.kind in OFFERS and handoff else "ring"
    data = {"what": wait.kind, "act": "ask", "due": wait.due_at.isoformat(), "subject": wait.subject}
    return card(
        kind, data, case, handoff, wait, reader=found.reader, room=None, town=found.town, at=found.now,
        voice=found.voice, mark=mark,
    )  # fmt: skip


def chip_of(found: Desk, case: Case, wait: Wait) -> dict[str, Any]:
    return Scene(
        "ring", {}, case, _handoff(case, wait), wait, found.reader, None, found.town, found.now, found.voice, ""
    ).chip(wait)


def press(choices: Iterable[Choice]) -> list[dict[str, Any]]:
    """Buttons whose words are said on the spot."""
    return [{"label": c.label, "token": f"|{c.says}", "style": c.style} for c in choices]


def hidden(back: str) -> list[tuple[str, str]]:
    return [("nonce", nonce()), ("back", back)]


def drawn(found: Desk, made: Card, id_: str, back: str) -> dict[str, Any]:
    """A card as a page draws it, with its buttons said on the spot."""
    tokens = {c.says: f"|{c.says}" for c in made.choices}
    return made.view(id_, tokens) | {"hidden": hidden(back)}


def said_card(tx: Tx, found: Desk, back: str) -> dict[str, Any] | None:
    """The answer to what was just pressed on a page: a preview, a list of candidates, a refusal."""
    newest = letters.newest_in(tx, found.reader.code, None)
    if newest is None or newest.kind != "answer" or newest.created_at < found.now - LATELY:
        return None
    made = as_written(newest)
    if any(c.says == "つぎへ" for c in made.choices):
        return None
    tokens = {c.says: f"{newest.token}|{c.says}" for c in made.choices}
    view = made.view(f"said-{newest.id}", tokens) | {"hidden": hidden(back), "private": True}
    return view | {"kind_label": made.title or found.t("お返事")}


# -- the day


def day(tx: Tx, found: Desk) -> dict[str, Any]:
    """The view of /today for staff."""
    questions, theirs = mine_and_theirs(tx, found)
    words = marks.words_of(tx, found.reader.code)
    chosen = found.request.query_params.get("open", "")
    opened = next((turn for turn in questions if str(turn[1].id) == chosen), None)
    calls = _calls(tx, found)
    rows = [*calls, *(_row(found, case, wait, words.get(case.id, "")) for case, wait in questions)]
    coming = min((w.due_at for _, w in theirs if w.paused_left is None and w.due_at > found.now), default=None)
    none = found.voice.say("today.none")
    calm = found.voice.say("today.none_next", day=found.voice.day(coming)) if coming else none
    return {
        "title_day": found.voice.title_day(found.now), "count": len(rows), "said": said_card(tx, found, "/today"),
        "opened": _opened(found, opened, words) if opened else None,
        "sections": [
            {"id": "mine", "title": found.t("あなたの番"), "count": len(rows), "rows": rows, "calm": calm},
            {"id": "theirs", "title": found.t("相手の返事を待っています"), "count": len(theirs), "quiet": True,
             "rows": [_their_row(found, case, wait, words.get(case.id, "")) for case, wait in theirs],
             "calm": found.t("いまはありません。")},
        ],
    }  # fmt: skip


def _opened(found: Desk, turn: Turn, words: dict[int, str]) -> dict[str, Any]:
    case, wait = turn
    return drawn(found, card_of(found, case, wait, words.get(case.id, "")), f"open-{wait.id}", "/today")


def _row(found: Desk, case: Case, wait: Wait, mark: str) -> dict[str, Any]:
    handoff = _handoff(case, wait)
    row: dict[str, Any] = {
        "id": f"turn-{wait.id}", "number": case.number, "mark": mark, "word": found.voice.label("wait", wait.kind),
        "wait": chip_of(found, case, wait), "href": f"/cases/{case.number}", "note": _note(found, handoff, wait),
        "hidden": hidden("/today"), "guards": guards(found, case.restricted, case.flags),
    }  # fmt: skip
    choices = card_of(found, case, wait, mark).choices
    if wait.kind in OFFERS or wait.kind in CHECK_INS or len(choices) > IN_A_ROW:
        asks = (
            "依頼を見て答える" if wait.kind in OFFERS else "様子をつたえる" if wait.kind in CHECK_INS else "見て答える"
        )
        style = "primary" if wait.kind in OFFERS else "plain"
        row["choices"] = [{"label": found.t(asks), "href": f"/today?open={wait.id}#open", "style": style}]
    else:
        row["choices"] = press(choices)
    return row


def _note(found: Desk, handoff: Handoff | None, wait: Wait) -> str:
    """What a turn is about, in a few words."""
    voice = found.voice
    if handoff is not None:
        other = handoff.from_agency if handoff.to_agency in found.reader.agencies else handoff.to_agency
        return f"{voice.label('duty', handoff.duty)} {voice.agency(other)}"
    if wait.kind == "queue" and wait.subject:
        return voice.label("wait", wait.subject)
    return voice.label("duty", wait.subject) if wait.subject in found.town.duties else ""


def _their_row(found: Desk, case: Case, wait: Wait, mark: str) -> dict[str, Any]:
    handoff, voice = _handoff(case, wait), found.voice
    who = voice.label("relation", "official" if wait.kind in DECISIONS else wait.owner)
    if handoff is not None:
        asked_me = wait.kind == "answer_question" and handoff.to_agency in found.reader.agencies
        who = voice.agency(handoff.from_agency if asked_me else handoff.to_agency)
    note = voice.label("wait", wait.kind)
    if wait.kind == "answer_question" or wait.paused_left is not None:
        note = found.t("質問の回答を待つあいだ、時計は止まります")
    return {
        "id": f"their-{wait.id}", "number": case.number, "mark": mark, "word": who, "wait": chip_of(found, case, wait),
        "note": note, "href": f"/cases/{case.number}", "guards": guards(found, case.restricted, case.flags),
    }  # fmt: skip


def _calls(tx: Tx, found: Desk) -> list[dict[str, Any]]:
    """緊急 and 電話 without a case, told to this person and not yet answered."""
    rows = []
    for wait in waits.loose(tx):
        if found.reader.code not in wait.told:
            continue
        data = {"what": wait.kind, "person": wait.subject}
        made = card(
            "ring", data, None, None, wait, reader=found.reader, room=None, town=found.town, at=found.now,
            voice=found.voice, mark="",
        )  # fmt: skip
        choices = [{"label": c.label, "token": f"|{c.says} {wait.id}", "style": c.style} for c in made.choices]
        left = found.voice.left(wait.due_at, found.now, None, opened=wait.opened_at)
        rows.append({
            "id": f"turn-{wait.id}", "number": found.voice.person(wait.subject or "-"), "mark": "",
            "word": found.voice.label("wait", wait.kind), "note": made.text, "choices": choices,
            "wait": {"kind": left.kind, "text": left.text, "share": left.share, "iso": wait.due_at.isoformat()},
            "hidden": hidden("/today"),
        })  # fmt: skip
    return rows


# -- a volunteer's one question


def _one_question(tx: Tx, found: Desk) -> dict[str, Any]:
    questions, _ = mine_and_theirs(tx, found)
    view: dict[str, Any] = {
        "said": said_card(tx, found, "/today"),
        "left": max(len(questions) - 1, 0),
        "q": None,
        "id": "none",
    }
    help_ = found.t("命の危険があるときは、先に119・110へ。")
    if not questions:
        quiet = [
            {"label": found.t("電話がほしい"), "token": "|電話", "glyph": "phone"},
            {"label": found.t("しばらくお休みします"), "token": "|休み", "style": "quiet"},
        ]
        return view | {
            "heading": found.voice.say("today.none"),
            "choices": quiet,
            "hidden": hidden("/today"),
            "help": help_,
        }
    case, wait = questions[0]
    view["id"] = f"question-{wait.id}"
    made = card_of(found, case, wait, marks.words_of(tx, found.reader.code).get(case.id, ""))
    shown = drawn(found, made, f"ask-{wait.id}", "/today")
    if made.kind != "checkin":
        return view | {"card": shown, "help": help_, "heading": made.title}
    view["q"] = {
        "to": _addressed(found), "number": case.number, "title": made.text, "choices": shown["choices"],
        "hidden": shown["hidden"], "help": help_, "heed": _heed(tx, found, case, wait),
    }  # fmt: skip
    return view


def _addressed(found: Desk) -> str:
    me, voice = found.reader, found.voice
    return (
        found.t("{post}の{person}へ").replace("{post}", voice.post(me.code)).replace("{person}", voice.person(me.code))
    )


def _heed(tx: Tx, found: Desk, case: Case, wait: Wait) -> dict[str, str] | None:
    """The warning signs, for whoever holds the watch and is asked how it was."""
    handoff = _handoff(case, wait)
    if case.signs is None or handoff is None or handoff.holder != found.reader.code:
        return None
    text = texts.get(tx, case.signs)
    return {"label": found.t("気をつけていること"), "text": text} if text else None
