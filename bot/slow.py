"""How long a request may take to arrive: a line that sends a byte a second, or headers without end, is cut."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds from a request's first byte (or the line's opening) to its last: a full form over a slow line takes a few.
ARRIVES: Final = 30.0
#: Bytes of address and headers; a browser's are some hundreds.
HEAD: Final = 100_000


class Patient(HttpToolsProtocol):
    """uvicorn's own limit begins with the first answer: before it a line may be silent, and a request slow, for ever."""

    arrives = ARRIVES
    _late: asyncio.TimerHandle | None = None
    _head: int | None = 0  #: bytes of this request's head so far; None behind it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await()

    def data_received(self, data: bytes) -> None:
        # None before the first request, whatever its type says.
        quiet = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]
        if self._late is None and quiet:
            self._await()  # a request begins, or what belongs to none
        super().data_received(data)
        if self._late is not None and self._head is not None:
            self._head += len(data)
            if self._head > HEAD:
                self.transport.abort()

    def on_message_begin(self) -> None:
        self._await()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arrived()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def _await(self) -> None:
        self._arrived()
        self._head = 0
        self._late = self.loop.call_later(self.arrives, self.transport.abort)

    def _arrived(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
