"""The engines of the trial, one or many, as one thing that the conductor can order about.

A fleet of the local runner has its single engine in this process, a fleet of the master has one in
each worker. Both talk through Locust's messages, so this file is the same for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from locust.rpc import Message
from locust.runners import LocalRunner, MasterRunner

from harness.contract.trial_spec import PlacedCell
from harness.load.locust import messages
from harness.load.locust.users import StepShape
from harness.load.merged_figures import Status, merge_status, shares


class FleetFault(Exception):
    """An engine or a worker failed: the load's own fault, never the server's."""


@dataclass
class _Node:
    """What one engine said last."""

    order: int = -1
    stopped: bool = True
    status: dict[str, Any] = field(default_factory=dict)
    windows: dict[int, dict[str, Any] | None] = field(default_factory=dict)


class Fleet:
    """All engines. Every method returns at once; what came of it shows in `status`."""

    def __init__(
        self,
        runner: LocalRunner | MasterRunner,
        shape: StepShape,
        size: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`size` engines are expected; `check` raises FleetFault when a worker is gone."""
        self._runner = runner
        self._shape = shape
        self._size = size
        self._check = check
        self._nodes: dict[str, _Node] = {}
        self._orders = 0
        self._live: Counter[int] = Counter()
        self._fault: str | None = None
        runner.register_message(messages.STATUS, self._on_status)
        runner.register_message(messages.WINDOW, self._on_window)
        runner.register_message(messages.FAULT, self._on_fault)
        runner.environment.events.worker_report.add_listener(  # type: ignore[no-untyped-call]
            self._on_report
        )

    @property
    def size(self) -> int:
        """How many engines there are."""
        return self._size

    def check(self) -> None:
        """Raise FleetFault when an engine refused an order or a worker is gone."""
        self._check()
        if self._fault is not None:
            raise FleetFault(self._fault)

    @property
    def complete(self) -> bool:
        """Whether every engine has reported."""
        return len(self._nodes) == self._size

    def status(self) -> Status:
        """The engines' last reports as one."""
        return merge_status([node.status for node in self._nodes.values()])

    def stopped(self, order: int) -> bool:
        """Whether every engine has ended the traffic of this order."""
        return all(node.order == order and node.stopped for node in self._nodes.values())

    def windows(self, order: int) -> list[dict[str, Any]] | None:
        """The figures of an order's closed window, of each engine that took part.

        None until all of them have sent theirs.
        """
        if not all(order in node.windows for node in self._nodes.values()):
            return None
        return [w for node in self._nodes.values() if (w := node.windows[order]) is not None]

    def take_live(self) -> Counter[int]:
        """Latencies (µs: replies) that the engines reported since the last call, merged."""
        live, self._live = self._live, Counter()
        return live

    def begin(self) -> None:
        """Let Locust follow the shape from now on."""
        self._runner.start_shape()

    def scale(self, connections: int) -> None:
        """Ask Locust for this many users, which is this many connections."""
        self._shape.want(connections)

    def ask(self) -> None:
        """Have every engine report now: the last report may be older than the last order."""
        self._runner.send_message(messages.ASK, {})

    def ramp(self) -> None:
        """Let the next connection start the ramp's clock in every engine."""
        self._runner.send_message(messages.RAMP, {})

    def start(
        self, cell: PlacedCell, seed: int, window_start_ns: int, window_end_ns: int, *, spin: bool
    ) -> int:
        """Begin a cell's traffic: each engine drives its share of the active connections.

        `spin`: the engines poll instead of sleeping. Returns the number of the order, by which
        `stopped` and `windows` are asked.
        """
        self._orders += 1
        held = {name: node.status["established"] for name, node in self._nodes.items()}
        active = shares(cell.active, held)
        for number, (name, share) in enumerate(active.items()):
            order = messages.Order(
                number=self._orders,
                cell=cell.index,
                active=share,
                payload_bytes=cell.payload_bytes,
                depth=cell.depth,
                rate_per_s=(cell.rate_per_s or 0.0) * share / cell.active,
                seed=seed + number,
                window_start_ns=window_start_ns,
                window_end_ns=window_end_ns,
                closing=cell.closing,
                spin=spin,
            )
            self._runner.send_message(messages.START, order.as_data(), client_id=name)
        return self._orders

    def stop(self) -> None:
        """Send no more; replies that are still out are received and verified."""
        self._runner.send_message(messages.STOP, {})

    def _node(self, msg: Message) -> _Node:
        return self._nodes.setdefault(msg.node_id, _Node())

    def _take(self, name: str, snapshot: dict[str, Any]) -> None:
        node = self._nodes.setdefault(name, _Node())
        node.order = snapshot["order"]
        node.stopped = snapshot["stopped"]
        node.status = snapshot["status"]

    def _on_status(self, environment: Any, msg: Message) -> None:
        self._take(msg.node_id, msg.data)

    def _on_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        report = data[messages.REPORT_KEY]
        self._take(client_id, report)
        self._live.update(report["latency_us"])

    def _on_window(self, environment: Any, msg: Message) -> None:
        self._node(msg).windows[msg.data["order"]] = msg.data["window"]

    def _on_fault(self, environment: Any, msg: Message) -> None:
        self._fault = msg.data["text"]
