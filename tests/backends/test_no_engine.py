"""What is said where no Docker engine can be reached."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.backends import docker_engine, images
from harness.contract.errors import EngineGone, HostNotFit
from harness.variants import variant_files

FORMS = "unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST"


def told(monkeypatch: pytest.MonkeyPatch, path: Path) -> HostNotFit:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(HostNotFit) as raised:
        docker_engine.connected()
    return raised.value


@pytest.fixture(autouse=True)
def _without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "text",
    ["nonsense", "tcp://", "tcp://here", "tcp://here:port", "unix://", "ftp://a:1", "tcp://[::"],
)
def test_what_is_no_address_is_called_that(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", text)

    with pytest.raises(HostNotFit) as raised:
        docker_engine.connected()

    expected = f"DOCKER_HOST is `{text}`, which is not the address of an engine; expected {FORMS}"
    assert raised.value.message == expected
    assert docker_engine.facts().error == expected


@pytest.mark.parametrize("files", [(), ("ca.pem",), ("ca.pem", "cert.pem", "key.pem")])
def test_certificates_that_are_missing_or_none_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: tuple[str, ...]
) -> None:
    for name in files:
        (tmp_path / name).write_text("no certificate")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(HostNotFit, match="DOCKER_TLS_VERIFY asks for TLS, but DOCKER_HOST is not"):
        docker_engine.connected()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")

    with pytest.raises(HostNotFit) as raised:
        docker_engine.connected()

    missing = [name for name in docker_engine.TLS_FILES if name not in files]
    told = raised.value.message
    assert told.endswith(f"has no {', '.join(missing)}") or not missing
    assert "SSLError" not in told
    assert "HTTPSConnectionPool" not in told
    assert docker_engine.facts().error == told


def test_what_answers_and_is_no_engine_is_called_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):  # the end of the test
                while True:
                    peer, _ = listener.accept()
                    peer.recv(4096)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                    peer.close()

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{listener.getsockname()[1]}")

        with pytest.raises(HostNotFit, match="another program than a Docker engine answers there"):
            docker_engine.connected()


def test_a_missing_socket_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"

    error = told(monkeypatch, path)

    assert error.message == f"no Docker engine answers at unix://{path}: No such file or directory"
    assert docker_engine.facts().error == error.message


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


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it becomes another user for a moment")
def test_a_socket_that_refuses_this_user_is_told_from_one_without_an_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = Path(directory) / "docker.sock"
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        Path(directory).chmod(0o755)
        os.seteuid(65534)
        try:
            error = told(monkeypatch, path)
        finally:
            os.seteuid(0)

    assert error.message == (
        f"the Docker engine at unix://{path} refuses user 65534: Permission denied"
    )


class Stopping(BaseHTTPRequestHandler):
    """An engine that stops in the middle of a build."""

    def do_GET(self) -> None:
        self.answer(b'{"ApiVersion": "1.43", "message": "No such image"}')

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + len(b"\r\n"))
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b'15\r\n{"stream": "Step 1"}\n\r\n20\r\n{"str')
        self.close_connection = True

    def answer(self, body: bytes) -> None:
        is_image = "/images/" in self.path
        self.send_response(404 if is_image else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_engine_that_stops_in_a_build_is_no_fault_of_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM scratch\n")
    (directory / "variant.toml").write_text(
        'title = "mine"\narchitecture = "poll"\nlanguage = "C"\nsummary = "One."\n'
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Stopping) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        client = docker_engine.connected()

        with pytest.raises(EngineGone, match="no longer answers"):
            images.build_variant(client, variant_files.read(directory), 30)

        server.shutdown()
