"""Who may see what is written about a household, and on what basis: one table, read by the decision and by its test. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from workflow import refusals as no
from workflow.case import Case, Value
from workflow.consent import KINDS, Agreement, case_covers
from workflow.people import Role, Staff, Town
from workflow.who import lead, team

SOURCES: Final = ("person", "family", "agency", "resident", "other")


class Basis(StrEnum):
    """Why something may be known (domain.md §1.4, §4.1); the codes are those of the word 根拠."""

    CONSENT = "consent"  #: ご本人の同意
    ART106_6 = "art106_6"  #: learned in a 支援会議 (社会福祉法106条の6): stays among its members
    LAW = "law"  #: 法令 (the laws on abuse)
    ART69 = "art69"  #: 個人情報保護法69条
    LIFE = "life"  #: 生命・身体の危険
    OWN = "own"  #: the agency's own record


class WhyNot(StrEnum):
    """Why somebody may not see something."""

    NOT_CONCERNED = "not_concerned"  #: no part in this case
    NOT_A_MEMBER = "not_a_member"  #: of the conference where it was learned
    NOT_NAMED = "not_named"  #: it is for other agencies
    NO_CONSENT = "no_consent"  #: the person has not agreed
    WITHDRAWN = "withdrawn"  #: … any longer
    EXPIRED = "expired"
    OUT_OF_SCOPE = "out_of_scope"  #: … to this agency, or to this kind of thing

    @property
    def told(self) -> bool:
        """Say whether they may know that there is something: those at work on the case whom only a consent would let in."""
        return self in (WhyNot.NO_CONSENT, WhyNot.WITHDRAWN, WhyNot.EXPIRED, WhyNot.OUT_OF_SCOPE)


class Relation(StrEnum):
    """What a reader is to an item and its case; one may be several."""

    MEMBER = "member"  #: of the conference where it was learned
    WRITER = "writer"  #: of the agency that wrote it down
    LEAD = "lead"
    TEAM = "team"  #: holds a role, or watches over one that was offered
    COORDINATOR = "coordinator"
    OFFICIAL = "official"
    VOLUNTEER = "volunteer"  #: a watcher or host on the team


@dataclass(frozen=True)
class Item(Value):
    """One sealed piece of what is known, with who said it and why it may be shared."""

    id: int
    household: int
    case: int | None  #: None: of the household, no case in particular
    kind: str  #: one of KINDS
    text: int  #: id of the sealed text
    basis: str
    by: str
    at: datetime
    agency: str = ""  #: of whoever wrote it, also after they have left
    person: int | None = None  #: whom it is about; None: the household
    conference: int | None = None
    agencies: tuple[str, ...] | None = None  #: only these; None: the case's team
    source: str = "person"  #: who said it
    was: tuple[Mapping[str, str], ...] = ()  #: earlier bases: basis, and by whom and when it was changed


class Needs(StrEnum):
    """What else has to be so."""

    NOTHING = "nothing"
    NAMED = "named"  #: the item is for this reader's agency (none named: for the team)
    COVERED = "covered"  #: … and the person's consent covers that agency and this kind at this moment


_ALL: Final = frozenset(KINDS)
_SAFETY: Final = frozenset({"safety"})
Row: TypeAlias = tuple[Basis, Relation, frozenset[str], Needs]

#: Who sees what. What does not stand here is not seen (domain.md §1.4, §1.11, §4.2).
TABLE: Final[tuple[Row, ...]] = (
    # Of a 支援会議 its members see everything, and nobody else anything: neither lead nor coordinator, nor the writer's colleagues.
    (Basis.ART106_6, Relation.MEMBER, _ALL, Needs.NOTHING),
    *((basis, Relation.WRITER, _ALL, Needs.NOTHING) for basis in Basis if basis is not Basis.ART106_6),
    *((Basis.CONSENT, one, _ALL, Needs.COVERED)
      for one in (Relation.LEAD, Relation.TEAM, Relation.COORDINATOR, Relation.OFFICIAL)),
    # 見守り協力者 and hosts: what the person agreed that they look out for (§1.11).
    (Basis.CONSENT, Relation.VOLUNTEER, _SAFETY, Needs.COVERED),
    *((basis, one, _ALL, Needs.NAMED)
      for basis in (Basis.LAW, Basis.ART69, Basis.LIFE)
      for one in (Relation.LEAD, Relation.TEAM, Relation.COORDINATOR, Relation.OFFICIAL)),
)  # fmt: skip


def sight_of_item(
    item: Item, reader: Staff, case: Case, consents: Iterable[Agreement], member_of: frozenset[int], town: Town, at: datetime
) -> Basis | WhyNot:  # fmt: skip
    """Decide whether a reader may see an item now, and say why or why not.

    `consents`: of this case, of all persons. `member_of`: the conferences the reader is a member of. What one's own agency wrote
    is seen as its own record where no consent allows it.
    """
    mine = relations(item, reader, case, member_of, town, at)
    allowed = [row for row in TABLE if row[0] == item.basis and row[1] in mine and item.kind in row[2]]
    if not allowed:
        return _not_at_all(item, mine)
    why = [(row[1], _hindered(row[3], item, reader, case, consents, at)) for row in allowed]
    if any(hindrance is None and relation is not Relation.WRITER for relation, hindrance in why):
        return Basis(item.basis)
    if any(hindrance is None for _, hindrance in why):
        return Basis(item.basis) if item.basis != Basis.CONSENT else Basis.OWN
    return next(hindrance for _, hindrance in why if hindrance is not None)


def _not_at_all(item: Item, mine: frozenset[Relation]) -> WhyNot:
    if item.basis == Basis.ART106_6:
        return WhyNot.NOT_A_MEMBER
    if not mine:
        return WhyNot.NOT_CONCERNED
    return WhyNot.NOT_NAMED


def relations(
    item: Item, reader: Staff, case: Case, member_of: frozenset[int], town: Town, at: datetime
) -> frozenset[Relation]:
    """Say what a reader is to an item: their posts, their part in the case, and that of whom they stand in for."""
    found = set()
    if item.conference is not None and item.conference in member_of:
        found.add(Relation.MEMBER)
    if item.agency in reader.agencies:
        found.add(Relation.WRITER)
    if _acts(reader, team(case, town), town, at):
        found.add(Relation.VOLUNTEER if reader.volunteer else Relation.TEAM)
    if case.lead and _acts(reader, lead(case, town), town, at):
        found.add(Relation.LEAD)
    if reader.has(Role.COORDINATOR):
        found.add(Relation.COORDINATOR)
    if reader.has(Role.OFFICIAL):
        found.add(Relation.OFFICIAL)
    return frozenset(found)


def _acts(reader: Staff, people: Iterable[str], town: Town, at: datetime) -> bool:
    """One of these people, or the deputy of one who is away."""
    return any(
        reader.code == one or (one in town.staff and town.away(one, at) and town.deputy(one, at) == reader.code)
        for one in people
    )


def _hindered(
    needs: Needs, item: Item, reader: Staff, case: Case, consents: Iterable[Agreement], at: datetime
) -> WhyNot | None:
    if needs is Needs.NOTHING:
        return None
    named = [a for a in reader.agencies if item.agencies is None or a in item.agencies]
    if not named:
        return WhyNot.NOT_NAMED
    return None if needs is Needs.NAMED else _uncovered(item, named, case, consents, at)


def _uncovered(
    item: Item, agencies: list[str], case: Case, consents: Iterable[Agreement], at: datetime
) -> WhyNot | None:
    """Why no consent lets these agencies in; None: one does. What is about the whole household rests on the case's own 同意."""
    open_to = [a for a in agencies if case_covers(case, a)]
    if item.person is None:
        return None if open_to else _none_of(case)
    theirs = [c for c in consents if c.person == item.person and c.case == case.id]
    if any(c.covers(a, item.kind, at) for c in theirs for a in open_to):
        return None
    if any(c.holds(at) for c in theirs):
        return WhyNot.OUT_OF_SCOPE if case.consent and case.consent.state in ("full", "partial") else _none_of(case)
    if any(c.withdrawn_at is not None for c in theirs):
        return WhyNot.WITHDRAWN
    return WhyNot.EXPIRED if theirs else WhyNot.NO_CONSENT


def _none_of(case: Case) -> WhyNot:
    said = case.consent.state if case.consent else ""
    return {"partial": WhyNot.OUT_OF_SCOPE, "withdrawn": WhyNot.WITHDRAWN}.get(said, WhyNot.NO_CONSENT)


# -- another basis


class Reclassified(NamedTuple):
    """What an item becomes."""

    basis: Basis
    agencies: tuple[str, ...] | None


def reclassify(
    item: Item, to: str, agencies: tuple[str, ...] | None, reader: Staff, case: Case, consents: Iterable[Agreement],
    member_of: frozenset[int], town: Town, at: datetime,
) -> Reclassified:  # fmt: skip
    """Decide to share one item for another reason: by whoever sees it and leads, coordinates or belongs to the agency that wrote it.

    Nothing enters a conference this way. To `consent` only when the person's covers this kind now.
    Raises ItemNotYours, BasisNotOpen, NoConsentForThis.
    """
    consents = tuple(consents)
    seen = sight_of_item(item, reader, case, consents, member_of, town, at)
    mine = relations(item, reader, case, member_of, town, at)
    if isinstance(seen, WhyNot) or not mine & {Relation.LEAD, Relation.COORDINATOR, Relation.WRITER}:
        raise no.ItemNotYours()
    if to == Basis.ART106_6 or to not in set(Basis) or (to == item.basis and agencies == item.agencies):
        raise no.BasisNotOpen()
    if to == Basis.CONSENT and not any(
        _uncovered(item, [a], case, consents, at) is None for a in (agencies or tuple(town.agencies))
    ):
        raise no.NoConsentForThis()
    return Reclassified(Basis(to), agencies)
