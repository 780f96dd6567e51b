"""The Locust side of a connection: one user is one connection, and the shape says how many.

No user ever touches a socket. It opens its connection in the engine, sleeps, and closes it: ten
thousand of them cost Locust one spawn and then nothing, while the engine's own thread does the
traffic.
"""

from __future__ import annotations

from typing import Any

from gevent.event import Event
from gevent.hub import get_hub
from locust import LoadTestShape, User, task
from locust.env import Environment

from harness.engine import Engine


class LoadEnvironment(Environment):
    """Locust's environment plus the engine of this process; a master has none."""

    def __init__(self, engine: Engine | None, shape: StepShape | None) -> None:
        super().__init__(user_classes=[Connection], shape_class=shape)
        self.engine = engine


class Connection(User):
    """One connection."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.connection = -1

    def on_start(self) -> None:
        """Ask the engine for the connection; it connects without this greenlet."""
        self.connection = self.environment.engine.open()

    def on_stop(self) -> None:
        """Give the connection back."""
        self.environment.engine.close(self.connection)

    @task
    def sleep(self) -> None:
        """Sleep until Locust stops this user.

        Giving control to the hub without a wake-up is the cheapest sleep there is: a timer per
        user would add a megabyte per thousand connections and half a second to 10,000 of them.
        """
        get_hub().switch()


class StepShape(LoadTestShape):
    """Tells Locust how many connections are wanted, at the moment in which that changes.

    Locust asks a shape once a second. Here the answer waits until the conductor wants another
    number, so a step begins when it should and not up to a second later.
    """

    def __init__(self, spawn_rate: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._spawn_rate = spawn_rate
        self._wanted = 0
        self._changed = Event()

    def want(self, connections: int) -> None:
        """Ask for this many users, all at once: a storm."""
        self._wanted = connections
        self._changed.set()

    def tick(self) -> tuple[int, float]:
        """Wait for the next change, then return (users, users per second)."""
        self._changed.wait()
        self._changed.clear()
        return self._wanted, float(self._spawn_rate)
