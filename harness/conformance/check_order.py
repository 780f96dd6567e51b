"""Order the checks, and end each of them with a result.

Rule 1: one check works at a time. A check that idles lets others work. It continues when its idle
        time is over and no other check works. So idle times overlap other checks, and measurements
        overlap nothing. All suites that share the CPUs follow this
        (harness/conformance/cpu_turns.py).
Rule 2: every check ends. A check that works for longer than its time has hung and fails.
Rule 3: a failure must not cause another. The suite replaces the server after each failure, and
        checks that idled on the old server begin again.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence

from harness.conformance.definition import Check
from harness.conformance.observed_server import Target, until
from harness.conformance.scene import Cancelled, Facts, Left, Scene
from harness.conformance.suite_results import CheckResult, Failed, Skipped
from harness.contract.suite_events import Expected, Status

CANCEL_S = 2.0
ENDING_S = 0.2
LEAVE_S = 0.5

Replace = Callable[[Target], Target]


class Run:
    """One check in progress, in a thread of its own."""

    def __init__(self, check: Check, facts: Facts, server: Target, held_elsewhere: int) -> None:
        self.check = check
        self.scene = Scene(facts, server, self._pause)
        self.scene.held_elsewhere = held_elsewhere
        self.due_s = 0.0
        self.finished = False
        self.result: CheckResult | None = None
        self.left: Left | None = None
        self._work_left_s = check.timeout_s
        self._cancelled = False
        self._start_s = time.monotonic()
        self._turn = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def work(self) -> None:
        """Let the check work until it idles, ends or hangs."""
        start_s = time.monotonic()
        self._over.clear()
        self._turn.set()
        if not self._thread.ident:
            self._thread.start()
        if not self._over.wait(self._work_left_s):
            self._hang()
        self._work_left_s -= time.monotonic() - start_s

    def cancel(self) -> None:
        """End the check without a result."""
        self._cancelled = True
        self.scene.cancel()
        self._turn.set()
        self._thread.join(CANCEL_S)

    def _hang(self) -> None:
        self._end("fail", f"no end after {self.check.timeout_s:g} s", Failed(""))
        self.scene.server.thaw()
        self.cancel()

    def _pause(self, seconds: float) -> None:
        self.due_s = time.monotonic() + seconds
        self._turn.clear()
        self._over.set()
        self._turn.wait()
        if self._cancelled:
            raise Cancelled

    def _main(self) -> None:
        try:
            if self.check.tcp and self.scene.server.address.path is not None:
                raise Skipped("the server listens on a path, and this check is about TCP")
            text = self.check.body(self.scene)
            self.scene.close()
            if self.check.extra is None:
                self.scene.settle(LEAVE_S)  # leaves no connection to the next check
                self.scene.require_alive()
            self._end("pass", text)
        except Skipped as skipped:
            self._end("skip", str(skipped))
        except Failed as failed:
            remark = self._remark()
            self._end("fail", f"{failed}{remark}", None if remark else failed)
        except Left as left:
            self.left = left
        except Cancelled:
            pass
        except Exception as error:
            if not self._cancelled:
                traceback.print_exc()
            self._end("fail", f"{type(error).__name__}: {error}")
        finally:
            self.scene.close()
            self.finished = True
            self._over.set()

    def _remark(self) -> str:
        """Return the remark that the server ended meanwhile, or an empty text."""
        server = self.scene.server
        if self.check.extra is None and until(lambda: not server.running(), ENDING_S):
            return "; the server has ended"
        return ""

    def _end(self, status: Status, text: str, failed: Failed | None = None) -> None:
        if self.result is None and not self._cancelled:
            check, took_s = self.check, round(time.monotonic() - self._start_s, 3)
            explanation = (failed and failed.explanation) or check.explanation
            self.result = CheckResult(
                id=check.id,
                name=check.name,
                group=check.group,
                status=status,
                text=text,
                explanation=explanation if status == "fail" else "",
                duration_s=took_s,
                timed_s=max(took_s, failed.span_s) if failed and failed.timed else 0.0,
            )


class Schedule:
    """Runs a list of checks to its end."""

    def __init__(self, facts: Facts, server: Target, replace: Replace) -> None:
        self._facts = facts
        self._server = server
        self._replace = replace
        self._idle: list[Run] = []
        self._waiting: list[Check] = []
        self.results: list[CheckResult] = []

    def run(self, checks: Sequence[Check]) -> None:
        """Run all checks, in this order if there is room for their connections."""
        self._waiting = list(checks)
        while self._waiting or self._idle:
            run = self._next()
            if run is None:
                time.sleep(max(0.0, min(r.due_s for r in self._idle) - time.monotonic()))
                continue
            self._facts.turns.begin(crowds=run.check.crowds)
            run.work()
            if run.finished or run.result is not None:
                self._take(run)
            else:
                self._idle.append(run)
            self._facts.turns.over(left=run.check.crowds and run not in self._idle)

    def _next(self) -> Run | None:
        """Return a run that is due, or else the first that may begin while others idle."""
        for run in self._idle:
            if run.due_s <= time.monotonic():
                self._idle.remove(run)
                return run
        held = sum(run.scene.held() for run in self._idle)
        crowded = any(run.check.crowds for run in self._idle)
        for check in self._waiting:
            fits = held + min(check.connections, self._facts.capacity) <= self._facts.capacity
            if not self._idle or (fits and (check.light or not crowded)):
                self._waiting.remove(check)
                return Run(check, self._facts, self._server, held)
        return None

    def _take(self, run: Run) -> None:
        if run.left is not None:
            self._facts.tell(
                Expected(
                    id=run.check.id,
                    name=run.check.name,
                    group=run.check.group,
                    explanation=run.check.explanation,
                    what=run.left.what,
                    server=run.left.server,
                    env=run.left.env,
                    counters=run.left.counters,
                    at_signal=run.left.at_signal,
                )
            )
            return
        assert run.result is not None  # noqa: S101 (it finished)
        self.results.append(run.result)
        self._facts.tell(run.result.as_event())
        if run.result.status == "fail" and run.check.extra is None:
            self._begin_again()

    def _begin_again(self) -> None:
        for run in self._idle:
            run.cancel()
        self._waiting = [run.check for run in self._idle] + self._waiting
        self._idle = []
        self._server = self._replace(self._server)
