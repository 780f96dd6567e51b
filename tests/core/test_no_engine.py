"""What is said where no Docker engine can be reached."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.backends import engine
from harness.errors import HostNotFit


def told(monkeypatch: pytest.MonkeyPatch, path: Path) -> HostNotFit:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(HostNotFit) as raised:
        engine.connected()
    return raised.value


def test_a_missing_socket_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"

    error = told(monkeypatch, path)

    assert error.message == f"no Docker engine answers at unix://{path}: No such file or directory"


def test_a_directory_in_its_place_is_called_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Engines make one where a socket is to be mounted and is not there."""
    error = told(monkeypatch, tmp_path)

    assert error.message.startswith(f"{tmp_path} is a directory")
    assert "remove the directory" in error.hint


def test_a_socket_that_nothing_serves_is_no_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    error = told(monkeypatch, path)

    assert error.message == f"no Docker engine answers at unix://{path}: Connection refused"
