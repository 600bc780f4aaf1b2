"""Words of the city's own desk: the decision on support, convening the 支援会議 (社福法106条の6)."""

from bot.ask import Ask
from bot.commands.book import command
from workflow import facts
from workflow.outcome import Outcome


@command("決定 番号", "official", also="けってい 支援決定 decide")
def decide(ask: Ask) -> Outcome:
    """支援決定 by the city; after the fact it settles the 事後承認."""
    case = ask.only_case(lambda c: c.decision == "pending", ask.waiting_for("decision"))
    return facts.decide_support(case, ask.act())


@command("招集 番号", "official", also="召集 しょうしゅう convene")
def convene(ask: Ask) -> Outcome:
    """Convene the 支援会議 that a coordinator asked for."""
    case = ask.only_case(lambda c: any(r.kind == "conference" for r in c.requests), ask.waiting_for("conference"))
    return facts.convene(case, ask.act())
