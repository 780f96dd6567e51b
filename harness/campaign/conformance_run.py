"""Run the conformance suite against a server, and cache verdicts without a failure.

A failure is never cached: the next run checks the server again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from harness import conformance
from harness.backends.base import (
    ADDRESS,
    Backend,
    LoadSilent,
    OpenTrial,
    Prepared,
    ServerExit,
    await_event,
)
from harness.campaign.suite_turn import Turn
from harness.conformance import suite_results as results
from harness.conformance.suite_results import MAIN, CheckResult, End, Score, undecided
from harness.contract import suite_events
from harness.contract.campaign_head import KeptCheck, KeptConformance
from harness.contract.errors import ServerFault
from harness.contract.load_events import EventError, Hello
from harness.contract.statuses import FailureCode
from harness.contract.suite_spec import Subset, SuiteSpec
from harness.contract.trial_spec import Tree
from harness.gates.failure_excuses import reason
from harness.gates.server_faults import DISTURBED, judged, not_available
from harness.host.cpus import CpuSplit
from harness.host.interrupt import shielded
from harness.host.ownership import hand_over
from harness.host.wait_budget import Reading, Spent
from harness.plan.limits import Asked
from harness.plan.profiles.profile import Timeouts
from harness.store.campaign_store import replace as replace_file

# The most connections of any check, with room for those of checks that idle meanwhile.
CONNECTIONS = 11_800
# The longest that a check works, idles and is cancelled; nothing is told meanwhile.
SILENCE_S = 180.0
CACHE_DIRECTORY = ".conformance"
DIGEST_LETTERS = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite found.

    Attributes:
        failure: `(code, text)` of what ended the suite before its end, else None.
        log: the last lines of the server, or of the suite if that is to blame; with a failure.
        cached: whether it is remembered from an earlier run.
    """

    variant: str
    subset: Subset
    results: tuple[CheckResult, ...]
    failure: tuple[str, str] | None = None
    log: str = ""
    duration_s: float = 0.0
    cached: bool = False

    @property
    def score(self) -> Score:
        """k of n."""
        return results.score(self.results)

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.status == "fail")

    @property
    def undecided(self) -> tuple[CheckResult, ...]:
        """The checks that say nothing of the server, since others had its CPUs."""
        return tuple(result for result in self.results if result.status == "undecided")

    @property
    def is_undecided(self) -> bool:
        """Whether nothing speaks against the server but what others may have caused."""
        if self.failure is not None:
            return self.failure[0] == DISTURBED
        return bool(self.undecided) and not self.failed

    @property
    def conforms(self) -> bool:
        """Whether every check that applies was made, and passed."""
        return self.failure is None and self.score.conforms

    @property
    def summary(self) -> str:
        """One line: what did not pass, by name."""
        if self.failure is not None:
            return f"the conformance suite came to no end: {self.failure[1]}"
        score = self.score
        count = f"{score.passed} of {score.applicable} conformance checks passed"
        told = (*self.failed, *self.undecided)
        return "; ".join([count, *(f"{one.id} {one.name}: {one.text}" for one in told)])

    def kept(self) -> KeptConformance:
        """Return what `campaign.json` keeps of it."""
        told = [
            KeptCheck(id=one.id, title=one.name, text=one.text, explanation=one.explanation)
            for one in self.failed
        ]
        if self.failure is not None:
            code, text = self.failure
            told.append(KeptCheck(id=code, title="no end", text=text, explanation=""))
        score = self.score
        return KeptConformance(
            passed=score.passed,
            applicable=score.applicable + (self.failure is not None),
            subset=self.subset,
            failures=told,
            undecided=[
                KeptCheck(id=one.id, title=one.name, text=one.text) for one in self.undecided
            ],
            cached=self.cached,
        )


@dataclass(frozen=True, slots=True)
class SuiteContext:
    """What a backend needs to know to run the suite beside a variant."""

    campaign: str
    prepared: Prepared
    subset: Subset
    cpus: CpuSplit
    scratch: str
    asked: Asked
    timeouts: Timeouts
    shares_cpus: bool

    module: ClassVar[str] = conformance.__name__

    @property
    def name(self) -> str:
        """Unlike the id of any trial."""
        return f"conformance-{self.prepared.variant.name}"

    def variables(
        self, *, sysctls: dict[str, str], prepare_namespace: bool, directory: str | None, tree: Tree
    ) -> dict[str, str]:
        """The specification that the suite reads."""
        del tree  # the suite looks at who holds the listening socket, and at what that forked
        file = self.prepared.variant.file
        return SuiteSpec(
            address=ADDRESS,
            checks=self.subset,
            connections_max=file.limits.connections_max if file.limits else None,
            beyond=file.limits.beyond if file.limits else None,
            counters=file.counters,
            directory=directory or self.scratch,
            cpus=self.cpus.load,
            prepare_namespace=prepare_namespace,
            sysctls=sysctls,
            ready_s=self.timeouts.ready_s,
            shares_cpus=self.shares_cpus,
        ).variables()


def judge(
    backend: Backend,
    prepared: Prepared,
    subset: Subset,
    *,
    cpus: CpuSplit,
    campaign: str | None = None,
    show: Callable[[CheckResult], None] = lambda _: None,
    turn: Turn | None = None,
) -> Verdict:
    """Run the suite beside the variant. `show` gets each result as soon as it is known.

    `turn`: permission of a suite that shares its CPUs, also held while server and suite start and
    stop. `campaign` defaults to a random name, because it labels containers and two users of one
    engine may check the same server at once.
    """
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="c10k-") as scratch:
        context = SuiteContext(
            campaign=campaign or f"check-{secrets.token_hex(4)}",
            prepared=prepared,
            subset=subset,
            cpus=cpus,
            scratch=scratch,
            asked=Asked.for_connections(CONNECTIONS),
            timeouts=Timeouts(),
            shares_cpus=turn is not None,
        )
        turn = turn or Turn()
        with turn:
            opening = backend.open(context)
            opened = opening.__enter__()
            try:
                found = _Following(opened, show, turn).verdict(prepared.variant.name, subset)
            finally:
                with shielded():
                    opening.__exit__(None, None, None)
    return replace(found, duration_s=round(time.monotonic() - start_s, 3))


class _Following:
    """Does what the suite asks for, and takes down what it tells."""

    def __init__(self, opened: OpenTrial, show: Callable[[CheckResult], None], turn: Turn) -> None:
        self._opened = opened
        self._turn = turn
        self._show = show
        self._events: list[suite_events.SuiteEvent] = []
        self._started: list[str] = []
        self._ends: dict[str, End] = {}
        # CPU time so far, at the server's start and after each check
        self._readings: list[Reading] = []

    def verdict(self, variant: str, subset: Subset) -> Verdict:
        """Take the suite to its end, whatever end that is."""
        try:
            failure = self._follow()
        except ServerFault as fault:
            failure = (fault.code, fault.message)
        except LoadSilent as silence:
            failure = (FailureCode.SUITE_ERROR, silence.message)
        except EventError as error:
            failure = (FailureCode.SUITE_ERROR, str(error))
        self._turn.take()
        with shielded():
            self._stop_servers()
        if main := self._ends.get(MAIN):
            failure = not_available(main.exit_code, main.log) or failure
        found = results.conclude(self._events, self._ends)
        for result in found[len(self._told()) :]:
            self._show(result)
        log = ""
        if failure is not None:
            from_suite = failure[0] == FailureCode.SUITE_ERROR or main is None
            log = self._opened.load_log() if from_suite or main is None else main.log
        return Verdict(variant, subset, found, failure, log)

    def _follow(self) -> tuple[str, str] | None:
        """Answer events up to the last one; how the suite failed, if it did."""
        coming = False
        while (line := await_event(self._opened, SILENCE_S, coming=coming)) is not None:
            event = self._weighed(suite_events.parse(line))
            self._events.append(event)
            coming = isinstance(event, Hello)
            match event:
                case Hello():
                    self._start(MAIN, {})
                case suite_events.RestartServer():
                    self._start(MAIN, event.env)
                case suite_events.StartServer():
                    self._start_another(event)
                case suite_events.TurnAsked():
                    self._turn.take(crowds=event.crowds)
                    self._opened.reply(turn=True)
                case suite_events.TurnOver():
                    self._turn.give(left=event.left)
                case suite_events.CheckEnded():
                    self._show(CheckResult.from_event(event))
                case suite_events.SuiteFailure():
                    found = event.code, event.text
                    return judged(found, reason(self._spent(SILENCE_S)))
                case suite_events.SuiteDone():
                    return None
        text = f"the suite ended before its time: {self._opened.load_log()}"
        return FailureCode.SUITE_ERROR, text

    def _start_another(self, event: suite_events.StartServer) -> None:
        self._start(event.name, event.env)
        if event.refuses:
            self._started.remove(event.name)
            ended = self._opened.await_server(event.name, results.REFUSAL_S)
            self._ends[event.name] = _end(ended)

    def _start(self, name: str, variables: Mapping[str, str]) -> None:
        self._opened.start_server(name, variables)
        if name == MAIN:  # a new server begins a new account
            self._readings = []
        self._readings.append(self._opened.spent())
        if name not in self._started:
            self._started.append(name)

    def _stop_servers(self) -> None:
        for name in self._started:
            self._ends[name] = _end(self._opened.stop_server(name))

    def _weighed(self, event: suite_events.SuiteEvent) -> suite_events.SuiteEvent:
        """Turn a failure into an undecided result if other processes had the server's CPUs."""
        if not isinstance(event, suite_events.CheckEnded):
            return event
        result = CheckResult.from_event(event)
        spent = self._spent(result.timed_s)
        if result.status != "fail" or not result.timed_s or spent is None:
            return event
        disturbed = reason(spent)
        return undecided(result, disturbed).as_event() if disturbed else event

    def _spent(self, span_s: float) -> Spent | None:
        """How the CPU time went in the last seconds, since the server's start at most."""
        if not self._readings:
            return None
        now = self._opened.spent()
        self._readings.append(now)
        first = now.stamp_ns - round(span_s * 1e9)
        before = [one for one in self._readings if one.stamp_ns <= first]
        return Spent.between(before[-1] if before else self._readings[0], now)

    def _told(self) -> list[suite_events.CheckEnded]:
        return [event for event in self._events if isinstance(event, suite_events.CheckEnded)]


def _end(ended: ServerExit) -> End:
    disturbed = reason(ended.spent) if ended.spent and ended.exit_code is None else None
    return End(ended.exit_code, ended.log, disturbed, ended.wrote)


class Cache:
    """Verdicts without a failure, in the directory of the campaigns: its owner keeps them."""

    def __init__(self, reports: Path, backend: str) -> None:
        self._directory = reports / CACHE_DIRECTORY
        self._backend = backend

    def find(self, prepared: Prepared, subset: Subset) -> Verdict | None:
        """A verdict on exactly this by this suite on this kernel; one on all checks will do."""
        subsets: tuple[Subset, ...] = ("full",) if subset == "full" else ("quick", "full")
        for known in subsets:
            try:
                document = json.loads(self._path(prepared, known).read_text(encoding="utf-8"))
                if document["of"] == self._identity(prepared, known):
                    found = tuple(CheckResult(**one) for one in document["results"])
                    return Verdict(prepared.variant.name, known, found, cached=True)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # not there, or not what this version wrote
        return None

    def keep(self, prepared: Prepared, verdicts: Sequence[Verdict]) -> None:
        """Remember the last of some runs, all of one subset, if none of them failed.

        Else what was remembered is forgotten: it passed by chance. A directory that cannot be
        written is no matter.
        """
        verdict = verdicts[-1]
        path = self._path(prepared, verdict.subset)
        if not all(one.conforms for one in verdicts):
            with suppress(OSError):
                path.unlink()
            return
        document = {
            "of": self._identity(prepared, verdict.subset),
            "results": [asdict(one) for one in verdict.results],
        }
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            hand_over(self._directory)
            text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
            replace_file(path, text)
        except OSError:
            return

    def _path(self, prepared: Prepared, subset: Subset) -> Path:
        digest = prepared.digest.removeprefix("sha256:")[:DIGEST_LETTERS]
        return self._directory / f"{digest}-{subset}-{self._backend}-{suite_version()}.json"

    def _identity(self, prepared: Prepared, subset: Subset) -> dict[str, object]:
        """All that a verdict depends on, as far as it can be told."""
        return {
            "variant": prepared.variant.name,
            "declared": prepared.variant.file.model_dump(mode="json"),
            "digest": prepared.digest,
            "runtime": prepared.runtime,
            "subset": subset,
            "backend": self._backend,
            "suite": suite_version(),
            "kernel": os.uname().release,
        }


@functools.cache
def suite_version() -> str:
    """Names the suite by its own source, so that no changed check lives on an old verdict."""
    digest = hashlib.sha256()
    for path in sorted(Path(str(conformance.__file__)).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:DIGEST_LETTERS]
