"""Tests marked `docker` or `browser` are skipped, with the reason, where they cannot run.

`C10K_REQUIRE_DOCKER=1` and `C10K_REQUIRE_BROWSER=1` turn these skips into failures: a machine that
is meant to run them cannot pass without them. (`C10K_REQUIRE_GATES=1` does so for the causes of
gates, in `support/one_cell.py`.) Tests marked `slow` are skipped unless `C10K_SLOW=1`, which
`.ci/run` sets. Tests marked `timing` run alone (`lanes.py`).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import time
from collections.abc import Generator

import docker
import docker.errors
import hypothesis
import pytest
from lanes import LANES, Lane, Tally

pytest_plugins = ["report_fixtures"]

ENGINE_TIMEOUT_S = 10
SLOW = "C10K_SLOW"
lane = Lane()
tally = Tally()
# A test may take any time: how busy the host is says nothing of the code.
hypothesis.settings.register_profile("c10k", deadline=None)
hypothesis.settings.load_profile("c10k")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@functools.cache
def lack_of_docker() -> str | None:
    """Why no test can use a Docker engine, or None when one answers."""
    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        return f"no Docker engine answers: {error}"
    client.close()
    return None


@functools.cache
def lack_of_browser() -> str | None:
    """Why no test can use a browser, or None when there is one."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    if not any(shutil.which(name) for name in BROWSERS):
        return f"none of {', '.join(BROWSERS)} is on PATH"
    return None


LACKS = {"docker": lack_of_docker, "browser": lack_of_browser}


def _is_timing(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("timing") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(LANES):  # one lane waits for the other at the end, and not again and again
        items.sort(key=_is_timing)
    if os.environ.get(SLOW) != "1":
        skipped = pytest.mark.skip(reason=f"takes long; runs with {SLOW}=1, as in .ci/run")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(skipped)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    asked_s = time.monotonic()
    lane.enter(alone=_is_timing(item))
    tally.waited_s += time.monotonic() - asked_s
    try:
        return (yield)
    finally:
        if not (_is_timing(item) and _is_timing(nextitem)):
            lane.leave()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count what passed or failed; a test that is skipped, also from inside, is neither."""
    report = yield
    tally.begun.add(item.nodeid)
    file = item.nodeid.partition("::")[0]
    tally.spent_s[file] = tally.spent_s.get(file, 0.0) + call.duration
    if report.failed or (report.when == "call" and not report.skipped):
        tally.count(item.nodeid, is_timing=_is_timing(item), is_failed=report.failed)
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    tally.collected = len(session.items)


def pytest_sessionfinish() -> None:
    tally.write()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, lack in LACKS.items():
        if item.get_closest_marker(marker) is None:
            continue
        reason = lack()
        if reason is None:
            continue
        switch = f"C10K_REQUIRE_{marker.upper()}"
        if os.environ.get(switch) == "1":
            pytest.fail(f"{reason} ({switch}=1)", pytrace=False)
        pytest.skip(reason)
