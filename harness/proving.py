"""Run the generator's self-test where a trial's load runs, and judge it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from harness import selftest
from harness.backends.base import Backend, LoadSilent, Prepared
from harness.cpus import CpuSplit
from harness.errors import C10kError
from harness.limits import Asked
from harness.load.family import Tree
from harness.profiles.profile import Timeouts
from harness.selftest import Selftest

# The most connections that a scene opens.
CONNECTIONS = 1_000
# The longest scene takes 11 s.
SILENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class SelftestContext:
    """What a backend needs to know: the load alone, on its own CPUs and on the server's."""

    module: ClassVar[str] = "harness.load.selftest"
    name: ClassVar[str] = "selftest"

    campaign: str
    split: CpuSplit
    spin: bool

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
        task = {
            "server_cpus": self.split.server,
            "load_cpus": self.split.load,
            "spin": self.spin,
            "sysctls": sysctls,
            "prepare_namespace": prepare_namespace,
        }
        return {"C10K_SELFTEST": json.dumps(task)}


def prove(backend: Backend, split: CpuSplit, campaign: str, *, spin: bool = True) -> Selftest:
    """Run all scenes and judge them; `prepare_load` has been called.

    `spin`: the generator polls where it may, as it would in the campaign.

    A load that dies or says nothing fails the checks that it owes.
    """
    figures: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    started_s = time.monotonic()
    with backend.open(SelftestContext(campaign, split, spin)) as opened:
        try:
            while (event := opened.next_event(SILENCE_S)) is not None:
                if event["event"] == "figures":
                    figures[event["id"]] = event["figures"]
                elif event["event"] == "failed":
                    failures[event["id"]] = event["text"]
        except LoadSilent as silence:
            failures = _all(silence)
        log = opened.load_log()
    if not figures and not failures:
        failures = _all(C10kError(f"the load process ended before its time: {log}"))
    return selftest.judge(figures, failures, time.monotonic() - started_s)


def _all(error: C10kError) -> dict[str, str]:
    return {check.scene: error.message for check in selftest.CHECKS}
