"""Read a whole directory of servers, none of whose files may be wrong."""

from __future__ import annotations

from pathlib import Path

from harness.variants import variant_files


def discover(servers: Path) -> list[variant_files.Variant]:
    """All servers under the directory, sorted by name.

    Raises:
        UsageError: there are none, or one is wrong (all problems of all files are reported).
    """
    found = variant_files.survey(servers)
    found.require(found.broken)
    return list(found.variants)
