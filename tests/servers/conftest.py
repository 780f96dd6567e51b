"""A loopback of their own for these tests, and servers that never outlive one."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest
from serving import ASK_LIMITS, EVENT_LOOPS, FLAVOURS, PLAIN, Flavour, Server
from serving_network import private_network


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test runs with the build that is measured; those with a sanitizer are slow ones."""
    for item in items:
        params = getattr(item, "callspec", None)
        values = params.params.values() if params is not None else ()
        if any(isinstance(value, Flavour) and value.sanitizer for value in values):
            item.add_marker("slow")


@pytest.fixture(scope="package", autouse=True)
def _private_network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture(scope="package", autouse=True)
def _many_open_files() -> Iterator[None]:
    """The clients of 1,100 connections are all in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(params=FLAVOURS, ids=str)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    return chosen


@pytest.fixture(params=PLAIN, ids=str)
def plain(request: pytest.FixtureRequest) -> Flavour:
    """Memory is measured as built for measuring: sanitizers keep books of their own."""
    chosen: Flavour = request.param
    return chosen


@pytest.fixture(params=EVENT_LOOPS, ids=str)
def event_loop(request: pytest.FixtureRequest) -> Flavour:
    """The turns of threads are the scheduler's; those of the others are their own."""
    chosen: Flavour = request.param
    return chosen


@pytest.fixture(params=ASK_LIMITS, ids=str)
def asks_limits(request: pytest.FixtureRequest) -> Flavour:
    """Those for which a limit that is set while they run holds for their next call."""
    chosen: Flavour = request.param
    return chosen


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def remember(*arguments: Flavour | str, **environment: str) -> Server:
        started.append(Server.start(*arguments, **environment))  # type: ignore[arg-type]
        return started[-1]

    yield remember
    for server in started:
        server.discard()


@pytest.fixture
def server(flavour: Flavour, start: Callable[..., Server]) -> Server:
    return start(flavour)
