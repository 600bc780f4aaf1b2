"""What people type, as a table: forms, numbers, ordinals, days, spans, politeness, danger."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import words
from bot.commands import BOOK, FORMS

TODAY = date(2026, 6, 1)  # a Monday

DAYS = [
    ("2026-06-12", date(2026, 6, 12)), ("2026/6/12", date(2026, 6, 12)), ("2026年6月12日", date(2026, 6, 12)), ("6/12", date(2026, 6, 12)),
    ("6月12日", date(2026, 6, 12)), ("1/5", date(2027, 1, 5)), ("5/15", date(2026, 5, 15)), ("今日", TODAY), ("きょう", TODAY), ("明日", date(2026, 6, 2)),
    ("あす", date(2026, 6, 2)), ("明後日", date(2026, 6, 3)), ("あさって", date(2026, 6, 3)), ("しあさって", date(2026, 6, 4)), ("3日後", date(2026, 6, 4)),
    ("2週間後", date(2026, 6, 15)), ("1か月後", date(2026, 7, 1)), ("3ヶ月", date(2026, 9, 1)), ("金曜", date(2026, 6, 5)), ("月曜", date(2026, 6, 8)),
    ("来週月曜", date(2026, 6, 8)), ("来週の水曜日", date(2026, 6, 10)), ("再来週火曜", date(2026, 6, 16)), ("今週金曜", date(2026, 6, 5)),
    ("来週", date(2026, 6, 8)), ("再来週", date(2026, 6, 15)), ("tomorrow", date(2026, 6, 2)), ("2w", date(2026, 6, 15)), ("10d", date(2026, 6, 11)),
    ("2026-13-45", None), ("2/30", None), ("いつか", None), ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "day"), DAYS)
def test_a_day_in_words(text: str, day: date | None) -> None:
    assert words.find_day(text, TODAY) == day


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1か月", "1mo"),
        ("2週間", "14d"),
        ("10日", "10d"),
        ("毎週", "7d"),
        ("毎月", "1mo"),
        ("3ヶ月", "3mo"),
        ("2w", "14d"),
        ("1mo", "1mo"),
        ("そのうち", None),
    ],
)
def test_a_span_in_words(text: str, span: str | None) -> None:
    assert words.find_span(text) == span


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("15:30", (15, 30)),
        ("15時", (15, 0)),
        ("15時半", (15, 30)),
        ("9時5分", (9, 5)),
        ("25:00", None),
        ("12:75", None),
        ("昼", None),
    ],
)
def test_a_clock_time_in_words(text: str, clock: tuple[int, int] | None) -> None:
    assert words.find_clock(text) == clock


@pytest.mark.parametrize(
    ("day", "n", "then"),
    [((2026, 1, 31), 1, (2026, 2, 28)), ((2028, 1, 31), 1, (2028, 2, 29)), ((2026, 12, 15), 2, (2027, 2, 15))],
)
def test_months_end_where_they_end(day: tuple[int, int, int], n: int, then: tuple[int, int, int]) -> None:
    assert words.add_months(date(*day), n) == date(*then)


@pytest.mark.parametrize(
    ("typed", "number", "ordinal", "rest"),
    [
        ("引受 385-267-52#2", "385-267-52", 2, "引受"), ("３８５２６７５２　引受", "385-267-52", None, "引受"), ("引受", None, None, "引受"),
        ("引受 385-267-52 # 2", "385-267-52", 2, "引受"), ("\u202e引受\u202c 385 267 52", "385-267-52", None, "引受"), ("#999", None, 999, ""),
        ("辞退\u0000 385-267-52 定員", "385-267-52", None, "辞退 定員"), ("", None, None, ""), ("👨‍👩‍👧‍👦", None, None, "👨👩👧👦"),
    ],
)  # fmt: skip
def test_words_taken_apart(typed: str, number: str | None, ordinal: int | None, rest: str) -> None:
    taken = words.take_apart(typed)
    assert (taken.number, taken.ordinal, " ".join(taken.rest.split())) == (number, ordinal, rest)


@pytest.mark.parametrize(
    ("typed", "command", "rest"),
    [
        ("引受します", "accept", ""), ("引き受けます", "accept", ""), ("ひきうけます", "accept", ""), ("ヒキウケマス", "accept", ""), ("accept", "accept", ""),
        ("ACCEPT please", "accept", "please"), ("事態", "decline", ""), ("無理です", "decline", ""), ("辞退 定員", "decline", "定員"), ("再会", "resume", ""),
        ("健闘 6/12", "consider", "6/12"), ("写す 支援", "move", "支援"), ("まとめて引受", "accept_all", ""), ("条件引受 同行", "conditional", "同行"),
        ("会えた", "connected", ""), ("会えた・変わりなし", "calm", ""), ("会えませんでした", "not_met", ""), ("終了", "complete", ""), ("集結 転出", "close", "転出"),
        ("電話", "phone", ""), ("電話した", "reached", ""), ("電話出ない", "not_reached", ""), ("取下げ", "withdraw", ""), ("提案取下げ", "withdraw_proposal", ""),
    ],
)  # fmt: skip
def test_a_word_is_found_by_kanji_reading_homophone_and_alias(typed: str, command: str, rest: str) -> None:
    assert words.match(typed, FORMS) == (command, rest)


@pytest.mark.parametrize("typed", ["了解", "はい", "OK", "おはよう", "accepted", "あじさい", "", "takeaway"])
def test_what_is_no_command(typed: str) -> None:
    assert words.match(typed, FORMS) is None


@pytest.mark.parametrize("command", list(BOOK.values()), ids=lambda c: c.name)
def test_every_form_of_every_word_means_that_word(command) -> None:  # type: ignore[no-untyped-def]
    for form in command.forms:
        found = words.match(form, FORMS)
        assert found is not None and found[0] == command.name, f"「{form}」 means {found}"
        assert words.take_apart(f"{form} 385-267-52#2").number == "385-267-52"
        with_rest = words.match(words.take_apart(f"{form} 385-267-52 あれ").rest, FORMS)
        assert with_rest is not None and with_rest[0] == command.name, f"「{form} … あれ」 means {with_rest}"


@pytest.mark.parametrize("polite", sorted(words.POLITE_ONLY))
def test_politeness_is_never_a_command(polite: str) -> None:
    """「了解」「はい」「OK」 never accept."""
    found = words.match(polite, FORMS)
    assert found is None or found[0] not in ("accept", "accept_all", "approve", "conditional", "agree")


@pytest.mark.parametrize(
    "cry", ["死にたいと言っている", "たすけて", "倒れています", "血が止まらない", "息をしていない"]
)
def test_danger_is_heard_in_any_sentence(cry: str) -> None:
    assert words.DANGER.search(words.clean(cry))


@given(st.text(max_size=200))
def test_any_text_is_taken_apart(text: str) -> None:
    taken = words.take_apart(text)
    assert not words._CONTROL.search(taken.text)
    words.match(taken.rest, FORMS)
    words.did_you_mean(taken.rest, FORMS)
    words.find_day(text, TODAY)
    words.find_span(text)
    words.find_clock(text)


@given(st.text(max_size=60))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = words.clean(text)
    assert words.clean(once) == once
