"""Engines and servers for one test, which end with it."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from echo_server import Server, listen_tcp, served
from engine_driving import TIMEOUT_S, until

from harness.engine import Engine

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def epoll_server() -> Path:
    subprocess.run(["make", "-C", ROOT / "servers", "epoll-lt"], check=True, timeout=120)
    return ROOT / "servers/build/epoll-lt"


def answers(address: str) -> bool:
    host, port = address.removeprefix("tcp://").split(":")
    try:
        socket.create_connection((host, int(port)), TIMEOUT_S).close()
    except ConnectionRefusedError:
        return False
    return True


class Bench:
    """Makes engines and servers that end with the test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    def serve(self, kind: type[Server]) -> tuple[str, Server]:
        """Start a server on a free port; returns its address too."""
        address, listener = listen_tcp()
        server = kind(listener)
        self._stack.enter_context(served(server))
        return address, server

    def serve_epoll(self) -> str:
        """Start the `epoll-lt` variant, a server that is as fast as the engine."""
        address, listener = listen_tcp()
        listener.close()  # its port is free now, and not given away again soon
        server = subprocess.Popen(
            [epoll_server()], env={"LISTEN": address}, stderr=subprocess.DEVNULL
        )
        self._stack.callback(server.wait, TIMEOUT_S)
        self._stack.callback(server.terminate)
        until(lambda: answers(address), "the server listens")
        return address

    def engine(self, address: str, *, sources: tuple[str, ...] = ()) -> Engine:
        engine = Engine(address, sources=sources, seed=1)
        self._stack.callback(engine.shutdown)
        return engine

    def defer(self, callback: Callable[[], object]) -> None:
        self._stack.callback(callback)
