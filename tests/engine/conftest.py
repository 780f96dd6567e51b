from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from echo_server import EchoServer
from engine_bench import Bench

from harness.engine import Engine


@pytest.fixture
def bench() -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        yield Bench(stack)


@pytest.fixture
def echo(bench: Bench) -> tuple[Engine, EchoServer]:
    """An engine, and the faultless server that it talks to."""
    address, server = bench.serve(EchoServer)
    return bench.engine(address), server
