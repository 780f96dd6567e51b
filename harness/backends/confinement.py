"""Confine every container of ours: its user, few rights, a seccomp profile, and our labels.

A server runs as `SERVER_UID` without capabilities. The load is root of its container with the few
capabilities below: it may read, trace and signal the server, and the kernel refuses the reverse
(ptrace(2), kill(2)). Docker adds capabilities only for root. Both share a PID namespace, so that
the load finds the server's processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docker.types import LogConfig

from harness import conformance
from harness.backends.base import LABEL
from harness.host import lock

SERVER_UID = 7007
# Group of server and load: both write into the directory that they share.
GROUP_ID = 7007
# Read memory and descriptors of the server, and send it signals. Only the owner may open the
# directory of descriptors (/proc/PID/fd in proc(5)), hence the third.
LOAD_CAPABILITIES = ("SYS_PTRACE", "KILL", "DAC_READ_SEARCH")
# Connect to a socket that only the server may write to (unix(7)), and limit the server's open files
# as the server's user (prlimit(2)). SYS_RESOURCE would do, but not every engine can grant it.
SUITE_CAPABILITIES = (*LOAD_CAPABILITIES, "DAC_OVERRIDE", "SETUID", "SETGID")
# Campaigns with their own locks (C10K_LOCK) may run at once: a sweep spares those of other locks.
LOCK_LABEL = "c10k.lock"
LOG_FILE_SIZE = "16m"
SECCOMP = Path(__file__).with_name("seccomp.json")
PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
# Label of a harness that runs in a separate container (harness/campaign/own_container.py); its
# value is the launcher's id.
LAUNCHED = "c10k.launched-by"
# Compose labels the image that it builds, and containers inherit an image's labels. Compose would
# take our containers for parts of its project, and stop everything when a load ends.
NOT_COMPOSE = {PROJECT: "", SERVICE: ""}


def labels(campaign: str) -> dict[str, str]:
    """Labels that find everything that we start."""
    return {
        LABEL: campaign,
        LOCK_LABEL: str(lock.default_path()),
        **NOT_COMPOSE,
    }


def confined(campaign: str) -> dict[str, Any]:
    """Options of every container: no rights, a readable log, a server's user."""
    return {
        "detach": True,
        "user": f"{SERVER_UID}:{GROUP_ID}",
        # An engine that remaps users must not remap this one: the volume of a trial belongs to it.
        "userns_mode": "host",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", f"seccomp={SECCOMP.read_text()}"],
        "labels": labels(campaign),
        # The counters come from the log. An engine's default may be to drop it, or to keep it
        # unbounded. Two files, because the engine drops the older one when the other is full.
        "log_config": LogConfig(
            type=LogConfig.types.JSON, config={"max-size": LOG_FILE_SIZE, "max-file": "2"}
        ),
    }


def above_servers(module: str) -> dict[str, Any]:
    """Options of a container that runs with a server: a user that servers cannot affect, rights.

    `module` is the Python module that runs in it.
    """
    is_suite = module == conformance.__name__
    capabilities = SUITE_CAPABILITIES if is_suite else LOAD_CAPABILITIES
    return {"user": f"0:{GROUP_ID}", "cap_add": list(capabilities)}
