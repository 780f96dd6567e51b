"""Divide the servers of a block into waves that fit the host. Pure.

If all selected servers together exceed the host's memory, descriptors or threads, each block runs
in *waves*, one after another. One server, the *anchor*, is in every wave. The ratio of servers in
different waves goes through it (harness/analysis/series.py).

Rule 1: as few waves as fit; their sizes differ by one at most. The anchor's group comes first, and
servers of one group follow each other, because servers of one wave are compared directly.
Rule 2: the anchor is `epoll-lt` if it is selected. Otherwise it is the first selected server that
declares no ceiling, is not experimental and has no thread per connection; then the first without a
ceiling; then the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from harness.contract.campaign_head import KeptWaves

ANCHOR = "epoll-lt"
# The anchor and one more: a comparison needs two servers.
SERVERS_MIN = 2
BOUND = "servers_per_wave"


@dataclass(frozen=True, slots=True)
class Amount:
    """The resources that servers with their loads need at once, or that the host has for them.

    Attributes:
        memory_bytes: memory of servers, loads and kernel.
        files: open files of the whole host.
        watches: epoll watches of one user.
        threads: threads beyond a few for each process.
    """

    memory_bytes: int = 0
    files: int = 0
    watches: int = 0
    threads: int = 0

    def plus(self, other: Amount) -> Amount:
        """The sum."""
        return Amount(*(one + two for one, two in zip(self._all, other._all, strict=True)))

    def at_least(self, other: Amount) -> Amount:
        """The larger amount of each kind."""
        return Amount(*map(max, self._all, other._all))

    def beyond(self, room: Amount) -> tuple[str, ...]:
        """Names of the kinds of which this amount exceeds `room`."""
        names = [WORDS[field.name] for field in fields(self)]
        kinds = zip(names, self._all, room._all, strict=True)
        return tuple(name for name, needed, has in kinds if needed > has)

    @property
    def _all(self) -> tuple[int, ...]:
        return (self.memory_bytes, self.files, self.watches, self.threads)


WORDS = {
    "memory_bytes": "memory",
    "files": "open files",
    "watches": "epoll watches",
    "threads": "threads",
}


@dataclass(frozen=True, slots=True)
class Server:
    """The facts about one selected server that waves depend on.

    Attributes:
        group: servers of one group stay together where possible.
        needs: resources of the server with its load.
        has_ceiling: it declares a limit of connections.
        is_experimental: its status is experimental.
        is_threaded: it has a thread per connection.
        is_again: it is the second run of the server before it, and never the anchor.
    """

    name: str
    group: str
    needs: Amount
    has_ceiling: bool = False
    is_experimental: bool = False
    is_threaded: bool = False
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class Waves:
    """The division of each block's servers into waves.

    Attributes:
        anchor: the server that is in every wave.
        members: the other servers of each wave; wave 1 is the first.
        because: the resources that all servers at once would exceed, as text.
    """

    anchor: str
    members: tuple[tuple[str, ...], ...]
    because: tuple[str, ...] = ()

    @property
    def largest(self) -> int:
        """The most servers that are up at once, the anchor included."""
        return 1 + max(map(len, self.members))

    @property
    def sentence(self) -> str:
        """Describe them: `3 waves of at most 5 servers, paired through epoll-lt`."""
        return f"{self.short} of at most {self.largest} servers, paired through {self.anchor}"

    @property
    def short(self) -> str:
        """Count them: `3 waves`."""
        return f"{len(self.members)} waves"

    def of(self, wave: int) -> list[str]:
        """All servers of a wave, counted from 1."""
        return [self.anchor, *self.members[wave - 1]]

    def with_anchor(self, anchor: str) -> Waves:
        """The same waves with a member as anchor; the old anchor takes the member's place."""
        members = tuple(
            tuple(self.anchor if name == anchor else name for name in names)
            for names in self.members
        )
        return Waves(anchor, members, self.because)

    def kept(self) -> KeptWaves:
        """Return it for `campaign.json`."""
        members = [list(names) for names in self.members]
        return KeptWaves(anchor=self.anchor, members=members, because=list(self.because))

    @classmethod
    def of_campaign(cls, document: Mapping[str, object]) -> Waves | None:
        """Read the waves of a `campaign.json` as a document; None if all servers ran together."""
        told = document.get("waves")
        return cls.of_kept(KeptWaves.model_validate(told) if told else None)

    @classmethod
    def of_kept(cls, kept: KeptWaves | None) -> Waves | None:
        """Read the waves of a `campaign.json`; None if all servers ran together."""
        if kept is None:
            return None
        return cls(kept.anchor, tuple(map(tuple, kept.members)), tuple(kept.because or ()))


def decide(servers: Sequence[Server], room: Amount, per_wave: int | None = None) -> Waves | None:
    """Divide a campaign's servers into waves; None if all fit at once.

    A server that does not fit together with the anchor gets a wave too. The doctor reports what the
    host lacks for it.

    Args:
        room: the resources that the host has for servers and loads.
        per_wave: the most servers in a wave, the anchor included; two or more.
    """
    bounded = per_wave is not None and len(servers) > per_wave
    because = (*_total(servers).beyond(room), *((BOUND,) if bounded else ()))
    if len(servers) <= SERVERS_MIN or not because:
        return None
    anchor = next(one for one in servers if one.name == anchor_of(servers))
    members = sorted(
        (one for one in servers if one is not anchor),
        key=lambda one: (one.group != anchor.group, one.group),
    )
    least = 2 if per_wave is None else max(2, -(-len(members) // (per_wave - 1)))
    return Waves(anchor.name, _divided(anchor, members, room, least), because)


def paired_anew(
    planned: Waves, servers: Sequence[Server], room: Amount, able: Collection[str]
) -> Waves | None:
    """The waves with the next anchor by rule 2; None if no server is able to run.

    Each server but the old anchor keeps its wave. If a wave does not fit with the new anchor, all
    are divided again, into at least as many waves. A server that is not able to run needs nothing.
    """
    name = anchor_of(servers, able)
    if name is None:
        return None
    found = planned.with_anchor(name)
    runs = [one.name in able or one.is_again for one in servers]
    needed = [
        one if does_run else replace(one, needs=Amount())
        for one, does_run in zip(servers, runs, strict=True)
    ]
    known = {one.name: one for one in needed}
    totals = [
        _total(known[one] for one in found.of(wave)) for wave in range(1, len(found.members) + 1)
    ]
    if not any(total.beyond(room) for total in totals):
        return found
    others = [one for one in needed if one.name != name]
    members = _divided(known[name], others, room, len(planned.members))
    return Waves(name, members, planned.because)


def anchor_of(servers: Sequence[Server], able: Collection[str] | None = None) -> str | None:
    """Choose the anchor by rule 2 from the servers that are able to run; None if there is none."""
    known = [one for one in servers if not one.is_again and (able is None or one.name in able)]
    ordered = sorted(
        known,
        key=lambda one: (
            one.name != ANCHOR,
            one.has_ceiling or one.is_experimental or one.is_threaded,
            one.has_ceiling,
        ),
    )  # a stable sort: equal servers keep their order
    return ordered[0].name if ordered else None


def _divided(
    anchor: Server, members: Sequence[Server], room: Amount, least: int
) -> tuple[tuple[str, ...], ...]:
    """Divide the members into `least` waves, or into the smallest larger number that fits."""
    for one in members:
        room = room.at_least(anchor.needs.plus(one.needs))
    # The number of members is the upper bound: `room` fits the anchor and any one member
    fitting = (
        found
        for count in range(least, len(members) + 1)
        if (found := _dealt(anchor, members, count, room))
    )
    return tuple(tuple(one.name for one in wave) for wave in next(fitting))


def _dealt(
    anchor: Server, members: Sequence[Server], count: int, room: Amount
) -> list[list[Server]] | None:
    """The members in `count` waves of about the same size; None if they do not fit."""
    least, more = divmod(len(members), count)
    waves: list[list[Server]] = [[] for _ in range(count)]
    for one in members:
        for place, wave in enumerate(waves):
            has_place = len(wave) < least + (place < more)
            if has_place and not _total([anchor, *wave, one]).beyond(room):
                wave.append(one)
                break
        else:
            return None
    return waves


def _total(servers: Iterable[Server]) -> Amount:
    total = Amount()
    for one in servers:
        total = total.plus(one.needs)
    return total
