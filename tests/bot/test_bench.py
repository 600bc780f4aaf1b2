"""`tsunagi bench` runs, each measure in small: the figures themselves are for a quiet machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.bench import MEASURES, bench
from bot.settings import Settings
from tests.databases import Databases

FIELDS = {
    "name", "database", "clients", "engine_per_s", "reference_per_s", "ratio", "p50_ms", "p99_ms", "cpu_ms", "note",
}  # fmt: skip


@pytest.fixture
def measured(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    """Run a measure in small; its figures, each a dict."""
    url = databases.postgresql()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSUNAGI_TEST_DATABASE_URL", url)

    def run(name: str) -> list[dict[str, Any]]:
        bench(Settings(_env_file=None), names=[name], as_json=True, quick=True)  # type: ignore[call-arg]
        said = capsys.readouterr()
        assert name in said.err, "it says what it is doing"
        figures = [json.loads(line) for line in said.out.splitlines()]
        assert all(figure.keys() == FIELDS and figure["name"] == name for figure in figures)
        return figures

    yield run
    assert not list(tmp_path.glob("tsunagi-bench-*")), "it clears up behind itself"
    databases.drop(url)


@pytest.mark.parametrize("name", ["command", "growth", "timers", "morning"])
def test_a_measure_runs_on_both_databases(measured: Any, name: str) -> None:
    figures = measured(name)
    assert {figure["database"] for figure in figures} == {"sqlite", "postgresql"}
    assert all(figure["engine_per_s"] > 0 for figure in figures)
    if name in ("command", "timers"):
        assert all(figure["ratio"] > 0 for figure in figures if "steady" not in figure["note"])
    if name == "timers":
        assert [", 0 not rung" in figure["note"] for figure in figures if "steady" in figure["note"]] == [True, True]


@pytest.mark.kill
def test_another_worker_takes_over_from_one_that_was_killed(measured: Any) -> None:
    (figure,) = measured("recover")
    assert figure["p99_ms"] is not None and "never settled" not in figure["note"], figure["note"]


@pytest.mark.kill
def test_a_killed_ring_is_rung_once_where_a_job_store_loses_it(measured: Any) -> None:
    """(fault 15) APScheduler takes a job out of its store when it hands it on; what it had in hand is gone."""
    store, ours = (figure for figure in measured("beside") if "killed" in figure["note"])
    assert store["note"].startswith("APScheduler") and not store["note"].endswith("lost 0"), store["note"]
    assert ours["note"].endswith("lost 0; 0 said twice"), ours["note"]


def test_a_process_is_back_with_its_first_letter(measured: Any) -> None:
    (figure,) = measured("restart")
    assert figure["p50_ms"] > 0


def test_a_measure_that_there_is_not_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(Settings(_env_file=None), names=["weather"], as_json=False, quick=True)  # type: ignore[call-arg]
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"There is no measure weather: {', '.join(MEASURES)}.\n"
