"""What the programs that run for long say of themselves: what went wrong, and nothing about what went well."""

import json
import logging
import traceback
from typing import Any

from bot.settings import Settings


class _Bare(logging.Formatter):
    """Of an error that nobody expected: its kind and its places. Its own words may repeat what somebody typed."""

    def formatException(self, ei: Any) -> str:
        kind, error, places = ei
        lines = [*traceback.format_tb(places), kind.__name__ if kind else ""]
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__) if error else None
        cause = self.formatException((type(before), before, before.__traceback__)) + "\n\n" if before else ""
        return cause + "".join(lines)


class _Json(_Bare):
    """A line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower(),
            "where": record.name, "message": record.getMessage(),
        }  # fmt: skip
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def written(log_format: str) -> logging.Formatter:
    """How a line is written: text or json."""
    return _Json() if log_format == "json" else _Bare("%(asctime)s %(levelname)s %(name)s: %(message)s")


def quiet_logs(settings: Settings) -> None:
    """Log to stderr, as text or JSON (TSUNAGI_LOG_FORMAT)."""
    handler = logging.StreamHandler()
    handler.setFormatter(written(settings.log_format))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("bot").setLevel(logging.INFO)
