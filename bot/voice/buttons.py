"""The buttons of a card: which there are, the words they say, and whether this reader may press them now."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal
from unicodedata import east_asian_width

from adapters.base import Choice
from bot.voice.scene import Scene
from workflow.path import edge, moves
from workflow.people import LEAD, WATCH, Role
from workflow.who import receivers

Style = Literal["plain", "primary", "danger", "quiet"]

#: What a button says: the word of workflow.md §5, in front of number and ordinal.
WORDS: Final = {
    "accept": "引受", "accept_if": "条件引受", "consider": "検討", "ask": "質問", "decline": "辞退", "waitlist": "空き待ち",
    "place_free": "空きました", "answer": "回答", "agree": "条件了承", "without": "条件なしで", "withdraw": "取下げ", "mistake": "誤登録",
    "connect": "つながった", "attempt": "会えず", "hold": "一時休み", "resume": "再開", "release": "戻す", "complete": "役割終了",
    "fail": "つながらず", "calm": "変わりなし", "worry": "気になる", "seen": "姿は見た", "missed": "会えず", "phone": "電話",
    "cannot": "難しい", "decline_plain": "難しい", "take_late": "このままお願いする", "keep": "そのまま",
    "object_to_proxy": "ちがいます", "take_over": "引受", "accept_late": "引受", "assign": "割当",
}  # fmt: skip
#: The same about the case as a whole: no ordinal.
CASE_WORDS: Final = {
    "approve": "承認 {n}", "concern": "気がかり {n}", "untangle": "移す {n} ほぐし", "talked": "話しました {n}", "convene": "招集 {n}",
    "decide": "決定 {n}", "reviewed": "見直し {n}", "case_resume": "再開 {n}", "consent_full": "同意 {n} あり",
    "consent_refused": "同意 {n} なし", "consent_pending": "同意 {n} 未", "screen_continue": "見立て {n} 続ける",
    "screen_refer": "見立て {n} 他機関へ", "screen_inform": "見立て {n} 情報提供", "offer": "依頼 {n}", "watcher": "依頼 {n} 見守り",
    "conference_none": "会議なし {n}", "open": "{n}", "reported": "通報済 {n}", "seen_safe": "安全確認 {n}", "end_report": "虐待終了 {n}",
}  # fmt: skip
#: Whose each of them is.
CASE_ACTORS: Final = {
    "approve": "approver", "concern": "team", "talked": "lead", "convene": "official", "decide": "official", "open": "team",
}  # fmt: skip
#: Each answer's own glyph (look.md §3, Check-in).
GLYPHS: Final = {
    "変わりなし": "same", "気になる": "waves", "姿は見た": "lamp", "会えず": "door", "電話": "phone", "電話した": "phone", "電話出ない": "phone",
}  # fmt: skip
#: Of a track: its cards are made for those alone who may press them.
TRACKED: Final = frozenset({"reported", "seen_safe", "end_report"})
WIDEST: Final = 20  #: full-width letters on a button (LINE's limit is 20 letters)

OFFER: Final = ("accept", "accept_if", "consider", "ask", "decline")
CHECK_IN: Final = ("calm", "worry", "seen", "missed", "phone")


def width(label: str) -> float:
    """Width in full-width letters."""
    return sum(1.0 if east_asian_width(c) in "WFA" else 0.5 for c in label)


def short(label: str) -> str:
    """Cut a label that a long name has made too wide; the number and the verb are never in danger."""
    if width(label) <= WIDEST:
        return label
    while width(label) > WIDEST - 1:
        label = label[:-1]
    return f"{label}…"


class Buttons:
    """Collects the buttons of one card; what is not this reader's to press now is left out."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.found: list[Choice] = []

    def add(self, *names: str, primary: str = "", quiet: Iterable[str] = ()) -> "Buttons":
        """Add buttons by name, where the reader may press them."""
        for name in names:
            style: Style = "primary" if name == primary else "quiet" if name in quiet else "plain"
            if name in CASE_WORDS:
                self._case(name, style)
            elif self.may(name):
                self.put(f"button.{name}", f"{WORDS[name]} {self.scene.ref}", style)
        return self

    def put(self, key: str, says: str, style: Style = "plain", **words: object) -> "Buttons":
        """Add one button as it is (once)."""
        label = short(self.scene.say(key, **words))
        if not any(c.says == says for c in self.found):
            self.found.append(Choice(label, says, style))
        return self

    def done(self) -> tuple[Choice, ...]:
        if self.scene.closed:
            return ()
        return tuple(self.found)

    # -- may this reader, now

    def may(self, name: str) -> bool:
        """Say whether the graph and the reader's relations allow this button."""
        s, h, case = self.scene, self.scene.handoff, self.scene.case
        if h is None or case is None or not case.open or case.deceased:
            return False
        match name:
            case "connect" | "hold" | "release" | "complete" | "fail":
                return name in moves("handoff", h.state) and s.holds()
            case "resume":
                return h.state == "on_hold" and s.holds()
            case "attempt":
                return h.state == "accepted" and s.holds()
            case "calm" | "worry" | "missed" | "cannot":
                return h.state == "active" and s.holds()
            case "seen":
                return h.state == "active" and h.duty == WATCH and s.holds()
            case "phone":
                return h.held and s.holds()
            case "decline_plain":
                return self._event("decline")
            case "keep":
                return h.withdraw_asked and s.has(Role.COORDINATOR)
            case "take_late":
                return (
                    bool(h.late_accept)
                    and h.ended
                    and s.stands("lead")
                    and not any(o.held for o in case.of_duty(h.duty))
                )
            case "accept_late":
                return h.state == "expired" and not h.late_accept and self._receives()
            case "object_to_proxy":
                return self._objects()
            case "take_over":
                return (
                    h.held_by_head
                    and h.held
                    and any(p.code != h.holder and h.to_agency in p.agencies for p in s.people)
                )
            case "assign":
                return (h.asked or h.held) and any(p.heads(h.to_agency) for p in s.people)
        return self._event(name)

    def _event(self, event: str) -> bool:
        s, h = self.scene, self.scene.handoff
        if h is None or event not in moves("handoff", h.state):
            return False
        if (event, h.state) == ("consider", "offered") and h.considered:
            return False
        if event == "ask" and h.questions >= 2:
            return False
        return s.stands(*edge("handoff", event, h.state).actors)

    def _receives(self) -> bool:
        s, h = self.scene, self.scene.handoff
        assert h is not None
        return any(p.code in receivers(h, s.town, s.at) for p in s.people)

    def _objects(self) -> bool:
        s, h = self.scene, self.scene.handoff
        if h is None or h.proxy is None or s.at > s.town.hours_at(h.to_agency).add_days(h.proxy.at, 2):
            return False
        return any(p.code in (h.proxy.person, h.holder) for p in s.people)

    def _case(self, name: str, style: Style) -> None:
        s, case = self.scene, self.scene.case
        if case is None or not case.open or (case.deceased and name not in ("approve", "open")):
            return
        if name in TRACKED:
            kind = s.wait.subject.partition(":")[0] if s.wait else str(s.data.get("abuse", ""))
            if s.has(Role.OFFICIAL) or name != "end_report":
                self.put(f"button.{name}", f"{CASE_WORDS[name].format(n=case.number)} {kind}".strip(), style)
            return
        actor = CASE_ACTORS.get(name, "lead")
        if s.stands(actor) and (name != "untangle" or "untangle" in moves("case", case.stage)):
            self.put(f"button.{name}", CASE_WORDS[name].format(n=case.number), style)

    # -- the ones that name something

    def candidates(self, duty: str, *, primary: bool = False, most: int = 3) -> "Buttons":
        """The next agencies to ask, each by name, then the whole list."""
        s = self.scene
        if s.case is None or s.case.deceased or not s.stands("lead", "coordinator"):
            return self
        word = "担当替え {n}" if duty == LEAD else f"依頼 {{n}} {duty}"
        key = "button.lead_to" if duty == LEAD else "button.offer_to"
        head = word.format(n=s.case.number)
        for i, agency in enumerate(s.candidates(duty, most)):
            self.put(
                key,
                f"{head} {agency.code}",
                "primary" if primary and i == 0 else "plain",
                agency=s.voice.agency(agency.code),
            )
        return self.put("button.candidates", head)

    def extend(self, *days: int, key: str = "button.extend") -> "Buttons":
        """A later day for the wait, when it may still be given one (twice at most)."""
        s, wait = self.scene, self.scene.next_wait
        if s.case is None or wait is None or wait.extended >= 2 or not s.stands("lead"):
            return self
        if wait.owner != "lead" and not s.has(Role.COORDINATOR):
            return self
        handoff = s.handoff_of(wait)
        ordinal = f"#{handoff.no}" if handoff else ""
        for n in days:
            later = s.town.body.hours.add_days(max(s.at, wait.due_at), n)
            said = f"期限延長 {s.case.number}{ordinal} {self._date(later)} {wait.subject or wait.kind}"
            self.put(key, said, day=s.voice.day(later, s.at))
        return self

    def _date(self, at: datetime) -> str:
        local = at.astimezone(self.scene.town.tz)
        return f"{local.month}/{local.day}"

    def lengthen(self) -> "Buttons":
        s = self.scene
        if s.case is not None and s.handoff is not None and s.handoff.lengthen and s.stands("lead"):
            for span, words in (("2mo", "2か月"), ("3mo", "3か月")):
                self.put("button.lengthen", f"間隔 {s.case.number} {words} 延ばす", span=s.voice.span(span))
        return self
