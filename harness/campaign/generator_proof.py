"""Run the generator's self-test where a trial's load runs, judge it, and repeat it in a campaign.

The schedule of a campaign is the cheapest in which a pass is next to every block: at the start, and
then after each block that no pass is next to yet. With passes that is after blocks 2, 4, 6 and so
on: each vouches for the block in front of it and the one behind it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ValidationError

from harness.backends.base import Backend, LoadSilent, Prepared
from harness.campaign.progress import Progress
from harness.contract import selftest_events
from harness.contract.errors import C10kError, Unproven
from harness.contract.load_events import EventError
from harness.contract.parsing import complaint
from harness.contract.selftest_events import SceneFailed, SceneFigures
from harness.contract.selftest_spec import SelftestSpec
from harness.contract.stored_campaign import StoredHead, StoredSelftest
from harness.contract.trial_spec import Tree
from harness.gates import generator_fitness, proof_coverage
from harness.gates.generator_fitness import PARTS, Selftest
from harness.host.cpus import CpuSplit
from harness.plan.limits import Asked
from harness.plan.profiles.profile import Timeouts
from harness.store.campaign_store import Campaign

# The most connections that a scene opens.
CONNECTIONS = 1_000
# The longest scene takes 6 s.
SILENCE_S = 40.0
# At the start of a campaign, or of its resume: a busy moment fails a good generator as well.
ATTEMPTS_MAX = 3
# No attempt starts there that would end later: by then the harness says that nothing can be ranked.
START_S_MAX = 60.0
QUESTION = "Go on without a ranking?"


@dataclass(frozen=True, slots=True)
class SelftestContext:
    """What a backend needs to know: the load alone, on its own CPUs and on the server's."""

    module: ClassVar[str] = "harness.load.selftest"
    name: ClassVar[str] = "selftest"

    campaign: str
    split: CpuSplit
    spin: bool
    skip: tuple[str, ...] = ()

    @property
    def prepared(self) -> Prepared:
        """There is no server of a variant: the generator brings its own."""
        raise NotImplementedError("a self-test starts no server")

    @property
    def cpus(self) -> CpuSplit:
        """The null server takes the server's place, inside the load's process."""
        return CpuSplit(server=self.split.server, load=(*self.split.load, *self.split.server))

    @property
    def timeouts(self) -> Timeouts:
        """Those of any trial."""
        return Timeouts()

    @property
    def asked(self) -> Asked:
        """The limits that the scenes need."""
        return Asked.for_connections(CONNECTIONS)

    def variables(
        self, *, sysctls: dict[str, str], prepare_namespace: bool, directory: str | None, tree: Tree
    ) -> dict[str, str]:
        """The task, as the module reads it."""
        del directory, tree  # the null server listens on TCP, in the load's own process
        return SelftestSpec(
            server_cpus=self.split.server,
            load_cpus=self.split.load,
            spin=self.spin,
            skip=self.skip,
            sysctls=sysctls,
            prepare_namespace=prepare_namespace,
        ).variables()


class Prover:
    """Takes the self-test through one run of a campaign; `campaign.json` keeps every attempt."""

    def __init__(
        self,
        campaign: Campaign,
        backend: Backend,
        split: CpuSplit,
        progress: Progress,
        *,
        spin: bool,
        keep_going: bool,
    ) -> None:
        self._campaign = campaign
        self._backend = backend
        self._split = split
        self._progress = progress
        self._spin = spin
        self._keep_going = keep_going
        self._places: set[int] = set()

    def before(self, block: int) -> None:
        """Take it in front of the run's first block, again while a part fails, for a minute.

        A resume takes it too: what an earlier run proved does not prove the host of now.

        Raises:
            Unproven: a part that the ranking stands on fails to the last, and the campaign is not
                to go on without it.
        """
        started_s = time.monotonic()
        taken = 0
        while taken < ATTEMPTS_MAX:
            begun_s = time.monotonic()
            attempt = self._take(max(0, block - 1))
            taken += 1
            now_s = time.monotonic()
            if attempt.passed or now_s - started_s + (now_s - begun_s) > START_S_MAX:
                break
        because = generator_fitness.why_not(attempt, "ranking")
        # What earlier blocks proved stays proven
        proven = StoredHead.of(self._campaign.head().as_json())
        if because and proof_coverage.why_none(proven, "ranking"):
            self._require_consent(f"{because}, {_times(taken)} in {now_s - started_s:.0f} s")

    def after(self, block: int) -> None:
        """Take it behind a block that no pass is next to yet; once in a run."""
        attempts = generator_fitness.attempts(self._kept())
        if block not in self._places and not all(
            proof_coverage.is_vouched(attempts, part, block) for part in PARTS
        ):
            self._take(block)

    def _require_consent(self, because: str) -> None:
        self._progress.say(f"nothing can be ranked: {because}")
        if self._keep_going or self._progress.confirm(QUESTION):
            self._progress.say("going on: the self-test is taken again after each block")
            return
        raise Unproven(
            f"stopped, because nothing can be ranked: {because}",
            hint="End other programs on this host and try `c10k selftest`. Then "
            f"`c10k run --resume {self._campaign.name}` goes on; with `--keep-going` it does so "
            "without a ranking.",
        )

    def _take(self, place: int) -> StoredSelftest:
        """One attempt, kept with the block after which it ran."""
        self._places.add(place)
        where = f" after block {place}" if place else ""
        self._progress.say(f"proving the load generator{where}")
        # What the kernel's listener does is no check of the generator: one look is enough
        skip = (generator_fitness.BACKLOG,) if generator_fitness.backlog(self._kept()) else ()
        name = self._campaign.name
        proved = prove(self._backend, self._split, name, spin=self._spin, skip=skip)
        head = self._campaign.head()
        last = head.selftest.as_json() if head.selftest else {}
        earlier = [*last.pop("earlier", ()), *([last] if last else ())]
        kept = {"after_block": place, **proved.as_json(), "earlier": earlier}
        self._campaign.write_head(head.changed(selftest=kept))
        attempt = StoredSelftest.of(kept)
        for part in PARTS:
            if because := generator_fitness.why_not(attempt, part):
                self._progress.say(f"  {part}: {because}")
        if proved.passed:
            self._progress.say(
                f"the load generator passed its self-test in {proved.duration_s:.0f} s"
            )
        return attempt

    def _kept(self) -> StoredSelftest | None:
        kept = self._campaign.head().selftest
        return StoredSelftest.of(kept.as_json()) if kept else None


def prove(
    backend: Backend,
    split: CpuSplit,
    campaign: str,
    *,
    spin: bool = True,
    skip: tuple[str, ...] = (),
) -> Selftest:
    """Run all scenes but those to skip and judge them; `prepare_load` has been called.

    `spin`: the generator polls where it may, as it would in the campaign.

    A load that dies or says nothing fails the checks that it owes.
    """
    figures: dict[str, dict[str, object]] = {}
    failures: dict[str, str] = {}
    started_s = time.monotonic()
    with backend.open(SelftestContext(campaign, split, spin, skip)) as opened:
        try:
            while (line := opened.next_event(SILENCE_S)) is not None:
                match selftest_events.parse(line):
                    case SceneFigures(id=scene, figures=found):
                        figures[scene] = found
                    case SceneFailed(id=scene, text=text):
                        failures[scene] = text
        except LoadSilent as silence:
            failures = _all(silence)
        except EventError as error:
            failures = _all(C10kError(str(error)))
        log = opened.load_log()
    if not figures and not failures:
        failures = _all(C10kError(f"the load process ended before its time: {log}"))
    duration_s = time.monotonic() - started_s
    try:
        return generator_fitness.judge(figures, failures, duration_s)
    except ValidationError as error:  # a load of another version measures other things
        told = complaint(error, "the self-test's figures")
        return generator_fitness.judge({}, _all(C10kError(told)), duration_s)


def _all(error: C10kError) -> dict[str, str]:
    return {check.scene: error.message for check in generator_fitness.CHECKS}


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
