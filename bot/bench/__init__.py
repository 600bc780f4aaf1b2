"""`tsunagi bench`: engine and reference in turn, in one run. Each measure is a generator of figures in a file of its own."""

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bot.bench.figure import Measure, line

if TYPE_CHECKING:
    from bot.settings import Settings


def bench(
    settings: "Settings", *, names: Sequence[str] | None, as_json: bool, quick: bool, minutes: float = 0.5
) -> None:
    """Measure what is named (all without names) and print a line each as it is known; `inbound` lasts `minutes`."""
    from bot.bench.ground import all_servers, folder  # a rival's process begins without them

    wanted = names or list(MEASURES)
    if unknown := [n for n in wanted if n not in MEASURES]:
        print(f"There is no measure {', '.join(unknown)}: {', '.join(MEASURES)}.", file=sys.stderr)
        sys.exit(2)
    # Told to end, it clears up as when it is interrupted: databases, folders and processes are its own.
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with folder() as place, all_servers(settings) as servers:
            for name in wanted:
                for figure in _measure(name, minutes)(place, servers, quick):
                    print(json.dumps(asdict(figure)) if as_json else line(figure), flush=True)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


#: Name → where it is. Each is imported when it is asked for: some bring the platforms' libraries along.
MEASURES: Final = {
    "command": "command:command",
    "growth": "command:growth",
    "timers": "timers:timers",
    "idle": "timers:idle",
    "morning": "morning:morning",
    "recover": "killed:recover",
    "restart": "killed:restart",
    "board": "seen:board",
    "start": "seen:start",
    "beside": "beside:beside",
    "inbound": "inbound:inbound",
}


def _measure(name: str, minutes: float) -> Measure:
    module, _, function = MEASURES[name].partition(":")
    found: Any = getattr(import_module(f"bot.bench.{module}"), function)
    measure: Measure = partial(found, minutes=minutes) if name == "inbound" else found
    return measure
