"""Find why nothing is ranked, and what to do about it. Pure.

Rule 1: only this module states the reason. The validity line of every format prints it, and no
other text repeats it.
Rule 2: reasons that hold before any cell is measured (profile, self-test, plan) come first. Then
come reasons of the servers, then of the cells, then that the first look has not come yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.analysis.intervals import TRIALS_MIN
from harness.analysis.looks import Looks
from harness.analysis.ranking import barred, before_the_first_look
from harness.analysis.results import Cell, Headline, RankGroup, Row, Unranked
from harness.contract.statuses import CampaignState, CellStatus, FailureCode
from harness.contract.stored_campaign import StoredHead
from harness.gates import GATES, proof_coverage

# The remedy for gates that often void a whole campaign; `c10k explain` has the others.
GATE_ADVICE: Mapping[str, str] = {
    "disturbed": "End the other programs on this host, then run again",
    "failure": "The report lists the failures with their last log lines: fix the cause, then run "
    "again",
    "evidence": "This kernel hides the counters that a cell needs: run on a host whose /proc shows "
    "them (`c10k doctor`)",
    "established": "Run `c10k doctor` to see which limit stops the connections, then run again",
    "cpu-time": "Run again with a longer `window_s` in the profile",
    "little": "End other programs on this host, check it with `c10k selftest`, then run again",
    "corrupt": "Run `c10k check` to find the server's fault, then run again",
    "restarted": "Run `c10k check` and read the server's last log lines, then run again",
    "silent": "Run `c10k check` to find the server's fault, then run again",
    "lost": "Run `c10k check` and read the server's last log lines, then run again",
}


# Gates that void a cell; the others make it noisy.
VOIDING = frozenset(gate.code for gate in GATES if gate.effect == CellStatus.VOID)
Reason = tuple[str, str, str]  # code, why, advice


def why(
    head: StoredHead,
    chosen: Headline,
    groups: Sequence[RankGroup],
    cells: Sequence[Cell],
    looks: Looks,
) -> Unranked | None:
    """Return the reason why no server of any group has a rank; None if one has."""
    if any(row.is_best for group in groups for row in group.rows):
        return None
    if chosen.why_not:
        return Unranked(chosen.code, chosen.why_not, chosen.advice)
    bars = barred(head)
    able = [[row for row in group.rows if row.variant not in bars] for group in groups]
    found = (
        _nothing(head, cells)
        or _servers(able, bars)
        or _unproven(head, [row for group in able for row in group])
        or _unusable(head, [row for group in able for row in group])
        or _before_the_first_look(head, looks)
        or _usable(head, able)
    )
    return Unranked(*found, waits=head.state == CampaignState.RUNNING)


def _nothing(head: StoredHead, cells: Sequence[Cell]) -> Reason | None:
    left_out = (CellStatus.VOID, CellStatus.UNPROVEN)
    if any(cell.rate or cell.ramp or any(map(cell.count, left_out)) for cell in cells):
        return None
    yet = "" if head.state in (CampaignState.DONE, CampaignState.FAILED) else " yet"
    return "nothing-measured", f"nothing is measured{yet}", _go_on(head)


def _servers(able: Sequence[Sequence[Row]], bars: Mapping[str, str]) -> Reason | None:
    """Return a reason that no trial can change: the servers of the campaign."""
    rows = [row for group in able for row in group]
    if not rows and FailureCode.NONCONFORMING in bars.values():
        failing = sorted(name for name, bar in bars.items() if bar == FailureCode.NONCONFORMING)
        rest = "" if len(failing) == len(bars) else ", and the others are experimental"
        return (
            FailureCode.NONCONFORMING,
            f"no server passes every conformance check{rest}",
            f"`c10k check {failing[0]}` shows what fails: fix it, then run again",
        )
    if not rows:
        return (
            "experimental",
            "every server is experimental",
            "Add stable servers to `--servers`",
        )
    if len(rows) == 1:
        others = "; the others are experimental or fail a conformance check" if bars else ""
        return (
            "one-server",
            f"{rows[0].variant} is the only server that can be ranked, and a rank compares two"
            f"{others}",
            "Add another to `--servers`",
        )
    if all(len(group) < 2 for group in able):
        return (
            "widths",
            "no two servers have the same number of workers, and only those are compared",
            "Add servers with the same number of workers to `--servers`",
        )
    return None


def _unproven(head: StoredHead, rows: Sequence[Row]) -> Reason | None:
    """Return the reason if a server lacks only trials without a passed self-test next to them."""
    for row in rows:
        lost = row.cell.count(proof_coverage.UNPROVEN) if row.cell else 0
        if row.cell and _blocks(row) < TRIALS_MIN <= _blocks(row) + lost:
            text = next(one.text for one in row.cell.reasons if one.code == proof_coverage.CODE)
            trials = "trial" if lost == 1 else "trials"
            return (
                proof_coverage.CODE,
                f"ranking needs {TRIALS_MIN} usable trials of the headline cell, and of "
                f"{row.variant} {lost} {trials} are left out ({text})",
                proof_coverage.advice(head),
            )
    return None


def _unusable(head: StoredHead, rows: Sequence[Row]) -> Reason | None:
    """Return the reason if no server has a figure at the headline."""
    cells = [row.cell for row in rows if row.cell]
    if any(cell.efficiency for cell in cells):
        return None
    states = Counter(cell.status for cell in cells)
    if states[CellStatus.VOID]:
        code, text = _worst(cells)
        which = "every headline cell is void"
        if states[CellStatus.VOID] < len(rows):
            which = f"no headline cell has a figure and {states['void']} of {len(rows)} are void"
        return f"void:{code}", f"{which}, most often by `{code}` ({text})", _mend(code)
    if states[CellStatus.CAPPED] == len(rows):
        return (
            CellStatus.CAPPED,
            "every server stops below the connections of the headline cell",
            "Add one that holds them to `--servers`, such as epoll-lt",
        )
    told = Counter(
        reason.text for cell in cells for reason in cell.reasons if cell.count(CellStatus.MISSING)
    )
    because = f" ({told.most_common(1)[0][0]})" if told else ""
    return (
        CellStatus.MISSING,
        f"no server has a figure of the headline cell{because}",
        _go_on(head),
    )


def _before_the_first_look(head: StoredHead, looks: Looks) -> Reason | None:
    """Return the reason if the first look has not come. Before it a ranking could be chance."""
    if looks.last is not None:
        return None
    return "first-look", before_the_first_look(looks), _go_on(head)


def _usable(head: StoredHead, able: Sequence[Sequence[Row]]) -> Reason:
    """Return the reason if servers have figures at the headline, but no two are comparable."""
    enough = max(([row for row in group if _blocks(row) >= TRIALS_MIN] for group in able), key=len)
    if len(enough) >= 2:
        return (
            "blocks",
            f"no two servers share {TRIALS_MIN} blocks with usable trials",
            "Run again with more `trials` in the profile",
        )
    rows = [row for group in able for row in group]
    most = max(map(_blocks, rows))
    has = f"only {enough[0].variant} has them" if enough else f"the most that one has is {most}"
    width = " with the same number of workers" if len(able) > 1 else ""
    code, text = _worst([row.cell for row in rows if row.cell and row not in enough])
    because = f"; trials are void most often by `{code}` ({text})" if code else ""
    return (
        "usable-trials",
        f"ranking needs {TRIALS_MIN} usable trials of the headline cell from two servers{width}, "
        f"and {has}{because}",
        _mend(code) if code else _go_on(head),
    )


def _blocks(row: Row) -> int:
    return len(row.cell.efficiency.blocks) if row.cell and row.cell.efficiency else 0


def _worst(cells: Sequence[Cell]) -> tuple[str, str]:
    """Return the gate that voids most trials of these cells, and one text of it."""
    counted: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for cell in cells:
        for reason in cell.reasons:
            if cell.count(CellStatus.VOID) and reason.code in VOIDING:
                counted[reason.code] += reason.trials
                texts.setdefault(reason.code, reason.text)
    if not counted:
        return "", ""
    code = counted.most_common(1)[0][0]
    return code, texts[code]


def _mend(code: str) -> str:
    """Return what to do about a gate."""
    return GATE_ADVICE.get(
        code, f"`c10k explain {code}` says what it means: fix it, then run again"
    )


def _go_on(head: StoredHead) -> str:
    """Return what to do about missing trials."""
    if head.state == CampaignState.RUNNING:
        return "Wait for the campaign to end"
    if head.state in (
        CampaignState.INTERRUPTED,
        CampaignState.STOPPED,
        CampaignState.FAILED,
    ):
        return f"Finish it with `c10k run --resume {head.campaign or 'CAMPAIGN'}`"
    return "The report lists the failures with their last log lines: fix the cause, then run again"
