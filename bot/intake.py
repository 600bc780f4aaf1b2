"""A new case's bare value: its random number, its household with a key of its own; and what the form was told beside 受付's words."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from bot.record import record
from storage import agreements, cases, items, persons, texts
from storage.tx import Tx
from workflow import number as numbers
from workflow.case import Case
from workflow.consent import KINDS, Agreement, Missing
from workflow.household import Person
from workflow.ladder import Urgency
from workflow.outcome import Act, Outcome

TOLD: Final = "case.told"  #: something was written down, sealed


def random_digits() -> int:
    return secrets.randbelow(1_000_000)


#: Where a number's six digits come from; a demonstration town hands in its own, so that it grows the same way every time.
digits: Callable[[], int] = random_digits


def new_case(
    tx: Tx, at: datetime, fresh: Callable[[], int], opened_by: str, agency: str, urgency: Urgency, district: str | None,
    *, household: int | None = None,
) -> Case:  # fmt: skip
    """Make the value that 受付 decides about; nothing but the household's key is written yet."""
    if household is None:
        household = fresh()
        texts.open_household(tx, household)
    return Case(
        id=fresh(), number=_free_number(tx), household=household, stage="intake", urgency=urgency,
        opened_at=at, opened_by=opened_by, opened_agency=agency, district=district,
    )  # fmt: skip


def _free_number(tx: Tx) -> str:
    for _ in range(50):
        number = numbers.make(digits())
        if not cases.taken(tx, number):
            return number
    raise RuntimeError("no free case number in fifty tries")


class Told(NamedTuple):
    """What was told when a consultation was taken in."""

    name: str = ""
    kana: str = ""
    birth: str = ""
    contact: str = ""
    story: str = ""
    source: str = "person"  #: who told it (workflow/basis.py)
    consent: str = ""  #: full | pending | refused


def keep(tx: Tx, case: Case, told: Told, act: Act) -> None:
    """Seal the person and the story, with the consent that was given or why it was not; the journal holds ids and digests."""
    out = Outcome(case, act)
    person = _person(tx, case, told, act)
    if person is not None:
        out.note("household.person_added", no=person.ordinal)
        _consent(tx, case, person, told, act)
    if told.story:
        text, digest = texts.put(tx, case.household, told.story, act.who, act.at)
        item = items.add(
            tx, case.household, case.id, "story", text, "own" if told.consent == "refused" else "consent", act.who, act.at,
            person=person.id if person else None, source=told.source,
        )  # fmt: skip
        out.note(TOLD, text=text, digest=digest, item=item)
    if out.entries:
        record(tx, out.done())


def _person(tx: Tx, case: Case, told: Told, act: Act) -> Person | None:
    if not (told.name or told.kana or told.birth or told.contact):
        return None
    contacts = (told.contact,) if told.contact else ()
    made = Person(
        act.fresh(), case.household, 0, told.name, told.kana, told.birth, relation="self", contacts=contacts,
        added_by=act.who, added_at=act.at,
    )  # fmt: skip
    return persons.add(tx, made)


def _consent(tx: Tx, case: Case, person: Person, told: Told, act: Act) -> None:
    """The person's own 同意, which the word said of the whole case; of a pending one there is nothing to write."""
    if told.consent == "full":
        given = Agreement(
            0,
            person.id,
            case.id,
            "person",
            KINDS,
            None,
            "support",
            act.at,
            None,
            "oral",
            act.who,
            "ja",
            act.who,
            act.at,
        )
        agreements.give(tx, given)
    elif told.consent == "refused":
        agreements.miss(tx, Missing(0, person.id, case.id, "declined", told.source, False, act.who, act.at))
