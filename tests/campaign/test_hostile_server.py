"""A server that attacks the processes beside it: the load's memory, output and life are out of its
reach, and the campaign measures it as any other.

Each server here tries everything on every process that it finds, itself and its keeper left out,
and prints what it could do.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from command import C10k, Finished
from faulty_servers import echo

from harness.host.isolation import pid_namespace_command

ATTACKS = """
import ctypes, json, signal
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_DETACH = 16, 17

def write(path):
    os.close(os.open(path, os.O_WRONLY))

def trace(pid):
    if libc.ptrace(PTRACE_ATTACH, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0)
    libc.ptrace(PTRACE_DETACH, pid, None, None)

def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)

ATTACKS = {
    "environ": lambda pid: open(f"/proc/{pid}/environ", "rb").read(),
    "mem": lambda pid: write(f"/proc/{pid}/mem"),
    "output": lambda pid: write(f"/proc/{pid}/fd/1"),
    "descriptors": lambda pid: os.listdir(f"/proc/{pid}/fd"),
    "ptrace": trace,
    "stop": stop,
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
    "cpus": lambda pid: os.sched_setaffinity(pid, {0}),
}

def attack():
    done, seen = [], 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (os.getpid(), os.getppid()):
            continue
        seen += 1
        for what, how in ATTACKS.items():
            try:
                how(int(name))
            except OSError:
                continue
            done.append(f"{what} of {open(f'/proc/{name}/comm').read().strip()}")
    return {"done": done, "seen": seen}

TOLD = []
"""
HOSTILE = (
    echo(on_data="if served == 1: TOLD.append(attack())")
    .replace(
        "lambda *_: sys.exit(0)", "lambda *_: sys.exit(print(json.dumps(TOLD), file=sys.stderr))"
    )
    .replace("import os, selectors", f"import os{ATTACKS}\nimport selectors", 1)
)


def told(done: Finished) -> dict[str, Any]:
    """What the server says that it could do."""
    assert done.code == 0, done.err + done.out
    (outcome,) = done.outcomes
    assert outcome["outcome"] == "done"
    (attacked,) = json.loads(outcome["log_tail"].splitlines()[-1])
    return dict(attacked)


@pytest.mark.docker
@pytest.mark.slow
def test_a_server_in_a_container_reaches_nothing_of_the_load(c10k: C10k) -> None:
    c10k.add_server("hostile", HOSTILE)
    profile = c10k.profile(xray="true")

    done = c10k(
        *("run", "--backend", "docker", "--profile", profile, "--servers-dir", c10k.servers),
        *("--seed", "7"),
    )

    found = told(done)
    assert found["seen"] >= 2  # the load, and the first process of its container
    assert found["done"] == []
    # The load, for its part, still reads and traces the server
    assert [line["tool"] for line in done.lines("xray.jsonl")] == ["strace"]
    assert all(cell["server"]["memory_bytes"]["user"] > 0 for cell in done.cells[1:])


@pytest.mark.skipif(not pid_namespace_command(), reason="PID namespaces are refused here")
def test_a_server_that_is_a_process_does_not_see_the_load(c10k: C10k) -> None:
    c10k.add_server("hostile", HOSTILE)

    done = c10k.run(c10k.profile())

    assert told(done) == {"done": [], "seen": 0}
