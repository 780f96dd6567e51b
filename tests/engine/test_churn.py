"""Churn: connect, one verified echo, close, and again, without running out of ports or slots."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Literal

import pytest
from echo_server import HELLO_BYTES, EchoServer, FlippingServer, listen_unix, served
from engine_bench import Bench
from engine_driving import closed_window, open_connections, run_cell, start, stop, until

from harness.engine import NullServer, histogram

Closing = Literal["fin", "rst"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def null(bench: Bench) -> NullServer:
    server = NullServer()
    bench.defer(server.shutdown)
    return server


@pytest.mark.parametrize("closing", ["fin", "rst"])
def test_each_cycle_is_a_connection_of_its_own_with_one_echo(
    bench: Bench, null: NullServer, closing: Closing
) -> None:
    engine = bench.engine(null.address)
    open_connections(engine, 20)

    start(engine, active=10, closing=closing)
    window = closed_window(engine)
    stop(engine)

    status = engine.status()
    assert window["echoes"] == window["count"] > 0
    assert (status["errors"], status["cycles_failed"], status["corrupt_bytes"]) == ({}, 0, 0)
    # What the server accepted is what was opened, and one connection per cycle.
    assert null.counts()["accepted"] == 20 + status["cycles"]
    assert status["cell_echoes"] == status["cycles"]
    assert status["bytes_sent"] == status["bytes_received"]
    assert status["bytes_sent"] == 20 * HELLO_BYTES + status["cycles"] * 64


@pytest.mark.parametrize(("closing", "resets"), [("fin", False), ("rst", True)])
def test_connections_end_as_they_were_told_to(
    bench: Bench, closing: Closing, *, resets: bool
) -> None:
    address, server = bench.serve(ClosingsServer)
    engine = bench.engine(address)
    open_connections(engine, 2)

    start(engine, active=2, closing=closing)
    until(lambda: server.by_fin + server.by_reset > 20, "connections were ended")
    stop(engine)

    assert (server.by_reset > 0, server.by_fin > 0) == (resets, not resets)


class ClosingsServer(EchoServer):
    """Counts how connections ended."""

    by_fin = 0
    by_reset = 0

    def _serve(self, index: int) -> None:
        peer = self.peers[index]
        try:
            while data := peer.recv(65536):
                peer.sendall(data)
            self.by_fin += 1
        except OSError:
            self.by_reset += 1
        finally:
            peer.close()


def test_a_cycle_counts_from_connect_and_its_parts_add_up(bench: Bench, null: NullServer) -> None:
    engine = bench.engine(null.address)
    open_connections(engine, 50)

    start(engine, active=50, closing="fin")
    window = closed_window(engine)
    stop(engine)

    assert window["connect_histogram"] is not None
    connect = histogram.percentiles(histogram.merge([window["connect_histogram"]]))
    cycle = histogram.percentiles(histogram.merge([window["histogram"]]))
    assert connect["mean"] is not None
    assert cycle["mean"] is not None
    assert 0 < connect["mean"] < cycle["mean"]
    # A slot is never in two cycles at once.
    under_way = window["outstanding_time_ns"] / (window["end_ns"] - window["start_ns"])
    assert 0 < under_way <= 50


def test_connections_that_do_not_churn_stay_and_all_are_there_afterwards(
    bench: Bench, null: NullServer
) -> None:
    engine = bench.engine(null.address)
    open_connections(engine, 30)

    start(engine, active=10, closing="rst")
    window = closed_window(engine)
    stop(engine)

    assert window["established_min"] == 20
    assert engine.status()["established"] == 30
    # The same connections carry the next cell, and churn may follow churn.
    assert run_cell(engine, active=30)["echoes"] > 0
    start(engine, active=30, closing="fin")
    assert closed_window(engine)["established_min"] == 0
    stop(engine)
    assert (engine.status()["errors"], engine.status()["established"]) == ({}, 30)


def test_an_ordinary_window_has_no_figures_of_churn(bench: Bench, null: NullServer) -> None:
    engine = bench.engine(null.address)
    open_connections(engine, 2)

    window = run_cell(engine, active=2)

    assert (window["connect_histogram"], window["cycles_failed"]) == (None, 0)


def test_a_connection_in_a_hundred_that_is_dropped_is_a_failed_cycle(bench: Bench) -> None:
    server = NullServer(drop_every_connections=100)
    bench.defer(server.shutdown)
    engine = bench.engine(server.address)
    open_connections(engine, 20)

    start(engine, active=20, closing="fin")
    until(lambda: engine.status()["cycles_failed"] >= 5, "failed cycles were counted")
    engine.stop()
    until(lambda: engine.status()["outstanding"] == 0, "the last cycles ended")

    status, counts = engine.status(), server.counts()
    assert status["cycles_failed"] == counts["dropped"]
    assert status["errors"] == {"eof": counts["dropped"]}
    assert status["corrupt_bytes"] == 0


def test_a_wrong_byte_in_a_cycle_is_caught(bench: Bench) -> None:
    server = NullServer(corrupt_every_bytes=100_000)
    bench.defer(server.shutdown)
    engine = bench.engine(server.address)
    open_connections(engine, 4)

    start(engine, active=4, closing="fin")
    until(lambda: engine.status()["corrupt_bytes"] > 0, "the flip was noticed")
    engine.stop()

    assert engine.status()["errors"] == {"corrupt": engine.status()["cycles_failed"]}


def test_a_server_that_goes_away_fails_cycles_and_the_engine_ends_all_the_same(
    bench: Bench,
) -> None:
    address, server = bench.serve(EchoServer)
    engine = bench.engine(address)
    open_connections(engine, 4)
    start(engine, active=4, closing="fin")

    server.close()
    until(lambda: "connect ECONNREFUSED" in engine.status()["errors"], "connects are refused")
    engine.stop()
    until(lambda: engine.status()["lost"] == 4, "what does not come back is lost")

    status = engine.status()
    assert (status["established"], status["outstanding"], status["connecting"]) == (0, 0, 0)


def test_a_slot_whose_tries_fail_is_lost_to_the_next_cell(bench: Bench) -> None:
    address, server = bench.serve(FlippingServer)
    server.flipped_at = -1  # none
    engine = bench.engine(address)
    kept, _ = open_connections(engine, 2)
    start(engine, active=2, closing="rst")
    engine.close(kept)
    until(lambda: engine.status()["cycles"] > 10, "the other goes on")
    stop(engine)

    assert (engine.status()["closed"], engine.status()["established"]) == (1, 1)
    assert run_cell(engine, active=1)["echoes"] > 0


@pytest.mark.parametrize("closing", ["fin", "rst"])
def test_churn_works_on_a_path_too(bench: Bench, tmp_path: Path, closing: Closing) -> None:
    # A backlog that is full all the time: connect answers EAGAIN and is tried again.
    address, listener = listen_unix(tmp_path, backlog=1)
    with served(EchoServer(listener)):
        engine = bench.engine(address)
        open_connections(engine, 8)

        start(engine, active=8, closing=closing)
        assert closed_window(engine)["echoes"] > 0
        stop(engine)

        assert engine.status()["errors"] == {}
        assert engine.status()["established"] == 8


@pytest.mark.parametrize(
    "wrong", [{"depth": 2}, {"rate_per_s": 100.0}, {"stamps": True}, {"closing": "FIN"}]
)
def test_what_churn_cannot_be_combined_with_is_refused(
    bench: Bench, null: NullServer, wrong: dict[str, object]
) -> None:
    engine = bench.engine(null.address)
    open_connections(engine, 1)

    with pytest.raises(ValueError, match="closing"):
        start(engine, active=1, **{"closing": "fin", **wrong})  # type: ignore[arg-type]


# 100 ports per address, all of them in TIME_WAIT after as many cycles by FIN, since here the kernel
# may not reuse them.
UNSHARE = ("unshare", "--user", "--map-root-user", "--net")
NARROW = {
    "net.ipv4.ip_local_port_range": "30000 30099",
    "net.ipv4.tcp_tw_reuse": "0",
    "net.ipv4.tcp_max_tw_buckets": "131072",
}
PORTS_SCRIPT = textwrap.dedent(
    """
    import json, sys, time
    from harness.engine import Engine, NullServer
    from harness.host import namespace

    sources, closing, cycles, sysctls = json.loads(sys.argv[1])
    namespace.prepare(sysctls)
    server = NullServer()
    engine = Engine(server.address, cycle_sources=[f"127.0.0.{2 + n}" for n in range(sources)])
    engine.open()
    deadline = time.monotonic() + 60
    while engine.status()["connecting"] and time.monotonic() < deadline:
        time.sleep(0.01)
    now = time.monotonic_ns()
    engine.start(active=1, payload_bytes=64, closing=closing,
                 window_start_ns=now, window_end_ns=now + 1)
    def settled(status):
        return status["cycles"] >= cycles or status["cycles_failed"] > 0
    while not settled(engine.status()) and time.monotonic() < deadline:
        time.sleep(0.001)
    status = engine.status()
    print(json.dumps({"cycles": status["cycles"], "errors": status["errors"]}))
    engine.shutdown()
    server.shutdown()
    """
)


def cycles_in_narrow_ports(sources: int, closing: Closing, cycles: int) -> dict[str, Any]:
    """Churn in a namespace whose ports are few, to `cycles` or the first failed one."""
    argument = json.dumps([sources, closing, cycles, NARROW])
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", PORTS_SCRIPT, argument],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_more_source_addresses_are_more_ports() -> None:
    # Where one address runs out of ports, forty do not, at ten times the cycles.
    few = cycles_in_narrow_ports(1, "fin", 1000)
    many = cycles_in_narrow_ports(40, "fin", 1000)

    assert list(few["errors"]) == ["connect EADDRNOTAVAIL"]
    assert few["cycles"] <= 100
    assert (many["errors"], many["cycles"] >= 1000) == ({}, True)


def test_a_reset_leaves_no_port_behind() -> None:
    reached = cycles_in_narrow_ports(1, "rst", 1000)

    assert (reached["errors"], reached["cycles"] >= 1000) == ({}, True)
