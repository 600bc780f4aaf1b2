"""The town file: what is read, what is refused and on which line, what a new one changes."""

import copy
import json
import time
import tomllib
from datetime import UTC, date, datetime
from datetime import time as time_of
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import town
from bot.town.clerk import KEYS, WAITS
from bot.town.lines import places
from workflow.ladder import DEFAULTS
from workflow.people import Absence, Role, Town

ROOT = Path(__file__).parents[2]
SAMPLE = (ROOT / "bot/demo/nagare.toml").read_text("utf-8")
EXAMPLE = (ROOT / "deploy/town.example.toml").read_text("utf-8")
TOKYO = ZoneInfo("Asia/Tokyo")

SMALL = """\
# top
[municipality]
code = "00000"
name = "みほん町"
final_owner = "kawamura"
phones = [
    { label = "福祉課", number = "04-0000-0000" },
    { label = "福祉課", number = "04-0000-0000" },
]

[[agency]]
code = "suishin"
name = "推進室"
kind = "coordinating_body"

[[agency]]
code = "fukushi"
name = "福祉課"
kind = "municipality"

[[agency]]
code = "minsei"
name = "民生委員"
kind = "watcher"

[[staff]]
code = "kawamura"
name = "川村"
agency = "fukushi"
role = "official"
email = "kawamura@example.jp"

[[staff]]
code = "hino"
name = "日野"
agency = "suishin"
role = "coordinator"
deputy = "kubo"

[[staff]]
code = "kubo"
name = "久保"
posts = [
    { agency = "suishin", role = "coordinator" },
    { agency = "suishin", role = "head" },
]

[[oncall]]
name = "当直"
phone = "04-0000-0001"
staff = "kawamura"
from = "17:15"
to = "08:30"
"""

END = 'to = "08:30"\n'
MINSEI = 'kind = "watcher"\n'
FUKUSHI = 'kind = "municipality"\n'
HINO = 'deputy = "kubo"\n'
CITY = 'final_owner = "kawamura"\n'

#: what is written · instead of what · words of the refusal; the refused line says "# here"
MISTAKES = [
    # broken TOML
    ("a = = 1  # here\n", "# top\n", "TOML"),
    ('name = "二つめ"  # here\n' + CITY, CITY, "TOML"),
    # unknown keys
    ("[[agencies]]  # here\n", "# top\n", "「agency」ですか"),
    ('timezon = "Asia/Tokyo"  # here\n' + CITY, CITY, "「timezone」ですか"),
    (MINSEI + "capasity = 4  # here\n", MINSEI, "「capacity」ですか"),
    (HINO + 'depty = "kubo"  # here\n', HINO, "「deputy」ですか"),
    (
        "    { label = '課', number = '1', nunber = '2' },  # here\n]\n\n[[agency]]",
        "]\n\n[[agency]]",
        "「number」ですか",
    ),
    (END + 'marks = ["さくら"]  # here\n', END, "ファイルの最初"),
    (END + "[limits]\nundo_minute = 5  # here\n", END, "「undo_minutes」ですか"),
    (END + '[stages]\nsuport = "支援"  # here\n', END, "「support」ですか"),
    # missing and of the wrong kind
    ("", CITY, "「final_owner」が書かれていません"),
    ("", '[municipality]\ncode = "00000"\nname = "みほん町"\n' + CITY, "「phones」という項目はありません"),
    ('code = "minsei"\n# no name\n', 'code = "minsei"\nname = "民生委員"\n', "「name」が書かれていません"),
    (MINSEI + 'capacity = "forty"  # here\n', MINSEI, "整数"),
    (MINSEI + "capacity = -1  # here\n", MINSEI, "0 から"),
    (MINSEI + 'discreet = "yes"  # here\n', MINSEI, "true か false"),
    (MINSEI + 'fields = "介護"  # here\n', MINSEI, "[ ] に入れて"),
    (MINSEI + 'fields = ["介護",\n  ""]  # here\n', MINSEI, "空でない"),
    # codes
    ('code = "fukushi"  # here\nname = "民生委員"', 'code = "minsei"\nname = "民生委員"', "二度"),
    ('name = "福祉課"  # here\nkind = "watcher"', 'name = "民生委員"\nkind = "watcher"', "二度"),
    ('code = "hino"  # here\nname = "久保"', 'code = "kubo"\nname = "久保"', "二度"),
    ('code = "clock"  # here\nname = "久保"', 'code = "kubo"\nname = "久保"', "仕組みが使う"),
    ('code = "min sei"  # here\n', 'code = "minsei"\n', "空白"),
    (END + '[[duty]]\ncode = "x"\nlabel = "甲"\n[[duty]]\ncode = "x"  # here\nlabel = "乙"\n', END, "二度"),
    # kinds, roles, agencies
    ('kind = "watchers"  # here\n', MINSEI, "「watcher」ですか"),
    ('role = "offical"  # here\n', 'role = "official"\n', "「official」ですか"),
    ('name = "日野"\nagency = "suisin"  # here\n', 'name = "日野"\nagency = "suishin"\n', "「suishin」ですか"),
    (
        '    { agency = "suisin", role = "head" },  # here\n',
        '    { agency = "suishin", role = "head" },\n',
        "「suishin」ですか",
    ),
    ("[[staff]]  # here\ncode = 'mukai'\nname = '向井'\n\n[[oncall]]", "[[oncall]]", "所属機関"),
    (HINO + 'posts = [{ agency = "suishin", role = "head" }]\n', HINO, "どちらか一方"),
    # one body, two approvers, a final owner
    ('kind = "coordinating_body"  # here\n', FUKUSHI, "一つだけ"),
    ('kind = "provider"\n', 'kind = "coordinating_body"\n', "一つ書いてください"),
    ('final_owner = "watanabe"  # here\n', CITY, "いません"),
    ('final_owner = "hino"  # here\n', CITY, "official"),
    # deputies
    ('deputy = "kubota"  # here\n', HINO, "「kubo」ですか"),
    ('deputy = "hino"  # here\n', HINO, "一回り"),
    ('code = "kubo"\nname = "久保"\ndeputy = "hino"  # here\n', 'code = "kubo"\nname = "久保"\n', "日野"),
    # hours, days, dates
    (MINSEI + 'hours = "25:00-26:00"  # here\n', MINSEI, "開所時間"),
    (MINSEI + 'hours = "17:00-08:30"  # here\n', MINSEI, "始まりを先に"),
    (MINSEI + 'open = { mon = "9-5" }  # here\n', MINSEI, "開所時間"),
    (MINSEI + 'open = { mom = "09:00-17:00" }  # here\n', MINSEI, "「mon」ですか"),
    (MINSEI + 'hours = "09:00-17:00"\nopen = { mon = "09:00-17:00" }  # here\n', MINSEI, "どちらか一方"),
    (MINSEI + "valid_from = 2026-04-01\nvalid_to = 2026-03-31  # here\n", MINSEI, "前です"),
    (HINO + 'valid_to = "2026-13-01"  # here\n', HINO, "日付"),
    (CITY + 'closed = ["12-29..01-03", "02-30"]  # here\n', CITY, "休みの日"),
    (CITY + 'closed = [\n  "12-29..01-03",\n  "summer",  # here\n]\n', CITY, "休みの日"),
    # holidays and time zones
    (CITY + 'holidays = "Japan"  # here\n', CITY, "「JP」ですか"),
    (CITY + 'holidays = "UK"  # here\n', CITY, "「GB」ですか"),
    (CITY + 'holidays = "ZZ"  # here\n', CITY, "2文字"),
    (CITY + 'timezone = "Asia/Tokio"  # here\n', CITY, "「Asia/Tokyo」ですか"),
    (CITY + 'timezone = "Asia/Calcutta"  # here\n', CITY, "「Asia/Kolkata」と書いて"),
    (CITY + 'timezone = "PST8PDT"  # here\n', CITY, "時間帯「PST8PDT」はありません"),
    (CITY + 'timezone = "Europe/Kiev"  # here\n', CITY, "「Europe/Kyiv」と書いて"),
    (CITY + 'timezone = "Mars/Olympus"  # here\n', CITY, "Asia/Tokyo のように書いてください"),
    (CITY + 'timezone = "Japan"  # here\n', CITY, "「Asia/Tokyo」と書いて"),
    (CITY + 'language = "jp"  # here\n', CITY, "言語"),
    # waits
    (END + '[waits]\nreakt = { normal = "2bd" }  # here\n', END, "「react」ですか"),
    (END + '[waits]\nreact = { normal = "0bd" }  # here\n', END, "間に合いません"),
    (END + '[waits]\nreact = { normal = "-3bd" }  # here\n', END, "期間「-3bd」"),
    (END + '[waits]\nreact = { high = "2 weeks" }  # here\n', END, "期間「2 weeks」"),
    (END + '[waits.checkin]\nnormal = "401d"  # here\n', END, "400日"),
    (END + '[waits.checkin]\nnormal = "50%"  # here\n', END, "間に合いません"),
    (END + "[waits.react]\nrungs = []  # here\n", END, "だれにも"),
    (END + '[waits.react]\nrungs = [\n  { at = "0", to = [] },\n]\n', END, "だれにも"),
    (END + '[waits.react]\nrungs = [\n  { at = "0", to = ["receiver"] },  # here\n]\n', END, "最後の段"),
    (END + '[waits.react]\nrungs = [\n  { at = "0", to = ["cordinator"] },  # here\n]\n', END, "「coordinator」ですか"),
    (END + '[waits.react]\nrungs = [{ at = "0", to = ["final"], act = "shout" }]  # here\n', END, "すること"),
    # on call
    ('staff = "kawamoto"  # here\n', 'staff = "kawamura"\n', "「kawamura」ですか"),
    ('to = "25:00"  # here\n', END, "時刻"),
    (END + 'days = "mon-fry"  # here\n', END, "曜日"),
    # lists, marks, sentences
    (END + '[[duty]]  # here\ncode = "piano"\n', END, "label"),
    (END + '[[duty]]\ncode = "lead"\nuse = false  # here\n', END, "外せません"),
    (END + '[[concern]]\ncode = "x"\nlabel = "x"\nshort = "介護"  # here\n', END, "もうあります"),
    (END + '[[decline]]\ncode = "at_capacity"\nnext = "wait"  # here\n', END, "「waitlist」ですか"),
    ('marks = ["さくら", "うめ"]  # here\n', "# top\n", "60語"),
    ('marks = ["さくら", "うめ",\n  "さくら"]  # here\n', "# top\n", "二度"),
    ('marks = ["桜"]  # here\n', "# top\n", "ひらがな"),
    (END + '[sentences.fr]  # here\nthanks = "Merci"\n', END, "言語"),
    (END + '[sentences.ja]\nthanks = "{number さん"  # here\n', END, "閉じていません"),
    (END + '[sentences.ja]\nthanks = "{number.__class__}"  # here\n', END, "使えません"),
    (END + '[sentences.ja]\nthanks = "{}"  # here\n', END, "使えません"),
    (END + '[stages]\nsupport = "見守り"  # here\n', END, "二つ"),
    # numbers to call when abuse is suspected
    (END + '[[report]]\nkind = "kids"  # here\nlabel = "児相"\nnumber = "189"\n', END, "虐待の種類"),
    (END + '[[report]]\nkind = "child"\nlabel = "児相"\nnumber = "いちはやく"  # here\n', END, "数字と # と -"),
    (END + '[[report]]  # here\nkind = "child"\nlabel = "児相"\n', END, "number"),
    (END + 2 * '[[report]]\nkind = "dv"\nlabel = "町の窓口"\nnumber = "04-1111"\n'.replace("\n", "\n"), END, "二度"),
    (END + '[[report]]\nkind = "dv"\nname = "町の窓口"  # here\nnumber = "04-1111"\n', END, "「name」という項目"),
    # people
    ('email = "kawamura.example.jp"  # here\n', 'email = "kawamura@example.jp"\n', "メールアドレス"),
    (HINO + 'chat = { lime = "U1" }  # here\n', HINO, "「line」ですか"),
    (HINO + 'language = "de"  # here\n', HINO, "言語"),
    (MINSEI + 'platforms = ["line",\n  "fax"]  # here\n', MINSEI, "チャット"),
]


def changed(new: str, old: str) -> str:
    assert old in SMALL, old
    return SMALL.replace(old, new, 1)


@pytest.mark.parametrize(("new", "old", "sentence"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_refused_with_its_line(new: str, old: str, sentence: str) -> None:
    text = changed(new, old)
    with pytest.raises(town.TownMistake) as refused:
        town.read(text, where="ours.toml")
    lines = [i for i, line in enumerate(text.splitlines(), 1) if line.endswith("# here")]
    assert sentence in refused.value.sentence
    if lines:
        assert refused.value.line == lines[0]
    assert str(refused.value).startswith(f"ours.toml:{refused.value.line}: ")


def test_the_table_of_mistakes_is_long_enough_and_its_town_is_sound() -> None:
    assert len(MISTAKES) >= 40
    built = town.parse(SMALL)
    assert len(built.phones) == 2, "the same number twice is no mistake"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "[municipality]"),
        ("x = 1\nname = 'unended", 2, "TOML"),
        ("[municipality]\ncode = '1'\nname = 'n'\n\n# more\n[[agency]]\ncode = 'a'\nname = 'b'\n", 1, "final_owner"),
        (SMALL.replace("[[staff]]\ncode = \"hino\"", "[[staff]]\n\ncode = \"hino\"").replace('deputy = "kubo"\n', 'deputy = """\nnobody"""\n'), 39, "nobody"),
        (SMALL.replace('role = "coordinator"', 'role = "staff"'), 2, "調整役"),
        (SMALL[: SMALL.index("[[agency]]")] + "[agency]\ncode = 'a'\n", 11, "[[agency]]"),
        (SMALL.replace(CITY, CITY + 'districts = ["東部"]\n').replace(MINSEI, MINSEI + 'districts = ["東"]\n'), 26, "圏域"),
    ],
)  # fmt: skip
def test_a_mistake_without_an_entry_of_its_own_stands_at_its_table(text: str, line: int, sentence: str) -> None:
    with pytest.raises(town.TownMistake, match=r"town\.toml:\d+: ") as refused:
        town.read(text)
    assert (refused.value.line, sentence in refused.value.sentence) == (line, True)


def test_a_town_with_one_possible_approver_is_refused() -> None:
    """Without a coordinator the ladders end nowhere; with one of each there are two approvers, and a town runs."""
    alone = SMALL.replace('deputy = "kubo"\n', "").replace(
        SMALL[SMALL.index('[[staff]]\ncode = "kubo"') : SMALL.index("[[oncall]]")], ""
    )
    assert len(town.parse(alone).coordinators) == 1
    both = alone.replace('final_owner = "kawamura"', 'final_owner = "hino"').replace(
        'agency = "suishin"\nrole = "coordinator"',
        'posts = [{ agency = "suishin", role = "coordinator" }, { agency = "fukushi", role = "official" }]',
    )
    both = both.replace('role = "official"\nemail', 'role = "staff"\nemail')
    with pytest.raises(town.TownMistake, match="二人より少なく"):
        town.read(both)


# -- the samples


@pytest.fixture(scope="module")
def doc() -> town.Doc:
    return town.read(SAMPLE)


@pytest.fixture(scope="module")
def nagare(doc: town.Doc) -> Town:
    return town.build(doc, version=7)


def test_the_document_survives_json_and_its_own_text(doc: town.Doc) -> None:
    assert json.loads(json.dumps(doc)) == doc
    assert town.read(town.show(doc)) == doc
    small = town.read(SMALL + '[[duty]]\ncode = "work"\nfields = []\n[[duty]]\ncode = "food"\nuse = false\n')
    assert town.read(town.show(small)) == small


def test_the_sample_town_is_whole(nagare: Town) -> None:
    assert nagare.version == 7
    assert {a.kind for a in nagare.agencies.values()} == set(town_kinds())
    assert nagare.body.name == "重層推進室"
    assert nagare.coordinators[0].name == "高橋"
    assert len(nagare.coordinators) >= 3
    assert [o.name for o in nagare.officials] == ["渡辺", "小川"]
    assert len(nagare.staff) >= 30
    assert all(nagare.heads(code) for code in nagare.agencies), "every agency has a head"
    assert sum(len(s.agencies) == 2 for s in nagare.staff.values()) == 2
    assert nagare.agencies["nagisa"].discreet
    assert nagare.staff["yamamoto"].volunteer
    assert nagare.staff["mori"].agency == "hibari"
    assert len(nagare.members["hibari"]) == 5
    assert all(s.email.endswith("@example.jp") for s in nagare.staff.values())


def town_kinds() -> tuple[str, ...]:
    return ("first_line", "coordinating_body", "municipality", "provider", "outreach", "host", "watcher")


def test_every_duty_with_a_field_has_a_candidate_in_the_sample(nagare: Town) -> None:
    assert [d for d in nagare.duties if not nagare.candidates(d, None)] == []


def test_every_concern_meets_a_field_of_some_duty_or_agency(nagare: Town) -> None:
    fields = {f for a in nagare.agencies.values() for f in a.fields} | {
        f for d in nagare.duties.values() for f in d.fields
    }
    assert [c.code for c in nagare.concerns.values() if not set(c.fields) & fields] == ["other"]


def test_the_example_for_a_new_town_is_sound() -> None:
    assert town.parse(EXAMPLE).name == "みほん町"


def test_building_is_quick(doc: town.Doc) -> None:
    town.build(doc, version=1)
    began = time.perf_counter()
    for _ in range(5):
        town.build(doc, version=1)
    assert (time.perf_counter() - began) / 5 < 0.030


def test_absences_come_with_the_town(doc: town.Doc) -> None:
    away = Absence("suzuki", datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 8, tzinfo=UTC))
    built = town.build(doc, version=1, absences=[away])
    assert built.deputy("suzuki", datetime(2026, 6, 2, tzinfo=UTC)) == "tanaka"


def test_the_night_row_is_on_duty_over_midnight(nagare: Town) -> None:
    night = datetime(2026, 6, 2, 3, 0, tzinfo=TOKYO)
    assert nagare.on_duty(night)[0].name == "当直"
    assert nagare.on_duty(night.replace(hour=10))[0].staff == "ogawa"
    assert nagare.on_duty(datetime(2026, 6, 6, 10, 0, tzinfo=TOKYO))[0].staff == "takahashi"


# -- hours and holidays


def opens(built: Town, agency: str, *moment: int) -> bool:
    return built.agencies[agency].hours.is_open(datetime(*moment, tzinfo=TOKYO))  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "day",
    [
        (2025, 2, 24),  # 振替休日
        (2026, 5, 6),  # 振替休日 two days after its holiday
        (2026, 9, 22),  # 国民の休日, between 敬老の日 and 秋分の日
        (2026, 12, 29),
        (2027, 1, 3),
    ],
)
def test_an_office_is_closed_on_holidays_and_a_watcher_is_not(nagare: Town, day: tuple[int, int, int]) -> None:
    assert not opens(nagare, "tsubasa", *day, 10, 30)
    assert opens(nagare, "minsei-kita", *day, 10, 30)


def test_hours_of_the_sample(nagare: Town) -> None:
    assert opens(nagare, "houkatsu-kita", 2026, 6, 6, 10, 0), "Saturday morning"
    assert not opens(nagare, "tomoshibi", 2026, 6, 1, 12, 30), "noon"
    assert not opens(nagare, "kokusai", 2026, 8, 14, 12, 0), "its own closure"
    assert not opens(nagare, "minsei-kita", 2026, 6, 7, 9, 30)


def test_holidays_of_years_that_the_document_does_not_hold_are_added() -> None:
    doc = town.read(SMALL, years=range(2025, 2027))
    assert doc["municipality"]["years"] == [2025, 2027]
    new_year, day = (2030, 1, 14), date(2030, 1, 10)  # 成人の日
    assert opens(town.build(doc, version=1), "fukushi", *new_year, 10, 0)
    later = town.build(doc, version=1, years=town.years_around(day))
    assert not opens(later, "fukushi", *new_year, 10, 0)
    assert not opens(later, "fukushi", 2025, 2, 24, 10, 0)
    assert list(town.years_around(day)) == [2029, 2030, 2031, 2032, 2033]


def test_a_town_may_have_no_holidays() -> None:
    built = town.parse(SMALL.replace(CITY, CITY + 'holidays = ""\nclosed = []\n'))
    assert opens(built, "fukushi", 2026, 1, 1, 10, 0)


# -- the usual values


def test_the_usual_values_are_a_town_file_that_changes_nothing() -> None:
    usual = town.defaults()
    assert tomllib.loads(usual).keys() >= {"marks", "limits", "stages", "duty", "concern", "waits"}
    assert town.read(usual + "\n" + SMALL) == town.read(SMALL)


def test_every_wait_has_a_name_and_every_policy_its_usual_ladder() -> None:
    assert set(WAITS) == set(DEFAULTS)
    assert town.parse(SMALL).policies == DEFAULTS


def test_the_usual_lists() -> None:
    built = town.parse(SMALL)
    shorts = {c.short for c in built.concerns.values()}
    assert shorts >= {
        "介護",
        "障害",
        "病気",
        "こころ",
        "困窮",
        "債務",
        "仕事",
        "住まい",
        "子育て",
        "不登校",
        "ひきこもり",
        "家族",
        "その他",
    }
    assert all(
        c.short in c.fields or c.code in ("tax_utility", "young_carer", "community") for c in built.concerns.values()
    )
    assert list(built.declines) == [
        "at_capacity",
        "out_of_area",
        "ineligible",
        "missing_information",
        "wrong_service",
        "already_involved",
        "no_staff_now",
        "conflict_of_interest",
        "safety",
        "person_declined",
        "needs_interpreter",
        "other",
    ]
    assert {c.label for c in built.declines.values() if c.starred} == {"利益相反", "安全上", "ご本人が望まない"}
    assert [c.label for c in built.conditions.values()] == [
        "同行あり",
        "初回合同",
        "日程相談",
        "期間限定",
        "通訳",
        "その他",
    ]
    assert list(built.duties)[:2] == ["lead", "watch"]
    assert {d.label for d in built.duties.values() if not d.meets_person} == {"助言", "後方支援"}
    assert built.closings["no_contact"].label == "連絡不通"
    assert built.limits["push_a_day"] == 3


def test_marks_are_many_and_none_can_be_read_as_two_others() -> None:
    marks = set(town.parse(SMALL).marks)
    assert len(marks) >= 300
    assert not marks & {"ひがんばな", "からす", "しきみ", "きく", "まつ", "つる", "がん"}
    assert not [a + b for a in marks for b in marks if a + b in marks]


def test_an_entry_of_a_list_changes_only_what_it_says() -> None:
    built = town.parse(
        SMALL
        + '[[decline]]\ncode = "at_capacity"\nlabel = "満員"\n'
        + '[[duty]]\ncode = "work"\nlabel = "しごと"\nfields = ["困窮"]\n[[duty]]\ncode = "piano"\nlabel = "ピアノ"\n'
        + '[[condition]]\ncode = "limited"\nuse = false\n'
    )
    assert (built.declines["at_capacity"].label, built.declines["at_capacity"].next) == ("満員", "waitlist")
    assert built.duties["work"].fields == ("困窮",)
    assert built.duties["piano"].meets_person
    assert "limited" not in built.conditions


def test_the_numbers_of_a_kind_are_the_towns_where_it_writes_some() -> None:
    usual = {(one.kind, one.number) for one in town.parse(SMALL).reports}
    assert usual == {
        ("child", "189"), ("dv", "#8008"), ("dv", "#9110"), ("elder", "#9110"), ("disability", "#9110"),
    }  # fmt: skip
    own = town.parse(SMALL + '\n[[report]]\nkind = "dv"\nlabel = "町の窓口"\nnumber = "04-0000-0099"\n')
    assert {(r.kind, r.number) for r in own.reports} == usual - {("dv", "#8008"), ("dv", "#9110")} | {
        ("dv", "04-0000-0099")
    }


def test_a_document_of_before_has_the_usual_numbers_and_ladders() -> None:
    old = town.read(SMALL)
    del old["report"], old["waits"]["report"], old["waits"]["child_safety"], old["waits"]["report_follow"]
    built = town.build(old, version=1)
    assert built.policies == DEFAULTS and built.reports == town.parse(SMALL).reports
    assert town.diff(old, town.read(SMALL)) == []


def test_a_wait_changes_only_what_the_town_says() -> None:
    built = town.parse(SMALL + '[waits]\nreact = { normal = "3bd", high = "6bh" }\n')
    react = built.policies["react"]
    assert (react.normal, react.high, react.rungs) == ("3bd", "6bh", DEFAULTS["react"].rungs)


def test_sentences_are_judged_by_what_is_known() -> None:
    text = SMALL + '[sentences.ja]\noffer.title = "{number} のお願い"\n'
    assert town.read(text)["sentences"] == {"ja": {"offer.title": "{number} のお願い"}}
    known = {"offer.title": frozenset({"number", "mark"})}
    assert town.read(text, known=known)["sentences"]
    with pytest.raises(town.TownMistake, match=r"「offer\.title」ですか"):
        town.read(text.replace("offer.title", "offer.titel"), known=known)
    with pytest.raises(town.TownMistake, match="「number」ですか"):
        town.read(text.replace("{number}", "{nunber}"), known=known)


# -- what a new file changes


def test_the_same_file_changes_nothing(doc: town.Doc) -> None:
    assert town.diff(doc, doc) == []


def test_a_first_file_is_counted(doc: town.Doc) -> None:
    said = town.diff(None, doc)
    assert said[0] == "「ながれ市」をはじめて読み込みます。"
    assert "最後に受けとめる人は「渡辺」さんです。" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (CITY, CITY.replace("kawamura", "kawai"), None),
        ('name = "みほん町"', 'name = "みほん市"', "町の名前が、「みほん町」から「みほん市」に変わります。"),
        (MINSEI, MINSEI + 'phone = "04-1"\n', "機関「民生委員」の電話が、「なし」から「04-1」に変わります。"),
        (MINSEI, MINSEI + '[[agency]]\ncode = "y"\nname = "やどり木"\nkind = "host"\n', "機関「やどり木」が加わります。"),
        (MINSEI, MINSEI + '[[staff]]\ncode = "mukai"\nname = "向井"\nagency = "minsei"\nrole = "watcher"\n', "「向井」さん(民生委員)が加わります。"),
        (HINO, 'deputy = "kawamura"\n', "「日野」さん(推進室)の代理が、「久保」さんから「川村」さんに変わります。"),
        (HINO, "", "「日野」さん(推進室)の代理が、「久保」さんから「なし」に変わります。"),
        (HINO, HINO + 'chat = { line = "U1" }\n', "「日野」さん(推進室)のチャットのアカウントが変わります。"),
        (END, END + '[waits]\nreact = { normal = "3bd" }\n', "待ち「依頼への最初の返事」の通常が、「2営業日」から「3営業日」に変わります。新しい待ちから効きます。"),
        (END, END + '[waits]\nreact = { rungs = [{ at = "0", to = ["final"] }] }\n', "待ち「依頼への最初の返事」の知らせる段が変わります。新しい待ちから効きます。"),
        (END, END + '[waits]\nscreening = { high = "4bh" }\n', "待ち「受付の振り分け」の急ぎが、「当日中」から「4開所時間」に変わります。新しい待ちから効きます。"),
        (END, END + '[stages]\nuntangling = "解きほぐし"\n', "段階「ほぐし」の呼び名が「解きほぐし」に変わります。"),
        (END, END + "[limits]\nundo_minutes = 15\n", "きまり undo_minutes が 10 から 15 に変わります。"),
        (END, END + '[[duty]]\ncode = "piano"\nlabel = "ピアノ"\n', "役割「ピアノ」が加わります。"),
        (END, END + '[[condition]]\ncode = "limited"\nuse = false\n', "引受の条件「期間限定」がなくなります。"),
        (END, END + '[sentences.ja]\nthanks = "ありがとう"\n', "文「thanks」(ja)が「ありがとう」に変わります。"),
        (END, END + '[[report]]\nkind = "child"\nlabel = "児相 西"\nnumber = "04-1-2"\n', "児童虐待の疑いのときの電話に「児相 西 04-1-2」が入ります。"),
        (END, 'to = "08:00"\n', "当番表に「当直 04-0000-0001 mon,tue,wed,thu,fri,sat,sun 17:15-08:00」が入ります。"),
    ],
)  # fmt: skip
def test_a_change_is_said_so_that_a_clerk_understands(old: str, new: str, said: str | None) -> None:
    text = SMALL.replace(old, new, 1)
    if said is None:
        text = text.replace(
            "[[oncall]]",
            '[[staff]]\ncode = "kawai"\nname = "河合"\nagency = "fukushi"\nrole = "official"\n\n[[oncall]]',
        )
        said = "町の最後に受けとめる人が、「川村」さんから「河合」さんに変わります。"
    assert said in town.diff(town.read(SMALL), town.read(text))


def test_going_back_is_said_too() -> None:
    more = town.read(SMALL.replace(MINSEI, MINSEI + '[[agency]]\ncode = "y"\nname = "やどり木"\nkind = "host"\n'))
    assert town.diff(more, town.read(SMALL)) == ["機関「やどり木」がなくなります。"]


def test_the_order_of_people_counts() -> None:
    doc = town.read(SMALL)
    turned = {**doc, "staff": doc["staff"][::-1]}
    assert town.diff(doc, turned) == ["職員の並び順が変わります(知らせや候補の順番になります)。"]


def test_every_key_of_the_document_has_a_name(doc: town.Doc) -> None:
    entries = [doc["municipality"], *(doc[kind][0] for kind in ("agency", "staff", "duty", "concern"))]
    assert {key for entry in entries for key in entry} <= set(KEYS) | {"years", "holiday_dates"}


# -- staff as a table

TABLE = "\ufeffコード,氏名,機関,職,代理,メール\nmukai,向井,民生委員,見守り協力者,,\nhino,日野,suishin,coordinator,kawamura,hino@example.jp\n"


def test_a_table_of_staff_is_read() -> None:
    first, second = town.staff_csv(TABLE)
    assert first == {
        "code": "mukai",
        "name": "向井",
        "agency": "民生委員",
        "role": "watcher",
        "deputy": "",
        "email": "",
    }
    assert second["deputy"] == "kawamura"
    assert town.staff_csv("code,name,agency\r\na,甲,x\r\n\r\n")[0]["role"] == "staff"


def test_a_table_joins_the_town() -> None:
    doc = town.read(SMALL)
    built = town.build(
        town.with_staff(doc, TABLE + "sugai,菅井,minsei,host,向井,\nsugai,菅井,fukushi,staff,,\n"), version=1
    )
    assert built.staff["mukai"].has(Role.WATCHER)
    assert built.staff["hino"].deputy == "kawamura"
    assert built.staff["sugai"].deputy == "mukai"
    assert built.staff["sugai"].agencies == ("minsei", "fukushi")
    assert doc == town.read(SMALL), "the old document is left alone"


@pytest.mark.parametrize(
    ("table", "line", "sentence"),
    [
        ("", 1, "表が空"),
        ("code,nam,agency\n", 1, "「name」ですか"),
        ("code,name\n", 1, "「agency」がありません"),
        ("code,code,name,agency\n", 1, "二つ"),
        ("code,name,agency\na,甲,minsei\n,乙,minsei\n", 3, "code が空"),
        ("code,name,agency,role\na,甲,minsei,watchr\n", 2, "「watcher」ですか"),
        ("code,name,agency\na,甲,minsei,x\n", 2, "多くの欄"),
        ('code,name,agency\na,"甲\n乙,minsei\n', 2, "引用符"),
        ("code,name,agency\na,甲,minsei\nb,乙,minsai\n", 3, "「minsei」ですか"),
        ("code,name,agency,deputy\na,甲,minsei,\nb,乙,minsei,zzz\n", 3, "zzz"),
        ("code,name,agency,email\n\na,甲,minsei,@\n", 3, "メールアドレス"),
        ("code,name,agency,deputy\nkubo,久保,suishin,hino\n", 2, "一回り"),
        ("code,name,agency,role\nkawamura,川村,fukushi,staff\n", 1, "official"),
    ],
)
def test_a_mistake_in_a_table_is_refused_with_its_line(table: str, line: int, sentence: str) -> None:
    with pytest.raises(town.TownMistake) as refused:
        town.with_staff(town.read(SMALL), table)
    assert (refused.value.line, sentence in refused.value.sentence) == (line, True), str(refused.value)


# -- lines


def test_places_of_everything_toml_can_write() -> None:
    text = (
        '# c "\n"a.b" . c = "]#"  # 2\nd = [ # 3\n  1979-05-27 07:32:00, # 4\n  { x = 1, y.z = [2,\n  3] }, # 5, 6\n]\n'
        'm = """\n[no]\n\\""" # still """""\nn = \'\'\'\n[[no]]\'\'\'\n[t.u] # 13\nv = 1\n[[w]]\n[[w]] # 16\n[[w.x]]\n'
        "y = 1 # 18\n[w.z] # 19\nk = 'a'\n"
    )
    tomllib.loads(text)
    found = places(text)
    want = {
        ("a.b", "c"): 2, ("d",): 3, ("d", 0): 4, ("d", 1): 5, ("d", 1, "y", "z", 1): 6, ("m",): 8, ("n",): 11,
        ("t", "u"): 13, ("t", "u", "v"): 14, ("w", 0): 15, ("w", 1): 16, ("w", 1, "x", 0, "y"): 18, ("w", 1, "z", "k"): 20,
    }  # fmt: skip
    assert {path: found.get(path) for path in want} == want


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3), st.text("x#]}\n\"'\\", max_size=6)), max_size=12)
)
def test_every_value_of_any_text_has_a_place(rows: list[tuple[str, int, str]]) -> None:
    text = ""
    for name, blank, value in rows:
        text += "\n" * blank + f"[[t]] # {name}\n{name} = [{json.dumps(value)}, # ]\n  {{ q = {json.dumps(value)} }}]\n"
    raw, found = tomllib.loads(text), places(text)
    lines = text.split("\n")
    for i, entry in enumerate(raw.get("t", [])):
        for name in entry:
            assert lines[found["t", i, name] - 1].startswith(f"{name} = [")
            assert lines[found["t", i, name, 1, "q"] - 1].startswith("  { q")


def spots(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, one in inner for spot in spots(one, (*path, key)))]


WHOLE = tomllib.loads(
    SMALL
    + '[[duty]]\ncode = "x"\nlabel = "x"\nfields = ["y"]\n[waits.react]\nnormal = "2bd"\nrungs = [{ at = "0", to = ["final"] }]\n'
    + '[stages]\nsupport = "s"\n[sentences.ja]\nhi = "{number}"\n[limits]\nundo_minutes = 5\n'
)
WHOLE["municipality"] |= {
    "closed": ["08-15"],
    "harsh": [1],
    "timezone": "Asia/Tokyo",
    "holidays": "JP",
    "districts": ["北部"],
}
WHOLE["agency"][1] |= {
    "open": {"mon": "08:30-17:15"},
    "closed": ["08-15"],
    "platforms": ["line"],
    "valid_from": "2026-04-01",
}
WHOLE["staff"][0] |= {"chat": {"line": "U1"}, "language": "ja", "valid_to": "2027-03-31"}
WHOLE["oncall"][0] |= {"days": ["mon", "tue"]}


@settings(deadline=None)
@given(
    st.sampled_from(spots(WHOLE)[1:]),
    st.sampled_from(
        [
            "",
            "x",
            " ",
            0,
            -1,
            1.5,
            True,
            [],
            {},
            ["x"],
            [[]],
            [{}],
            {"x": 1},
            {"mon": []},
            date(2026, 1, 1),
            time_of(9),
            "０",
            "{",
        ]
    ),
)
def test_whatever_stands_in_an_entry_is_read_or_refused_in_words(spot: tuple[str | int, ...], value: object) -> None:
    raw = copy.deepcopy(WHOLE)
    place = raw
    for key in spot[:-1]:
        place = place[key]
    place[spot[-1]] = value
    text = tomlkit.dumps(raw)
    try:
        made = town.read(text)
    except town.TownMistake as refused:
        assert 1 <= refused.line <= text.count("\n") + 1
        assert refused.sentence.endswith("。")
    else:
        assert town.build(json.loads(json.dumps(made)), version=1).name


#: A schedule that cannot be kept, or would never ring · instead of what · words of the refusal; the refused line says "# here"
NEVER = [
    # waits
    (END + '[waits]\nreact = { normal = "0" }  # here\n', END, "間に合いません"),
    (END + '[waits]\nreact = { normal = "0min" }  # here\n', END, "間に合いません"),
    (END + '[waits]\nreact = { high = "0bh" }  # here\n', END, "間に合いません"),
    (END + '[waits]\nreact = { emergency = "0h" }  # here\n', END, "間に合いません"),
    (END + '[waits]\nreact = { normal = "100%" }  # here\n', END, "間に合いません"),
    (END + '[waits]\nreact = { normal = "-1d" }  # here\n', END, "期間"),
    (END + '[waits]\nreact = { normal = "1.5d" }  # here\n', END, "期間"),
    (END + '[waits]\nreact = { normal = "0 0 31 2 *" }  # here\n', END, "期間"),
    (END + '[waits]\nreact = { normal = "never" }  # here\n', END, "期間"),
    (END + '[waits]\nreact = { normal = "" }  # here\n', END, "空でない"),
    # cadences
    (END + '[waits]\ncheckin = { normal = "14mo" }  # here\n', END, "400日"),
    (END + '[waits]\ncheckin = { high = "0d" }  # here\n', END, "間に合いません"),
    (END + '[waits]\nplan_review = { normal = "9999999bd" }  # here\n', END, "400日"),
    # rungs
    (END + '[waits.react]\nrungs = [{ at = "101%", to = ["final"] }]  # here\n', END, "期間"),
    (END + '[waits.react]\nrungs = [{ at = "-1bd", to = ["final"] }]  # here\n', END, "期間"),
    (END + '[waits.react]\nrungs = [{ to = ["final"] }]  # here\n', END, "「at」が書かれていません"),
    (END + '[waits.react]\nrungs = [\n  { at = "2bd", to = ["receiver"] },\n  { at = "1bd", to = ["final"] },  # here\n]\n', END, "早くなって"),
    (END + '[waits.react]\nrungs = [\n  { at = "1bd", to = ["receiver"] },\n  { at = "0", to = ["final"] },  # here\n]\n', END, "早くなって"),
    (END + '[waits.react]\nrungs = [\n  { at = "0", to = ["receiver"] },\n  { at = "50%", to = ["final"] },  # here\n]\n', END, "早くなって"),
    (END + '[waits.react]\nrungs = [\n  { at = "75%", to = ["receiver"] },\n  { at = "50%", to = ["final"] },  # here\n]\n', END, "早くなって"),
    (END + '[waits.react]\nrungs = [\n  { at = "0", high = "8bh", to = ["receiver"] },\n  { at = "1bd", high = "4bh", to = ["final"] },  # here\n]\n', END, "早くなって"),
    (END + '[waits.react]\nemergency_rungs = [\n  { at = "60min", to = ["receiver"] },\n  { at = "30min", to = ["final"] },  # here\n]\n', END, "早くなって"),
    # the roster
    (END + "days = []  # here\n", END, "曜日が一つもありません"),
    (END + 'days = "mon-"  # here\n', END, "曜日"),
    ('from = "24:30"  # here\n', 'from = "17:15"\n', "時刻"),
    ('from = "17"  # here\n', 'from = "17:15"\n', "時刻"),
    # hours that never open
    (MINSEI + "open = {}  # here\n", MINSEI, "一つもありません"),
    (MINSEI + 'open = { mon = "" }  # here\n', MINSEI, "空にせず"),
    (MINSEI + 'open = { mon = "09:00-09:00" }  # here\n', MINSEI, "始まりを先に"),
    (MINSEI + 'open = { sat = "24:00-24:00" }  # here\n', MINSEI, "始まりを先に"),
    (FUKUSHI + 'hours = "17:15-08:30"  # here\n', FUKUSHI, "始まりを先に"),
    (FUKUSHI + 'closed = ["01-01..12-31"]  # here\n', FUKUSHI, "休みの日"),
    (FUKUSHI + 'closed = ["04-01..12-31", "01-01..03-31"]  # here\n', FUKUSHI, "開いている日がありません"),
    (MINSEI + 'closed = ["04-01..12-31", "01-01..03-31"]  # here\n', MINSEI, "開いている日がありません"),
    (MINSEI + 'closed = ["2026-01-01..2026-12-31", "2027-01-01..2027-12-31"]  # here\n', MINSEI, "開いている日がありません"),
    (CITY + 'closed = ["07-01..12-31", "01-01..06-30"]  # here\n', CITY, "開いている日がありません"),
    (FUKUSHI + 'open = { tue = "09:00-17:00" }\nclosed = ["08-15..08-13"]  # here\n', FUKUSHI, "休みの日"),
    # what is never let out
    (END + "[limits]\npush_a_day = 0  # here\n", END, "1 から"),
    (END + "[limits]\npush_a_week_volunteers = 0  # here\n", END, "1 から"),
    (END + "[limits]\ninvite_days = 0  # here\n", END, "1 から"),
    (END + "[limits]\nquiet_from = 24  # here\n", END, "23 まで"),
]  # fmt: skip


@pytest.mark.parametrize(("new", "old", "sentence"), NEVER, ids=range(len(NEVER)))
def test_a_schedule_that_never_rings_is_refused_with_its_line(new: str, old: str, sentence: str) -> None:
    """Impossible waits, rungs, cadences, rosters and hours stop at the door, not in the night (fault 20)."""
    test_a_mistake_is_refused_with_its_line(new, old, sentence)


def test_a_closure_of_some_months_is_a_closure() -> None:
    text = changed(MINSEI + 'closed = ["2026-05-01..2027-02-28", "12-29..01-03"]\n', MINSEI)
    assert opens(town.parse(text), "minsei", 2027, 3, 1, 10, 30)
