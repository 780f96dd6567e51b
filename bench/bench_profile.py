"""Divide a server's CPU time per echo by system call.

The engine drives all connections in a closed loop while `perf` samples the server by the CPU's own
clock (`cpu-clock`, a timer, which works in virtual machines without counters of cycles). Each
sample's kernel stack names the system call. Servers run one after the other, in random order in
each round; the table has medians over the rounds. Two columns are parts of `send`, because on
loopback the kernel does the receiver's work in the sender's time. `softirq` delivers the message to
the client's socket. `waking` is the part of it that notifies the client, and wakes it if it sleeps.
The engine polls, as in campaigns. With `--sleep` it sleeps when idle, which shows what the server
pays for that.

It needs `perf` (Debian: linux-perf) and the right to sample the kernel: root, or
kernel.perf_event_paranoid at 1 or less.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import clients
from clients import SEED, Settings

SERVERS = ("poll", "select", "epoll-lt", "epoll-et")
# A prime, so that no periodic work of the kernel coincides with the samples or avoids them.
SAMPLES_PER_S = 2_999
STOP_S = 20
# The function by which the kernel enters each call, without the prefix of the architecture.
CALLS = {
    "sys_recvfrom": "recv",
    "sys_sendto": "send",
    "sys_poll": "wait",
    "sys_pselect6": "wait",
    "sys_select": "wait",
    "sys_epoll_wait": "wait",
    "sys_epoll_pwait": "wait",
}
# Parts of `send`: the frames of its stack where the kernel works for the receiver.
INSIDE_SEND = {
    "softirq": ("handle_softirqs", "__do_softirq"),
    # A wake-up runs with interrupts off, so a sample due in it is attributed to its caller.
    "waking": ("sock_def_readable",),
}
PARTS = ("recv", "send", "wait", "other")

Costs = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample: its time, and the functions on the stack, innermost first."""

    time_s: float
    frames: tuple[str, ...]


def samples_of(data: Path) -> Iterator[Sample]:
    """Read the samples that `perf` recorded, in the order of time."""
    command = ["perf", "script", "--input", str(data), "--fields", "time,ip,sym"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for block in told.split("\n\n"):
        head, *lines = block.strip().splitlines() or [""]
        frames = tuple(line.split()[1] for line in lines if len(line.split()) > 1)
        if frames:
            yield Sample(float(head.strip().rstrip(":")), frames)


def in_window(samples: list[Sample], window_s: float) -> list[tuple[str, ...]]:
    """The stacks of the window; it ends with the traffic, at the server's last send."""
    end_s = max((one.time_s for one in samples if part_of(one.frames) == "send"), default=0.0)
    return [one.frames for one in samples if end_s - window_s <= one.time_s <= end_s]


def part_of(frames: tuple[str, ...]) -> str:
    """The system call that the sample belongs to, by our names."""
    for frame in frames:
        _, found, call = frame.partition("sys_")
        if found and f"sys_{call}" in CALLS:
            return CALLS[f"sys_{call}"]
    return "other"


def costs(stacks: list[tuple[str, ...]], cpu_us_per_echo: float) -> Costs:
    """CPU µs per echo of each part, of those inside `send`, and of `all`."""
    each = cpu_us_per_echo / len(stacks)
    found = dict.fromkeys((*PARTS, *INSIDE_SEND), 0.0)
    for frames in stacks:
        part = part_of(frames)
        found[part] += each
        for name, functions in INSIDE_SEND.items():
            found[name] += each * (part == "send" and not set(functions).isdisjoint(frames))
    return {**found, "all": cpu_us_per_echo}


def measure(variant: str, connections: int, settings: Settings, data: Path, *, spin: bool) -> Costs:
    """Measure one server under the engine and under `perf`."""
    data.unlink(missing_ok=True)
    with clients.served(variant, settings.server_cpu) as server:
        command = ["perf", "record", "--quiet", "--event", "cpu-clock", "--call-graph", "fp"]
        command += ["--freq", str(SAMPLES_PER_S), "--output", str(data), "--pid", str(server)]
        perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            active = clients.run_engine(variant, connections, settings, spin=spin).active
            perf.send_signal(signal.SIGINT)
            _, errors = perf.communicate(timeout=STOP_S)
        finally:
            perf.kill()
            perf.wait()
    stacks = in_window(list(samples_of(data)), active["window_s"]) if data.exists() else []
    if not stacks:
        sys.exit(f"perf has no sample of {variant}: {errors.strip()}")
    return costs(stacks, active["server"]["cpu_us_per_echo"])


def print_table(found: dict[tuple[int, str], list[Costs]]) -> None:
    """Print one line per server and number of connections."""
    columns = ("recv", "send", "(softirq)", "(waking)", "wait", "other", "all", "of poll")
    print("\nCPU of the server, us per echo, medians")
    print("{:>11}  {:<22}".format("connections", "server") + "".join(f"{c:>11}" for c in columns))
    for (connections, variant), runs in found.items():
        middle = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
        base = found.get((connections, "poll"))
        ratio = (
            f"{statistics.median(a['all'] / b['all'] for a, b in zip(runs, base, strict=True)):.3f}"
            if base
            else ""
        )
        shown = ("recv", "send", *INSIDE_SEND, "wait", "other", "all")
        values = "".join(f"{middle[part]:11.2f}" for part in shown)
        print(f"{connections:>11,}  {variant:<22}{values}{ratio:>11}")


def main() -> None:
    clients.enter_namespace()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--servers", default=",".join(SERVERS), help="comma-separated names")
    parser.add_argument("--connections", default="100,1000,10000", help="numbers")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds")
    parser.add_argument("--window", type=float, default=2.0, help="seconds")
    parser.add_argument("--sleep", action="store_true", help="the engine sleeps instead of polling")
    parser.add_argument("--json", type=Path, help="keep the costs of every run in this file")
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("perf is not installed; on Debian: apt-get install linux-perf")
    server_cpu, client_cpu = clients.cpus()
    clients.warn_if_busy()
    order = random.Random(SEED)  # noqa: S311
    servers = arguments.servers.split(",")
    sizes = [int(number) for number in arguments.connections.split(",")]
    found: dict[tuple[int, str], list[Costs]] = {(n, name): [] for n in sizes for name in servers}
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            warmup_s=arguments.warmup,
            window_s=arguments.window,
            server_cpu=server_cpu,
            client_cpu=client_cpu,
            independent_client=Path(directory) / "none",
        )
        for number in range(1, arguments.rounds + 1):
            for connections in sizes:
                for name in order.sample(servers, len(servers)):
                    data = Path(directory) / "perf.data"
                    told = measure(name, connections, settings, data, spin=not arguments.sleep)
                    found[connections, name].append(told)
                    shown = "  ".join(f"{part} {told[part]:.2f}" for part in (*PARTS, "all"))
                    print(f"round {number}  {connections:>6,}  {name:<22}  {shown}", flush=True)
    print_table(found)
    if arguments.json:
        kept = [
            {"connections": connections, "server": name, "runs": runs}
            for (connections, name), runs in found.items()
        ]
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
