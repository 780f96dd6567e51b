"""The suite runs in the background, a few at a time, while the tests wait for their verdicts.

Most of a run is waiting, so runs have the processors for each other; nothing is run for a test that
was not selected.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from driving import Case, Drive, Verdict, build

AT_ONCE = 3
QUICK_S, FULL_S = 240.0, 480.0


def drive(case: Case, directory: Path) -> Verdict:
    """Run the suite for a case."""
    directory.mkdir()
    build(case.subject)
    return Drive(case, directory).run(QUICK_S if case.checks == "quick" else FULL_S)


@pytest.fixture(scope="session")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, Future[Verdict]]]:
    """A run for every case of a selected test, begun at once."""
    directory = tmp_path_factory.mktemp("c")  # short: a unix socket's path has at most 107 bytes
    found = [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.get_closest_marker("skip") is None
        and "case" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    cases = [case for case in found if isinstance(case, Case)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            case: pool.submit(drive, case, directory / str(number))
            for number, case in enumerate(dict.fromkeys(cases))
        }
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def verdict(
    request: pytest.FixtureRequest,
    runs: dict[Case, Future[Verdict]],
    case: Case,
    tmp_path_factory: pytest.TempPathFactory,
) -> Verdict:
    """What the suite found for the test's case; a test that is run again gets a run of its own."""
    if getattr(request.node, "execution_count", 1) > 1:
        return drive(case, tmp_path_factory.mktemp("c") / "again")
    return runs[case].result(FULL_S * len(runs))
