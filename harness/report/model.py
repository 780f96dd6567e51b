"""Compute everything that a report says. The page and the terminal only lay it out.

Rule 1: pure. The same campaign, records and outcomes give an equal model.
Rule 2: verdict, table and charts come from the same analysis, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis import Analysis, analyse, bottlenecks, findings
from harness.analysis import expected_shapes as shapes
from harness.analysis.expected_shapes import Row as ShapeRow
from harness.analysis.findings import Finding
from harness.contract.record import Record
from harness.contract.stored_campaign import StoredHead, StoredOutcome
from harness.contract.stored_cell import StoredCell
from harness.report import history
from harness.report.charts import emphasis
from harness.report.charts import figure_data as figures
from harness.report.charts.emphasis import Emphasis
from harness.report.charts.figure_data import Figure
from harness.report.sections import (
    background,
    churn,
    cost,
    distribution,
    host_fitness,
    matrix,
    memory,
    opening,
    over_time,
    paced,
    proofs,
    slower,
    spent,
    tables,
    varied,
    why,
)
from harness.report.sections import server_sections as sections
from harness.report.sections import validation as checks
from harness.report.sections.background import Fact, Limit, Variant
from harness.report.sections.host_fitness import Fitness
from harness.report.sections.matrix import Matrix
from harness.report.sections.proofs import Attempt
from harness.report.sections.server_sections import Section
from harness.report.sections.tables import CellRow, Group
from harness.report.sections.validation import Banner, Check, Failure, Validity


@dataclass(frozen=True, slots=True)
class Model:
    """One report.

    Attributes:
        verdict: at most two findings; `verdict_lines` has them as text.
        findings: all findings.
        validity: whether the figures can be used, and the caveats.
        groups: the ranked table.
        cells: every cell with its status.
        failures: trials that failed, with their last log lines.
        checks: the gates, and how often each tripped.
        shapes: published results, and whether this campaign repeats them.
        facts: the environment, flattened.
        limits: the limits that were asked for and that were applied.
        fitness: the doctor's answer about the host; None if it did not run.
        sections: one per server.
        matrices: language × mechanism, if families share mechanisms.
        emphasis: which servers have a colour in charts, and the marker and dash of each.
        history: the figures that the index joins from campaign to campaign.
        command: the command that repeats the campaign.
        no_latency: why latencies are hidden in every format, and what that means for the ranking;
            empty if they are shown.
        attempts: the self-tests of the load generator, in their order.
    """

    campaign: str
    title: str
    state: str
    created: str
    profile: str
    verdict: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    validity: Validity
    banners: tuple[Banner, ...]
    host: str
    setting: tuple[str, ...]
    command: str
    caption: str
    groups: tuple[Group, ...]
    figures: tuple[Figure, ...]
    cells: tuple[CellRow, ...]
    failures: tuple[Failure, ...]
    checks: tuple[Check, ...]
    shapes: tuple[ShapeRow, ...]
    facts: tuple[Fact, ...]
    limits: tuple[Limit, ...]
    fitness: Fitness | None
    variants: tuple[Variant, ...]
    sections: tuple[Section, ...]
    matrices: tuple[Matrix, ...]
    history: Mapping[str, Any]
    analysis: Analysis
    emphasis: Emphasis
    no_latency: str = ""
    attempts: tuple[Attempt, ...] = ()

    @property
    def verdict_lines(self) -> tuple[str, ...]:
        """The verdict as plain text."""
        return tuple(finding.text for finding in self.verdict)

    @property
    def further(self) -> tuple[Finding, ...]:
        """The findings that the verdict does not contain."""
        return findings.further(self.findings)

    @property
    def shapes_conclusion(self) -> str:
        """The number of expected shapes that passed, failed, are not settled or do not apply."""
        return shapes.conclusion(self.shapes)

    @property
    def ranked_void(self) -> bool:
        """Whether a ranked cell has a rejected trial."""
        return self.analysis.ranked_void


def build(
    campaign: Mapping[str, Any], records: Sequence[Record], outcomes: Sequence[Record]
) -> Model:
    """Compute the report of a campaign, complete or not.

    Args:
        campaign: `campaign.json`.
        records: the lines of `trials.jsonl`.
        outcomes: the lines of `outcomes.jsonl`.
    """
    head = StoredHead.of(campaign)
    measured = [StoredCell.of(line) for line in records]
    ends = [StoredOutcome.of(line) for line in outcomes]
    analysis = analyse(head, measured, ends)
    cells = tables.cell_rows(analysis)
    found = (*findings.find(analysis), *bottlenecks.find(head, analysis))
    variants = background.variants(campaign, analysis)
    drawn = emphasis.emphasis(analysis, variants)
    return Model(
        campaign=str(campaign.get("campaign") or "unnamed"),
        title=background.title(analysis, variants),
        state=str(campaign.get("state") or "unknown"),
        created=background.created(campaign),
        profile=head.profile.title,
        verdict=findings.verdict(found),
        findings=found,
        validity=checks.validity(campaign, head, analysis, found),
        banners=checks.banners(campaign, head),
        host=background.host(campaign),
        setting=background.setting(campaign),
        command=background.command(campaign),
        caption=tables.caption(analysis),
        groups=tables.groups(analysis, variants),
        figures=emphasis.applied(
            (
                *cost.figures(analysis, variants),
                *slower.figures(analysis, variants),
                *figures.figures(analysis, variants),
                *varied.figures(analysis, variants),
                *memory.figures(analysis, variants),
                *distribution.figures(analysis, variants),
                *paced.figures(analysis, variants),
                *opening.figures(analysis, variants),
                *churn.figures(analysis, variants),
                *over_time.figures(analysis, variants),
                *spent.figures(campaign, analysis, variants),
                *why.figures(analysis, variants),
            ),
            drawn,
            variants,
        ),
        emphasis=drawn,
        cells=cells,
        failures=checks.failures(ends),
        checks=checks.checks(head, measured, ends),
        shapes=shapes.check(head, analysis),
        facts=(*background.facts(campaign), *background.accounts(records)),
        limits=background.limits(records),
        fitness=host_fitness.fitness(campaign),
        variants=variants,
        sections=sections.sections(variants, cells, records, outcomes),
        matrices=matrix.matrices(campaign, analysis),
        history=history.told(campaign, analysis),
        analysis=analysis,
        no_latency=proofs.note(head, analysis),
        attempts=proofs.attempts(head),
    )
