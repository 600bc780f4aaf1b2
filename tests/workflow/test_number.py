"""A case number survives every way of typing it, and no slip of one digit or one swap is another valid number unnoticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow import number

SIX = st.integers(0, 999_999)


@given(SIX)
def test_a_made_number_is_valid_and_has_the_shape(six: int) -> None:
    made = number.make(six)
    assert number.valid(made)
    assert [len(part) for part in made.split("-")] == [3, 3, 2]
    assert int(made.replace("-", "")[:6]) == six


@given(SIX, st.integers(0, 7), st.integers(1, 9))
def test_one_wrong_digit_is_always_noticed(six: int, place: int, by: int) -> None:
    digits = number.make(six).replace("-", "")
    wrong = digits[:place] + str((int(digits[place]) + by) % 10) + digits[place + 1 :]
    assert not number.valid(wrong)
    assert number.make(six) in number.neighbours(f"{wrong[:3]}-{wrong[3:6]}-{wrong[6:]}")


@given(SIX, st.integers(0, 6))
def test_two_swapped_digits_are_always_noticed(six: int, place: int) -> None:
    digits = number.make(six).replace("-", "")
    wrong = digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
    assert wrong == digits or not number.valid(wrong)


@pytest.mark.parametrize(
    "typed",
    [
        "385-267-52",
        "38526752",
        "385 267 52",
        "３８５－２６７－５２",
        "３８５２６７５２",
        "385ー267ー52",
        "385—267—52",
        "引受 385-267-52 です",
        "385-26752",
    ],
)
def test_every_way_of_typing_it(typed: str) -> None:
    found = number.find(typed)
    assert found is not None and found[0] == "385-267-52"


@pytest.mark.parametrize(
    "typed", ["", "385-267-5", "090-1111-2222", "123456789", "385-267-521", "2026-06-12", "#385", "一二三"]
)
def test_what_is_no_number(typed: str) -> None:
    assert number.find(typed) is None


@pytest.mark.parametrize("six", [-1, 1_000_000])
def test_a_payload_has_six_digits(six: int) -> None:
    with pytest.raises(ValueError, match="six digits"):
        number.make(six)


@given(st.text(max_size=80))
def test_any_text_may_be_looked_through(text: str) -> None:
    found = number.find(text)
    assert found is None or len(found[0]) == 10
