"""The process that forks, one a test process: it has everything loaded, and neither a thread nor a loop when it forks."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from storage import people
from storage.seal import Keys
from storage.store import Store
from tests.kill.journeys import LINKS
from tests.kill.sweep import Job, Report
from tests.town import START, settled

ROOT = Path(__file__).parents[2]


def peopled(url: str) -> None:
    """The sample town whose people have linked their accounts outside."""
    settled(url)

    async def link() -> None:
        store = Store(url, keys=Keys(bytes(32)))
        for platform, who in LINKS:
            await store.transact(lambda tx, p=platform, w=who: people.link(tx, p, f"U-{w}", w, START))  # type: ignore[misc]
        await store.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, link()).result()


@pytest.fixture(scope="session")
def sweep() -> Iterator[Callable[[Job], Report]]:
    """Hand a job to the process that forks."""
    command = [sys.executable, "-m", "tests.kill.sweep"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout

        def ask(job: Job) -> Report:
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline() or '{"broken": "it has ended"}')
            assert "broken" not in answer, answer["broken"]
            return Report(**answer)

        yield ask
        process.stdin.close()
