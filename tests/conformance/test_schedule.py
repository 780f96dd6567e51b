"""The order of checks: one at work at a time, idles overlap, all end, failures stay alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.conformance.check_order import Schedule
from harness.conformance.definition import Check
from harness.conformance.scene import Facts, Left, Scene
from harness.conformance.suite_results import Failed, Skipped
from harness.contract.address import Address
from harness.contract.suite_events import CheckEnded, Expected, SuiteEvent

HUNG_S = 0.3


class Spec:
    quick = True


class Server:
    """Stands for a server, alive or not."""

    def __init__(self, *, alive: bool = True, path: str | None = None) -> None:
        self.alive = alive
        self.address = Address("", socket.AF_UNIX if path else socket.AF_INET, path=path)

    def running(self) -> list[int]:
        return [1] if self.alive else []

    def listens(self) -> bool:
        return self.alive

    def open_connections(self) -> int:
        return 0

    def thaw(self) -> None:
        pass


class Log:
    """What was told, and which servers were replaced."""

    def __init__(self, capacity: int = 100) -> None:
        self.told: list[SuiteEvent] = []
        self.replaced: list[Server] = []
        self.turns: list[str] = []
        self._capacity = capacity

    def run(self, *checks: Check, server: Server | None = None) -> None:
        spec: Any = Spec()
        facts = Facts(spec, 0.0, self._capacity, self._tell, self)
        Schedule(facts, server or Server(), self._replace).run(checks)  # type: ignore[arg-type]

    @property
    def ended(self) -> list[tuple[str, str]]:
        return [(told.id, told.status) for told in self.told if isinstance(told, CheckEnded)]

    def text(self, identity: str) -> str:
        texts = {told.id: told.text for told in self.told if isinstance(told, CheckEnded)}
        return str(texts[identity])

    def begin(self, *, crowds: bool) -> None:
        self.turns.append("crowds" if crowds else "works")

    def over(self, *, left: bool) -> None:
        self.turns.append("left" if left else "over")

    def _tell(self, event: SuiteEvent) -> None:
        self.told.append(event)

    def _replace(self, old: Server) -> Server:
        self.replaced.append(old)
        return Server()


def check(identity: str, body: Callable[[Scene], str], **traits: Any) -> Check:
    return Check(identity, "a name", "data", body, "It is so.", "It was not.", **traits)


def passes(scene: Scene) -> str:
    return "seen"


def fails(scene: Scene) -> str:
    raise Failed("3 of 4 bytes")


def idles(scene: Scene) -> str:
    scene.idle(0.2)
    return "idled"


def test_checks_run_in_their_order_and_say_what_they_saw() -> None:
    log = Log()

    log.run(check("A", passes), check("B", passes))

    assert log.ended == [("A", "pass"), ("B", "pass")]
    assert log.text("A") == "seen"


def test_every_piece_of_work_has_a_turn_and_no_idle_has_one() -> None:
    log = Log()

    log.run(check("A", idles, crowds=True), check("B", fails, light=True), check("C", passes))

    begun, ended = log.turns[::2], log.turns[1::2]
    assert set(begun) == {"crowds", "works"}
    assert set(ended) == {"left", "over"}
    assert ended.count("left") == 1  # at its end, and not while it idles
    assert len(begun) == len(ended)


def test_idles_overlap_each_other_and_what_others_do() -> None:
    log, steps = Log(), []

    def idles_and_notes(scene: Scene) -> str:
        steps.append("begins")
        scene.idle(0.2)
        steps.append("goes on")
        return "idled"

    log.run(check("A", idles_and_notes), check("B", idles_and_notes), check("C", passes))

    assert log.ended == [("C", "pass"), ("A", "pass"), ("B", "pass")]
    assert steps == ["begins", "begins", "goes on", "goes on"]


def test_no_two_checks_are_at_work_at_the_same_time() -> None:
    log, at_work, most = Log(), threading.Semaphore(1), []

    def works(scene: Scene) -> str:
        for _ in range(3):
            most.append(at_work.acquire(blocking=False))
            time.sleep(0.02)
            at_work.release()
            scene.idle(0.01)
        return "worked"

    log.run(*(check(name, works) for name in "ABCD"))

    assert all(most)
    assert len(log.ended) == 4


def test_a_check_that_hangs_is_a_failure_and_the_others_are_made() -> None:
    log, release = Log(), threading.Event()

    def hangs(scene: Scene) -> str:
        release.wait(10)
        return "never seen"

    log.run(check("A", hangs, timeout_s=HUNG_S), check("B", passes))
    release.set()

    assert log.ended == [("A", "fail"), ("B", "pass")]
    assert log.text("A") == "no end after 0.3 s"


def test_a_failure_is_explained_and_the_server_replaced_for_those_that_follow() -> None:
    log, first = Log(), Server()

    log.run(check("A", fails), check("B", passes), server=first)

    assert log.ended == [("A", "fail"), ("B", "pass")]
    (first_told, *_) = log.told
    assert isinstance(first_told, CheckEnded)
    assert first_told.explanation == "It is so. It was not."
    assert log.replaced == [first]


def test_a_failure_on_another_server_replaces_nothing() -> None:
    log = Log()

    log.run(check("A", fails, extra=lambda spec: None), check("B", passes))

    assert log.ended == [("A", "fail"), ("B", "pass")]
    assert log.replaced == []


def test_what_is_about_tcp_is_skipped_for_a_server_on_a_path() -> None:
    log = Log()

    log.run(check("A", passes, tcp=True), server=Server(path="/run/echo.sock"))
    log.run(check("B", passes, tcp=True))

    assert log.ended == [("A", "skip"), ("B", "pass")]


def test_checks_that_idled_on_a_replaced_server_begin_again() -> None:
    log, begun = Log(), []

    def idles_and_counts(scene: Scene) -> str:
        begun.append(scene.server)
        scene.idle(0.2)
        return "idled"

    log.run(check("A", idles_and_counts), check("B", fails), check("C", passes))

    assert sorted(log.ended) == [("A", "pass"), ("B", "fail"), ("C", "pass")]
    assert len(set(map(id, begun))) == 2


def test_only_light_checks_run_beside_one_that_crowds() -> None:
    log = Log()

    log.run(check("A", idles, crowds=True), check("B", passes), check("C", passes, light=True))

    assert [identity for identity, _ in log.ended] == ["C", "A", "B"]


def test_a_check_waits_until_there_is_room_for_its_connections() -> None:
    log = Log(capacity=100)

    def holds(scene: Scene) -> str:
        scene.held = lambda: 60  # type: ignore[method-assign]
        return idles(scene)

    log.run(
        check("A", holds, connections=60),
        check("B", passes, connections=50),
        check("C", passes, connections=40),
        check("D", passes, connections=5000),
    )

    assert [identity for identity, _ in log.ended] == ["C", "A", "B", "D"]


def test_what_only_the_harness_can_see_is_left_to_it() -> None:
    log = Log()

    def leaves(scene: Scene) -> str:
        raise Left("refusal", server="other", env={})

    log.run(check("A", leaves))

    event = log.told[0]
    assert isinstance(event, Expected)
    assert (event.id, event.what, event.server) == ("A", "refusal", "other")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Skipped("no such thing here"), "skip", "no such thing here"),
        (KeyError("oops"), "fail", "KeyError: 'oops'"),
    ],
)
def test_every_way_out_of_a_check_is_a_result(error: Exception, status: str, text: str) -> None:
    log = Log()

    def ends(scene: Scene) -> str:
        raise error

    log.run(check("A", ends))

    assert (log.ended, log.text("A")) == ([("A", status)], text)


def test_a_check_after_which_the_server_is_gone_has_failed() -> None:
    log = Log()

    log.run(check("A", passes), server=Server(alive=False))

    assert log.ended == [("A", "fail")]
    assert log.text("A") == "no process listens any more; the server has ended"
