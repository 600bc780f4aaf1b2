"""A work on its way to a connection and back."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar, cast

from sqlalchemy import Connection

from storage.trouble import DatabaseUnavailable
from storage.tx import Work

T = TypeVar("T")

BUSY_SECONDS: Final = 10  #: a work waits so long for a connection, and a connection for its database
STATEMENTS: Final = 500  #: prepared statements kept by a connection


@dataclass(slots=True)
class Job(Generic[T]):
    """A work on its way to a connection and back to whoever waits for it."""

    work: Work[T]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    apart: bool  #: it needs no transaction
    result: T | None = None
    error: BaseException | None = None
    flags: set[str] = field(default_factory=set)
    begun: bool = False
    committing: bool = False

    @classmethod
    def of(cls, work: Work[T], apart: bool = False) -> "Job[T]":
        loop = asyncio.get_running_loop()
        return cls(work, loop, loop.create_future(), apart)

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(cast(T, self.result))

    def too_late(self) -> None:
        if not self.begun and not self.future.done():
            self.future.set_exception(DatabaseUnavailable("all its connections are busy"))


def drop(connection: Connection | None) -> None:
    """Let a connection go that has failed, whatever state it is in."""
    if connection is not None:
        with suppress(Exception):
            connection.invalidate()
        with suppress(Exception):
            connection.close()
