"""Words of whoever holds a duty: contact, check-ins, rest, the end of a role; and of the head who assigns."""

from collections.abc import Callable

from bot.ask import Ask
from bot.commands.book import command
from workflow import checkin
from workflow import handoff as decisions
from workflow import refusals as no
from workflow.case import Handoff
from workflow.outcome import Outcome
from workflow.people import Role


def _held_by_me(ask: Ask, *states: str) -> Callable[[Handoff], bool]:
    """Handoffs in these states that the speaker holds, or may speak for as coordinator, head or deputy."""

    def fits(handoff: Handoff) -> bool:
        return handoff.state in states and (
            handoff.holder == ask.speaker.code
            or ask.speaker.has(Role.COORDINATOR)
            or (handoff.holder is not None and ask.town.deputy(handoff.holder, ask.now) == ask.speaker.code)
        )

    return fits


@command(
    "つながった 番号", "holder",
    also="つながりました 繋がった 繋がりました 会えた 会えました あえた あえました 話せた 話せました はなせた 連絡済 連絡済み 連絡がとれました 連絡とれた connected connect met",
    events="handoff.connect",
)  # fmt: skip
def connected(ask: Ask) -> Outcome:
    """They have met; later the same word answers the check-in, which asks how it was."""
    case, handoff = ask.pick(where=_held_by_me(ask, "accepted", "active"))
    if handoff.state == "active":
        said = f"{case.number}#{handoff.no}"
        raise no.WordsMissing(
            what="contact", number=case.number,
            choices=(("会えた・変わりなし", f"変わりなし {said}"), ("会えた・気になる", f"気になる {said}")),
        )  # fmt: skip
    return decisions.connect(case, handoff, ask.act())


@command(
    "会えず 番号", "holder",
    also="会えない 会えません 会えていない 会えていません 会えませんでした 会えなかった あえず あえない 留守 るす 不在でした not_met missed",
    events="checkin.missed", undo="訂正 {number}#{n}",
)  # fmt: skip
def not_met(ask: Ask) -> Outcome:
    """Not met: before first contact it counts an attempt, at a check-in it is asked again soon."""
    case, handoff = ask.pick(where=_held_by_me(ask, "accepted", "active"))
    if handoff.state == "accepted":
        return decisions.attempt(case, handoff, ask.act())
    return checkin.report(case, handoff, "missed", ask.act())


@command(
    "変わりなし 番号", "holder", also="変わりありません 変わりない 変わりなく かわりなし かわりありません 会えた・変わりなし calm", events="checkin.calm", undo="訂正 {number}#{n}"
)  # fmt: skip
def calm(ask: Ask) -> Outcome:
    """Met, nothing new."""
    case, handoff = ask.pick(where=_held_by_me(ask, "accepted", "active"))
    return checkin.report(case, handoff, "calm", ask.act())


@command(
    "気になる 番号",
    "holder",
    also="気になります きになる きになります 少し変化 会えた・気になる worry",
    events="checkin.worry",
    undo="訂正 {number}#{n}",
)
def worry(ask: Ask) -> Outcome:
    """Met, and something is not as it was: the lead decides what follows."""
    case, handoff = ask.pick(where=_held_by_me(ask, "accepted", "active"))
    return checkin.report(case, handoff, "worry", ask.act())


@command(
    "姿は見た 番号",
    "holder",
    also="姿を見た 姿や明かりは見た 明かりは見た すがたはみた seen",
    events="checkin.seen",
    undo="訂正 {number}#{n}",
)
def seen(ask: Ask) -> Outcome:
    """A watcher saw them, or the light: no talk, but not nothing."""
    case, handoff = ask.pick(where=_held_by_me(ask, "active"))
    return checkin.report(case, handoff, "seen", ask.act())


@command("訂正 番号", "holder", also="ていせい correct", listed=False)
def correct(ask: Ask) -> Outcome:
    """Take back the last answer to a check-in: the question is open again."""
    case, handoff = ask.pick(where=_held_by_me(ask, "active"))
    return checkin.correct(case, handoff, ask.act())


@command(
    "つながらず 番号", "holder", also="つながらない 繋がらず つながりませんでした fail failed", events="handoff.fail"
)
def failed(ask: Ask) -> Outcome:
    """Contact was not possible: the coordinator names the next step."""
    case, handoff = ask.pick("fail")
    return decisions.fail(case, handoff, ask.act())


@command(
    "一時休み 番号 日",
    "holder",
    also="いちじやすみ 一時休止 hold pause",
    events="handoff.hold",
    undo="再開 {number}#{n}",
)
def hold(ask: Ask) -> Outcome:
    """Rest a role until a day, at most three months away."""
    case, handoff = ask.pick("hold")
    return decisions.hold(case, handoff, ask.day(hours=ask.town.hours_at(handoff.to_agency)), ask.act())


@command(
    "戻す 番号", "holder", also="戻します もどす もどします 差戻し 差し戻し 手放す release", events="handoff.release"
)
def release(ask: Ask) -> Outcome:
    """Hand it back to the coordinator, who names the next step in two business days."""
    case, handoff = ask.pick("release")
    return decisions.release(case, handoff, ask.act())


@command(
    "役割終了 番号",
    "holder",
    also="完了 完了しました かんりょう やくわりしゅうりょう 終了 complete done",
    events="handoff.complete",
)
def complete(ask: Ask) -> Outcome:
    """Done what was asked."""
    case, handoff = ask.pick("complete")
    return decisions.complete(case, handoff, ask.act())


# -- inside an agency


@command("割当 番号 担当", "head", also="割り当て 割当て わりあて assign", events="handoff.accept", preview=True)
def assign(ask: Ask) -> Outcome:
    """Give a duty to a member; on an open offer that accepts for them."""
    case, handoff = ask.pick("accept", where=lambda h: (h.asked or h.held) and ask.speaker.heads(h.to_agency))
    if not ask.tokens:
        members = ask.town.members[handoff.to_agency]
        raise no.WordsMissing(
            what="person", number=case.number,
            choices=tuple((s.name, f"割当 {case.number}#{handoff.no} {s.code}") for s in members[:8]),
        )  # fmt: skip
    return decisions.assign(case, handoff, ask.person(ask.tokens[0], handoff.to_agency).code, ask.act())


@command("預かる 番号", "head", also="預かり 預かります あずかる hold_for", preview=True)
def hold_for(ask: Ask) -> Outcome:
    """Hold a duty for an absent or leaving member until the next one says 引き受けます."""
    case, handoff = ask.pick(where=lambda h: h.held and ask.speaker.heads(h.to_agency) and h.holder != ask.speaker.code)
    return decisions.hold_for(case, handoff, ask.act())
