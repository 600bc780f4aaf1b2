"""開示請求 (個人情報保護法76条): all that is kept of a household, entry by entry: what the person gets, and what not and why.

What the office itself did is shown unless somebody decides otherwise. Of what anybody may have told, nothing is assumed: who spoke
is not always known, and reports of volunteers, traces of an abuse report or of a 支援会議 may be another person's. A human looks at
each.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from bot.app import App
from bot.operate import NoSuchNumber, run
from bot.settings import Settings
from bot.voice import Voice, voice_for
from bot.voice.timeline import sentence
from storage import cases, disclosures, erasures, journal, persons, texts
from storage import items as pieces
from storage.disclosures import Decision
from storage.envelope import Sealer, opened
from storage.journal import Line
from storage.seal import Keys
from storage.tx import Tx
from workflow import number as numbers
from workflow import refusals as no
from workflow.basis import Item as Piece
from workflow.case import Case, Handoff
from workflow.household import Person
from workflow.outcome import Entry
from workflow.people import Town

#: Why an entry is withheld: the numbers of 個人情報保護法78条1項.
REASONS: Final[Mapping[str, str]] = {
    "life": "1号 ご本人の生命・健康・生活を害するおそれ",
    "third_party": "2号 ほかの方の個人情報",
    "reporter": "2号 知らせてくださった方の情報",
    "corporate": "3号 法人などの正当な利益",
    "safety": "5号 犯罪の予防など",
    "deliberation": "6号 審議・検討のさまたげ",
    "operation": "7号 事務の適正な遂行のさまたげ",
}
#: Kinds of lines, and bases, behind which somebody else may stand.
TOLD: Final = ("abuse", "danger", "conference", "concern")
BASES: Final = frozenset({"art106_6", "law"})


class Item(NamedTuple):
    """One entry of what is kept."""

    key: str
    at: datetime
    what: str  #: 記録 | 経過 | 役割 | 書きとめた文 | 世帯の方
    who: str  #: who did or said it, in words; empty: it does not say
    words: str
    look: bool  #: nothing is assumed: somebody has to decide


class Judged(NamedTuple):
    item: Item
    decision: Decision | None

    @property
    def shown(self) -> bool | None:
        """None: somebody has to look at it yet."""
        if self.decision is not None:
            return self.decision.shown
        return None if self.item.look else True

    @property
    def reason(self) -> str:
        return self.decision.reason if self.decision else ""


class Unjudged(Exception):
    """{count} entries have not been looked at yet: decide about each on the page /disclosure/{number} first."""

    def __init__(self, count: int, number: str) -> None:
        super().__init__(
            f"{count} entries have not been looked at yet: decide about each on the page /disclosure/{number} first."
        )


class Erased(Exception):
    """{number} has been erased: there is nothing left but figures."""

    def __init__(self, number: str) -> None:
        super().__init__(f"{number} has been erased: there is nothing left but figures.")


def judged(tx: Tx, number: str, town: Town, voice: Voice, now: datetime) -> tuple[int, list[str], list[Judged]]:
    """Answer (household, its numbers, every entry, the oldest first). Raises NoSuchCase or OnlyFigures."""
    one = cases.load(tx, number, lock=False)
    if one is None:
        raise no.NoSuchCase(number=number)
    if texts.forgotten(tx, one.household):
        raise no.OnlyFigures(number=number)
    of = erasures.numbers(tx, one.household)
    items = [
        item for i, _ in of if (case := cases.load(tx, i, lock=False)) for item in _of_case(tx, case, town, voice, now)
    ]
    told = {known.text: known for known in pieces.of_household(tx, one.household)}
    items += [
        Item(
            f"text:{kept.id}", kept.at, "書きとめた文", _told_by(told.get(kept.id), voice), kept.words or voice.t("(読めません)"),
            look=True,
        )
        for kept in disclosures.texts_of(tx, one.household)
    ]  # fmt: skip
    items += [
        Item(f"person:{p.id}", p.added_at or now, "世帯の方", "", _person(p), True)
        for p in persons.of_households(tx, (one.household,))
    ]
    decided = disclosures.of(tx, one.household)
    order = sorted(items, key=lambda item: (item.at, item.key))
    return one.household, [n for _, n in of], [Judged(item, decided.get(item.key)) for item in order]


def _told_by(item: Piece | None, voice: Voice) -> str:
    """Who said it, and the basis on which it was shared; empty: it is not known."""
    if item is None:
        return ""
    return f"{voice.label('item_source', item.source)} / {voice.label('item_basis', item.basis)}"


def _person(one: Person) -> str:
    known = (one.name, one.kana, one.birth, one.address, *one.contacts)
    return " / ".join(part for part in known if part)


def _of_case(tx: Tx, case: Case, town: Town, voice: Voice, now: datetime) -> Iterator[Item]:
    facts = _facts(case, voice, now)
    yield Item(f"case:{case.number}", case.opened_at, "記録", voice.person(case.opened_by), facts, False)
    if case.abuse or case.danger:
        flags = [voice.t(word) for word, so in (("虐待の疑い", case.abuse), ("危険", case.danger)) if so]
        yield Item(f"flags:{case.number}", case.opened_at, "記録", "", voice.join(flags), True)
    for one in case.handoffs:
        yield _role(case, one, town, voice, now)
    for line in journal.read(tx, case.id):
        yield _line(case, line, town, voice, now)


def _facts(case: Case, voice: Voice, now: datetime) -> str:
    rows = [
        ("相談番号", case.number), ("段階", voice.label("stage", case.stage)), ("受付", voice.moment(case.opened_at, now)),
        ("終結", voice.moment(case.closed_at, now) if case.closed_at else ""), ("圏域", case.district or ""),
        ("主担当", voice.person(case.lead) if case.lead else ""),
        ("困りごと", voice.join([voice.label("concern", i.concern) for i in case.issues])),
        ("同意", voice.label("consent", case.consent.state) if case.consent else ""),
    ]  # fmt: skip
    return "\n".join(f"{voice.t(label)}: {value}" for label, value in rows if value)


def _role(case: Case, one: Handoff, town: Town, voice: Voice, now: datetime) -> Item:
    agency = town.agencies.get(one.to_agency)
    words = [voice.label("duty", one.duty), voice.agency(one.to_agency), voice.label("handoff_state", one.state)]
    look = agency is None or agency.discreet or agency.volunteer or one.basis in BASES
    key = f"handoff:{case.number}#{one.no}"
    return Item(key, one.offered_at, "役割", voice.person(one.sender), " ".join(words), look)


def _line(case: Case, line: Line, town: Town, voice: Voice, now: datetime) -> Item:
    words = sentence(line.kind, line.actor, line.dest, line.data, case, voice, now)
    person = town.staff.get(line.actor or "")
    told = any(part in line.kind for part in TOLD) or line.data.get("basis") in BASES
    look = told or bool(person and person.volunteer)
    who = voice.person(line.actor) if line.actor not in (None, "clock") else voice.say("line.clock")
    return Item(f"line:{case.number}:{line.seq}", line.at, "経過", who, words, look)


def left(found: list[Judged]) -> int:
    """How many nobody has looked at yet."""
    return sum(one.shown is None for one in found)


# -- from the command line


def to_file(settings: Settings, text: str, out: Path, part: str, *, sealed: bool) -> str:
    """Write the person's pack, or the list of what is withheld, into a new file of one's own (0600).

    Raises NoSuchNumber, Erased, Unjudged or OSError; nothing is written then.
    """
    typed = numbers.find(text)
    number = typed[0] if typed else text

    async def made(app: App) -> tuple[str, int]:
        def work(tx: Tx) -> tuple[str, int]:
            town, now = app.towns.of(tx), app.clock.now(tx)
            try:
                _, of, found = judged(tx, number, town, voice_for(town), now)
            except no.NoSuchCase:
                raise NoSuchNumber(text) from None
            except no.OnlyFigures:
                raise Erased(number) from None
            if count := left(found):
                raise Unjudged(count, number)
            some = [one for one in found if one.shown is (part == "person")]
            data = {"numbers": of, "part": part, "entries": len(some)}
            journal.append_town(tx, Entry("town.disclosed", data=data), None, "console", now)
            return _html(some, of, part, town, voice_for(town), now), len(some)

        return await app.store.transact(work)

    html, count = run(settings, made)
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        if sealed:
            sealer = Sealer(file, Keys.at(settings.var / "key").for_backups)
            sealer.write(html.encode())
            sealer.close()
        else:
            file.write(html.encode())
    return f"{out}: {count} entries ({part}{', sealed with the key file' if sealed else ''})"


def unsealed(settings: Settings, file: Path, out: Path) -> str:
    """Open a sealed pack into a new file of one's own (0600). Raises NotABackup, OtherKey, Damaged or OSError."""
    with file.open("rb") as sealed:
        html = b"".join(opened(sealed, *Keys.at(settings.var / "key").of_backups))
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as plain:
        plain.write(html)
    return f"{out}: opened"


def _html(some: list[Judged], of: list[str], part: str, town: Town, voice: Voice, now: datetime) -> str:
    from bot.pages.frame import ENVIRONMENT  # the pages' templates, without a page

    rows = [row(one, voice, now) for one in some]
    return ENVIRONMENT.get_template("disclosed_file.html").render(
        rows=rows, numbers=of, part=part, town=town.name, when=voice.title_day(now), lang=voice.lang
    )


def row(one: Judged, voice: Voice, now: datetime) -> dict[str, str | bool | None]:
    """One entry as it is shown."""
    item, unknown = one.item, voice.t("だれが話したかは要確認")
    return {
        "key": item.key, "at": voice.moment(item.at, now), "what": voice.t(item.what), "who": item.who or unknown,
        "words": item.words, "shown": one.shown, "reason": one.reason, "why": voice.t(REASONS.get(one.reason, "")), "look": item.look,
    }  # fmt: skip
