"""What leaves together, on a platform that shows cards side by side and on all that do not."""

import re
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Caps, Cards, Choice, Message, fit, together
from adapters.mail import Mail
from adapters.slack import Slack
from adapters.telegram import Telegram

LABELS = st.text("あいうえお引受", min_size=1, max_size=60)
CHOICES = st.lists(st.builds(Choice, LABELS, st.text("受付引", max_size=8)), max_size=9).map(tuple)
FACTS = st.lists(st.tuples(st.text("事", max_size=50), st.text("実", max_size=400)), max_size=12).map(tuple)
MESSAGES = st.lists(
    st.builds(Message, st.text("ことば", max_size=400), st.none() | st.text("題", max_size=80), FACTS, CHOICES),
    min_size=2, max_size=20,
)  # fmt: skip
SIDE = Caps(buttons=8, label=20, text=2_000, cards=Cards(5, buttons=3, text=300))
PLAIN = [Slack.caps, Telegram.caps, Mail.caps, Caps(buttons=0, label=1, text=40), Caps(buttons=8, label=20, text=2_000)]


def as_one_text(messages: Sequence[Message]) -> Message:
    return Message(
        "\n\n".join(m.text for m in messages), "お知らせ", choices=tuple(c for m in messages for c in m.choices)
    )


@given(MESSAGES, st.sampled_from(PLAIN))
def test_who_shows_no_cards_gets_one_text(messages: list[Message], caps: Caps) -> None:
    fitted = fit(together(messages, "お知らせ"), caps)
    assert fitted == fit(as_one_text(messages), caps) and fitted.cards == ()
    assert repr(fitted) == repr(fit(as_one_text(messages), caps))


@given(MESSAGES)
def test_whoever_shows_them_gets_the_same_text_beside_them(messages: list[Message]) -> None:
    """For a notification, for a screen reader; and what is open is open either way."""
    fitted, text = fit(together(messages, "お知らせ"), SIDE), fit(as_one_text(messages), SIDE)
    assert (fitted.text, fitted.title, fitted.facts, fitted.choices) == (
        text.text,
        text.title,
        text.facts,
        text.choices,
    )


@given(MESSAGES)
def test_at_most_so_many_cards_of_at_most_so_much(messages: list[Message]) -> None:
    cards = fit(together(messages), SIDE).cards
    assert len(cards) == min(len(messages), 5)
    for card in cards:
        assert len(card.choices) <= 3 and len(card.facts) <= 8 and not card.cards
        assert all(len(c.label) <= 20 for c in card.choices)
    for card in cards[:4]:
        assert len(card.text) + len(card.title or "") + sum(len(a) + len(b) for a, b in card.facts) <= 300
    assert len(cards[-1].text) <= 2_000


@given(st.lists(st.integers(0, 9), min_size=2, max_size=12))
def test_a_number_means_the_same_button_however_it_is_shown(buttons: list[int]) -> None:
    places = iter(range(1, 200))
    messages = [Message("", choices=tuple(Choice(f"その{next(places)}", "x") for _ in range(n))) for n in buttons]
    whole = fit(together(messages), Caps(buttons=0, label=20, text=20_000))
    fitted = fit(together(messages), Caps(buttons=0, label=20, text=20_000, cards=Cards(5, buttons=0, text=20_000)))
    for said in (whole, *fitted.cards):
        assert all(number == name for number, name in re.findall(r"(\d+)\. その(\d+)", said.text))
    numbers = [number for card in fitted.cards for number in re.findall(r"(\d+)\. ", card.text)]
    assert numbers == re.findall(r"(\d+)\. ", whole.text) == [f"{i}" for i in range(1, sum(buttons) + 1)]


def test_one_alone_is_no_card_beside_others() -> None:
    assert fit(Message("ひとつだけ"), SIDE).cards == ()
