"""The same person written differently, what a consent says of its case, and how long a 統合 can be undone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.properties.values import NOW, the_case
from workflow import consent
from workflow import refusals as no
from workflow.case import Consent
from workflow.consent import KINDS, Agreement
from workflow.household import Merge, asked, born, folded, may_split, reached, signs

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1950-04-01", "19500401"), ("１９５０年４月１日", "19500401"), ("1950/4/1", "19500401"), ("19500401", "19500401"),
        ("昭和25年4月1日", "19500401"), ("S25.4.1", "19500401"), ("s.25.4.1", "19500401"), ("令和元年5月1日", "20190501"), ("平成1年1月8日", "19890108"),
        ("1950-02-30", "1950-02-30"), ("戦後すぐ", "戦後すぐ"), ("1950年ごろ", "1950"), ("", ""),
    ],
)  # fmt: skip
def test_a_birth_date_is_one_whatever_the_calendar(written: str, meant: str) -> None:
    assert born(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [("04-0000-9999", "0400009999"), ("０４（００００）９９９９", "0400009999"), ("+81 4-0000-9999", "0400009999"), ("A@Example.JP", "a@example.jp"),
     ("となりの家", "となりの家"), ("119", "119"), ("", "")],
)  # fmt: skip
def test_a_number_is_one_however_it_is_written(written: str, meant: str) -> None:
    assert reached(written) == meant


def test_width_case_spaces_and_kana_are_how_somebody_writes() -> None:
    assert folded("ﾔﾏﾀﾞ　ハナコ") == folded("やまだ はなこ") and folded("Ｍａｒｉａ") == "maria"
    assert asked("ヤマダ", "1950-04-01", "") <= signs(("山田", "やまだ"), "S25.4.1", ())
    assert asked("", "1950-04-01", "") <= signs(("山田",), "1950-04-01", ())
    assert not asked("山田", "", "") and not signs((), "", ())
    assert not asked("山本", "1950-04-01", "") & signs(("山田",), "1950-04-01", ())


# -- what the case's own word becomes

TOWN = ("a", "b", "c")
CASE = the_case()


def given(*agencies: str, **more: object) -> Agreement:
    made = Agreement(
        1, 5, CASE.id, "person", KINDS, agencies or None, "support", NOW, None, "oral", "s", "ja", "s", NOW
    )
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "new", "says"),
    [
        (None, given(), "あり"), (None, given("a"), "あり a"), (Consent("partial", ("a",)), given("b"), "あり a b"),
        (Consent("partial", ("a", "b")), given("b"), ""), (Consent("full"), given("b"), ""), (Consent("full"), given(), ""),
        (Consent("withdrawn"), given("b"), "あり b"), (Consent("refused"), given(), "あり"),
    ],
)  # fmt: skip
def test_a_consent_given_only_adds(before: Consent | None, new: Agreement, says: str) -> None:
    assert consent.said_by_giving(CASE.become(consent=before), new) == says


@pytest.mark.parametrize(
    ("before", "was", "others", "only", "says"),
    [
        (Consent("full"), given(), [], "", "撤回"), (Consent("full"), given(), [given("b", "c")], "a", "撤回 a"),
        (Consent("full"), given(), [given(person=6)], "", ""), (Consent("full"), given(), [given("b", person=6)], "", "撤回 a c"),
        (Consent("partial", ("a",)), given("a"), [], "", "撤回"), (Consent("partial", ("a",)), given("b"), [], "", ""),
        (Consent("full"), given(), [given(person=6, until=NOW)], "", "撤回"), (Consent("withdrawn"), given(), [], "", ""),
    ],
)  # fmt: skip
def test_a_withdrawal_takes_what_nobody_else_lets_in(
    before: Consent, was: Agreement, others: list[Agreement], only: str, says: str
) -> None:
    assert consent.said_by_withdrawing(CASE.become(consent=before), was, others, TOWN, NOW, only=only) == says


def test_why_one_is_missing_takes_nobody_elses_consent_back() -> None:
    for state in ("full", "partial", "withdrawn"):
        assert not consent.said_by_missing(CASE.become(consent=Consent(state)), "declined")
    said = {why: consent.said_by_missing(CASE.become(consent=None), why) for why in consent.MISSING}
    assert said == {"not_met": "未", "declined": "なし", "cannot_judge": "未", "unsafe": "聞かない"}


def test_a_merge_can_be_undone_for_thirty_days() -> None:
    """I21."""
    merge = Merge(1, 1, 2, NOW, "s")
    may_split(merge, NOW + 30 * DAY - timedelta(seconds=1))
    with pytest.raises(no.MergedTooLongAgo):
        may_split(merge, NOW + 30 * DAY)
    with pytest.raises(no.SplitAlready):
        may_split(merge._replace(undone_at=NOW), NOW)
