"""Compute how much CPU time other programs used during a campaign. Pure.

Rule 1: shares are of one CPU, as `top` prints them: two busy processes are 200 %.
Rule 2: times are totals over all CPUs, because the kernel does not count them by CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.contract.stored_campaign import StoredOthers, View
from harness.contract.stored_cell import StoredCell
from harness.gates.cpu_checks import OTHERS_SHARE_MAX, balance

# Programs below this share of one CPU are not named.
SHARE_NAMED_MIN = 0.03
NAMED_MAX = 3
# A sum below this share is not reported: the bound of the gate `shared-cpu`.
SHARE_TOLD_MIN = OTHERS_SHARE_MAX
KEPT_MAX = 10
NS_PER_S = 1_000_000_000

# A process by its PID and start time, or a control group by its path.
Key = tuple[int, int] | str


@dataclass(frozen=True, slots=True)
class Program:
    """A process or a control group at one moment.

    Attributes:
        cpu_ns: its own run time so far.
        collected_ns: run time of its ended children, as far as a process waited for them.
        parent: the process above it.
    """

    name: str
    cpu_ns: int
    collected_ns: int = 0
    parent: Key | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All programs at one moment, without the campaign's own."""

    stamp_ns: int
    view: View
    programs: Mapping[Key, Program] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Used:
    """CPU time of other programs in the trials of a campaign: `others` in `campaign.json`.

    Attributes:
        span_s: for how long the harness watched them.
        cpu_s: {name: CPU seconds}, the largest first.
        server_share: share of the servers' CPUs that others used, by the balances of the cells;
            None if no cell has one.
    """

    view: View
    span_s: float = 0.0
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    server_share: float | None = None

    @classmethod
    def of(cls, kept: StoredOthers | None) -> Used | None:
        """Read what `campaign.json` has of it; None in a campaign without it."""
        if kept is None:
            return None
        return cls(kept.view, kept.span_s, kept.cpu_s, kept.server_share)

    def as_json(self) -> dict[str, object]:
        """Return it for `campaign.json`, as `of` reads it."""
        largest = sorted(self.cpu_s.items(), key=lambda item: -item[1])[:KEPT_MAX]
        return StoredOthers(
            view=self.view,
            span_s=round(self.span_s, 2),
            cpu_s={name: round(cpu_s, 2) for name, cpu_s in largest},
            server_share=None if self.server_share is None else round(self.server_share, 4),
        ).model_dump()

    def plus(self, more: Used) -> Used:
        """Return the sum of both spans, with the view of the later one."""
        total = Counter(self.cpu_s)
        total.update(more.cpu_s)
        return replace(self, view=more.view, span_s=self.span_s + more.span_s, cpu_s=dict(total))

    @property
    def shares(self) -> list[tuple[str, float]]:
        """`(name, share of one CPU)` of the programs to name, the largest first."""
        if not self.span_s:
            return []
        shares = ((name, cpu_s / self.span_s) for name, cpu_s in self.cpu_s.items())
        named = [(name, share) for name, share in shares if share >= SHARE_NAMED_MIN]
        return sorted(named, key=lambda item: -item[1])[:NAMED_MAX]


def between(first: Snapshot, last: Snapshot) -> Used:
    """Return what the programs used from one moment to a later one, by name.

    A control group counts only if it existed at both moments. A newer one may be a container of the
    campaign, or a group that contained one.
    """
    used: Counter[str] = Counter()
    inherited = _inherited_ns(first.programs, last.programs)
    for key, now in last.programs.items():
        was = first.programs.get(key)
        if was is None and last.view == "groups":
            continue
        grown_ns = now.cpu_ns + now.collected_ns
        if was is not None:
            grown_ns -= was.cpu_ns + was.collected_ns
        grown_ns -= inherited[key]
        if grown_ns > 0:
            used[now.name] += grown_ns
    span_s = (last.stamp_ns - first.stamp_ns) / NS_PER_S
    return Used(last.view, span_s, {name: ns / NS_PER_S for name, ns in used.items()})


def _inherited_ns(before: Mapping[Key, Program], after: Mapping[Key, Program]) -> Counter[Key]:
    """Return the time that parents collected from ended children, from before the first moment."""
    inherited: Counter[Key] = Counter()
    for key, was in before.items():
        if key in after:
            continue
        heir = was.parent
        while heir is not None and heir not in after and heir in before:
            heir = before[heir].parent
        if heir is not None and heir in after:
            old_ns = before[heir].collected_ns if heir in before else 0
            room_ns = after[heir].collected_ns - old_ns - inherited[heir]
            inherited[heir] += max(0, min(was.cpu_ns + was.collected_ns, room_ns))
    return inherited


def server_share(cells: Sequence[StoredCell]) -> float | None:
    """Return the share of the servers' CPUs that other processes used; None if no cell shows it."""
    found = [one for cell in cells if (one := balance(cell)) is not None]
    whole_ns = sum(one.whole_ns for one in found)
    if not whole_ns:
        return None
    return sum(max(0.0, one.busy_ns - one.server_ns) for one in found) / whole_ns


def listed(used: Used) -> str:
    """Return `chrome 31 %, dockerd 4 % of a CPU`; empty if no program is large enough."""
    named = ", ".join(f"{name} {100 * share:.0f} %" for name, share in used.shares)
    return f"{named} of a CPU" if named else ""


def sentence(used: Used) -> str:
    """Return the same as a sentence, for the end of a campaign and for its report."""
    if used.view == "nothing":
        share = used.server_share or 0.0
        text = f"other programs used {100 * share:.0f} % of the servers' CPU time"
        return f"{text} (which ones is not visible from here)" if share >= SHARE_TOLD_MIN else ""
    shares = used.shares
    if sum(share for _, share in shares) < SHARE_TOLD_MIN:
        return ""
    told = [f"{name} used {100 * share:.0f} %" for name, share in shares]
    kind = "other programs" if used.view == "processes" else "control groups of others"
    return f"{kind}: {_joined(told)} of a CPU"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
