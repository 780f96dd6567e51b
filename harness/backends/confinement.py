"""What every container of ours has: a user without rights, a seccomp profile, and our labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docker.types import LogConfig

from harness import lock
from harness.backends.base import LABEL

# One uid for server and load: the load may then read the server's /proc (proc(5), ptrace(2)
# PTRACE_MODE_READ_FSCREDS), and neither is root.
USER = "7007:7007"
# Campaigns with locks of their own (C10K_LOCK) may run at once: none sweeps up another one's.
LOCK_LABEL = "c10k.lock"
SECCOMP = Path(__file__).with_name("seccomp.json")


def labels(campaign: str) -> dict[str, str]:
    """By which everything that we start is found again."""
    return {
        LABEL: campaign,
        LOCK_LABEL: str(lock.default_path()),
        # Compose labels the image that it builds, and containers inherit an image's labels: it
        # would take the load for a part of its project and stop everything when a load ends.
        "com.docker.compose.project": "",
        "com.docker.compose.service": "",
    }


def confined(campaign: str) -> dict[str, Any]:
    """What holds for every container: no rights, and a log that can be read."""
    return {
        "detach": True,
        "user": USER,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", f"seccomp={SECCOMP.read_text()}"],
        "labels": labels(campaign),
        # The counters come from the log, which an engine may be told to drop by default.
        "log_config": LogConfig(type=LogConfig.types.JSON),
    }
