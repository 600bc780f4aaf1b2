"""One line at the end of a test run: how many kills were tried, by database and by door."""

import os
from collections import Counter
from typing import Any

import pytest

#: `make kill`: every stop-point of every journey on both databases.
WHOLE = os.environ.get("KILLS") == "all"
PROPERTY, PROCESSES = "kills", "whole processes"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests have reported, on whichever worker they ran."""
    by: Counter[tuple[str, str]] = Counter()
    names: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, value in report.user_properties:
            if name == PROPERTY and report.when == "call":
                _add(value, by, names, sums)
            elif name == PROCESSES and report.when == "call":
                sums["processes"] += value
    if not by and not sums:
        return
    terminalreporter.section("kills")
    for database in sorted({database for database, _ in by}):
        doors = {door: count for (of, door), count in sorted(by.items()) if of == database}
        each = ", ".join(f"{door} {count}" for door, count in doors.items())
        terminalreporter.line(f"{sum(doors.values())} kills on {database} ({each})")
    if by:
        terminalreporter.line(
            f"{by.total()} kills; gone on from {sums['went_on']}, {sums['to_the_end']} of them to the journey's end; "
            f"{sums['same']} left what another had left; {sums['unknown']} letters became unknown"
        )
    if sums["processes"]:
        terminalreporter.line(f"{sums['processes']} kills of whole processes")
    if WHOLE:
        for name, count in sorted(names.items()):
            terminalreporter.line(f"{count:6d}  {name}")


def _add(value: dict[str, Any], by: Counter[tuple[str, str]], names: Counter[str], sums: Counter[str]) -> None:
    for door, count in value["doors"].items():
        by[value["database"], door] += count
    kills = sum(value["doors"].values())
    sums.update(
        same=value["same"],
        to_the_end=value["to_the_end"],
        went_on=kills - value["same"],
        unknown=sum(value["unknown"].values()),
    )
    names.update(value["names"])
