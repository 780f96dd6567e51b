"""Which server an address given to `c10k drive` stands for."""

from __future__ import annotations

import socket

import pytest

from harness.campaign import drive_run
from harness.contract.errors import UsageError


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
