"""The door for chat events: one transaction from the inbox row to the answer, committed before anybody is answered."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

from adapters.base import Address, Choice, Chose, Inbound, Linking, Message, Moved, Odd, Reachable, Said, Sender
from bot import guard, sign, words
from bot.ask import Ask, Reply
from bot.clock import Clock, real
from bot.commands import BOOK, FORMS, Command
from bot.commands.everyone import danger_reply
from bot.commands.reports import BY_TELEPHONE, telephone
from bot.commands.reports import numbers as numbers_to_dial
from bot.deliver import Deliverer, Leaving
from bot.looks import named
from bot.record import ONE_TO_ONE, new_token, record, room_platforms, send
from bot.towns import Towns
from bot.voice import Voice, voice_for
from bot.voice.cards import did_key
from bot.voice.closure import before_closure
from bot.voice.refusals import word
from storage import cases, inbox, journal, letters, looks, people, rooms, texts, turns, waits
from storage.cases import SlowerWriter
from storage.inbox import Arrival, NotKept, Parked
from storage.letters import LetterRow
from storage.looks import Look
from storage.store import Store
from storage.trouble import DatabaseReadOnly, DatabaseUnavailable
from storage.turns import Turn
from storage.tx import Tx
from workflow import call
from workflow import refusals as no
from workflow.case import Case, Handoff, Wait
from workflow.ladder import Urgency
from workflow.outcome import Entry, Outcome
from workflow.people import Post, Role, Staff, Town
from workflow.report import seen_by
from workflow.who import team

log = logging.getLogger(__name__)

INSIDE: Final = frozenset({"web", "console", "form"})
#: Only a one-time link of a letter speaks here (bot/pages/go.py), and it names the letter's reader.
BY_LETTER: Final = "mail"
#: What is said there is answered on a page.
SHOWN_BY_PAGES: Final = frozenset({"web", "form", BY_LETTER})
#: Nobody types faster than this to a workflow: events a minute and conversation.
FLOOD: Final = 40
#: The word 緊急 by all its names.
FORMS_OF_DANGER: Final = {form: name for form, name in FORMS.items() if name == "emergency"}
#: What is found out or settled about a case: the way on is offered.
GO_ON: Final = frozenset({
    "case.screened", "case.consent", "case.conference",
    "issue.note", "issue.wish", "issue.mark_gap", "issue.not_wanted", "issue.settle",
})  # fmt: skip
PARKED_FOR: Final = timedelta(minutes=1)
KINDS: Final[dict[type, Literal["words", "press", "link", "news", "odd"]]] = {
    Said: "words", Chose: "press", Linking: "link", Reachable: "news", Moved: "news", Odd: "odd",
}  # fmt: skip
#: How often a parked event is tried again by itself.
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an event."""

    inbox: int | None  #: None: it has been seen before
    number: str | None = None
    refused: str | None = None
    messages: tuple[Message, ...] = ()
    leaving: tuple[Leaving, ...] = ()  #: answers to be posted behind the commit


class _SeenBefore(Exception):
    """Undo everything: the same event has been kept already, and its words with it."""


class _Preview(Exception):
    """Undo everything: this was only to see who would get what."""

    def __init__(self, outcome: Outcome | Reply, ask: Ask) -> None:
        self.outcome = outcome
        self.ask = ask


class Receiver:
    """Takes events from every platform. `receive` is the only way in for words and taps."""

    def __init__(
        self, store: Store, clock: Clock, towns: Towns, fresh: Callable[[], int], deliverer: Deliverer
    ) -> None:
        self.store = store
        self.clock = clock
        self.towns = towns
        self.fresh = fresh
        self.deliverer = deliverer
        self.flood = FLOOD  #: events a minute and account; 0: no limit (growing the sample town)
        self.tried: dict[str, deque[float]] = {}  #: codes brought, by account
        self._lately: dict[str, deque[datetime]] = {}
        self._under_way: set[asyncio.Task[Answered]] = set()

    async def receive(self, event: Inbound, *, room: str | None = None) -> Answered:
        """Keep an event and act on it; what the platform is told comes after the commit.

        It goes on to its end also when whoever brought it is cut off: what is kept is answered.

        Raises DatabaseUnavailable or DatabaseReadOnly alone: everything else is answered in words, or parked.
        """
        task = asyncio.create_task(self._receive(event, room))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[Answered]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # heard, whether anybody still waits or not

    async def _receive(self, event: Inbound, room: str | None) -> Answered:
        event = _readable(event)
        if (barred := _barred(event)) is not None:
            event = replace(event, what=Said(barred))
        flooding = self._flooding(event.sender.account)
        try:
            answered = await self._once_more(
                lambda tx, surely, lock: self._handle(tx, event, room, flooding, surely, lock, barred is not None)
            )
        except _SeenBefore:
            return Answered(None)
        except (DatabaseUnavailable, DatabaseReadOnly):
            raise
        except Exception as broken:
            log.exception("an event was parked: %s from %s", event.id, event.sender.platform)
            kept = type(broken).__name__
            return await self.store.transact(lambda tx: self._park(tx, event, room, kept))
        for one in answered.leaving:
            self.deliverer.post(one)
        return answered

    async def again(self, id_: int) -> bool:
        """Try a parked event once more; False when there is none of this id."""
        return await self.store.transact(lambda tx: self._again(tx, id_))

    async def again_due(self) -> int:
        """Try what was parked and is due once more by itself; after the third try it waits for a human."""
        found = await self.store.read(lambda tx: inbox.parked(tx, self.clock.now(tx)))
        done = 0
        for parked in found:
            if parked.tries > TRIES:
                continue
            try:
                done += await self.again(parked.id)
            except (DatabaseUnavailable, DatabaseReadOnly):
                raise
            except Exception as broken:
                log.exception("a parked event failed again: %s", parked.id)
                await self._parked_again(parked, type(broken).__name__)
        return done

    async def _parked_again(self, parked: Parked, why: str) -> None:
        pause = PARKED_FOR * 5**parked.tries
        await self.store.transact(lambda tx: inbox.park_again(tx, parked.id, why, self.clock.now(tx) + pause))

    def _again(self, tx: Tx, id_: int) -> bool:
        parked = inbox.parked_one(tx, id_)
        if parked is None:
            return False
        kept = parked.arrival
        said = texts.get(tx, kept.text) if kept.text else kept.doc.get("says")
        if not said:
            return False  # what is said outside is not kept (workflow.md §6): it stays for a human to see
        town, now = self.towns.of(tx), self.clock.now(tx)
        event = Inbound(
            kept.event_id,
            Sender(kept.platform, kept.speaker or ""),
            Address(kept.platform, kept.conversation),
            Said(said or ""),
        )
        inbox.done(tx, id_)
        _Talk(self, tx, town, now, self._speaker(event, town), event, id_, kept.doc.get("room")).hear()
        return True

    async def _once_more(self, work: Callable[..., Answered]) -> Answered:
        """Where somebody was faster, look again: the decision is made anew on what they left.

        `work` is told whether the event is taken for a new one in the town that we know, and its case for one that nobody else is
        at, which is nearly always so.
        """
        surely, lock = True, False
        for _ in range(4):
            try:
                return await self.store.transact(partial(work, surely=surely, lock=lock))
            except SlowerWriter:
                lock = True
            except NotKept:
                surely = False
        return await self.store.transact(partial(work, surely=False, lock=True))

    def _flooding(self, account: str) -> bool:
        now = real()
        if not self.flood:
            return False
        lately = self._lately.setdefault(account, deque(maxlen=self.flood + 1))
        lately.append(now)
        return len(lately) > self.flood and now - lately[0] < timedelta(minutes=1)

    # -- inside the transaction

    def _handle(
        self, tx: Tx, event: Inbound, room: str | None, flooding: bool, surely: bool, lock: bool, barred: bool
    ) -> Answered:
        now, id_, what = self.clock.now(tx), self.fresh(), event.what
        arrival = self._arrival(tx, event, now)
        if isinstance(what, Reachable | Moved):
            return self._moved(tx, event, what, id_, arrival)
        town = self.towns.lately if surely else None
        if town is not None:
            inbox.keep(tx, id_, arrival, town.version)
        elif (arrived := inbox.arrive(tx, id_, arrival)) is not None:
            town = self.towns.of(tx, arrived.town)
        else:
            raise _SeenBefore
        speaker = self._speaker(event, town)
        self._back(tx, event, speaker)
        leaving: list[Leaving] = []
        talk = _Talk(self, tx, town, now, speaker, event, id_, room, self._shared(tx, event), leaving, lock=lock)
        if barred and not talk.danger:
            answered = talk.refuse(no.MyNumberNever(), "")
        elif not flooding or talk.danger:
            answered = talk.hear()
        elif speaker is None:
            return Answered(id_, None, "TooFast")
        else:
            answered = talk.refuse(no.TooFast(), "")
        return replace(answered, leaving=tuple(leaving))

    def _moved(self, tx: Tx, event: Inbound, what: Reachable | Moved, id_: int, arrival: Arrival) -> Answered:
        """An account was blocked or came back; a conversation has another id."""
        platform = event.address.platform
        if inbox.arrive(tx, id_, arrival) is None:
            return Answered(None)
        if event.at and inbox.newest_news(tx, platform, event.address.conversation, id_) > event.at.isoformat():
            return Answered(id_)  # told out of order: what happened later holds
        if isinstance(what, Reachable) and not event.private:
            # Its sender has added us or thrown us out: nothing is known of their own account.
            (people.room_back if what.yes else people.room_gone)(tx, platform, event.address.conversation)
        elif isinstance(what, Reachable):
            people.reachable(tx, platform, event.sender.account, what.yes)
        else:
            people.moved(tx, platform, event.address.conversation, what.to)
            letters.moved(tx, platform, event.address.conversation, what.to)
        return Answered(id_)

    def _arrival(self, tx: Tx, event: Inbound, now: datetime) -> Arrival:
        """What is kept of an event: outside never raw text (workflow.md §6); inside the words, sealed."""
        said = event.what.text if isinstance(event.what, Said) else ""
        text = None
        if said and event.sender.platform == "web":
            text = texts.put(tx, None, words.clean(said)[: words.LONGEST], event.sender.account, now)[0]
        news = isinstance(event.what, Reachable | Moved)
        ours = event.sender.platform in INSIDE or event.sender.platform == BY_LETTER
        pressed = event.what.says if ours and isinstance(event.what, Chose) else ""
        return Arrival(
            platform=event.sender.platform, event_id=event.id, natural_key=_natural(tx, event),
            conversation=event.address.conversation, speaker=event.sender.account,
            kind=KINDS[type(event.what)], text=text, received_at=now,
            doc={"says": pressed} if pressed else {"at": event.at.isoformat()} if news and event.at else {},
        )  # fmt: skip

    def _speaker(self, event: Inbound, town: Town) -> Staff | None:
        account = event.sender.account
        if event.sender.platform in INSIDE or event.sender.platform == BY_LETTER:
            return town.staff.get(account)
        return town.staff.get(town.accounts.get((event.sender.platform, account), ""))

    def _back(self, tx: Tx, event: Inbound, speaker: Staff | None) -> None:
        """Whoever speaks from an account outside can be written to there again."""
        platform, account = event.sender.platform, event.sender.account
        ours = platform in INSIDE or platform == BY_LETTER
        if speaker is not None and event.private and not ours and (platform, account) not in speaker.chat:
            people.reachable(tx, platform, account, True)

    def _shared(self, tx: Tx, event: Inbound) -> str | None:
        """The agency whose channel or group this was said in."""
        found = None if event.private else people.room(tx, event.address.platform, event.address.conversation)
        return found.agency if found else None

    def _park(self, tx: Tx, event: Inbound, room: str | None, error: str) -> Answered:
        town, now = self.towns.of(tx), self.clock.now(tx)
        arrival = self._arrival(tx, event, now)
        if room:
            arrival = replace(arrival, doc={**arrival.doc, "room": room})
        kept = self.fresh()
        if not inbox.park(tx, kept, arrival, error, now + PARKED_FOR):
            return Answered(None)
        voice = voice_for(town, town.language)
        message = Message(voice.say("parked"))
        speaker = self._speaker(event, town)
        if speaker:
            letters.write(tx, [_answer_letter(self.fresh(), speaker.code, None, message, now, kept, None)])
        return Answered(kept, None, None, (message,))


def _natural(tx: Tx, event: Inbound) -> str | None:
    """What a page sends twice is known by the words themselves: kept as a keyed hash."""
    if not event.natural or event.sender.platform not in INSIDE:
        return event.natural or None
    return tx.keys.fingerprint(event.natural)


def _barred(event: Inbound) -> str | None:
    """What is heard of words inside with マイナンバー in them: nothing is kept, not even sealed, but danger is heard.

    None: there is none. Outside no words are kept at all.
    """
    if event.sender.platform not in INSIDE or not isinstance(event.what, Said):
        return None
    text = event.what.text
    found = guard.my_numbers(text)
    for one in reversed(found):
        text = f"{text[: one.start]} {text[one.end :]}"
    return (text if words.DANGER.search(text) else "") if found else None


def _readable(event: Inbound) -> Inbound:
    """Half of a surrogate pair is no letter: neither sealed nor stored nor said again."""
    match event.what:
        case Said(text) if (whole := _whole(text)) != text:
            return replace(event, what=Said(whole))
        case Chose(token, says) if (whole := _whole(says)) != says:
            return replace(event, what=Chose(token, whole))
    return event


def _whole(text: str) -> str:
    return text.encode("utf-8", "ignore").decode()


@dataclass(slots=True)
class _Talk:
    """One event of one speaker, being answered."""

    door: Receiver
    tx: Tx
    town: Town
    now: datetime
    speaker: Staff | None
    event: Inbound
    inbox: int
    room: str | None
    shared: str | None = None  #: the agency whose channel or group outside this was said in
    leaving: list[Leaving] | None = None  #: where answers go that we send ourselves; None: they wait for the loop
    call: int | None = None  #: the wait without a case whose card was pressed
    lock: bool = True  #: see Ask
    aside: bool = False  #: what was pressed is old, and leaves what lies before the speaker as it is
    spilt: bool = False  #: outside, words that may name somebody: nothing of them is kept, and they are to be unsent

    @property
    def voice(self) -> Voice:
        language = (self.speaker.language if self.speaker else "") or self.town.language
        return voice_for(self.town, language, outside=not self.inside)

    @property
    def inside(self) -> bool:
        return self.event.sender.platform in INSIDE

    @property
    def outside(self) -> bool:
        """Say whether the answer has to leave; of a letter's link the page shows it."""
        return not self.inside and self.event.sender.platform != BY_LETTER

    @property
    def danger(self) -> bool:
        """緊急 and words of danger or abuse are heard however many came before them."""
        what = self.event.what
        text = what.says if isinstance(what, Chose) else said(what)
        rest = words.take_apart(text[: words.LONGEST]).rest
        found = words.DANGER.search(rest) or words.ABUSE.search(rest) or words.match(rest, FORMS_OF_DANGER)
        return found is not None

    def hear(self) -> Answered:
        what = self.event.what
        if isinstance(what, Odd):
            return self._wordless()
        text = self._pressed(what) if isinstance(what, Chose) else said(what)
        if text is None:
            return self.refuse(no.OldButton(), "")
        if self.outside and isinstance(what, Said):
            self.spilt = bool(guard.personal(text[: words.LONGEST], self.town))
        if len(text) > words.LONGEST:
            return self.refuse(no.TooManyWords(most=words.LONGEST), "")
        taken = words.take_apart(text)
        if not self.event.private and (answered := self._among_others(taken)) is not None:
            return answered
        if self.speaker is None:
            return self._stranger(taken)
        return self._meant(taken)

    # -- where others read along

    def _among_others(self, taken: words.Words) -> Answered | None:
        """A code for the place itself; how to be linked; and no decisions where the platform has no corner for one."""
        found = words.match(taken.rest, FORMS)
        if found and found[0] == "register":
            return self._place_linked("".join(t for t in found[1].split() if t.isascii()))
        if self.danger:
            return None
        if self.speaker is None:
            return self.answer(Message(self.voice.say("shared.stranger")), None, refused="StrangersCannot")
        if self.event.sender.platform in ONE_TO_ONE:
            return self.answer(Message(self.voice.say("shared.alone")), None, refused="OnlyPrivate")
        return None

    def _place_linked(self, code: str) -> Answered:
        """登録 in a channel or group links it to an agency, never the speaker; a personal code stays good for its owner."""
        tx, platform = self.tx, self.event.address.platform
        if sign.too_often(self.door.tried, f"{platform}:{self.event.sender.account}"):
            return self.refuse(no.TooFast(), "")
        name = sign.hashed(sign.plain(code))
        known = people.peek_invite(tx, name, self.now)
        if known is not None and known.kind != "room":
            return self.answer(Message(self.voice.say("shared.personal")), None, refused="OnlyPrivate")
        agency = self.town.agencies.get(known.room or "") if known else None
        if known is None or agency is None or known.staff not in self.town.staff:
            return self.refuse(no.BadInvite(), "")
        if platform not in room_platforms(agency, self.town):
            return self.answer(Message(self.voice.say("shared.alone")), None, refused="OnlyPrivate")
        if people.use_invite(tx, name, self.now) is None:
            return self.refuse(no.BadInvite(), "")
        people.link_room(tx, platform, self.event.address.conversation, agency.code, known.staff, self.now)
        data = {"room": agency.code, "platform": platform}
        journal.append_town(tx, Entry("town.link", data=data), known.staff, platform, self.now)
        return self.answer(Message(self.voice.say("did.register.room", agency=self.voice.agency(agency.code))), None)

    def _wordless(self) -> Answered:
        """A sticker, a photo, a voice message: nothing of it is kept, and it is said so kindly to whom we know."""
        if self.speaker is None or not self.event.private:
            return Answered(self.inbox)
        return self.answer(Message(self.voice.say("wordless")), None, refused="NoWords")

    def _pressed(self, what: Chose) -> str | None:
        """A token is a name, not a right: it gives the words, the tapper's own identity is judged afterwards."""
        letter = letters.by_token(self.tx, what.token[:21])
        if letter is None or not self._still_asked(letter):
            return None
        self.call = letter.wait if letter.case_id is None else None
        says, place = letter.doc.get("says", []), words.whole_number(what.token[21:])
        if what.says and self.inside:
            text: str | None = what.says
        else:
            text = str(says[place]) if place is not None and place < len(says) else None
        self.aside = text in SEND | DROP and not self._still_previewed(letter)
        return None if self.aside else text

    def _still_previewed(self, letter: LetterRow) -> bool:
        """送る under an old preview does not send the new one, which lies there as before."""
        turn = turns.of(self.tx, self.speaker.code) if self.speaker else None
        return turn is not None and turn.preview is not None and turn.at == letter.created_at

    def _still_asked(self, letter: LetterRow) -> bool:
        """A question of a wait is answered once: its card's buttons are old when the wait is over."""
        if letter.wait is None or letter.kind != "ring":
            return True
        return waits.get(self.tx, letter.wait) is not None

    # -- what was meant

    def _meant(self, taken: words.Words) -> Answered:
        assert self.speaker is not None
        bare = taken.rest if taken.number is None else ""
        if bare in SEND:
            turn = turns.of(self.tx, self.speaker.code)
            if turn and turn.preview:
                return self._run(words.take_apart(turn.preview["words"]), confirmed=True)
            return self.refuse(no.NothingToSend(), "")
        if bare in DROP:
            return self._drop()
        if bare in UNDO:
            return self._undo(turns.of(self.tx, self.speaker.code))
        if place := words.whole_number(bare):
            turn = turns.of(self.tx, self.speaker.code)
            # Elsewhere something else may have been counted since: a number answers only where it is read.
            here = turn is not None and turn.conversation == self.event.address.conversation
            if turn and here and turn.choices and place <= len(turn.choices):
                return self._run(words.take_apart(turn.choices[place - 1]))
        return self._run(taken)

    def _run(self, taken: words.Words, *, confirmed: bool = False, undoing: bool = False) -> Answered:
        assert self.speaker is not None
        found = words.match(taken.rest, FORMS)
        if found is None:
            return self._unmatched(taken)
        name, rest = found
        ask = self._ask(taken, rest, confirmed)
        ask.command = name
        return self._do(ask, BOOK[name], undoing=undoing)

    def _ask(self, taken: words.Words, rest: str, confirmed: bool = False) -> Ask:
        speaker = self.speaker or _stranger(self.event.sender.account)
        place = self.room or self.shared
        agency = place if place in speaker.agencies else (speaker.posts[0].agency if speaker.posts else "")
        return Ask(
            tx=self.tx, town=self.town, speaker=speaker, agency=agency or "", now=self.now, surface=self.event.sender.platform,
            inside=self.inside, words=taken, rest=rest, fresh=self.door.fresh, room=self.room, confirmed=confirmed,
            account=self.event.sender.account, call=self.call, tried=self.door.tried, dropped=self.spilt,
            lock=self.lock,
        )  # fmt: skip

    def _do(self, ask: Ask, command: Command, *, undoing: bool = False) -> Answered:
        try:
            with self.tx.savepoint():
                made = self._decided(ask, command, undoing)
        except no.Refusal as refusal:
            return self.refuse(refusal, ask.words.number or "", ask.seen)
        except _Preview as preview:
            return self._preview(preview, command)
        return (
            self._replied(ask, command, made)
            if isinstance(made, Reply)
            else self._recorded(ask, command, made, undoing)
        )

    def _decided(self, ask: Ask, command: Command, undoing: bool) -> Outcome | Reply:
        if command.inside and not self.inside:
            if command.name in BY_TELEPHONE:
                return telephone(ask)
            raise no.OnlyInside(link="/")
        made = command.run(ask)
        if not (ask.confirmed or undoing) and _asks_once(command, made, ask):
            raise _Preview(made, ask)
        return made

    def _recorded(self, ask: Ask, command: Command, made: Outcome, undoing: bool) -> Answered:
        said: list[Message] = []

        ask.dropped = ask.dropped or self._beside(ask)
        self.spilt = False  # `told` says it

        def answer() -> LetterRow:
            said.append(told(ask, command, made))
            return self._letter(said[0], made.case.id)

        record(self.tx, made, inbox=self.inbox, answer=answer)
        self._keep_turn(said[0], None, None if undoing else self._remember(command, made))
        return Answered(self.inbox, made.case.number, None, tuple(said))

    def _beside(self, ask: Ask) -> bool:
        """Say whether a sentence stood behind the word outside; what the town itself calls so is none."""
        return self.outside and isinstance(self.event.what, Said) and words.prose(ask.rest, _called(self.town))

    def _replied(self, ask: Ask, command: Command, reply: Reply) -> Answered:
        for wait in reply.calls:
            standing = waits.get(self.tx, wait.id)
            if standing is None:
                waits.stand(self.tx, wait)
            else:
                waits.change(self.tx, standing, wait, self.now)
        send(self.tx, reply.notices, ask.act(), inbox=self.inbox, cause=command.name)
        self._looked(ask, reply)
        return self.answer(reply.message, reply.number, refused=reply.refused, must=reply.must)

    def _looked(self, ask: Ask, reply: Reply) -> None:
        """What an answer in a chat shows of cases is kept with the answer: neither is there without the other.

        Where a page shows the answer, the page's look is kept; a call and what tells others are in the journal.
        """
        if self.event.sender.platform in SHOWN_BY_PAGES or reply.notices or reply.calls or reply.refused:
            return
        message = reply.message
        choices = [choice.label for choice in message.choices]
        if shown := named([message.title, message.text, message.facts, choices]):
            place = f"{ask.surface}:{ask.command}"
            look = Look(self.now, ask.speaker.code, "view", place, tuple(shown))
            looks.write(self.tx, ask.today, [look], lock=True)

    def _remember(self, command: Command, made: Outcome) -> dict[str, object]:
        """What 取消 would mean for the next ten minutes: another legal move, or nothing."""
        offered = [e.data["handoff"] for e in made.entries if e.kind == "handoff.offer"]
        lately = [e.data["handoff"] for e in made.entries if e.data.get("handoff")][-1:]
        # A 一斉依頼 is taken back whole: one line of words for each of its offers.
        says = (
            [command.undo.format(number=made.case.number, n=n) for n in (offered or lately or [""])]
            if command.undo
            else []
        )
        minutes = self.town.limits.get("undo_minutes", 10)
        return {
            "says": "\n".join(says),
            "case": made.case.id, "version": made.case.version,
            "until": (self.now + timedelta(minutes=minutes)).isoformat(), "command": command.name,
        }  # fmt: skip

    # -- preview, drop, undo

    def _preview(self, preview: _Preview, command: Command) -> Answered:
        assert self.speaker is not None
        made, voice = preview.outcome, self.voice
        rows = []
        for notice in made.notices:
            readers = "、".join(voice.agency(r.code) if r.kind == "room" else voice.person(r.code) for r in notice.to)
            rows.append((readers, voice.label("notice", notice.kind)))
        number = made.case.number if isinstance(made, Outcome) else (made.number or "")
        text = voice.say("preview.text", what=command.word, number=number)
        lines = [text, voice.say("preview.undo" if command.undo else "preview.no_undo")]
        due = ""
        if isinstance(made, Outcome):
            due = _due_line(made, seen_by(self.speaker, made.case, self.town, self.now), voice, self.now)
        if isinstance(made, Outcome) and self.inside and (heed := _heed(made, voice)):
            lines.append(heed)
        message = Message(
            "\n".join(filter(None, (*lines, due))), voice.say("preview.title"), tuple(rows),
            (Choice(voice.say("button.send"), "送る", "primary"), Choice(voice.say("button.drop"), "やめる")),
        )  # fmt: skip
        said = preview.ask.words
        whole = f"{said.rest} {said.number or ''}{f'#{said.ordinal}' if said.ordinal else ''}".strip()
        return self.answer(message, number or None, preview={"words": whole})

    def _drop(self) -> Answered:
        assert self.speaker is not None
        turns.clear(self.tx, self.speaker.code)
        return self.answer(Message(self.voice.say("did.dropped")), None)

    def _undo(self, turn: Turn | None) -> Answered:
        undo = turn.undo if turn else None
        if not undo:
            return self.refuse(no.NothingToUndo(), "")
        if datetime.fromisoformat(undo["until"]) < self.now:
            return self.refuse(no.TooLateToUndo(), "")
        case = cases.load(self.tx, undo["case"], lock=True)
        if case is None or case.version != undo["version"]:
            return self.refuse(no.SomebodyElseActed(), case.number if case else "")
        if not undo["says"]:
            return self.refuse(no.NothingToUndo(command=undo["command"]), case.number)
        for line in undo["says"].split("\n"):
            answered = self._run(words.take_apart(line), confirmed=True, undoing=True)
        if answered.refused is None and self.speaker:
            turns.clear(self.tx, self.speaker.code)
        return answered

    # -- words that are no command

    def _unmatched(self, taken: words.Words) -> Answered:
        assert self.speaker is not None
        rest = taken.rest
        if taken.number and not taken.tokens:
            return self._do(self._named(taken), BOOK["show"])
        if words.DANGER.search(rest):
            return self._do_danger(taken)
        if words.ABUSE.search(rest):
            return self._telephone(taken)
        if words.fold(rest).strip("。!！ ") in words.POLITE_ONLY:
            return self._polite(taken)
        ask = self._named(taken)
        if not taken.number and taken.tokens and ask.named_case() is not None:
            return self._after_mark(taken, ask)
        near = words.did_you_mean(rest, FORMS)
        if self.outside and (self.spilt or len(rest) > words.SHORT):
            return self._unkept(taken)
        if self.room and not taken.number and not near:
            return self._post(taken)
        visible = [c for c in dict.fromkeys(FORMS[f] for f in near) if BOOK[c].listed][:3]
        tail = f" {taken.number}" if taken.number else ""
        choices = tuple((BOOK[c].word, BOOK[c].word + tail) for c in visible)
        return self.refuse(
            no.UnknownWords(choices=choices or (("ヘルプ", "ヘルプ"), ("つぎへ", "つぎへ"))), taken.number or ""
        )

    def _named(self, taken: words.Words) -> Ask:
        ask = self._ask(taken, taken.rest)
        ask.command = "show"
        return ask

    def _after_mark(self, taken: words.Words, ask: Ask) -> Answered:
        """「あじさい 引受」: the mark first, then the word; or the mark alone."""
        for i, token in enumerate(taken.tokens):
            rest = " ".join(t for j, t in enumerate(taken.tokens) if j != i)
            found = words.match(rest, FORMS) if rest else None
            if found:
                return self._run(replace(taken, rest=f"{rest} {token}"))
        return self._do(ask, BOOK["show"])

    def _do_danger(self, taken: words.Words) -> Answered:
        ask = self._ask(taken, "")
        ask.command = "emergency"
        reply = danger_reply(ask)
        return self._replied(ask, BOOK["emergency"], reply)

    def _telephone(self, taken: words.Words) -> Answered:
        """What sounds like abuse: the numbers at once; inside the word that begins its track, too."""
        ask = self._ask(taken, "")
        ask.command = "abuse"
        reply = telephone(ask)
        if self.inside and not ask.speaker.volunteer:
            word = f"虐待 {taken.number or ''}".strip()
            reply = replace(reply, message=replace(reply.message, choices=(Choice(BOOK["abuse"].word, word),)))
        return self._replied(ask, BOOK["abuse"], reply)

    def _polite(self, taken: words.Words) -> Answered:
        """「了解」 never accepts: the buttons of the open question are shown."""
        ask = self._ask(replace(taken, rest="つぎへ"), "")
        ask.command = "next"
        shown = BOOK["next"].run(ask)
        assert isinstance(shown, Reply)
        if shown.number is None:
            return self.answer(shown.message, None, refused="PolitenessIsNoAnswer")
        self._looked(ask, shown)
        text = self.voice.say("polite", number=shown.number)
        return self.answer(
            replace(shown.message, text=f"{text}\n{shown.message.text}"), shown.number, refused="PolitenessIsNoAnswer"
        )

    def _unkept(self, taken: words.Words) -> Answered:
        """A text without a command outside: thanked for, not kept, and the buttons of the open question once more."""
        ask = self._ask(replace(taken, rest="つぎへ", number=None), "")
        ask.command = "next"
        shown = BOOK["next"].run(ask)
        assert isinstance(shown, Reply)
        self.spilt, text = False, self.voice.say("answer.pii")
        if shown.number is None:
            helpful = tuple(Choice(word, word) for word in ("ヘルプ", "つぎへ"))
            return self.answer(Message(text, choices=helpful), None, refused="UnknownWords")
        message = replace(shown.message, text=f"{text}\n{shown.message.text}")
        return self.answer(message, shown.number, refused="UnknownWords")

    def _post(self, taken: words.Words) -> Answered:
        """Words among colleagues in their agency's room."""
        assert self.speaker is not None and self.room
        rooms.post(self.tx, self.door.fresh(), self.room, self.speaker.code, taken.text, self.now)
        self.tx.flag("journal")
        return Answered(self.inbox)

    def _stranger(self, taken: words.Words) -> Answered:
        """Not linked: 登録, ヘルプ and danger words, nothing else."""
        found = words.match(taken.rest, FORMS)
        ask = self._ask(taken, found[1] if found else "")
        if words.DANGER.search(taken.rest) or (found and found[0] == "emergency"):
            ask.command = "emergency"
            return self._replied(ask, BOOK["emergency"], danger_reply(ask))
        if found and found[0] == "register":
            ask.command = "register"
            return self._do(ask, BOOK["register"])
        if words.ABUSE.search(taken.rest) or (found and found[0] in BY_TELEPHONE):
            return self._telephone(taken)
        return self.refuse(no.StrangersCannot(), "")

    # -- answering

    def refuse(self, refusal: no.Refusal, number: str, case: Case | None = None) -> Answered:
        about = {"number": number, **refusal.about}
        named = str(about.get("number") or "") or None
        named = named or (case.number if case else None)
        message = word(refusal, self.voice, self.now, number=named or "", case=case)
        return self.answer(message, named, refused=type(refusal).__name__)

    def answer(
        self, message: Message, number: str | None, *, refused: str | None = None, preview: dict[str, object] | None = None,
        must: bool = False,
    ) -> Answered:  # fmt: skip
        """Write the answer as a letter to the speaker alone, and what a bare digit or 送る means now."""
        if self.spilt:
            message = replace(message, text=f"{message.text}\n{self.voice.say('answer.spilt')}")
        if self.speaker is not None or self.outside:  # inside, a page shows what a stranger is told
            letters.write(self.tx, [self._letter(message, must=must)])
        if self.speaker is not None and not self.aside:
            self._keep_turn(message, preview, None)
        return Answered(self.inbox, number, refused, (message,))

    def _letter(self, message: Message, case_id: int | None = None, must: bool = False) -> LetterRow:
        who = self.speaker.code if self.speaker else None
        letter = _answer_letter(self.door.fresh(), who, self.room, message, self.now, self.inbox, case_id)
        if not self.outside:
            return letter
        letter = replace(_leaving(letter, self.event), must=must)
        if self.leaving is None or (ours := self.door.deliverer.at_once(self.tx, self.town, letter, self.now)) is None:
            return letter
        self.leaving.append(ours)
        return ours.letter

    def _keep_turn(self, message: Message, preview: dict[str, object] | None, undo: dict[str, object] | None) -> None:
        assert self.speaker is not None
        says = [c.says for c in message.choices]
        turns.keep(self.tx, Turn(self.speaker.code, self.event.address.conversation, self.now, preview, says, undo))


SEND: Final = frozenset({"送る", "送信", "送ります", "はい、送る", "send"})
DROP: Final = frozenset({"やめる", "やめ", "やめます", "中止", "cancel"})
UNDO: Final = frozenset({"取消", "取り消し", "取消し", "とりけし", "まちがえた", "間違えた", "まちがい", "undo"})


def _called(town: Town) -> str:
    """What the town itself calls things: none of it is somebody's own sentence."""
    lists = (town.declines, town.conditions, town.missing, town.closings, town.concerns, town.duties, town.agencies)
    named = (one.label if hasattr(one, "label") else one.name for codes in lists for one in codes.values())
    return " ".join((*named, *(s.name for s in town.staff.values())))


def _stranger(account: str) -> Staff:
    return Staff(code="", name=account, posts=(Post("", Role.HOST),))


def _asks_once(command: Command, made: Outcome | Reply, ask: Ask) -> bool:
    """Words of lead, coordinator and sender that reach others are shown first (workflow.md §5)."""
    if not (command.preview or command.who in ("lead", "coordinator", "sender")):
        return False
    return any(reader.code != ask.speaker.code for notice in made.notices for reader in notice.to)


#: What a sentence after a deed may name.
_PLACES: Final[dict[str, Callable[[Ask, Case, Handoff | None], str]]] = {
    "number": lambda ask, case, handoff: case.number,
    "mark": lambda ask, case, handoff: ask.mark(case.id),
    "stage": lambda ask, case, handoff: ask.voice.label("stage", case.stage),
    "duty": lambda ask, case, handoff: ask.town.duties[handoff.duty].label if handoff and handoff.duty in ask.town.duties else "",
    "agency": lambda ask, case, handoff: ask.voice.agency(handoff.to_agency) if handoff else "",
    "person": lambda ask, case, handoff: ask.voice.person(handoff.holder) if handoff and handoff.holder else "",
    "sender": lambda ask, case, handoff: ask.voice.person(handoff.sender) if handoff else "",
    "until": lambda ask, case, handoff: ask.voice.moment(handoff.until, ask.now) if handoff and handoff.until else "",
    "urgency": lambda ask, case, handoff: ask.voice.label("urgency", case.urgency.value),
}  # fmt: skip


def told(ask: Ask, command: Command, made: Outcome) -> Message:
    """The sentence after a deed: what is true now, and the next wait with its real due time."""
    voice, case = ask.voice, seen_by(ask.speaker, made.case, ask.town, ask.now)
    handoff = next(
        (h for e in reversed(made.entries) if (n := e.data.get("handoff")) and (h := case.handoff(int(str(n))))), None
    )
    key = did_key(command.name, [e.kind for e in made.entries], voice)
    params = {place: _PLACES[place](ask, case, handoff) for place in voice.places(key) if place in _PLACES}
    mine = _next_wait(made, ask.now, handoff, case) if ask.speaker.code in team(case, ask.town) else None
    facts = list(_to_dial(ask, made))
    if mine:
        facts.append(
            (voice.say("next.label"), f"{voice.label('wait', mine.kind)} {voice.moment(mine.due_at, ask.now)}")
        )
        if heed := before_closure(mine, case, ask.town, ask.now, voice, speaker=ask.speaker.code):
            facts.append((voice.say("closure.label"), heed))
    choices = follow_ups(ask, made)
    dropped = voice.say("answer.dropped") if ask.dropped else ""
    if dropped and not choices:
        choices = (Choice(voice.say("button.show"), case.number), Choice("つぎへ", "つぎへ"))
    return Message("\n".join(filter(None, (voice.say(key, **params), dropped))), None, tuple(facts), choices)


def _next_wait(made: Outcome, now: datetime, handoff: Handoff | None, case: Case) -> Wait | None:
    """What the deed's own handoff waits for, else what the deed opened, else the nearest; never what is past.

    `case`: as its reader may see it.
    """
    coming = [w for w in case.waits if w.paused_left is None and w.due_at > now]
    own = [w for w in coming if handoff and w.handoff == handoff.id]
    return min(own or _opened(made, case) or coming, key=lambda w: w.due_at, default=None)


def _opened(made: Outcome, case: Case) -> list[Wait]:
    return [w for w in case.waits if w.opened_at == made.act.at and w.paused_left is None]


def _to_dial(ask: Ask, made: Outcome) -> tuple[tuple[str, str], ...]:
    """The numbers, first of all, where what was said is an emergency or a suspicion of abuse."""
    suspected = {str(e.data["abuse"]) for e in made.entries if e.kind == "report.suspected"}
    urgent = any(e.kind in ("case.urgency", "case.open") for e in made.entries)
    if suspected:
        return numbers_to_dial(ask, suspected)
    act = ask.act()
    shown = urgent and made.case.urgency is Urgency.EMERGENCY
    return call.numbers(act, on_duty=not call.by_day(act)) if shown else ()


def follow_ups(ask: Ask, made: Outcome) -> tuple[Choice, ...]:
    """What this person would do next, as buttons."""
    case, voice = made.case, ask.voice
    event = made.entries[-1].kind if made.entries else ""
    held = next((h for h in case.held if h.holder == ask.speaker.code and h.state == "accepted"), None)
    if held and any(e.kind in ("handoff.accept", "handoff.agree") for e in made.entries):
        said = f"{case.number}#{held.no}"
        return (
            Choice(voice.say("button.connected"), f"つながった {said}", "primary"),
            Choice(voice.say("button.not_met"), f"会えず {said}"),
        )
    if any(e.kind == "case.open" for e in made.entries):
        return (
            Choice(voice.say("button.screen"), f"見立て {case.number}", "primary"),
            Choice(voice.say("button.show"), case.number),
        )
    if event in GO_ON:
        return (
            Choice(voice.say("button.forward"), f"進む {case.number}", "primary"),
            Choice(voice.say("button.show"), case.number),
        )
    return ()


def _heed(made: Outcome, voice: Voice) -> str:
    """Of a case with a protection flag an offer asks once more to whom it goes."""
    told = {n.handoff for n in made.notices if n.kind == "offer"}
    asked = [voice.agency(h.to_agency) for h in made.case.handoffs if h.id in told]
    if not asked or not made.case.flags:
        return ""
    flags = voice.join([voice.label("flag", flag) for flag in made.case.flags])
    return voice.say("preview.flags", flags=flags, agencies=voice.join(asked))


def _due_line(made: Outcome, case: Case, voice: Voice, now: datetime) -> str:
    wait = min(_opened(made, case), key=lambda w: w.due_at, default=None)
    if wait is None:
        return ""
    return voice.say("preview.due", what=voice.label("wait", wait.kind), due=voice.moment(wait.due_at, now))


def said(what: Said | Linking | Reachable | Moved | Odd) -> str:
    """The words of an event: a code that was brought is the word 登録 with it."""
    match what:
        case Said(text):
            return text
        case Linking(code):
            return f"登録 {code}"
    return ""


def _leaving(letter: LetterRow, event: Inbound) -> LetterRow:
    """An answer outside goes back where the words came from, and in a shared place to their speaker alone."""
    carries = {"reply": event.reply, "only": "" if event.private else event.sender.account}
    return replace(
        letter, surface=event.address.platform, address=event.address.conversation, to_room=None, state="pending", sent_at=None,
        urgent=True, doc=letter.doc | {k: v for k, v in carries.items() if v},
    )  # fmt: skip


def _answer_letter(
    id_: int,
    staff: str | None,
    room: str | None,
    message: Message,
    now: datetime,
    arrived: int | None,
    case_id: int | None,
) -> LetterRow:
    """An answer is read by its speaker alone, in the room where they spoke."""
    doc = {
        "text": message.text, "title": message.title, "facts": [list(f) for f in message.facts],
        "choices": [[c.label, c.says, c.style] for c in message.choices], "says": [c.says for c in message.choices],
    }  # fmt: skip
    return LetterRow(
        id=id_, kind="answer", surface="web", doc=doc, created_at=now, not_before=now, to_staff=staff, to_room=room,
        case_id=case_id, token=new_token(), inbox_id=arrived, answer=True, by_staff=staff, state="sent", sent_at=now,
    )  # fmt: skip
