"""Load a server in the usual way of Locust: a user per connection, a task per echo.

    gevent_user.py HOST PORT CONNECTIONS WARMUP_S WINDOW_S

Prints one JSON object: echoes and CPU of the window, and the time that connecting took.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event
from locust import User, task
from locust.env import Environment

MESSAGE = b"x" * 64
CONNECT_TIMEOUT_S = 60
POLL_S = 0.01

connected = 0
all_connected = Event()


class EchoUser(User):
    """One connection; each task is one echo, reported to Locust like any task."""

    def on_start(self) -> None:
        global connected
        self.peer = socket.create_connection((self.host, int(sys.argv[2])))
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected += 1
        # Otherwise the first users keep the process busy, and the last never connect.
        all_connected.wait()

    @task
    def echo(self) -> None:
        began = time.perf_counter()
        self.peer.sendall(MESSAGE)
        left = len(MESSAGE)
        while left:
            data = self.peer.recv(left)
            if not data:
                raise ConnectionResetError
            left -= len(data)
        self.environment.events.request.fire(
            request_type="tcp",
            name="echo",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=len(MESSAGE),
            exception=None,
            context={},
        )


def main() -> None:
    host, connections = sys.argv[1], int(sys.argv[3])
    warmup_s, window_s = float(sys.argv[4]), float(sys.argv[5])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.disable()  # Locust would warn of the spawn rate and the busy CPU; both are intended
    environment: Any = Environment(user_classes=[EchoUser], host=host)
    runner = environment.create_local_runner()
    began = time.monotonic()
    runner.start(connections, spawn_rate=connections)
    while connected < connections:
        if time.monotonic() > began + CONNECT_TIMEOUT_S:
            sys.exit(f"only {connected} of {connections} connected")
        gevent.sleep(POLL_S)
    connect_s = time.monotonic() - began
    all_connected.set()
    gevent.sleep(warmup_s)
    start, cpu = time.monotonic(), time.process_time()
    echoes = environment.stats.total.num_requests
    gevent.sleep(window_s)
    figures = {
        "echoes": environment.stats.total.num_requests - echoes,
        "cpu_s": time.process_time() - cpu,
        "window_s": time.monotonic() - start,
        "connect_s": connect_s,
    }
    print(json.dumps(figures), flush=True)
    os._exit(0)  # saves stopping ten thousand greenlets one by one


if __name__ == "__main__":
    main()
