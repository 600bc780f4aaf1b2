"""A database's address, as an operator writes it."""

import re
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

PORT: Final = 5432  #: of a host that names none


class BadAddress(ValueError):
    """A database address looks like sqlite:///path/to/file.db or postgresql://user@host/name (several: host:port,host:port)."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def address(url: str) -> URL:
    """Read a database address; PostgreSQL's plain form means asyncpg, and several hosts are tried in turn. Raises BadAddress."""
    try:
        found = make_url(_SEVERAL.sub(_apart, url))
    except (ArgumentError, ValueError):
        raise BadAddress from None
    match found.get_backend_name():
        case "sqlite":
            if found.database in (None, "", ":memory:"):
                raise BadAddress
            return found.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return found.set(drivername="postgresql+asyncpg")
    raise BadAddress


#: libpq writes several hosts as user@host:port,host:port/name; SQLAlchemy takes them one by one behind the question mark.
_SEVERAL: Final = re.compile(
    r"(?<=://)(?P<who>[^/?@]*@)?(?P<hosts>[\w.-]+(?::\d+)?(?:,[\w.-]+(?::\d+)?)+)(?P<name>/[^?]*)?(?:\?(?P<more>.*))?$"
)


def _apart(found: re.Match[str]) -> str:
    hosts = [host if re.search(r":\d+$", host) else f"{host}:{PORT}" for host in found["hosts"].split(",")]
    given = "&".join([*(f"host={host}" for host in hosts), *filter(None, [found["more"]])])
    return f"{found['who'] or ''}{found['name'] or '/'}?{given}"
