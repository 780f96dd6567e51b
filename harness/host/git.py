"""Ask Git about a directory. Without Git, or outside a repository, the answers are empty."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

TIMEOUT_S = 20.0


def description(directory: Path) -> str | None:
    """`git describe` of the directory's work tree; None in an image, which has none."""
    return _asked(directory, "describe", "--always", "--dirty", "--tags").strip() or None


def ignored(directory: Path) -> set[str]:
    """Paths of the files and directories in it that Git ignores."""
    listed = ("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
    return {path.rstrip("/") for path in _asked(directory, *listed).split("\0") if path}


def _asked(directory: Path, *arguments: str) -> str:
    """Git's answer; empty where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return os.fsdecode(done.stdout) if done.returncode == 0 else ""
