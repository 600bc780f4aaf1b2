"""The cards: what is told to one reader, from the case as it stands now. The same words in the same order on every surface."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Protocol, cast

from adapters.base import Choice, Message
from bot.voice.buttons import CHECK_IN, GLYPHS, OFFER, Buttons
from bot.voice.scene import Scene
from bot.voice.speech import Voice
from workflow.case import TRACK, Case, Handoff, Wait
from workflow.ladder import Urgency
from workflow.path import ENDED
from workflow.people import LEAD, WATCH, Role, Staff, Town
from workflow.promise import climbs_to
from workflow.report import aware, seen_by

Band = tuple[str, str, str]  #: tone (ok|soon|late|calm), what, and a line below
Bar = tuple[str, str, int, int]  #: text, style (sender|holder|asked|interim), start and end in percent
FIRST_REPORT: Final = ("accepted", "active")
LISTED: Final = 5  #: choices below a list


@dataclass(frozen=True)
class Card:
    """One thing told to one reader. `text` stands alone; the buttons are beside it, never in it."""

    kind: str  #: offer, checkin, reminder, preview, or the notice's own kind
    title: str
    text: str
    number: str | None = None
    mark: str | None = None
    stage: str | None = None
    urgency: str = "normal"
    facts: tuple[tuple[str, str, str], ...] = ()  #: label, value, note
    band: Band | None = None
    bars: tuple[Bar, ...] = ()
    bars_note: str = ""
    wait: dict[str, object] | None = None  #: the chip: kind, share, text, iso
    next: str = ""  #: what the chip is of; empty: of the row 「お返事まで」
    choices: tuple[Choice, ...] = ()
    phones: tuple[tuple[str, str], ...] = ()  #: 緊急: whom to dial first
    note: str = ""  #: 「あなたにだけ見えています」 or empty
    href: str | None = None
    guards: tuple[tuple[str, str], ...] = ()  #: inside, what protects the case: glyph, word
    labels: Mapping[str, str] = field(
        default_factory=dict
    )  #: the words of stage and urgency, for whoever draws the card

    def message(self) -> Message:
        """The card for a chat: title, text, facts as pairs, buttons."""
        facts = [(label, f"{value}\n{note}" if note else value) for label, value, note in self.facts]
        if self.band and self.band[1] not in self.text:
            facts.insert(0, (self.labels.get("band", ""), " ".join(filter(None, self.band[1:]))))
        if self.guards:
            facts.insert(0, (self.labels.get("guards", ""), " ".join(word for _, word in self.guards)))
        return Message(self.text, self.title, (*self.phones, *facts), self.choices)

    def view(self, id: str, tokens: Mapping[str, str] | None = None) -> dict[str, object]:
        """The card as `parts/card.html` draws it; `tokens` are the buttons' names by the words they say."""
        known = {"offer", "checkin", "reminder", "preview"}
        shown: dict[str, object] = {
            "id": id, "kind": self.kind if self.kind in known else "answer", "kind_label": self.title, "number": self.number,
            "mark": self.mark, "href": self.href, "urgency": {"level": self.urgency, "label": self.labels.get("urgency", "")},
            "guards": [{"glyph": glyph, "label": word} for glyph, word in self.guards],
            "facts": [self._row(*fact) for fact in self.facts], "private": bool(self.note),
            "bars": [dict(zip(("text", "style", "start", "end"), bar, strict=True)) for bar in self.bars], "bars_note": self.bars_note,
            "phones": [{"label": label, "number": number} for label, number in self.phones],
            "choices": [self._choice(c, tokens or {}) for c in self.choices],
        }  # fmt: skip
        if self.stage:
            shown["stage"] = {"id": self.stage, "label": self.labels.get("stage", self.stage)}
        if self.kind == "reminder":
            shown["bell"] = {"title": self.labels.get("bell", self.title), "text": self.text}
        elif not (self.kind == "offer" and (self.facts or self.band)):
            shown["text"] = self.text
        if self.band:
            shown["state"] = dict(zip(("style", "text", "detail"), self.band, strict=True))
        if self.wait and self.next:
            shown["next"] = {"label": self.next, "wait": self.wait}
        elif self.wait and self.kind == "checkin":
            shown["due"] = {"text": self.wait["text"], "iso": self.wait["iso"]}
        return shown

    def _row(self, label: str, value: str, note: str) -> dict[str, object]:
        row: dict[str, object] = {"label": label, "value": value, "note": note}
        if label == self.labels.get("until") and self.wait and not self.next:
            row["wait"] = self.wait
        return row | ({"strong": True} if label == self.labels.get("what") else {})

    def _choice(self, choice: Choice, tokens: Mapping[str, str]) -> dict[str, object]:
        drawn: dict[str, object] = {
            "label": choice.label, "says": choice.says, "style": choice.style,
            "token": choice.token or tokens.get(choice.says, choice.says),
        }  # fmt: skip
        glyph = GLYPHS.get(choice.says.split(" ")[0]) if self.kind == "checkin" or not self.number else None
        return drawn | ({"glyph": glyph} if glyph else {})


def card(
    kind: str, data: Mapping[str, object], case: Case | None, handoff: Handoff | None, wait: Wait | None, *,
    reader: Staff | None, room: str | None, town: Town, at: datetime, voice: Voice, mark: str,
) -> Card:  # fmt: skip
    """Make a notice's card for one reader (or a room): from the case as it stands, with the buttons that are legal now."""
    if case is not None:
        case = seen_by(reader, case, town, at)
        handoff = (case.handoff(handoff.id) or handoff) if handoff else None
    scene = Scene(kind, data, case, handoff, wait, reader, room, town, at, voice, mark)
    if kind in TRACK_NOTICES or str(data.get("what", "")) in TRACK or (wait is not None and wait.kind in TRACK):
        return _track(scene)
    if kind == "ring":
        return _ring(scene)
    if kind in ("offer", "answered", "without") and handoff is not None:
        return _offer(scene)
    if kind in ("danger", "reached", "absence") or (case is None and kind.endswith("_wanted")):
        return _call(scene)
    if kind in ("platform_closed", "address_gone"):
        return _closed(scene)
    return MAKERS.get(kind, _plain)(scene)


# -- the frame


def _framed(s: Scene, title: str, text: str, **more: object) -> Card:
    """What every card of a case has: number, 目印, stage, urgency."""
    voice, case = s.voice, s.case
    labels = {"until": voice.say("row.until"), "what": voice.say("row.what"), "band": voice.say("row.now")}
    if case is None:
        return replace(Card(s.kind, title, text, labels=labels), **more)  # type: ignore[arg-type]
    labels |= {
        "stage": voice.label("stage", case.stage),
        "urgency": voice.label("urgency", case.urgency.value),
        "bell": s.say("ring.reminder.title"),
        "guards": voice.say("row.guards"),
    }
    made = Card(
        s.kind,
        title,
        text,
        case.number,
        s.mark or None,
        case.stage,
        case.urgency.value,
        href=f"/conferences/{s.data['conference']}" if s.data.get("conference") else f"/cases/{case.number}",
        guards=_guards(s),
        labels=labels,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def _guards(s: Scene) -> tuple[tuple[str, str], ...]:
    """Protection flags, and that the case is restricted: inside alone, never a word of it in a chat outside (workflow.md §6)."""
    if s.case is None or s.voice.outside:
        return ()
    flags = tuple(("shield", s.voice.label("flag", flag)) for flag in s.case.flags)
    return (*flags, ("lock", s.voice.label("done", "restricted"))) if s.case.restricted else flags


def _wait_of(s: Scene) -> dict[str, object]:
    """The one next wait: its chip and its name."""
    if s.next_wait is None or (s.quiet and s.next_wait.kind != "approval"):
        return {}
    return {"wait": s.chip(s.next_wait), "next": s.voice.label("wait", s.next_wait.kind)}


def _phones(s: Scene) -> tuple[tuple[str, str], ...]:
    """緊急: whom to dial: the other side first, then the row on duty and the town's own numbers."""
    if s.case is None or s.case.urgency is not Urgency.EMERGENCY or not s.case.open or s.quiet:
        return ()
    town, found = s.town, {}
    codes = (s.handoff.from_agency, s.handoff.to_agency) if s.handoff else ()
    mine = {a for p in s.people for a in p.agencies} if s.reader else {s.room}
    for code in codes:
        if code in town.agencies and code not in mine and town.agencies[code].phone:
            found[s.voice.agency(code)] = town.agencies[code].phone
    found |= {row.name: row.phone for row in town.on_duty(s.at)[:1]}
    found |= {p.label: p.number for p in town.phones}
    return tuple(found.items())


# -- the track of a suspicion: outside only that somebody should telephone

#: What tells of a track; those that call for the telephone first.
TRACK_NOTICES: Final = frozenset({"abuse", "report_made", "report_seen", "report_ended"})
CALLING: Final = frozenset({"abuse", "report", "child_safety"})
#: What is pressed on each.
DUTIES: Final = {
    "abuse": ("reported", "seen_safe"), "report_made": ("seen_safe",), "report": ("reported",), "child_safety": ("seen_safe",),
    "report_follow": ("seen_safe", "end_report"),
}  # fmt: skip


def _track(s: Scene) -> Card:
    case, what = s.case, str(s.data.get("what") or (s.wait.kind if s.wait else s.kind))
    what = s.kind if s.kind in TRACK_NOTICES else what
    if case is None or s.reader is None or not aware(s.reader, case, s.town, s.at):
        return _framed(s, s.say("card.unknown.title"), s.say("card.unknown"))
    over = (s.kind == "ring" and not s.is_open(s.wait)) or not any(r.open for r in case.reports)
    phones = () if over or what not in CALLING else _to_dial(s)
    if s.voice.outside:
        named = "card.call_now" if phones else "card.unknown"
        return _framed(s, s.say(f"{named}.title"), s.say(named), phones=phones)
    key = f"card.{what}" if s.kind in TRACK_NOTICES else f"ring.{what}"
    if over and s.kind == "ring":
        return _framed(s, s.say(f"{key}.title"), s.say("ring.over"), band=("ok", s.say("band.settled"), ""))
    facts = tuple((s.say(f"row.{name}"), s.words[name], "") for name in ("abuse", "to", "how") if s.words.get(name))
    found = Buttons(s).add(*(DUTIES.get(what, ()) if not over else ()), primary=DUTIES.get(what, ("",))[0])
    text = s.say(key if s.kind in TRACK_NOTICES or s.wait is None or s.owns(s.wait) else f"{key}.tell")
    shown = {"wait": s.chip(s.wait), "next": s.voice.label("wait", s.wait.kind)} if s.wait and s.is_open(s.wait) else {}
    return _framed(s, s.say(f"{key}.title"), text, facts=facts, phones=phones, choices=found.done(), **shown)


def _to_dial(s: Scene) -> tuple[tuple[str, str], ...]:
    """Inside the lines for what is suspected, then the row on duty and the town's own; outside the town's own alone."""
    open_ = {r.kind for r in s.case.reports if r.open} if s.case else set()
    lines = () if s.voice.outside else tuple((one.label, one.number) for one in s.town.reports if one.kind in open_)
    duty = tuple((row.name, row.phone) for row in s.town.on_duty(s.at)[:1])
    return tuple(dict.fromkeys((*lines, *duty, *((p.label, p.number) for p in s.town.phones))))


# -- an offer, in each of its states


def _offer(s: Scene) -> Card:
    h, case = s.handoff, s.case
    assert h is not None
    if case is None:
        return _plain(s)
    title = s.say(f"card.{s.kind}.title")
    if not h.asked:
        return _settled_offer(s, h, s.say("card.offer.title"))
    buttons = _offer_buttons(s)
    return _framed(
        s, title, _offer_text(s, h), kind="offer", facts=_six(s, h), band=_band(s, h), bars=_bars(s, h), bars_note=s.say("bars.offered"),
        wait=s.chip(s.next_wait) if s.next_wait else None, choices=buttons, phones=_phones(s),
    )  # fmt: skip


def _offer_text(s: Scene, h: Handoff) -> str:
    if s.kind != "offer":
        return s.say(f"card.{s.kind}")
    if s.case and s.case.urgency is Urgency.EMERGENCY:
        return s.say("card.offer.emergency")
    if h.last_candidate:
        return s.say("card.offer.last")
    return s.say("card.offer.lead" if h.duty == LEAD else "card.offer")


def _six(s: Scene, h: Handoff) -> tuple[tuple[str, str, str], ...]:
    """From whom · what · what is visible now and why · until when · who may answer · what happens on silence."""
    say = s.say
    return (
        (say("row.from"), f"{s.words['from_agency']} {s.words['sender']}", ""),
        (say("row.what"), s.words["duty"], _beside(s, h)),
        (say("row.visible"), _visible(s), say("visible.basis", basis=s.voice.label("basis", h.basis))),
        (say("row.until"), s.words["due"] if not _paused(s) else say("until.pending"), ""),
        (say("row.who"), _who(s, h), ""),
        (say("row.silence"), _silence(s, h), _stays(s)),
    )


def _paused(s: Scene) -> bool:
    return bool(s.next_wait and s.next_wait.paused_left is not None)


def _visible(s: Scene) -> str:
    if s.voice.outside:
        return s.say("visible.outside")
    return s.say("visible.inside" if s.case and s.case.district else "visible.no_district")


def _beside(s: Scene, h: Handoff) -> str:
    found = [s.say(f"what.{name}") for name in ("keeps", "why") if getattr(h, name)]
    others = (
        [o for o in s.case.handoffs if o.batch == h.batch and o.id != h.id and o.asked] if s.case and h.batch else []
    )
    if others:
        found.append(s.say("what.batch", n=len(others)))
    return " ".join(found)


def _who(s: Scene, h: Handoff) -> str:
    if h.to_staff:
        deputy = s.town.deputy(h.to_staff, s.at) if h.to_staff in s.town.staff else None
        return s.say("who.person_deputy" if deputy else "who.person", person=s.voice.person(h.to_staff))
    volunteer = h.to_agency in s.town.agencies and s.town.agencies[h.to_agency].volunteer
    return s.say("who.volunteers" if volunteer else "who.any")


def _silence(s: Scene, h: Handoff) -> str:
    """Whom the ladder reaches, in its order, in words."""
    waits = [w for w in s.case.waits_of(h.id) if w.kind in ("react", "decide")] if s.case else []
    if h.last_candidate or not waits or s.case is None:
        return s.say("silence.last")
    climbed = [relation for relation, people in climbs_to(waits[0], s.case, s.town, s.at) if people]
    steps = [r for r in dict.fromkeys(climbed) if r not in ("receiver", "owner")]
    return (
        s.say("silence.climb", people=s.voice.between("list.dot").join(s.voice.label("relation", r) for r in steps))
        if steps
        else s.say("silence.last")
    )


def _stays(s: Scene) -> str:
    return s.say("silence.lead") if s.case and s.case.lead else s.say("silence.interim")


def _offer_buttons(s: Scene) -> tuple[Choice, ...]:
    """Five answers, one filled. 「今回は…」 has the size of its neighbours."""
    h, found = s.handoff, Buttons(s)
    assert h is not None
    if s.volunteer:
        return found.add("accept", "decline_plain", primary="accept").done()
    match h.state:
        case "waitlisted":
            found.add("accept", "accept_if", "place_free", "decline", primary="accept")
        case "info_requested":
            found.add("accept", "decline", primary="accept")
        case "conditional":
            found.add("decline")
        case _:
            found.add(*OFFER, primary="accept")
    if not found.found:
        # Not the asked side: the sender may answer what the asked side waits for, or take it back.
        found.add("answer", "agree", "without", primary="answer" if h.state == "info_requested" else "agree")
        found.add("withdraw", quiet=("withdraw",))
        return found.done()
    return found.add("assign", quiet=("assign",)).done()


def _settled_offer(s: Scene, h: Handoff, title: str) -> Card:
    """Answered: the buttons go, a band says who and when; then the bars and the one next wait."""
    found = Buttons(s)
    if h.state == "accepted":
        found.add("connect", "attempt", "release", primary="connect", quiet=("release",))
    elif h.state == "on_hold":
        found.add("resume")
    found.add("take_over", "accept_late", primary="take_over")
    text = s.say("card.offer.settled")
    return _framed(
        s, title, text, kind="offer", band=_band(s, h), bars=_bars(s, h), bars_note=_bars_note(s, h),
        choices=found.done(), **(_wait_of(s) if h.held else {}),
    )  # fmt: skip


def _bars(s: Scene, h: Handoff) -> tuple[Bar, ...]:
    """つなぎの帯: the sender's bar does not end before the receiver's has begun."""
    asker, asked = s.words["from_agency"], s.words["agency"]
    say = s.voice.say
    if h.asked:
        return ((say("bar.keeps", agency=asker), "sender", 0, 100), (say("bar.asked", agency=asked), "asked", 45, 100))
    if h.state == "accepted":
        return (
            (say("bar.watches", agency=asker), "sender", 0, 74),
            (say("bar.holds", agency=asked), "holder", 45, 100),
        )
    if h.held:
        end, key = (45, "bar.watches") if h.result_at else (60, "bar.watches.report")
        return ((say(key, agency=asker), "sender", 0, end), (say("bar.holds", agency=asked), "holder", 45, 100))
    return ()


def _bars_note(s: Scene, h: Handoff) -> str:
    if h.state == "accepted":
        return s.voice.say("bars.accepted", agency=s.words["from_agency"])
    return s.voice.say("bars.active", agency=s.words["from_agency"]) if h.awaits_result else ""


TONES: Final = {"accepted": "ok", "active": "ok", "completed": "ok", "expired": "late", "considering": "soon"}


def _band(s: Scene, h: Handoff) -> Band | None:
    """What became of it: who, when, which agency."""
    if h.state == "offered":
        return None
    key, moment = f"band.{h.state}", h.ended_at or h.connected_at or h.accepted_at
    words: dict[str, object] = {"at": s.voice.moment(moment, s.at) if moment else ""}
    match h.state:
        case "accepted" if s.reader and not s.holds() and h.to_agency in s.reader.agencies:
            return ("ok", s.say("band.accepted.elsewhere"), s.say("band.accepted.sub", **words))
        case "active":
            words["at"] = s.voice.moment(h.connected_at, s.at) if h.connected_at else ""
        case "declined":
            return _declined(s, h, words)
        case "withdrawn" if winner := _winner(s, h):
            return (
                "calm",
                s.say("band.stood_down", agency=s.voice.agency(winner.to_agency)),
                s.say("band.stood_down.sub", **words),
            )
        case "expired" if h.late_accept:
            return ("soon", s.say("band.late_accept"), s.say("band.late_accept.sub"))
    return (TONES.get(h.state, "calm"), s.say(key, **words), s.say(f"{key}.sub", **words))


def _declined(s: Scene, h: Handoff, words: dict[str, object]) -> Band:
    own = any(h.to_agency in p.agencies for p in s.people)
    plain = not h.reason or _is_volunteer(s, h)
    reason = "" if plain else s.voice.label("decline", h.reason)
    sub = s.say("band.declined.plain", **words) if plain else s.say("band.declined.sub", reason=reason, **words)
    return ("calm", s.say("band.declined.own" if own else "band.declined"), sub)


def _is_volunteer(s: Scene, h: Handoff) -> bool:
    """A watcher gives no reason, so none is shown."""
    return h.to_agency in s.town.agencies and s.town.agencies[h.to_agency].volunteer


def _winner(s: Scene, h: Handoff) -> Handoff | None:
    """Who was first, when this one was stood down."""
    if s.case is None:
        return None
    if h.batch is not None:
        return next((o for o in s.case.handoffs if o.batch == h.batch and o.accepted_at and o.id != h.id), None)
    others = [
        o for o in s.case.of_duty(h.duty) if o.held and o.id != h.id and o.accepted_at and o.accepted_at == h.ended_at
    ]
    return others[0] if others else None


# -- rings


def _ring(s: Scene) -> Card:
    what = str(s.data.get("what") or (s.wait.kind if s.wait else ""))
    s = replace(
        s,
        data={k: v for k, v in s.data.items() if k not in ("what", "act", "urgency")}
        | ({"what": s.data["subject"]} if what == "queue" and s.data.get("subject") else {}),
    )
    if what in ("danger", "phone") and s.case is None:
        return _call(replace(s, kind=what))
    if s.case is None:
        return _call(replace(s, kind=what)) if what == "talk" else _plain(s)
    if s.quiet and what not in ("approval", "closing_notice"):
        return _framed(s, s.say(f"ring.{what}.title"), s.say("card.quiet"), band=("calm", s.say("band.quiet"), ""))
    if not s.is_open(s.wait):
        return _settled_ring(s, what)
    assert s.wait is not None
    own = s.owns(s.next_wait or s.wait)
    if what in ("react", "decide") and own:
        return _reminder(s, what)
    if what == "checkin" and own and s.handoff is not None and s.handoff.state == "active":
        return _checkin(s)
    key = f"ring.{what}" if own else f"ring.{what}.tell"
    text = s.say(key) if s.voice.has(key) else s.say("card.unknown")
    found = Buttons(s)
    TURNS.get(what, _no_buttons)(s, found, own)
    return _framed(
        s,
        s.say(f"ring.{what}.title"),
        text,
        facts=_ring_facts(s, own),
        choices=found.done(),
        phones=_phones(s),
        **_wait_of(s),
    )


def _ring_facts(s: Scene, own: bool) -> tuple[tuple[str, str, str], ...]:
    """For those further up: whose turn it is, and where to telephone."""
    if own:
        return ()
    code = s.handoff.to_agency if s.handoff and s.next_wait and s.next_wait.kind != "queue" else s.town.body.code
    if any(code in p.agencies for p in s.people) or code not in s.town.agencies:
        return ()
    return ((s.say("row.agency"), s.voice.agency(code), s.town.agencies[code].phone),)


#: How an offer ends that nobody has answered: no thanks for an answer then.
UNANSWERED: Final = frozenset({"expired", "withdrawn"})


def _settled_ring(s: Scene, what: str) -> Card:
    """A reminder whose question has been answered shrinks to one line; a check-in keeps its answer."""
    h = s.handoff
    if what == "checkin" and h is not None and s.case is not None:
        return _answered_checkin(s, s.case, h)
    asked = what in ("react", "decide") and h is not None
    if asked and h and h.state in UNANSWERED:
        band: Band = ("calm", s.say("band.settled"), "")
        return _framed(s, s.say(f"ring.{what}.title"), s.say("ring.over"), band=band)
    band = ("ok", s.say("band.answered" if asked else "band.settled"), "")
    return _framed(
        s,
        s.say(f"ring.{what}.title"),
        s.say("ring.settled"),
        band=band,
        **(_wait_of(s) if asked and h and h.held else {}),
    )


def _answered_checkin(s: Scene, case: Case, h: Handoff) -> Card:
    """The chosen answer stays, with who gave it; 取消 for as long as it would still be heard."""
    given, following = str(s.data.get("answered", "")), case.wait("checkin", h.id)
    coming = s.say("band.answered.sub", day=s.voice.day(following.due_at, s.at)) if following else ""
    title = s.say("ring.checkin.title")
    if not given:
        return _framed(s, title, s.say("ring.over"), kind="checkin", band=("calm", s.say("band.settled"), coming))
    sub = s.voice.join([s.say("band.answered.by"), coming])
    if given == "corrected":
        return _framed(s, title, s.say("ring.over"), kind="checkin", band=("calm", s.say("band.corrected"), sub))
    found = Buttons(s)
    if s.data.get("undo"):
        found.put("button.undo", "取消", "quiet")
    band: Band = ("ok", s.voice.label("contact", given), sub)
    return _framed(s, title, s.say("ring.settled"), kind="checkin", band=band, choices=found.done())


def _reminder(s: Scene, what: str) -> Card:
    h = s.handoff
    assert h is not None
    return _framed(
        s, s.say(f"ring.{what}.title"), s.say(f"ring.{what}"), kind="reminder", facts=_six(s, h), band=_band(s, h),
        wait=s.chip(s.next_wait) if s.next_wait else None, choices=_offer_buttons(s), phones=_phones(s),
    )  # fmt: skip


def _checkin(s: Scene) -> Card:
    """Contact first, impression second; equal buttons, none filled. 「今回は難しいです」 stands below."""
    h, wait = s.handoff, s.next_wait
    assert h is not None and wait is not None
    name = {"checkin_missed": "ring.checkin_missed", "checkin_missed_harsh": "ring.checkin_missed_harsh"}.get(
        h.ask_again, "ring.checkin"
    )
    if s.volunteer and s.mark:
        name = "ring.checkin.volunteer"
    asked_every = h.cadence or (s.case.interval if s.case and h.duty == WATCH else "") or wait.policy.normal
    text = s.say(name, span=s.voice.span(asked_every))
    found = Buttons(s).add(*CHECK_IN, "cannot", quiet=("cannot",))
    return _framed(s, s.say("ring.checkin.title"), text, kind="checkin", wait=s.chip(wait), choices=found.done())


def _no_buttons(s: Scene, found: Buttons, own: bool) -> None:
    """Nothing to press: a telephone or a talk is what helps."""


def _screening(s: Scene, found: Buttons, own: bool) -> None:
    found.add("screen_continue", "screen_refer", "screen_inform")


def _offer_silent(s: Scene, found: Buttons, own: bool) -> None:
    """Those further up: a head may answer for the agency, the coordinator asks the next one beside it."""
    h = s.handoff
    if h is None:
        return
    if s.has(Role.COORDINATOR):
        found.candidates(h.duty, most=2).extend(1)
    else:
        found.add("accept", "assign", "decline")


def _question(s: Scene, found: Buttons, own: bool) -> None:
    found.add("answer", "withdraw", primary="answer", quiet=("withdraw",))


def _next_step(s: Scene, found: Buttons, own: bool) -> None:
    duty = s.next_wait.subject if s.next_wait else ""
    found.candidates(duty, primary=True).extend(2)


def _movement(s: Scene, found: Buttons, own: bool) -> None:
    what = s.next_wait.kind if s.next_wait else ""
    if what == "movement_support":
        found.add("offer", primary="offer")
    if what == "movement_watching":
        found.add("watcher", primary="watcher")
    found.extend(5, 10, key="button.appoint")


def _first_contact(s: Scene, found: Buttons, own: bool) -> None:
    found.add("connect", "attempt", "phone", "fail", primary="connect", quiet=("phone", "fail"))


def _safety(s: Scene, found: Buttons, own: bool) -> None:
    found.add("talked", primary="talked")


def _condition(s: Scene, found: Buttons, own: bool) -> None:
    found.add("agree", "without", "withdraw", primary="agree")


def _withdrawal(s: Scene, found: Buttons, own: bool) -> None:
    found.add("withdraw", "keep")


def _on_hold(s: Scene, found: Buttons, own: bool) -> None:
    found.add("resume", "complete", primary="resume").extend(10)


def _approval(s: Scene, found: Buttons, own: bool) -> None:
    found.add("approve", "concern", primary="approve")


def _review(s: Scene, found: Buttons, own: bool) -> None:
    found.add("reviewed", primary="reviewed").extend(10)


def _consent(s: Scene, found: Buttons, own: bool) -> None:
    found.add("consent_full", "consent_refused").extend(5)


def _interim(s: Scene, found: Buttons, own: bool) -> None:
    found.candidates(LEAD, primary=True)


def _recheck(s: Scene, found: Buttons, own: bool) -> None:
    found.add("case_resume", primary="case_resume").extend(20)


def _waitlist(s: Scene, found: Buttons, own: bool) -> None:
    if own:
        found.add("place_free", "accept", "decline")
    elif s.handoff:
        found.candidates(s.handoff.duty, most=2)


def _result(s: Scene, found: Buttons, own: bool) -> None:
    found.add("calm", "worry", "seen", "missed")


def _decision(s: Scene, found: Buttons, own: bool) -> None:
    found.add("decide", primary="decide")


def _conference(s: Scene, found: Buttons, own: bool) -> None:
    found.add("convene", primary="convene")


def _head_holds(s: Scene, found: Buttons, own: bool) -> None:
    found.add("assign", "take_over", primary="assign")


def _queue(s: Scene, found: Buttons, own: bool) -> None:
    """The coordinator's item: the buttons of the wait it was climbed from."""
    item = s.next_wait
    climbed = next((w for w in s.case.waits if item and w.id == item.about), None) if s.case else None
    if climbed is not None and climbed.kind in TURNS and climbed.kind != "queue":
        found.scene = replace(s, wait=climbed)
        TURNS[climbed.kind](found.scene, found, own)


#: kind of wait → the buttons of its ring.
TURNS: Mapping[str, Callable[[Scene, Buttons, bool], None]] = {
    "screening": _screening, "react": _offer_silent, "decide": _offer_silent, "answer_question": _question, "next_step": _next_step,
    "movement_intake": _movement, "movement_untangling": _movement, "movement_role_division": _movement, "movement_support": _movement,
    "movement_watching": _movement, "queue": _queue, "first_contact": _first_contact, "safety": _safety, "condition": _condition,
    "withdrawal": _withdrawal, "on_hold": _on_hold, "talk": _safety, "conference": _conference, "head_holds": _head_holds,
    "closing_notice": _approval, "approval": _approval, "plan_review": _review, "decision": _decision, "consent": _consent,
    "interim": _interim, "recheck": _recheck, "waitlist": _waitlist, "result": _result,
}  # fmt: skip


# -- notices about a handoff or a case


def _plain(s: Scene) -> Card:
    """A title, a sentence, a few facts, the buttons that help now."""
    title_key, text_key = f"card.{s.kind}.title", f"card.{s.kind}{_variant(s)}"
    if not s.voice.has(title_key):
        return _framed(s, s.say("card.unknown.title"), s.say("card.unknown"))
    return _framed(
        s, s.say(title_key), s.say(text_key), facts=_facts(s), choices=_choices(s), phones=_phones(s) if s.kind in LOUD else (),
        bars=_bars(s, s.handoff) if s.handoff and s.kind in BARRED else (),
        bars_note=_bars_note(s, s.handoff) if s.handoff and s.kind in BARRED else "",
        **(_wait_of(s) if s.kind not in SILENT else {}),
    )  # fmt: skip


#: Where the bars help to see who holds and who watches.
BARRED: Final = frozenset({"accepted", "connected", "agreed", "assigned"})
#: Where nothing is waited for: a thank-you, or news.
SILENT: Final = frozenset(
    {
        "stood_down", "withdrawn", "mistake", "expired_receiver", "moved", "closed", "death", "closing_stopped", "proposal_withdrawn",
        "request_answered", "coordination_ended", "urgency_raised", "urgency_lowered", "reconsulted", "convened", "result",
        "assigned_away", "completed_told", "case_resumed", "lead_changed", "conference", "conference_answer", "conference_cancelled",
    }
)  # fmt: skip
#: Where the telephone comes first.
LOUD: Final = frozenset({"urgency_raised", "emergency_opened", "safety", "next_candidates", "expired"})


#: In which states what these tell of is still so, and the handoff's day is theirs.
STANDING: Final[Mapping[str, tuple[str, ...]]] = {
    "considering": ("considering", "info_requested"), "waitlisted": ("waitlisted",), "on_hold": ("on_hold",),
}  # fmt: skip


def _variant(s: Scene) -> str:
    """Which wording of a notice fits what it tells."""
    h, case = s.handoff, s.case
    match s.kind:
        case "declined" if h is not None:
            plain = _is_volunteer(s, h) or not (h.reason or s.data.get("code"))
            second = int(str(s.data.get("hops", 0) or 0)) >= 2
            return {(True, True): ".second_plain", (True, False): ".second", (False, True): ".plain"}.get(
                (second, plain), ""
            )
        case "expired" if int(str(s.data.get("hops", 0) or 0)) >= 2:
            return ".second"
        case "withdrawn" if h is not None and h.accepted_at:
            return ".held"
        case "connected" if h is not None and h.result_at and h.result_at == h.connected_at:
            return ".done"
        case "reassigning" if h is not None and not h.asked:
            return ".settled"
        case "reassigning" if h is not None and not h.why:
            return ".plain"
        case "held_by_head" if h is not None and not h.held_by_head:
            return ".settled"
        case "considering" | "waitlisted" | "on_hold" if h is not None and h.state not in STANDING[s.kind]:
            return ".bare"
        case "conference" | "conference_cancelled" if not s.data.get("at"):
            return ".undated"
        case "conference_answer" if s.data.get("reply") == "cannot":
            return ".cannot"
        case "urgency_raised" if s.data.get("urgency") == "emergency":
            return ".emergency"
        case "approve_please" if case is not None and case.deceased and not s.voice.outside:
            return ".deceased"
        case "closed" if case is not None and case.deceased and not s.voice.outside:
            return ".deceased"
        case "death" if s.voice.outside:
            return ".outside"
    return ""


def _facts(s: Scene) -> tuple[tuple[str, str, str], ...]:
    """Duty and agency, reason, holder: what the eye looks for first."""
    h = s.handoff
    if h is None:
        return ()
    rows = [(s.say("row.duty"), s.words["duty"], ""), (s.say("row.agency"), s.words["agency"], "")]
    if h.held and h.holder:
        rows.append((s.say("row.holder"), s.words["holder"], ""))
    if s.kind == "declined" and h.reason and not _is_volunteer(s, h):
        rows.append((s.say("row.reason"), s.voice.label("decline", h.reason), ""))
    if s.kind == "question":
        rows.append((s.say("row.question"), s.words["missing"], ""))
    if s.kind in ("conditional", "agreed"):
        rows.append((s.say("row.condition"), s.words["condition"], ""))
    return tuple(rows)


#: kind → (buttons, which of them is filled)
PRESSES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "assigned": (("connect", "attempt"), "connect"),
    "agreed": (("connect", "attempt"), "connect"),
    "proxy_told": (("connect", "object_to_proxy"), ""),
    "question": (("answer", "withdraw"), "answer"),
    "waitlisted": (("withdraw",), ""),
    "conditional": (("agree", "without", "withdraw"), "agree"),
    "withdrawal_asked": (("withdraw", "keep"), ""),
    "expired_receiver": (("accept_late",), ""),
    "late_accept": (("take_late",), "take_late"),
    "held_by_head": (("take_over",), "take_over"),
    "proxy_objected": (("mistake",), ""),
    "worry": (("talked", "untangle"), ""),
    "safety": (("talked", "untangle"), "talked"),
    "conference_asked": (("convene",), "convene"),
    "talk_wanted": (("talked",), "talked"),
    "phone_wanted": (("talked",), "talked"),
    "concern_wanted": (("talked", "untangle"), "talked"),
    "safety_wanted": (("talked",), "talked"),
    "approve_please": (("approve", "concern"), "approve"),
    "closing_proposed": (("concern",), ""),
    "suspended": (("case_resume",), ""),
}
#: kind → how many next agencies it offers by name.
NEXT: Mapping[str, int] = {
    "declined": 3, "expired": 3, "next_candidates": 3, "failed_told": 3, "released_told": 3, "waitlisted": 2, "withdrawn": 2, "mistake": 2,
}  # fmt: skip


def _choices(s: Scene) -> tuple[Choice, ...]:
    found = Buttons(s)
    names, primary = PRESSES.get(s.kind, ((), ""))
    if s.kind in NEXT and s.handoff is not None and not _taken(s, s.handoff):
        if s.kind == "declined":
            _proposed_by_code(s, s.handoff, found)
        first = s.kind in ("declined", "expired", "released_told") and not found.found
        found.candidates(s.handoff.duty, primary=first, most=NEXT[s.kind])
    if s.kind == "waitlisted" and not s.stands("sender"):
        return found.done()
    found.add(*names, primary=primary)
    if s.kind == "approve_please" and s.quiet:
        found.found = [c for c in found.found if c.says.startswith("承認")]
    if s.kind == "decline_taken_back" and s.case and s.handoff and s.stands("lead") and not _taken(s, s.handoff):
        agency = s.handoff.to_agency
        found.put(
            "button.offer_to",
            f"依頼 {s.case.number} {s.handoff.duty} {agency}",
            "primary",
            agency=s.voice.agency(agency),
        )
    if s.kind == "outreach_proposed":
        found.candidates("outreach", most=2)
    if s.kind == "interim":
        found.candidates(LEAD)
    if s.kind == "lengthen_proposed":
        found.lengthen()
    return found.done()


def _proposed_by_code(s: Scene, h: Handoff, found: Buttons) -> None:
    """What the code of a 辞退 proposes before the next agency is asked (workflow.md §2)."""
    code = s.town.declines.get(h.reason)
    if s.case is None or code is None or h.duty == LEAD or s.volunteer or not s.stands("lead", "coordinator"):
        return
    again, agency = f"依頼 {s.case.number} {h.duty} {h.to_agency}", s.voice.agency(h.to_agency)
    deputy = s.town.deputy(h.to_staff, s.at) if h.to_staff else None
    match code.next:
        case "answer":
            found.put("button.ask_again", again, "primary", agency=agency)
        case "interpreter":
            found.put("button.ask_interpreter", f"{again} 再度", "primary", agency=agency)
        case "deputy" if deputy:
            found.put("button.ask_deputy", f"{again}/{deputy} 再度", "primary", person=s.voice.person(deputy))
        case "consult":
            found.put("button.ask_coordinator", f"相談 {s.case.number}")


def _taken(s: Scene, h: Handoff) -> bool:
    """Somebody else holds the need by now, or is being asked."""
    return s.case is not None and any(o.held for o in s.case.of_duty(h.duty)) and h.state in ENDED


def _summary(s: Scene) -> Card:
    """A case at a glance: who holds it, until when, and what happens otherwise."""
    case = s.case
    if case is None:
        return _plain(s)
    key = "case.summary.closed" if not case.open else "case.summary" if case.lead else "case.summary.interim"
    nearest = case.nearest
    shown = replace(s, wait=nearest)
    rows = [(s.say("row.lead"), s.words["lead"], "")]
    for h in (*case.held, *case.asked):
        of = replace(s, handoff=h)
        rows.append(
            (
                of.words["duty"],
                f"{of.words['agency']} {s.voice.person(h.holder)}".strip(),
                s.voice.label("handoff_state", h.state),
            )
        )
    chip = {"wait": s.chip(nearest), "next": s.voice.label("wait", nearest.kind)} if nearest else {}
    found = Buttons(s)
    if case.open and not case.deceased and s.stands("lead"):
        _onward(s, found)
    if case.proposal:
        found.add("approve", primary="approve")
    return _framed(shown, s.say("card.summary.title"), s.say(key), facts=tuple(rows), choices=found.done(), **chip)


AFTER: Final = {
    "intake": "untangling",
    "untangling": "role_division",
    "role_division": "support",
    "support": "watching",
}
SPOKEN: Final = {"untangling": "ほぐし", "role_division": "役割分担", "support": "支援", "watching": "見守り"}


def _onward(s: Scene, found: Buttons) -> None:
    """What the lead may do next."""
    assert s.case is not None
    if s.case.stage == "intake" and not s.case.screening:
        found.add("screen_continue", "screen_refer", "screen_inform")
    if s.case.stage == "suspended":
        found.add("case_resume", primary="case_resume")
        return
    found.add("offer")
    if s.case.stage in AFTER:
        target = AFTER[s.case.stage]
        found.put("button.move", f"移す {s.case.number} {SPOKEN[target]}", stage=s.voice.label("stage", target))


def _capacity(s: Scene) -> Card:
    """An anonymous 打診: no number, no 目印; role, district, urgency; binds nobody."""
    bare = replace(s, case=None, handoff=None)
    made = Card(
        s.kind,
        bare.say(f"card.{s.kind}.title"),
        bare.say(f"card.{s.kind}", district=s.data.get("district") or s.voice.say("district.any")),
    )
    if s.kind == "capacity_answer":
        return made
    asked = s.data.get("ask", "")
    answers = (("yes", "可"), ("full", "満"), ("waitlist", "空き待ち"), ("consult", "要相談"))
    return replace(
        made, choices=tuple(Choice(s.voice.say(f"button.cap_{code}"), f"空き {asked} {word}") for code, word in answers)
    )


def _closed(s: Scene) -> Card:
    """A chat platform takes nothing from us any more, or one person's or room's place there."""
    name = s.voice.label("platform", str(s.data.get("platform", "")))
    if s.kind == "address_gone":
        whose = (
            s.voice.agency(str(s.data["agency"]))
            if s.data.get("agency")
            else s.voice.person(str(s.data.get("person") or "-"))
        )
        return Card(s.kind, s.say("card.address_gone.title"), s.say("card.address_gone", platform=name, whose=whose))
    key = "card.platform_closed.quota" if s.data.get("why") == "quota" else "card.platform_closed"
    return Card(s.kind, s.say("card.platform_closed.title"), s.say(key, platform=name))


def _call(s: Scene) -> Card:
    """緊急, 相談 and 電話 without a case; who has reached whom; who is away."""
    voice = s.voice
    person = voice.person(str(s.data.get("person") or s.data.get("staff") or (s.wait.subject if s.wait else "") or "-"))
    words: dict[str, object] = {"person": person}
    if s.wait is not None:
        words["due"] = voice.moment(s.wait.due_at, s.at)
    kind = {"talk_wanted": "talk", "phone_wanted": "phone"}.get(s.kind, s.kind)
    if kind == "absence":
        deputy = voice.person(str(s.data["deputy"])) if s.data.get("deputy") else ""
        key = "card.absence" if deputy else "card.absence.nobody"
        return Card(kind, s.say("card.absence.title"), s.say(key, person=person, deputy=deputy))
    if "reached_by" in s.data:
        by = voice.person(str(s.data["reached_by"] or "-"))
        key = "card.reached" if kind == "danger" else "card.call.settled"
        return Card(kind, s.say(f"card.{kind}.title"), s.say(key, person=by if kind == "danger" else person, by=by))
    if kind != "danger":
        choices = () if kind == "reached" else (Choice(voice.say("button.talked"), "話しました"),)
        return Card(kind, s.say(f"card.{kind}.title"), s.say(f"card.{kind}", **words), choices=choices)
    rows = {row.name: row.phone for row in s.town.on_duty(s.at)[:1]} | {p.label: p.number for p in s.town.phones}
    return Card(
        kind, s.say("card.danger.title"), s.say("card.danger", **words), urgency="emergency", phones=tuple(rows.items()),
        choices=(Choice(voice.say("button.reached"), "電話した", "primary"), Choice(voice.say("button.not_reached"), "電話出ない")),
        labels={"urgency": voice.label("urgency", "emergency")},
    )  # fmt: skip


class Closed(Protocol):
    """A case that its lead has closed alone."""

    @property
    def number(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def by(self) -> str | None: ...
    @property
    def reason(self) -> str: ...


def weekly_closings(listed: Iterable[Closed], voice: Voice, now: datetime) -> Card:
    """The coordinators' weekly list of what was closed without a second person."""
    rows = tuple(
        (one.number, voice.label("closing", one.reason), f"{voice.person(one.by)} {voice.day(one.at, now)}".strip())
        for one in listed
    )
    text = voice.say("card.closings_wanted", count=len(rows))
    shown = tuple(Choice(number, number) for number, _, _ in rows[:LISTED])
    return Card("closings_wanted", voice.say("card.closings_wanted.title"), text, facts=rows, choices=shown)


#: What has become of a conference, or of the reader's own answer → tone.
SEATED: Final = {"come": "ok", "cannot": "calm", "held": "calm", "closed": "calm", "cancelled": "calm"}


def _called(s: Scene) -> Card:
    """Called to a conference: when, and two buttons of one size. Neither its kind nor what it is about (workflow.md §6)."""
    state, reply = str(s.data.get("state", "")), str(s.data.get("reply", ""))
    now = reply if state == "planned" else state
    band: Band | None = (SEATED[now], s.say(f"band.conference.{now}"), "") if now in SEATED else None
    found, number, of = Buttons(s), s.number, s.data.get("conference")
    if state == "planned" and s.data.get("mine") and not s.quiet:
        for name, said, word in (("attend", "come", "出席"), ("cannot_attend", "cannot", "欠席")):
            if reply != said:
                found.put(f"button.{name}", f"{word} {number} {of}", "quiet" if reply else "plain")
    more = int(str(s.data.get("more") or 0))
    facts = ((s.say("row.others"), s.say("others.count", n=more), ""),) if more else ()
    text = s.say(f"card.conference{_variant(s)}")
    return _framed(s, s.say("card.conference.title"), text, band=band, facts=facts, choices=found.done())


def _findings(s: Scene) -> Card:
    """What the auditor has found: how many of each kind, and the numbers of cases; nothing of what they hold."""
    rows = tuple(_finding(s, one) for one in cast("list[dict[str, Any]]", s.data.get("found", [])))
    return Card(s.kind, s.say("card.findings.title"), s.say("card.findings"), facts=rows)


def _finding(s: Scene, one: Mapping[str, Any]) -> tuple[str, str, str]:
    key = "card.findings.repaired" if one.get("repaired") else "card.findings.line"
    return s.voice.label("finding", one["kind"]), s.voice.say(key, count=one["count"]), s.voice.join(one["numbers"])


def _anchor(s: Scene) -> Card:
    """Where the looks of days ended: to be kept, and held against the database when somebody doubts it."""
    days = cast("list[tuple[str, int, str]]", s.data.get("days", []))
    rows = tuple((day, s.say("card.anchor.line", count=count), hash_) for day, count, hash_ in days)
    return Card(s.kind, s.say("card.anchor.title"), s.say("card.anchor"), facts=rows)


def _unready(s: Scene) -> Card:
    """From when to when a server could not work; without an end it still cannot."""
    words = {k: s.voice.moment(datetime.fromisoformat(str(s.data[k])), s.at) for k in ("start", "end") if k in s.data}
    key = "card.unready" if "end" in words else "card.unready.now"
    return Card(s.kind, s.say("card.unready.title"), s.say(key, **words))


def _unwritten(s: Scene) -> Card:
    number = str(s.data.get("number") or "")
    key = "card.unwritten" if number else "card.unwritten.bare"
    return Card(s.kind, s.say("card.unwritten.title"), s.say(key, number=number))


def _opened(s: Scene) -> Card:
    """緊急閲覧: who has opened which case until when; nothing else of it, for the privacy officer knows no cases."""
    key = "card.case_opened.outside" if s.voice.outside else "card.case_opened"
    return Card(s.kind, s.say("card.case_opened.title"), s.say(key), s.number, href=f"/cases/{s.number}")


MAKERS: Mapping[str, Callable[[Scene], Card]] = {
    "summary": _summary, "capacity_ask": _capacity, "capacity_answer": _capacity, "findings": _findings, "unready": _unready,
    "unwritten": _unwritten, "anchor": _anchor, "case_opened": _opened, "conference": _called,
}  # fmt: skip


# -- the answer to one's own words


def did_key(command: str, kinds: Iterable[str], voice: Voice) -> str:
    """Name the sentence after a deed: by the command's word, and by what was written down where a word may mean two things."""
    return next((key for kind in kinds if voice.has(key := f"did.{command}.{kind}")), f"did.{command}")
