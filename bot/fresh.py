"""New ids: increasing in time, different between processes, never reused."""

import itertools
import secrets
import threading
from collections.abc import Callable
from typing import Final

from bot.clock import real

EPOCH_MS: Final = 1_577_836_800_000  #: 2020-01-01


def maker() -> Callable[[], int]:
    """Make a source of ids, each larger than the one before.

    41 bits of milliseconds, 10 of this process, 12 of a counter that begins anywhere in their lower half.
    """
    process, begin = secrets.randbelow(1 << 10), secrets.randbelow(1 << 11)
    lock = threading.Lock()
    last, count = 0, begin

    def fresh() -> int:
        nonlocal last, count
        with lock:
            now = int(real().timestamp() * 1000) - EPOCH_MS
            # The clock is put back, or a millisecond has no more room: time stands still here, or goes on, and never goes back.
            last, count = (now, begin) if now > last else (last, count + 1) if count < 0xFFF else (last + 1, begin)
            return last << 22 | process << 12 | count

    return fresh


def counting(start: int) -> Callable[[], int]:
    """A source that counts: a sample town grown twice is the same town."""
    counter = itertools.count(start)
    return lambda: next(counter)
