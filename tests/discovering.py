"""Read a whole directory of servers, none of whose files may be wrong."""

from __future__ import annotations

from pathlib import Path

from harness import variants


def discover(servers: Path) -> list[variants.Variant]:
    """All servers under the directory, sorted by name.

    Raises:
        UsageError: there are none, or one is wrong (all problems of all files are reported).
    """
    found = variants.survey(servers)
    found.require(found.broken)
    return list(found.variants)
