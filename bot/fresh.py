"""New ids: increasing in time, different between processes, never reused."""

import itertools
import secrets
import threading
from collections.abc import Callable
from typing import Final

from bot.clock import real

EPOCH_MS: Final = 1_577_836_800_000  #: 2020-01-01


def maker() -> Callable[[], int]:
    """Make a source of ids: 41 bits of milliseconds, 10 of this process, 12 of a counter; each larger than the one before."""
    process = secrets.randbelow(1 << 10)
    counter = itertools.count()
    lock = threading.Lock()
    last = 0

    def fresh() -> int:
        nonlocal last
        with lock:
            now = int(real().timestamp() * 1000) - EPOCH_MS
            made = now << 22 | process << 12 | next(counter) & 0xFFF
            last = max(made, last + 1)
            return last

    return fresh


def counting(start: int) -> Callable[[], int]:
    """A source that counts: a sample town grown twice is the same town."""
    counter = itertools.count(start)
    return lambda: next(counter)
