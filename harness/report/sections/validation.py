"""Show the gates and what they found, and decide whether the figures can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis import control, settling, wording
from harness.analysis.findings import Finding
from harness.analysis.frame import profile_name
from harness.analysis.results import STATUSES, Analysis
from harness.contract.record import Record, VariantFacts, facts_of, number
from harness.contract.statuses import CampaignState, CellStatus, TrialEnd
from harness.contract.stored_cell import StoredCell
from harness.gates import GATES, judge, proof_coverage
from harness.gates.attempts import Attempts, attempt_of, trial_of
from harness.gates.other_programs import Used, sentence
from harness.host import cpus
from harness.plan.waves import Waves
from harness.report.sections import anchors, proofs

Level = Literal["ok", "warn", "bad"]
STATES: dict[str, str] = {
    CampaignState.RUNNING: "The campaign is running: these are the figures so far.",
    CampaignState.INTERRUPTED: "The campaign was interrupted: these are the figures from before.",
    CampaignState.STOPPED: "The campaign was stopped: its load generator failed the self-test. "
    "These are the figures from before.",
    CampaignState.FAILED: "The harness stopped with an error: these are the figures from before.",
}
SHARED_CORE = (
    "One core: server and load ran on hyper-threads of the same core, and each slowed the other. "
    "Only ratios between servers are meaningful."
)
NOT_ISOLATED = "Not isolated: the load ran on the host's loopback, which other programs use too."
# Trials without a figure
LACKING = (CellStatus.VOID, CellStatus.CAPPED, CellStatus.MISSING, proof_coverage.UNPROVEN)


@dataclass(frozen=True, slots=True)
class Validity:
    """Whether the figures can be used.

    Attributes:
        level: ok, warn or bad; `headline` says it in words.
        because: the reason, if the headline needs one; without a full stop.
        advice: what to do about it; without a full stop.
        caveats: restrictions on the figures, one phrase each.
        counts: `(status in words, cells)` over all trials, without the zeros.
        watermark: text across the whole page; empty if the campaign is a benchmark.
        noise: how much one server, run twice, differed from itself; without a full stop, empty if
            nothing is ranked.
    """

    level: Level
    headline: str
    caveats: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]
    watermark: str
    noise: str = ""
    because: str = ""
    advice: str = ""

    @property
    def cells(self) -> int:
        """All cells of all trials."""
        return sum(count for _, count in self.counts)

    @property
    def counted(self) -> str:
        """`162 cells: 153 valid, 9 capped`."""
        words = ", ".join(f"{count:,} {status}" for status, count in self.counts)
        return f"{self.cells:,} cells: {words}"

    @property
    def statement(self) -> str:
        """The headline with its reason and what to do: `Not ranked: … . Run … .`."""
        return f"{self.headline}: {self.because}. {self.advice}." if self.because else self.headline

    @property
    def caveats_text(self) -> str:
        """The caveats as the words that follow the statement; empty without any."""
        if not self.caveats:
            return ""
        if not self.because:
            return f": {'; '.join(self.caveats)}."
        plural = "" if len(self.caveats) == 1 else "s"
        return f" {len(self.caveats)} caveat{plural}: {'; '.join(self.caveats)}."

    @property
    def text(self) -> str:
        """The validity line."""
        line = self.statement + self.caveats_text
        line = f"{line.removesuffix('.')}. {self.noise}." if self.noise else line
        return f"{line.removesuffix('.')}. {self.counted}." if self.counts else line


@dataclass(frozen=True, slots=True)
class Banner:
    """A line above all figures."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Check:
    """One gate: the number of cells that it judged (`asked`), and that failed it."""

    code: str
    title: str
    rule: str
    bound: str
    effect: str
    asked: int
    failed: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One trial that failed."""

    trial: str
    variant: str
    attempt: int
    code: str
    text: str
    log_tail: str


def validity(campaign: Mapping[str, Any], analysis: Analysis, found: Sequence[Finding]) -> Validity:
    """Weigh state, isolation, statuses and limits into one line."""
    counted: Counter[str] = Counter()
    for cell in (*analysis.cells, *analysis.control):
        counted.update(dict(cell.counts))
    caveats = [*_caveats(campaign, analysis, counted), *_generator(found)]
    because = advice = ""
    if unranked := analysis.unranked:
        level, headline = "warn", unranked.title
        because, advice = unranked.why, unranked.advice
    elif analysis.ranked_void:
        level, headline = "bad", "A ranked cell has rejected trials"
    elif any(one.comparison.outcome == "different" for one in analysis.floor):
        level, headline = "bad", "The same server, measured twice, differs from itself"
    elif caveats:
        plural = "" if len(caveats) == 1 else "s"
        level, headline = "warn", f"Valid with {len(caveats)} caveat{plural}"
    else:
        level, headline = "ok", "Valid"
    counts = tuple(
        (anchors.status_word(status), counted[status]) for status in STATUSES if counted[status]
    )
    return Validity(
        level,  # type: ignore[arg-type]
        headline,
        tuple(caveats),
        counts,
        _watermark(campaign),
        _noise(analysis),
        because,
        advice,
    )


def _noise(analysis: Analysis) -> str:
    """Return the noise floor: the most by which a server differed from itself, over all cells."""
    if not any(row.is_best for row in analysis.rows):
        return ""
    if not analysis.floor:
        return "No server ran twice, so the noise floor is unknown"
    apart = {one.key: control.distance(one.comparison) for one in analysis.floor}
    words = f"The same server twice differed by up to {wording.share(max(apart.values()))}"
    key = analysis.headline.key
    if key is None or key not in apart:
        return words
    return f"{words}, in the ranked cell by {wording.share(apart[key])}"


def banners(campaign: Mapping[str, Any]) -> tuple[Banner, ...]:
    """Return what a reader must know before the figures."""
    found: list[Banner] = []
    watermark = _watermark(campaign)
    if watermark:
        found.append(Banner("bad", watermark[0].upper() + watermark[1:] + "."))
    state = str(campaign.get("state"))
    if state in STATES:
        found.append(Banner("warn", STATES[state]))
    if campaign.get("isolated") is False:
        found.append(Banner("warn", NOT_ISOLATED))
    if _shares_core(campaign):
        found.append(Banner("warn", SHARED_CORE))
    return tuple(found)


def _watermark(campaign: Mapping[str, Any]) -> str:
    if (campaign.get("profile") or {}).get("ranked") is False:
        return f"{profile_name(campaign)}: not a benchmark result"
    return ""


def _caveats(
    campaign: Mapping[str, Any], analysis: Analysis, counted: Mapping[str, int]
) -> list[str]:
    caveats = []
    state = str(campaign.get("state"))
    if state in STATES:
        caveats.append(f"{state}, so incomplete")
    if campaign.get("isolated") is False:
        caveats.append("not isolated")
    if counted.get(CellStatus.VOID):
        caveats.append(f"{_many(counted['void'], 'cell')} rejected")
    if counted.get(CellStatus.NOISY):
        caveats.append(f"{_many(counted['noisy'], 'cell')} kept but noisy")
    if counted.get(proof_coverage.UNPROVEN):
        cells = _many(counted[proof_coverage.UNPROVEN], "cell")
        caveats.append(f"{cells} unproven: no passed self-test next to their block")
    caveats += proofs.caveats(campaign)
    if analysis.superseded:
        cells = _many(analysis.superseded, "cell")
        caveats.append(f"{cells} replaced by later attempts")
    used = Used.of(campaign)
    if used and (told := sentence(used)):
        caveats.append(told)
    caveats += _of_cpus(campaign)
    caveats += _waves(campaign, analysis)
    if unsettled := settling.advice(analysis, campaign):
        caveats.append(unsettled)
    return caveats


def _of_cpus(campaign: Mapping[str, Any]) -> list[str]:
    """Return the caveat that server and load share a core, or else all CPUs of the host."""
    if _shares_core(campaign):
        return ["server and load share a physical core, so read ratios, not absolute rates"]
    environment = campaign.get("environment") or {}
    online = number(environment, "cpus_online")
    taken = len(environment.get("cpus_server") or ()) + len(environment.get("cpus_load") or ())
    if not online or taken < online:
        return []
    return [
        f"server and load share all {online:.0f} CPUs of one host, so read ratios, "
        "not absolute rates"
    ]


def _shares_core(campaign: Mapping[str, Any]) -> bool:
    environment = campaign.get("environment") or {}
    cores, server, load = map(environment.get, ("cores", "cpus_server", "cpus_load"))
    return cpus.shares_core(cores or (), server or (), load or ())


def _waves(campaign: Mapping[str, Any], analysis: Analysis) -> Iterator[str]:
    """Say how servers of different waves are compared, and which figures the anchor lacks."""
    waves = Waves.of_campaign(campaign)
    if waves is None:
        return
    yield (
        f"the servers of each block ran in {waves.short}: ratios between servers of different "
        f"waves go through {waves.anchor}, so their intervals are wider"
    )
    cell = analysis.cell(waves.anchor, analysis.headline.key)
    # While a campaign runs, missing trials can still follow
    is_running = campaign.get("state") == CampaignState.RUNNING
    counts = cell.counts if cell else ()
    known = {one: count for one, count in counts if one != CellStatus.MISSING or not is_running}
    lacking = sum(known.get(status, 0) for status in LACKING)
    if lacking:
        trials = sum(known.values())
        yield (
            f"{waves.anchor} has no figure in {lacking:,} of {trials:,} waves: the servers of such "
            "a wave have no ratio to those of other waves in that block"
        )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _generator(found: Sequence[Finding]) -> list[str]:
    return [
        finding.text[0].lower() + finding.text[1:].rstrip(".")
        for finding in found
        if finding.kind == "generator"
    ]


def failures(outcomes: Sequence[Record]) -> tuple[Failure, ...]:
    """Return the trials that failed, in the order in which they ended."""
    return tuple(
        Failure(
            trial=trial_of(line),
            variant=str(line.get("variant")),
            attempt=attempt_of(line),
            code=str(line.get("code") or ""),
            text=str(line.get("text") or ""),
            log_tail=str(line.get("log_tail") or ""),
        )
        for line in outcomes
        if line.get("outcome") == TrialEnd.FAILED
    )


def checks(
    campaign: Mapping[str, Any], records: Sequence[Record], outcomes: Sequence[Record]
) -> tuple[Check, ...]:
    """Return every gate with the number of cells that it judged and that failed it."""
    facts = {str(entry.get("name")): facts_of(entry) for entry in campaign.get("variants") or ()}
    asked: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for record in Attempts(records, outcomes).used(records):
        cell = StoredCell.of(record)
        asked.update(gate.code for gate in GATES if gate.applies(cell))
        verdict = judge(cell, facts.get(str(record.get("variant")), VariantFacts()))
        failed.update(code for code, _ in verdict.reasons)
    return tuple(
        Check(
            code=gate.code,
            title=gate.title,
            rule=gate.rule,
            bound=gate.bound,
            effect=gate.effect,
            asked=asked[gate.code],
            failed=failed[gate.code],
        )
        for gate in GATES
    )
