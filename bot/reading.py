"""A letter as one reader sees it now: cards are rendered from the present state, so every copy tells the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from adapters.base import Choice, Message
from bot.voice import Voice
from bot.voice.cards import Card, card
from storage import cases, marks
from storage.letters import LetterRow
from storage.store import Tx
from workflow.case import Case
from workflow.people import Staff, Town


@dataclass(slots=True)
class Reading:
    """Reads many letters of one reader, each case loaded once."""

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

    def mark(self, case_id: int) -> str:
        """The reader's word for the case; a read never gives one, so it may be empty until the first words."""
        if self._marks is None:
            self._marks = marks.words_of(self.tx, self.reader.code)
        return self._marks.get(case_id, "")

    def card(self, letter: LetterRow) -> Card:
        """Render one letter as it is true now."""
        if letter.kind == "answer":
            return as_written(letter)
        case = self.case(letter.case_id) if letter.case_id else None
        handoff = case.handoff(letter.handoff) if case and letter.handoff else None
        wait = next((w for w in case.waits if w.id == letter.wait), None) if case else None
        return card(
            letter.kind, letter.doc, case, handoff, wait, reader=self.reader, room=letter.to_room, town=self.town, at=self.now,
            voice=self.voice, mark=self.mark(letter.case_id) if letter.case_id else "",
        )  # fmt: skip

    def messages(self, found: Iterable[LetterRow]) -> list[Message]:
        return [self.card(letter).message() for letter in found]


def as_written(letter: LetterRow) -> Card:
    """An answer stays as it was said."""
    doc = letter.doc
    return Card(
        kind="answer", title=doc.get("title") or "", text=doc["text"], facts=tuple((a, b, "") for a, b in doc["facts"]),
        choices=tuple(Choice(label, says, style) for label, says, style in doc["choices"]),
    )  # fmt: skip
