"""Who sees what on which basis: the whole table, every relation, kind and basis; and what holds whatever comes (I8, I9)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.values import NOW, STRANGER, the_case, the_town
from workflow import refusals as no
from workflow.basis import TABLE, Basis, Item, Needs, Relation, WhyNot, reclassify, relations, sight_of_item
from workflow.case import Case, Consent
from workflow.consent import KINDS, Agreement
from workflow.people import Staff

TOWN = the_town()
DAY = timedelta(days=1)
#: Somebody who is this and nothing else: 加藤 has no part in the case.
IS = {
    Relation.MEMBER: "kato", Relation.WRITER: "kato", Relation.LEAD: "sato", Relation.TEAM: "ono", Relation.COORDINATOR: "takahashi",
    Relation.OFFICIAL: "ogawa", Relation.VOLUNTEER: "yamamoto",
}  # fmt: skip
CASE = the_case().become(consent=Consent("full", (), NOW))


def one_who_is(relation: Relation) -> tuple[Staff, frozenset[int], str]:
    """(reader, the conferences they are a member of, the agency that wrote the item)."""
    reader = TOWN.staff[IS[relation]]
    wrote = reader.agency if relation is Relation.WRITER else "elsewhere"
    return reader, frozenset({7} if relation is Relation.MEMBER else ()), wrote


def item(basis: str = "consent", kind: str = "fact", **more: object) -> Item:
    return replace(Item(1, 1, CASE.id, kind, 1, basis, "somebody", NOW, "elsewhere", 5, 7), **more)  # type: ignore[arg-type]


def agreement(**more: object) -> Agreement:
    return replace(
        Agreement(1, 5, CASE.id, "person", KINDS, None, "support", NOW - DAY, None, "oral", "sato", "ja", "sato", NOW - DAY), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def consents(reader: Staff, kind: str) -> dict[str, tuple[Agreement, ...]]:
    """Consents by what they come to for this reader and this kind."""
    others = tuple(k for k in KINDS if k != kind)
    return {
        "covered": (agreement(agencies=("nobody", reader.agency)),),
        "every agency": (agreement(),),
        "another agency": (agreement(agencies=("nobody",)),),
        "another kind": (agreement(scope=others),),
        "another person's": (agreement(person=6),),
        "of another case": (agreement(case=CASE.id + 1),),
        "not yet": (agreement(start=NOW + DAY),),
        "ran out": (agreement(until=NOW),),
        "withdrawn": (agreement(withdrawn_at=NOW, withdrawn_by="sato"),),
        "none": (),
    }  # fmt: skip


COVERED = frozenset({"covered", "every agency"})


@pytest.mark.parametrize("relation", Relation)
def test_the_table_is_what_is_seen(relation: Relation) -> None:
    reader, member_of, wrote = one_who_is(relation)
    named = {"all": None, "mine": ("nobody", reader.agency), "others": ("nobody",)}
    for basis, kind, (who, agencies) in product(Basis, KINDS, named.items()):
        one = item(basis, kind, agency=wrote, agencies=agencies)
        mine = relations(one, reader, CASE, member_of, TOWN, NOW)
        assert {relation} <= mine <= {relation, Relation.TEAM}, "who leads is of the team too"
        rows = [row for row in TABLE if row[0] is basis and row[1] in mine and kind in row[2]]
        for how, given_ in consents(reader, kind).items():
            may = any(
                row[3] is Needs.NOTHING or (who != "others" and (row[3] is Needs.NAMED or how in COVERED))
                for row in rows
            )
            seen = sight_of_item(one, reader, CASE, given_, member_of, TOWN, NOW)
            assert isinstance(seen, Basis) is may, (basis, kind, who, how, seen)
            if basis is Basis.ART106_6:
                assert may or not seen.told  # type: ignore[union-attr]
            elif may and relation is not Relation.WRITER:
                assert seen is basis


def test_every_cell_of_the_table_is_there_once() -> None:
    cells = [(basis, relation) for basis, relation, _, _ in TABLE]
    assert len(cells) == len(set(cells))
    assert {row[0] for row in TABLE} == set(Basis) and {row[1] for row in TABLE} == set(Relation)


def test_who_has_no_part_sees_nothing() -> None:
    for basis, kind, reader in product(Basis, KINDS, (TOWN.staff["kato"], STRANGER)):
        seen = sight_of_item(item(basis, kind), reader, CASE, (agreement(),), frozenset({6}), TOWN, NOW)
        assert isinstance(seen, WhyNot) and not seen.told


WHY = {
    "another agency": WhyNot.OUT_OF_SCOPE, "another kind": WhyNot.OUT_OF_SCOPE, "another person's": WhyNot.NO_CONSENT,
    "of another case": WhyNot.NO_CONSENT, "not yet": WhyNot.EXPIRED, "ran out": WhyNot.EXPIRED, "withdrawn": WhyNot.WITHDRAWN,
    "none": WhyNot.NO_CONSENT,
}  # fmt: skip


@pytest.mark.parametrize("how", WHY)
def test_whom_only_a_consent_would_let_in_hears_why_not(how: str) -> None:
    reader = TOWN.staff["takahashi"]
    seen = sight_of_item(item(), reader, CASE, consents(reader, "fact")[how], frozenset(), TOWN, NOW)
    assert seen is WHY[how] and seen.told


@pytest.mark.parametrize(
    ("said", "why"),
    [("partial", WhyNot.OUT_OF_SCOPE), ("withdrawn", WhyNot.WITHDRAWN), ("refused", WhyNot.NO_CONSENT), ("pending", WhyNot.NO_CONSENT)],
)  # fmt: skip
def test_the_cases_own_word_cuts_whatever_a_person_agreed_to(said: str, why: WhyNot) -> None:
    case = CASE.become(consent=Consent(said, ("nobody",) if said == "partial" else (), NOW))
    reader = TOWN.staff["takahashi"]
    for person in (5, None):
        assert sight_of_item(item(person=person), reader, case, (agreement(),), frozenset(), TOWN, NOW) is why


def test_a_deputy_reads_for_whom_they_stand_in() -> None:
    from workflow.people import Absence

    away = replace(TOWN, absences=(Absence("ono", NOW - DAY, NOW + DAY, "kato"),))
    reader = away.staff["kato"]
    assert relations(item(), reader, CASE, frozenset(), away, NOW) == {Relation.TEAM}
    assert sight_of_item(item(), reader, CASE, (agreement(),), frozenset(), away, NOW) is Basis.CONSENT
    assert relations(item(), reader, CASE, frozenset(), away, NOW + DAY) == frozenset()


# -- another basis


def test_only_who_sees_and_leads_coordinates_or_wrote_it_shares_it_otherwise() -> None:
    lead, coordinator, holder, writer = (TOWN.staff[c] for c in ("sato", "takahashi", "ono", "kato"))
    given_ = (agreement(),)

    def to(one: Item, reader: Staff, basis: str, member_of: frozenset[int] = frozenset()) -> object:
        return reclassify(one, basis, None, reader, CASE, given_, member_of, TOWN, NOW).basis

    assert to(item("law"), lead, "consent") is Basis.CONSENT
    assert to(item("law"), coordinator, "life") is Basis.LIFE
    assert to(item("own", agency=writer.agency), writer, "consent") is Basis.CONSENT
    assert to(item("art106_6"), lead, "consent", frozenset({7})) is Basis.CONSENT
    for one, reader, basis, why in (
        (item("law"), holder, "consent", no.ItemNotYours), (item("own"), lead, "consent", no.ItemNotYours),
        (item("art106_6"), lead, "consent", no.ItemNotYours), (item("art106_6"), coordinator, "law", no.ItemNotYours),
        (item("law"), lead, "art106_6", no.BasisNotOpen), (item("law"), lead, "law", no.BasisNotOpen), (item("law"), lead, "gossip", no.BasisNotOpen),
        (item("law", person=6), lead, "consent", no.NoConsentForThis),
    ):  # fmt: skip
        with pytest.raises(why):
            to(one, reader, basis)


# -- whatever comes

PEOPLE = st.sampled_from(sorted(TOWN.staff.values(), key=lambda s: s.code))
AGENCIES = st.none() | st.lists(st.sampled_from(sorted(TOWN.agencies)), max_size=3).map(tuple)
ITEMS = st.builds(
    lambda basis, kind, agency, person, conference, agencies: item(
        basis, kind, agency=agency, person=person, conference=conference, agencies=agencies
    ),
    st.sampled_from(sorted(Basis)), st.sampled_from(KINDS), st.sampled_from(sorted(TOWN.agencies)), st.none() | st.integers(5, 6),
    st.integers(1, 3), AGENCIES,
)  # fmt: skip
GIVEN = st.lists(
    st.builds(
        lambda person, agencies, scope, until: agreement(person=person, agencies=agencies, scope=scope, until=until),
        st.integers(5, 6), AGENCIES, st.lists(st.sampled_from(KINDS), min_size=1).map(tuple), st.none() | st.just(NOW + DAY),
    ), max_size=3,
)  # fmt: skip
SAID = st.sampled_from(
    [Consent("full"), Consent("partial", ("tomoshibi", "hibari")), Consent("pending"), Consent("withdrawn"), None]
)


@given(ITEMS, PEOPLE, GIVEN, SAID, st.frozensets(st.integers(1, 3)))
def test_what_a_conference_heard_stays_among_its_members(
    one: Item, reader: Staff, given_: list[Agreement], said: Consent | None, member_of: frozenset[int]
) -> None:
    """I8: nothing but membership opens it, and nobody else hears that it is there."""
    learned = replace(one, basis="art106_6")
    seen = sight_of_item(learned, reader, CASE.become(consent=said), given_, member_of, TOWN, NOW)
    assert isinstance(seen, Basis) is (learned.conference in member_of)
    assert isinstance(seen, Basis) or not seen.told


@given(ITEMS, PEOPLE, GIVEN, st.frozensets(st.integers(1, 3)))
def test_nothing_rests_on_a_consent_that_is_gone(
    one: Item, reader: Staff, given_: list[Agreement], member_of: frozenset[int]
) -> None:
    """I9: withdrawn (one by one, or by the case's word) or run out, it lets nobody in but the agency that wrote it, as its own."""
    rested = replace(one, basis="consent")
    withdrawn = [a.become(withdrawn_at=NOW, withdrawn_by="sato") for a in given_]
    for case, left, at in _gone(rested, given_, withdrawn):
        seen = sight_of_item(rested, reader, case, left, member_of, TOWN, at)
        if rested.agency in reader.agencies:
            assert seen is Basis.OWN
        else:
            assert isinstance(seen, WhyNot)


def _gone(
    one: Item, given_: list[Agreement], withdrawn: list[Agreement]
) -> Iterator[tuple[Case, list[Agreement], object]]:
    cut = CASE.become(consent=Consent("withdrawn", (), NOW))
    yield cut, given_, NOW
    yield cut, withdrawn, NOW
    if one.person is not None:
        yield CASE, withdrawn, NOW
        yield CASE, [a.become(until=NOW) for a in given_], NOW


@given(ITEMS, PEOPLE, GIVEN, SAID, st.frozensets(st.integers(1, 3)))
def test_a_narrower_consent_never_shows_more(
    one: Item, reader: Staff, given_: list[Agreement], said: Consent | None, member_of: frozenset[int]
) -> None:
    """I9: what one agency less, one kind less or an earlier end lets somebody see, the wider consent did too."""
    case = CASE.become(consent=said)
    wide = isinstance(sight_of_item(one, reader, case, given_, member_of, TOWN, NOW), Basis)
    narrower = [a.become(agencies=(a.agencies or tuple(TOWN.agencies))[:1], scope=a.scope[:1]) for a in given_]
    assert wide or not isinstance(sight_of_item(one, reader, case, narrower, member_of, TOWN, NOW), Basis)
