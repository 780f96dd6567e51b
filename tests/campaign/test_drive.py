"""`c10k drive` against real servers that nobody of the harness started, right and wrong."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import free_port, until

from harness import gates
from harness.campaign import drive_run
from harness.contract.errors import Exit, HostNotFit
from harness.contract.record import VariantFacts
from harness.contract.statuses import CellStatus
from harness.contract.stored_cell import StoredCell
from harness.plan.profiles import profile as profiles

ROOT = Path(__file__).parents[2]
FRAIL = ROOT / "tests" / "support" / "frail_server.py"
RIGHT = ROOT / "tests" / "bad_servers" / "right.py"
TIMEOUT_S = 120

PROFILE = """
summary = "A few connections for a moment."
trials = 1

[timing]
warmup_s = 0.1
window_s = {window_s}

[[scenarios]]
name = "ramp"
connections = [{connections}]

[[scenarios]]
name = "idle"
connections = [{connections}]
active = 10

[[scenarios]]
name = "paced"
connections = [{connections}]
{rate}
"""

Server = Callable[..., int]


def answers(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0


def wait_for(address: tuple[str, int] | str) -> None:
    assert until(lambda: answers(address), 30), f"nothing listens on {address}"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[Any]]]:
    processes: list[subprocess.Popen[Any]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(30)


@pytest.fixture
def serve(started: list[subprocess.Popen[Any]]) -> Server:
    """Start the server that can be made frail; return its port."""

    def start(*options: str) -> int:
        port = free_port()
        started.append(subprocess.Popen([sys.executable, str(FRAIL), str(port), *options]))
        wait_for(("127.0.0.1", port))
        return port

    return start


def profile_in(
    directory: Path, *, connections: int = 40, window_s: float = 0.4, rate: str = "rate_per_s"
) -> str:
    path = directory / "few.toml"
    rates = f"{rate} = [{'500' if rate == 'rate_per_s' else '0.5'}]"
    path.write_text(PROFILE.format(connections=connections, window_s=window_s, rate=rates))
    return str(path)


def command(directory: Path, *arguments: str) -> dict[str, Any]:
    return {
        # A shell's background job inherits an ignored SIGINT, which c10k leaves ignored.
        "args": [
            *("env", "--default-signal=INT,HUP", sys.executable),
            *("-m", "harness.cli", "drive", *arguments),
        ],
        "cwd": directory,
        "env": {**os.environ, "C10K_LOCK": str(directory / "lock"), "PYTHONPATH": str(ROOT)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def driven(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**command(directory, *arguments), timeout=TIMEOUT_S, check=False)


def test_a_running_server_is_measured_by_all_cells_and_goes_on(
    serve: Server, started: list[subprocess.Popen[Any]], tmp_path: Path
) -> None:
    port = serve()
    with socket.create_connection(("127.0.0.1", port)) as somebody:
        done = driven(
            tmp_path,
            f"localhost:{port}",
            "--profile",
            profile_in(tmp_path),
            "--seed",
            "7",
            "--json",
        )
        somebody.sendall(b"still there?")
        assert somebody.recv(64) == b"still there?"

    assert done.returncode == Exit.OK, done.stderr
    told = json.loads(done.stdout)
    assert told["address"] == f"tcp://127.0.0.1:{port}"
    assert (told["schema"], told["seed"], told["server"]) == (1, 7, None)
    assert (told["failure"], told["interrupted"], told["left_out"]) == (None, False, [])
    assert [cell["scenario"] for cell in told["cells"]] == ["ramp", "idle", "paced"]
    for cell in told["cells"]:
        assert cell["server"] is None
        assert cell["connections_established_min"] == 40
        assert "evidence" not in dict(cell["reasons"])
    assert told["cells"][1]["echoes"] > 0
    assert told["cells"][1]["latency_us"]["p99"] > 0
    assert started[0].poll() is None


def test_the_table_names_held_rate_and_latency_and_marks_the_closed_loop(
    serve: Server, tmp_path: Path
) -> None:
    port = serve()

    done = driven(tmp_path, f"tcp://127.0.0.1:{port}", "--profile", profile_in(tmp_path))

    assert done.returncode == Exit.OK, done.stderr
    lines = done.stdout.splitlines()
    header = next(line for line in lines if line.startswith("scenario"))
    assert header.split() == [
        *("scenario", "N", "held", "echoes/s", "p50", "p99", "server", "CPU", "status"),
    ]
    idle = next(line for line in lines if line.startswith("idle"))
    paced = next(line for line in lines if line.startswith("paced"))
    assert idle.split()[1:3] == ["40", "40"]
    assert idle.count("s*") == 2
    assert "*" not in paced
    assert "n/a" in idle
    assert "* closed loop" in done.stdout


def test_a_unix_socket_is_driven_too(started: list[subprocess.Popen[Any]], tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    listen = {**os.environ, "LISTEN": f"unix://{path}", "BACKLOG": "128"}
    started.append(subprocess.Popen([sys.executable, str(RIGHT)], env=listen))
    wait_for(path)

    done = driven(tmp_path, f"unix://{path}", "--profile", profile_in(tmp_path), "--json")

    assert done.returncode == Exit.OK, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert [cell["connections_established_min"] for cell in cells] == [40, 40, 40]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--wrong",), "wrong-echo"),
        (("--corrupt-after", "62000"), "corrupt"),
        (("--hold", "20"), "held-fewer"),
    ],
)
def test_a_server_at_fault_is_exit_code_4_with_what_was_measured(
    serve: Server, tmp_path: Path, options: tuple[str, ...], code: str
) -> None:
    port = serve(*options)

    done = driven(tmp_path, f"127.0.0.1:{port}", "--profile", profile_in(tmp_path), "--json")

    assert done.returncode == Exit.SERVER_FAULT, done.stderr
    told = json.loads(done.stdout)
    assert told["failure"]["code"] == code
    assert told["failure"]["text"] in done.stderr
    assert code == "wrong-echo" or any(cell["status"] == "void" for cell in told["cells"])


def test_a_refused_port_is_exit_code_4_and_says_so(tmp_path: Path) -> None:
    done = driven(tmp_path, f"127.0.0.1:{free_port()}", "--profile", profile_in(tmp_path))

    assert done.returncode == Exit.SERVER_FAULT
    assert "connection refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_dies_is_exit_code_4(
    serve: Server, started: list[subprocess.Popen[Any]], tmp_path: Path
) -> None:
    port = serve()
    profile = profile_in(tmp_path, window_s=600)
    run = subprocess.Popen(**command(tmp_path, f"127.0.0.1:{port}", "--profile", profile, "--json"))
    try:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("cell 1/3: ramp")
        started[0].kill()
        out, err = run.communicate(timeout=TIMEOUT_S)
    finally:
        run.kill()
        run.wait()

    assert run.returncode == Exit.SERVER_FAULT, err
    assert json.loads(out)["failure"]["code"] == "server-died"


def test_an_interrupt_prints_what_was_measured_and_leaves_no_load_behind(
    serve: Server, tmp_path: Path
) -> None:
    port = serve()
    profile = profile_in(tmp_path, window_s=600)
    run = subprocess.Popen(**command(tmp_path, f"127.0.0.1:{port}", "--profile", profile, "--json"))
    try:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("cell 1/3: ramp")
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        assert children
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=TIMEOUT_S)
    finally:
        run.kill()
        run.wait()

    assert run.returncode == Exit.INTERRUPTED
    told = json.loads(out)
    assert told["interrupted"]
    assert [cell["scenario"] for cell in told["cells"]] == ["ramp"]
    assert not any(Path("/proc", child).exists() for child in children)


def test_the_load_ends_when_the_command_is_killed(serve: Server, tmp_path: Path) -> None:
    port = serve()
    profile = profile_in(tmp_path, window_s=600)
    run = subprocess.Popen(**command(tmp_path, f"127.0.0.1:{port}", "--profile", profile))
    assert run.stderr is not None
    assert run.stderr.readline().startswith("cell 1/3: ramp")
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    loads = [os.pidfd_open(int(child)) for child in children]
    run.kill()
    run.communicate(timeout=TIMEOUT_S)
    try:
        assert loads
        for load in loads:  # readable once the process has ended (pidfd_open(2))
            assert select.select([load], [], [], 30)[0]
    finally:
        for load in loads:
            os.close(load)


@pytest.mark.parametrize("address", ["192.0.2.1:7", "tcp://192.0.2.1:7", "[2001:db8::1]:7"])
def test_another_host_is_refused_without_the_flag(address: str, tmp_path: Path) -> None:
    done = driven(tmp_path, address)

    assert done.returncode == Exit.USAGE
    assert "not a loopback address" in done.stderr
    assert "--i-own-this-host" in done.stderr
    assert done.stdout == ""


def test_too_few_open_files_are_the_hosts_fault(tmp_path: Path) -> None:
    profile = profile_in(tmp_path, connections=1_000)
    limited = command(tmp_path, "127.0.0.1:7", "--profile", profile)
    limited["args"] = ["prlimit", "--nofile=500:500", *limited["args"]]

    done = subprocess.run(**limited, timeout=TIMEOUT_S, check=False)

    assert done.returncode == Exit.HOST_NOT_FIT
    assert "1,000 connections need 1,064 open files" in done.stderr


def test_too_few_local_ports_are_the_hosts_fault(tmp_path: Path) -> None:
    profile = profiles.load(profile_in(tmp_path, connections=70_000))
    target = drive_run.target_of("[::1]:7000", is_owned=False)

    with pytest.raises(HostNotFit, match="70,000 connections need as many local ports"):
        drive_run.request_of(target, "few", profile, 1)


def test_shares_of_a_capacity_are_left_out_and_told(tmp_path: Path) -> None:
    profile = profiles.load(profile_in(tmp_path, rate="rate_share"))
    target = drive_run.target_of("127.0.0.1:7000", is_owned=False)

    request = drive_run.request_of(target, "few", profile, 1)

    assert [cell.scenario for cell in request.trial.cells] == ["ramp", "idle"]
    assert request.left_out == ("paced at 40, 50% of the server's capacity",)


def cell(**changes: Any) -> dict[str, Any]:
    """A good closed-loop cell of a server that was not looked into."""
    good: dict[str, Any] = {
        **{"scenario": "idle", "connections_requested": 40, "connections_established_min": 40},
        **{"active": 10, "depth": 1, "corrupt_bytes": 0, "lost": 0, "window_s": 1.0},
        **{"echoes": 10_000, "echoes_per_s": 10_000.0, "latency_us": {"mean": 1_000.0}},
        **{"failure": None, "server": None, "host": {}},
        "generator": {"stat_ticks": {"steal": 0, "user": 100}},
        "tcp": {"RetransSegs": 0, "ListenOverflows": 0, "softnet_dropped": 0},
    }
    return good | changes


def test_a_server_that_is_not_looked_into_voids_nothing_by_that() -> None:
    assert gates.judge(StoredCell.of(cell()), drive_run.FACTS) == gates.Verdict(
        CellStatus.VALID, ()
    )


def test_the_same_cell_of_a_campaign_is_void_for_want_of_evidence() -> None:
    verdict = gates.judge(StoredCell.of(cell()), VariantFacts())

    assert verdict.status == "void"
    assert "server.cpu_ns" in dict(verdict.reasons)["evidence"]


@pytest.mark.parametrize(
    ("code", "status", "changes"),
    [
        ("evidence", "void", {"latency_us": None}),
        ("corrupt", "void", {"corrupt_bytes": 1}),
        ("lost", "void", {"lost": 1}),
        ("established", "void", {"connections_established_min": 39}),
        ("little", "void", {"echoes_per_s": 5_000.0}),
        ("counters", "noisy", {"generator": {}}),
        ("steal", "noisy", {"generator": {"stat_ticks": {"steal": 50, "user": 50}}}),
    ],
)
def test_all_other_gates_judge_a_driven_cell(
    code: str, status: str, changes: dict[str, Any]
) -> None:
    verdict = gates.judge(StoredCell.of(cell(**changes)), drive_run.FACTS)

    assert verdict.status == status
    assert code in dict(verdict.reasons)
