"""Build several servers at once: nothing is timed yet, so all CPUs may be at work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence

from harness.backends.base import Backend, Prepared
from harness.campaign import worker_pool
from harness.campaign.worker_pool import Done
from harness.variants.variant_files import Variant


def each(
    backend: Backend,
    variants: Sequence[Variant],
    timeout_s: float,
    *,
    cpus: Collection[int],
    say: Callable[[str], None],
) -> Generator[Done[Variant, Prepared]]:
    """Build the servers, as many at once as there are CPUs; close the iterator.

    Builds that share files wait until one of them has succeeded.

    Raises:
        Interrupted: by a signal; no build is left.
    """
    return worker_pool.each(
        variants,
        lambda variant: backend.prepare(variant, timeout_s),
        at_once=max(1, len(cpus)),
        place=backend.place,
        begin=lambda variant: say(f"building {variant.name}"),
        cpus=cpus,
    )
