"""Which of the prepared variants are measured: those that conform, as the profile asks for it.

Every variant is judged before any is measured, so a campaign's first trials and its last ones meet
the same host. A verdict goes into `campaign.json` as soon as it is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from harness import judging
from harness.backends.base import Backend, Prepared
from harness.cpus import CpuSplit
from harness.faults import DISTURBED, NOT_AVAILABLE
from harness.profiles.profile import Conformance
from harness.progress import Progress
from harness.store import Campaign
from harness.trial import Outcome
from harness.verdict import Cache, Subset, Verdict

# Ends of the suite that say nothing of the server → how its trials end.
NO_VERDICT = {
    NOT_AVAILABLE: NOT_AVAILABLE,
    DISTURBED: DISTURBED,
    "suite-error": "load-suite",
}
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
        for name, one in prepared.items():
            verdict = self._verdict(one, wanted)
            self._note(verdict)
            if verdict.failure is not None and verdict.failure[0] in NO_VERDICT:
                code, text = verdict.failure
                outcomes[name] = Outcome("failed", NO_VERDICT[code], text, verdict.log)
            elif not verdict.conforms and not self.include_nonconforming:
                outcomes[name] = Outcome(
                    outcome="failed",
                    code=DISTURBED if verdict.is_undecided else "nonconforming",
                    text=f"{verdict.summary}. {HINT}",
                    log_tail=verdict.log,
                )
        return outcomes

    def _verdict(self, prepared: Prepared, subset: Subset) -> Verdict:
        name = prepared.variant.name
        cache = Cache(self.campaign.directory.parent, self.backend.name)
        verdict = cache.find(prepared, subset)
        if verdict is None:
            self.progress.say(f"checking {name}")
            verdict = self._judged(prepared, subset)
            if verdict.is_undecided or (not verdict.conforms and verdict.failure is None):
                self.progress.say(f"  {name}: {verdict.summary}; checking it once more")
                verdict = self._judged(prepared, subset)
            cache.keep(prepared, [verdict])
        self.progress.event("conformance", variant=name, **verdict.as_json())
        if not verdict.conforms:
            self.progress.say(f"  {name}: {verdict.summary}")
        return verdict

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
        found = judging.each(
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
        for entry in head["variants"]:
            if entry["name"] == verdict.variant:
                entry["conformance"] = verdict.as_json()
        self.campaign.write_head(head)
