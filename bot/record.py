"""The one place where a decision becomes rows: the case by compare-and-swap, journal, waits and timers, letters."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from bot.pace import Push, Pushed, leaves_at
from storage import cases, journal, letters, marks, people
from storage.letters import RESENT, LetterRow
from storage.tx import Tx
from workflow.outcome import Act, Notice, Outcome, Reader
from workflow.people import Agency, Staff, Town

#: Parts of the system itself: never a push.
INSIDE: Final = frozenset({"web", "console"})
#: Where only two speak: no room, and no decision in a group (platforms.md §2.3).
ONE_TO_ONE: Final = frozenset({"line", "mail"})
#: Outside, a coordinator's command waits this long, so that an undo is silent (workflow.md §3).
UNDO_SILENCE: Final = timedelta(minutes=2)


def record(tx: Tx, out: Outcome, *, inbox: int | None = None, answer: Callable[[], LetterRow] | None = None) -> Outcome:
    """Write an outcome down; `answer` makes the speaker's letter once the case is kept. Raises SlowerWriter when beaten."""
    _keep(tx, out)
    rows = _letters(tx, [_Told.by(out, inbox)])
    letters.write(tx, [*rows, answer()] if answer else rows)
    return out


def record_all(tx: Tx, outs: Sequence[Outcome]) -> None:
    """Write down outcomes of as many cases; what has to be known of their readers is asked once."""
    for out in outs:
        _keep(tx, out)
    letters.write(tx, _letters(tx, [_Told.by(out, None) for out in outs]))


def _keep(tx: Tx, out: Outcome) -> None:
    act = out.act
    if act.by is not None and out.entries:
        out.become(moved_at=act.at)
    lines = journal.chain(out.case, out.entries, act, act.at)
    if lines:
        out.become(seq=lines[-1].seq, head=lines[-1].hash)
    if out.before.version == 0:
        out.become(version=1)
        cases.insert(tx, out.case)
    else:
        out.case = cases.save(tx, out.before, out.case, out.closed, at=act.at)
    journal.write(tx, lines)
    if not out.case.open and out.before.open:
        marks.release(tx, out.case.id)
    _hold_back(tx, out)


def _hold_back(tx: Tx, out: Outcome) -> None:
    """Letters not sent yet about what is over never go out: an undo is silent, and after 逝去 nothing is asked."""
    if out.case.deceased and not out.before.deceased:
        letters.silence(tx, out.case.id)
    before = {h.id for h in out.before.handoffs if not h.ended}
    for handoff in out.case.handoffs:
        if handoff.ended and handoff.id in before:
            letters.stand_down(tx, out.case.id, handoff.id)


def send(tx: Tx, notices: Iterable[Notice], act: Act, *, inbox: int | None = None, cause: str = "") -> None:
    """Write the letters of notices that are about no case: one a reader inside, one more for each platform outside."""
    letters.write(tx, _letters(tx, [_Told(tuple(notices), act, None, None, inbox, cause)]))


class _Push(NamedTuple):
    """An account outside that is pushed to."""

    person: str
    platform: str
    account: str


@dataclass(frozen=True, slots=True)
class _Told:
    """What is to be told of one deed."""

    notices: tuple[Notice, ...]
    act: Act
    case: int | None
    version: int | None
    inbox: int | None
    cause: str

    @classmethod
    def by(cls, out: Outcome, inbox: int | None) -> "_Told":
        cause = out.entries[0].kind if out.entries else ""
        return cls(tuple(out.notices), out.act, out.case.id, out.case.version, inbox, cause)


class _To(NamedTuple):
    """One reader of a notice: their room outside that hears it, or the accounts that are pushed to."""

    told: _Told
    notice: Notice
    reader: Reader
    room: tuple[str, str] | None
    pushes: tuple[_Push, ...]


def _letters(tx: Tx, all_told: Sequence[_Told]) -> list[LetterRow]:
    """The letters of one transaction, each aware of those before it."""
    if not all_told:
        return []
    rooms: dict[str, tuple[str, str] | None] = {}
    readers = [to for told in all_told for to in _readers(tx, told, rooms)]
    budget = _Budget(tx, [(push.person, to.told.case) for to in readers for push in to.pushes], all_told[0].act)
    rows: list[LetterRow] = []
    for to in readers:
        rows.append(inside := _letter(to))
        if to.room is not None:
            rows.append(_shared(inside, to.notice, to.room, to.told.act))
        rows += [_outside(inside, to.notice, push, to.told.act, budget) for push in to.pushes]
    return rows


def _readers(tx: Tx, told: _Told, rooms: dict[str, tuple[str, str] | None]) -> Iterable[_To]:
    """Who is told where. `rooms`: what is known already of the agencies' rooms."""
    # After downtime several rungs ring at once: who is rung by name is not rung as one of a room too.
    rung = {r.code for one in told.notices if one.kind == "ring" for r in one.to if r.kind == "staff"}
    for notice in told.notices:
        pushed: set[str] = set()
        for reader in notice.to:
            if reader.kind == "room" and reader.code not in rooms:
                rooms[reader.code] = room_for(tx, reader.code, told.act.town)
            # The channel tells them; whoever is named as well hears it alone too.
            room = rooms[reader.code] if reader.kind == "room" else None
            by_name = rung if notice.kind == "ring" and reader.kind == "room" else set()
            pushes = [] if room else [p for p in _pushes(reader, told.act) if p.person not in pushed | by_name]
            pushed |= {push.person for push in pushes}
            yield _To(told, notice, reader, room, tuple(pushes))


class _Budget:
    """What the readers of a transaction's letters have been pushed of late: asked once for all, and what it adds itself."""

    def __init__(self, tx: Tx, pushes: Sequence[tuple[str, int | None]], act: Act) -> None:
        """`pushes`: (person, the case it is about)."""
        self._lately: dict[str, list[Pushed]] = {person: [] for person, _ in pushes}
        # Inside, a page gives the 目印 when it is opened; what leaves has to carry it.
        marks.give(tx, [(person, case) for person, case in pushes if case is not None], act.town.marks)
        for person, at, case, urgent in letters.push_times(tx, self._lately, act.at - timedelta(days=7)):
            self._lately[person].append(Pushed(at, case, urgent))

    def of(self, person: str) -> Sequence[Pushed]:
        return self._lately[person]

    def add(self, person: str, push: Pushed) -> None:
        self._lately[person].append(push)


def room_for(tx: Tx, agency: str, town: Town) -> tuple[str, str] | None:
    """(platform, conversation) of the channel or group where an agency is told, when one is linked and takes messages."""
    if agency not in town.agencies or not town.outside:
        return None
    allowed = room_platforms(town.agencies[agency], town)
    found = (r for r in people.rooms_of(tx, agency) if r.reachable and r.platform in allowed)
    return next(((room.platform, room.conversation) for room in found), None)


def room_platforms(agency: Agency, town: Town) -> frozenset[str]:
    """Platforms where an agency may share a channel or group: set up here, allowed by it, and made for more than two."""
    return frozenset(p for p in town.outside - ONE_TO_ONE if not agency.platforms or p in agency.platforms)


def _shared(inside: LetterRow, notice: Notice, to: tuple[str, str], act: Act) -> LetterRow:
    """A room's one letter outside. It is in nobody's noise budget; it waits for the agency's hours, and for a bundle when soft."""
    assert inside.to_room is not None
    wanted = Push(notice.urgent, notice.soft, False, act.town.hours_at(inside.to_room))
    return replace(
        inside, id=act.fresh(), surface=to[0], address=to[1], token=new_token(), state="pending", sent_at=None,
        not_before=leaves_at(_earliest(notice, act), wanted, (), None, act.town),
    )  # fmt: skip


def _earliest(notice: Notice, act: Act) -> datetime:
    return act.at + UNDO_SILENCE if notice.command and not notice.urgent else act.at


def _letter(to: _To) -> LetterRow:
    """The web chat reads letters where they lie: committed is delivered."""
    told, notice, reader, act = to.told, to.notice, to.reader, to.told.act
    return LetterRow(
        id=act.fresh(), case_id=told.case, handoff=notice.handoff, wait=notice.wait, kind=notice.kind,
        to_staff=reader.code if reader.kind == "staff" else None, to_room=reader.code if reader.kind == "room" else None,
        surface="web", address=None, doc=dict(notice.data), urgent=notice.urgent, must=notice.must,
        token=new_token(), case_version=told.version, inbox_id=told.inbox, answer=False,
        by_staff=act.by.code if act.by else None, created_at=act.at, not_before=act.at, state="sent", sent_at=act.at,
        cause=told.cause,
    )  # fmt: skip


def new_token() -> str:
    """A letter's name on the wire: 21 characters; a button adds one more, its place among the letter's choices."""
    return secrets.token_urlsafe(16)[:21]


def _pushes(reader: Reader, act: Act) -> Iterable[_Push]:
    """The account outside of whoever has linked one; a room reaches its members."""
    everyone = [s.code for s in act.town.members.get(reader.code, ())] if reader.kind == "room" else [reader.code]
    for person in everyone:
        for platform, account in addresses(act.town.staff[person], act.town)[:1]:
            if person != act.who:
                yield _Push(person, platform, account)


def _outside(inside: LetterRow, notice: Notice, push: _Push, act: Act, budget: _Budget) -> LetterRow:
    """One person's push; the budget counts what was sent, what is on its way, and what this very transaction writes."""
    wanted = _wanted(notice, push.person, act.town)
    at = leaves_at(_earliest(notice, act), wanted, budget.of(push.person), inside.case_id, act.town)
    budget.add(push.person, Pushed(at, inside.case_id, inside.urgent))
    return replace(
        inside, id=act.fresh(), to_staff=push.person, to_room=None, surface=push.platform, address=push.account,
        token=new_token(), not_before=at, state="pending", sent_at=None,
    )  # fmt: skip


def _pushed(tx: Tx, letter: LetterRow, notice: Notice, pushes: Sequence[_Push], act: Act) -> list[LetterRow]:
    budget = _Budget(tx, [(push.person, letter.case_id) for push in pushes], act)
    return [_outside(letter, notice, push, act, budget) for push in pushes]


def elsewhere(letter: LetterRow, town: Town, now: datetime, fresh: Callable[[], int]) -> LetterRow | None:
    """The same letter to its reader's next address, when there is one; the web chat has it in any case.

    One that is not urgent waits there for the end of their quiet hours (bot/deliver.py).
    """
    person = town.staff.get(letter.to_staff or "")
    known = list(addresses(person, town)) if person else []
    tried = next((i for i, (platform, _) in enumerate(known) if platform == letter.surface), len(known))
    for platform, account in known[tried + 1 :][:1]:
        return replace(_anew(letter, now, fresh), surface=platform, address=account)
    return None


def _anew(letter: LetterRow, now: datetime, fresh: Callable[[], int]) -> LetterRow:
    """The same letter as one that has not left; what a platform lends for one answer is spent."""
    doc = {name: value for name, value in letter.doc.items() if name != "reply"}
    return replace(
        letter, id=fresh(), token=new_token(), created_at=now, not_before=now, state="pending", lease=None, lease_until=None,
        tries=0, ref=None, why="", sent_at=None, live=False, face="", doc=doc,
    )  # fmt: skip


def following(tx: Tx, letter: LetterRow, town: Town, now: datetime, fresh: Callable[[], int]) -> list[LetterRow]:
    """What has become of a card that cannot be changed, as a message of its own: soft, in its reader's hours and budget."""
    act = Act(None, now, town, "clock", fresh)
    notice, anew = Notice(letter.kind, (), soft=True), replace(_anew(letter, now, fresh), urgent=False, must=False)
    if letter.to_room is not None:
        return [_shared(anew, notice, (letter.surface, letter.address or ""), act)]
    assert letter.to_staff is not None
    push = _Push(letter.to_staff, letter.surface, letter.address or "")
    return _pushed(tx, anew, notice, [push], act)


def from_room(tx: Tx, letter: LetterRow, town: Town, now: datetime, fresh: Callable[[], int]) -> list[LetterRow]:
    """The same letter when its room took it not: to the agency's next conversation, else privately to each member.

    The conversation that is gone has to be marked before (`people.room_gone`).
    """
    assert letter.to_room is not None
    anew = _anew(letter, now, fresh)
    if (found := room_for(tx, letter.to_room, town)) is not None:
        return [replace(anew, surface=found[0], address=found[1])]
    act = Act(town.staff.get(letter.by_staff or ""), now, town, "auto", fresh)
    notice = Notice(letter.kind, (reader := Reader("room", letter.to_room),), urgent=letter.urgent, must=letter.must)
    return _pushed(tx, anew, notice, list(_pushes(reader, act)), act)


def once_more(
    tx: Tx, letter: LetterRow, town: Town, now: datetime, fresh: Callable[[], int], at: datetime
) -> list[LetterRow]:
    """A letter that may have arrived and has to: once more, marked 再送, on another surface where its reader has one.

    Else where it went the first time, at `at`. What has gone once more goes no third time.
    """
    if letter.resent:
        return []
    marked = replace(letter, doc=letter.doc | {RESENT: True})
    if letter.answer:  # whoever spoke stands there and waits
        found = []
    elif letter.to_room is None:
        found = [one] if (one := elsewhere(marked, town, now, fresh)) else []
    else:
        found = from_room(tx, marked, replace(town, outside=town.outside - {letter.surface}), now, fresh)
    return found or [replace(_anew(marked, now, fresh), not_before=at)]


def addresses(person: Staff, town: Town) -> tuple[tuple[str, str], ...]:
    """(platform, account) where a person can be reached outside, in their order; mail last unless they said where.

    Only platforms that are set up here, and that the person's agencies allow.
    """
    allowed = [set(a.platforms) for code in person.agencies if (a := town.agencies[code]).platforms]
    named = any(platform == "mail" for platform, _ in person.chat)
    mail = (("mail", person.email),) if person.email and not named else ()
    return tuple(
        (platform, account)
        for platform, account in (*person.chat, *mail)
        if platform in town.outside and all(platform in one for one in allowed)
    )


def _wanted(notice: Notice, person: str, town: Town) -> Push:
    staff = town.staff[person]
    asked = notice.kind in ("offer", "ring")
    return Push(
        notice.urgent, notice.soft, staff.volunteer and not asked, town.hours_of(person), town.quiet.get(person)
    )
