"""Make the ranked table and the tables of cells, as text. "—" means: not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis import settling, wording
from harness.analysis.intervals import Comparison, Estimate
from harness.analysis.results import Analysis, Cell, CellKey, Memory, Reason, Row
from harness.contract.statuses import CellStatus
from harness.report.sections.anchors import anchor, cell_word, status_word
from harness.report.sections.background import Variant
from harness.report.sections.badges import Badge, badges

NONE = "—"


@dataclass(frozen=True, slots=True)
class RankedRow:
    """One server at the headline.

    Attributes:
        efficiency: echoes per second of server CPU, or why there is none; `interval` is its half
            width.
        slower: rate of the best divided by this one's; `slower_range` is its interval, `outcome`
            its meaning.
        notes: what restricts the row, as badges.
        rate: raw echoes/s, with "≥" if the server was not the limit.
        events: events per wake-up, shown if latencies are not.
        conforms: conformance checks passed, of those that apply.
        words: what failed or stopped it; `tone` is ok, capped or bad.
    """

    variant: str
    colour: int
    rank: str
    efficiency: str
    interval: str
    slower: str
    slower_range: str
    outcome: str
    rate: str
    p99_ms: str
    events: str
    held: str
    memory_kib: str
    cpu_us: str
    conforms: str
    words: str
    tone: str
    notes: tuple[Badge, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Servers that are comparable; `title` is empty if all are."""

    title: str
    rows: tuple[RankedRow, ...]


@dataclass(frozen=True, slots=True)
class CellRow:
    """One cell of one server: its figures as text, and why it is not valid.

    Attributes:
        what: the cell in words: scenario, open connections, and the other values that it fixes.
        events: events per wake-up, shown if latencies are not.
        opening: the course of a ramp, in place of the figures of traffic.
    """

    anchor: str
    variant: str
    what: str
    status: str
    status_class: str
    trials: str
    established: str
    efficiency: str
    interval: str
    slower: str
    rate: str
    p50_ms: str
    p99_ms: str
    p999_ms: str
    events: str
    cpu_us: str
    busy: str
    memory_kib: str
    threads: str
    switches: str
    opening: str
    reasons: tuple[Reason, ...]


def caption(analysis: Analysis) -> str:
    """Describe the ranked table."""
    key = analysis.headline.key
    if key is None:
        return "Not ranked. The cells of each server are below."
    where = f"{key.connections:,} open connections, {key.active:,} active"
    if any(row.is_best for row in analysis.rows):
        return (
            f"Ranked at {where}{_looked(analysis)}. 1=: equivalent; 1–3: not settled."
            f"{_confidence(analysis)}"
        )
    return f"Not ranked. Figures at {where}."


def _looked(analysis: Analysis) -> str:
    """Return `, by the 8 blocks of look 1`."""
    look = analysis.looks.last
    return f", by the {look.blocks} blocks of look {look.number}" if look else ""


def _confidence(analysis: Analysis) -> str:
    """Return the confidence of the intervals in the table."""
    known = {row.comparison.confidence for row in analysis.rows if row.comparison}
    words = " and ".join(wording.confidence(one).text for one in sorted(known))
    return f" Intervals: 95 % for a rate, {words} for a ratio." if words else ""


def _why_not(analysis: Analysis) -> str:
    """Return the note that all rows share: the validity line states it once."""
    if analysis.headline.why_not or any(row.is_best for row in analysis.rows):
        return analysis.headline.why_not
    reasons = {row.note for row in analysis.rows if row.cell and row.cell.efficiency}
    return reasons.pop() if len(reasons) == 1 else ""


def groups(analysis: Analysis, variants: Sequence[Variant]) -> tuple[Group, ...]:
    """Return the ranked table, one group per number of workers."""
    known = {variant.name: variant for variant in variants}
    is_mixed = len(analysis.groups) > 1
    why_not = _why_not(analysis)
    return tuple(
        Group(
            f"{group.workers} worker{'' if group.workers == '1' else 's'}" if is_mixed else "",
            tuple(_ranked(analysis, row, known.get(row.variant), why_not) for row in group.rows),
        )
        for group in analysis.groups
    )


def cell_rows(analysis: Analysis) -> tuple[CellRow, ...]:
    """Return every cell that was planned or measured."""
    return tuple(_cell_row(analysis, cell) for cell in analysis.cells)


def rate_of(cell: Cell | None) -> str:
    """Return raw echoes/s, as a lower bound unless the server was the limit."""
    if cell is None or cell.rate is None:
        return NONE
    return f"{'' if cell.saturated else '≥ '}{wording.rate(cell.rate.mean)}"


def half_width(estimate: Estimate | None) -> str:
    """Return `± 1.9 %`, or an empty text."""
    if estimate is None or estimate.half_width is None:
        return ""
    return wording.half_width(estimate.half_width).text


def range_of(comparison: Comparison | None) -> str:
    """Return `0.98–1.06`, or an empty text."""
    if comparison is None:
        return ""
    ends = (comparison.interval.low, comparison.interval.high)
    return "–".join(wording.bound(end, comparison.ratio).text for end in ends)


def total_kib(memory: Memory | None) -> str:
    """Return all memory of a connection, in KiB."""
    total = memory.total if memory else None
    return NONE if total is None else wording.kib(total).text


def _ranked(analysis: Analysis, row: Row, variant: Variant | None, why_not: str) -> RankedRow:
    cell, comparison = row.cell, row.comparison
    words, tone = _words(row, why_not)
    ratio = comparison.ratio if comparison else 1.0 if row.is_best else None
    return RankedRow(
        variant=row.variant,
        colour=variant.colour if variant else 0,
        rank=row.rank,
        efficiency=_rate(row.efficiency) if row.efficiency else _no_rate(cell),
        interval=half_width(row.efficiency),
        slower=wording.times(ratio).text if ratio else NONE,
        slower_range=range_of(comparison),
        outcome=comparison.outcome if comparison else "",
        rate=rate_of(cell),
        p99_ms=wording.millis(cell.latency_us.p99).text if cell and cell.latency_us else NONE,
        events=_plain(cell.events_per_wake_up) if cell else NONE,
        held=f"{row.held:,}" if row.held is not None else NONE,
        memory_kib=total_kib(cell.memory) if cell else NONE,
        cpu_us=wording.micros(1e6 / row.efficiency.mean).text if row.efficiency else NONE,
        conforms=(variant.conforms if variant else "") or NONE,
        words=words,
        tone=tone,
        notes=badges(analysis, row),
    )


def _no_rate(cell: Cell | None) -> str:
    """Return what stands in place of a rate."""
    if cell is not None and cell.status == CellStatus.CAPPED:
        return "not reached"
    return NONE


def _words(row: Row, why_not: str) -> tuple[str, str]:
    """Return the text and tone of the last column: failures as words, or "none".

    The validity line has `why_not`, the reason that no server is ranked. This column does not
    repeat it.
    """
    cell = row.cell
    if cell is None:
        return row.note or "not measured", "bad"
    if cell.status in (CellStatus.CAPPED, CellStatus.UNPROVEN, CellStatus.VOID, CellStatus.MISSING):
        is_capped = cell.status == CellStatus.CAPPED
        return row.note or status_word(cell.status), "capped" if is_capped else "bad"
    total = sum(count for _, count in cell.counts)
    told = [
        f"{status_word(status)} in {count} of {total} trials"
        for status, count in cell.counts
        if status != CellStatus.VALID
    ]
    if told:
        because = f": {cell.reasons[0].text}" if cell.reasons else ""
        return "; ".join(told) + because, "bad"
    if unsettled := settling.forecast(row):
        return f"none; not settled: {unsettled}", "ok"
    return (row.note if row.note != why_not else "") or "none", "ok"


def _cell_row(analysis: Analysis, cell: Cell) -> CellRow:
    latency, key = cell.latency_us, cell.key
    contrast = analysis.contrast(cell.variant, key)
    return CellRow(
        anchor=anchor(cell),
        variant=cell.variant,
        what=what(key),
        status=cell_word(cell),
        status_class=cell.status,
        trials=_trials(cell),
        established=f"{cell.held:,}" if cell.held is not None else NONE,
        efficiency=_rate(cell.efficiency),
        interval=half_width(cell.efficiency),
        slower=wording.times(contrast.comparison.ratio).text if contrast else NONE,
        rate=rate_of(cell),
        p50_ms=wording.millis(latency.p50).text if latency else NONE,
        p99_ms=wording.millis(latency.p99).text if latency else NONE,
        p999_ms=wording.millis(latency.p999).text if latency and latency.p999 else NONE,
        events=_plain(cell.events_per_wake_up),
        cpu_us=_micros(cell.cpu_us_per_echo),
        busy=_share(cell.server_busy) + " / " + _share(cell.generator_busy),
        memory_kib=total_kib(cell.memory),
        threads=wording.count(cell.threads).text if cell.threads is not None else NONE,
        switches=_plain(cell.switches_per_echo),
        opening=_opening(cell),
        reasons=cell.reasons,
    )


def _trials(cell: Cell) -> str:
    """Return the number of trials, per status if they differ."""
    counted = [(f"{count}", status_word(status)) for status, count in cell.counts]
    return counted[0][0] if len(counted) == 1 else ", ".join(map(" ".join, counted))


def what(key: CellKey) -> str:
    """Describe a cell: `idle 10,000`, `paced 1,000, 2,000/s`, `payload 100, 65,536 B`."""
    words = [f"{key.scenario} {key.connections:,}"]
    if key.scenario == "payload":
        words.append(f"{key.payload_bytes:,} B")
    if key.depth > 1:
        words.append(f"depth {key.depth}")
    if key.rate_offered_per_s is not None:
        words.append(f"{key.rate_offered_per_s:,.0f}/s")
    if key.closing is not None:
        words.append(f"by {key.closing.upper()}")
    if key.rate_share is not None:
        words.append(f"{wording.share(key.rate_share)} of capacity")
    return ", ".join(words)


def _opening(cell: Cell) -> str:
    """Describe the course of a ramp in one line; empty for a cell with traffic."""
    ramp = cell.ramp
    if ramp is None:
        return ""
    words = []
    if ramp.time_to_n_s:
        words.append(f"all after {wording.seconds(ramp.time_to_n_s.mean)}")
    if ramp.connect_p99_us:
        words.append(f"connect p99 {wording.millis(ramp.connect_p99_us, ' ms')}")
    if ramp.hello_p99_us:
        words.append(f"first echo p99 {wording.millis(ramp.hello_p99_us, ' ms')}")
    words.append(f"failed {ramp.failed:,}, overflows {ramp.overflows:,}")
    return "; ".join(words)


def _rate(estimate: Estimate | None) -> str:
    return wording.rate(estimate.mean).text if estimate else NONE


def _micros(estimate: Estimate | None) -> str:
    return wording.micros(estimate.mean).text if estimate else NONE


def _plain(value: float | None) -> str:
    return wording.plain(value).text if value is not None else NONE


def _share(value: float | None) -> str:
    return wording.share(value).text if value is not None else NONE
