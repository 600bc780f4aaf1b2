"""The journal in sentences: one line an entry, its actor first. Codes become words here; nothing in a line is a person's story."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from bot.voice.speech import Voice
from workflow.case import Case, Handoff

#: What an entry's own values are called in the label lists.
_CODES: Final = {
    "result": "screening", "basis": "basis", "decision": "conference", "concern": "concern", "wish": "wish", "condition": "condition",
    "missing": "missing", "duty": "duty", "wait": "wait", "why": "reassigning", "restricted": "restricted", "opened": "opened", "flag": "flag",
    "abuse": "abuse", "to": "report_to", "means": "means", "how": "report_end",
    "matter": "matter", "plan": "plan_kind", "reply": "reply",
}  # fmt: skip
#: kind → what its `to` is.
_DEST: Final = {"case.consent": "consent", "case.decision": "decision", "case.urgency": "urgency"}
_SPANS: Final = frozenset({"case.interval", "checkin.lengthened"})


def sentence(
    kind: str, actor: str | None, dest: str | None, data: Mapping[str, object], case: Case, voice: Voice, now: datetime
) -> str:
    """Word one entry of a case's journal."""
    key = f"line.{kind}.why" if kind == "handoff.offer" and data.get("why") else f"line.{kind}"
    if kind == "wait.moved" and not dest:
        key += ".rung"
    if not voice.has(key):
        key = "line.unknown"
    words = _words(kind, actor, dest, data, case, voice, now)
    return voice.say(key, **words).replace("()", "").replace("( )", "").strip()


def _words(
    kind: str, actor: str | None, dest: str | None, data: Mapping[str, object], case: Case, voice: Voice, now: datetime
) -> dict[str, str]:
    clock = actor in (None, "clock")
    words = {"actor": voice.say("line.clock") if clock else voice.person(actor), "dest": _dest(kind, dest, voice)}
    no = data.get("handoff")
    handoff = case.handoff(no) if isinstance(no, int) else None
    if handoff is not None:
        words |= _of_handoff(handoff, voice, now)
    for name, value in data.items():
        if value in (None, "", ()) or isinstance(value, list | tuple | dict):
            continue
        words[name] = _value(kind, name, str(value), voice, now)
    if kind in _SPANS and dest:
        words["span"] = words["dest"] = voice.span(dest)
    until = dest or data.get("rings") if kind == "wait.moved" else dest
    if kind in ("wait.extended", "wait.extended_back", "wait.moved") and isinstance(until, str):
        words["until"] = voice.moment(datetime.fromisoformat(until), now)
    return words


def _dest(kind: str, dest: str | None, voice: Voice) -> str:
    if not dest:
        return ""
    if kind == "case.lead":
        return voice.person(dest)
    if kind == "case.interim":
        return voice.agency(dest)
    return voice.label(_DEST.get(kind, "stage"), dest)


def _of_handoff(handoff: Handoff, voice: Voice, now: datetime) -> dict[str, str]:
    return {
        "duty": voice.label("duty", handoff.duty),
        "agency": voice.agency(handoff.to_agency),
        "holder": voice.person(handoff.holder) if handoff.holder else voice.agency(handoff.to_agency),
        "until": voice.day(handoff.until, now) if handoff.until else "",
        "condition": voice.label("condition", handoff.condition),
        "missing": voice.label("missing", handoff.question),
        "reason": voice.label("decline", handoff.reason),
    }


def _value(kind: str, name: str, value: str, voice: Voice, now: datetime) -> str:
    if name in _CODES:
        return voice.label(_CODES[name], value)
    if name in ("holder", "person", "by"):
        return voice.person(value)
    if name == "agency":
        return voice.agency(value)
    if name in ("reason", "code"):
        return voice.label(
            "decline" if kind.startswith("handoff") else "reintake" if kind == "case.reintake" else "closing", value
        )
    if name in ("until", "recheck"):
        try:
            return voice.day(datetime.fromisoformat(value), now)
        except ValueError:
            return value
    return value
