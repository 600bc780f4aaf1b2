"""The lives that are killed at every step: what people say and tap, where, and how much later."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tests.town import Town
from workflow.people import Town as Place

#: Who reads and speaks outside: SLACK changes what it has sent and knows no key, LINE takes a repeated key for the same message.
SLACK: Final = "slack"
LINE: Final = "line"
LINKS: Final = (
    (SLACK, "suzuki"), (SLACK, "ishii"), (SLACK, "takahashi"), (SLACK, "sato"), (SLACK, "ogawa"),
    (LINE, "kondo"), (LINE, "shimizu"), (LINE, "hasegawa"), (LINE, "watanabe"), (LINE, "yamamoto"),
)  # fmt: skip
#: Between two acts: after a kill the clock is turned until its leases have run out, and a little more.
PAUSE: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Act:
    """Somebody says words or taps the newest button that says what begins so; {0} is the number of the first case."""

    who: str
    says: str
    on: str = "web"
    taps: bool = False


@dataclass(frozen=True)
class Later:
    """Time goes by beyond the pause."""

    minutes: float = 0
    business_days: int = 0


@dataclass(frozen=True)
class Journey:
    """`begin` is lived through in peace; every step of `acts` is killed."""

    name: str
    begin: tuple[Act, ...]
    acts: tuple[Act | Later, ...]

    def schedule(self, place: Place, at: datetime) -> Iterable[tuple[datetime, Act | None]]:
        """When each act is; None: time has gone by."""
        for act in self.acts:
            if isinstance(act, Later):
                at += timedelta(minutes=act.minutes)
                at = place.body.hours.add_days(at, act.business_days) if act.business_days else at
                yield at, None
            else:
                at += PAUSE
                yield at, act


def _web(who: str, *said: str) -> tuple[Act, ...]:
    return tuple(Act(who, words) for words in said)


CONSENTED: Final = _web("suzuki", "受付 介護 困窮", "見立て {0} 続ける", "同意 {0} あり")
OFFERED: Final = (*CONSENTED, *_web("suzuki", "依頼 {0} 家計相談 ともしび", "送る"))
ACTIVE: Final = (*OFFERED, *_web("kondo", "引受 {0}", "つながった {0}"))
_AGAIN: Final = tuple(Act(act.who, act.says.replace("{0}", "{1}")) for act in ACTIVE)

JOURNEYS: Final = (
    Journey("five minutes", (), (
        *CONSENTED,
        Act("suzuki", "依頼 {0} 家計相談 ともしび"),
        Act("suzuki", "送る"),
        Act("kondo", "引受", LINE, taps=True),
        Act("kondo", "つながった {0}", LINE),
        Later(business_days=1),
        Act("kondo", "変わりなし {0}", LINE),
        Later(business_days=1),
    )),
    Journey("nobody answers", OFFERED, (Later(business_days=4),)),
    Journey("declined", OFFERED, (
        Later(minutes=5),
        Act("ishii", "辞退 {0} 定員", SLACK),
        Act("suzuki", "依頼 {0} 家計相談 つばさ", SLACK),
        Act("suzuki", "送る", SLACK),
        Act("sato", "引受", SLACK, taps=True),
    )),
    Journey("several at once", CONSENTED, (
        Act("suzuki", "一斉依頼 {0} 家計相談 ともしび つばさ 社協"),
        Act("suzuki", "送る"),
        Act("sato", "引受", SLACK, taps=True),
        Act("ishii", "引受 {0}", SLACK),
        Later(business_days=1),
    )),
    Journey("closing", ACTIVE, (
        Act("suzuki", "終結 {0} 目標達成・安定"),
        Act("suzuki", "送る"),
        Later(business_days=5),
        Act("takahashi", "承認 {0}", SLACK),
        Later(minutes=10),
    )),
    Journey("danger", (), (
        Act("yamamoto", "緊急", LINE),
        Later(minutes=35),
        Act("watanabe", "電話した", LINE, taps=True),
    )),
    Journey("a bundle", (*ACTIVE, *_AGAIN), (
        Act("kondo", "変わりなし {0}", LINE),
        Act("kondo", "変わりなし {1}", LINE),
        Later(business_days=1),
    )),
    Journey("copies", OFFERED, (
        Later(minutes=5),
        Act("kondo", "検討 {0} 6/4"),
        Act("ishii", "引受 {0}"),
        Act("ishii", "つながった {0}", SLACK),
        Later(business_days=1),
    )),
    Journey("in confidence", OFFERED, (
        Act("suzuki", "除く {0} つばさ"),
        Act("takahashi", "限定 {0} その他"),
        Act("suzuki", "保護 {0} 避難中"),
        Later(business_days=2),
        Act("takahashi", "限定 {0} 解除"),
    )),
    Journey("a suspicion", CONSENTED, (
        Act("suzuki", "虐待 {0} 子ども"),
        Later(minutes=90),
        Act("suzuki", "通報済 {0} 児相"),
        Later(business_days=2),
        Act("suzuki", "安全確認 {0}"),
    )),
)  # fmt: skip


async def begun(town: Town, journey: Journey) -> None:
    """Live through what a journey begins with, at one moment."""
    numbers: list[str] = []
    for act in journey.begin:
        answered = await town.tries(act.who, act.says.format(*numbers), surface=act.on)
        assert answered.refused is None, (act, answered)
        if answered.number and answered.number not in numbers:
            numbers.append(answered.number)
