"""What a card is made of: the case as it stands now, who reads it, and every word that a sentence may need."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from bot.voice.speech import Voice
from workflow.case import TRACK, Case, Handoff, Wait
from workflow.handoff import basis_for, skipped
from workflow.ladder import Urgency
from workflow.people import LEAD, Agency, Role, Staff, Town
from workflow.promise import hours_for
from workflow.who import reach, stands

#: The wait that a handoff's card speaks of, by what is most its own.
OF_HANDOFF = (
    "react",
    "decide",
    "answer_question",
    "condition",
    "waitlist",
    "on_hold",
    "first_contact",
    "checkin",
    "head_holds",
    "result",
)
#: The wait that a notice about the case speaks of.
OF_NOTICE: Mapping[str, str] = {
    "approve_please": "approval", "closing_proposed": "closing_notice", "interim": "interim", "conference_asked": "conference",
    "suspended": "recheck", "decided": "plan_review", "safety": "safety", "next_candidates": "react", "withdrawal_asked": "withdrawal",
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One card in the making."""

    kind: str
    data: Mapping[str, object]
    case: Case | None
    handoff: Handoff | None
    wait: Wait | None
    reader: Staff | None
    room: str | None
    town: Town
    at: datetime
    voice: Voice
    mark: str

    # -- who reads

    @cached_property
    def people(self) -> tuple[Staff, ...]:
        """Whose buttons these are: the reader's, or anybody's in the room."""
        if self.reader is not None:
            return (self.reader,)
        return self.town.members.get(self.room or "", ())

    @property
    def volunteer(self) -> bool:
        """Say whether the reader is a volunteer: fewer words, the 目印 leads."""
        return bool(self.people) and all(p.volunteer for p in self.people)

    def stands(self, *relations: str) -> bool:
        """Say whether a reader is in one of these relations (a coordinator in most of them)."""
        case = self.case
        return case is not None and any(
            stands(r, p, case, self.town, self.at, handoff=self.handoff) for p in self.people for r in relations
        )

    def holds(self) -> bool:
        """Say whether a reader is the holder in person, or stands in for them: a coordinator's card is not full of others' buttons."""
        holder = self.handoff.holder if self.handoff else None
        if holder is None:
            return False
        stand_in = (
            self.town.deputy(holder, self.at) if holder in self.town.staff and self.town.away(holder, self.at) else None
        )
        return any(p.code in (holder, stand_in) for p in self.people)

    def has(self, *roles: Role) -> bool:
        return any(p.has(*roles) for p in self.people)

    def owns(self, wait: Wait) -> bool:
        """Say whether a wait is the reader's own turn."""
        if self.case is None:
            return False
        handoff = self.handoff_of(wait)
        if handoff and handoff.asked and wait.kind in ("react", "decide", "waitlist"):
            # Also of the last candidate, whose silence is the coordinator's wait: the asked side is still asked.
            return self.room == handoff.to_agency or self.stands("receiver")
        owners = reach(wait.owner, self.case, self.town, self.at, handoff=handoff, owner=wait.owner)
        owners = (*owners, *self.town.present(owners, self.at))
        return any(p.code in owners for p in self.people)

    # -- what it is about

    def handoff_of(self, wait: Wait) -> Handoff | None:
        return self.case.handoff(wait.handoff) if self.case and wait.handoff else None

    @property
    def number(self) -> str | None:
        return self.case.number if self.case else None

    @property
    def ref(self) -> str:
        """Number and ordinal: the words of a button always name one handoff."""
        if self.case is None:
            return ""
        return f"{self.case.number}#{self.handoff.no}" if self.handoff else self.case.number

    @property
    def named(self) -> str:
        """Number and 目印; for volunteers the 目印 leads."""
        number = self.number or ""
        if not self.mark:
            return self.voice.say("case.no", number=number)
        return self.voice.say("case.volunteer" if self.volunteer else "case", number=number, mark=self.mark)

    @property
    def quiet(self) -> bool:
        """After 逝去 nothing is asked of anyone but the closing's approver (I27)."""
        return bool(self.case and self.case.deceased)

    @property
    def closed(self) -> bool:
        return bool(self.case and not self.case.open)

    def is_open(self, wait: Wait | None) -> bool:
        return bool(wait and self.case and any(w.id == wait.id for w in self.case.waits))

    @cached_property
    def next_wait(self) -> Wait | None:
        """The one next wait of what this card is about."""
        case = self.case
        if case is None:
            return self.wait
        if self.wait is not None and self.is_open(self.wait):
            return next(w for w in case.waits if w.id == self.wait.id)
        if self.kind in OF_NOTICE and (found := case.wait(OF_NOTICE[self.kind])):
            return found
        if "request" in self.data:
            wanted = f":{self.data['request']}"
            return next((w for w in case.waits if w.kind == "talk" and w.subject.endswith(wanted)), None)
        if self.handoff is not None:
            mine = [w for w in case.waits_of(self.handoff.id) if w.kind in OF_HANDOFF]
            return min(mine, key=lambda w: OF_HANDOFF.index(w.kind), default=self._need_wait())
        return None

    def _need_wait(self) -> Wait | None:
        """Who names the next step, when the handoff has ended and nobody holds its need."""
        assert self.case is not None and self.handoff is not None
        return next((w for w in self.case.waits if w.kind == "next_step" and w.subject == self.handoff.duty), None)

    def candidates(self, duty: str, most: int = 3) -> tuple[Agency, ...]:
        """Agencies that may be asked next: those the notice names, else field and district first; only where a basis allows it."""
        case, town = self.case, self.town
        if case is None or duty not in town.duties:
            return ()
        lead = town.staff[case.lead].agency if case.lead and case.lead in town.staff else town.body.code
        busy = {h.to_agency for h in case.of_duty(duty) if h.asked or h.held or h.state in ("released", "failed")}
        busy |= set(case.barred)
        named = self.data.get("candidates")
        first = [town.agencies[c] for c in named if c in town.agencies] if isinstance(named, tuple | list) else []
        found = dict.fromkeys(a.code for a in (*first, *town.candidates(duty, case.district)))
        fitting = [
            town.agencies[c] for c in found
            if c not in busy and not skipped(case, duty, c, self.at) and basis_for(case, c, lead)
            and not (duty == LEAD and c == lead)
        ]  # fmt: skip
        return tuple(fitting[:most])

    # -- the chip of a wait

    def chip(self, wait: Wait) -> dict[str, object]:
        """{kind, share, text, iso} as the wait chip draws it."""
        voice, case = self.voice, self.case
        iso = wait.due_at.isoformat()
        if wait.paused_left is not None:
            handoff = self.handoff_of(wait)
            key = {"info_requested": "chip.question", "conditional": "chip.condition"}.get(
                handoff.state if handoff else "", "chip.paused"
            )
            return {"kind": "paused", "share": 0.0, "text": voice.say(key), "iso": iso}
        hours = None
        if case is not None and wait.urgency is not Urgency.EMERGENCY:
            hours = hours_for(wait.owner, self.handoff_of(wait), case, self.town, self.at)
        left = voice.left(wait.due_at, self.at, hours, opened=wait.opened_at)
        return {"kind": left.kind, "share": round(left.share, 2), "text": left.text, "iso": iso}

    # -- words

    @cached_property
    def words(self) -> dict[str, str]:
        """Every place a sentence of a card may have. Codes, people and days become words here and nowhere else."""
        return {**self._about_case(), **self._about_handoff(), **self._about_data()}

    def _about_case(self) -> dict[str, str]:
        case, voice = self.case, self.voice
        found = {
            "case": self.named, "number": self.number or "", "mark": self.mark or self.number or "",
            "body": voice.agency(self.town.body.code), "due": self._due(), "wait": "",
        }  # fmt: skip
        if self.next_wait:
            found["wait"] = voice.label("wait", self.next_wait.kind)
        if case is None:
            return found
        proposal = case.proposal
        return found | {
            "lead": voice.person(case.lead) if case.lead else found["body"],
            "stage": voice.label("stage", case.stage),
            "urgency": voice.label("urgency", case.urgency.value),
            "proposal": voice.label("proposal", proposal.kind) if proposal else voice.label("proposal", "close"),
            "reason": voice.label("closing", case.closing_reason or (proposal.reason if proposal else "")),
            "by": voice.person(proposal.by) if proposal else "",
            "district": case.district or "",
            "span": voice.span(case.interval or "1mo"),
        }

    def _about_handoff(self) -> dict[str, str]:
        h, voice = self.handoff, self.voice
        if h is None:
            duty = self.next_wait.subject if self.next_wait and self.next_wait.kind == "next_step" else ""
            return {"duty": voice.label("duty", duty)} if duty else {}
        return {
            "duty": voice.label("duty", h.duty),
            "agency": voice.agency(h.to_agency),
            "from_agency": voice.agency(h.from_agency),
            "sender": voice.person(h.sender),
            "holder": voice.person(h.holder or h.to_staff) or voice.agency(h.to_agency),
            "person": voice.person(h.late_accept or h.holder or h.to_staff) or voice.agency(h.to_agency),
            "state": voice.label("handoff_state", h.state),
            "until": self._moment(h.until),
            "missing": voice.label("missing", h.question),
            "condition": voice.label("condition", h.condition),
            "reason": voice.label("decline", h.reason),
            "attempts": str(h.attempts),
            "missed": str(h.missed),
            "span": voice.span(h.cadence or (self.case.interval if self.case else "") or "1mo"),
            "keeps": voice.label("duty", h.keeps),
            "why": voice.label("reassigning", h.why),
        } | self._about_proxy(h)

    def _about_proxy(self, h: Handoff) -> dict[str, str]:
        if h.proxy is None or self.kind not in ("proxy_told", "proxy_objected"):
            return {}
        latest = self.town.hours_at(h.to_agency).add_days(h.proxy.at, 2)
        return {
            "by": self.voice.person(h.proxy.by),
            "means": self.voice.label("means", h.proxy.means),
            "until": self.voice.moment(latest, self.at),
        }

    def _about_data(self) -> dict[str, str]:
        """What the notice itself says wins over what the case would say."""
        found = {}
        for key, value in self.data.items():
            if value is None or isinstance(value, tuple | list | dict) or value == "":
                continue
            found[key] = self._word(key, str(value))
        wait = self.wait
        if wait is not None and wait.subject and "person" not in found:
            found |= self._about_subject(wait.subject)
        if "subject" in self.data:
            found |= self._about_subject(str(self.data["subject"]))
        return found

    def _word(self, key: str, value: str) -> str:
        voice = self.voice
        match key:
            case "holder" | "person" | "by" | "lead" | "deputy":
                return voice.person(value)
            case "agency":
                return voice.agency(value)
            case "until" | "due" | "at" | "recheck" | "start" | "end":
                return self._day(value, with_clock=key in ("due", "at", "until"))
            case "code":
                return voice.label("decline", value)
            case "reason":
                return voice.label("closing", value)
            case "why":
                return voice.label("reassigning", value)
            case "source":
                return voice.label("stage", value)
            case "what":
                return voice.label("wait", value)
            case "answer":
                return voice.label("room", value)
            case "span":
                return voice.span(value)
            case "abuse":
                return voice.label("abuse", value)
            case "to":
                return voice.label("report_to", value)
            case "how":
                return voice.label("report_end", value)
            case "stage" | "urgency" | "duty" | "opened" | "missing" | "condition" | "proposal" | "means":
                return voice.label(key, value)
        return value

    def _about_subject(self, subject: str) -> dict[str, str]:
        """A wait's subject: a request (talk:3), a duty (next_step), a wait it was climbed from (queue), a person (緊急)."""
        voice = self.voice
        kind, _, no = subject.partition(":")
        if self.wait is not None and self.wait.kind in TRACK:
            return {"abuse": voice.label("abuse", kind)}
        if no and self.case:
            made = next((r for r in self.case.requests if str(r.no) == no), None)
            return {
                "request": voice.label("request", kind),
                "person": voice.person(made.by) if made else voice.person("-"),
            }
        if subject in self.town.duties:
            return {"duty": voice.label("duty", subject)}
        if subject in self.town.staff:
            return {"person": voice.person(subject)}
        return {"what": voice.label("wait", subject)} if self.case else {"person": voice.person(subject)}

    def _due(self) -> str:
        return self._moment(self.next_wait.due_at) if self.next_wait else ""

    def _moment(self, at: datetime | None) -> str:
        return self.voice.moment(at, self.at) if at else ""

    def _day(self, iso: str, *, with_clock: bool) -> str:
        try:
            at = datetime.fromisoformat(iso)
        except ValueError:
            return iso
        if at.tzinfo is None:
            at = at.replace(tzinfo=self.town.tz)
        return self.voice.moment(at, self.at) if with_clock else self.voice.day(at, self.at)

    def say(self, key: str, **more: object) -> str:
        """Say a sentence; its `.bare` wording when something that it would name is not (or no longer) there."""
        words, bare = self.words | more, f"{key}.bare"
        if self.voice.has(bare) and not all(words.get(place) for place in self.voice.places(key)):
            key = bare
        return self.voice.say(key, **words).strip()
