"""Every frozen value comes back from JSON as it was."""

import json
from dataclasses import fields
from datetime import UTC, date, datetime
from enum import StrEnum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.codec import Codec, of, policy_of, policy_text
from workflow.case import Asked, Case, Consent, Handoff, Issue, Need, Proposal, Proxy, Request, Wait
from workflow.ladder import DEFAULTS, Policy, Rung
from workflow.people import Post, Staff

KINDS = (Issue, Asked, Need, Proxy, Handoff, Wait, Consent, Proposal, Request, Case, Policy, Rung, Post, Staff)

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PLAIN = {
    int: st.integers(-(2**62), 2**62),
    str: st.text(max_size=5),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime: MOMENTS,
    date: st.dates(),
}


def strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type, made from the type alone: a new field is covered without anybody thinking of it."""
    if hint in PLAIN:
        return PLAIN[hint]
    if get_origin(hint) in (Union, UnionType):
        inner = next(arg for arg in get_args(hint) if arg is not type(None))
        return st.none() | strategy(inner)
    if get_origin(hint) is tuple:
        args = get_args(hint)
        if args[-1] is Ellipsis:
            return st.lists(strategy(args[0]), max_size=2).map(tuple)
        return st.tuples(*map(strategy, args))
    if issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    hints = get_type_hints(hint)
    required = {f.name: strategy(hints[f.name]) for f in fields(hint)}
    return st.fixed_dictionaries(required).map(lambda values: hint(**values))


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_comes_back_as_it_was(kind: type[Any]) -> None:
    codec = of(kind)

    @settings(max_examples=60, deadline=None)
    @given(strategy(kind))
    def round_trip(value: Any) -> None:
        assert codec.load(json.loads(json.dumps(codec.dump(value)))) == value

    round_trip()


def test_only_what_differs_is_written() -> None:
    assert of(Need).dump(Need("work")) == {"duty": "work"}
    assert of(Rung).dump(Rung("1bd", ("head",))) == {"at": "1bd", "to": ["head"]}


def test_a_field_of_a_later_version_is_an_error_and_no_loss() -> None:
    with pytest.raises(KeyError):
        of(Need).load({"duty": "work", "invented_later": True})


def test_fields_in_columns_stay_out_of_the_document() -> None:
    codec = Codec(Need, without=("duty",))
    doc = codec.dump(Need("work", hops=2))
    assert doc == {"hops": 2}
    assert codec.load(doc, duty="work") == Need("work", hops=2)


@pytest.mark.parametrize("kind", DEFAULTS)
def test_a_policy_is_read_once(kind: str) -> None:
    text = policy_text(DEFAULTS[kind])
    assert policy_of(text) == DEFAULTS[kind]
    assert policy_of(text) is policy_of(policy_text(DEFAULTS[kind]))
