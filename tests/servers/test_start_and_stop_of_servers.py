"""How a server starts, what it says when it cannot, and what it leaves when it ends."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import (
    STOP_S,
    THREADED,
    Flavour,
    Server,
    echo,
    fill,
    free_port,
    launch,
    pattern,
    receive_all,
    run_to_end,
    served,
    until,
    variants,
)

USAGE, RUNTIME = 2, 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda x: x.name)
def test_the_counters_are_the_clients_figures(server: Server, number: signal.Signals) -> None:
    peers = [server.connect() for _ in range(50)]
    size = 0
    for index, peer in enumerate(peers):
        assert echo(peer, pattern(1000 + 997 * index, index))
        size += 1000 + 997 * index
    for peer in peers[:20]:
        peer.shutdown(socket.SHUT_WR)
        assert receive_all(peer) == b""

    counters = server.stop_well(number)

    probe = 1  # the connection, of one byte, that found the server ready
    assert counters["accepted"] == 50 + probe
    assert counters["closed"] == 20 + probe
    assert counters["bytes_in"] == counters["bytes_out"] == size + probe
    waits = server.flavour.variant != THREADED  # a thread waits inside accept and recv
    assert (counters["waits"] > 0, counters["events"] > 0) == (waits, waits)


def test_sigusr1_tells_the_counters_at_any_time_and_the_server_goes_on(server: Server) -> None:
    peers = [server.connect() for _ in range(50)]
    assert all(echo(peer, b"?") for peer in peers)
    # A thread counts after the send, so its peer may be here before
    assert until(lambda: server.counters_now()["bytes_out"] == 51)
    first = server.counters_now()
    assert all(echo(peer, pattern(1000)) for peer in peers)
    peers[0].shutdown(socket.SHUT_WR)
    assert receive_all(peers[0]) == b""
    assert until(lambda: server.counters_now()["closed"] == 2)
    assert until(lambda: server.counters_now()["bytes_out"] == 51 + 50_000)
    second = server.counters_now()
    third = server.counters_now()  # nothing has come between, but the signal itself
    assert all(echo(peer, b"?") for peer in peers[1:])

    last = server.stop_well()

    probe = 1  # the connection, of one byte, that found the server ready
    assert first["accepted"] == 50 + probe
    assert (first["closed"], first["bytes_in"], first["bytes_out"]) == (probe, 51, 51)
    assert second["bytes_in"] == second["bytes_out"] == 51 + 50_000
    assert second["closed"] == third["closed"] == 1 + probe
    assert third["bytes_in"] == second["bytes_in"]
    assert last["bytes_in"] == last["bytes_out"] == 51 + 50_000 + 49
    if server.flavour.variant != THREADED:
        # All that a question costs is one wait of each loop, which reports the signal; none when
        # the signal is there before the last one was answered.
        waits = third["waits"] - second["waits"]
        assert waits == third["events"] - second["events"] <= server.loops()


def test_a_storm_of_sigusr1_disturbs_neither_echo_nor_accept(server: Server) -> None:
    peers = []
    for index in range(200):
        server.interrupt("SIGUSR1")  # those that wait already count as one: signal(7)
        peers.append(server.connect())
        assert echo(peers[index // 2], pattern(500, index))
    assert all(echo(peer, b"?") for peer in peers)

    ended = server.stop()

    assert ended.exit_code == 0
    lines = [json.loads(line)["counters"] for line in ended.stderr.splitlines()]
    assert lines[-1]["accepted"] == 201
    for name in lines[-1]:
        figures = [line[name] for line in lines]
        assert figures == sorted(figures)


def test_a_wait_reports_more_than_one_event_when_there_are_more(server: Server) -> None:
    peers = [server.connect() for _ in range(50)]
    assert all(echo(peer, b"?") for peer in peers)
    server.interrupt("SIGSTOP")
    for peer in peers:
        peer.sendall(b"!")
    server.interrupt("SIGCONT")
    assert all(peer.recv(1) == b"!" for peer in peers)

    counters = server.stop_well()

    if server.flavour.variant != THREADED:
        # One wait of each loop reports all of its own; and the stop may empty one.
        assert counters["events"] - counters["waits"] >= 50 - 2 * server.loops()


def test_it_stops_in_time_with_output_that_nobody_takes(server: Server) -> None:
    peers = [server.connect() for _ in range(100)]
    assert all(echo(peer, b"?") for peer in peers)
    (sent,) = fill(peers[0])

    counters = server.stop_well()

    assert 0 < counters["bytes_out"] < len(sent)
    held_max = server.flavour.held_bytes_max
    assert counters["bytes_out"] <= counters["bytes_in"] <= counters["bytes_out"] + held_max


def test_the_port_is_free_again_at_once(flavour: Flavour, start: Callable[..., Server]) -> None:
    server = start(flavour)
    assert echo(server.connect(), b"?")
    server.stop_well()

    again = start(flavour, server.address)

    assert echo(again.connect(), b"?")


def test_it_stops_while_it_waits_for_a_descriptor(
    start: Callable[..., Server], asks_limits: Flavour
) -> None:
    server = start(asks_limits)
    limit = len(server.descriptors()) + 1
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))
    peers = [server.connect() for _ in range(5)]

    first = served(peers, patience_s=0.5)

    assert 1 <= len(first) < len(peers)
    assert server.stop_well()["accepted"] == 1 + len(first)


def test_a_second_server_on_the_port_is_told_so(server: Server) -> None:
    ended = run_to_end(server.flavour, LISTEN=server.address)

    assert ended.exit_code == RUNTIME
    assert ended.stderr == (
        f"{server.flavour.variant}: cannot listen on {server.address}: bind: "
        "Address already in use\n"
    )
    assert echo(server.connect(), b"?")


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("", "unknown kind of address"),
        ("localhost:7000", "unknown kind of address"),
        ("udp://127.0.0.1:7000", "unknown kind of address"),
        ("tcp://127.0.0.1", "no port"),
        ("tcp://127.0.0.1:", "the port is not a number from 1 to 65535"),
        ("tcp://127.0.0.1:0", "the port is not a number from 1 to 65535"),
        ("tcp://127.0.0.1:65536", "the port is not a number from 1 to 65535"),
        ("tcp://127.0.0.1:7000x", "the port is not a number from 1 to 65535"),
        ("tcp://localhost:7000", "'localhost' is not an IPv4 address"),
        ("tcp://::1:7000", "'::1' is not an IPv4 address"),
        ("tcp://[127.0.0.1]:7000", "'127.0.0.1' is not an IPv6 address"),
        ("unix://relative", "the path is not absolute"),
        ("unix:///" + "x" * 107, "the path is longer than 107 bytes"),
    ],
)
def test_a_bad_address_is_named_with_what_is_expected(listen: str, problem: str) -> None:
    flavour = Flavour(next(iter(variants())), "")

    ended = run_to_end(flavour, LISTEN=listen)

    assert ended.exit_code == USAGE
    assert ended.stderr == (
        f"{flavour.variant}: LISTEN='{listen}': {problem}; "
        "expected tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH\n"
    )


@pytest.mark.parametrize("backlog", ["", "0", "-1", "65536", "many", "12 "])
def test_a_bad_backlog_is_named_with_what_is_expected(backlog: str) -> None:
    flavour = Flavour(next(iter(variants())), "")

    ended = run_to_end(flavour, BACKLOG=backlog)

    assert ended.exit_code == USAGE
    assert ended.stderr == (
        f"{flavour.variant}: BACKLOG='{backlog}': expected a number from 1 to 65535\n"
    )


def test_every_variant_refuses_bad_input(flavour: Flavour) -> None:
    assert run_to_end(flavour, LISTEN="nowhere").exit_code == USAGE
    assert run_to_end(flavour, BACKLOG="none").exit_code == USAGE
    assert run_to_end(flavour, "--port=7000").exit_code == USAGE
    assert run_to_end(flavour, LISTEN="tcp://192.0.2.1:7000").exit_code == RUNTIME  # TEST-NET-1


def test_the_socket_file_goes_with_the_server(
    flavour: Flavour, start: Callable[..., Server], tmp_path: Path
) -> None:
    path = tmp_path / "echo.sock"
    server = start(flavour, f"unix://{path}")
    assert path.is_socket()

    server.stop_well()

    assert not path.exists()


def test_a_socket_file_that_a_dead_server_left_is_replaced(
    flavour: Flavour, start: Callable[..., Server], tmp_path: Path
) -> None:
    address = f"unix://{tmp_path}/echo.sock"
    killed = start(flavour, address)
    killed.stop(signal.SIGKILL)
    assert until(lambda: is_refused(killed))  # what is left to a ring ends after its process
    assert (tmp_path / "echo.sock").is_socket()

    assert echo(start(flavour, address).connect(), pattern(50_000))


def is_refused(server: Server) -> bool:
    try:
        server.connect()
    except ConnectionRefusedError:
        return True
    return False


def test_a_path_that_is_in_use_is_left_alone(
    flavour: Flavour, start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(flavour, f"unix://{tmp_path}/echo.sock")
    file = tmp_path / "file"
    file.write_text("precious")

    ended = [run_to_end(flavour, LISTEN=x) for x in (server.address, f"unix://{file}")]

    assert [x.exit_code for x in ended] == [RUNTIME, RUNTIME]
    assert all("Address already in use" in x.stderr for x in ended)
    assert file.read_text() == "precious"
    assert echo(server.connect(), b"?")


def test_a_server_too_busy_to_answer_keeps_its_path(
    flavour: Flavour, start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(flavour, f"unix://{tmp_path}/echo.sock", BACKLOG="1")
    server.interrupt("SIGSTOP")
    queued = [server.connect() for _ in range(2)]  # full: a further connect gets EAGAIN

    ended = run_to_end(flavour, LISTEN=server.address)
    server.interrupt("SIGCONT")

    assert ended.exit_code == RUNTIME
    assert all(echo(peer, b"?") for peer in queued)
    assert echo(server.connect(), b"?")


def test_a_signal_right_at_the_start_is_not_lost(plain: Flavour) -> None:
    process = launch(plain, LISTEN=f"tcp://127.0.0.1:{free_port()}")
    lines = re.compile(r"^Sig(?:Blk|Cgt):\t(\w+)$", re.MULTILINE)
    sigterm = 1 << (signal.SIGTERM - 1)

    def hears() -> bool:
        # Of all threads: one that waits for signals does not count them as blocked meanwhile.
        texts = [path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/status")]
        return any(int(x, 16) & sigterm for text in texts for x in lines.findall(text))

    assert until(hears)
    process.terminate()
    _, stderr = process.communicate(timeout=STOP_S)

    assert process.returncode == 0, stderr
