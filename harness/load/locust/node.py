"""One engine behind Locust's messages: in the load process itself, or in each worker.

Rule 1: nothing here blocks the hub. The engine's own thread does the work; this side polls a
lock-free snapshot and passes on what changed.
Rule 2: a window's figures are sent the moment it is closed. Locust's last periodic report may be
lost when 10,000 users stop, a message of our own is not.
"""

from __future__ import annotations

import time
from typing import Any

import gevent
from locust.rpc import Message
from locust.runners import LocalRunner, WorkerRunner

from harness.engine import Engine
from harness.load.locust import messages
from harness.load.locust.stats import fold
from harness.load.locust.users import LoadEnvironment

POLL_S = 0.02
# Under load only the loss of a connection is news, and looks add up: at ten a second, and four of
# the watch's, Python took 1 % of the generator's CPU, which is all it takes to delay its p99.
RUNNING_POLL_S = 0.5
WINDOW_POLL_S = 0.002
# An engine closes its window at its first wake-up after the end; more than this is a fault.
WINDOW_GRACE_S = 2.0

# What makes a snapshot news. Not the traffic's own counters: they change with every poll.
_NEWS = ("requested", "established", "connecting", "lost", "failed", "closed", "running")


class EngineNode:
    """Obeys the conductor's messages with one engine, and reports to it."""

    def __init__(self, environment: LoadEnvironment, engine: Engine) -> None:
        self._environment = environment
        self._engine = engine
        self._runner: LocalRunner | WorkerRunner | None = None
        self._order = -1
        self._stopped = True
        self._news: tuple[Any, ...] = ()
        environment.events.report_to_master.add_listener(  # type: ignore[no-untyped-call]
            self._on_report
        )

    def attach(self, runner: LocalRunner | WorkerRunner) -> None:
        """Listen to the conductor through this runner, and begin to report."""
        self._runner = runner
        runner.register_message(messages.RAMP, self._on_ramp)
        runner.register_message(messages.ASK, self._on_ask)
        runner.register_message(messages.START, self._on_start)
        runner.register_message(messages.STOP, self._on_stop)
        gevent.spawn(self._tell_changes)

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        assert self._runner is not None  # noqa: S101 (attach comes first)
        self._runner.send_message(kind, data)

    def _snapshot(self) -> dict[str, Any]:
        return {
            "order": self._order,
            "stopped": self._stopped,
            "status": self._engine.status(),
        }

    def _tell_changes(self) -> None:
        """Pass on every change of the connections at once: a ramp must not wait for a report."""
        while True:
            snapshot = self._snapshot()
            status = snapshot["status"]
            # Outstanding replies matter while they drain; under load they change all the time.
            drained = self._stopped and status["outstanding"] == 0
            news = (self._order, self._stopped, drained, *(status[name] for name in _NEWS))
            if news != self._news:
                self._news = news
                self._send(messages.STATUS, snapshot)
            gevent.sleep(POLL_S if self._stopped else RUNNING_POLL_S)

    def _on_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        data[messages.REPORT_KEY] = {**self._snapshot(), "latency_us": self._engine.live()}

    def _on_ask(self, environment: Any, msg: Message) -> None:
        self._send(messages.STATUS, self._snapshot())

    def _on_ramp(self, environment: Any, msg: Message) -> None:
        self._engine.ramp()

    def _on_start(self, environment: Any, msg: Message) -> None:
        order = messages.Order.from_data(msg.data)
        self._order = order.number
        self._stopped = False
        if order.active > 0:
            try:
                self._begin(order)
            except (ValueError, RuntimeError) as error:
                self._send(
                    messages.FAULT, {"text": f"the engine refused cell {order.cell}: {error}"}
                )
                return
        gevent.spawn(self._deliver_window, order)

    def _begin(self, order: messages.Order) -> None:
        self._engine.start(
            active=order.active,
            payload_bytes=order.payload_bytes,
            depth=order.depth,
            rate_per_s=order.rate_per_s,
            # The self-delay belongs to a latency; in a closed loop it would only cost capacity
            stamps=order.rate_per_s > 0,
            spin=order.spin,
            seed=order.seed,
            window_start_ns=order.window_start_ns,
            window_end_ns=order.window_end_ns,
            closing=order.closing,
        )

    def _on_stop(self, environment: Any, msg: Message) -> None:
        self._engine.stop()
        self._stopped = True
        if (window := self._engine.window()) is not None:
            fold(self._environment.stats, window)

    def _deliver_window(self, order: messages.Order) -> None:
        gevent.sleep(max(0.0, (order.window_end_ns - time.monotonic_ns()) / 1e9))
        window = None
        if order.active > 0:
            deadline_ns = order.window_end_ns + int(WINDOW_GRACE_S * 1e9)
            while (window := self._engine.window()) is None:
                if time.monotonic_ns() > deadline_ns:
                    self._send(
                        messages.FAULT,
                        {"text": f"the engine did not close the window of cell {order.cell}"},
                    )
                    return
                gevent.sleep(WINDOW_POLL_S)
        self._send(messages.WINDOW, {"order": order.number, "window": window})
