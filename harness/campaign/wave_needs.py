"""What the selected servers need when they are up at once, as waves are planned by it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.doctor import room
from harness.plan import trial_plan
from harness.plan.waves import Server
from harness.variants import groups
from harness.variants.variant_files import Variant

# The architecture that has a thread for each connection: such servers share the threads of a host.
THREADED = "thread-per-connection"


def servers(
    variants: Sequence[Variant], connections: int, same_twice: str | None = None
) -> list[Server]:
    """The servers of a block, each with what it needs at that many connections.

    The one that runs twice in each block has its second run behind it.
    """
    found = []
    for variant in variants:
        one = _server(variant, connections)
        found.append(one)
        if variant.name == same_twice:
            found.append(replace(one, name=trial_plan.again(one.name), is_again=True))
    return found


def _server(variant: Variant, connections: int) -> Server:
    file = variant.file
    is_threaded = file.architecture == THREADED
    return Server(
        name=variant.name,
        group=groups.of(file).name,
        needs=room.needs(connections, is_threaded=is_threaded),
        has_ceiling=file.limits is not None,
        is_experimental=file.status == "experimental",
        is_threaded=is_threaded,
    )
