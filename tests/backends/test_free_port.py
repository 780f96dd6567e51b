"""Where trials share the host's ports: what keeps one, in words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.host import isolation

# In a network namespace of its own, so that no other program has the port.
ENDS_WITH = """
import socket
from harness.backends.process import _require_free_port
from harness.contract.errors import HostNotFit
from harness.host import namespace
namespace.loopback_up()
listener = socket.socket()
{options}
listener.bind(("0.0.0.0", 7000))
listener.listen()
client = socket.create_connection(("127.0.0.1", 7000))
served = listener.accept()[0]
served.close()
client.close()
{end}
try:
    _require_free_port(wait_s=0.1)
except HostNotFit as error:
    print(error.message, error.hint)
else:
    print("free")
"""
REUSE = "listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)"


@pytest.mark.parametrize(
    ("options", "end", "said"),
    [
        ("", "listener.close()", "no process listens on port 7000, but the kernel still keeps it"),
        ("", "", "port 7000 is in use on this host"),
        (REUSE, "listener.close()", "free"),
    ],
)
def test_a_port_that_the_kernel_keeps_is_no_port_of_another_process(
    options: str, end: str, said: str
) -> None:
    found = isolation.found().namespaces
    if found is None:
        pytest.skip("no network namespace can be made here")
    program = ENDS_WITH.format(options=options, end=end)

    done = subprocess.run(
        [*found.make, sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert done.stdout.startswith(said), done.stdout + done.stderr
    assert ("SO_REUSEADDR" in done.stdout) == said.startswith("no process")
