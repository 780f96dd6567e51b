"""Which of the prepared variants are measured: those that conform, as the profile asks for it.

Every variant is judged before any is measured, so a campaign's first trials and its last ones meet
the same host. A verdict goes into `campaign.json` as soon as it is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from harness.backends.base import Backend, Prepared
from harness.campaign import conformance_pool
from harness.campaign.conformance_run import Cache, Verdict
from harness.campaign.progress import Progress
from harness.campaign.trial_run import Outcome
from harness.contract.statuses import FailureCode, TrialEnd
from harness.contract.suite_spec import Subset
from harness.gates.server_faults import DISTURBED, NOT_AVAILABLE
from harness.host.cpus import CpuSplit
from harness.plan.profiles.profile import Conformance
from harness.store.campaign_store import Campaign

# Ends of the suite that say nothing of the server → how its trials end.
NO_VERDICT: dict[str, str] = {
    NOT_AVAILABLE: NOT_AVAILABLE,
    DISTURBED: DISTURBED,
    FailureCode.SUITE_ERROR: FailureCode.LOAD_SUITE,
}
# A server that fails as often was not only unlucky.
CHANCES = 2
HINT = (
    "`c10k check` shows every check; `--include-nonconforming` measures it all the same, unranked"
)


@dataclass(frozen=True, slots=True)
class Admission:
    """Judges the variants of one campaign, several at once where `splits` has the CPUs for it."""

    campaign: Campaign
    backend: Backend
    progress: Progress
    splits: Sequence[CpuSplit]
    include_nonconforming: bool

    def refused(self, prepared: Mapping[str, Prepared], wanted: Conformance) -> dict[str, Outcome]:
        """The variants that are not to be measured, each with how its trials end."""
        if wanted == "off":
            return {}
        outcomes = {}
        with contextlib.closing(self._verdicts(prepared, wanted)) as verdicts:
            for verdict in verdicts:
                self._note(verdict)
                self.progress.event(
                    "conformance", variant=verdict.variant, **verdict.kept().as_json()
                )
                if not verdict.conforms:
                    self.progress.say(f"  {verdict.variant}: {verdict.summary}")
                if (outcome := self._refusal(verdict)) is not None:
                    outcomes[verdict.variant] = outcome
        return outcomes

    def _refusal(self, verdict: Verdict) -> Outcome | None:
        """How the server's trials end; None if it is measured."""
        if verdict.failure is not None and verdict.failure[0] in NO_VERDICT:
            code, text = verdict.failure
            return Outcome(TrialEnd.FAILED, NO_VERDICT[code], text, verdict.log)
        if verdict.conforms or self.include_nonconforming:
            return None
        if verdict.is_undecided:
            return Outcome(TrialEnd.FAILED, DISTURBED, verdict.summary, verdict.log)
        return Outcome(
            outcome=TrialEnd.FAILED,
            code=FailureCode.NONCONFORMING,
            text=f"{verdict.summary}. {HINT}",
            log_tail=verdict.log,
        )

    def _verdicts(self, prepared: Mapping[str, Prepared], subset: Subset) -> Generator[Verdict]:
        """The known verdicts, then those of the servers that have to be checked."""
        cache = Cache(self.campaign.directory.parent, self.backend.name)
        unknown: list[Prepared] = []
        for one in prepared.values():
            known = cache.find(one, subset)
            if known is None:
                unknown.append(one)
            else:
                yield known
        found = conformance_pool.each(
            self.backend,
            unknown,
            subset,
            self.splits,
            campaign=self.campaign.name,
            chances=CHANCES,
            say=self.progress.say,
        )
        with contextlib.closing(found):
            for verdict in found:
                cache.keep(prepared[verdict.variant], [verdict])
                yield verdict

    def _note(self, verdict: Verdict) -> None:
        head = self.campaign.head()
        entries = [
            entry.changed(conformance=verdict.kept()) if entry.name == verdict.variant else entry
            for entry in head.variants
        ]
        self.campaign.write_head(head.changed(variants=entries))
