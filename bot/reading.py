"""A letter as one reader sees it now: cards are rendered from the present state, so every copy tells the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from adapters.base import Choice, Message
from bot.enter import letter as by_letter
from bot.voice import Voice
from bot.voice.cards import Card, card, weekly_closings
from storage import answered, cases, closings, conferences, marks, turns, waits
from storage.letters import LetterRow
from storage.tx import Tx
from workflow.case import Case, Handoff
from workflow.outcome import CASE_OPENED
from workflow.people import Staff, Town
from workflow.sight import Sight


@dataclass(slots=True)
class Reading:
    """Reads many letters of one reader, each case loaded once. In a shared conversation outside nobody in particular reads."""

    tx: Tx
    town: Town
    reader: Staff
    now: datetime
    voice: Voice
    _cases: dict[int, Case | None] = field(default_factory=dict)
    _marks: dict[int, str] | None = None

    def case(self, case_id: int) -> Case | None:
        if case_id not in self._cases:
            self._cases[case_id] = cases.load(self.tx, case_id, lock=False)
        return self._cases[case_id]

    def _who(self, letter: LetterRow) -> Staff | None:
        """The reader; of a letter to an agency's channel or group there is none: its card is whoever's is there."""
        shared = letter.to_room is not None and letter.to_staff is None and letter.address is not None
        return None if shared else self.reader

    def hides(self, letter: LetterRow) -> bool:
        """Say whether a letter is about a case that its reader is not to know of (any more)."""
        case = self.case(letter.case_id) if letter.case_id is not None and letter.kind != CASE_OPENED else None
        if case is None or not (case.restricted or case.barred):
            return False
        reader, room = self._who(letter), letter.to_room
        if reader is None:
            return room in case.barred or (case.restricted and not any(h.to_agency == room for h in case.handoffs))
        return Sight(reader, self.town, self.now).hides(case)

    def mark(self, case_id: int) -> str:
        """The reader's word for the case; a read never gives one, so it may be empty until the first words."""
        if self._marks is None:
            self._marks = marks.words_of(self.tx, self.reader.code)
        return self._marks.get(case_id, "")

    def card(self, letter: LetterRow) -> Card:
        """Render one letter as it is true now; what goes once more says so."""
        if self.hides(letter):
            return Card(kind="answer", title=self.voice.say("card.hidden.title"), text=self.voice.say("card.hidden"))
        shown = self._card(letter)
        return replace(shown, text=f"{self.voice.say('answer.resent')}\n{shown.text}") if letter.resent else shown

    def _card(self, letter: LetterRow) -> Card:
        if letter.kind == "answer":
            return as_written(letter)
        if letter.kind == by_letter.KIND:
            return self._way_in(letter)
        if letter.case_id is None:
            return self._without_case(letter)
        case = self.case(letter.case_id)
        handoff = case.handoff(letter.handoff) if case and letter.handoff else None
        wait = next((w for w in case.waits if w.id == letter.wait), None) if case else None
        data = letter.doc if wait else letter.doc | self._answered(letter, handoff) | self._conference(letter)
        reader = self._who(letter)
        return card(
            letter.kind, data, case, handoff, wait, reader=reader, room=letter.to_room, town=self.town, at=self.now,
            voice=self.voice, mark=self.mark(letter.case_id) if reader else "",
        )  # fmt: skip

    def _way_in(self, letter: LetterRow) -> Card:
        """Six digits and their link, and nothing else."""
        words = by_letter.opened(self.tx, letter)
        spaced = f"{words['digits'][:3]} {words['digits'][3:]}"
        text = self.voice.say("sign_in.letter", digits=spaced, link=words["link"])
        return Card(kind=letter.kind, title=self.voice.say("card.sign_in.title"), text=text)

    def _without_case(self, letter: LetterRow) -> Card:
        """A call, an absence, a 打診: what it tells, and who has answered a call meanwhile."""
        if letter.kind == "closings_wanted" and letter.wait:
            listed = closings.at_once(self.tx, Sight(self.reader, self.town, self.now), letter.wait, letter.created_at)
            return weekly_closings(listed, self.voice, self.now)
        wait = waits.get(self.tx, letter.wait) if letter.wait else None
        over = answered.call(self.tx, letter.wait) if letter.wait and wait is None else None
        data = letter.doc | ({"reached_by": over.by or ""} if over else {})
        return card(
            letter.kind, data, None, None, wait, reader=self._who(letter), room=letter.to_room, town=self.town, at=self.now,
            voice=self.voice, mark="",
        )  # fmt: skip

    def _answered(self, letter: LetterRow, handoff: Handoff | None) -> dict[str, object]:
        """A check-in that is over keeps its answer, on every copy; its own giver may take it back for a while."""
        if letter.kind != "ring" or letter.doc.get("what") != "checkin" or letter.wait is None or handoff is None:
            return {}
        given = answered.checkin(self.tx, letter.wait, handoff.no)
        if given is None:
            return {}
        found: dict[str, object] = {"answered": given.said, "by": given.by, "at": given.at.isoformat()}
        reader = self._who(letter)
        undo = undone_by(self.tx, reader.code, self.now) if reader and given.by == reader.code else None
        return found | (
            {"undo": True} if undo and undo["case"] == letter.case_id and given.said != answered.CORRECTED else {}
        )

    def _conference(self, letter: LetterRow) -> dict[str, object]:
        """When a conference is now, whether it still takes place, and what its reader has answered."""
        one = conferences.load(self.tx, letter.doc["conference"]) if letter.doc.get("conference") else None
        if one is None or letter.kind not in ("conference", "conference_cancelled"):
            return {}
        me = one.member(self.reader.code)
        return {
            "state": one.state, "at": one.at.isoformat() if one.at else "", "reply": (me.answer or "") if me else "",
            "mine": me is not None and one.convened_by != self.reader.code, "more": len(one.cases) - 1,
        }  # fmt: skip

    def messages(self, found: Iterable[LetterRow]) -> list[Message]:
        return [self.card(letter).message() for letter in found]


def undone_by(tx: Tx, staff: str, now: datetime) -> dict[str, Any] | None:
    """What 取消 would take back for this person now; None when the time is over, or somebody has acted since."""
    turn = turns.of(tx, staff)
    undo: dict[str, Any] | None = turn.undo if turn else None
    if not undo or not undo.get("says") or datetime.fromisoformat(undo["until"]) < now:
        return None
    case = cases.load(tx, undo["case"], lock=False)
    return undo if case is not None and case.version == undo["version"] else None


def as_written(letter: LetterRow) -> Card:
    """An answer stays as it was said."""
    doc = letter.doc
    return Card(
        kind="answer", title=doc.get("title") or "", text=doc["text"], facts=tuple((a, b, "") for a, b in doc["facts"]),
        choices=tuple(Choice(label, says, style) for label, says, style in doc["choices"]),
    )  # fmt: skip
