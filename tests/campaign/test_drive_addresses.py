"""Which server an address of `c10k drive` names, and how the end of its load is read."""

from __future__ import annotations

import socket
import subprocess

import pytest

from harness.campaign import drive_run
from harness.contract.errors import Interrupted, UsageError


def test_another_host_is_taken_with_the_flag() -> None:
    target = drive_run.target_of("192.0.2.1:7", is_owned=True)

    assert target == drive_run.Target("tcp://192.0.2.1:7", has_many_sources=False, has_ports=True)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7000", "tcp://127.0.0.1:7000"),
        ("tcp://127.0.0.1:7000", "tcp://127.0.0.1:7000"),
        ("[::1]:7000", "tcp://[::1]:7000"),
        ("tcp://[::1]:7000", "tcp://[::1]:7000"),
        ("localhost:7000", "tcp://127.0.0.1:7000"),
        ("unix:///run/echo.sock", "unix:///run/echo.sock"),
    ],
)
def test_every_form_of_an_address_is_read(text: str, address: str) -> None:
    assert drive_run.target_of(text, is_owned=False).address == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "7000", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:7000"),
        *("unix://echo.sock", "http://127.0.0.1:80", "[localhost:7000", "127.0.0.1:7000/path"),
    ],
)
def test_what_is_no_address_is_told_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        drive_run.target_of(text, is_owned=True)

    assert "unix:///PATH" in raised.value.hint


def test_a_name_stands_for_its_first_address_that_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `localhost` where only ::1 is listened on; whether it has both is the host's affair."""
    both = [(0, 0, 0, "", (address, 0)) for address in ("::1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        six = drive_run.target_of(f"localhost:{port}", is_owned=False)
    nobody = drive_run.target_of(f"localhost:{port}", is_owned=False)

    assert six.address == f"tcp://[::1]:{port}"
    assert nobody.address == f"tcp://127.0.0.1:{port}"


def test_a_load_that_runs_on_was_ended_by_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It closed its standard output, or wrote a line that no reader takes."""
    monkeypatch.setattr(drive_run, "LOAD_STOP_S", 0.05)
    with subprocess.Popen(["sleep", "300"]) as load:
        try:
            drive_run._require_own_end(load)
        finally:
            load.kill()


def test_a_load_that_a_signal_ended_interrupts_the_drive() -> None:
    with subprocess.Popen(["sleep", "300"]) as load:
        load.terminate()
        with pytest.raises(Interrupted, match="SIGTERM from outside the harness"):
            drive_run._require_own_end(load)
